"""Accuracy and shared neurons under attacks of more and more edits."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from core.base.specs import key
from core.figures.robustness.overlap import Draws, permutation_null, stored_draws
from core.measures.evaluation import EvaluationSpec
from core.measures.sweeps import DoseSweep
from core.stats.intervals import Estimate, mean_accuracy
from core.store import Store

Sweeps = Mapping[str, DoseSweep]
ACCURACY = "backbone dose accuracy low high n seeds majority accuracy_kept".split()  # noqa: SIM905
OVERLAP = (
    "backbone neurons dose shared low high shuffled p kept splits n seeds".split()  # noqa: SIM905
)


def _right(store: Store, specs: tuple[EvaluationSpec, ...]) -> tuple[np.ndarray, float] | None:
    """`[prompt example]` of correct answers and the majority-class accuracy; None until all are
    stored.
    """
    rows = _stored(store, specs)
    if rows is None:
        return None
    return np.stack(rows.scores.to_list()) == 1, float(rows.majority.iloc[0])


def _stored(store: Store, specs: tuple[EvaluationSpec, ...]) -> pd.DataFrame | None:
    """A row per prompt; None until all are stored."""
    keys = [key(spec) for spec in specs]
    rows = store.frame(
        "SELECT seed, rows, scores, majority FROM evaluation WHERE key IN ? ORDER BY key", [keys]
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


def accuracy(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """One row per backbone and dose: accuracy, low, high (95 %, examples and prompts redrawn), n,
    seeds, majority, accuracy_kept ((accuracy - majority) / (clean - majority), NaN unless the clean
    accuracy's interval lies above the majority class's).
    """
    out = list[dict[str, object]]()
    for backbone, sweep in sweeps.items():
        clean: Estimate | None = None
        for dose, specs in sweep.evaluations.items():
            found = _right(store, specs)
            if found is None:
                continue
            right, majority = found
            value = mean_accuracy(right)
            clean = value if dose == 0 else clean
            sound = clean is not None and clean.low > majority
            kept = (value.value - majority) / (clean.value - majority) if clean and sound else None
            out.append(
                {
                    "backbone": backbone, "dose": dose, "accuracy": value.value, "low": value.low,
                    "high": value.high, "n": right.shape[1], "seeds": right.shape[0],
                    "majority": majority, "accuracy_kept": math.nan if kept is None else kept,
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=ACCURACY)


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
    out = list[dict[str, object]]()
    for backbone, sweep in sweeps.items():
        for kind, by_dose in sweep.stability.items():
            found = {dose: stored_draws(store, spec) for dose, spec in by_dose.items()}
            draws = {dose: drawn for dose, drawn in found.items() if drawn is not None}
            if not draws:
                continue
            clean = _parts(next(iter(draws.values())), "control", fraction)
            rows = {0: clean} | {d: _parts(w, "crossed", fraction) for d, w in draws.items()}
            known = next(iter(draws.values()))
            out += [
                {
                    "backbone": backbone, "neurons": kind, "dose": dose, **row,
                    "kept": kept(row, clean), "n": known.n_clean // 2, "seeds": known.seeds,
                }
                for dose, row in rows.items()
            ]  # fmt: skip
    return pd.DataFrame(out, columns=OVERLAP)


def _parts(draws: Draws, kind: str, fraction: float) -> dict[str, float]:
    """Two disjoint parts of the data compared, over the splits."""
    shares = draws.share(fraction)
    parts, mixed = shares[draws.of(kind)], shares[draws.of(f"{kind} shuffled")]
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
