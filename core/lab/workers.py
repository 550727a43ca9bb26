"""Long jobs run elsewhere than in a page. A worker knows nothing of questions or figures."""

import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Literal, Protocol

from core.base.errors import Cancelled, SkillscopeError
from core.base.progress import Progress

State = Literal["queued", "running", "done", "failed", "cancelled"]
Job = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a job stands; `error` is a sentence for the user, `detail` a traceback for a bug,
    `expected` how many seconds the whole job was thought to take (None: unknown).
    """

    name: str
    label: str = ""  # what is computed, for those who list jobs
    state: State = "queued"
    done: float = 0.0
    message: str = ""
    started: float = 0.0
    seconds: float = 0.0
    expected: float | None = None
    error: str = ""
    detail: str = ""

    @property
    def active(self) -> bool:
        """Queued or running."""
        return self.state in ("queued", "running")

    @property
    def seconds_left(self) -> float | None:
        """By what was expected at first, and the further the job is, the more by its pace; None
        while neither is known.
        """
        if self.state != "running":
            return None
        left = 1 - self.done
        pace = None if self.done < 0.01 else self.seconds * left / self.done
        if self.expected is None:
            return pace
        thought = self.expected * left
        return thought if pace is None else self.done * pace + left * thought


class Worker(Protocol):
    """Runs jobs by name; a name that is active is not started twice."""

    def submit(self, name: str, job: Job, label: str = "", expected: float | None = None) -> None:
        """Start the job, now or soon; `label` says what it computes, `expected` how many seconds it
        may take.
        """

    def status(self, name: str) -> Status | None:
        """Where the job stands; None if it was never submitted."""

    def jobs(self) -> list[Status]:
        """All jobs of this session, newest last."""

    def cancel(self, name: str) -> None:
        """The job's next progress call raises Cancelled."""


class _Book:
    """The statuses, and one job's life: the part all workers share."""

    def __init__(self) -> None:
        self._statuses: dict[str, Status] = {}
        self._cancelled: dict[str, threading.Event] = {}
        self._guard = threading.Lock()

    def status(self, name: str) -> Status | None:
        """Where the job stands; None if it was never submitted."""
        with self._guard:
            return self._statuses.get(name)

    def jobs(self) -> list[Status]:
        """All jobs of this session, newest last."""
        with self._guard:
            return list(self._statuses.values())

    def cancel(self, name: str) -> None:
        """The job's next progress call raises Cancelled."""
        with self._guard:
            status = self._statuses.get(name)
            if status is None or not status.active:
                return
            self._cancelled[name].set()
            if status.state == "queued":
                self._statuses[name] = replace(status, state="cancelled", message="")

    def _enter(self, name: str, label: str, expected: float | None) -> threading.Event | None:
        """What tells this submission, and no other of its name, that it was cancelled."""
        with self._guard:
            old = self._statuses.get(name)
            if old is not None and old.active and not self._cancelled[name].is_set():
                return None  # a cancelled one that has not noticed yet gives way to a new one
            self._statuses.pop(name, None)
            self._cancelled[name] = threading.Event()
            self._statuses[name] = Status(name=name, label=label or name, expected=expected)
            return self._cancelled[name]

    def _change(self, name: str, mine: threading.Event, **changes: object) -> None:
        with self._guard:
            if self._cancelled[name] is not mine:
                return  # a later submission of this name has taken over
            status = self._statuses[name]
            seconds = time.time() - status.started if status.started else 0.0
            self._statuses[name] = replace(status, seconds=seconds, **changes)  # type: ignore[arg-type]

    def _run(self, name: str, job: Job, cancelled: threading.Event) -> None:
        with self._guard:
            if cancelled.is_set():
                return
            status = self._statuses[name]
            self._statuses[name] = replace(status, state="running", started=time.time())

        def progress(done: float, message: str = "") -> None:
            if cancelled.is_set():
                raise Cancelled("Cancelled.")
            self._change(name, cancelled, done=min(1.0, done), message=message)

        try:
            job(progress)
        except Cancelled:
            self._change(name, cancelled, state="cancelled", message="")
        except SkillscopeError as error:
            self._change(name, cancelled, state="failed", error=str(error))
        except BaseException as error:  # a panic in Rust is no Exception, but a bug like any other
            sentence = f"Something broke: {type(error).__name__}. The details are below."
            self._change(
                name, cancelled, state="failed", error=sentence, detail=traceback.format_exc()
            )
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
                raise
        else:
            self._change(name, cancelled, state="done", done=1.0, message="")


class InlineWorker(_Book):
    """Runs a job at once, in the caller: for the command line and tests."""

    def submit(self, name: str, job: Job, label: str = "", expected: float | None = None) -> None:
        """Returns when the job has ended."""
        if cancelled := self._enter(name, label, expected):
            self._run(name, job, cancelled)


class ThreadWorker(_Book):
    """Runs jobs in background threads, first come, first served.

    The threads are daemons: what is computed is stored point by point, so a server that is told to
    stop need not wait for a sweep.
    """

    def __init__(self, threads: int = 2) -> None:
        super().__init__()
        self._queue: SimpleQueue[tuple[str, Job, threading.Event]] = SimpleQueue()
        for i in range(threads):
            threading.Thread(target=self._work, name=f"skillscope-job-{i}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with suppress(BaseException):  # it is told in the status; what waits must still run
                self._run(*self._queue.get())

    def submit(self, name: str, job: Job, label: str = "", expected: float | None = None) -> None:
        """Returns at once."""
        if cancelled := self._enter(name, label, expected):
            self._queue.put((name, job, cancelled))
