"""A child process of this program, and how parent and child speak: over the pipes of its standard input and output.

It is a plain child process, not one of `multiprocessing`: it starts in the time of importing Pillow and NumPy, needs no
`__main__` guard, never imports the user's program, and when its parent is gone, however that died, its input ends and
so does it. Only the parent, the same program, writes to its input.

A message is two lengths (8 bytes each), a pickle, and raw bytes that may follow it (pixels).
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_LENGTHS = struct.Struct("<QQ")
_WINDOWS = sys.platform == "win32"
_NEW_PROCESS_GROUP = 0x200  # subprocess.CREATE_NEW_PROCESS_GROUP, a name that exists on Windows only
_PIPE_BYTES = 1 << 20


class Child:
    """A process that runs the function `main` of a module. OSError when it cannot be started, EOFError when it ended
    before it heard or answered."""

    def __init__(self, module: str, main: str) -> None:
        run = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import {main} as main; main()"
        found = [each for each in sys.path if isinstance(each, str)]  # Python passes over anything else
        self._process = subprocess.Popen(
            [sys.executable, "-c", run, json.dumps(found)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A group of its own: Ctrl-C at the terminal reaches the parent alone, which then ends its children.
            process_group=None if _WINDOWS else 0,
            creationflags=_NEW_PROCESS_GROUP if _WINDOWS else 0,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        _widen(self._from.fileno())

    @property
    def is_alive(self) -> bool:
        """Whether it runs; somebody may have ended it while it waited."""
        return self._process.poll() is None

    def tell(self, message: object) -> None:
        """Sends it one message."""
        try:
            send(self._to, message)
        except OSError as error:
            raise EOFError from error

    def hear(self) -> tuple[Any, bytearray]:
        """Its next message, and the raw bytes after it."""
        return receive(self._from)

    def kill(self) -> None:
        """Ends it, from any thread; who waits for it hears of it."""
        with suppress(OSError):
            self._process.kill()

    def end(self) -> str:
        """Ends it and what is open to it, and says how it ended."""
        self.kill()
        code = self._process.wait()
        for stream in (self._to, self._from):
            with suppress(OSError):  # what was still to be written has no reader
                stream.close()
        if code >= 0:
            return f"exit {code}"
        with suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"


def _widen(pipe: int) -> None:
    """Lets a pipe hold more (Linux), so that pixels come in few reads; only speed hangs on it."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # the user's allowance of pipe memory is spent
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def send(stream: IO[bytes], message: object, raw: NDArray[np.uint8] | None = None) -> None:
    """Writes one message, `raw` (contiguous) after its pickle."""
    pickled = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTHS.pack(len(pickled), 0 if raw is None else raw.nbytes))
    stream.write(pickled)
    if raw is not None and raw.nbytes:
        stream.write(raw.reshape(-1).data)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Any, bytearray]:
    """Reads one message; raises EOFError when the other side is gone."""
    head = stream.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        raise EOFError
    pickled_length, raw_length = _LENGTHS.unpack(head)
    pickled = stream.read(pickled_length)
    raw = bytearray(raw_length)
    if len(pickled) < pickled_length or (raw_length and _fill(stream, raw) < raw_length):
        raise EOFError
    return pickle.loads(pickled), raw


def _fill(stream: IO[bytes], raw: bytearray) -> int:
    """Fills `raw` without a copy in between; the number of bytes that came."""
    view, done = memoryview(raw), 0
    while done < len(raw):
        count: int = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            break
        done += count
    return done


def channel() -> tuple[IO[bytes], IO[bytes]]:
    """Where a process hears and answers. The real standard output is kept for messages; whatever a C library prints
    there goes to standard error."""
    outward = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(_standard_error(), sys.stdout.fileno())
    return sys.stdin.buffer, outward


def _standard_error() -> int:
    """Where it goes; a program that was started without one has none."""
    return os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else sys.stderr.fileno()
