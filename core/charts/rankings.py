"""Rankings of neurons compared: layers, pairs of rankings, seeds."""

import altair as alt
import pandas as pd

from core.charts.look import Look, at, finish, level

PERCENT = ".0%"


def _bars_by_layer(table: pd.DataFrame, look: Look) -> alt.Chart:
    """A bar for each layer and backbone, whose height is still to be said."""
    bars: alt.Chart = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("layer:O", title="layer").axis(labelAngle=0),
            xOffset=alt.XOffset("backbone:N", sort=list(look.backbones)),
            color=alt.Color("backbone:N", scale=look.scale(table.backbone), title=None),
        )
    )
    return bars


def layer_shares(table: pd.DataFrame, look: Look) -> alt.LayerChart:
    """Share of the model's skill neurons in each layer; dotted: equal shares."""
    bars = _bars_by_layer(table, look).encode(
        y=alt.Y("share:Q", title="share of the top neurons").axis(format=PERCENT),
        tooltip=[
            "backbone", "layer", alt.Tooltip("share:Q", format=".1%"),
            alt.Tooltip("low:Q", title="over seeds, from", format=".1%"),
            alt.Tooltip("high:Q", title="to", format=".1%"),
            alt.Tooltip("count:Q", title="neurons"),
            alt.Tooltip("even:Q", title="equal share", format=PERCENT),
        ],
    )  # fmt: skip
    rules = (
        alt.Chart(table)
        .mark_rule(color=look.ink)
        .encode(
            x=alt.X("layer:O"),
            xOffset=alt.XOffset("backbone:N", sort=list(look.backbones)),
            y="low:Q",
            y2="high:Q",
        )
    )
    even = (
        alt.Chart(table.drop_duplicates("even"))
        .mark_rule(strokeDash=[1, 3], color=look.faint)
        .encode(y="even:Q")
    )
    return finish(alt.layer(bars, rules, even), look, 300)


def rank_rank(
    table: pd.DataFrame,
    look: Look,
    *,
    first: str,
    second: str,
    names: dict[str, str] | None = None,
) -> alt.LayerChart:
    """Each neuron's rank percentile in two rankings; at the top of both, one or neither (`names`
    of these kinds). The hues are no backbone's, so that all four kinds stay apart for each.
    """
    kinds = {"both": 1.0, "first only": 0.6, "second only": 0.6, "neither": 0.2}
    names = names or {
        "both": "top neuron on both", "first only": f"on {first} only",
        "second only": f"on {second} only", "neither": "on neither",
    }  # fmt: skip
    shown = table.assign(name=table.kind.map(names), opacity=table.kind.map(kinds))
    points = (
        alt.Chart(shown)
        .mark_circle(size=26, cursor="pointer")
        .encode(
            x=alt.X("x:Q", title=f"{first}, rank percentile in the layer").axis(format=PERCENT),
            y=alt.Y("y:Q", title=f"{second}, rank percentile").axis(format=PERCENT),
            color=alt.Color(
                "name:N", title=None,
                scale=alt.Scale(domain=list(names.values()),
                                range=[look.ink, look.second, look.third, look.faint]),
                legend=alt.Legend(columns=1, symbolOpacity=1),
            ),
            opacity=alt.Opacity("opacity:Q", scale=None),
            order=alt.Order("opacity:Q"),
            href="url:N",
            tooltip=[
                "layer", "neuron", alt.Tooltip("first:Q", title=first, format=".3f"),
                alt.Tooltip("second:Q", title=second, format=".3f"),
            ],
        )
    )  # fmt: skip
    return finish(alt.layer(points), look, 380)


def attributed_exact(table: pd.DataFrame, look: Look, *, backbone: str) -> alt.LayerChart:
    """What attribution says of single neurons against what suppressing them costs; on the dotted
    line they agree. Columns of `figures.faithful.neurons`, and `url` where neurons have a page.
    """
    low, high = (
        float(end) for end in (table[["attributed", "exact"]].min().min(),
                               table[["attributed", "exact"]].max().max())
    )  # fmt: skip
    scale = alt.Scale(domain=[low, high], nice=True)
    line = (
        alt.Chart(pd.DataFrame({"x": [low, high], "y": [low, high]}))
        .mark_line(color=look.faint, strokeDash=[1, 3])
        .encode(x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale))
    )
    base = alt.Chart(table).encode(
        x=alt.X("attributed:Q", title="attribution (logits)", scale=scale)
    )
    errors = base.mark_rule(color=look.hue(backbone), strokeWidth=0.6).encode(
        y=alt.Y("low:Q", scale=scale), y2="high:Q"
    )
    points = base.mark_circle(size=34, opacity=0.8, color=look.hue(backbone)).encode(
        y=alt.Y("exact:Q", title="exact effect of suppression (logits)", scale=scale),
        **({"href": "url:N"} if "url" in table else {}),
        tooltip=[
            "layer", "neuron", alt.Tooltip("attributed:Q", title="attribution", format=".3f"),
            alt.Tooltip("exact:Q", title="exact effect", format=".3f"),
            alt.Tooltip("low:Q", title="from", format=".3f"),
            alt.Tooltip("high:Q", title="to", format=".3f"),
            alt.Tooltip("n", title="examples"), "seed",
        ],
    )  # fmt: skip
    return finish(line + errors + points, look, 340)


def spearman_by_layer(table: pd.DataFrame, look: Look) -> alt.LayerChart:
    """Spearman correlation of two rankings in each layer."""
    bars = _bars_by_layer(table, look).encode(
        y=alt.Y("spearman:Q", title="Spearman correlation", scale=alt.Scale(domain=[-1, 1])),
        tooltip=["backbone", "layer", alt.Tooltip("spearman:Q", format=".2f"), "neurons"],
    )
    return finish(alt.layer(bars, level(0, look)), look, 240)


def stability(table: pd.DataFrame, look: Look) -> alt.LayerChart:
    """Share of one seed's skill neurons that are shared with another seed, by fraction."""
    table = table.assign(percent=table.fraction * 100)
    x = alt.X(
        "percent:Q", title="neurons chosen, % of each layer", scale=alt.Scale(nice=False)
    ).axis(**at(sorted(table.percent.unique())), format=".3~g")
    y = alt.Scale(domain=[0, 1])
    color = alt.Color(
        "backbone:N",
        scale=look.scale(table.backbone),
        title=None,
        legend=alt.Legend(symbolOpacity=1),
    )
    tips = [
        "backbone", alt.Tooltip("percent", title="fraction chosen, %", format=".3~g"),
        alt.Tooltip("share", title="shared (mean of pairs)", format=PERCENT),
        alt.Tooltip("low", title="lowest pair", format=PERCENT),
        alt.Tooltip("high", title="highest pair", format=PERCENT),
        alt.Tooltip("all", title="shared by all seeds", format=PERCENT),
        alt.Tooltip("chance", title="chance overlap", format=PERCENT),
        alt.Tooltip("chosen", title="neurons (mean)", format=".0f"), "seeds", "pairs",
    ]  # fmt: skip
    base = alt.Chart(table).encode(x=x)
    layers = [
        base.mark_area(opacity=0.14).encode(
            y=alt.Y("low:Q", scale=y), y2="high:Q", color=color
        ),
        base.mark_line(strokeWidth=2.2).encode(
            y=alt.Y("share:Q", scale=y, title="shared with another seed").axis(format=PERCENT),
            color=color,
        ),
        base.mark_circle(size=45, opacity=1).encode(
            y=alt.Y("share:Q", scale=y), color=color, tooltip=tips
        ),
        base.mark_line(strokeDash=[1, 3]).encode(y=alt.Y("chance:Q", scale=y), color=color),
    ]  # fmt: skip
    return finish(alt.layer(*layers), look, 300)
