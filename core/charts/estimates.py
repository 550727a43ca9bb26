"""Estimates with their intervals, one below the other."""

import math
from collections.abc import Iterable, Mapping, Sequence

import altair as alt
import pandas as pd

from core.charts.look import Look, finish

MANY = 6  # rows beyond which the axis stands above them, where it is seen on a phone


def beside(names: Iterable[str]) -> int:
    """How many of these names a legend may have beside each other on a phone."""
    return 1 if max(map(len, names), default=0) > 20 else 2


def estimates(
    table: pd.DataFrame, look: Look, *, by: str, hues: Mapping[str, str], order: Sequence[str],
    title: str | Sequence[str], ends: tuple[float, float], tips: Sequence[str | alt.Tooltip],
) -> alt.LayerChart:  # fmt: skip
    """A row per `title`, in this order, and in it a point per value of the column `by`, in its hue:
    `value`, `low` and `high`, filled where the interval excludes 0. The axis reaches at least from
    one of the `ends` to the other.
    """
    table = table.assign(clear=(table.low > 0) | (table.high < 0))
    known = [*table[["value", "low", "high"]].to_numpy().ravel(), *ends]
    reached = [v for v in known if math.isfinite(v)]  # no interval for few tasks
    domain = [math.floor(10 * min(reached)) / 10, math.ceil(10 * max(reached)) / 10]
    scale = alt.Scale(domain=domain)
    side = "top" if table["title"].nunique() > MANY else "bottom"
    hue = alt.Color(
        f"{by}:N", scale=alt.Scale(domain=list(hues), range=list(hues.values())), title=None,
        legend=alt.Legend(orient="top", symbolType="circle", symbolOpacity=1, columns=beside(hues)),
    )  # fmt: skip
    base = alt.Chart(table).encode(
        y=alt.Y("title:N", sort=list(order), title=None).axis(labelLimit=260, grid=True),
        yOffset=alt.YOffset(f"{by}:N", sort=list(hues)), color=hue, tooltip=list(tips),
    )  # fmt: skip
    spans = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("low:Q", scale=scale, title=title).axis(format=".1f", tickMinStep=0.1, orient=side),
        x2="high:Q",
    )
    place = alt.X("value:Q", scale=scale).axis(orient=side)
    filled = base.transform_filter("datum.clear").mark_circle(size=70, opacity=1).encode(x=place)
    hollow = base.transform_filter("!datum.clear").mark_point(
        size=55, opacity=1, strokeWidth=1.5, fill=look.ground
    ).encode(x=place)  # fmt: skip
    zero = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(color=look.ink, strokeWidth=1)
    layers = zero.encode(x=alt.X("x:Q", scale=scale).axis(orient=side)), spans, filled, hollow
    each = 16 * table[by].nunique() + 10
    return finish(alt.layer(*layers), look, each * table["title"].nunique() + 60)
