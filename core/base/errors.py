"""Every error a user can cause, each with one plain sentence.

SkillscopeError
├── BadInput            something the user gave cannot be used: says what, where, what to do
│   ├── NotDownloaded   a model or dataset of the hub is not on this machine
│   ├── UnknownName     no backbone, task or prompt of that name; offers near matches
│   └── BadTask         a task file or its data are wrong
├── Cancelled           the user cancelled a job; nothing half-done was stored
└── StoreBusy           another process owns the cache
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class SkillscopeError(Exception):
    """Root of the errors that pages and the command line show as one sentence."""


class BadInput(SkillscopeError):
    """Something the user gave cannot be used."""


class UnknownName(BadInput):
    """No such backbone, task or prompt."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        options = sorted(known)
        near = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
        known_ones = f" Known: {', '.join(options[:12])}." if options else ""
        hint = f" Did you mean {' or '.join(near)}?" if near else known_ones
        super().__init__(f"There is no {what} called {name!r}.{hint}")


class NotDownloaded(BadInput):
    """Something on the hub is not on this machine, or cannot be fetched."""


class BadTask(BadInput):
    """A task file or the data it points to cannot be used."""


class Cancelled(SkillscopeError):
    """The user cancelled this job."""


class StoreBusy(SkillscopeError):
    """Another process owns the cache file."""


def reason(error: BaseException) -> str:
    """The first line of an error's text, or its kind if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def no_panics(what: str) -> Iterator[None]:
    """A panic of a library in Rust becomes a sentence that begins with `what`.

    Its class is no Exception and cannot be imported, so it is known by its name. Raises: BadInput.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise BadInput(f"{what}: {reason(error).rstrip('.')}.") from error
