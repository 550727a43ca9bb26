"""Accuracy and shared neurons under attacks of more and more edits."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.specs import key
from core.figures.queries import rights
from core.figures.robustness.overlap import permutation_null
from core.measures.evaluation import EvaluationSpec
from core.measures.stability import StabilitySpec
from core.measures.sweeps import DoseSweep
from core.stats.intervals import Estimate, mean_accuracy
from core.store import Store

Sweeps = Mapping[Any, DoseSweep]
"""By backbone, or by what else names a dose-response; a table's `backbone` is that name."""
ACCURACY = "backbone dose accuracy low high n seeds majority accuracy_kept".split()  # noqa: SIM905
OVERLAP = (
    "backbone neurons dose shared low high shuffled p kept splits n seeds".split()  # noqa: SIM905
)


def _stored(store: Store, specs: tuple[EvaluationSpec, ...]) -> pd.DataFrame | None:
    """A row per prompt; None until all are stored."""
    keys = [key(spec) for spec in specs]
    rows = store.frame(
        "SELECT seed, rows, scores FROM evaluation WHERE key IN ? ORDER BY key", [keys]
    )
    return rows if keys and len(rows) == len(set(keys)) else None


def answers(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """One row per backbone, dose, seed and example (its row in the split): right or not."""
    found = list[pd.DataFrame]()
    for backbone, sweep in sweeps.items():
        for dose, specs in sweep.evaluations.items():
            if (rows := _stored(store, specs)) is not None:
                each = rows[["seed", "rows", "scores"]].explode(["rows", "scores"])
                each = each.rename(columns={"rows": "example", "scores": "right"})
                found.append(each.assign(backbone=backbone, dose=dose))
    names = ["backbone", "dose", "seed", "example", "right"]
    table = pd.concat(found)[names] if found else pd.DataFrame(columns=names)
    return table.astype({"right": float}).astype({"right": int}).reset_index(drop=True)


def accuracy(store: Store, sweeps: Sweeps, *, intervals: bool = True) -> pd.DataFrame:
    """One row per backbone and dose: accuracy, low, high (95%, examples and prompts redrawn; NaN
    for attacked texts without `intervals`, which take time), n, seeds, majority, accuracy_kept
    ((accuracy - majority) / (clean - majority), NaN unless the clean accuracy's interval lies above
    the majority class's).
    """
    found = rights(
        store,
        {(b, dose): specs for b, s in sweeps.items() for dose, specs in s.evaluations.items()},
    )
    out = list[dict[str, object]]()
    for backbone, sweep in sweeps.items():
        clean: Estimate | None = None
        for dose in sweep.evaluations:
            if (backbone, dose) not in found:
                continue
            correct, majority = found[backbone, dose]
            value = (
                mean_accuracy(correct) if intervals or dose == 0
                else Estimate(value=float(correct.mean()), low=math.nan, high=math.nan)
            )  # fmt: skip
            clean = value if dose == 0 else clean
            sound = clean is not None and clean.low > majority
            kept = (value.value - majority) / (clean.value - majority) if clean and sound else None
            out.append(
                {
                    "backbone": backbone, "dose": dose, "accuracy": value.value, "low": value.low,
                    "high": value.high, "n": correct.shape[1], "seeds": correct.shape[0],
                    "majority": majority, "accuracy_kept": math.nan if kept is None else kept,
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=ACCURACY)


def at(accuracy: pd.DataFrame, dose: int) -> pd.DataFrame:
    """The rows of `accuracy` at a dose, with clean (accuracy at dose 0) and lost (the difference),
    of the backbones that have both.
    """
    clean = accuracy[accuracy.dose == 0].set_index("backbone").accuracy
    struck = accuracy[(accuracy.dose == dose) & accuracy.backbone.isin(clean.index)]
    found = struck.assign(clean=struck.backbone.map(clean).astype(float))
    return found.assign(lost=found.clean - found.accuracy)


def overlap(store: Store, sweeps: Sweeps, fraction: float) -> pd.DataFrame:
    """Do the neurons of a kind (`skill`, `causal`: `neurons`) stay the same? One row per backbone,
    kind and dose.

    The examples are divided into two disjoint parts, `splits` times. `shared` is the share of one
    clean part's neurons that are also the other part's, which is under attack (at dose 0 it is
    clean, too), mean over the splits, low to high their range; `shuffled` is the same with shuffled
    labels of the other part, p its probability of `shared`. On the same examples a weak attack
    would leave the noise of the sample as it is, and more would be shared than by two clean parts.
    `kept` is `shared` above `shuffled`, relative to that at dose 0: NaN where the latter is not
    above its null (p > 0.05). n: examples of the smaller part.
    """
    asked = {
        (backbone, kind, dose): spec for backbone, sweep in sweeps.items()
        for kind, by_dose in sweep.stability.items() for dose, spec in by_dose.items()
    }  # fmt: skip
    found = shared_draws(store, asked.values(), fraction)
    out = list[dict[str, object]]()
    for backbone, sweep in sweeps.items():
        for kind, by_dose in sweep.stability.items():
            keys = {dose: key(asked[backbone, kind, dose]) for dose in by_dose}
            draws = {dose: found[name] for dose, name in keys.items() if name in found}
            if not draws:
                continue
            known = next(iter(draws.values()))
            clean = _parts(known, "control")
            rows = {0: clean} | {dose: _parts(drawn, "crossed") for dose, drawn in draws.items()}
            out += [
                {
                    "backbone": backbone, "neurons": kind, "dose": dose, **row,
                    "kept": kept(row, clean), "n": known.n // 2, "seeds": known.seeds,
                }
                for dose, row in rows.items()
            ]  # fmt: skip
    return pd.DataFrame(out, columns=OVERLAP)


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """The share of shared neurons in each draw of a stored comparison, at one fraction."""

    kind: npt.NDArray[np.str_]
    share: npt.NDArray[np.float64]
    n: int
    seeds: int


def shared_draws(
    store: Store, specs: Collection[StabilitySpec], fraction: float
) -> dict[str, Draws]:
    """What is stored of these comparisons, by key: only this fraction is read, summed over the
    layers.
    """
    out = dict[str, Draws]()
    for at in {spec.fractions.index(fraction) + 1 for spec in specs}:
        rows = store.frame(
            f"SELECT key, kind, [list_sum(x[{at}]) FOR x IN skill] AS chosen,"
            f" [list_sum(x[{at}]) FOR x IN shared] AS shared, n_clean, prompts"
            " FROM stability WHERE key IN ?",
            [[key(s) for s in specs if s.fractions.index(fraction) + 1 == at]],
        )
        for row in rows.itertuples():
            chosen, shared = np.array(row.chosen, float), np.array(row.shared, float)
            out[row.key] = Draws(
                kind=np.array(row.kind), share=shared / np.maximum(1, chosen),
                n=int(row.n_clean), seeds=int(row.prompts),
            )  # fmt: skip
    return out


def _parts(draws: Draws, kind: str) -> dict[str, float]:
    """Two disjoint parts of the data compared, over the splits."""
    parts, mixed = (draws.share[draws.kind == k] for k in (kind, f"{kind} shuffled"))
    null = permutation_null(float(parts.mean()), mixed)
    return {
        "shared": float(parts.mean()), "low": float(parts.min()), "high": float(parts.max()),
        "shuffled": null["shuffled"], "p": null["p"], "splits": len(parts),
    }  # fmt: skip


def kept(row: Mapping[str, float], clean: Mapping[str, float]) -> float:
    """Shared neurons above shuffled labels, relative to clean data; NaN where two clean parts share
    no more than with shuffled labels (p > 0.05).
    """
    if not clean["p"] <= 0.05:
        return math.nan
    return (row["shared"] - row["shuffled"]) / (clean["shared"] - clean["shuffled"])
