"""One soft prompt."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.heatmaps import heatmap
from core.charts.look import Look, finish, tick_name


def works_on(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str]
) -> alt.LayerChart:
    """A prompt's accuracy on each task, with its interval; ticks: the majority class. Filled: the
    task that it was tuned on.
    """
    hue = look.hue(backbone)
    plain = set(table.metric) <= {"accuracy"}
    lowest = float(table[["low", "accuracy"]].min().min())
    scale = alt.Scale(domain=[min(0.4, lowest), 1])
    base = alt.Chart(table).encode(
        y=alt.Y("task:N", sort=list(tasks), title=None),
        tooltip=[
            "task", alt.Tooltip("accuracy", format=".3f"),
            alt.Tooltip("low", title="from", format=".3f"),
            alt.Tooltip("high", title="to", format=".3f"),
            alt.Tooltip("majority", title="majority-class accuracy", format=".3f"),
            alt.Tooltip("n", title="examples"),
            *([] if plain else [alt.Tooltip("metric", title="metric")]),
        ],
    )  # fmt: skip
    spans = base.mark_rule(color=hue, strokeWidth=1.5).encode(
        x=alt.X("low:Q", scale=scale, title="accuracy" if plain else "accuracy or score"),
        x2="high:Q",
    )
    points = base.mark_point(color=hue, size=80, opacity=1).encode(
        x=alt.X("accuracy:Q", scale=scale),
        fill=alt.condition("datum.own", alt.value(hue), alt.value(look.ground)),
    )
    chance = base.mark_tick(color=look.ink, thickness=1.5, size=14).encode(
        x=alt.X("majority:Q", scale=scale)
    )
    first = table[table.task == tasks[0]].head(1)
    named = tick_name(first, alt.X("majority:Q", scale=scale), look, "majority class")
    return finish(alt.layer(chance, spans, points, named), look, 26 * max(1, len(table)) + 60)


def row_matrix(table: pd.DataFrame, look: Look, *, backbone: str, other: str) -> alt.LayerChart:
    """Cosine of the vectors of a prompt with those of another one, or among themselves."""
    tips = [
        alt.Tooltip("row", title="vector"), alt.Tooltip("other", title="other vector"),
        alt.Tooltip("cosine", format=".3f"),
    ]  # fmt: skip
    low = min(0.0, float(table.cosine.min()))
    return heatmap(
        table, look, look.hue(backbone), tips, value="cosine", domain=[low, 1.0], title="cosine",
        y=alt.Y("row:O", title="vector"), x=alt.X("other:O", title=other), angle=0,
    )  # fmt: skip


def without_each(table: pd.DataFrame, look: Look, *, backbone: str) -> alt.LayerChart:
    """What accuracy loses without each vector, with its interval; 0: nothing."""
    hue = look.hue(backbone)
    base = alt.Chart(table).encode(
        x=alt.X("row:O", title="vector left out").axis(labelAngle=0, labelOverlap=True),
        tooltip=[
            alt.Tooltip("row", title="vector"),
            alt.Tooltip("effect", title="accuracy lost", format="+.3f"),
            alt.Tooltip("low", title="from", format="+.3f"),
            alt.Tooltip("high", title="to", format="+.3f"),
            alt.Tooltip("p", title="p (McNemar)", format=".2g"),
            alt.Tooltip("lost", title="newly wrong"), alt.Tooltip("gained", title="newly right"),
            alt.Tooltip("n", title="examples"),
        ],
    )  # fmt: skip
    title = "accuracy lost"
    spans = base.mark_rule(color=hue, strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title=title), y2="high:Q"
    )
    points = base.mark_circle(color=hue, size=70, opacity=1).encode(y=alt.Y("effect:Q"))
    zero = alt.Chart(pd.DataFrame({"y": [0.0]})).mark_rule(color=look.faint, strokeDash=[1, 3])
    return finish(alt.layer(zero.encode(y="y:Q"), spans, points), look, 260)


def fewer(table: pd.DataFrame, look: Look, *, backbone: str, majority: float) -> alt.LayerChart:
    """Accuracy against the number of vectors left out; band: range of the orders; dotted: the
    majority class.
    """
    hue = look.hue(backbone)
    low = min(0.4, float(table.low.min()), majority)
    scale = alt.Scale(domain=[low, 1])
    base = alt.Chart(table).encode(
        x=alt.X("count:Q", title="vectors left out").axis(tickMinStep=1),
        tooltip=[
            alt.Tooltip("count", title="vectors left out"),
            alt.Tooltip("accuracy", format=".3f"), alt.Tooltip("low", title="lowest", format=".3f"),
            alt.Tooltip("high", title="highest", format=".3f"),
            alt.Tooltip("orders", title="random orders"), alt.Tooltip("n", title="examples"),
        ],
    )  # fmt: skip
    band = base.mark_area(color=hue, opacity=0.18).encode(
        y=alt.Y("low:Q", scale=scale, title="accuracy"), y2="high:Q"
    )
    line = base.mark_line(color=hue, point=alt.OverlayMarkDef(color=hue, size=50)).encode(
        y=alt.Y("accuracy:Q", scale=scale)
    )
    chance = alt.Chart(pd.DataFrame({"y": [majority]})).mark_rule(
        color=look.faint, strokeDash=[1, 3]
    )
    return finish(alt.layer(chance.encode(y=alt.Y("y:Q", scale=scale)), band, line), look, 260)
