"""Attribution against the exact effect of suppressing one neuron: one table per figure."""

from collections.abc import Mapping, Sequence

import pandas as pd

from core.base.specs import key
from core.measures.faithfulness import FaithfulnessSpec
from core.stats.intervals import Z
from core.store import Store

Asked = Mapping[str, Sequence[FaithfulnessSpec]]


def neurons(store: Store, asked: Asked) -> pd.DataFrame:
    """One row per backbone, seed and sampled neuron: layer, neuron, attributed, exact, low and high
    (1.96 standard errors of `exact`), miss (attributed less exact), n.
    """
    found = list[pd.DataFrame]()
    for backbone, specs in asked.items():
        for spec in specs:
            rows = store.frame(
                "SELECT f.seed, e.layer, e.neuron, e.attributed, e.exact, e.error, f.n"
                " FROM neuron_faithfulness e JOIN faithfulness f USING (key) WHERE key = ?"
                " ORDER BY e.layer, e.place",
                [key(spec)],
            )
            found.append(rows.assign(backbone=backbone))
    if not found:
        return pd.DataFrame()
    table = pd.concat(found, ignore_index=True)
    return table.assign(
        low=table.exact - Z * table.error,
        high=table.exact + Z * table.error,
        miss=table.attributed - table.exact,
    )


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """One row per backbone and layer (-1: all): spearman of attributed and exact, neurons, and
    same_sign (share of the neurons whose exact effect is beyond its error and has the same sign).
    """
    out = list[dict[str, object]]()
    for backbone, every in table.groupby("backbone", sort=False):
        for layer, rows in [(-1, every), *every.groupby("layer")]:
            clear = rows[(rows.low > 0) | (rows.high < 0)]
            same = (clear.attributed > 0) == (clear.exact > 0)
            out.append(
                {
                    "backbone": backbone, "layer": layer, "neurons": len(rows),
                    "spearman": rows.attributed.corr(rows.exact, method="spearman"),
                    "same_sign": same.mean(), "clear": len(clear),
                }
            )  # fmt: skip
    return pd.DataFrame(out)


def worst(table: pd.DataFrame, count: int = 5) -> pd.DataFrame:
    """The sampled neurons of each backbone whose attribution misses the exact effect most."""
    order = table.miss.abs().sort_values(ascending=False, kind="stable").index
    kept: pd.DataFrame = table.loc[order].groupby("backbone", sort=False).head(count)
    return kept.sort_values("backbone", kind="stable")
