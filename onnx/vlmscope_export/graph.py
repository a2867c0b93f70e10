"""A small ONNX graph builder with external weights.

The decision that is not obvious: a graph output that nothing else reads (a *leaf*) is emitted at the very end, the first
layer's last. ONNX Runtime orders its work by walking back from the last leaf first, so that in any other order every layer's
attention stays alive until the end of the run (2.5 GB instead of 1.1 GB at LLaVA-1.5's geometry).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from . import EXPORTER_VERSION, OPSET

# The IR version that introduced nothing we need beyond overridable initializers, and that ONNX Runtime 1.18+ reads.
IR_VERSION = 10

NUMPY_OF_DTYPE = {"f32": np.float32, "f16": np.float16, "i64": np.int64}
ONNX_OF_DTYPE = {
    "f32": TensorProto.FLOAT,
    "f16": TensorProto.FLOAT16,
    "i64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}

# Pages are 4 KiB; the Windows allocation granularity, which is 64 KiB, is only worth its padding for tensors of that size.
LARGE_TENSOR_BYTES = 1 << 20
LARGE_ALIGNMENT = 1 << 16
SMALL_ALIGNMENT = 64

Dim = int | str


@dataclass(frozen=True)
class StoredTensor:
    """Where one weight lies in its .data file. Offset and length in bytes."""

    dtype: str
    shape: tuple[int, ...]
    file: str
    offset: int
    length: int


class WeightFile:
    """One .data file: raw little-endian tensors, one after another, written once and hashed on the way.

    A name is stored once however many graphs use it, so that vision.onnx and vision_attention.onnx share one file.
    """

    def __init__(self, folder: Path, name: str, on_write: Callable[[int], None] = lambda _: None):
        self.name = name
        self.tensors: dict[str, StoredTensor] = {}
        self._file = (folder / name).open("wb")
        self._sha = hashlib.sha256()
        self._size = 0
        self._on_write = on_write

    def add(self, name: str, make: Callable[[], np.ndarray]) -> StoredTensor:
        """Stores `make()` under `name` unless it is already there."""
        if name in self.tensors:
            return self.tensors[name]
        array = np.ascontiguousarray(make())
        dtype = next(d for d, n in NUMPY_OF_DTYPE.items() if n == array.dtype)
        alignment = LARGE_ALIGNMENT if array.nbytes >= LARGE_TENSOR_BYTES else SMALL_ALIGNMENT
        self._append(b"\0" * (-self._size % alignment))
        stored = StoredTensor(dtype, array.shape, self.name, self._size, array.nbytes)
        self._append(array.data.cast("B") if array.nbytes else b"")
        self.tensors[name] = stored
        self._on_write(array.nbytes)
        return stored

    def _append(self, data) -> None:
        self._file.write(data)
        self._sha.update(data)
        self._size += len(data)

    def close(self) -> tuple[int, str]:
        """Returns the file's size in bytes and its SHA-256."""
        self._file.close()
        return self._size, self._sha.hexdigest()


@dataclass(frozen=True)
class Port:
    """An input or output as the manifest lists it. Symbolic dimensions are strings."""

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    optional: bool = False

    def to_manifest(self, with_optional: bool) -> dict:
        entry = {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}
        return entry | {"optional": self.optional} if with_optional else entry

    def to_onnx(self):
        return helper.make_tensor_value_info(self.name, ONNX_OF_DTYPE[self.dtype], list(self.shape))


class Graph:
    """Collects nodes in execution order. Values are named by their string; every method returns the name it made."""

    def __init__(self, name: str, dtype: str):
        self.name = name
        self.dtype = dtype
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []
        self.files: list[str] = []
        self._nodes: list = []
        self._initializers: dict[str, TensorProto] = {}
        self._constants: dict[tuple, str] = {}
        self._shapes: dict[str, Port] = {}
        self._leaves: list[Callable[[], None]] = []
        self._scope = ""
        self._count: dict[str, int] = {}

    @contextmanager
    def scope(self, name: str):
        """Prefixes the names made inside, for profiles and error messages."""
        outer, self._scope = self._scope, f"{self._scope}{name}."
        yield
        self._scope = outer

    def input(self, name: str, dtype: str, shape: Sequence[Dim], default: np.ndarray | None = None) -> str:
        """Declares an input; with a default the caller may leave it out (an overridable initializer)."""
        self.inputs.append(Port(name, dtype, tuple(shape), default is not None))
        if default is not None:
            self._initializers[name] = onnx.numpy_helper.from_array(default.astype(NUMPY_OF_DTYPE[dtype]), name)
        return name

    def output(self, name: str, dtype: str, shape: Sequence[Dim]) -> str:
        self.outputs.append(Port(name, dtype, tuple(shape)))
        return name

    def const(self, value, dtype: str) -> str:
        """An inline constant; equal constants are stored once."""
        array = np.asarray(value, dtype=NUMPY_OF_DTYPE[dtype])
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"const_{len(self._constants)}"
            self._constants[key] = name
            self._initializers[name] = onnx.numpy_helper.from_array(array, name)
        return self._constants[key]

    def ints(self, *values: int) -> str:
        return self.const(list(values), "i64")

    def weight(self, file: WeightFile, name: str, make: Callable[[], np.ndarray]) -> str:
        """A weight that lives in `file`; `make` is called only if the file does not have it yet."""
        stored = file.add(name, make)
        if name not in self._initializers:
            tensor = TensorProto(name=name, data_type=ONNX_OF_DTYPE[stored.dtype], dims=stored.shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", stored.file), ("offset", stored.offset), ("length", stored.length)):
                tensor.external_data.add(key=key, value=str(value))
            self._initializers[name] = tensor
            if stored.file not in self.files:
                self.files.append(stored.file)
        return name

    def op(self, kind: str, *inputs: str, out: str | None = None, count: int = 1, **attributes):
        """Appends a node and returns its output's name (a list of names if `count` > 1)."""
        stem = f"{self._scope}{kind}"
        serial = self._count[stem] = self._count.get(stem, -1) + 1
        node_name = f"{stem}_{serial}"
        names = [out] if out else [node_name] if count == 1 else [f"{node_name}.{i}" for i in range(count)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=node_name, **attributes))
        return names[0] if count == 1 else names

    def hint(self, value: str, shape: Sequence[Dim], dtype: str | None = None) -> str:
        """Declares the shape of an intermediate value (of the model's dtype unless said otherwise). ONNX Runtime lets a value take over
        the memory of another only where it can prove that they are of one size; with fresh memory for every large value, page faults are
        40 % of a prefill. Shape inference carries the symbols on, so that only values of computed shape need a hint."""
        self._shapes[value] = Port(value, dtype or self.dtype, tuple(shape))
        return value

    def leaf(self, emit: Callable[[], None]) -> None:
        """Defers nodes that only feed a graph output; they are emitted last, the first deferred one at the very end."""
        scope = self._scope

        def in_scope() -> None:
            outer, self._scope = self._scope, scope
            emit()
            self._scope = outer

        self._leaves.append(in_scope)

    def branch(self, condition: str, then: Callable[[], str], otherwise: Callable[[], str], out: str) -> str:
        """An If node: only one of the two branches runs. Both may read any value of the outer graph."""
        bodies = {}
        for key, emit in (("then_branch", then), ("else_branch", otherwise)):
            outer, self._nodes = self._nodes, []
            result = emit()
            value = onnx.ValueInfoProto(name=result)
            bodies[key] = helper.make_graph(self._nodes, f"{out}.{key}", [], [value])
            self._nodes = outer
        return self.op("If", condition, out=out, **bodies)

    # Shorthand for the ops used everywhere.

    def cast(self, value: str, dtype: str, out: str | None = None) -> str:
        return self.op("Cast", value, out=out, to=ONNX_OF_DTYPE[dtype])

    def to_model_dtype(self, value: str) -> str:
        return value if self.dtype == "f32" else self.cast(value, self.dtype)

    def to_f32(self, value: str) -> str:
        return value if self.dtype == "f32" else self.cast(value, "f32")

    def dim(self, value: str, axis: int) -> str:
        """The size of one axis as a vector of one element."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def concat(self, *values: str, axis: int, out: str | None = None) -> str:
        return self.op("Concat", *values, out=out, axis=axis)

    def reshape(self, value: str, *dims: int | str, out: str | None = None, hint: Sequence[Dim] | None = None) -> str:
        """Reshapes; each dimension is an int (-1 = the rest) or the name of a vector of one element. `hint` is the result's shape,
        which shape inference cannot know where a dimension is computed."""
        if all(isinstance(d, int) for d in dims):
            shape = self.ints(*dims)
        else:
            shape = self.concat(*(self.ints(d) if isinstance(d, int) else d for d in dims), axis=0)
        name = self.op("Reshape", value, shape, out=out, allowzero=1)
        return self.hint(name, hint) if hint else name

    def f32_output(self, value: str, *dims: int | str, out: str) -> None:
        """Reshapes `value` into a graph output of type f32."""
        if self.dtype == "f32":
            self.reshape(value, *dims, out=out)
        else:
            self.cast(self.reshape(value, *dims), "f32", out=out)

    def _prune(self) -> None:
        """Drops what reaches no output, which ONNX Runtime would compute all the same."""
        wanted = {p.name for p in self.outputs}
        kept = []
        for node in reversed(self._nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted.update(_read_by(node))
        self._nodes = kept[::-1]
        wanted.update(p.name for p in self.inputs)
        made = {name for node in self._nodes for name in node.output}
        self._shapes = {name: port for name, port in self._shapes.items() if name in made}
        self._initializers = {name: tensor for name, tensor in self._initializers.items() if name in wanted}

    def build(self) -> onnx.ModelProto:
        """Emits the leaves and returns the model."""
        for emit in reversed(self._leaves):
            emit()
        self._leaves.clear()
        self._prune()
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [p.to_onnx() for p in self.inputs],
            [p.to_onnx() for p in self.outputs],
            initializer=list(self._initializers.values()),
            value_info=[p.to_onnx() for p in self._shapes.values()],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="vlmscope",
            producer_version=EXPORTER_VERSION,
        )

    def save(self, path: Path) -> None:
        """Writes the graph. Map fields are serialised in a fixed order, so that equal models are equal bytes."""
        path.write_bytes(self.build().SerializeToString(deterministic=True))

    def to_manifest(self, file: str) -> dict:
        return {
            "file": file,
            "data": list(self.files),
            "inputs": [p.to_manifest(True) for p in self.inputs],
            "outputs": [p.to_manifest(False) for p in self.outputs],
        }


def _read_by(node: onnx.NodeProto) -> set[str]:
    """The values that a node reads, those of its branches included."""
    names = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= _read_by(inner)
        names.update(output.name for output in attribute.g.output)
    return names
