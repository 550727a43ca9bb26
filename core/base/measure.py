"""What the lab and the store must know of a measurement: one record each, made in `core/measures`.

A measurement is one file there. It owns its question (a `Spec`) and its answer, and says in a
`Measure` what must be answered first, how it is computed, and how it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from core.base.specs import Spec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Run:
    """How an answer came about."""

    started: str
    seconds: float
    device: str
    versions: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the store. `columns` are SQL; the store itself adds `key`, and `spec` to the main
    table of a measurement, which has one row an answer. `order` sorts exports.
    """

    name: str
    columns: str
    order: str = "key"


@dataclass(frozen=True, kw_only=True, eq=False)
class Artifact:
    """Tensors too big for a table, kept as a safetensors file; the header says what they are."""

    tensors: Mapping[str, Tensor]
    header: Mapping[str, str]


class Stored(Protocol):
    """What the store holds of one answer."""

    key: str

    def rows(self, table: str, columns: str = "*", order: str = "key") -> pd.DataFrame:
        """Its rows of a table; `columns` and `order` are SQL of the measurement's own file."""

    def file(self, kind: str) -> Artifact:
        """Its artifact of a kind. Raises: BadInput if it is gone."""


def _nothing(_: Any) -> tuple[Spec, ...]:
    return ()


def _no_files(_: Any) -> Mapping[str, Artifact]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Whole:
    """How an answer is taken from a more general one: the one for some rows from that for all."""

    question: Callable[[Any], Spec | None]
    part: Callable[[Any, Any, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One kind of question.

    `needs(spec)`: questions that must be answered first. `compute(spec, bench, progress)`: the
    answer, from what the bench offers (`core/measures/bench.py`). `rows(answer)`: its rows by
    table, the main table's first. `artifacts`: their kinds,
    which are folders' names; `files(answer)`: one of each.
    `read(spec, stored)`: what the store gives back, which may be less than was computed. `bounded`:
    kept only while there is room, and never exported.
    """

    spec: type[Spec]
    tables: tuple[Table, ...]
    compute: Callable[[Any, Any, Any], Any]
    rows: Callable[[Any], Mapping[str, pd.DataFrame]]
    read: Callable[[Any, Stored], Any]
    needs: Callable[[Any], tuple[Spec, ...]] = _nothing
    artifacts: tuple[str, ...] = ()
    files: Callable[[Any], Mapping[str, Artifact]] = _no_files
    whole: Whole | None = None
    bounded: bool = False

    @property
    def table(self) -> str:
        """The main table's name."""
        return self.tables[0].name
