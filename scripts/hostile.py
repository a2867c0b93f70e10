"""Files of less than a megabyte that ask for as much memory as they can, and the commands that read them (scripts/torture)."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

MOST_BYTES = 1_000_000
# 127.7 megapixels, just below the limit of the program.
SIDE = 11_300
ZEROS = bytes(1 << 20)

Make = Callable[[Path], None]
# Commands that take one trace; {} is its name.
TRACE = [
    "inspect {}",
    "inspect {} --json",
    "diff {0} {0}",
    "diff {0} {0} --align shared",
    "export {} --out x.npy",
    "relevancy {} --methods rollout,heads",
    "walkthrough check {}",
    "pack {} --out x.zip",
    "record {} --out x.gif --size 160x120 --fps 1",
] + [
    f"render {{}} --view {view} --size 640x360 --out x.png"
    for view in ("overlay", "heads", "wall", "layer-head", "token-matrix", "relevancy")
]
WALKTHROUGH = [
    "walkthrough check {}",
    "pack {} --out x.zip",
    "record {} --out x.gif --size 160x120 --fps 1",
]
PICTURE = "ask {} What? --out x.vlmtrace"


def zeros(count: int, form: int = zlib.MAX_WBITS) -> bytes:
    """So many zero bytes, compressed."""
    packer = zlib.compressobj(9, wbits=form)
    parts = [packer.compress(ZEROS[: min(len(ZEROS), count - at)]) for at in range(0, count, len(ZEROS))]
    return b"".join([*parts, packer.flush()])


def png(side: int, depth: int, kind: int, samples: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, 0)
    pixels = zeros(side * (1 + (side * samples * depth + 7) // 8))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(side: int, bits: int, kind: int) -> bytes:
    """RGB in one compressed strip; `kind` is TIFF's SampleFormat."""
    data = zeros(side * side * 3 * bits // 8)
    entries = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 3, 8 + len(data)),
        (259, 3, 1, 8),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (277, 3, 1, 3),
        (278, 4, 1, side),
        (279, 4, 1, len(data)),
        (339, 3, 3, 14 + len(data)),
    ]
    tail = struct.pack("<6H", *[bits] * 3, *[kind] * 3) + struct.pack("<H", len(entries))
    tail += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data) + 12) + data + tail


def bmp() -> bytes:
    """Run-length encoded, and ended at once."""
    info = struct.pack("<IiiHHIIiiII", 40, 32_000, 3_900, 1, 8, 1, 2, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1080, 0, 0, 1078) + info + bytes(1024) + b"\0\1"


def gif() -> bytes:
    size = struct.pack("<HH", 60_000, 2_100)
    frame = b"," + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0" + b"\x02\x02\x4c\x01\0"
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + frame * 20_000 + b";"


class TraceFile:
    """A trace in parts, to be spoiled."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        self.meta = json.loads(header.pop("__metadata__")["vlmtrace"])
        body = data[8 + length :]
        self.tensors = {
            name: (tensor["dtype"], tensor["shape"], body[slice(*tensor["data_offsets"])])
            for name, tensor in header.items()
        }

    def write(self, path: Path) -> None:
        header: dict[str, object] = {"__metadata__": {"vlmtrace": json.dumps(self.meta)}}
        body = b""
        for name, (dtype, shape, data) in self.tensors.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
            body += data
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        path.write_bytes(struct.pack("<Q", len(text)) + text + body)

    def without_rows(self, positions: int) -> None:
        """No attention, on which the sizes of layers, heads and positions depend otherwise."""
        model = self.meta["model"]
        kept = {name: tensor for name, tensor in self.tensors.items() if not name.startswith(("attention", "map"))}
        kept["attention.rows"] = ("I32", [0], b"")
        kept["attention.weights"] = ("F16", [0, model["layers"], model["heads"], positions], b"")
        kept["attention.stats"] = ("F32", [0, model["layers"], model["heads"], 5], b"")
        self.tensors = kept


def traces(fixture: Path) -> Iterator[tuple[str, Make]]:
    def spoiled(change: Callable[[TraceFile], None]) -> Make:
        def make(path: Path) -> None:
            trace = TraceFile(fixture)
            change(trace)
            trace.write(path)

        return make

    def picture(data: bytes) -> Callable[[TraceFile], None]:
        def change(trace: TraceFile) -> None:
            trace.tensors["picture.0.original"] = ("U8", [len(data)], data)
            trace.meta["preprocess"][0]["original_size"] = [SIDE, SIDE]

        return change

    def heads(layers: int, count: int) -> Callable[[TraceFile], None]:
        def change(trace: TraceFile) -> None:
            trace.meta["model"] |= {"layers": layers, "heads": count}
            trace.without_rows(len(trace.meta["tokens"]) - 1)

        return change

    def tokens(trace: TraceFile) -> None:
        more = [{"id": 5, "text": "a", "kind": "question", "turn": 0, "word": 0}] * 10_000
        at = trace.meta["prompt_len"]
        trace.meta["tokens"][at:at] = more
        trace.meta["prompt_len"] = at + len(more)
        trace.without_rows(len(trace.meta["tokens"]) - 1)

    def texts(trace: TraceFile) -> None:
        trace.meta["question"] = trace.meta["answer"] = "why \u0e33\u5e2b " * 20_000
        trace.meta["model"]["name"] = "m" * 100_000

    def pages(trace: TraceFile) -> None:
        for number in range(16):
            trace.tensors[f"s{number}.scale"] = ("F32", [1], struct.pack("<f", 1.0))
            for part in ("rows", "weights", "stats"):
                dtype, shape, data = trace.tensors[f"attention.{part}"]
                trace.tensors[f"s{number}.{part}"] = (dtype, shape, data)

    def canvas(trace: TraceFile) -> None:
        trace.meta["preprocess"][0]["preprocessed_size"] = [2**31 - 1, 2**31 - 1]

    yield "png", spoiled(picture(png(SIDE, 8, 2, 3)))
    yield "png16", spoiled(picture(png(SIDE, 16, 0, 1)))
    yield "layers", spoiled(heads(2**18, 1))
    yield "heads", spoiled(heads(1, 2**18))
    yield "tokens", spoiled(tokens)
    yield "texts", spoiled(texts)
    yield "pages", spoiled(pages)
    yield "canvas", spoiled(canvas)


def walkthroughs() -> Iterator[tuple[str, Make]]:
    def text(steps: str, head: str = 'trace = "small.vlmtrace"\n') -> Make:
        return lambda path: path.write_text(f"version = 1\n{head}{steps}") and None

    wide = "view = { map = { layers = '0-1048570', heads = '0-1048570' } }\n"
    yield "axes", text(f"[[step]]\n{wide}" * 9_000)
    yield "look", text(f"[view.caption]\ntext = '{'w ' * 400_000}'\n" + "[[step]]\n" * 10_000)
    # Thousands of names of one trace.
    spellings = (f"{number:013b}".replace("0", "./").replace("1", "/") for number in range(6_000))
    names = [f"[[step]]\nseconds = 0.1\ntrace = './{way}small.vlmtrace'\n" for way in spellings]
    yield "names", text("".join(names))
    yield "steps", text("[[step]]\ncaption = 'one'\nseconds = 0.1\n" * 10_000)
    yield "captions", text(f"[[step]]\nseconds = 0.1\ncaption = '{'word **x** ' * 900}'\n" * 90)
    views = ("view = 'wall'", "view = 'heads'", "view = 'token-matrix'")
    yield "views", text("".join(f"[[step]]\nseconds = 0.1\nview = {{ {views[at % 3]} }}\n" for at in range(300)))
    yield "nested", text("x = " + "[" * 300_000)
    yield "long", text("[[step]]\nseconds = 3600\n" * 2)


def packs(fixture: Path) -> Iterator[tuple[str, Make]]:
    def make(trace: bytes, count: int) -> Make:
        def write(path: Path) -> None:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as pack:
                steps = "".join(f"[[step]]\nview = {{ trace = 'traces/{at}.vlmtrace' }}\n" for at in range(count))
                pack.writestr("walkthrough.toml", f"version = 1\n{steps}")
                for at in range(count):
                    pack.writestr(f"traces/{at}.vlmtrace", trace)

        return write

    def tokens() -> bytes:
        trace = TraceFile(fixture)
        trace.meta["tokens"] = trace.meta["tokens"][:1] * 700_000
        header = json.dumps({"__metadata__": {"vlmtrace": json.dumps(trace.meta)}}).encode()
        return struct.pack("<Q", len(header)) + header

    yield "metadata", make(tokens(), 4)
    yield "traces", make(fixture.read_bytes(), 15)
    yield "zeros", make(bytes(400 << 20), 1)


def edits() -> Iterator[tuple[str, Make]]:
    def text(size: int, steps: str) -> Make:
        return lambda path: path.write_text(f"version = 1\nsize = [{size}, {size}]\n{steps}") and None

    whole = "{ x = 0.0, y = 0.0, width = 11300.0, height = 11300.0 }"
    area = f"area = {{ outline = {{ shape = 'rectangle', rect = {whole} }} }}"
    for name, step in {
        "stroke": "tool = 'stroke'\npoints = [[0.0, 0.0], [11300.0, 11300.0]]\nbrush = { size = 500.0 }\ncolor = [1, 2, 3]",
        "erase": "tool = 'erase'\npoints = [[0.0, 0.0], [11300.0, 11300.0]]\nbrush = { size = 500.0 }",
        "blur": f"tool = 'fill'\n{area}\nwith = {{ kind = 'blur', sigma = 200.0 }}",
        "surround": f"tool = 'fill'\n{area}\nwith = {{ kind = 'surround' }}",
        "adjust": f"tool = 'adjust'\n{area}\nby = {{ hue = 40.0, contrast = 0.3 }}",
    }.items():
        yield name, text(SIDE, f"[[step]]\n{step}\n")
    points = ",".join(f"[{at % 11_300}.0, {at * 7 % 11_300}.0]" for at in range(50_000))
    yield "points", text(SIDE, f"[[step]]\ntool = 'stroke'\npoints = [{points}]\nbrush = {{ size = 9.0 }}\ncolor = [1, 2, 3]\n")
    yield "steps", text(SIDE, "[[step]]\ntool = 'erase'\npoints = [[5.0, 5.0]]\nbrush = { size = 9.0 }\n" * 9_000)


def states() -> Iterator[tuple[str, Make]]:
    def text(body: str) -> Make:
        return lambda path: path.write_text(body) and None

    for axis in ("layers", "heads"):
        yield f"{axis}", text(f"[map]\n{axis} = '0-4294967295'\n")
    yield "queries", text("[map.queries]\nset = '0-4294967295'\n")
    yield "ranges", text(f"[map]\nlayers = '{'0-1048570,' * 90_000}7'\n")
    yield "many", text(f"[map]\nlayers = '{','.join(map(str, range(0, 280_000, 2)))}'\n")
    yield "caption", text(f"caption = {{ text = '{'w ' * 400_000}' }}\n")
    yield "camera", text("text_scale = 1e30\n[camera]\nzoom = 1e30\n")


def batches() -> Iterator[tuple[str, Make]]:
    def lines(*fields: dict[str, object]) -> Make:
        return lambda path: path.write_text("\n".join(json.dumps(line) for line in fields)) and None

    picture = {"picture": "sample.png"}
    yield "question", lines(picture | {"question": "why " * 200_000})
    yield "turns", lines(picture | {"question": "why?", "turns": [["why?", "so."]] * 40_000})
    yield "answer", lines(picture | {"question": "why?", "answer": "so " * 250_000})


def archives() -> Iterator[tuple[str, Make]]:
    def files(*entries: tuple[str, bytes], size: int | None = None) -> Make:
        def write(path: Path) -> None:
            with tarfile.open(path, "w") as archive:
                for name, data in entries:
                    header = tarfile.TarInfo(name)
                    header.size = len(data)
                    archive.addfile(header, io.BytesIO(data))
            if size is not None:
                whole = bytearray(path.read_bytes())
                whole[124:136] = b"\x80" + size.to_bytes(11, "big")
                whole[148:156] = b" " * 8
                whole[148:156] = b"%06o\0 " % sum(whole[:512])
                path.write_bytes(whole)

        return write

    yield "numbers", files(("1.json", b"[" + b"0," * 480_000 + b"0]"))
    yield "large", files(("1.png", bytes(1000)), size=1 << 60)
    yield "many", files(*((f"1.{at}.txt", b"x" * 4_000) for at in range(200)))


def data_texts() -> Iterator[tuple[str, Make]]:
    yield "quote", lambda path: path.write_bytes(b'picture,question\na.png,"' + b"x" * 990_000) and None
    yield "columns", lambda path: path.write_bytes(b"a," * 240_000 + b"b\n" + b"1," * 240_000 + b"1\n") and None


def data_tables() -> Iterator[tuple[str, Make]]:
    yield "footer", lambda path: path.write_bytes(b"PAR1" + bytes(100) + (2**31 - 1).to_bytes(4, "little") + b"PAR1") and None
    yield "zeros", lambda path: path.write_bytes(b"PAR1" + bytes(990_000) + (900_000).to_bytes(4, "little") + b"PAR1") and None


def tokenizers(bundle: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Fields of tokenizer.json, or the chat template, that a copy of the bundle gets."""
    replace = {"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"}
    pad = {"strategy": {"Fixed": 2_000_000_000}, "direction": "Right", "pad_to_multiple_of": None}
    pad |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"}
    yield "replace", {"normalizer": {"type": "Sequence", "normalizers": [replace] * 10}}
    yield "decoder", {"decoder": {"type": "Sequence", "decoders": [replace] * 10}}
    yield "padding", {"padding": pad}
    yield "charsmap", {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAABhYmM="}}
    deep = "{% set ns=namespace(l=[]) %}{% for i in range(20000) %}{% set ns.l=[ns.l] %}{% endfor %}{{ ns.l }}"
    shared = "{% set ns=namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l=[ns.l,ns.l] %}{% endfor %}{{ ns.l==[ns.l] }}"
    for name, template in {
        "width": "{{ '{:>4000000000}'.format(1) }}",
        "indent": "{{ [[1]]|tojson(indent=2000000000) }}",
        "double": "{% set n=namespace(s='x') %}{% for i in range(60) %}{% set n.s=n.s~n.s %}{% endfor %}{{ n.s|length }}",
        "minus": "{{ " + "-" * 100_000 + "1 }}",
        "deep": deep,
        "shared": shared,
    }.items():
        yield name, {"chat_template": template + "{{ messages[0]['content'] }}"}


def make_bundle(bundle: Path, out: Path, fields: dict[str, object]) -> None:
    import hashlib

    shutil.copytree(bundle, out, copy_function=shutil.copyfile)
    manifest = json.loads((out / "manifest.json").read_text())
    if "chat_template" in fields:
        manifest["prompt"] |= fields
    else:
        tokenizer = json.loads((out / "tokenizer.json").read_text()) | fields
        data = json.dumps(tokenizer).encode()
        (out / "tokenizer.json").write_bytes(data)
        manifest["files"]["tokenizer.json"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (out / "manifest.json").write_text(json.dumps(manifest))


def cases(folder: Path, root: Path, with_pictures: bool) -> list[str]:
    """Makes the files in `folder` and returns the commands, as one line each. Pictures of 128 megapixels take long."""
    fixture = root / "tests/fixtures/traces/format-1.0.vlmtrace"
    shutil.copyfile(fixture, folder / "small.vlmtrace")
    shutil.copyfile(root / "onnx/tiny/samples/shapes.png", folder / "sample.png")
    kinds: list[tuple[str, Iterator[tuple[str, Make]], list[str]]] = [
        ("vlmtrace", traces(fixture), TRACE),
        ("toml", walkthroughs(), WALKTHROUGH),
        ("zip", packs(fixture), WALKTHROUGH),
        ("state.toml", states(), ["render small.vlmtrace --state {} --size 640x360 --out x.png"]),
        ("jsonl", batches(), ["ask --batch {} --out batch --no-overlay"]),
        ("tar", archives(), ["ask --batch {} --table t.parquet"]),
        ("csv", data_texts(), ["ask --batch {} --table t.parquet"]),
        ("parquet", data_tables(), ["ask --batch {} --table t.parquet", "table {} --out x.parquet"]),
    ]
    pictures: dict[str, Callable[[], bytes]] = {
        "grey.png": lambda: png(SIDE, 8, 0, 1),
        "png.png": lambda: png(SIDE, 8, 2, 3),
        "grey16.png": lambda: png(SIDE, 16, 0, 1),
        "rgb16.png": lambda: png(SIDE, 16, 2, 3),
        "rgba16.png": lambda: png(SIDE - 300, 16, 6, 4),
        "bits.png": lambda: png(SIDE, 1, 0, 1),
        "rgb8.tif": lambda: tiff(SIDE, 8, 1),
        "rgb16.tif": lambda: tiff(SIDE, 16, 1),
        "float.tif": lambda: tiff(9_000, 32, 3),
        "run.bmp": bmp,
        "frames.gif": gif,
    }
    if with_pictures:
        edit = ["edit grey.png {} --out x.png", "ask grey.png What? --edit {} --out x.vlmtrace"]
        kinds.append(("edits.toml", edits(), edit))
    commands = []
    for name, make in pictures.items() if with_pictures else ():
        (folder / name).write_bytes(make())
        commands.append(PICTURE.format(name))
    if with_pictures:
        commands += [f"{PICTURE} --preprocess {mode}".format("rgb16.png") for mode in ("pad", "resize")]
    color = f"color=gray:s={SIDE}x{SIDE}"
    jpeg = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", color, "-frames:v", "1", "-q:v", "31", "solid.jpg"]
    if with_pictures and shutil.which("ffmpeg"):
        subprocess.run(jpeg, cwd=folder, check=True)
        commands.append(PICTURE.format("solid.jpg"))
    for ending, files, templates in kinds:
        for name, make in files:
            file = f"{name}.{ending}"
            make(folder / file)
            commands += [template.format(file) for template in templates]
    for seed in sorted((root / "fuzz/seeds/trace").iterdir()):
        shutil.copyfile(seed, folder / seed.name)
        commands += [template.format(seed.name) for template in TRACE]
    bundle = root / "tests/fixtures/bundles/gqa"
    for name, fields in tokenizers(bundle):
        make_bundle(bundle, folder / f"bundle-{name}", fields)
        commands.append(f"ask sample.png What? --model bundle-{name} --out x.vlmtrace")
    for file in folder.iterdir():
        if file.is_file() and file.stat().st_size > MOST_BYTES:
            raise AssertionError(f"{file.name} has {file.stat().st_size} bytes, more than a small file")
    return commands
