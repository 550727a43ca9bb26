"""One neuron, and one text."""

import math
from collections.abc import Sequence

import altair as alt
import numpy as np
import numpy.typing as npt
import pandas as pd

from core.charts.look import Look, finish, tick_name, written_on


def profile(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str]
) -> alt.LayerChart:
    """A neuron's predictivity in each task: a dot per seed, the mean, and the permutation null."""
    y = alt.Y("task:N", sort=list(tasks), title=None)
    scale = alt.Scale(domain=[0.5, 1])
    hue = look.hue(backbone)
    # Above the rows, where it is seen on a phone; the ticks' names stand between.
    above = alt.Axis(orient="top", offset=16)
    tips = [
        "task", "seed", alt.Tooltip("predictivity:Q", format=".3f"),
        alt.Tooltip("p:Q", title="p (own permutation null)", format=".3f"),
        alt.Tooltip("p_family:Q", title="p, family-wise", format=".3f"),
        alt.Tooltip("q:Q", title="false discovery rate", format=".3f"),
        alt.Tooltip("floor:Q", title="permutation null (mean)", format=".3f"),
        alt.Tooltip("fwer:Q", title="best neuron under permutation (95%)", format=".3f"),
    ]  # fmt: skip
    means = table.groupby("task", as_index=False)[["predictivity", "floor", "fwer"]].mean()
    dots = (
        alt.Chart(table)
        .mark_circle(color=hue, size=42, opacity=0.55)
        .encode(
            y=y,
            x=alt.X("predictivity:Q", scale=scale, title="predictivity", axis=above),
            tooltip=tips,
        )
    )
    base = alt.Chart(means).encode(y=y)
    mean = base.mark_tick(color=hue, thickness=3, size=18).encode(
        x=alt.X("predictivity:Q", scale=scale)
    )
    floor = base.mark_tick(color=look.ink, thickness=1.5, size=18).encode(
        x=alt.X("floor:Q", scale=scale)
    )
    fwer = base.mark_tick(color=look.ink, thickness=1.5, size=18).encode(
        x=alt.X("fwer:Q", scale=scale)
    )
    first = means[means.task == tasks[0]]
    shuffled = tick_name(first, alt.X("floor:Q", scale=scale), look, "shuffled", to_the_left=True)
    threshold = tick_name(first, alt.X("fwer:Q", scale=scale), look, "threshold")
    layers = alt.layer(dots, mean, floor, fwer, shuffled, threshold)
    return finish(layers, look, 30 * max(1, len(means)) + 50)


def contribution(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str]
) -> alt.LayerChart:
    """What a neuron adds to the right answers of each task: a dot per seed with its interval, and
    the mean.
    """
    y, hue = alt.Y("task:N", sort=list(tasks), title=None), look.hue(backbone)
    base = alt.Chart(table).encode(y=y)
    title = "attribution (logits)"
    dots = base.mark_circle(color=hue, size=42, opacity=0.55).encode(
        x=alt.X("attribution:Q", title=title).axis(orient="top"),
        tooltip=[
            "task", "seed", alt.Tooltip("attribution:Q", format="+.3f"),
            alt.Tooltip("low:Q", title="from", format="+.3f"),
            alt.Tooltip("high:Q", title="to", format="+.3f"),
            alt.Tooltip("place:Q", title="rank percentile in the layer", format=".0%"),
            alt.Tooltip("n:Q", title="train rows"),
        ],
    )  # fmt: skip
    spans = base.mark_rule(color=hue, strokeWidth=0.8).encode(
        x=alt.X("low:Q", title=title), x2="high:Q"
    )
    means = table.groupby("task", as_index=False)[["attribution"]].mean()
    mean = (
        alt.Chart(means).mark_tick(color=hue, thickness=3, size=18).encode(y=y, x="attribution:Q")
    )
    zero = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(color=look.faint, strokeDash=[1, 3])
    return finish(
        alt.layer(zero.encode(x="x:Q"), spans, dots, mean), look, 30 * max(1, len(means)) + 50
    )


def tokens(
    table: pd.DataFrame, look: Look, *, backbone: str, order: Sequence[str], fwer: float
) -> alt.LayerChart:
    """Accuracy at each prompt position, a line per seed; the chosen seed is bold. Dashed lines:
    the 95th percentile of the best neuron under permutation (`fwer`) and its mirror image.
    """
    hue = look.hue(backbone)
    x = alt.X("token:N", sort=list(order), title="position").axis(labelAngle=0, labelOverlap=True)
    y = alt.Y("accuracy:Q", scale=alt.Scale(domain=[0, 1]), title="accuracy")
    tips = ["token", "seed", alt.Tooltip("accuracy:Q", format=".3f")]
    base = alt.Chart(table)
    others = base.transform_filter("!datum.chosen")
    mine = base.transform_filter("datum.chosen")
    best = mine.transform_filter("datum.best")
    half = alt.Chart(pd.DataFrame({"y": [0.5]})).mark_rule(color=look.faint, strokeDash=[1, 3])
    levels = alt.Chart(pd.DataFrame({"y": [fwer, 1 - fwer]})).mark_rule(
        color=look.ink, strokeDash=[5, 4], opacity=0.7
    )
    layers = [
        half.encode(y="y:Q"),
        levels.encode(y="y:Q"),
        others.mark_line(color=look.faint, strokeWidth=0.8).encode(x=x, y=y, detail="seed:N"),
        mine.mark_line(color=hue, strokeWidth=2.2).encode(x=x, y=y, detail="seed:N"),
        mine.mark_circle(color=hue, size=40, opacity=1).encode(x=x, y=y, tooltip=tips),
        best.mark_point(color=look.ink, size=170, strokeWidth=2).encode(x=x, y=y, tooltip=tips),
    ]
    return finish(alt.layer(*layers), look, 300)


def round_step(about: float) -> float:
    """1, 2 or 5 times a power of ten, at least as large."""
    if not about > 0:
        return 1e-6
    power = 10 ** math.floor(math.log10(about))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= about * (1 - 1e-9)))


def activation_histogram(
    table: pd.DataFrame, look: Look, *, baseline: float, classes: Sequence[str]
) -> alt.LayerChart:
    """The neuron's activations at its best token, by class, and its baseline."""
    low, high = float(table.activation.min()), float(table.activation.max())
    step = round_step((high - low) / 30)
    bins = alt.Bin(step=step, anchor=0)
    first, last = math.floor(low / (5 * step)), math.ceil(high / (5 * step))
    scale = alt.Scale(domain=list(classes), range=look.classes(len(classes)))
    bars = (
        alt.Chart(table)
        .mark_bar(fillOpacity=0.6)
        .encode(
            x=alt.X("activation:Q", bin=bins, title="activation").axis(
                values=[round(i * 5 * step, 12) for i in range(first, last + 1)], format="~g",
                labelOverlap="greedy", labelSeparation=8,
            ),
            y=alt.Y("count():Q", stack=None, title="examples"),
            color=alt.Color("class:N", title=None, scale=scale),
            stroke=alt.Stroke("class:N", title=None, scale=scale),
            tooltip=["class", alt.Tooltip("count():Q", title="examples")],
        )
    )  # fmt: skip
    rule = (
        alt.Chart(pd.DataFrame({"x": [baseline]}))
        .mark_rule(color=look.ink, strokeWidth=2, strokeDash=[4, 3])
        .encode(x="x:Q", tooltip=[alt.Tooltip("x:Q", title="baseline (train mean)", format=".3f")])
    )
    return finish(alt.layer(bars, rule), look, 300)


def word_directions(
    words: pd.DataFrame,
    look: Look,
    *,
    cosines: Sequence[float] | npt.NDArray[np.float64],
    bins: int = 40,
) -> alt.LayerChart:
    """The cosines of a neuron's output direction with all words as a histogram, and a line for each
    class's answer word. Columns of `lab.playground.Favoured.words`.
    """
    counts, edges = np.histogram(np.asarray(cosines), bins=bins)
    table = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "words": counts})
    classes = words["class"].tolist()
    x = alt.X("from:Q", title="cosine with a token's output embedding")
    bars = (
        alt.Chart(table)
        .mark_bar(color=look.faint, fillOpacity=0.45, stroke=look.faint)
        .encode(
            x=x, x2="to:Q", y=alt.Y("words:Q", title="tokens in the vocabulary"),
            y2=alt.Y2Datum(0),
            tooltip=[
                alt.Tooltip("from:Q", format=".3f"), alt.Tooltip("to:Q", format=".3f"), "words",
            ],
        )
    )  # fmt: skip
    rules = (
        alt.Chart(words.assign(top=int(counts.max())))
        .mark_rule(strokeWidth=3)
        .encode(
            x="cosine:Q", y="top:Q", y2=alt.Y2Datum(0),
            color=alt.Color(
                "class:N", title=None,
                scale=alt.Scale(domain=classes, range=look.classes(len(classes))),
            ),
            tooltip=[
                "class", alt.Tooltip("word", title="answer word"),
                alt.Tooltip("cosine:Q", format=".3f"),
                alt.Tooltip("above:Q", title="tokens with a lower cosine", format=".1%"),
            ],
        )
    )  # fmt: skip
    return finish(alt.layer(bars, rules), look, 240)


LATE = 0.25  # probability: a piece that begins beyond it has its text at its end


def probabilities(table: pd.DataFrame, look: Look, *, classes: Sequence[str]) -> alt.LayerChart:
    """Class probabilities: before an attack, unmodified, and with skill or as many random neurons
    suppressed.
    """
    order = [
        "before the attack", "after the attack", "unmodified", "skill neurons suppressed",
        "causal neurons suppressed", "random neurons suppressed",
    ]  # fmt: skip
    base = alt.Chart(table).encode(
        y=alt.Y("how:N", sort=order, title=None).axis(labelLimit=180), tooltip=[
            alt.Tooltip("how", title="model"), "class", alt.Tooltip("probability:Q", format=".3f"),
            alt.Tooltip("low:Q", title="lowest draw", format=".3f"),
            alt.Tooltip("high:Q", title="highest draw", format=".3f"),
        ],
    )  # fmt: skip
    bars = base.mark_bar(size=22).encode(
        x=alt.X("probability:Q", stack="zero", scale=alt.Scale(domain=[0, 1]), title="probability"),
        color=alt.Color(
            "class:N", title=None,
            scale=alt.Scale(domain=list(classes), range=look.classes(len(classes))),
        ),
        order=alt.Order("rank:Q"),
    )  # fmt: skip
    upto = table.sort_values("rank").groupby("how").probability.cumsum()
    begin = upto - table.probability  # of a class's piece; near its end, a text would be cut
    table = table.assign(late=begin > LATE, at=begin.where(begin <= LATE, upto))
    surest = table.loc[table.groupby("how").probability.idxmax()]
    side, inward = (
        alt.ExprRef(f"datum.late ? {a} : {b}") for a, b in (("'right'", "'left'"), (-6, 6))
    )
    digits = (
        alt.Chart(surest.assign(text=surest["class"] + surest.probability.map(" {:.3f}".format)))
        .mark_text(align=side, dx=inward, color=written_on("class"), fontSize=look.type)
        .encode(y=alt.Y("how:N", sort=order), x="at:Q", text="text:N")
    )
    half = (
        alt.Chart(pd.DataFrame({"x": [1 / len(classes)]}))
        .mark_rule(color=look.ink, strokeDash=[2, 3])
        .encode(x="x:Q")
    )
    spread = (
        alt.Chart(table[(table["rank"] == 0) & (table.high > table.low)])
        .mark_rule(color=look.ink, strokeWidth=2)
        .encode(y=alt.Y("how:N", sort=order), x=alt.X("low:Q"), x2="high:Q")
    )
    return finish(alt.layer(bars, half, spread, digits), look, 40 * table.how.nunique() + 70)


def votes(table: pd.DataFrame, look: Look, *, classes: Sequence[str]) -> alt.LayerChart:
    """Skill neurons: activation relative to the baseline, and the predicted class."""
    bars = (
        alt.Chart(table)
        .mark_bar(cursor="pointer")
        .encode(
            y=alt.Y("name:N", sort=list(table.name), title="layer/neuron"),
            href="url:N",
            x=alt.X("above:Q", title="activation minus baseline"),
            color=alt.Color(
                "vote:N", title="predicted class",
                scale=alt.Scale(domain=list(classes), range=look.classes(len(classes))),
            ),
            tooltip=[
                "layer", "neuron", alt.Tooltip("vote", title="predicted class"),
                alt.Tooltip("activation:Q", format=".3f"), alt.Tooltip("baseline:Q", format=".3f"),
                alt.Tooltip("predictivity:Q", format=".3f"),
            ],
        )
    )  # fmt: skip
    return finish(alt.layer(bars), look, 18 * max(1, len(table)) + 80)
