"""How well a written text answers: a score in [0, 1] per example, by the metric's name."""

import re
from collections.abc import Callable

_NOT_WORDS = re.compile(r"[\W_]+")


def exact_match(written: str, target: str) -> float:
    """1 where both say the same, apart from case, punctuation and spacing."""
    return float(normal(written) == normal(target))


def normal(text: str) -> str:
    """A text without case, punctuation and spacing."""
    return _NOT_WORDS.sub(" ", text.casefold()).strip()


METRICS: dict[str, Callable[[str, str], float]] = {"exact_match": exact_match}
