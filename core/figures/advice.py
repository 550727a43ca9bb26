"""Which prompt should tuning of a task start from? Advice from indicators, and how good it is.

Advice for a task never uses the task's own transfer: the indicator is the one that goes best with
transfer among all other tasks. So advice for each task in turn is a leave-one-out test.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.figures.indicators import matrices
from core.stats.intervals import crossed
from core.stats.similarity import by_target

LABELLED = "predictivity"  # rests on the labels of the rows on which the advice is tested
ADVICE = "backbone target_task indicator spearman source_task value transferred".split()  # noqa: SIM905
TESTED = (
    "backbone target_task indicator source_task advised best best_source mean alike".split()  # noqa: SIM905
)


def chosen(pairs: pd.DataFrame, target: str) -> tuple[str, float]:
    """The indicator with the highest Spearman with transfer (mean over target tasks) among the
    other tasks of a backbone, and that Spearman; no pair with the task itself is used. `pairs` as
    in `indicators.joined`. Empty and NaN where nothing can be compared.
    """
    others = pairs[(pairs.target_task != target) & (pairs.source_task != target)]
    others = others[others.indicator != LABELLED]
    best = ("", float("nan"))
    for name, mine in others.groupby("indicator", sort=False):
        rho = by_target(*matrices(mine, mine))
        if np.isfinite(rho).any() and not np.nanmean(rho) <= best[1]:
            best = (str(name), float(np.nanmean(rho)))
    return best


def advise(pairs: pd.DataFrame, target: str) -> pd.DataFrame:
    """The other tasks' prompts for a task, per backbone, the most similar first: indicator (that
    was chosen without this task), spearman (of the indicator), source_task, value, transferred
    (relative accuracy without tuning), same (category).
    """
    out = list[pd.DataFrame]()
    for backbone, mine in pairs.groupby("backbone", sort=False):
        name, rho = chosen(mine, target)
        found = mine[(mine.indicator == name) & (mine.target_task == target)]
        found = found.sort_values("value", ascending=False, kind="stable")
        out.append(found.assign(backbone=backbone, spearman=rho)[[*ADVICE, "same"]])
    return pd.concat(out, ignore_index=True) if out else pd.DataFrame(columns=[*ADVICE, "same"])


def tested(pairs: pd.DataFrame) -> pd.DataFrame:
    """Advice for each task in turn: the advised source_task, and the relative accuracy of its
    prompt without tuning (advised), of the best prompt (best, best_source), of all of them (mean),
    and of those of the task's category (alike, NaN if there is none).
    """
    out = list[dict[str, object]]()
    for target in dict.fromkeys(pairs.target_task):
        for backbone, mine in advise(pairs, str(target)).groupby("backbone", sort=False):
            first: Any = mine.iloc[0]
            best: Any = mine.loc[mine.transferred.idxmax()]
            out.append(
                {
                    "backbone": backbone, "target_task": target, "indicator": first.indicator,
                    "source_task": first.source_task, "advised": float(first.transferred),
                    "best": float(best.transferred), "best_source": best.source_task,
                    "mean": float(mine.transferred.mean()),
                    "alike": float(mine[mine.same].transferred.mean()),
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=TESTED)


def gained(table: pd.DataFrame) -> pd.DataFrame:
    """Per backbone and what the advice is compared with (`over`: all sources, or those of the
    task's category), over the tasks of `tested`: gain over their mean, with its 95% t interval
    (low, high), p, lost (mean distance from the best source), tasks.
    """
    out = list[dict[str, object]]()
    for backbone, mine in table.groupby("backbone", sort=False):
        for over, column in (("all", "mean"), ("category", "alike")):
            gains: npt.NDArray[np.float64] = (mine.advised - mine[column]).dropna().to_numpy(float)
            if not len(gains):
                continue
            value = crossed(gains)
            out.append(
                {
                    "backbone": backbone, "over": over, "gain": value.value, "low": value.low,
                    "high": value.high, "p": value.p,
                    "lost": float((mine.best - mine.advised).mean()), "tasks": len(gains),
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns="backbone over gain low high p lost tasks".split())  # noqa: SIM905
