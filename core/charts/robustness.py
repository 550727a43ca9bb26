"""Clean against adversarial data."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from core.charts.look import Look, at, finish, level

PERCENT = ".0%"
FOUND_DASHES = {"found on clean": [1, 0], "found on adversarial": [8, 3], "random": [2, 3]}


def _backbones(table: pd.DataFrame, look: Look) -> alt.Color:
    return alt.Color(
        "backbone:N", scale=look.scale(table.backbone), title=None,
        legend=alt.Legend(columns=1, symbolOpacity=1),
    )  # fmt: skip


def _strokes(look: Look) -> alt.Legend:
    return alt.Legend(symbolType="stroke", symbolSize=400, symbolStrokeColor=look.ink, columns=1)


def accuracy_points(table: pd.DataFrame, look: Look, *, chance: float) -> alt.LayerChart:
    """Accuracy with its interval: on clean data, on adversarial data, and by attack."""
    table = table.assign(
        what=table.attack.where(table.attack != "", table.data).map(str), offset=table.backbone
    )
    order = ["clean", "adversarial", *(k for k in dict.fromkeys(table.attack) if k)]
    tips = [
        alt.Tooltip("backbone"), alt.Tooltip("what", title="data"),
        alt.Tooltip("accuracy", format=".3f"), alt.Tooltip("low", title="from", format=".3f"),
        alt.Tooltip("high", title="to", format=".3f"), alt.Tooltip("n", title="examples"),
        alt.Tooltip("seeds"),
    ]  # fmt: skip
    base = alt.Chart(table).encode(
        y=alt.Y("what:N", sort=order, title=None).axis(labelLimit=120),
        yOffset=alt.YOffset("backbone:N", sort=list(look.backbones)),
        color=_backbones(table, look),
        tooltip=tips,
    )
    scale = alt.Scale(domain=[0, 1])
    rule = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", scale=scale, title="accuracy").axis(tickCount=6), x2="high:Q"
    )
    point = base.mark_point(size=70, filled=True, opacity=1).encode(
        x=alt.X("accuracy:Q", scale=scale)
    )
    line = (
        alt.Chart(pd.DataFrame({"x": [chance]}))
        .mark_rule(color=look.ink, strokeDash=[2, 3])
        .encode(x="x:Q")
    )
    return finish(line + rule + point, look, 46 * len(order) + 60)


NULL_TIPS = [
    alt.Tooltip("shuffled", title="permutation null", format=".1%"),
    alt.Tooltip("shuffled_low", title="from", format=".1%"),
    alt.Tooltip("shuffled_high", title="to", format=".1%"),
]
CHANCE_TIPS = [
    alt.Tooltip("chance", title="chance overlap", format=".1%"),
    alt.Tooltip("chance_high", title="up to", format=".1%"),
    alt.Tooltip("p_chance", title="p (chance overlap)", format=".2g"),
]


def overlap_curves(table: pd.DataFrame, look: Look, *, fraction: float) -> alt.LayerChart:
    """Share of the clean skill neurons that are also adversarial ones, beside the permutation null
    (the band), chance overlap, and the split control.
    """
    table = table.assign(percent=table.fraction * 100)
    x = alt.X(
        "percent:Q", title="skill neurons, % of each layer",
        scale=alt.Scale(domain=[0, table.percent.max() * 1.02], nice=False),
    ).axis(**at(sorted(table.percent.unique())), format=".3~g")  # fmt: skip
    y = alt.Scale(domain=[0, 1])
    names = {
        "share": "clean and adversarial", "shuffled": "permutation null",
        "control": "split control", "chance": "chance overlap",
    }  # fmt: skip
    long = table.melt(["backbone", "percent"], list(names), var_name="line", value_name="y")
    long["line"] = long["line"].map(names)
    color = _backbones(table, look)
    dash = alt.StrokeDash(
        "line:N", title=None,
        scale=alt.Scale(domain=list(names.values()), range=[[1, 0], [5, 2], [10, 5], [1, 3]]),
        legend=_strokes(look),
    )  # fmt: skip
    tips = [
        alt.Tooltip("backbone"), alt.Tooltip("percent", title="fraction chosen, %", format=".3~g"),
        alt.Tooltip("share", title="overlap", format=PERCENT),
        alt.Tooltip("shared", title="shared neurons"),
        alt.Tooltip("chosen", title="clean skill neurons"),
        alt.Tooltip("adversarial", title="adversarial skill neurons"),
        alt.Tooltip("low", title="interval from", format=PERCENT),
        alt.Tooltip("high", title="to", format=PERCENT), *NULL_TIPS,
        alt.Tooltip("p", title="p (permutation)", format=".2g"), *CHANCE_TIPS,
        alt.Tooltip("control", title="split control", format=PERCENT),
    ]  # fmt: skip
    base = alt.Chart(table).encode(x=x)
    layers = [
        base.mark_area(opacity=0.2).encode(
            y=alt.Y("shuffled_low:Q", scale=y), y2="shuffled_high:Q", color=color
        ),
        alt.Chart(long).mark_line(strokeWidth=1.8).encode(
            x=x, y=alt.Y("y:Q", scale=y, title="overlap of skill neurons").axis(format=PERCENT),
            color=color, strokeDash=dash,
        ),
        base.mark_rule(strokeWidth=1.5).encode(
            y=alt.Y("low:Q", scale=y), y2="high:Q", color=color
        ),
        base.mark_circle(size=45, opacity=1).encode(
            y=alt.Y("share:Q", scale=y), color=color, tooltip=tips
        ),
        alt.Chart(pd.DataFrame({"x": [fraction * 100]})).mark_rule(
            color=look.faint, strokeWidth=1
        ).encode(x="x:Q"),
    ]  # fmt: skip
    return finish(alt.layer(*layers), look, 340)


def overlap_layers(table: pd.DataFrame, look: Look) -> alt.LayerChart:
    """Overlap of skill neurons in each layer at one fraction, with the permutation null."""
    tips = [
        alt.Tooltip("backbone"), "layer", alt.Tooltip("share", title="overlap", format=PERCENT),
        alt.Tooltip("shared", title="shared neurons"),
        alt.Tooltip("chosen", title="clean skill neurons"),
        *NULL_TIPS, alt.Tooltip("p", title="p (permutation, this layer)", format=".2g"),
        *CHANCE_TIPS,
    ]  # fmt: skip
    base = alt.Chart(table).encode(
        x=alt.X("layer:O", title="layer").axis(labelAngle=0),
        xOffset=alt.XOffset("backbone:N", sort=list(look.backbones)),
        tooltip=tips,
    )
    scale = alt.Scale(domain=[0, 1])
    bars = base.mark_bar().encode(
        y=alt.Y("share:Q", scale=scale, title="overlap of skill neurons").axis(format=PERCENT),
        color=_backbones(table, look),
    )
    ticks = base.mark_tick(color=look.ink, thickness=2).encode(y=alt.Y("shuffled:Q", scale=scale))
    rules = base.mark_rule(color=look.ink).encode(
        y=alt.Y("shuffled_low:Q", scale=scale), y2="shuffled_high:Q"
    )
    return finish(alt.layer(bars, rules, ticks), look, 340)


def percentile_histogram(
    table: pd.DataFrame, look: Look, *, backbone: str, median: float, highest: float
) -> alt.LayerChart:
    """Rank percentiles of the clean skill neurons in their layers on adversarial data.

    Each piece of a bar is one neuron and links to it. The axis ends at `highest`, a share of them.
    """
    step, total = 0.05, max(1, len(table))
    bins = (table.percentile / step).astype(int) * step
    above = table.groupby(bins).cumcount()
    pieces = table.assign(left=bins, right=bins + step, low=above / total, high=(above + 1) / total)
    scale = alt.Scale(domain=[0, highest])
    share = (
        alt.Chart(pieces)
        .mark_rect(
            color=look.hue(backbone), cursor="pointer",
            stroke=look.ground, strokeWidth=0.6 if len(table) <= 400 else 0,
        )
        .encode(
            x=alt.X(
                "left:Q", title="rank percentile in layer, adversarial data",
                scale=alt.Scale(domain=[0, 1]),
            ).axis(format=PERCENT, **at([0, 0.25, 0.5, 0.75, 1])),
            x2="right:Q",
            y=alt.Y("low:Q", scale=scale, title="share of clean skill neurons").axis(
                format=PERCENT, tickCount=5
            ),
            y2="high:Q",
            href="url:N",
            tooltip=[
                "layer", "neuron",
                alt.Tooltip("percentile:Q", format=".1%", title="rank percentile"),
                alt.Tooltip("clean:Q", format=".3f", title="predictivity, clean"),
                alt.Tooltip("adversarial:Q", format=".3f", title="predictivity, adversarial"),
            ],
        )
    )  # fmt: skip
    even = level(step, look)
    middle = (
        alt.Chart(pd.DataFrame({"x": [median], "what": ["median"]}))
        .mark_rule(color=look.ink, strokeWidth=2)
        .encode(x="x:Q", tooltip=[alt.Tooltip("x:Q", title="median", format=".2f")])
    )
    return finish(alt.layer(share, even, middle), look, 300)


def highest_bar(table: pd.DataFrame) -> float:
    """Height of the highest bar over the `percentile_histogram`s of all backbones."""
    parts = [
        np.histogram(part.percentile, bins=20, range=(0, 1))[0].max() / len(part)
        for _, part in table.groupby("backbone")
    ]
    return max(parts, default=1.0)


def stability_points(table: pd.DataFrame, look: Look) -> alt.LayerChart:
    """Spearman's rho of clean and adversarial predictivities, over all attacks and for each; grey:
    the permutation null; tick: the split control.
    """
    order = ["all attacks", *(k for k in dict.fromkeys(table.attack) if k)]
    table = table.assign(what=table.attack.where(table.attack != "", "all attacks"))
    tips = [
        alt.Tooltip("backbone"), alt.Tooltip("what", title="attack"),
        alt.Tooltip("spearman", format=".3f"),
        alt.Tooltip("low", title="interval from", format=".3f"),
        alt.Tooltip("high", title="to", format=".3f"),
        alt.Tooltip("shuffled", title="permutation null", format=".3f"),
        alt.Tooltip("shuffled_low", title="from", format=".3f"),
        alt.Tooltip("shuffled_high", title="to", format=".3f"),
        alt.Tooltip("p", title="p (permutation)", format=".2g"),
        alt.Tooltip("control", title="split control", format=".3f"),
        alt.Tooltip("seeds"),
    ]  # fmt: skip
    base = alt.Chart(table).encode(
        y=alt.Y("what:N", sort=order, title=None).axis(labelLimit=120),
        yOffset=alt.YOffset("backbone:N", sort=list(look.backbones)),
        tooltip=tips,
    )
    lowest = float(table[["low", "shuffled_low", "spearman"]].min().min())
    scale = alt.Scale(domain=[min(-0.2, lowest), 1])
    color = _backbones(table, look)
    x = alt.X("spearman:Q", scale=scale, title="Spearman").axis(tickCount=8)
    layers = [
        base.mark_bar(color=look.faint, fillOpacity=0.3, stroke=look.faint, size=13).encode(
            x=alt.X("shuffled_low:Q", scale=scale, title="Spearman"), x2="shuffled_high:Q"
        ),
        base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", scale=scale), x2="high:Q", color=color
        ),
        base.mark_point(size=70, filled=True, opacity=1).encode(x=x, color=color),
        base.mark_tick(color=look.ink, thickness=2, size=16).encode(
            x=alt.X("control:Q", scale=scale)
        ),
    ]  # fmt: skip
    return finish(alt.layer(*layers), look, 46 * len(order) + 60)


def cross_curves(
    table: pd.DataFrame,
    look: Look,
    *,
    backbone: str,
    fractions: Sequence[float],
    lowest: float,
) -> alt.LayerChart:
    """Accuracy, from `lowest` up, against the fraction of suppressed neurons; the line style gives
    the data on which the neurons were found.
    """
    names = {"clean": "found on clean", "adversarial": "found on adversarial"}
    skill = table[table.choose == "skill"]
    skill = skill.assign(line=skill.found.map(names))
    random = table[(table.choose == "random")].drop_duplicates(["backbone", "fraction"])
    lines = pd.concat([skill, random.assign(line="random")])
    lines = lines.assign(percent=lines.fraction * 100)
    tips = [
        alt.Tooltip("line", title="neurons"), alt.Tooltip("percent", title="fraction, %"),
        alt.Tooltip("accuracy", format=".3f"), alt.Tooltip("low", title="band from", format=".3f"),
        alt.Tooltip("high", title="to", format=".3f"), "seeds", "draws",
        alt.Tooltip("n", title="examples"),
    ]  # fmt: skip
    dash = alt.StrokeDash(
        "line:N", title=None,
        scale=alt.Scale(domain=list(FOUND_DASHES), range=list(FOUND_DASHES.values())),
        legend=_strokes(look),
    )  # fmt: skip
    y = alt.Scale(domain=[lowest, 1])
    base = alt.Chart(lines).encode(
        x=alt.X(
            "percent:Q", title="suppressed neurons, % of each layer",
            scale=alt.Scale(domain=[0, max(fractions) * 100], nice=False),
        ).axis(**at(f * 100 for f in fractions), labelOverlap=True, format=".3~g"),
        detail="line:N",
    )  # fmt: skip
    hue = look.hue(backbone)
    layers = [
        base.mark_area(color=hue, opacity=0.1, clip=True).encode(
            y=alt.Y("low:Q", scale=y), y2="high:Q"
        ),
        base.mark_line(color=hue, strokeWidth=2).encode(
            y=alt.Y("accuracy:Q", scale=y, title="accuracy"), strokeDash=dash
        ),
        base.mark_circle(color=hue, size=36, opacity=1).encode(
            y=alt.Y("accuracy:Q", scale=y), tooltip=tips
        ),
        level(float(lines.majority.max()) if len(lines) else 0.5, look),
    ]
    return finish(alt.layer(*layers), look, 300)
