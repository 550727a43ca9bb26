"""Distributions of predictivity over neurons and layers."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.look import Look, below, finish, level

BAR_TIPS = [
    alt.Tooltip("task", title="task"),
    alt.Tooltip("accuracy", title="accuracy of the prompt", format=".3f"),
    alt.Tooltip("low", title="interval from", format=".3f"),
    alt.Tooltip("high", title="to", format=".3f"),
    alt.Tooltip("n", title="examples"),
    alt.Tooltip("seeds", title="seeds"),
    alt.Tooltip("majority", title="majority-class accuracy", format=".3f"),
]
BOX_TIPS = [
    alt.Tooltip("task", title="task"),
    alt.Tooltip("median", title="median predictivity", format=".3f"),
    alt.Tooltip("q1", title="lower quartile", format=".3f"),
    alt.Tooltip("q3", title="upper quartile", format=".3f"),
    alt.Tooltip("p99", title="99th percentile", format=".3f"),
    alt.Tooltip("highest", title="best neuron", format=".3f"),
    alt.Tooltip("floor", title="permutation null (mean)", format=".3f"),
    alt.Tooltip("fwer", title="best neuron under permutation (95%)", format=".3f"),
    alt.Tooltip("fdr", title="lowest discovery (FDR 5%)", format=".3f"),
    alt.Tooltip("discoveries", title="discoveries (FDR 5%)", format=".0%"),
    alt.Tooltip("certain", title="significant neurons (family-wise)", format=".0%"),
    alt.Tooltip("neurons", title="neurons"),
    alt.Tooltip("seeds", title="seeds"),
    alt.Tooltip("n", title="examples"),
]


def boxes_over_bars(
    boxes: pd.DataFrame,
    outliers: pd.DataFrame,
    bars: pd.DataFrame,
    look: Look,
    *,
    backbone: str,
    tasks: Sequence[str],
    lowest: float | None = None,
) -> alt.LayerChart:
    """Predictivity box plots in front of accuracy bars, which begin at the majority class, all on
    one axis; the best neuron is ringed. The axis begins where the data do, or for several figures
    on one scale at `lowest`.
    """
    if lowest is None:
        lowest = boxes_begin(boxes, bars)
    hue = look.hue(backbone)
    x = alt.X("task:N", sort=list(tasks), title=None).axis(labelAngle=-40, labelOverlap=False)

    def y(field: str) -> alt.Y:
        return alt.Y(
            f"{field}:Q", scale=alt.Scale(domain=[lowest, 1]), title="accuracy, predictivity"
        )

    wide, narrow = (alt.RelativeBandSize(band=share) for share in (0.72, 0.36))
    bar = alt.Chart(bars).encode(x=x, tooltip=BAR_TIPS)
    box = alt.Chart(boxes).encode(x=x, tooltip=BOX_TIPS)
    layers = [
        bar.mark_bar(color=hue, fillOpacity=0.22, stroke=hue, width=wide).encode(
            y=y("accuracy"), y2="majority"
        ),
        bar.mark_rule(color=hue, strokeWidth=1.5).encode(y=y("low"), y2="high"),
        box.mark_rule(color=hue, strokeWidth=1.5).encode(y=y("whisker_low"), y2="whisker_high"),
        box.mark_bar(width=narrow, fill=look.ground, stroke=hue, strokeWidth=1.5).encode(
            y=y("q1"), y2="q3"
        ),
        box.mark_tick(color=hue, thickness=3, width=narrow).encode(y=y("median")),
        box.mark_point(size=70, stroke=look.ink, strokeWidth=1.5, filled=False).encode(
            y=y("highest")
        ),  # below the dots, which can be clicked
        alt.Chart(outliers).mark_circle(color=hue, size=20, opacity=0.6, cursor="pointer").encode(
            x=x,
            y=y("predictivity"),
            tooltip=["task", "layer", "neuron", alt.Tooltip("predictivity", format=".3f")],
            href="url:N",
        ),
        box.mark_tick(color=look.ink, thickness=2.5, width=wide).encode(y=y("fwer")),
        level(0.5, look),
    ]  # fmt: skip
    return finish(alt.layer(*layers), look, 380)


def boxes_begin(boxes: pd.DataFrame, bars: pd.DataFrame) -> float:
    """Where an axis begins that shows all of these."""
    ends = [boxes.whisker_low, bars.majority, bars.accuracy, bars.low]
    return below(min(float(column.min()) for column in ends if len(column)))


def layer_profile(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str]
) -> alt.LayerChart:
    """99th percentile and median of predictivity, layer by layer."""
    long = table.melt(
        id_vars=["task", "layer"], value_vars=["p99", "median", "fwer", "floor"], var_name="what"
    )
    names = {
        "p99": "99th percentile", "median": "median",
        "fwer": "best neuron under permutation (95%)", "floor": "permutation null (mean)",
    }  # fmt: skip
    long["what"] = long["what"].map(names)
    chart = (
        alt.Chart(long)
        .mark_line(color=look.hue(backbone), point=alt.OverlayMarkDef(size=18, filled=True))
        .encode(
            x=alt.X("layer:O", title="layer").axis(labelAngle=0),
            y=alt.Y("value:Q", scale=alt.Scale(domain=[0.5, 1]), title="predictivity"),
            strokeDash=alt.StrokeDash(
                "what:N",
                title=None,
                scale=alt.Scale(
                    domain=list(names.values()), range=[[1, 0], [6, 4], [8, 2, 1, 2], [1, 3]]
                ),
                legend=alt.Legend(
                    symbolType="stroke", symbolSize=400, symbolStrokeColor=look.ink, columns=2
                ),
            ),
            facet=alt.Facet("task:N", sort=list(tasks), columns=3, title=None),
            tooltip=["task", "layer", "what", alt.Tooltip("value:Q", format=".3f")],
        )
        .properties(width=130, height=110)
    )
    return finish(chart, look)
