"""The one error type that the command line turns into a paragraph and exit code 1: cause first, then what to do."""


class ExportError(Exception):
    """Something about the model, the processor or the disk makes the export impossible."""


class UnsupportedArchitecture(ExportError):
    """The model is well-formed, but of a kind that the exporter has no graph for."""
