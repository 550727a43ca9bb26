"""Tables as charts, one function per figure. Knows nothing else of the project.

One hue per backbone and one line style per kind of neuron, everywhere. `dark` chooses the ink that
is readable on the page's background; files are always drawn for a light page.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import vl_convert as vlc
from altair.utils import schemapi

Figure = Any
HUES = ("#2b7bba", "#d9772b", "#5b9a57", "#9a6fb0", "#b8860b", "#4c9a9a")  # Okabe-Ito, calmed
DASHES = {"skill": [1, 0], "random": [6, 4], "lowest": [2, 3]}
KIND_TITLES = {"skill": "skill neurons", "random": "random neurons", "lowest": "lowest neurons"}


@dataclass(frozen=True, kw_only=True)
class Look:
    """The page's ink, and each backbone's hue."""

    dark: bool = False
    backbones: tuple[str, ...] = ("roberta-mini", "t5-mini")

    @property
    def ink(self) -> str:
        """Text and axes."""
        return "#e6e9ee" if self.dark else "#1f2733"

    @property
    def faint(self) -> str:
        """Reference lines and grids."""
        return "#7d8794" if self.dark else "#7a8490"

    @property
    def ground(self) -> str:
        """The page's background."""
        return "#12161c" if self.dark else "#ffffff"

    def hue(self, backbone: str) -> str:
        """The same for a backbone in every figure."""
        place = self.backbones.index(backbone) if backbone in self.backbones else 0
        return HUES[place % len(HUES)]

    def scale(self) -> alt.Scale:
        """Backbone -> hue."""
        return alt.Scale(domain=list(self.backbones), range=[self.hue(b) for b in self.backbones])


def _finish(chart: Any, look: Look, height: int | None = None) -> alt.LayerChart:
    """The chart in the page's ink. One step, because altair copies the chart at every step."""
    config = {
        "background": "transparent",
        "font": "Source Sans, Helvetica, sans-serif",
        "view": {"stroke": None},
        "axis": {
            "labelColor": look.ink,
            "titleColor": look.ink,
            "gridColor": look.faint,
            "gridOpacity": 0.25,
            "domainColor": look.faint,
            "tickColor": look.faint,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelLimit": 150,
        },
        "legend": {
            "labelColor": look.ink,
            "titleColor": look.ink,
            "labelFontSize": 12,
            "orient": "bottom",
            "labelLimit": 260,
            "symbolStrokeWidth": 2,
        },
        "header": {"labelColor": look.ink, "labelFontSize": 12},
        "title": {"color": look.ink, "fontSize": 14, "anchor": "start"},
    }
    size = {"height": height} if height else {}
    finished: alt.LayerChart = chart.properties(config=config, **size)
    return finished


def quickly() -> AbstractContextManager[None]:
    """Inside the block altair does not check charts against its schema; the tests do that."""
    unchecked: AbstractContextManager[None] = schemapi.debug_mode(False)
    return unchecked


def titled(table: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """Task names replaced by their titles in every task column."""
    columns = [c for c in ("source_task", "target_task", "task", "task_a", "task_b") if c in table]
    return table.assign(**{c: table[c].map(lambda t: titles.get(t, t)) for c in columns})


# --- heatmaps ------------------------------------------------------------------------------------
def transfer_heatmap(
    table: pd.DataFrame,
    look: Look,
    *,
    backbone: str,
    relative: bool,
    rows: Sequence[str],
    columns: Sequence[str],
) -> alt.LayerChart:
    """Source tasks down, target tasks across; the colour is the (relative) accuracy."""
    title = "relative accuracy" if relative else "accuracy"
    low = 0.4 if table.value.min() > 0.3 else 0.0
    domain = [low, 1.05] if relative else [low, 1.0]
    tooltips = [
        alt.Tooltip("source_task", title="prompt tuned on"),
        alt.Tooltip("target_task", title="evaluated on"),
        alt.Tooltip("value", title=title, format=".3f"),
        alt.Tooltip("sem", title="standard error over seeds", format=".3f"),
        alt.Tooltip("accuracy", title="accuracy", format=".3f"),
        alt.Tooltip("majority", title="majority class", format=".3f"),
        alt.Tooltip("seeds", title="seeds"),
        alt.Tooltip("n", title="examples"),
    ]
    tooltip = [tip for tip in tooltips if tip.shorthand in table]
    return _heatmap(
        table, look, look.hue(backbone), tooltip, value="value", domain=domain, title=title,
        y=alt.Y("source_task:N", sort=list(rows), title="prompt tuned on"),
        x=alt.X("target_task:N", sort=list(columns), title="evaluated on"),
    )  # fmt: skip


def correlation_heatmap(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str]
) -> alt.LayerChart:
    """Spearman's rho between the tasks' predictivities, layers averaged."""
    tooltip = [
        alt.Tooltip("task_a", title="task"),
        alt.Tooltip("task_b", title="other task"),
        alt.Tooltip("spearman", title="Spearman (mean over layers)", format=".3f"),
        alt.Tooltip("lowest_layer", title="lowest layer", format=".3f"),
        alt.Tooltip("highest_layer", title="highest layer", format=".3f"),
        alt.Tooltip("neurons", title="neurons a layer"),
        alt.Tooltip("layers", title="layers"),
    ]
    return _heatmap(
        table, look, look.hue(backbone), tooltip, value="spearman", domain=[-0.1, 1.0],
        title="Spearman", y=alt.Y("task_a:N", sort=list(tasks), title=None),
        x=alt.X("task_b:N", sort=list(tasks), title=None),
    )  # fmt: skip


def _heatmap(
    table: pd.DataFrame,
    look: Look,
    hue: str,
    tooltip: list[alt.Tooltip],
    *,
    value: str,
    domain: list[float],
    title: str,
    x: alt.X,
    y: alt.Y,
) -> alt.LayerChart:
    turn = domain[0] + 0.62 * (domain[1] - domain[0])
    base = alt.Chart(table).encode(
        x=x.axis(labelAngle=-40, labelOverlap=False, grid=False),
        y=y.axis(labelOverlap=False, grid=False),
        tooltip=tooltip,
    )
    cells = base.mark_rect(stroke=look.ground, strokeWidth=1).encode(
        color=alt.Color(
            f"{value}:Q",
            title=title,
            scale=alt.Scale(domain=domain, range=[look.ground, hue], clamp=True, interpolate="rgb"),
            legend=alt.Legend(orient="bottom", gradientLength=180, format=".1f"),
        )
    )
    columns = table[x.shorthand.split(":")[0]].nunique()
    # Legible on a phone, too; where that is impossible, the tooltip has them.
    size = alt.ExprRef(f"width / {columns} < 15 ? 0 : min(11, 0.42 * width / {columns})")
    numbers = base.mark_text(fontSize=size).encode(
        text=alt.Text(f"{value}:Q", format=".2f"),
        color=alt.condition(f"datum.{value} > {turn}", alt.value("#ffffff"), alt.value(look.ink)),
    )
    rows = table[y.shorthand.split(":")[0]].nunique()
    return _finish(cells + numbers, look, (34 if rows <= 12 else 24) * rows + 120)


# --- distributions -------------------------------------------------------------------------------
def boxes_over_bars(
    boxes: pd.DataFrame,
    outliers: pd.DataFrame,
    bars: pd.DataFrame,
    look: Look,
    *,
    backbone: str,
    tasks: Sequence[str],
) -> alt.LayerChart:
    """Accuracy bars with the predictivity box plots before them, all on one axis."""
    hue = look.hue(backbone)
    x = alt.X("task:N", sort=list(tasks), title=None).axis(labelAngle=-40, labelOverlap=False)

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", scale=alt.Scale(domain=[0, 1]), title="accuracy, predictivity")

    bar_tips = [
        alt.Tooltip("task", title="task"),
        alt.Tooltip("accuracy", title="accuracy of the prompt", format=".3f"),
        alt.Tooltip("low", title="interval from", format=".3f"),
        alt.Tooltip("high", title="to", format=".3f"),
        alt.Tooltip("n", title="examples"),
        alt.Tooltip("seeds", title="seeds"),
        alt.Tooltip("majority", title="majority class", format=".3f"),
    ]
    box_tips = [
        alt.Tooltip("task", title="task"),
        alt.Tooltip("median", title="median predictivity", format=".3f"),
        alt.Tooltip("q1", title="lower quartile", format=".3f"),
        alt.Tooltip("q3", title="upper quartile", format=".3f"),
        alt.Tooltip("top1", title="99th percentile", format=".3f"),
        alt.Tooltip("highest", title="best neuron", format=".3f"),
        alt.Tooltip("floor", title="floor (shuffled labels)", format=".3f"),
        alt.Tooltip("neurons", title="neurons"),
        alt.Tooltip("seeds", title="seeds"),
        alt.Tooltip("n", title="examples"),
    ]
    bar = alt.Chart(bars).encode(x=x, tooltip=bar_tips)
    box = alt.Chart(boxes).encode(x=x, tooltip=box_tips)
    layers = [
        bar.mark_bar(color=hue, opacity=0.22, size=34).encode(y=y("accuracy")),
        bar.mark_rule(color=hue, strokeWidth=1.5).encode(y=y("low"), y2="high"),
        box.mark_rule(color=hue, strokeWidth=1.5).encode(y=y("whisker_low"), y2="whisker_high"),
        box.mark_bar(size=16, fill=look.ground, stroke=hue, strokeWidth=1.5).encode(
            y=y("q1"), y2="q3"
        ),
        box.mark_tick(color=hue, thickness=3, size=16).encode(y=y("median")),
        alt.Chart(outliers).mark_circle(color=hue, size=14, opacity=0.6).encode(
            x=x,
            y=y("predictivity"),
            tooltip=["task", "layer", "neuron", alt.Tooltip("predictivity", format=".3f")],
        ),
        box.mark_tick(color=look.ink, thickness=1.5, size=34, strokeDash=[3, 2]).encode(
            y=y("floor")
        ),
        _level(0.5, look),
    ]  # fmt: skip
    return _finish(alt.layer(*layers), look, 380)


def _level(value: float, look: Look) -> alt.Chart:
    """A thin line across the figure: chance."""
    table = pd.DataFrame({"y": [value]})
    rule: alt.Chart = (
        alt.Chart(table).mark_rule(color=look.faint, strokeDash=[1, 3]).encode(y=alt.Y("y:Q"))
    )
    return rule


def layer_profile(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str]
) -> alt.LayerChart:
    """Predictivity of the best 1 % and of the median neuron, layer by layer."""
    long = table.melt(
        id_vars=["task", "layer"], value_vars=["top1", "median", "floor"], var_name="what"
    )
    names = {"top1": "99th percentile", "median": "median", "floor": "floor (shuffled labels)"}
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
                scale=alt.Scale(domain=list(names.values()), range=[[1, 0], [6, 4], [1, 3]]),
            ),
            facet=alt.Facet("task:N", sort=list(tasks), columns=3, title=None),
            tooltip=["task", "layer", "what", alt.Tooltip("value:Q", format=".3f")],
        )
        .properties(width=130, height=110)
    )
    return _finish(chart, look)


# --- curves --------------------------------------------------------------------------------------
def suppression_curves(
    table: pd.DataFrame, look: Look, *, fractions: Sequence[float], scope: str = "layer"
) -> alt.LayerChart:
    """Accuracy against the share of suppressed neurons; hue = backbone, line = kind of neuron."""
    table = table.assign(
        percent=table.fraction * 100, neurons=table.choose.map(lambda c: KIND_TITLES[c])
    )
    kinds = [KIND_TITLES[k] for k in DASHES if (table.choose == k).any()]
    dashes = [DASHES[k] for k in DASHES if KIND_TITLES[k] in kinds]
    x = alt.X(
        "percent:Q",
        title=f"suppressed neurons, % of {'each layer' if scope == 'layer' else 'the model'}",
        scale=alt.Scale(domain=[0, max(fractions) * 100], nice=False),
    ).axis(values=[f * 100 for f in fractions], labelOverlap=True, format=".3~g")
    color = alt.Color(
        "backbone:N",
        scale=look.scale(),
        title=None,
        legend=alt.Legend(columns=1, symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=4),
    )
    dash = alt.StrokeDash(
        "neurons:N", title=None, scale=alt.Scale(domain=kinds, range=dashes),
        legend=alt.Legend(
            columns=1, symbolType="stroke", symbolSize=500, symbolStrokeColor=look.ink
        ),
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("backbone", title="backbone"),
        alt.Tooltip("neurons", title="suppressed"),
        alt.Tooltip("percent", title="share, %", format=".3~g"),
        alt.Tooltip("accuracy", title="accuracy", format=".3f"),
        alt.Tooltip("low", title="band from", format=".3f"),
        alt.Tooltip("high", title="to", format=".3f"),
        alt.Tooltip("seeds", title="seeds"),
        alt.Tooltip("draws", title="draws"),
        alt.Tooltip("n", title="examples"),
    ]
    y = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]))
    base = alt.Chart(table).encode(x=x, color=color, detail=alt.Detail("neurons:N"))
    band = base.mark_area(opacity=0.14, clip=True).encode(
        y=alt.Y("low:Q", scale=alt.Scale(domain=[0, 1])), y2=alt.Y2("high:Q")
    )
    line = base.mark_line(strokeWidth=2.2).encode(y=y, strokeDash=dash)
    points = base.mark_circle(size=45, opacity=1).encode(y=y, tooltip=tooltip)
    level = table.majority.max() if len(table) else 0.5
    return _finish(alt.layer(band, line, points, _level(level, look)), look, 400)


def tuning_loss(table: pd.DataFrame, look: Look, *, backbone: str, steps: int) -> alt.LayerChart:
    """Loss of each step."""
    line = (
        alt.Chart(table)
        .mark_line(color=look.hue(backbone), strokeWidth=1.2, opacity=0.8)
        .encode(
            x=_steps(steps), y=alt.Y("loss:Q", title="loss"),
            tooltip=["step", alt.Tooltip("loss", format=".3f")],
        )
    )  # fmt: skip
    return _finish(line, look, 180)


def tuning_accuracy(
    table: pd.DataFrame, look: Look, *, backbone: str, steps: int, chance: float
) -> alt.LayerChart:
    """Accuracy on the selection rows, wherever it was measured."""
    line = (
        alt.Chart(table.dropna(subset="accuracy"))
        .mark_line(color=look.hue(backbone), strokeWidth=2.2, point=True)
        .encode(
            x=_steps(steps),
            y=alt.Y("accuracy:Q", scale=alt.Scale(domain=[0, 1]), title="selection accuracy"),
            tooltip=["step", alt.Tooltip("accuracy", format=".3f")],
        )
    )
    return _finish(line + _level(chance, look), look, 180)


def _steps(steps: int) -> alt.X:
    scale = alt.Scale(domain=[0, steps], nice=False)
    return alt.X("step:Q", title="step", scale=scale).axis(tickMinStep=1, format="d")


# --- files ---------------------------------------------------------------------------------------
def png(chart: Figure) -> bytes:
    """The figure as a picture, at twice the screen's resolution, on white."""
    data: bytes = vlc.vegalite_to_png(_for_file(chart), scale=2)
    return data


def svg(chart: Figure) -> str:
    """The figure as a drawing, on white."""
    text: str = vlc.vegalite_to_svg(_for_file(chart))
    return text


def _for_file(chart: Figure) -> dict[str, Any]:
    text, dark, light = json.dumps(chart.to_dict()), Look(dark=True), Look()
    for name in ("ink", "faint", "ground"):
        text = text.replace(getattr(dark, name), getattr(light, name))
    spec: dict[str, Any] = json.loads(text)
    spec["config"]["background"] = "white"
    if "facet" not in str(spec.get("encoding", {})):
        spec.setdefault("width", 640)
    return spec
