"""A program that speaks docs/serve.md wrongly, for the tests of the client: `fake_engine.py FAULT serve --stdio`."""

from __future__ import annotations

import json
import os
import struct
import sys

from backports import zstd

out, into = sys.stdout.buffer, sys.stdin.buffer


def send(header: dict, payload: bytes = b"") -> None:
    encoded = json.dumps(header).encode()
    raw(struct.pack("<II", len(encoded), len(payload)) + encoded + payload)


def raw(data: bytes) -> None:
    out.write(data)
    out.flush()


def receive() -> tuple[dict, bytes]:
    lengths = into.read(8)
    if len(lengths) < 8:
        sys.exit(0)
    header, payload = struct.unpack("<II", lengths)
    return json.loads(into.read(header)), into.read(payload)


def hello(protocol: int = 1) -> dict:
    greeting, _ = receive()
    assert greeting["type"] == "hello" and greeting["protocol"] == 1, greeting
    send({"type": "hello", "id": 0, "protocol": protocol, "version": "fake", "info": {"model": {"name": "fake"}}}, b"{}")
    return greeting


def until(kind: str) -> dict:
    while True:
        header, _ = receive()
        if header["type"] == kind:
            return header


def main() -> None:
    fault = sys.argv[1]
    assert sys.argv[2:4] == ["serve", "--stdio"], sys.argv
    if fault == "prints":
        raw(b"Welcome to gpu-box!\nLast login: Monday\n")
        receive()
    elif fault == "prints-little":
        raw(b"hi\n")
        hello()
    elif fault == "ends":
        print("error: the model is not there\nhint: look elsewhere", file=sys.stderr)
        sys.exit(3)
    elif fault == "newer":
        hello(2)
    elif fault == "older":
        hello(0)
    elif fault == "refuses":
        receive()
        send({"type": "error", "id": 0, "kind": "protocol", "message": "this program is older"})
    else:
        hello()
        number = until("ask")["id"] if fault not in ("picture-twice",) else 0
        answer(fault, number)
    until("bye")


def answer(fault: str, number: int) -> None:
    if fault == "long-header":
        raw(struct.pack("<II", (1 << 20) + 1, 0))
    elif fault == "long-payload":
        raw(struct.pack("<II", 2, (64 << 20) + 1) + b"{}")
    elif fault == "deep":
        header = b'{"type": ' + b"[" * 500_000
        raw(struct.pack("<II", len(header), 0) + header)
    elif fault == "no-json":
        raw(struct.pack("<II", 4, 0) + b"oops")
    elif fault == "no-object":
        raw(struct.pack("<II", 2, 0) + b"[]")
    elif fault == "cut":
        raw(struct.pack("<II", 100, 0) + b'{"type"')
        os._exit(1)
    elif fault == "dies":
        print("out of memory", file=sys.stderr)
        sys.stderr.flush()
        os.kill(os.getpid(), 9)
    elif fault == "zstd":
        send({"type": "done", "id": number, "encoding": "zstd"}, b"not zstd")
    elif fault == "zstd-cut":
        send({"type": "done", "id": number, "encoding": "zstd"}, zstd.compress(bytes(1000))[:-3])
    elif fault == "zstd-long":
        send({"type": "done", "id": number, "encoding": "zstd"}, zstd.compress(bytes((64 << 20) + 1)))
    elif fault == "encoding":
        send({"type": "done", "id": number, "encoding": "rot13"}, b"x")
    elif fault == "done":
        send({"type": "done", "id": number, "trace": 1, "file_bytes": 10, "ranges": [[0, 4], [8, 5]]}, b"123456789")
    elif fault == "no-ranges":
        send({"type": "done", "id": number, "trace": 1})
    elif fault == "no-trace":
        send({"type": "done", "id": number, "trace": 1, "file_bytes": 4, "ranges": [[0, 4]]}, b"1234")
    elif fault == "token":
        send({"type": "token", "id": number, "index": 0})
    elif fault == "short-read":
        send({"type": "done", "id": number, "trace": 1, "file_bytes": 10, "ranges": [[0, 4]]}, b"1234")
        send({"type": "data", "id": until("read")["id"]}, b"12")
    elif fault == "refused":
        send({"type": "error", "id": number, "kind": "request", "message": "the question is empty"})
        number = until("ask")["id"]
        send({"type": "error", "id": number, "kind": "request", "message": "the question is still empty"})
    elif fault == "picture-twice":
        pictures = []
        while len(pictures) < 2:
            header, payload = receive()
            if header["type"] == "picture":
                pictures.append(payload)
            if header["type"] == "ask":
                send({"type": "error", "id": header["id"], "kind": "missing_picture", "message": "it is gone"})
        number = until("ask")["id"]
        send({"type": "error", "id": number, "kind": "request", "message": f"{len(pictures)} pictures, same: {pictures[0] == pictures[1]}"})
    elif fault == "parts":
        # One message in three frames, another between them.
        send({"type": "error", "id": number, "kind": "request", "message": "of three", "more": True}, b"a")
        send({"type": "progress", "id": number, "stage": "decode", "done": 1, "total": 2})
        send({"type": "error", "id": number, "more": True}, b"b")
        send({"type": "error", "id": number}, b"c")
    else:
        raise AssertionError(f"unknown fault {fault}")


main()
