"""Differences that a finding rests on, with their intervals."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from core.charts.estimates import estimates
from core.charts.look import Look

INTERVAL = [
    alt.Tooltip("value", title="difference", format=".2f"),
    alt.Tooltip("low", title="95% from", format=".2f"),
    alt.Tooltip("high", title="95% to", format=".2f"),
]


def category_differences(
    table: pd.DataFrame, parts: pd.DataFrame, look: Look, *, title: Sequence[str]
) -> alt.LayerChart:
    """Per backbone, how much higher a value is for pairs of tasks within a category than between
    categories: `backbone`, `difference`, `low`, `high`, `within`, `between`, `tasks`; `parts`, a
    tick per category: `backbone`, `category`, `difference`.
    """
    return estimates(
        table.assign(title=table.backbone, value=table.difference), look, by="backbone",
        hues=look.hues(table.backbone), order=list(look.backbones), title=title, ends=(-0.1, 0.5),
        parts=parts.assign(title=parts.backbone, value=parts.difference, part=parts.category),
        tips=[
            "backbone", *INTERVAL, alt.Tooltip("within", title="mean within", format=".2f"),
            alt.Tooltip("between", title="mean between", format=".2f"), "tasks",
        ],
    )  # fmt: skip


def claim_differences(
    table: pd.DataFrame, look: Look, *, kinds: Mapping[str, str]
) -> alt.LayerChart:
    """What one backbone keeps under attack beyond another: `first`, `second`, `kind` (accuracy or a
    kind of neuron; `kinds` are their titles), `value`, `low`, `high`, `tasks`. The hue is the
    second's.
    """
    pairs = table.assign(
        title=table.kind.map(kinds), pair=table["second"] + " \N{MINUS SIGN} " + table["first"]
    )
    each = pairs.drop_duplicates("pair")
    hues = dict(zip(each.pair, map(look.hue, each["second"]), strict=True))
    return estimates(
        pairs, look, by="pair", hues=hues, order=list(kinds.values()), ends=(-0.1, 0.2),
        title="difference in the share kept under attack",
        tips=[alt.Tooltip("title", title="kept"), "pair", *INTERVAL, "tasks"],
    )  # fmt: skip
