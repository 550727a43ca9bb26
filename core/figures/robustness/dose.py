"""Dose-response: accuracy and skill neurons under attacks of more and more edits."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from core.base.specs import key
from core.figures.rankings import compare
from core.figures.robustness.overlap import (
    CONTROL,
    NULL,
    permutation_null,
    split_control,
    stored_draws,
    stored_ranking,
)
from core.measures.evaluation import EvaluationSpec
from core.measures.sweeps import DoseSweep
from core.stats.intervals import Estimate, Z, mean_accuracy
from core.store import Store

Sweeps = Mapping[str, DoseSweep]
KINDS = ("bootstrap", "control", "control shuffled", "crossed", "crossed shuffled", "shuffled")
ACCURACY = "backbone dose accuracy low high n seeds majority accuracy_kept".split()  # noqa: SIM905
OVERLAP = "backbone dose chosen shared share error low high".split()  # noqa: SIM905


def _right(store: Store, specs: tuple[EvaluationSpec, ...]) -> tuple[np.ndarray, float] | None:
    """`[prompt example]` of correct answers and the majority-class accuracy; None until all are
    stored.
    """
    keys = [key(spec) for spec in specs]
    rows = store.frame(
        "SELECT key, scores, majority FROM evaluation WHERE key IN ? ORDER BY key", [keys]
    )
    if not keys or len(rows) < len(set(keys)):
        return None
    return np.stack(rows.scores.to_list()) == 1, float(rows.majority.iloc[0])


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
    """One row per backbone and dose above 0: chosen (clean skill neurons), shared (also skill
    neurons under attack), share, error (bootstrap), low, high, the permutation null and the split
    control (columns as in `overlap.overlap`), and skill_kept: of the split control with one part
    under attack, the share above its null, relative to the split control's above its own; NaN where
    the control does not exceed its null (p > 0.05).
    """
    out = list[dict[str, object]]()
    for backbone, sweep in sweeps.items():
        for dose, spec in sweep.stability.items():
            draws = stored_draws(store, spec)
            clean = stored_ranking(store, sweep.predictivity[0])
            struck = stored_ranking(store, sweep.predictivity[dose])
            if draws is None or clean is None or struck is None:
                continue
            pair = compare(clean.skill(fraction), struck.skill(fraction))
            if pair.first == 0:
                continue
            shares = {kind: draws.share(fraction)[draws.of(kind)] for kind in KINDS}
            error = float(shares["bootstrap"].std(ddof=1))
            null = permutation_null(pair.share, shares["shuffled"])
            control = split_control(shares["control"], shares["control shuffled"])
            crossed = split_control(shares["crossed"], shares["crossed shuffled"])
            out.append(
                {
                    "backbone": backbone, "dose": dose, "chosen": pair.first,
                    "shared": pair.shared, "share": pair.share, "error": error,
                    "low": max(0.0, pair.share - Z * error),
                    "high": min(1.0, pair.share + Z * error), **null, **control,
                    "skill_kept": skill_kept(crossed, control),
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=[*OVERLAP, *NULL, *CONTROL, "skill_kept"])


def skill_kept(crossed: Mapping[str, float], control: Mapping[str, float]) -> float:
    """Shared skill neurons of two disjoint parts of the data, one of them under attack, relative to
    two clean parts, both above shuffled labels; NaN where the clean parts share no more than their
    null (p > 0.05). The parts keep examples apart: on the same examples, a weak attack leaves the
    noise of the sample as it is, and more would be shared than by two clean parts.
    """
    if not control["control_p"] <= 0.05:
        return math.nan
    clean = control["control"] - control["control_shuffled"]
    return (crossed["control"] - crossed["control_shuffled"]) / clean
