"""What edits cost a task: accuracy, and skill neurons, averaged over the doses; in words, too."""

import math
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.markdown import plain
from core.base.specs import key
from core.figures.queries import rights
from core.figures.robustness.dose import Sweeps, shared_draws
from core.figures.words import MINUS, each
from core.measures.sweeps import DoseSweep
from core.stats.intervals import redrawn
from core.store import Store

Array = npt.NDArray[np.float64]
COLUMNS = (
    "backbone versus lost low high neurons neurons_low neurons_high n seeds splits doses".split()  # noqa: SIM905
)


def costs(
    store: Store, sweeps: Sweeps, pairs: Collection[tuple[str, str]], fraction: float
) -> pd.DataFrame:
    """One row per pair (`versus`, `backbone`) that is there, else one per backbone (`versus` is
    empty), as far as all doses are stored.

    lost: accuracy on clean texts minus its mean over the attacked doses, with its 95% interval (low
    to high: examples and seeds redrawn); of a pair, the other's less the backbone's, so that above
    0 the backbone loses less: both answer the same examples, drawn jointly, and their prompts are
    unrelated, drawn independently. neurons: the share of skill neurons found again in other clean
    texts minus that in attacked ones, mean over doses and splits, and its range over the splits
    (which a pair shares); NaN until they have been compared.
    """
    asked = (_cost(store, name, sweep, fraction) for name, sweep in sweeps.items())
    found = {cost.backbone: cost for cost in asked if cost is not None}
    shown = [pair for pair in pairs if {*pair} <= found.keys()]
    rows = [_row(found[b], found[a]) for a, b in shown] or [_row(c) for c in found.values()]
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cost:
    """What edits cost one backbone, mean over the attacked doses."""

    backbone: str
    lost: Array  # accuracy, `[seed example]`
    neurons: Array  # share of skill neurons found again, `[split]`; empty until compared
    doses: int

    def draws(self) -> Array:
        """The accuracy lost, by examples and seeds that are redrawn; the examples are the same for
        all backbones.
        """
        return redrawn(self.lost, prompts=zlib.crc32(self.backbone.encode()))


def _cost(store: Store, backbone: str, sweep: DoseSweep, fraction: float) -> _Cost | None:
    """None until clean texts and every dose have been evaluated."""
    right = rights(store, sweep.evaluations)
    struck = [dose for dose in sweep.evaluations if dose]
    if not struck or len(right) < len(sweep.evaluations):
        return None
    specs = [sweep.stability["skill"][dose] for dose in struck]
    found = shared_draws(store, specs, fraction)
    compared = [found[key(spec)] for spec in specs if key(spec) in found]
    neurons = [d.share[d.kind == "control"] - d.share[d.kind == "crossed"] for d in compared]
    return _Cost(
        backbone=backbone,
        lost=right[0][0] - np.mean([right[dose][0] for dose in struck], axis=0),
        neurons=np.mean(neurons, axis=0) if len(neurons) == len(specs) else np.empty(0),
        doses=len(struck),
    )


def _row(of: _Cost, versus: _Cost | None = None) -> dict[str, Any]:
    lost, draws, neurons = float(of.lost.mean()), of.draws(), of.neurons
    if versus is not None:
        lost, draws = float(versus.lost.mean()) - lost, versus.draws() - draws
        both = versus.neurons.shape == neurons.shape
        neurons = versus.neurons - neurons if both else np.empty(0)
    low, high = np.quantile(draws, [0.025, 0.975])
    known = neurons if neurons.size else np.full(1, math.nan)
    return {
        "backbone": of.backbone, "versus": "" if versus is None else versus.backbone,
        "lost": lost, "low": float(low), "high": float(high),
        "neurons": float(known.mean()), "neurons_low": float(known.min()),
        "neurons_high": float(known.max()),
        "n": of.lost.shape[1], "seeds": of.lost.shape[0], "splits": neurons.size,
        "doses": of.doses,
    }  # fmt: skip


def sentence(found: pd.DataFrame, edits: str) -> str:
    """What `costs` found, in Markdown; empty where there is nothing yet. `edits` begins it
    with what each number is a mean of, such as "Over 1 to 5 typos per text".
    """
    if found.empty:
        return ""
    rows: list[Any] = list(found.itertuples())
    text = f"**{edits}, {'; '.join(map(_accuracy, rows))}."
    known = [row for row in rows if not math.isnan(row.neurons)]
    if not known:
        return f"{text}**"
    found_again = dict[str, list[str]]()
    for row in known:
        found_again.setdefault(_compared(row), []).append(row.backbone)
    return f"{text} {each(found_again, alone=len(known) == len(rows))}.**"


def numbers(found: pd.DataFrame) -> str:
    """The numbers behind the unclear accuracies and the skill neurons of `sentence`, in points."""
    rows: list[Any] = list(found.itertuples())
    parts = [
        f"{plain(row.backbone)} minus {plain(row.versus)} {_number(row.lost)} "
        f"({_ends(row.low, row.high)})"
        for row in rows
        if row.versus and row.low <= 0 <= row.high
    ]
    neurons = [_neurons(row) for row in rows if not math.isnan(row.neurons)]
    return " ".join(
        f"{what}, in points: {'; '.join(said)}."
        for what, said in (("Accuracy kept", parts), ("Skill neurons found again", neurons))
        if said
    )


def _accuracy(row: Any) -> str:
    """The accuracy that a backbone loses, alone or against another."""
    backbone, versus = plain(row.backbone), plain(row.versus)
    if not versus:
        return (
            f"{backbone} loses {_number(row.lost)} points of accuracy ({_ends(row.low, row.high)})"
        )
    if row.low <= 0 <= row.high:
        return f"{backbone} and {versus} do not differ clearly in lost accuracy"
    how, sign = ("fewer", 1) if row.lost > 0 else ("more", -1)
    interval = _ends(*sorted((sign * row.low, sign * row.high)))
    lost = f"{_number(sign * row.lost)} {how} points of accuracy"
    return f"{backbone} loses {lost} than {versus} ({interval})"


def _compared(row: Any) -> str:
    """Whether more skill neurons are found again: than by the other backbone, or in clean texts."""
    sign = 1 if row.versus else -1
    low, high = sorted((sign * row.neurons_low, sign * row.neurons_high))
    if low <= 0 <= high:
        return "On this task alone, the skill neurons found again do not differ clearly"
    more = "More" if low > 0 else "Fewer"
    than = f"by {plain(row.versus)}" if row.versus else "in other clean texts"
    return f"{more} skill neurons are found again than {than}"


def _neurons(row: Any) -> str:
    """How many more skill neurons are found again than by the other backbone, or in clean texts."""
    sign = 1 if row.versus else -1
    interval = _ends(*sorted((sign * row.neurons_low, sign * row.neurons_high)))
    of = f"minus {plain(row.versus)}" if row.versus else "attacked minus clean"
    return f"{plain(row.backbone)} {of} {_number(sign * row.neurons)} ({interval})"


def _ends(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}"


def _number(share: float) -> str:
    return f"{100 * share:z.1f}".replace("-", MINUS)
