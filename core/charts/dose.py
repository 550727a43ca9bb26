"""Accuracy and shared neurons over the dose of an attack, and one against the other."""

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.look import Look, at, below, finish, level, level_name

MEASURED, SHUFFLED = "true labels", "shuffled (control)"
HEIGHT = 260


def _hue(table: pd.DataFrame, look: Look) -> alt.Color:
    return alt.Color(
        "backbone:N", scale=look.scale(table.backbone), title=None,
        legend=alt.Legend(columns=1, symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=4),
    )  # fmt: skip


def _doses(edits: str, doses: Sequence[int]) -> alt.X:
    return alt.X(
        "dose:Q", title=f"{edits} per text", scale=alt.Scale(domain=[0, max(doses)], nice=False)
    ).axis(**at([0, *doses]), format="d", labelOverlap=False)


def dose_accuracy(
    table: pd.DataFrame, look: Look, *, edits: str, doses: Sequence[int], upto: int | None = None
) -> alt.LayerChart:
    """Accuracy over the dose with its interval; columns of `figures.robustness.dose.accuracy`. The
    axes are those of the whole table, whatever dose it is drawn up to.
    """
    chance = float(table.majority.max())
    lowest = below(min(float(table.low.min()), chance))
    table = table if upto is None else table[table.dose <= upto]
    scale = alt.Scale(domain=[lowest, 1])
    base = alt.Chart(table).encode(x=_doses(edits, doses), color=_hue(table, look))
    band = base.mark_area(opacity=0.14).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
    y = alt.Y("accuracy:Q", scale=scale, title="accuracy")
    points = base.mark_circle(size=55, opacity=1).encode(
        y=y,
        tooltip=[
            alt.Tooltip("backbone"), alt.Tooltip("dose", title=edits),
            alt.Tooltip("accuracy", format=".3f"), alt.Tooltip("low", title="from", format=".3f"),
            alt.Tooltip("high", title="to", format=".3f"), alt.Tooltip("n", title="examples"),
            alt.Tooltip("seeds"),
        ],
    )  # fmt: skip
    line = base.mark_line(strokeWidth=2.2).encode(y=y)
    named = level_name(chance, look, "majority class")
    return finish(band + level(chance, look) + named + line + points, look, HEIGHT)


def dose_overlap(
    table: pd.DataFrame, look: Look, *, edits: str, doses: Sequence[int]
) -> alt.LayerChart:
    """Shared neurons over the dose, with true and with shuffled labels; columns of
    `figures.robustness.dose.overlap`, for one kind of neuron.
    """
    scale = alt.Scale(domain=[0, 1])
    long = table.melt(
        [c for c in table if c not in ("shared", "shuffled")], ["shared", "shuffled"],
        var_name="labels", value_name="share",
    )  # fmt: skip
    long["labels"] = long.labels.map({"shared": MEASURED, "shuffled": SHUFFLED})
    base = alt.Chart(long).encode(x=_doses(edits, doses), color=_hue(table, look))
    band = (
        alt.Chart(table)
        .mark_area(opacity=0.14)
        .encode(
            x=_doses(edits, doses), color=_hue(table, look),
            y=alt.Y("low:Q", scale=scale), y2="high:Q",
        )
    )  # fmt: skip
    y = alt.Y("share:Q", scale=scale, title="share found again").axis(format=".0%")
    dash = alt.StrokeDash(
        "labels:N", title=None,
        scale=alt.Scale(domain=[MEASURED, SHUFFLED], range=[[1, 0], [2, 3]]),
        legend=alt.Legend(
            columns=1, symbolType="stroke", symbolSize=400, symbolStrokeColor=look.ink
        ),
    )  # fmt: skip
    line = base.mark_line(strokeWidth=2.2).encode(y=y, strokeDash=dash)
    points = (
        base.transform_filter(alt.datum.labels == MEASURED)
        .mark_circle(size=55, opacity=1)
        .encode(
            y=y,
            tooltip=[
                alt.Tooltip("backbone"), alt.Tooltip("dose", title=edits),
                alt.Tooltip("share", title="shared", format=".0%"),
                alt.Tooltip("low", title="lowest split", format=".0%"),
                alt.Tooltip("high", title="highest split", format=".0%"),
                alt.Tooltip("kept", title="kept, above shuffled labels", format=".2f"),
                alt.Tooltip("splits"), alt.Tooltip("seeds"),
            ],
        )
    )  # fmt: skip
    return finish(band + line + points, look, HEIGHT)


def claim_points(table: pd.DataFrame, look: Look, *, neurons: str) -> alt.LayerChart:
    """Neurons kept against accuracy kept; a point a task, attack and dose, a least-squares line a
    backbone. Columns of `figures.robustness.claim.points`, and `url`; `neurons` names the kind.
    """
    ends = {
        name: [min(0.0, math.floor(10 * table[name].min()) / 10),
               max(1.0, math.ceil(10 * table[name].max()) / 10)]
        for name in ("accuracy_kept", "kept")
    }  # fmt: skip
    across, up = (alt.Scale(domain=ends[name]) for name in ("accuracy_kept", "kept"))
    x = alt.X("accuracy_kept:Q", title="accuracy kept", scale=across)
    y = alt.Y("kept:Q", title=f"{neurons} kept", scale=up)
    equal = (
        alt.Chart(pd.DataFrame({"x": [0, 1], "y": [0, 1]}))
        .mark_line(color=look.faint, strokeDash=[1, 3])
        .encode(x=alt.X("x:Q", scale=across), y=alt.Y("y:Q", scale=up))
    )
    base = alt.Chart(table).encode(x=x, y=y, color=_hue(table, look))
    line = (
        base.transform_regression("accuracy_kept", "kept", groupby=["backbone"])
        .mark_line(strokeWidth=2.2, clip=True)
        .encode()
    )
    kinds = sorted(set(table.attack))
    shape = alt.Shape("attack:N", title="attack") if len(kinds) > 1 else alt.Undefined
    points = base.mark_point(size=60, opacity=0.75, filled=True).encode(
        href="url:N",
        shape=shape,
        tooltip=[
            alt.Tooltip("backbone"), alt.Tooltip("task"), alt.Tooltip("attack"),
            alt.Tooltip("dose"), alt.Tooltip("accuracy", format=".3f"),
            alt.Tooltip("accuracy_kept", title="accuracy kept", format=".2f"),
            alt.Tooltip("kept", title=f"{neurons} kept", format=".2f"),
            alt.Tooltip("shared", title="shared", format=".0%"),
            alt.Tooltip("shuffled", title="shared, shuffled labels", format=".0%"),
            alt.Tooltip("n", title="examples"), alt.Tooltip("seeds"),
        ],
    )  # fmt: skip
    return finish(equal + line + points, look, 320)
