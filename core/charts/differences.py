"""Differences that a finding rests on."""

import math
from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from core.charts.estimates import beside, estimates
from core.charts.look import Look, finish

INTERVAL = [
    alt.Tooltip("value", title="difference", format=".2f"),
    alt.Tooltip("low", title="95% from", format=".2f"),
    alt.Tooltip("high", title="95% to", format=".2f"),
]


DOT = "M.75,0A.75,.75,0,1,1,-.75,0A.75,.75,0,1,1,.75,0"
RING = "M1.3,0A1.3,1.3,0,1,1,-1.3,0A1.3,1.3,0,1,1,1.3,0M1,0A1,1,0,1,0,-1,0A1,1,0,1,0,1,0"
"""Symbols, as paths that are filled; the dot is seen inside the ring."""


def category_means(
    table: pd.DataFrame, look: Look, *, categories: Sequence[str], title: str
) -> alt.LayerChart:
    """Per category, and in it per backbone, a dot at the mean value of pairs of its tasks and a
    ring at that of its tasks with others: `backbone`, `category`, `within`, `between`.
    """
    names = {"within": "same category", "between": "other categories"}
    ends = table.melt(["backbone", "category"], list(names), var_name="which", value_name="value")
    ends["which"] = ends["which"].map(names)
    hues = look.hues(table.backbone)
    base = alt.Chart(table).encode(
        y=alt.Y("category:N", sort=list(categories), title=None).axis(grid=True),
        yOffset=alt.YOffset("backbone:N", sort=list(hues)),
        color=alt.Color(
            "backbone:N", title=None, scale=alt.Scale(domain=list(hues), range=list(hues.values())),
            legend=alt.Legend(
                orient="top", symbolType="square", symbolOpacity=1, columns=beside(hues)
            ),
        ),
    )  # fmt: skip
    low, high = min(0.0, *ends["value"]), max(1.0, *ends["value"])
    across = alt.Scale(domain=[math.floor(10 * low) / 10, high])
    spans = base.mark_rule(strokeWidth=1).encode(
        x=alt.X("within:Q", scale=across, title=title).axis(format=".1f", tickMinStep=0.1),
        x2="between:Q",
    )
    holes = base.mark_circle(color=look.ground, opacity=1, size=80).encode(
        x=alt.X("between:Q", scale=across), color=alt.value(look.ground)
    )  # the line ends at the ring
    points = base.mark_point(filled=True, opacity=1, size=80).properties(data=ends).encode(
        x=alt.X("value:Q", scale=across),
        shape=alt.Shape(
            "which:N", title=None, scale=alt.Scale(domain=list(names.values()), range=[DOT, RING]),
            legend=alt.Legend(
                orient="bottom", symbolFillColor=look.ink, symbolStrokeWidth=0, columns=2
            ),  # beside the other one, it would not fit on a phone
        ),
        tooltip=["backbone", "category", "which", alt.Tooltip("value", format=".2f")],
    )  # fmt: skip
    each = 16 * table.backbone.nunique() + 12
    return finish(alt.layer(spans, holes, points), look, each * table.category.nunique() + 90)


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
