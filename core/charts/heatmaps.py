"""Matrices of tasks: one cell per pair."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.look import Look, finish, written_on

PHONE, NARROW = 500, 21  # pixels of a screen, and of a cell, below which cells have no text
MANY = 40  # rows of a matrix whose cells have neither a number nor a border


def transfer_heatmap(
    table: pd.DataFrame,
    look: Look,
    *,
    backbone: str,
    relative: bool,
    rows: Sequence[str],
    columns: Sequence[str],
    lowest: float | None = None,
) -> alt.LayerChart:
    """Source tasks in rows, target tasks in columns; the colour is the (relative) accuracy. Colours
    begin at the table's lowest value, or for several figures on one scale at `lowest`.
    """
    title = "relative accuracy" if relative else "accuracy"
    least = float(table.value.min()) if lowest is None else lowest
    domain = [0.4 if least > 0.3 else 0.0, 1.05 if relative else 1.0]
    tooltips = [
        alt.Tooltip("source_task", title="prompt tuned on"),
        alt.Tooltip("target_task", title="evaluated on"),
        alt.Tooltip("value", title=title, format=".3f"),
        alt.Tooltip("sem", title="standard error over seeds", format=".3f"),
        alt.Tooltip("accuracy", title="accuracy", format=".3f"),
        alt.Tooltip("majority", title="majority-class accuracy", format=".3f"),
        alt.Tooltip("seeds", title="seeds"),
        alt.Tooltip("n", title="examples"),
    ]
    tooltip = [tip for tip in tooltips if tip.shorthand in table]
    return heatmap(
        table, look, look.hue(backbone), tooltip, value="value", domain=domain, title=title,
        y=alt.Y("source_task:N", sort=list(rows), title="prompt tuned on"),
        x=alt.X("target_task:N", sort=list(columns), title="evaluated on"),
    )  # fmt: skip


def correlation_heatmap(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str]
) -> alt.LayerChart:
    """Spearman's rho between the tasks' predictivities, averaged over layers."""
    tooltip = [
        alt.Tooltip("task_a", title="task"),
        alt.Tooltip("task_b", title="other task"),
        alt.Tooltip("spearman", title="Spearman (mean over layers)", format=".3f"),
        alt.Tooltip("lowest_layer", title="lowest layer", format=".3f"),
        alt.Tooltip("highest_layer", title="highest layer", format=".3f"),
        alt.Tooltip("neurons", title="neurons per layer"),
        alt.Tooltip("layers", title="layers"),
    ]
    return heatmap(
        table, look, look.hue(backbone), tooltip, value="spearman", domain=[-1.0, 1.0],
        title="Spearman", y=alt.Y("task_a:N", sort=list(tasks), title=None),
        x=alt.X("task_b:N", sort=list(tasks), title=None),
    )  # fmt: skip


def heatmap(
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
    angle: int = -40,
) -> alt.LayerChart:
    """One cell per pair, with its number where there is room. Colours go from the page's ground to
    the hue; where the domain begins below 0, another hue of the same steps shows what is below.
    Cells of two tasks of one category are outlined where the table says so (`same_category`) and
    not all cells are.
    """
    rows = table[y.shorthand.split(":")[0]].nunique()
    thinned = rows > MANY  # numbers of vectors, not names of tasks
    base = alt.Chart(table).encode(
        x=x.axis(labelAngle=angle, labelOverlap=thinned, grid=False),
        y=y.axis(labelOverlap=thinned, grid=False),
        tooltip=tooltip,
    )
    signed = domain[0] < 0
    ends = [-domain[1], 0.0, domain[1]] if signed else domain
    hues = [look.third, look.ground, hue] if signed else [look.ground, hue]
    cells = base.mark_rect(stroke=look.ground, strokeWidth=0 if thinned else 1).encode(
        color=alt.Color(
            f"{value}:Q",
            title=title,
            scale=alt.Scale(domain=ends, range=hues, clamp=True, interpolate="rgb"),
            legend=alt.Legend(orient="bottom", gradientLength=180, format=".1f"),
        )
    )
    columns = table[x.shorthand.split(":")[0]].nunique()
    # On a phone, and where cells are narrow, only the tooltip gives the numbers.
    size = alt.ExprRef(
        f"windowSize()[0] < {PHONE} || width / {columns} < {NARROW} ? 0 "
        f": min({look.type - 1}, 0.42 * width / {columns})"
    )
    numbers = base.mark_text(fontSize=size, color=written_on(value)).encode(
        text=alt.Text(f"{value}:Q", format=".2f")
    )
    if thinned:
        return finish(alt.layer(cells), look, 420)
    if "same_category" in table and table.same_category.nunique() > 1:
        near = base.transform_filter("datum.same_category")
        cells += near.mark_rect(filled=False, stroke=look.ink, strokeWidth=1.5)
    return finish(cells + numbers, look, (34 if rows <= 12 else 24) * rows + 120)


def shared_heatmap(
    table: pd.DataFrame, look: Look, *, backbone: str, tasks: Sequence[str], chance: float
) -> alt.LayerChart:
    """Share of a task's skill neurons that are shared with another task."""
    tooltip = [
        alt.Tooltip("task_a", title="task"),
        alt.Tooltip("task_b", title="other task"),
        alt.Tooltip("share", title="shared", format=".1%"),
        alt.Tooltip("shared", title="shared neurons"),
        alt.Tooltip("chosen", title="skill neurons of the task"),
        alt.Tooltip("chance", title="chance overlap", format=".1%"),
        alt.Tooltip("p", title="p (chance overlap)", format=".2g"),
    ]
    return heatmap(
        table, look, look.hue(backbone), tooltip, value="share", domain=[chance, 1.0],
        title="shared", y=alt.Y("task_a:N", sort=list(tasks), title=None),
        x=alt.X("task_b:N", sort=list(tasks), title=None),
    )  # fmt: skip
