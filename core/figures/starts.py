"""Does tuning get there sooner from another task's prompt? Accuracy by step, and steps saved."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from core.base.markdown import plain
from core.base.specs import Spec, key
from core.figures.words import two
from core.stats.intervals import crossed
from core.store import Store

PLAIN = "vocabulary"  # the start with which others are compared
GOAL = 0.98  # share of the plain run's best accuracy that is to be reached


def histories(store: Store, starts: Mapping[str, Sequence[Spec]]) -> pd.DataFrame:
    """Selection accuracy of each stored run at the steps where it was measured: start, run (its
    place), step, accuracy.
    """
    asked = pd.DataFrame(
        [
            {"key": key(spec), "start": name, "run": run}
            for name, specs in starts.items() for run, spec in enumerate(specs)
        ]
    )  # fmt: skip
    return store.frame(
        "SELECT a.start, a.run, s.step, s.accuracy FROM asked a JOIN step s USING (key)"
        " WHERE s.accuracy IS NOT NULL AND NOT isnan(s.accuracy) ORDER BY ALL",
        asked=asked,
    )


def convergence(runs: pd.DataFrame) -> pd.DataFrame:
    """Per start and step, over the runs: accuracy (mean), low and high (range), runs."""
    groups = runs.groupby(["start", "step"], sort=False).accuracy
    table = groups.agg(accuracy="mean", low="min", high="max", runs="size")
    return table.reset_index()


def speed(runs: pd.DataFrame) -> pd.DataFrame:
    """Per start, against the plain start's run with the same place: steps (mean until 98% of the
    best accuracy of the plain run are reached, over the runs that reach them), plain (steps that
    the plain run took), reached and runs (how many do), speedup (geometric mean of the ratios plain
    / steps over pairs), low and high (95%, t over pairs), best (mean accuracy of the best step).

    A run that never gets there counts with its last step, so that the speed-up is no more than said
    where some do not.
    """
    names = "start best steps plain reached runs speedup low high".split()  # noqa: SIM905
    out = list[dict[str, object]]()
    goal = GOAL * runs[runs.start == PLAIN].groupby("run").accuracy.max()
    order = [PLAIN, *runs.start[runs.start != PLAIN].unique()]
    for name in (n for n in order if (runs.start == n).any()):
        mine = runs[runs.start == name]
        pairs = [r for r in mine.run.unique() if r in goal.index]
        took = [_until(runs, PLAIN, r, goal[r]) for r in pairs]
        steps = [_until(runs, str(name), r, goal[r]) for r in pairs]
        last = [int(mine[mine.run == r].step.max()) for r in pairs]
        there = [s for s in steps if s is not None]
        ratios = np.log([t / (s or e) for t, s, e in zip(took, steps, last, strict=True) if t])
        mean = crossed(ratios) if len(ratios) else None
        low, high = (mean.low, mean.high) if mean and len(ratios) > 1 else (math.nan, math.nan)
        if mean and len(ratios) > 1 and np.ptp(ratios) == 0:
            low = high = mean.value
        out.append(
            {
                "start": name, "best": mine.groupby("run").accuracy.max().mean(),
                "steps": np.mean(there) if there else math.nan,
                "plain": np.mean([t for t in took if t]) if pairs else math.nan,
                "reached": len(there), "runs": len(pairs),
                "speedup": math.exp(mean.value) if mean else math.nan,
                "low": math.exp(low), "high": math.exp(high),
            }
        )  # fmt: skip
    return pd.DataFrame(out, columns=names)


def sentence(saved: pd.DataFrame) -> str:
    """Which starts are clearly faster or slower than the plain one: the columns of `speed`."""
    others = saved[(saved.start != PLAIN) & saved.low.notna()]
    if others.empty:
        return ""
    said = [
        f"{'fewer' if row.speedup > 1 else 'more'} from {plain(row.start)} (speed-up "
        f"{'at most ' * (row.reached < row.runs)}{two(row.speedup)}, 95% interval "
        f"{two(row.low)} to {two(row.high)})"
        for row in others.itertuples()
        if row.low > 1 or row.high < 1
    ]
    if not said:
        return f"**No start clearly needs fewer or more steps than the {PLAIN} start.**"
    return f"**Compared with the {PLAIN} start, tuning needs clearly** {'; '.join(said)}."


def _until(runs: pd.DataFrame, start: str, run: int, goal: float) -> int | None:
    """The first measured step at which a run is as accurate as the goal."""
    mine = runs[(runs.start == start) & (runs.run == run) & (runs.accuracy >= goal)]
    return int(mine.step.min()) if len(mine) else None
