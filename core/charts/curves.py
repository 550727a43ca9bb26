"""Lines: suppression and tuning."""

from collections.abc import Sequence
from typing import Literal

import altair as alt
import pandas as pd

from core.charts.look import DASHES, KIND_TITLES, MARKS, Look, at, below, finish, level, level_name

CLOSE = 0.2  # up to this fraction, labels of all points have room


def suppression_curves(
    table: pd.DataFrame,
    look: Look,
    *,
    fractions: Sequence[float],
    scope: str = "layer",
    lowest: float | None = None,
    legends: Literal["top", "bottom"] = "top",
) -> alt.LayerChart:
    """Accuracy against the fraction suppressed; hue = backbone, line style = kind of neuron. The
    axis begins below the lowest value and chance, or at `lowest`, for figures on one scale.
    """
    table = table.assign(
        percent=table.fraction * 100, neurons=table.choose.map(lambda c: KIND_TITLES[c])
    )
    kinds = [KIND_TITLES[k] for k in DASHES if (table.choose == k).any()]
    dashes = [DASHES[k] for k in DASHES if KIND_TITLES[k] in kinds]
    x = alt.X(
        "percent:Q",
        title=f"suppressed neurons, % of {'each layer' if scope == 'layer' else 'the model'}",
        scale=alt.Scale(domain=[0, max(fractions) * 100], nice=False),
    ).axis(
        **at(f * 100 for f in fractions), labelOverlap=bool(max(fractions) > CLOSE), format=".3~g"
    )
    room = 600 if look.large else 440  # on a phone, and in large type, below each other
    beside = {"expr": f"width > {room} ? 3 : 1"}
    color = alt.Color(
        "backbone:N",
        scale=look.scale(table.backbone),
        title=None,
        legend=alt.Legend(
            columns=1, symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=4, orient=legends
        ),
    )
    dash = alt.StrokeDash(
        "neurons:N", title=None, scale=alt.Scale(domain=kinds, range=dashes),
        legend=alt.Legend(
            columns=beside, symbolType="stroke", symbolSize=400, symbolStrokeColor=look.ink,
            orient=legends,
        ),
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("backbone", title="backbone"),
        alt.Tooltip("neurons", title="suppressed"),
        alt.Tooltip("percent", title="fraction, %", format=".3~g"),
        alt.Tooltip("accuracy", title="accuracy", format=".3f"),
        alt.Tooltip("low", title="band from", format=".3f"),
        alt.Tooltip("high", title="to", format=".3f"),
        alt.Tooltip("seeds", title="seeds"),
        alt.Tooltip("draws", title="draws"),
        alt.Tooltip("n", title="examples"),
    ]
    chance = float(table.majority.max()) if len(table) else 0.5
    least = min(float(table.low.min()), chance) if len(table) else chance
    scale = alt.Scale(domain=[below(least) if lowest is None else lowest, 1])
    y = alt.Y("accuracy:Q", title="accuracy", scale=scale)
    base = alt.Chart(table).encode(x=x, color=color, detail=alt.Detail("neurons:N"))
    band = base.mark_area(opacity=0.14, clip=True).encode(
        y=alt.Y("low:Q", scale=scale), y2=alt.Y2("high:Q")
    )
    line = base.mark_line(strokeWidth=2.2).encode(y=y, strokeDash=dash)
    points = base.mark_circle(size=45, opacity=1).encode(y=y, tooltip=tooltip)
    named = level_name(chance, look, "majority class")
    return finish(alt.layer(band, line, points, level(chance, look), named), look, 350)


def tuning_loss(table: pd.DataFrame, look: Look, *, backbone: str, steps: int) -> alt.LayerChart:
    """Loss at each step, on an axis from 0."""
    y = alt.Scale(domainMin=0, domainMax=1.05 * max(0.1, float(table.loss.max())), nice=False)
    line = (
        alt.Chart(table)
        .mark_line(color=look.hue(backbone), strokeWidth=1.2, opacity=0.8)
        .encode(
            x=_steps(steps), y=alt.Y("loss:Q", scale=y, title="loss"),
            tooltip=["step", alt.Tooltip("loss", format=".3f")],
        )
    )  # fmt: skip
    return finish(line, look, 180)


def tuning_accuracy(
    table: pd.DataFrame,
    look: Look,
    *,
    backbone: str,
    steps: int,
    chance: float | None,
    metric: str = "accuracy",
) -> alt.LayerChart:
    """Accuracy on the selection rows, at the steps where it was measured, or the mean of another
    metric, which has no chance level.
    """
    line = (
        alt.Chart(table.dropna(subset="accuracy"))
        .mark_line(color=look.hue(backbone), strokeWidth=2.2, point=True)
        .encode(
            x=_steps(steps),
            y=alt.Y("accuracy:Q", scale=alt.Scale(domain=[0, 1]), title=f"held-out {metric}"),
            tooltip=["step", alt.Tooltip("accuracy", title=metric, format=".3f")],
        )
    )
    if chance is None:
        return finish(alt.layer(line), look, 180)
    return finish(line + level(chance, look) + level_name(chance, look, "chance"), look, 180)


def convergence(
    table: pd.DataFrame, look: Look, *, starts: Sequence[str], steps: int, chance: float
) -> alt.LayerChart:
    """Selection accuracy by step, a line a start, a band for the range of its runs: `start`,
    `step`, `accuracy`, `low`, `high`, `runs`.
    """
    hues = alt.Scale(domain=list(starts), range=look.kinds(len(starts)))
    marks = MARKS[:-1]  # as hues repeat after six, 30 starts differ in one or the other
    shapes = alt.Scale(
        domain=list(starts), range=[marks[i % len(marks)] for i in range(len(starts))]
    )
    key = alt.Legend(columns=3, symbolOpacity=1, symbolStrokeWidth=0)
    color = alt.Color("start:N", scale=hues, title=None, legend=key)
    low = min(chance, float(table.low.min())) - 0.02
    y = alt.Scale(domain=[low, 1], nice=False)
    base = alt.Chart(table).encode(x=_steps(steps), color=color)
    band = base.mark_area(opacity=0.12).encode(
        y=alt.Y("low:Q", scale=y, title="held-out accuracy"), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2).encode(y=alt.Y("accuracy:Q", scale=y))
    points = base.mark_point(size=45, filled=True, opacity=1).encode(
        y=alt.Y("accuracy:Q", scale=y),
        shape=alt.Shape("start:N", scale=shapes, title=None, legend=key),
        tooltip=[
            "start", "step", alt.Tooltip("accuracy", format=".3f"),
            alt.Tooltip("low", title="lowest run", format=".3f"),
            alt.Tooltip("high", title="highest run", format=".3f"), "runs",
        ],
    )  # fmt: skip
    floor = alt.Chart(pd.DataFrame({"y": [chance]})).mark_rule(color=look.faint, strokeDash=[1, 3])
    return finish(alt.layer(floor.encode(y=alt.Y("y:Q", scale=y)), band, line, points), look, 340)


def _steps(steps: int) -> alt.X:
    scale = alt.Scale(domain=[0, steps], nice=False)
    return alt.X("step:Q", title="step", scale=scale).axis(
        tickMinStep=1, format="d", tickCount={"expr": "ceil(width / 80)"}
    )
