"""How a verb tells how far it is, and learns that it was cancelled."""

from typing import Protocol


class Progress(Protocol):
    """Called now and then with the share done in [0, 1]; raises Cancelled if the user said so."""

    def __call__(self, done: float, message: str = "") -> None: ...


def no_progress(done: float, message: str = "") -> None:
    """For callers that do not watch."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """A progress that runs from `start` to `end` of another."""

    def inner(done: float, message: str = "") -> None:
        progress(start + (end - start) * done, message)

    return inner
