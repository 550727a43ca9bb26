"""Prompts of one backbone on another one."""

import math
from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from core.charts.heatmaps import heatmap
from core.charts.look import Look, finish, tick_name

SHAPES = {
    "own": "circle", "task": "square", "distance": "diamond", "task-random": "square",
    "distance-random": "diamond", "random": "cross",
}  # fmt: skip


def projected_accuracy(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str],
    kinds: Mapping[str, str], lowest: float, first: bool = True, last: bool = True,
) -> alt.LayerChart:  # fmt: skip
    """Accuracy on each task, a line per kind of prompt, with its interval; ticks: majority class.
    `kinds` are their names by `how`; own prompts are hollow, random tokens grey. Of several figures
    on one scale, the first has the legend, and the last the axis.
    """
    hue, named = look.hue(backbone), table.assign(kind=table.how.map(kinds))
    names = list(kinds.values())
    colours = [look.faint if how.endswith("random") else hue for how in kinds]
    fills = ["transparent" if how == "own" else c for how, c in zip(kinds, colours, strict=True)]
    scale = alt.Scale(domain=[lowest, 1])
    place = alt.Axis(minExtent=110, maxExtent=110)  # so that figures below each other line up
    axis = alt.Axis(tickCount=7) if last else alt.Axis(labels=False, ticks=False, tickCount=7)
    key = alt.Legend(columns=1 if len(kinds) < 4 else 2, orient="top") if first else None
    base = alt.Chart(named).encode(
        y=alt.Y("task:N", sort=list(tasks), title=None, axis=place),
        yOffset=alt.YOffset("kind:N", sort=names),
        stroke=alt.Stroke(
            "kind:N", title=None, scale=alt.Scale(domain=names, range=colours), legend=key
        ),
        tooltip=[
            "task", alt.Tooltip("kind", title="prompts"),
            alt.Tooltip("accuracy", format=".3f"),
            alt.Tooltip("low", title="from", format=".3f"),
            alt.Tooltip("high", title="to", format=".3f"),
            alt.Tooltip("majority", title="majority-class accuracy", format=".3f"),
            alt.Tooltip("n", title="examples"), alt.Tooltip("prompts", title="number of prompts"),
        ],
    )  # fmt: skip
    spans = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("low:Q", scale=scale, title="accuracy" if last else None, axis=axis),
        x2="high:Q",
    )
    shapes = alt.Scale(domain=names, range=[SHAPES[how] for how in kinds])
    points = base.mark_point(size=60, opacity=1, strokeWidth=1.5).encode(
        x=alt.X("accuracy:Q", scale=scale, axis=axis),
        shape=alt.Shape("kind:N", title=None, scale=shapes, legend=key),
        fill=alt.Fill("kind:N", title=None, scale=alt.Scale(domain=names, range=fills), legend=key),
    )
    ticks = alt.Chart(named.drop_duplicates("task")).mark_tick(
        color=look.ink, thickness=1.5, size=30
    ).encode(
        x=alt.X("majority:Q", scale=scale, axis=axis),
        y=alt.Y("task:N", sort=list(tasks), title=None, axis=place),
    )  # fmt: skip
    layers = [ticks, spans, points]
    if first:
        row = named[named.task == tasks[0]].head(1)
        layers.append(
            tick_name(row, alt.X("majority:Q", scale=scale, axis=axis), look, "majority class")
        )
    rows = named.task.nunique()
    height = (
        (60 if len(kinds) < 4 else 66) * rows
        + 26 * math.ceil(len(kinds) / 2) * first
        + 50 * last
        + 12
    )
    return finish(alt.layer(*layers), look, height)


def projection_heatmap(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str],
    kinds: Mapping[str, str],
) -> alt.LayerChart:  # fmt: skip
    """Accuracy relative to the task's own prompts, a row per task, a column per other kind."""
    short = {
        how: name.removeprefix("projected, ").replace("projected random tokens", "random tokens")
        for how, name in kinds.items()
    }
    named = table[table.how != "own"].assign(kind=table.how.map(short))
    tips = [
        "task", alt.Tooltip("kind", title="prompts"), "group",
        alt.Tooltip("relative", format=".3f"), alt.Tooltip("accuracy", format=".3f"),
        alt.Tooltip("low", title="accuracy from (95%)", format=".3f"),
        alt.Tooltip("high", title="to", format=".3f"),
        alt.Tooltip("n", title="examples"), alt.Tooltip("prompts", title="number of prompts"),
    ]  # fmt: skip
    return heatmap(
        named, look, look.hue(backbone), tips, value="relative", domain=[0.4, 1.05],
        title="relative accuracy",
        y=alt.Y("task:N", sort=list(tasks), title=None),
        x=alt.X("kind:N", sort=list(short.values()), title=None),
    )  # fmt: skip
