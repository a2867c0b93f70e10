"""Exports a LLaVA-style model of Hugging Face transformers as a vlmscope bundle.

The graphs are written node by node (graph.py) instead of being traced: the weights stream from the loaded model straight
into the external data files, the files are the same bytes on every run, and the order of the nodes, on which ONNX
Runtime's peak memory depends, is ours to choose.
"""

EXPORTER_VERSION = "1.0.0"
FORMAT = "vlmscope-bundle"
FORMAT_VERSION = "1.0"
OPSET = 20
# An exact power of two: it keeps small attention weights out of f16's subnormals without rounding any of them.
ATTENTION_SCALE = 4096
