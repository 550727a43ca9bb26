"""Ways to tune a backbone, side by side: accuracy, cost, and what its neurons carry afterwards."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float

from core.base.markdown import plain
from core.base.specs import key
from core.figures.words import points, two, verdict
from core.measures.ways import WaySpec
from core.stats.intervals import crossed, mean_accuracy
from core.store import Store

TITLES = {
    "prompt": "prompt tuning",
    "prefix": "prefix tuning",
    "bias": "BitFit",
    "lora": "LoRA",
    "adapter": "adapters",
    "full": "full fine-tuning",
}
FEWEST_SEEDS = 2  # of a comparison
COLUMNS = "backbone way title trained share seconds fastest slowest accuracy low high".split()  # noqa: SIM905
COLUMNS += ["n", "seeds", "majority"]
WITHOUT = "backbone way title choose fraction drop low high p n seeds draws".split()  # noqa: SIM905
EXCESS = ["excess", "excess_low", "excess_high"]


def _stored(store: Store, specs: Sequence[WaySpec]) -> pd.DataFrame:
    """The stored runs with their answers, in the order of the questions."""
    asked = pd.DataFrame(
        [
            {
                "key": key(s),
                "backbone": s.tuning.backbone.name,
                "way": s.way,
                "place": i,
                "seed": s.tuning.seed,
            }
            for i, s in enumerate(specs)
        ],
        columns=["key", "backbone", "way", "place", "seed"],
    )
    return store.frame(
        "SELECT key, a.backbone, a.way, a.seed, w.trained, w.weights, w.seconds, w.majority,"
        " w.correct_rows FROM asked a JOIN way w USING (key) ORDER BY a.place",
        asked=asked.astype({"key": str, "backbone": str, "way": str, "place": int, "seed": int}),
    )


def against(store: Store, specs: Sequence[WaySpec], one: str, other: str) -> pd.DataFrame:
    """One row per backbone with two seeds or more of both methods: the accuracy of `one` (first)
    and `other` (second) with these seeds, their difference and its 95% interval (low, high; seeds
    and examples are samples), share (of the backbone's weights that `one` trains).
    """
    out = list[dict[str, object]]()
    for backbone, mine in _stored(store, specs).groupby("backbone", sort=False):
        pairs = mine[mine.way == one].merge(mine[mine.way == other], on="seed")
        if len(pairs) < FEWEST_SEEDS:
            continue
        first = np.array(pairs.correct_rows_x.to_list(), float)
        second = np.array(pairs.correct_rows_y.to_list(), float)
        value = crossed(first - second)
        out.append(
            {
                "backbone": backbone, "first": first.mean(), "second": second.mean(),
                "difference": value.value, "low": value.low, "high": value.high,
                "share": float(pairs.trained_x.iloc[0] / pairs.weights_x.iloc[0]),
            }
        )  # fmt: skip
    names = "backbone first second difference low high share".split()  # noqa: SIM905
    return pd.DataFrame(out, columns=names)


def as_good(found: pd.DataFrame, title: str) -> str:
    """Whether prompt tuning is as accurate as full fine-tuning (`against`) on the task of this
    title, in words.
    """
    if found.empty:
        return ""
    lead = verdict(
        found, higher="Prompt tuning is more accurate than full fine-tuning",
        lower="Full fine-tuning is more accurate than prompt tuning",
        same="No clear difference in accuracy between prompt tuning and full fine-tuning",
    )  # fmt: skip
    said = []
    for row in found.itertuples():
        span = (
            f", 95% interval {points(row.low)} to {points(row.high)}" if row.low == row.low else ""
        )
        said.append(
            f"On {plain(row.backbone)}, prompt tuning reaches **{two(row.first)}** by training "
            f"{row.share:.2%} of the parameters, full fine-tuning **{two(row.second)}** "
            f"(difference {points(row.difference)} points{span})."
        )
    bold = f"**{plain(title)}: {lead[0].lower()}{lead[1:]}.** " if lead else ""
    return bold + " ".join(said)


def compared(store: Store, specs: Sequence[WaySpec]) -> pd.DataFrame:
    """One row per backbone and way: trained (weights), share (of the backbone's), seconds (of the
    updates, mean over seeds), fastest, slowest, accuracy, low, high (95%, seeds and examples
    redrawn), n, seeds, majority.
    """
    out = list[dict[str, object]]()
    for (backbone, way), mine in _stored(store, specs).groupby(["backbone", "way"], sort=False):
        right = np.array(mine.correct_rows.to_list(), bool)
        value = mean_accuracy(right)
        out.append(
            {
                "backbone": backbone, "way": way, "title": TITLES[str(way)],
                "trained": int(mine.trained.iloc[0]),
                "share": float(mine.trained.iloc[0] / mine["weights"].iloc[0]),
                "seconds": float(mine.seconds.mean()), "fastest": float(mine.seconds.min()),
                "slowest": float(mine.seconds.max()), "accuracy": value.value, "low": value.low,
                "high": value.high, "n": right.shape[1], "seeds": len(right),
                "majority": float(mine.majority.iloc[0]),
            }
        )  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS)


def without(store: Store, specs: Sequence[WaySpec]) -> pd.DataFrame:
    """What accuracy loses without neurons that prompt tuning found: one row per backbone, way, kind
    of neuron and fraction: drop, low and high (95%; seeds, draws and examples are samples), p, n,
    seeds, draws, and excess over as many random neurons (mean over draws), with excess_low and
    excess_high; NaN for random ones.
    """
    runs = _stored(store, specs)
    rows = store.frame(
        "SELECT key, place, choose, fraction, draw, correct_rows FROM way_without WHERE key IN ?"
        " ORDER BY key, place",
        [runs.key.tolist()],
    ).rename(columns={"correct_rows": "kept"})
    both = runs.merge(rows, on="key")
    out = list[dict[str, object]]()
    for (backbone, way, fraction), group in both.groupby(
        ["backbone", "way", "fraction"], sort=False
    ):
        lost = {str(c): _lost(mine) for c, mine in group.groupby("choose", sort=False)}
        for choose, table in lost.items():
            value, over = crossed(table), dict.fromkeys(EXCESS, math.nan)
            if choose != "random" and "random" in lost:
                found = crossed(table.mean(axis=1) - lost["random"].mean(axis=1))
                over = dict(zip(EXCESS, (found.value, found.low, found.high), strict=True))
            out.append(
                {
                    "backbone": backbone, "way": way, "title": TITLES[str(way)], "choose": choose,
                    "fraction": fraction, "drop": value.value, "low": value.low,
                    "high": value.high, "p": value.p, "n": table.shape[2],
                    "seeds": table.shape[0], "draws": table.shape[1], **over,
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=[*WITHOUT, *EXCESS])


def _lost(rows: pd.DataFrame) -> Float[npt.NDArray[np.float64], "seed draw example"]:
    """1 where an answer is lost, -1 where one is gained."""
    runs = [
        np.array(run.correct_rows.to_list(), float) - np.array(run.kept.to_list(), float)
        for _, run in rows.groupby("key", sort=False)
    ]
    return np.array(runs)
