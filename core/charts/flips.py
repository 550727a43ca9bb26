"""What becomes of answers under attack, and one neuron along two texts."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.look import Look, finish, written_on

WORD_STARTS = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}\N{LOWER ONE EIGHTH BLOCK}"
APART = "\N{INVISIBLE SEPARATOR}"  # between a position and its token, in an axis label


def answer_states(
    table: pd.DataFrame, look: Look, *, backbones: Sequence[str], states: Sequence[str]
) -> alt.LayerChart:
    """Shares of examples in each state, a bar per backbone: backbone, state, examples, share."""
    hues = [look.classes(2)[1], look.classes(2)[0], look.faint, look.third]
    order = {state: i for i, state in enumerate(states)}
    base = alt.Chart(table.assign(place=table.state.map(order))).encode(
        y=alt.Y("backbone:N", sort=list(backbones), title=None).axis(labelLimit=180),
        order="place:O",
        tooltip=[
            "backbone", alt.Tooltip("state", title="answers"), alt.Tooltip("examples"),
            alt.Tooltip("share", format=".1%"),
        ],
    )  # fmt: skip
    bars = base.mark_bar(size=24, stroke=look.ground).encode(
        x=alt.X("share:Q", stack="zero", title="share of examples").axis(format="%"),
        color=alt.Color(
            "state:N", title=None, sort=list(states), legend=alt.Legend(columns=2),
            scale=alt.Scale(domain=list(states), range=hues[: len(states)]),
        ),
    )  # fmt: skip
    numbers = base.mark_text(color=written_on("state"), fontSize=look.type).encode(
        x=alt.X("middle:Q"),
        text=alt.condition("datum.share > 0.05", alt.Text("examples:Q"), alt.value("")),
    )
    return finish(alt.layer(bars, numbers), look, 44 * len(backbones) + 70)


def neuron_along(
    table: pd.DataFrame, look: Look, *, backbone: str, baseline: float, domain: Sequence[float]
) -> alt.LayerChart:
    """A neuron's activation at each position of one text: position, token, kind, activation.
    Dashed: its baseline.
    """
    tokens = table.token.str.lstrip(WORD_STARTS)
    named = table.assign(label=table.position.astype(str) + APART + tokens)
    bars = (
        alt.Chart(named)
        .mark_bar(color=look.hue(backbone))
        .encode(
            x=alt.X("label:N", sort=named.label.tolist(), title=None).axis(
                labelExpr=f"split(datum.label, '{APART}')[1]",
                labelAngle=-40,
                labelOverlap=False,
                minExtent=56,
                maxExtent=56,
            ),
            y=alt.Y(
                "activation:Q", title="activation", scale=alt.Scale(domain=list(domain), nice=False)
            ),
            tooltip=["position", "token", "kind", alt.Tooltip("activation", format=".3f")],
        )
    )
    rule = (
        alt.Chart(pd.DataFrame({"y": [baseline]}))
        .mark_rule(color=look.ink, strokeDash=[4, 3])
        .encode(
            y=alt.Y("y:Q", title="activation"),
            tooltip=[alt.Tooltip("y", title="baseline (train mean)", format=".3f")],
        )
    )
    return finish(alt.layer(bars, rule), look, 200)
