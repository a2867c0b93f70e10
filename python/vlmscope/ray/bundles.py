"""Model folders on a node: a path that all nodes share, or a copy that the first actor of a node fetches."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pyarrow.fs

from ..errors import VlmscopeError


def local_folder(place: str | os.PathLike | None) -> str | None:
    """The folder of a model on this node; None for the built-in one.

    A URI (s3://…, gs://…, hdfs://…, file://…) is fetched once for each node into VLMSCOPE_CACHE, or else the folder for temporary files; other
    actors of the node wait for it. Raises VlmscopeError where it cannot be fetched.
    """
    if place is None:
        return None
    text = os.fspath(place)
    if "://" not in text:
        return text
    cache = Path(os.environ.get("VLMSCOPE_CACHE") or Path(tempfile.gettempdir()) / f"vlmscope-models-{os.getuid()}")
    target = cache / hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        if cache.stat().st_uid != os.getuid():
            raise VlmscopeError(f"{cache} belongs to another user; set VLMSCOPE_CACHE to a folder of your own")
        with (cache / f"{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                _fetch(text, target)
    except (OSError, pyarrow.ArrowException) as error:
        raise VlmscopeError(f"cannot fetch the model {text} to {target}: {error}") from error
    return str(target)


def _fetch(uri: str, target: Path) -> None:
    files, path = pyarrow.fs.FileSystem.from_uri(uri)
    if files.get_file_info(path).type != pyarrow.fs.FileType.Directory:
        raise VlmscopeError(f"{uri} is no folder of a model")
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    pyarrow.fs.copy_files(path, str(part), source_filesystem=files, destination_filesystem=pyarrow.fs.LocalFileSystem())
    part.rename(target)
