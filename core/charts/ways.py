"""Ways to tune a backbone, side by side."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import altair as alt
import pandas as pd

from core.charts.look import KIND_TITLES, MARKS, Look, at, finish

Cost = Literal["trained", "seconds"]
COSTS: dict[Cost, str] = {
    "trained": "trainable parameters",
    "seconds": "processor time (s)",
}
CHOSEN = ("causal", "skill", "random")


def way_costs(
    table: pd.DataFrame, look: Look, *, backbone: str, cost: Cost, legend: bool = True
) -> alt.LayerChart:
    """Accuracy against the number of trained weights, or against training time; a mark per
    method, with its interval. Columns of `figures.ways.compared`.
    """
    key = alt.Legend(columns=2, orient="top", symbolFillColor=look.hue(backbone),
                     symbolStrokeWidth=0) if legend else None  # fmt: skip
    hue = look.hue(backbone)
    ends = float(table.low.min()), float(table.high.max())
    low, high = max(0.0, ends[0] - 0.01), min(1.0, ends[1] + 0.02)
    y = alt.Scale(domain=[low, high], nice=False, zero=False)
    kind: Literal["log", "linear"] = "log" if cost == "trained" else "linear"
    most, least = float(table[cost].max()), float(table[cost].min())
    domain = [least / 2, most * 2] if kind == "log" else [0, most * 1.1]
    ticks = _tens(*domain) if kind == "log" else {"tickCount": 4}
    x = alt.X(
        f"{cost}:Q", title=COSTS[cost], scale=alt.Scale(type=kind, domain=domain, nice=False),
        axis=alt.Axis(format="~s", **ticks),
    )  # fmt: skip
    base = alt.Chart(table).encode(
        x=x,
        tooltip=[
            alt.Tooltip("title", title="method"), alt.Tooltip("accuracy", format=".3f"),
            alt.Tooltip("low", title="from", format=".3f"),
            alt.Tooltip("high", title="to", format=".3f"),
            alt.Tooltip("trained", title="trainable parameters", format=","),
            alt.Tooltip("share", title="share of backbone", format=".2%"),
            alt.Tooltip("seconds", title="processor time (s)", format=".1f"),
            alt.Tooltip("seeds"), alt.Tooltip("n", title="examples"),
        ],
    )  # fmt: skip
    spans = base.mark_rule(color=hue, strokeWidth=1.5).encode(
        y=alt.Y("low:Q", scale=y, title="accuracy"), y2="high:Q"
    )
    points = base.mark_point(color=hue, filled=True, size=90, opacity=1).encode(
        y=alt.Y("accuracy:Q", scale=y),
        shape=alt.Shape(
            "title:N", title=None, sort=list(table.title),
            scale=alt.Scale(domain=list(table.title), range=list(MARKS[: len(table)])),
            legend=key,
        ),
    )  # fmt: skip
    return finish(alt.layer(spans, points), look, 250 + 80 * legend)


def _tens(low: float, high: float) -> dict[str, Any]:
    """Ticks of a logarithmic axis at the powers of ten only, if there are several."""
    tens = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return at(10.0**k for k in tens) if len(tens) > 1 else {"tickCount": 4}


def way_without(
    table: pd.DataFrame, look: Look, *, backbone: str, ways: Sequence[str],
    ends: tuple[float, float],
) -> alt.LayerChart:  # fmt: skip
    """What accuracy loses without neurons that prompt tuning found, a bar per way and kind of
    neuron, with its interval. Columns of `figures.ways.without`, one fraction; `ends` of the axis.
    """
    kinds = [k for k in CHOSEN if (table.choose == k).any()]
    names = [KIND_TITLES[k] for k in kinds]
    hues = [look.hue(backbone), look.second, look.faint][: len(kinds)]
    scale = alt.Scale(domain=list(ends), nice=True)
    base = alt.Chart(table.assign(kind=table.choose.map(KIND_TITLES))).encode(
        y=alt.Y("title:N", sort=list(ways), title=None),
        yOffset=alt.YOffset("kind:N", sort=names),
        color=alt.Color(
            "kind:N", title=None, scale=alt.Scale(domain=names, range=hues),
            legend=alt.Legend(columns=1),
        ),
        tooltip=[
            alt.Tooltip("title", title="method"), alt.Tooltip("kind", title="without"),
            alt.Tooltip("fraction", format=".0%"),
            alt.Tooltip("drop", title="accuracy drop", format=".3f"),
            alt.Tooltip("low", title="from", format=".3f"),
            alt.Tooltip("high", title="to", format=".3f"), alt.Tooltip("p", format=".2g"),
        ],
    )  # fmt: skip
    zero = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(color=look.faint, strokeDash=[1, 3])
    bars = base.mark_bar(fillOpacity=0.55, strokeWidth=1).encode(
        x=alt.X("drop:Q", scale=scale, title="accuracy drop"),
        stroke=alt.Stroke("kind:N", scale=alt.Scale(domain=names, range=hues), legend=None),
    )
    spans = base.mark_rule(strokeWidth=1.5, color=look.ink).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q", color=alt.value(look.ink)
    )
    rows = table.title.nunique()
    layers = alt.layer(bars, spans, zero.encode(x=alt.X("x:Q", scale=scale)))
    return finish(layers, look, 46 * rows + 150)
