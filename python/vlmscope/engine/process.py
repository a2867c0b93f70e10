"""The child process that holds the model: `vlmscope serve --stdio`, here or behind ssh."""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import re
import select
import shlex
import subprocess
import threading
from collections.abc import Sequence

from ..errors import EngineError, EngineLostError, ShowError
from ..trace.show import find_program
from .frames import FrameReader, Message, pack

#: Last lines of standard error that an error shows.
_SHOWN_LINES = 12
#: Messages that wait to be read; then the engine waits.
_MOST_WAITING = 64
#: Time for a process to end by itself.
_END_SECONDS = 5.0
_SSH = re.compile(r"ssh://(?:(?P<user>[^@/:]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^@/:]+)(?::(?P<port>\d+))?(?P<program>/.*)?")


def command(program: str | None, remote: str | None, arguments: Sequence[str]) -> list[str]:
    """The command that starts the engine.

    Raises EngineError for a `remote` that is neither ssh://[USER@]HOST[:PORT][/PROGRAM] nor exec:PROGRAM ARGUMENTS, or where there is no
    program.
    """
    serve = ["serve", "--stdio", *arguments]
    if remote is None:
        try:
            return [program or find_program(), *serve]
        except ShowError as error:
            raise EngineError(str(error)) from None
    if program is not None:
        raise EngineError("give program= or remote=, not both: ssh://HOST/PATH/TO/vlmscope names the program of another machine")
    if remote.startswith("exec:"):
        try:
            words = shlex.split(remote.removeprefix("exec:"))
        except ValueError as error:
            raise EngineError(f"remote {remote!r} cannot be split into words: {error}") from None
        if not words:
            raise EngineError("remote 'exec:' names no program")
        return [*words, *serve]
    found = _SSH.fullmatch(remote)
    if not found:
        raise EngineError(f"remote {remote!r} is neither ssh://[USER@]HOST[:PORT][/PATH/TO/vlmscope] nor exec:PROGRAM ARGUMENTS")
    host = found["host"].strip("[]")
    target = f"{found['user']}@{host}" if found["user"] else host
    if target.startswith("-") or host.startswith("-"):
        raise EngineError(f"remote {remote!r}: a user or host must not begin with a dash")
    port = ["-p", found["port"]] if found["port"] else []
    there = shlex.join([found["program"] if found["program"] not in (None, "/") else "vlmscope", *serve])
    return [os.environ.get("VLMSCOPE_SSH", "ssh"), "-T", *port, "--", target, there]


class Process:
    """A running engine. Messages are read by a thread, so that waiting for one can be interrupted without losing a part of it."""

    def __init__(self, words: Sequence[str]):
        self.words = list(words)
        try:
            # A session of its own: Ctrl-C in a terminal is for the Python program, which cancels.
            self._child = subprocess.Popen(
                self.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"cannot start {self.words[0]}: {error.strerror or error}") from error
        self._last_lines: collections.deque[str] = collections.deque(maxlen=_SHOWN_LINES)
        self._messages: queue.Queue[Message | Exception | None] = queue.Queue(_MOST_WAITING)
        self._is_over = threading.Event()
        self._reader = FrameReader(self._child.stdout.readinto, self._what_is_there)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read_messages, self._read_lines)]
        for thread in self._threads:
            thread.start()

    @property
    def compression(self) -> list[str]:
        """The encodings of payloads that can be read."""
        return self._reader.compression

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._child.pid

    @property
    def is_over(self) -> bool:
        """Whether it was closed or killed."""
        return self._is_over.is_set()

    def send(self, header: dict, payload: bytes | memoryview = b"") -> None:
        """Writes a message. Raises EngineLostError where nothing reads it."""
        pieces = pack(header, payload)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[self._child.stdin.write(view) :]
        except OSError:
            raise self.lost() from None
        except BaseException:
            # Half a frame would make the next one unreadable.
            self.kill()
            raise

    def receive(self) -> Message:
        """The next message. Raises EngineLostError at the end, FrameError for bytes that are no frame."""
        found = self._messages.get()
        if isinstance(found, Message):
            return found
        self._messages.put(found)  # for whoever asks again
        if found is None:
            raise self.lost()
        self.kill()
        raise found

    def lost(self, why: str = "") -> EngineLostError:
        """The error about a process that ended, with its last lines."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_END_SECONDS)
        self._threads[1].join(_END_SECONDS)
        code = self._child.poll()
        how = why or ("closed its output" if code is None else f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}")
        said = "".join(f"\n  {line}" for line in self._last_lines)
        self.kill()
        return EngineLostError(
            f"the engine ({shlex.join(self.words[:2])} …) {how}" + (f"; it said last:{said}" if said else ".") + "\nAsk again to start a new one."
        )

    def close(self) -> None:
        """Ends the process: its input ends, and it is killed where it goes on."""
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_END_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kills the process if it still runs, and ends the threads."""
        self._is_over.set()
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        current = threading.current_thread()
        for thread in self._threads:
            if thread is not current:
                thread.join(_END_SECONDS)
        if not self._threads[0].is_alive():
            self._child.stdout.close()
        if not self._threads[1].is_alive():
            self._child.stderr.close()

    def _read_messages(self) -> None:
        last: Exception | None = None
        try:
            while (message := self._reader.next()) is not None:
                if not self._put(message):
                    return
        except (OSError, ValueError):
            pass  # closed
        except Exception as error:  # whoever waits for a message must get it
            last = error
        self._put(last)

    def _put(self, message: Message | Exception | None) -> bool:
        while not self._is_over.is_set():
            try:
                self._messages.put(message, timeout=0.2)
                return True
            except queue.Full:
                continue
        # A caller that waits for a message must wake up.
        with contextlib.suppress(queue.Full):
            self._messages.put_nowait(None)
        return False

    def _read_lines(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._child.stderr:
                text = line[:2000].decode(errors="replace").rstrip()
                if text:
                    self._last_lines.append(text)

    def _what_is_there(self) -> bytes:
        """Bytes that come within a moment, for an error that shows them."""
        descriptor = self._child.stdout.fileno()
        ready, _, _ = select.select([descriptor], [], [], 0.2)
        return os.read(descriptor, 512) if ready else b""
