"""Prompts and pairs of tasks: how alike they are, and how well they transfer."""

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.estimates import estimates
from core.charts.heatmaps import heatmap
from core.charts.look import MARKS, Look, finish

KINDS = ["same category", "different category"]


def transfer_points(table: pd.DataFrame, look: Look, *, neurons: str) -> alt.LayerChart:
    """Transfer against shared neurons, a point a pair of tasks. Columns of
    `figures.transferred.pairs` with task titles, and `same` (category).
    """
    top = math.ceil(10 * max(0.1, table.shared.max())) / 10
    x = alt.X("shared:Q", title=f"shared {neurons}", scale=alt.Scale(domain=[0, top]))
    tips = [alt.Tooltip("shared", format=".0%"), alt.Tooltip("chance", format=".0%")]
    return _pairs(table, look, x.axis(format=".0%"), tips)


def indicator_points(table: pd.DataFrame, look: Look, *, title: str) -> alt.LayerChart:
    """Transfer against an indicator, a point a pair of tasks: `value`, `transferred`, task titles,
    `same` (category), and `url` if points are links.
    """
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False, nice=True))
    return _pairs(table, look, x, [alt.Tooltip("value", title=title, format=".3f")])


def _pairs(
    table: pd.DataFrame, look: Look, x: alt.X, tips: Sequence[alt.Tooltip]
) -> alt.LayerChart:
    """Ordered pairs of tasks: relative accuracy against `x`."""
    links = {"href": "url:N"} if "url" in table else {}
    points = (
        alt.Chart(table.assign(kind=table.same.map({True: KINDS[0], False: KINDS[1]})))
        .mark_point(size=55, opacity=0.8, filled=True)
        .encode(
            x=x,
            y=alt.Y("transferred:Q", title="relative accuracy", scale=alt.Scale(zero=False)),
            color=alt.Color(
                "backbone:N", scale=look.scale(table.backbone), title=None,
                legend=alt.Legend(columns=1, symbolType="square", symbolOpacity=1),
            ),
            shape=alt.Shape(
                "kind:N", title=None, scale=alt.Scale(domain=KINDS, range=["circle", "diamond"]),
                legend=alt.Legend(columns=1, symbolFillColor=look.ink),
            ),
            tooltip=[
                alt.Tooltip("backbone"), alt.Tooltip("source_task", title="tuned on"),
                alt.Tooltip("target_task", title="evaluated on"), *tips,
                alt.Tooltip("transferred", title="relative accuracy", format=".2f"),
            ],
            **links,
        )
    )  # fmt: skip
    return finish(alt.layer(points), look, 320)


def indicator_agreement(table: pd.DataFrame, look: Look, *, order: Sequence[str]) -> alt.LayerChart:
    """Each indicator's Spearman correlation with transfer and its interval, a point a backbone:
    `title`, `backbone`, `spearman`, `low`, `high`, `tasks`, `pairs`.
    """
    return estimates(
        table.assign(value=table.spearman), look, by="backbone", hues=look.hues(table.backbone),
        order=order, title=["mean Spearman", "correlation with transfer"], ends=(-0.2, 1.0),
        tips=[
            alt.Tooltip("title", title="indicator"), alt.Tooltip("backbone"),
            alt.Tooltip("spearman", title="Spearman (mean over targets)", format=".2f"),
            alt.Tooltip("low", title="95% from", format=".2f"),
            alt.Tooltip("high", title="95% to", format=".2f"),
            alt.Tooltip("across_categories", title="between categories", format=".2f"),
            alt.Tooltip("tasks", title="target tasks"), alt.Tooltip("pairs", title="pairs"),
        ],
    )  # fmt: skip


def advice_tested(table: pd.DataFrame, look: Look, *, tasks: Sequence[str]) -> alt.LayerChart:
    """Per task and backbone: relative accuracy of the advised prompt (filled), from the mean of all
    other tasks' prompts (tick) to the best of them (ring). Columns of `figures.advice.tested`.
    """
    low = min(0.5, float(table[["advised", "mean"]].min().min()))
    scale = alt.Scale(domain=[low, max(1.0, float(table.best.max()))], nice=True)
    axis = alt.Axis(tickCount={"expr": "ceil(width / 80)"}, format=".2f")
    base = alt.Chart(table).encode(
        y=alt.Y("target_task:N", sort=list(tasks), title=None),
        yOffset=alt.YOffset("backbone:N", sort=list(look.backbones)),
        color=alt.Color(
            "backbone:N", scale=look.scale(table.backbone), title=None,
            legend=alt.Legend(symbolType="circle", symbolOpacity=1),
        ),
        tooltip=[
            "backbone", alt.Tooltip("target_task", title="task"),
            alt.Tooltip("source_task", title="advised"), alt.Tooltip("indicator", title="by"),
            alt.Tooltip("advised", title="its relative accuracy", format=".2f"),
            alt.Tooltip("best_source", title="best"),
            alt.Tooltip("best", title="its relative accuracy", format=".2f"),
            alt.Tooltip("mean", title="mean of all", format=".2f"),
        ],
    )  # fmt: skip
    x = alt.X("mean:Q", scale=scale, title="relative accuracy without tuning", axis=axis)
    spans = base.mark_rule().encode(x=x, x2="best:Q")
    means = base.mark_tick(thickness=2, size=12).encode(x=x)
    rings = base.mark_point(size=60, filled=False).encode(x=alt.X("best:Q", scale=scale))
    points = base.mark_point(size=60, filled=True, opacity=1).encode(
        x=alt.X("advised:Q", scale=scale)
    )
    rows = table.target_task.nunique()
    return finish(alt.layer(spans, means, rings, points), look, 38 * rows + 90)


def prompt_map(table: pd.DataFrame, look: Look, *, categories: Sequence[str]) -> alt.LayerChart:
    """Prompts in the plane, coloured by their task's category, each task's name at the mean of its
    prompts: `x`, `y`, `task`, `category`, `seed`. Neither axis has a unit.
    """
    hues = alt.Scale(domain=list(categories), range=look.kinds(len(categories)))
    shapes = alt.Scale(domain=list(categories), range=list(MARKS))
    bare = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    x = alt.X("x:Q", title=None, axis=bare, scale=alt.Scale(zero=False, padding=30))
    y = alt.Y("y:Q", title=None, axis=bare, scale=alt.Scale(zero=False, padding=24))
    key = alt.Legend(columns=3, symbolOpacity=1)
    points = (
        alt.Chart(table)
        .mark_point(size=80, opacity=0.75, filled=True)
        .encode(
            x=x, y=y, tooltip=["task", "category", "seed"],
            color=alt.Color("category:N", scale=hues, title=None, legend=key),
            shape=alt.Shape("category:N", scale=shapes, title=None, legend=key),
        )
    )  # fmt: skip
    spread = table[["x", "y"]].max() - table[["x", "y"]].min()
    means = table.groupby(["task", "category"], as_index=False)[["x", "y"]].mean()
    means = _apart(means, line=0.06 * spread.y, word=0.24 * spread.x)
    named = alt.Chart(means)
    names = named.mark_text(dy=-2, fontSize=look.type - 1, color=look.ink).encode(
        x=x, y=y, text="task:N"
    )
    leads = named.mark_rule(color=look.faint, strokeWidth=0.8).encode(x=x, y=y, y2="mean:Q")
    return finish(alt.layer(leads, points, names), look, 380)


def _apart(names: pd.DataFrame, *, line: float, word: float) -> pd.DataFrame:
    """Names moved up from the `mean` of their prompts until none lies on another: a name is a
    `line` high and a `word` wide.
    """
    placed = list[tuple[float, float]]()
    for x, y in names.sort_values("y")[["x", "y"]].itertuples(index=False):
        while any(abs(x - a) < word and abs(y - b) < line for a, b in placed):
            y += line / 4
        placed.append((x, y))
    ordered = names.sort_values("y")
    return ordered.assign(mean=ordered.y, y=[y for _, y in placed])


def likeness_heatmap(
    table: pd.DataFrame, look: Look, *, backbone: str, title: str, tasks: Sequence[str]
) -> alt.LayerChart:
    """An indicator for every pair of tasks; on the diagonal, prompts of one task with different
    seeds.
    """
    tips = [
        alt.Tooltip("source_task", title="task"), alt.Tooltip("target_task", title="other task"),
        alt.Tooltip("value", title=title, format=".3f"),
        alt.Tooltip("pairs", title="pairs of prompts"),
        alt.Tooltip("lowest", title="lowest pair", format=".3f"),
        alt.Tooltip("highest", title="highest pair", format=".3f"),
    ]  # fmt: skip
    tips = [tip for tip in tips if tip.shorthand in table and table[tip.shorthand].notna().any()]
    low, high = float(table.value.min()), float(table.value.max())
    return heatmap(
        table, look, look.hue(backbone), tips, value="value",
        domain=[low, high if high > low else low + 1], title=title,
        y=alt.Y("source_task:N", sort=list(tasks), title=None),
        x=alt.X("target_task:N", sort=list(tasks), title=None),
    )  # fmt: skip
