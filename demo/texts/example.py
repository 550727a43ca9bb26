"""One generated sentence (or pair) and its label."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Example:
    """What a generator returns; `kind` names the construction that was used."""

    text_a: str
    text_b: str | None = None
    label: int
    kind: str


Generator = Callable[[random.Random], Example]
