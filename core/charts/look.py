"""Tables as charts, one function per figure; nothing else of the project is imported.

Every figure uses one hue per backbone and one line style per kind of neuron. `dark` chooses the ink
that is legible on the page's background; files are always drawn for a light page.
"""

import json
import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import altair as alt
import pandas as pd
import vl_convert as vlc
from altair.utils import schemapi

Figure = Any
HUES = ("#2b7bba", "#d9772b", "#55743e", "#af6a8c", "#b8860b", "#4c9a9a")
"""Of backbones. The first four stay apart for colour-blind readers, too (tests/charts)."""
KINDS = ("#7f5aa2", "#3d8b5f", "#c05746", "#857020", "#a34d7d", "#4d6a80")
KINDS_ON_DARK = ("#bd9bd8", "#6cc495", "#e0826f", "#c9b25c", "#dd8fb9", "#8fb0c9")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down")  # in their order
DASHES = {"causal": [1, 0], "skill": [9, 4], "random": [2, 3], "lowest": [12, 3, 2, 3]}
KIND_TITLES = {
    "causal": "causal neurons",
    "skill": "skill neurons",
    "random": "random neurons",
    "lowest": "lowest-ranked neurons",
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """The page's ink, and each backbone's hue."""

    dark: bool = False
    large: bool = False  # type that can be read from the last row of a lecture hall
    backbones: tuple[str, ...] = ("roberta-mini", "t5-mini")

    @property
    def type(self) -> int:
        """Size of axis labels, in pixels."""
        return 15 if self.large else 12

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

    @property
    def second(self) -> str:
        """For points that belong to the first of two sets only."""
        return "#3d8b5f" if not self.dark else "#6cc495"

    @property
    def third(self) -> str:
        """For points that belong to the second of two sets only."""
        return "#7f5aa2" if not self.dark else "#bd9bd8"

    def classes(self, n: int) -> list[str]:
        """A hue per class. Two classes get a warm red and a bluish green of equal lightness, which
        colour-blind readers can distinguish.
        """
        two = ["#c05746", "#3f8f8a"] if not self.dark else ["#e0826f", "#67bdb6"]
        return two if n == 2 else list(HUES[:n]) if n <= len(HUES) else list(HUES) * n

    def kinds(self, n: int) -> list[str]:
        """A hue per kind of something that is neither a backbone nor a class; `MARKS` tell them
        apart without colours.
        """
        found = KINDS_ON_DARK if self.dark else KINDS
        return [found[i % len(found)] for i in range(n)]

    def hue(self, backbone: str) -> str:
        """The hue of a backbone, the same in every figure."""
        place = self.backbones.index(backbone) if backbone in self.backbones else 0
        return HUES[place % len(HUES)]

    def hues(self, shown: Iterable[str] | None = None) -> dict[str, str]:
        """Backbone -> hue, for the backbones of a figure, in their order."""
        wanted = set(self.backbones if shown is None else shown)
        return {b: self.hue(b) for b in self.backbones if b in wanted}

    def scale(self, shown: Iterable[str] | None = None) -> alt.Scale:
        """`hues` as a scale."""
        found = self.hues(shown)
        return alt.Scale(domain=list(found), range=list(found.values()))


def finish(chart: Any, look: Look, height: int | None = None) -> alt.LayerChart:
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
            "labelFontSize": look.type,
            "titleFontSize": look.type,
            "titleFontWeight": "normal",
            "labelLimit": 150,
            "labelSeparation": 6,
            "labelFlush": False,
        },
        "axisXQuantitative": {"tickCount": {"expr": "ceil(width / 80)"}},
        "axisYQuantitative": {"tickCount": {"expr": "ceil(height / 45)"}},
        "legend": {
            "labelColor": look.ink,
            "titleColor": look.ink,
            "labelFontSize": look.type,
            "titleFontSize": look.type,
            "orient": "bottom",
            "labelLimit": 260,
            "symbolStrokeWidth": 2,
        },
        "header": {"labelColor": look.ink, "labelFontSize": look.type},
        "title": {"color": look.ink, "fontSize": look.type + 2, "anchor": "start"},
    }
    size = {"height": height} if height else {}
    finished: alt.LayerChart = chart.properties(config=config, **size)
    return finished


def written_on(field: str) -> alt.ExprRef:
    """Black or white for text on a cell or bar whose colour is that field's, whichever contrasts
    more: at least 4.58 to 1 on any colour (WCAG 2.1).
    """
    return alt.ExprRef(f"luminance(scale('color', datum['{field}'])) > 0.179 ? '#000' : '#fff'")


def at(values: Iterable[float]) -> dict[str, Any]:
    """Axis properties: ticks at these values, all of them, whatever the number that is usual."""
    places = list(values)
    return {"values": places, "tickCount": len(places)}


def below(value: float) -> float:
    """Where an axis of shares begins so that this value stands clear of its end: a tenth."""
    return max(0.0, math.floor(10 * value - 0.5 + 1e-9) / 10)


def level(value: float, look: Look) -> alt.Chart:
    """A thin line across the figure: chance."""
    table = pd.DataFrame({"y": [value]})
    rule: alt.Chart = (
        alt.Chart(table).mark_rule(color=look.faint, strokeDash=[1, 3]).encode(y=alt.Y("y:Q"))
    )
    return rule


def level_name(value: float, look: Look, name: str) -> alt.Chart:
    """What a level is called, above its left end."""
    text: alt.Chart = (
        alt.Chart(pd.DataFrame({"y": [value], "name": [name]}))
        .mark_text(
            align="left", baseline="bottom", dx=4, dy=-2, fontSize=look.type - 2, color=look.ink
        )
        .encode(x=alt.value(0), y=alt.Y("y:Q"), text="name:N")
    )  # fmt: skip
    return text


def tick_name(
    row: pd.DataFrame, x: alt.X, look: Look, name: str, *, to_the_left: bool = False
) -> alt.Chart:
    """What the ticks at a place are called, above the first `row` of a figure."""
    align, dx = ("right", 3) if to_the_left else ("left", -3)
    text: alt.Chart = (
        alt.Chart(row)
        .mark_text(align=align, baseline="bottom", dx=dx, fontSize=look.type - 2, color=look.ink)
        .encode(x=x, y=alt.value(-2), text=alt.value(name))
    )  # fmt: skip
    return text


@dataclass(frozen=True)
class Unchecked:
    """A chart for the page, which is not validated once more as it is written; the tests do that.
    For a figure of a few layers this is half of the time.
    """

    chart: Figure

    def to_dict(self) -> dict[str, Any]:
        """The chart as Vega-Lite."""
        spec: dict[str, Any] = self.chart.to_dict(validate=False)
        return spec


INKS = ("ink", "faint", "ground", "second", "third")  # what differs on a dark page


def quickly() -> AbstractContextManager[None]:
    """Inside the block, altair does not validate charts against its schema; the tests do."""
    unchecked: AbstractContextManager[None] = schemapi.debug_mode(False)
    return unchecked


def titled(table: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """Task names replaced by their titles in every task column."""
    columns = [c for c in ("source_task", "target_task", "task", "task_a", "task_b") if c in table]
    return table.assign(**{c: table[c].map(lambda t: titles.get(t, t)) for c in columns})


LINE = 110  # characters of a line above a figure in a file


@dataclass(frozen=True, kw_only=True)
class Head:
    """What stands above a figure in a file: a title, and lines that say what it shows."""

    title: str
    lines: Sequence[str] = ()


def png(chart: Figure, head: Head | None = None) -> bytes:
    """The figure as a picture, at twice the screen's resolution, on white."""
    data: bytes = vlc.vegalite_to_png(_for_file(chart, head), scale=2)
    return data


def svg(chart: Figure, head: Head | None = None) -> str:
    """The figure as a drawing, on white."""
    text: str = vlc.vegalite_to_svg(_for_file(chart, head))
    return text


def _for_file(chart: Figure, head: Head | None = None) -> dict[str, Any]:
    with alt.data_transformers.disable_max_rows():  # a file has room for all of them
        drawn = chart.to_dict()
    text, dark, light = json.dumps(drawn), Look(dark=True), Look()
    pairs = [(getattr(dark, n), getattr(light, n)) for n in INKS]
    pairs += zip([*dark.classes(2), *KINDS_ON_DARK], [*light.classes(2), *KINDS], strict=True)
    for ours, printed in pairs:
        text = text.replace(ours, printed)
    spec: dict[str, Any] = json.loads(text)
    spec["config"]["background"] = "white"
    if "facet" not in str(spec.get("encoding", {})):
        spec.setdefault("width", 640)
    if head is not None:
        spec["title"] = _title(head, spec.get("title"))
    return spec


def _title(head: Head, own: Any) -> dict[str, Any]:
    """A title for Vega-Lite, with what the figure itself has as its first line."""
    first = own.get("text", "") if isinstance(own, dict) else own
    said = [*([str(first)] if first else []), *head.lines]
    lines = [part for line in said for part in wrap(line, LINE, break_long_words=False)]
    return {
        "text": head.title, "subtitle": lines,
        "anchor": "start", "fontSize": 14, "subtitleFontSize": 11, "offset": 14,
        "color": Look().ink, "subtitleColor": Look().ink,
    }  # fmt: skip
