"""Which examples change their answer under an attack, and for which backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.figures.playground import votes
from core.measures.evaluation import EvaluationSpec
from core.measures.reading import Play
from core.stats.intervals import mcnemar
from core.stats.neurons import Ranking
from core.store import Store
from core.tasks.data import Examples

HOLDS, FLIPS, WRONG, MENDED = "stays right", "flips", "stays wrong", "becomes right"
STATES = (HOLDS, FLIPS, WRONG, MENDED)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same prompt's questions about clean texts and about the attacked ones."""

    clean: EvaluationSpec
    attacked: EvaluationSpec


def examples(
    store: Store,
    asked: Mapping[str, Pair],
    clean: Examples,
    attacked: Examples,
    labels: Sequence[str],
) -> pd.DataFrame:
    """One row per example that every backbone has answered: example (its row in the split), label,
    text_a, text_b (only of pairs), attacked_a, attacked_b, and for each backbone `NAME clean` and
    `NAME attacked` (the classes answered) and `NAME` (the state: stays right where both answers
    are right, flips where only the clean one is, stays wrong, becomes right). Empty until all are
    stored.
    """
    base = {
        "example": clean.index, "label": [labels[i] for i in clean.labels],
        "text_a": clean.text_a, "attacked_a": attacked.text_a,
    }  # fmt: skip
    if clean.text_b is not None and attacked.text_b is not None:
        base |= {"text_b": clean.text_b, "attacked_b": attacked.text_b}
    table = pd.DataFrame(base)
    for name, pair in asked.items():
        before, after = store.read(pair.clean), store.read(pair.attacked)
        if before is None or after is None:
            return table.iloc[:0]
        both = pd.DataFrame(
            {
                "example": before.index, f"{name} clean": before.predictions,
                f"{name} attacked": after.predictions, name: _states(before.scores, after.scores),
            }
        )  # fmt: skip
        for column in (f"{name} clean", f"{name} attacked"):
            both[column] = [labels[i] for i in both[column]]
        table = table.merge(both, on="example")
    return table


def _states(before: np.ndarray, after: np.ndarray) -> list[str]:
    """The state of each example, from whether its answers are right."""
    return [
        (HOLDS if b else FLIPS) if a else (MENDED if b else WRONG)
        for a, b in zip(before == 1, after == 1, strict=True)
    ]


def states(table: pd.DataFrame, backbones: Sequence[str]) -> pd.DataFrame:
    """How many examples are in each state: backbone, state, examples, share, middle (of the piece
    in a bar of all shares).
    """
    rows = []
    for name in backbones:
        found = table[name].value_counts().reindex(list(STATES), fill_value=0)
        share = found / max(1, len(table))
        middle = share.cumsum() - share / 2
        rows += [
            (name, state, int(found[state]), float(share[state]), float(middle[state]))
            for state in STATES
        ]
    return pd.DataFrame(rows, columns="backbone state examples share middle".split())  # noqa: SIM905


def compared(table: pd.DataFrame, first: str, second: str) -> dict[str, float]:
    """Among the examples that both answer rightly on clean texts: n, those that flip for the first
    only, for the second only, for both, and p (McNemar's exact test of the first two).
    """
    sound = table[table[first].isin((HOLDS, FLIPS)) & table[second].isin((HOLDS, FLIPS))]
    one, other = sound[first] == FLIPS, sound[second] == FLIPS
    only, rest = int((one & ~other).sum()), int((other & ~one).sum())
    return {
        "n": len(sound), "first": only, "second": rest, "both": int((one & other).sum()),
        "p": mcnemar(only, rest),
    }  # fmt: skip


def moved(
    before: Play, after: Play, ranking: Ranking, sides: tuple[str, str], backbone: str
) -> pd.DataFrame:
    """The skill neurons, those first whose activation changes most between two texts; `sides` are
    what the ranking's binary question tells apart (`Task.sides`). Columns: backbone,
    layer, neuron, name, predictivity, baseline, clean and attacked (activations), moved (their
    difference), vote and vote_attacked (the class each predicts), turned (whether these differ).
    """
    keys = ["backbone", "layer", "neuron", "name", "predictivity", "baseline"]
    one, other = (votes(p, ranking, sides, backbone) for p in (before, after))
    table = one[keys].assign(
        clean=one.activation, attacked=other.activation, moved=other.activation - one.activation,
        vote=one.vote, vote_attacked=other.vote, turned=one.vote != other.vote,
    )  # fmt: skip
    order = table.moved.abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
