"""The decoding processes: one thread here looks after each, feeds it batches, and replaces it when it dies."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future
from queue import SimpleQueue

import numpy as np

from sightbook.errors import SightbookError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.load.child import Child
from sightbook.images.load.loaded import Failed, Loaded
from sightbook.images.load.worker import TICK, TICK_SECONDS, Decoded
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import SECONDS, Guards

Outcome = Loaded | Failed | SourceError
_Task = tuple[list[Entry], Future[list[Outcome]]]
_STARTS = 3


class _Died(Exception):
    """The process ended; the message says how."""


class Crew:
    """`jobs` decoding processes. `submit` a batch, get a future of its outcomes; `close` ends every process."""

    def __init__(self, jobs: int, frame: Frame, guards: Guards) -> None:
        self._frame, self._guards = frame, guards
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closing = False
        self._serving = jobs
        self._alive: set[Process] = set()
        # Daemons: a program that is stopped in mid-air must not wait for them.
        self._threads = [
            threading.Thread(target=self._serve, name=f"sightbook-decode-{n}", daemon=True)
            for n in range(jobs)
        ]
        self._ended = threading.Event()
        self._threads.append(threading.Thread(target=self._watch, name="sightbook-watch", daemon=True))
        for thread in self._threads:
            thread.start()

    def submit(self, entries: list[Entry]) -> Future[list[Outcome]]:
        """One outcome for each entry in order; the list ends early with a SourceError when a source is gone."""
        future: Future[list[Outcome]] = Future()
        self._tasks.put((entries, future))
        return future

    def close(self) -> None:
        """Ends all processes at once; batches in work are dropped."""
        with self._lock:
            self._closing = True
            alive = list(self._alive)
        self._ended.set()
        for process in alive:
            process.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        """Kills a process that has been over one picture for too long; whoever waits for it then knows why."""
        while not self._ended.wait(min(1.0, self._guards.seconds / 4)):
            with self._lock:
                late = [process for process in self._alive if process.is_late]
            for process in late:
                process.kill()

    def _serve(self) -> None:
        process: Process | None = None
        task: _Task | None = None
        try:
            process = self._start()
            while (task := self._tasks.get()) is not None and not self._closing:
                outcomes, process = self._run(process, task[0])
                task[1].set_result(outcomes)
                task = None
        except Exception as error:  # handed to whoever waits for the batch
            self._leave(task, error)
        finally:
            if process is not None:
                self._end(process)

    def _leave(self, task: _Task | None, error: Exception) -> None:
        """Gives up this thread. Without memory for one more process the others go on, with its batch too; the last one
        answers everything that is still asked with the reason."""
        with self._lock:
            self._serving -= 1
            last = self._serving == 0
        if self._closing:
            return
        if task is not None:
            if last or not isinstance(error, SightbookError):
                task[1].set_exception(error)
            else:
                self._tasks.put(task)
        while last and (refused := self._tasks.get()) is not None and not self._closing:
            refused[1].set_exception(error)

    def _run(self, process: Process, entries: list[Entry]) -> tuple[list[Outcome], Process]:
        """The outcomes of a batch, and the process to go on with.

        When the process dies, or is killed because it stands still, its batch is done again one by one, so that only a
        picture that does so by itself is given up, and is named.
        """
        try:
            return process.run(entries), process
        except _Died:
            process = self._replace(process)
        outcomes: list[Outcome] = []
        for entry in entries:
            try:
                outcomes += process.run([entry])
            except _Died as died:
                outcomes.append(Failed(entry, self._reason(process, died)))
                process = self._replace(process)
            if isinstance(outcomes[-1], SourceError):
                break
        return outcomes, process

    def _reason(self, process: Process, died: _Died) -> str:
        if not process.is_late:
            return f"the process decoding it died ({died})"
        return f"reading and decoding it took longer than {self._guards.seconds:g} s ({SECONDS} raises the limit)"

    def _replace(self, dead: Process) -> Process:
        self._end(dead)
        return self._start()

    def _start(self) -> Process:
        for attempt in range(_STARTS):
            with self._lock:
                if self._closing:
                    raise _Died("stopped")
                process = Process(self._frame, self._guards)
                self._alive.add(process)
            try:
                process.greet()
                return process
            except _Died as died:
                self._end(process)
                if attempt == _STARTS - 1:
                    raise SightbookError(
                        f"The processes that decode pictures do not start ({died}): free memory, or run with --jobs 1."
                    ) from died
        raise AssertionError("unreachable")

    def _end(self, process: Process) -> None:
        process.end()
        with self._lock:
            self._alive.discard(process)


class Process:
    """One child process running worker.py."""

    def __init__(self, frame: Frame, guards: Guards) -> None:
        self._settings = (frame, guards)
        self._deadline = math.inf
        self._shape = (-1, frame.size, frame.size, 3)
        try:
            self._child = Child("sightbook.images.load.worker", "main")
        except OSError as error:
            raise SightbookError(
                f"A process that decodes pictures cannot be started ({error.strerror}): run with --jobs 1."
            ) from error

    def greet(self) -> None:
        """Waits until the process is ready."""
        try:
            self._child.tell(self._settings)
            self._child.hear()
        except EOFError as error:
            raise _Died(self.end()) from error

    def run(self, entries: list[Entry]) -> list[Outcome]:
        """The outcomes of a batch; raises _Died when the process ends instead of answering."""
        patience = self._settings[1].seconds + TICK_SECONDS
        try:
            self._deadline = time.monotonic() + patience
            self._child.tell(entries)
            while (received := self._child.hear())[0] == TICK:
                self._deadline = time.monotonic() + patience
            self._deadline = math.inf
        except EOFError as error:
            raise _Died(self.end()) from error
        reply, raw = received
        pixels = np.frombuffer(raw, np.uint8).reshape(self._shape)
        outcomes: list[Outcome] = []
        good = 0
        for entry, answer in zip(entries, reply, strict=False):
            if isinstance(answer, Decoded):
                outcomes.append(Loaded(entry, answer.digest, pixels[good], answer.about))
                good += 1
            elif isinstance(answer, str):
                outcomes.append(Failed(entry, answer))
            else:
                outcomes.append(answer)
        return outcomes

    @property
    def is_late(self) -> bool:
        """Whether it has not answered in time."""
        return time.monotonic() > self._deadline

    def kill(self) -> None:
        """Ends it, from any thread."""
        self._child.kill()

    def end(self) -> str:
        """Ends it, and says how it ended; it may have ended before."""
        return self._child.end()
