"""`Engine`: a model in a process of its own that answers questions."""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import EngineError, EngineLostError
from ..trace import Trace
from . import traces
from .frames import Message
from .pictures import File
from .process import Process, command

PROTOCOL = 1
#: Pictures that one connection remembers as sent; the server keeps as many.
_MOST_SENT = 256
#: (stage, done, total)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Token:
    """One answer token while it is given."""

    #: from 0
    index: int
    #: the vocabulary's piece; `▁` marks a word start
    text: str
    id: int
    #: under the model before temperature
    logprob: float
    #: (id, log-probability) of the likeliest tokens, best first
    topk: list[tuple[int, float]]
    #: the answer so far, in whole characters
    answer: str
    #: attention of the position that predicted the token, [L, H, keys] float32; None unless `pages=True`
    attention: np.ndarray | None = None


class Engine:
    """A loaded model in a child process, `vlmscope serve --stdio`, here or on another machine.

    The process starts with the first request, and again after it was lost. One request runs at a time; an engine is for one thread.

        with vlmscope.Engine() as engine:                       # the built-in model
            trace = engine.ask("cat.jpg", "What is on the left?")
            for token in engine.stream("cat.jpg", "Is there a fox?"):
                print(token.text)
    """

    def __init__(
        self,
        bundle: Any = None,
        *,
        program: str | None = None,
        remote: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        runtime: str | None = None,
        progress: Progress | None = None,
    ):
        """
        `bundle`: folder of a model that onnx/export.py wrote, on the machine where the model runs; None: the built-in model.
        `program`: path of the vlmscope program; None: VLMSCOPE_PROGRAM, the one of the installed wheel, or the one on the PATH.
        `remote`: ssh://[USER@]HOST[:PORT][/PATH/TO/vlmscope] or exec:PROGRAM ARGUMENTS, as for `vlmscope --remote`.
        `device`: auto, cpu or cuda. `threads`: threads of one operator; None: all cores. `runtime`: ONNX Runtime's library.
        `progress`: a function of (stage, done, total), called while the model is loaded and while it answers.

        Raises EngineError where `remote` cannot be used or there is no program.
        """
        arguments = []
        named = {"--model": bundle, "--device": device, "--threads": threads, "--ort-lib": runtime}
        for flag, value in named.items():
            if value is not None and (flag, value) != ("--device", "auto"):
                arguments += [flag, str(value)]
        self._words = command(program, remote, arguments)
        self._progress = progress
        self._process: Process | None = None
        self._next_id = 1
        self._sent: dict[str, None] = {}
        #: Numbers that the running process has for traces.
        self._numbers: weakref.WeakKeyDictionary[Trace, int] = weakref.WeakKeyDictionary()
        self._stream: weakref.ref[Stream] | None = None
        self._info: dict[str, Any] = {}

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            with contextlib.suppress(Exception):
                process.kill()

    @property
    def info(self) -> dict[str, Any]:
        """The model, its device and its runtime as the engine describes them; starts the process if it does not run."""
        self._started()
        return self._info

    @property
    def pid(self) -> int | None:
        """Number of the running process on this machine; None where there is none."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """Ends the process. A later request starts a new one."""
        stream = self._stream and self._stream()
        if stream is not None:
            stream.close()
        process, self._process = self._process, None
        self._stream = None
        if process is not None:
            process.close()

    def ask(
        self,
        picture: Any,
        question: str,
        *,
        answer: str | None = None,
        turns: Iterable[tuple[str, str]] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 32,
        seed: int = 0,
        topk: int = 10,
        rows: str = "text",
        vision: bool = False,
        preprocess: str = "default",
        interventions: dict[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Trace:
        """The trace of one answered question.

        `picture`: a path, the bytes of a file, a PIL image, an array [H, W, 3] of uint8, or None. `answer`: scores this answer in one
        forward pass instead of generating one. `turns`: (question, answer) pairs before the question. `rows`: "text" keeps the rows
        behind the picture, "all" every position. `vision`: also keeps the tower's attention. `preprocess`: default, resize or pad.
        `interventions`: changes inside the model, with the names of docs/serve.md.

        Raises EngineError where the question or the picture cannot be used, EngineLostError where the process ended.
        KeyboardInterrupt cancels the answer; the engine can be used afterwards.
        """
        stream = self.stream(
            picture,
            question,
            answer=answer,
            turns=turns,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=max_new_tokens,
            seed=seed,
            topk=topk,
            rows=rows,
            vision=vision,
            preprocess=preprocess,
            interventions=interventions,
            progress=progress,
        )
        with stream:
            for _ in stream:
                pass
            return stream.trace

    def stream(
        self,
        picture: Any,
        question: str,
        *,
        answer: str | None = None,
        turns: Iterable[tuple[str, str]] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 32,
        seed: int = 0,
        topk: int = 10,
        rows: str = "text",
        vision: bool = False,
        preprocess: str = "default",
        interventions: dict[str, Any] | None = None,
        pages: bool = False,
        progress: Progress | None = None,
    ) -> Stream:
        """As `ask`, token by token: an iterator of `Token` whose `trace` is there when it has ended.

        `pages`: each token brings its attention. Leaving the loop, `close()` or an exception cancels the answer.
        """
        request: dict[str, Any] = {
            "question": question,
            "turns": [{"question": asked, "answer": given} for asked, given in turns],
            "options": {
                "sampling": {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens, "seed": seed},
                "answer": answer,
                "rows": rows,
                "vision_attention": vision,
                "preprocess": preprocess,
                "topk": topk,
                "interventions": interventions or {},
            },
        }
        file = None if picture is None else File.of(picture)
        if file is not None:
            request["picture"] = {"sha256": file.sha256, "name": file.name}
        header = {"type": "ask", "request": request, "pages": "all" if pages else "none"}
        return Stream(self, header, file, progress or self._progress)

    def relevancy(
        self,
        trace: Trace,
        methods: Sequence[str] = ("llm",),
        *,
        tokens: Sequence[int] = (),
        memory_gb: float | None = None,
        progress: Progress | None = None,
    ) -> Trace:
        """A trace with relevancy maps by gradients added; the given one stays as it is.

        `trace`: an answer of this model, from any engine. `methods`: names of docs/methods.md that need gradients. `tokens`: answer tokens;
        empty: all. `memory_gb`: limit; None: the free memory.

        Raises as `ask`, and EngineError with the kind `memory` where the limit is too low.
        """
        budget = None if memory_gb is None else int(memory_gb * 1e9)
        header = {"type": "relevancy", "methods": list(methods), "tokens": list(map(int, tokens)), "memory_budget": budget}
        result = self._on_trace(trace, header, progress)
        before, took = trace.meta.timings, result.header.get("timings") or {}
        timings = {**before, "relevancy": before.get("relevancy", 0.0) + float(took.get("total_s", 0.0))}
        named = {**trace.tensors, **traces.tensors_of(result.header, bytes(result.payload))}
        return Trace(replace(trace.meta, timings=timings), named)

    def forget(self) -> None:
        """Discards what is kept for the next question (the picture's features, the prefix)."""
        self._request({"type": "forget"})

    # Requests

    def _started(self) -> Process:
        """The running process, started and greeted if there is none."""
        if self._process is not None:
            return self._process
        process = Process(self._words)
        try:
            self._greet(process)
        except BaseException:
            process.kill()
            raise
        self._process = process
        self._sent.clear()
        self._numbers = weakref.WeakKeyDictionary()
        return process

    def _greet(self, process: Process) -> None:
        from .. import __version__

        hello = {"type": "hello", "id": 0, "protocol": PROTOCOL, "client": f"vlmscope for Python {__version__}"}
        process.send({**hello, "compression": process.compression})
        while True:
            message = process.receive()
            if message.type == "progress":
                self._report(self._progress, message)
            elif message.type == "error":
                raise _error(message)
            elif message.type == "hello":
                break
        theirs = message.header.get("protocol")
        if theirs != PROTOCOL:
            older = "this package" if isinstance(theirs, int) and theirs > PROTOCOL else "the vlmscope program"
            raise EngineError(f"the engine speaks protocol {theirs}, this package {PROTOCOL}: {older} is older; update it", "protocol")
        self._info = message.header.get("info") or {}

    def _send(self, header: dict[str, Any], payload: bytes | memoryview = b"") -> int:
        """Sends a request; returns its id."""
        process = self._started()
        number, self._next_id = self._next_id, self._next_id + 1
        try:
            process.send({"type": header["type"], "id": number, **header}, payload)
        except EngineLostError:
            self._process = None
            raise
        except BaseException:
            if process.is_over:
                self._process = None
            raise
        return number

    def _receive(self, number: int) -> Message:
        """The next message of a request; what is left of earlier ones is passed over."""
        process = self._process
        if process is None:
            raise EngineLostError("the engine was closed while it answered", "lost")
        try:
            while True:
                message = process.receive()
                if message.id == number:
                    return message
                if message.type == "error" and message.id < 0:
                    raise _error(message)
        except EngineError:
            self._process = None
            process.kill()
            raise

    def _send_picture(self, file: File) -> None:
        if self._process is not None and file.sha256 in self._sent:
            return
        self._send({"type": "picture", "sha256": file.sha256, "name": file.name}, file.data)
        self._sent[file.sha256] = None
        while len(self._sent) > _MOST_SENT:
            del self._sent[next(iter(self._sent))]

    def _request(self, header: dict[str, Any], payload: bytes | memoryview = b"", progress: Progress | None = None) -> Message:
        """Sends a request and waits for its end; KeyboardInterrupt cancels it."""
        self._check_free()
        number = self._send(header, payload)
        try:
            while True:
                message = self._receive(number)
                if message.type == "error":
                    raise _error(message)
                if message.type == "progress":
                    self._report(progress or self._progress, message)
                elif message.type in ("result", "data", "done"):
                    return message
        except EngineError:
            raise
        except BaseException:
            self._cancel(number)
            raise

    def _on_trace(self, trace: Trace, header: dict[str, Any], progress: Progress | None) -> Message:
        """A request about a trace, which is sent if the engine does not have it."""
        if not isinstance(trace, Trace):
            raise EngineError(f"the trace is of type {type(trace).__name__}; give a vlmscope.Trace, for example of ask() or open()")
        self._started()
        for attempt in range(2):
            if trace not in self._numbers:
                uploaded = self._request({"type": "trace"}, traces.file_of(trace))
                self._numbers[trace] = uploaded.header["trace"]
            try:
                return self._request({**header, "trace": self._numbers[trace]}, progress=progress)
            except EngineError as error:
                self._numbers.pop(trace, None)
                if error.kind != "missing_trace" or attempt:
                    raise
        raise AssertionError("the loop returns or raises")

    def _cancel(self, number: int) -> None:
        """Asks the engine to end a request and waits until it has."""
        with contextlib.suppress(EngineError):
            self._send({"type": "cancel", "request": number})
            while self._receive(number).type not in ("done", "error", "result", "data"):
                pass

    def _check_free(self) -> None:
        stream = self._stream and self._stream()
        if stream is not None and not stream.is_over:
            raise EngineError("the engine is still answering: close() the stream first, or read it to its end")

    @staticmethod
    def _report(progress: Progress | None, message: Message) -> None:
        if progress is not None:
            progress(*(message.header.get(name, 0) for name in ("stage", "done", "total")))


class Stream(Iterator[Token]):
    """The tokens of one answer as they come. `trace` is the whole answer once they have ended."""

    def __init__(self, engine: Engine, header: dict[str, Any], file: File | None, progress: Progress | None):
        engine._check_free()
        self._engine, self._header, self._file, self._progress = engine, header, file, progress
        self._number: int | None = None
        self._again = True
        self._trace: Trace | None = None
        #: layers, heads and attention scale, for the weights that tokens bring
        self._shape: tuple[int, int, float] | None = None
        self.is_over = False
        #: notices of the engine about this question, for example that a part of the picture is cropped away
        self.notices: list[str] = []
        engine._stream = weakref.ref(self)
        self._begin()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "is_over", True):
            with contextlib.suppress(Exception):
                self.close()

    @property
    def trace(self) -> Trace:
        """The whole answer. Raises EngineError before its end, and after it was cancelled."""
        if self._trace is None:
            raise EngineError("the answer has not ended: read the stream to its end first")
        return self._trace

    def close(self) -> None:
        """Cancels the answer, if it has not ended."""
        if self.is_over:
            return
        self.is_over = True
        if self._number is not None:
            self._engine._cancel(self._number)

    def _begin(self) -> None:
        try:
            if self._file is not None:
                self._engine._send_picture(self._file)
            self._number = self._engine._send(self._header)
        except BaseException:
            self.is_over = True
            raise

    def __next__(self) -> Token:
        while not self.is_over:
            try:
                token = self._step()
            except EngineError:
                self.is_over = True
                raise
            except BaseException:
                self.close()
                raise
            if token is not None:
                return token
        raise StopIteration

    def _step(self) -> Token | None:
        message = self._engine._receive(self._number)
        if message.type == "token":
            return _token(message, self._shape)
        if message.type == "prompt":
            self._shape = _shape(message)
        elif message.type == "progress":
            self._engine._report(self._progress, message)
        elif message.type == "notice":
            self.notices.append(_notice(message))
        elif message.type == "done":
            self._end(message)
        elif message.type == "error":
            error = _error(message)
            if error.kind != "missing_picture" or self._file is None or not self._again:
                raise error
            self._again = False
            self._engine._sent.pop(self._file.sha256, None)
            self._begin()
        return None

    def _end(self, done: Message) -> None:
        self.is_over = True
        number = done.header.get("trace")

        def read(start: int, length: int) -> bytes:
            return self._engine._request({"type": "read", "trace": number, "start": start, "length": length}).payload

        self._trace = traces.assemble(done.header, done.payload, read)
        self._engine._numbers[self._trace] = number


def _shape(prompt: Message) -> tuple[int, int, float]:
    """Layers with attention, heads and attention scale, from the metadata of the trace so far."""
    try:
        meta = json.loads(bytes(prompt.payload[: int(prompt.header["meta_bytes"])]))
        model = meta["model"]
        layers = len(model.get("attention_layers") or range(model["layers"]))
        return layers, int(model["heads"]), float(meta["attention_scale"])
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"the engine's `prompt` cannot be read: {error!r}") from None


def _token(message: Message, shape: tuple[int, int, float] | None) -> Token:
    header, attention = message.header, None
    try:
        if header.get("maps") == "all" and shape is not None:
            layers, heads, scale = shape
            # Five statistics of four bytes lie before the weights.
            keys, start = int(header["keys"]), layers * heads * 20
            weights = np.frombuffer(message.payload, np.float16, layers * heads * keys, start).astype(np.float32)
            attention = weights.reshape(layers, heads, keys) / np.float32(scale)
        token = header["token"]
        topk = [(int(id_), _number(logprob)) for id_, logprob in header["topk"]]
        return Token(
            int(header["index"]), str(token["text"]), int(token["id"]), _number(header["logprob"]), topk, str(header["text"]), attention
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"the engine's `token` cannot be read: {error!r}") from None


def _notice(message: Message) -> str:
    share = message.header.get("cropped")
    if share is None:
        return str(message.header.get("text", ""))
    return f"the model sees only the middle {share:.1%} of this picture; to show it the whole picture, ask with preprocess='pad' or 'resize'"


def _number(value: Any) -> float:
    """A number of JSON, which has none for NaN."""
    return float("nan") if value is None else float(value)


def _error(message: Message) -> EngineError:
    return EngineError(str(message.header.get("message", "the engine gave no reason")), str(message.header.get("kind", "")))
