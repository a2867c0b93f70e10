"""`Engine` with the vlmscope program, and with programs that are none.

scripts/test-python names the program in VLMSCOPE_PROGRAM.
"""

from __future__ import annotations

import gc
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import vlmscope
from PIL import Image
from vlmscope.engine import frames, traces
from vlmscope.engine.process import command

SAMPLES = Path(__file__).resolve().parents[2] / "onnx" / "tiny" / "samples"
PICTURES = sorted(SAMPLES.glob("*.png"))
QUESTION = "Where is the balloon?"
FAKE = Path(__file__).parent / "fake_engine.py"


@pytest.fixture(scope="module")
def program() -> str:
    named = os.environ.get("VLMSCOPE_PROGRAM")
    assert named, "VLMSCOPE_PROGRAM must name the vlmscope program; scripts/test-python sets it"
    return named


@pytest.fixture
def engine(program):
    with vlmscope.Engine(program=program) as found:
        yield found


def fake(fault: str) -> vlmscope.Engine:
    return vlmscope.Engine(remote=f"exec:{shlex.join([sys.executable, str(FAKE), fault])}")


def same(one: vlmscope.Trace, other: vlmscope.Trace) -> None:
    """Both have the same answer, tokens and tensors, bit for bit."""
    assert one.answer == other.answer and one.meta.tokens == other.meta.tokens and one.meta.spans == other.meta.spans
    assert sorted(one.tensors) == sorted(other.tensors)
    for name in one.tensors:
        assert one.tensor(name).tobytes() == other.tensor(name).tobytes(), name


def test_an_answer_is_the_one_of_the_command(engine, program, tmp_path):
    path = tmp_path / "a.vlmtrace"
    asked = [program, "ask", str(PICTURES[0]), QUESTION, "--out", str(path), "--no-overlay", "--relevancy", "llm"]
    subprocess.run(asked, check=True, capture_output=True)
    there = vlmscope.open(path)
    trace = engine.ask(PICTURES[0], QUESTION)
    mapped = engine.relevancy(trace)
    same(mapped, there)
    assert "relevancy.llm" not in trace.tensors and mapped.meta.timings["relevancy"] > 0
    assert trace.attention(token=0, layer=2, head=1).shape == (trace.meta.positions,)
    assert engine.info["model"]["layers"] == trace.meta.model.layers
    # The trace is the caller's: it is saved, and outlives the engine.
    engine.close()
    same(vlmscope.open(trace.save(tmp_path / "b.vlmtrace")), trace)
    same(mapped, there)


def test_another_command_may_start_the_engine(program, engine):
    with vlmscope.Engine(remote=f"exec:env A=b {shlex.quote(program)}") as other:
        same(other.ask(PICTURES[0], QUESTION), engine.ask(PICTURES[0], QUESTION))


def test_an_engine_behind_ssh(program, engine, tmp_path, monkeypatch):
    """ssh hands one text to the shell of the other machine."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("VLMSCOPE_SSH", str(ssh))
    there = tmp_path / "a b" / "vlmscope"
    there.parent.mkdir()
    there.symlink_to(program)
    with vlmscope.Engine(remote=f"ssh://ada@gpu-box:22{there}", threads=1) as other:
        same(other.ask(PICTURES[0], QUESTION), engine.ask(PICTURES[0], QUESTION))
    ssh.write_text("#!/bin/sh\necho 'ada@gpu-box: Permission denied (publickey).' >&2\nexit 255\n")
    with vlmscope.Engine(remote="ssh://ada@gpu-box") as other, pytest.raises(vlmscope.EngineLostError, match=r"(?s)exit code 255.*Permission denied"):
        other.ask(PICTURES[0], QUESTION)


def test_tokens_come_one_by_one_with_their_attention(engine):
    stream = engine.stream(PICTURES[0], QUESTION, pages=True, topk=3)
    with pytest.raises(vlmscope.EngineError, match="has not ended"):
        _ = stream.trace
    tokens = list(stream)
    trace = stream.trace
    assert [token.index for token in tokens] == list(range(trace.meta.generated))
    assert [token.text for token in tokens] == trace.answer_tokens
    assert [token.id for token in tokens] == trace.tensor("answer.ids").tolist()
    assert np.allclose([token.logprob for token in tokens], trace.tensor("answer.logprob"))
    assert all(len(token.topk) == 3 and token.topk[0][0] == token.id for token in tokens)
    assert tokens[-1].answer.strip() == trace.answer
    for token in tokens:
        whole = trace.attention(token=token.index)
        keys = token.attention.shape[-1]
        assert np.array_equal(token.attention, whole[..., :keys]) and not whole[..., keys:].any()


def test_payloads_are_compressed_where_both_sides_can(program, engine, monkeypatch):
    seen = []
    real = frames._decompress
    monkeypatch.setattr(frames, "_decompress", lambda module, payload: seen.append(len(payload)) or real(module, payload))
    trace = engine.ask(PICTURES[0], QUESTION)
    assert seen
    with monkeypatch.context() as without, vlmscope.Engine(program=program) as other:
        without.setattr(frames, "zstd", lambda: None)
        count = len(seen)
        same(other.ask(PICTURES[0], QUESTION), trace)
        assert len(seen) == count


def test_a_given_answer_is_scored_and_options_count(engine):
    trace = engine.ask(PICTURES[0], QUESTION, answer="It is a fox.", rows="all", max_new_tokens=4)
    assert trace.answer == "It is a fox." and trace.meta.sampling["forced"]
    assert len(trace.rows) == trace.meta.positions
    short = engine.ask(PICTURES[0], QUESTION, max_new_tokens=2)
    assert short.meta.generated == 2
    warm = [engine.ask(PICTURES[0], QUESTION, temperature=1.0, seed=seed).meta.sampling["seed"] for seed in (1, 2)]
    assert warm == [1, 2]
    talk = engine.ask(PICTURES[0], "And the fox?", turns=[(QUESTION, "The balloon is at the top right.")])
    assert "balloon" in "".join(token.text for token in talk.meta.tokens[: talk.meta.prompt_len])
    layers, heads = trace.meta.model.layers, trace.meta.model.heads
    off = engine.ask(PICTURES[0], QUESTION, answer="It is a fox.", interventions={"head_scale": [0.0] * (layers * heads)})
    assert not np.array_equal(off.tensor("answer.logprob"), trace.tensor("answer.logprob")) and off.meta.provenance["model_changed"]


def test_pictures_are_given_as_files_bytes_images_and_arrays(engine):
    """All are the same pixels, and each is sent once."""
    image = Image.open(PICTURES[0]).convert("RGB")
    sources = [PICTURES[0], str(PICTURES[0]), PICTURES[0].read_bytes(), image, np.asarray(image)]
    answers = [engine.ask(source, QUESTION) for source in sources]
    pixels = [answer.tensor("canvas.0.pixels") for answer in answers]
    assert all(np.array_equal(pixels[0], other) for other in pixels) and len({answer.answer for answer in answers}) == 1
    assert len(engine._sent) == 2, "the file, and the PNG of image and array"
    assert engine.ask(None, QUESTION).meta.spans == []


def test_a_picture_is_sent_once(engine, monkeypatch):
    sent = []
    from vlmscope.engine.process import Process

    real = Process.send

    def send(self, header, payload=b""):
        sent.append((header["type"], len(payload)))
        return real(self, header, payload)

    monkeypatch.setattr(Process, "send", send)
    for question in (QUESTION, "What is this?", QUESTION):
        engine.ask(PICTURES[0], question)
    engine.ask(PICTURES[1], QUESTION)
    pictures = [size for kind, size in sent if kind == "picture"]
    assert pictures == [PICTURES[0].stat().st_size, PICTURES[1].stat().st_size]
    engine.close()
    engine.ask(PICTURES[0], QUESTION)
    assert sum(kind == "picture" for kind, _ in sent) == 3, "a new process has no pictures"


def test_a_stream_that_is_left_is_cancelled(engine):
    process = None
    for token in engine.stream(PICTURES[0], QUESTION):
        process = engine.pid
        assert token.index == 0
        break
    gc.collect()
    stream = engine.stream(PICTURES[0], QUESTION)
    next(stream)
    with pytest.raises(vlmscope.EngineError, match="still answering"):
        engine.ask(PICTURES[0], QUESTION)
    stream.close()
    assert list(stream) == []
    with pytest.raises(vlmscope.EngineError, match="has not ended"):
        _ = stream.trace
    assert engine.ask(PICTURES[0], QUESTION).answer and engine.pid == process, "the same process goes on"


def test_ctrl_c_cancels_and_the_engine_goes_on(engine):
    engine.ask(PICTURES[0], QUESTION)
    process = engine.pid
    long = "The balloon is at the top right. " * 30
    # A shell may have started the tests with the signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        while True:
            trace = engine.ask(PICTURES[0], QUESTION, answer=long)
            engine.relevancy(trace)
    assert engine.ask(PICTURES[0], QUESTION).answer and engine.pid == process


def test_a_killed_process_is_reported_and_replaced(engine):
    first = engine.ask(PICTURES[0], QUESTION)
    process = engine.pid
    stream = engine.stream(PICTURES[0], QUESTION)
    next(stream)
    os.kill(process, signal.SIGKILL)
    with pytest.raises(vlmscope.EngineLostError, match="was killed by signal 9"):
        list(stream)
    again = engine.ask(PICTURES[0], QUESTION)
    assert engine.pid != process and again.answer == first.answer
    # A trace of the old process is sent to the new one.
    assert "relevancy.llm" in engine.relevancy(first).tensors
    # Killed between two requests.
    os.kill(engine.pid, signal.SIGKILL)
    time.sleep(0.2)
    with pytest.raises(vlmscope.EngineLostError):
        engine.ask(PICTURES[0], QUESTION)
    assert engine.ask(PICTURES[0], QUESTION).answer == first.answer


def test_relevancy_of_a_saved_trace(engine, tmp_path):
    path = engine.ask(PICTURES[0], QUESTION).save(tmp_path / "a.vlmtrace")
    found = engine.relevancy(vlmscope.open(path), ["llm"], tokens=[1])
    values = found.tensor("relevancy.llm")
    assert values.shape == (found.meta.generated, found.meta.positions) and np.isfinite(values[1]).all() and values[1].any()
    with pytest.raises(vlmscope.EngineError, match="memory|limit") as caught:
        engine.relevancy(found, ["llm"], memory_gb=1e-6)
    assert caught.value.kind == "memory"


def test_what_cannot_be_used_is_refused_and_the_engine_goes_on(engine, tmp_path):
    for wrong, says in [
        (lambda: engine.ask(tmp_path / "none.png", QUESTION), "cannot read the picture"),
        (lambda: engine.ask(tmp_path, QUESTION), "is no file"),
        (lambda: engine.ask(b"no picture", QUESTION), "picture"),
        (lambda: engine.ask(np.zeros((0, 3, 3), np.uint8), QUESTION), "picture"),
        (lambda: engine.ask(PICTURES[0], QUESTION, temperature=-1), "temperature"),
        (lambda: engine.ask(PICTURES[0], QUESTION, rows="some"), "some"),
        (lambda: engine.ask(PICTURES[0], QUESTION, answer=" "), "answer"),
        (lambda: engine.ask(PICTURES[0], "x " * 20000), "positions|long"),
        (lambda: engine.relevancy(engine.ask(PICTURES[0], QUESTION), ["no-such"]), "no-such"),
    ]:
        with pytest.raises(vlmscope.EngineError, match=says) as caught:
            wrong()
        assert not isinstance(caught.value, vlmscope.EngineLostError)
    assert engine.ask(PICTURES[0], QUESTION).answer


def test_a_missing_model_and_a_missing_program_are_named(program, tmp_path):
    with vlmscope.Engine(tmp_path / "none", program=program) as engine, pytest.raises(vlmscope.EngineError, match="none"):
        engine.ask(None, QUESTION)
    with pytest.raises(vlmscope.EngineError, match="cannot start .*no-program"):
        vlmscope.Engine(program=str(tmp_path / "no-program")).ask(None, QUESTION)


def test_progress_and_notices_are_told(program, tmp_path):
    wide = tmp_path / "wide.png"
    Image.open(PICTURES[0]).convert("RGB").resize((900, 100)).save(wide)
    stages = []
    with vlmscope.Engine(program=program, progress=lambda *one: stages.append(one)) as engine:
        stream = engine.stream(wide, QUESTION)
        list(stream)
    names = [stage for stage, _, _ in stages]
    assert "load" in names and names.index("load") < names.index("prefill") <= names.index("decode")
    assert any("middle" in notice or "crop" in notice for notice in stream.notices), stream.notices


def test_temporary_files_go_with_their_traces(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trace = engine.ask(PICTURES[0], QUESTION)
    assert len(list(tmp_path.iterdir())) == 1
    del trace
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("prints", r"first bytes are no frame of vlmscope: b'Welcome to gpu-box!\\nLast login.*shell profile"),
        ("prints-little", r"first bytes are no frame of vlmscope: b'hi\\n"),
        ("ends", r"(?s)ended with exit code 3; it said last:\n  error: the model is not there\n  hint: look elsewhere"),
        ("newer", "protocol 2, this package 1: this package is older"),
        ("older", "protocol 0, this package 1: the vlmscope program is older"),
        ("refuses", "this program is older"),
        ("long-header", "bytes that are no frame"),
        ("long-payload", "bytes that are no frame"),
        ("no-json", "bytes that are no frame: .*oops"),
        ("deep", r"bytes that are no frame: .*\[\[\["),
        ("no-object", "bytes that are no frame"),
        ("cut", "ended inside of a frame, 93 bytes early"),
        ("dies", r"(?s)was killed by signal 9; it said last:\n  out of memory"),
        ("encoding", "the encoding 'rot13', which was not asked for"),
        ("zstd", "damaged zstd payload"),
        ("zstd-cut", "zstd payload that is cut"),
        ("zstd-long", "larger than 67108864 bytes"),
        ("done", "9 bytes for the ranges"),
        ("no-ranges", "`done` cannot be read"),
        ("no-trace", "damaged answer"),
        ("token", "`token` cannot be read"),
        ("short-read", "2 of 6 bytes"),
        ("refused", "the question is empty"),
        ("picture-twice", "2 pictures, same: True"),
        ("parts", "of three"),
    ],
)
def test_a_program_that_speaks_wrongly_is_named(fault, says):
    with fake(fault) as engine:
        with pytest.raises(vlmscope.EngineError, match=says):
            engine.ask(PICTURES[0], QUESTION)
        if fault == "refused":
            with pytest.raises(vlmscope.EngineError, match="still empty") as caught:
                engine.ask(PICTURES[0], QUESTION)
            assert caught.value.kind == "request"


def test_payloads_of_several_frames_are_cut_and_put_together(monkeypatch):
    monkeypatch.setattr(frames, "MOST_PAYLOAD", 10)
    data = bytes(range(25))
    stream = b"".join(map(bytes, frames.pack({"type": "trace", "id": 4, "name": "a"}, data)))
    view = memoryview(stream)

    def read(into):
        nonlocal view
        count = min(len(into), len(view), 7)
        into[:count] = view[:count]
        view = view[count:]
        return count

    reader = frames.FrameReader(read, lambda: b"")
    message = reader.next()
    assert (message.header["name"], bytes(message.payload)) == ("a", data) and reader.next() is None
    with pytest.raises(vlmscope.EngineError, match="bytes of text"):
        frames.pack({"type": "ask", "id": 1, "question": "x" * (1 << 20)})


def test_incomplete_messages_have_one_limit(monkeypatch):
    monkeypatch.setattr(frames, "MOST_MESSAGE", 100)
    incomplete = b"".join(b"".join(map(bytes, frames.pack({"type": "trace", "id": at, "more": True}, bytes(40)))) for at in range(3))
    stream = io.BytesIO(incomplete)
    with pytest.raises(vlmscope.EngineError, match="without completing one"):
        frames.FrameReader(stream.readinto, lambda: b"").next()


def test_gaps_of_a_file(monkeypatch):
    monkeypatch.setattr(traces, "READ_BYTES", 10)
    assert traces.gaps(40, [(0, 8), (30, 2)]) == [(8, 10), (18, 10), (28, 2), (32, 8)]
    assert traces.gaps(5, [(3, 2), (0, 3)]) == []


@pytest.mark.parametrize(
    ("remote", "words"),
    [
        ("ssh://ada@gpu-box", ["ssh", "-T", "--", "ada@gpu-box", "vlmscope serve --stdio --model '/m/a b'"]),
        ("ssh://gpu-box:2222/opt/v l/vlmscope", ["ssh", "-T", "-p", "2222", "--", "gpu-box", "'/opt/v l/vlmscope' serve --stdio --model '/m/a b'"]),
        ("exec:docker exec -i box vlmscope", ["docker", "exec", "-i", "box", "vlmscope", "serve", "--stdio", "--model", "/m/a b"]),
    ],
)
def test_the_command_of_another_machine(remote, words, monkeypatch):
    monkeypatch.delenv("VLMSCOPE_SSH", raising=False)
    assert command(None, remote, ["--model", "/m/a b"]) == words


@pytest.mark.parametrize("remote", ["gpu-box", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@host", "exec:", "exec:'a", "http://host"])
def test_remotes_that_cannot_be_used_are_refused(remote):
    with pytest.raises(vlmscope.EngineError, match="remote"):
        vlmscope.Engine(remote=remote)


def test_no_program_is_said_at_once(monkeypatch, tmp_path):
    monkeypatch.delenv("VLMSCOPE_PROGRAM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(vlmscope.EngineError, match="was not found"):
        vlmscope.Engine()
    with pytest.raises(vlmscope.EngineError, match="not both"):
        vlmscope.Engine(program="a", remote="ssh://b")


def test_json_of_headers_has_no_numbers_that_are_none():
    with pytest.raises(vlmscope.EngineError, match="not finite"):
        frames.pack({"type": "ask", "id": 1, "temperature": float("nan")})
    assert json.loads(bytes(frames.pack({"type": "a", "id": 1})[0])[8:]) == {"type": "a", "id": 1}


def test_relevancy_of_what_is_no_trace_is_refused():
    engine = vlmscope.Engine(program="vlmscope")
    with pytest.raises(vlmscope.EngineError, match="of type NoneType"):
        engine.relevancy(None)
