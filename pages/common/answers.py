"""Draws what is there, what is running and what is missing; the one place that shows errors."""

import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NoReturn
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from core import charts
from core.base.errors import SkillscopeError
from core.base.markdown import plain
from core.base.settings import Settings
from core.base.specs import Spec
from core.lab.lab import Lab
from core.lab.workers import Status, ThreadWorker
from pages.common import about, address, example

STALE = ContextVar("stale", default=False)  # whether an earlier view's figure is drawn again
AWAITED = "awaited-jobs"  # this visitor's jobs, and the page that each was started on
STEP = "tour"  # in the address: which step of the tour is shown
PRESENT = "present"  # in the address: larger type, no controls, steps by key
FRAME = 0.8  # seconds between the steps of a figure that is played
POLL_EVERY = 1.0  # seconds between two looks at a job
REST = 5  # drawing takes at most one part of so many of the time that the job could use
SLOWEST = 10.0  # seconds after which a figure is drawn again, whatever that takes
LARGE = 10_000  # values of a table that is made into a file only when it is asked for
CHART = "[data-testid='stVegaLiteChart']"
BLANK = 320  # height in pixels of what stands for a figure
PATIENCE = 0.8  # seconds a page waits for the first answer of a job it starts


@st.cache_resource(show_spinner="Opening the cache ...", on_release=lambda lab: lab.store.close())
def lab() -> Lab:
    """The one lab of this server."""
    return Lab.open(Settings.from_env().beside_pages(), ThreadWorker())


@contextmanager
def shown_errors() -> Iterator[None]:
    """A user's error is a sentence on the page; a bug keeps its traceback in the log."""
    try:
        yield
    except SkillscopeError as error:
        st.error(plain(error), icon=":material/error:")
        address.unfinished()


def look(backbones: Sequence[str]) -> charts.Look:
    """Ink for this visitor's theme, hues for these backbones."""
    return charts.Look(
        dark=st.context.theme.type == "dark", large=presented(), backbones=tuple(backbones)
    )


def presented() -> bool:
    """Whether a step of the tour is shown in larger type, without controls."""
    return bool(address.asked(PRESENT) and address.asked(STEP))


class Nothing(Exception):  # not an error
    """Raised by `nothing`; its text says why there is no figure yet."""


def nothing(said: str) -> NoReturn:
    """Called by what draws a figure, before it has drawn anything: there is nothing to draw yet.

    The last figure of this section then stays, greyed; without one, an empty frame of about a
    figure's size says why.
    """
    raise Nothing(said)


def show(
    specs: Sequence[Spec],
    draw: Callable[[], None],
    *,
    name: str,
    what: str,
    start_at_once: bool = False,
) -> None:
    """Draw the figure from what is stored, and beside it what is running or missing.

    Polls only while a job runs: its state each second, the figure as often as it is cheap. `what`
    says what is computed, e.g. "11 evaluations". State and figure each have a container of their
    own, whatever is in it: what moved down while a job runs would be seen twice when the job ends,
    at its old place and at the new one. The figure of an earlier view comes after them.
    """
    with shown_errors():
        asked = lab()
        _leave_earlier(specs, name)
        if start_at_once:
            _start(specs, name)
        status = asked.status(specs)
        every = POLL_EVERY if status is not None and status.active else None

        drawn = True  # whether there was something to draw when the page ran
        pace = _pace(specs, name)

        @st.fragment(run_every=every)
        def state() -> None:
            with shown_errors():
                now = asked.status(specs)
                with st.container(key=f"state-{name}"):
                    _state(specs, now, name, what)
                if every is not None and (now is None or not now.active):
                    st.rerun()

        @st.fragment(run_every=every and pace)
        def figure() -> None:
            nonlocal drawn
            with shown_errors():
                begun = time.perf_counter()
                with st.container(key=f"figure-{name}"), charts.quickly():
                    there = _drawn(draw, name)
                    address.follow()
                st.session_state[f"{name}-took"] = tuple(specs), time.perf_counter() - begun
                slower = every is not None and _pace(specs, name) > 2 * pace
                if there > drawn or slower:  # how often is known to the browser from the page's run
                    st.rerun()
                drawn = there

        now_here, last = st.container(), st.empty()
        with now_here:
            state()
            figure()
        if not drawn:
            address.unfinished()
            _draw_last(name, last)


def _pace(specs: Sequence[Spec], name: str) -> float:
    """Seconds between two drawings of a figure: most of the time is left to the job."""
    last: tuple[tuple[Spec, ...], float] | None = st.session_state.get(f"{name}-took")
    took = last[1] if last is not None and last[0] == tuple(specs) else 0.0
    return min(max(POLL_EVERY, REST * took), SLOWEST)


def _drawn(draw: Callable[[], None], name: str) -> bool:
    """Draw the figure, or say why there is none; whether it was drawn."""
    slot = f"{name}-drawn"
    try:
        draw()
    except Nothing as none:
        if slot in st.session_state:
            st.caption(f"{none} The greyed figure below is from the previous settings.")
        else:
            st.container(border=True, height=BLANK).caption(str(none))
        return False
    st.session_state[slot] = draw
    return True


def _draw_last(name: str, place: Any) -> None:
    """The section's last figure, as pale as the style sheet says, until there is a new one. It is
    not part of what is polled, and offers nothing to press. A style hides it at once when the new
    one comes, because the page takes a while to run again.
    """
    slot = f"{name}-drawn"
    if slot not in st.session_state:
        return
    token = STALE.set(True)
    try:
        with place.container(key=f"stale-{name}"), charts.quickly():
            st.html(
                f"<style>[data-testid='stMain']:has(.st-key-figure-{name} {CHART}) "
                f".st-key-stale-{name} {{ display: none; }}</style>"
            )
            st.session_state[slot]()
    except (Nothing, SkillscopeError):  # its answers, or what it is about, were deleted
        place.empty()
        del st.session_state[slot]
        st.rerun()
    finally:
        STALE.reset(token)


def _me() -> str:
    """The session's name among a job's followers."""
    me: str = st.session_state.setdefault("follower", uuid.uuid4().hex)
    return me


def _follow(specs: Sequence[Spec], name: str) -> None:
    """Have these questions answered in the background, and remember that this view waits."""
    st.session_state[f"{name}-followed"] = tuple(specs)
    chosen = about.settings()
    parts = [chosen[n] for n in ("task", "backbone") if n in chosen]
    label = f"{about.page() or name}: {'; '.join(parts)}".removesuffix(": ")
    job = lab().submit(specs, _me(), label)
    st.session_state.setdefault(AWAITED, {})[job] = about.page()


def _leave_earlier(specs: Sequence[Spec], name: str) -> None:
    """A view that has moved on no longer waits for what it asked for before; nor does the worker,
    if nobody else does.
    """
    earlier = st.session_state.get(f"{name}-followed")
    if earlier is not None and earlier != tuple(specs):
        lab().leave(earlier, _me())
        del st.session_state[f"{name}-followed"]


def _start(specs: Sequence[Spec], name: str) -> None:
    """Start what the view asks for, once."""
    slot = f"{name}-started"
    if st.session_state.get(slot) == tuple(specs):
        return
    st.session_state[slot] = tuple(specs)
    if lab().missing(specs):
        _follow(specs, name)
        _first_answer(specs)


def _first_answer(specs: Sequence[Spec]) -> None:
    """A figure that is about to begin is worth a moment: it need not wait for the next poll."""
    asked, until = lab(), time.monotonic() + PATIENCE
    while time.monotonic() < until and not asked.known(specs):
        status = asked.status(specs)
        if status is None or not status.active:
            return
        time.sleep(0.05)


def _state(specs: Sequence[Spec], status: Status | None, name: str, what: str) -> None:
    missing = lab().missing(specs)
    if status is not None and status.active:
        _running(specs, status, name, len(specs) - len(missing))
    elif missing:
        _missing(specs, status, name, what, len(missing))


def _running(specs: Sequence[Spec], status: Status, name: str, ready: int) -> None:
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.progress(status.done, text=doing(status) + time_left(status))
    if right.button("Cancel", key=f"{name}-cancel", icon=":material/close:"):
        lab().cancel(specs)
        st.rerun()


def doing(status: Status) -> str:
    """What an active job is about."""
    waits = "Waiting for another job" if status.state == "queued" else ""
    return plain(waits or status.message or "Starting")


def time_left(status: Status) -> str:
    """How long a running job may still take, by its pace; empty while there is none."""
    left = status.seconds_left
    if left is None:
        return ""
    return f", about {left:.0f} s left" if left < 90 else f", about {left / 60:.0f} min left"


def _missing(
    specs: Sequence[Spec], status: Status | None, name: str, what: str, missing: int
) -> None:
    if status is not None and status.state == "failed":
        st.error(plain(status.error), icon=":material/error:")
        if status.detail:
            st.expander("Details").code(status.detail)
    elif status is not None and status.state == "cancelled":
        st.info("Cancelled. What was computed is kept.", icon=":material/stop_circle:")
    left, right = st.columns([4, 1], vertical_alignment="center")
    verb = "has" if missing == 1 else "have"
    open_ones = lab().missing(specs)
    left.markdown(
        f"**{missing} of {len(specs)}** {what} {verb} not been computed yet."
        + _about(lab().seconds(open_ones))
    )
    label = "Continue" if status is not None else "Compute"
    if right.button(label, key=f"{name}-start", type="primary", icon=":material/play_arrow:"):
        _follow(specs, name)
        st.rerun()


def _about(seconds: float | None) -> str:
    """How long something may take, in words."""
    if seconds is None or seconds < 5:
        return ""
    if seconds < 90:
        return f" It takes about {round(seconds, -1):.0f} s."
    return f" It takes about {seconds / 60:.0f} min."


def chart(figure: charts.Figure) -> None:
    """A figure, as wide as its place."""
    st.altair_chart(charts.Unchecked(figure), width="stretch", theme=None)


def downloads(
    name: str,
    table: pd.DataFrame,
    *figures: tuple[str, charts.Figure],
    label: str = "Download",
) -> None:
    """CSV of the figure's data with the view's settings; PNG and SVG of each chart, made when asked
    for, which say what they show.
    """
    if table.empty or STALE.get():
        return
    chosen = about.settings()
    title = about.page() or name.capitalize()

    def csv() -> str:
        """The table with the view's settings."""
        return str(about.with_settings(table, chosen).to_csv(index=False))

    with st.popover(label, icon=":material/download:"):
        st.download_button(
            "Data (CSV)",
            csv if table.size > LARGE else csv(),
            f"{about.stem(name, chosen)}.csv",
            "text/csv",
            key=f"{name}-csv",
            on_click="ignore",
        )
        for part, figure in figures:
            stem = f"{name}-{part}" if part else name
            file = about.stem(stem, chosen)
            head = charts.Head(
                title=f"{title}: {part}" if part else title, lines=about.lines(table, chosen)
            )
            st.download_button(
                f"Picture (PNG) {plain(part)}".strip(),
                lambda figure=figure, head=head: charts.png(figure, head),  # type: ignore[misc]
                f"{file}.png",
                "image/png",
                key=f"{stem}-png",
                on_click="ignore",
            )
            st.download_button(
                f"Drawing (SVG) {plain(part)}".strip(),
                lambda figure=figure, head=head: charts.svg(figure, head),  # type: ignore[misc]
                f"{file}.svg",
                "image/svg+xml",
                key=f"{stem}-svg",
                on_click="ignore",
            )


def linked(table: pd.DataFrame, *, task: str = "", seed: int = 0) -> pd.DataFrame:
    """With a column `url`: the address of each row's neuron. Columns backbone, layer, neuron, and
    task (a title) unless it is given.
    """
    kept = {n: st.session_state[n] for n in ("from", "prompts") if st.session_state.get(n)}
    if picked := address.asked(example.SLOT):
        kept[example.SLOT] = picked
    tasks = [task] * len(table) if task else table.task.tolist()

    @cache  # thousands of neurons differ in little but their numbers
    def around(backbone: str, task: str) -> tuple[str, str]:
        before = urlencode({"backbone": backbone})
        return before, urlencode({"task": task, "seed": seed, **kept})

    def linked_to(backbone: str, layer: int, neuron: int, task: str) -> str:
        before, after = around(backbone, task)
        return f"neuron?{before}&layer={layer}&neuron={neuron}&{after}"

    places = (table[name].tolist() for name in ("backbone", "layer", "neuron"))
    return table.assign(url=list(map(linked_to, *places, tasks)))


def remove(keys: Sequence[str]) -> None:
    """Delete stored results, and the tables that were worked out from them."""
    lab().remove(keys)
    st.cache_data.clear()


def digits(width: float) -> int:
    """Decimals that tell the ends of an interval of this width apart; three at least."""
    return max(3, min(8, 2 - math.floor(math.log10(width)))) if width > 0 else 3


def heading(title: str, aid: str) -> None:
    """Page title and the one sentence that says how to read the figure."""
    st.title(title, anchor=False)
    st.markdown(aid)


def beside(backbones: Sequence[str]) -> list[st.delta_generator.DeltaGenerator]:
    """One column per backbone; they stand under each other on a phone."""
    return list(st.columns(max(1, len(backbones)), gap="medium"))[: len(backbones)]


def played(name: str, steps: Sequence[float], draw: Callable[[float], None]) -> None:
    """What `draw` draws up to the last step, and a button that plays it step after step."""
    slot = f"{name}-frame"
    if STALE.get():
        draw(steps[-1])
        return
    playing = slot in st.session_state

    @st.fragment(run_every=FRAME if playing else None)
    def frames() -> None:
        at = st.session_state.get(slot)
        with charts.quickly():
            draw(steps[-1] if at is None or at >= len(steps) else steps[at])
        if not playing:
            return
        if at is None or at + 1 >= len(steps):
            st.session_state.pop(slot, None)
            st.rerun()
        st.session_state[slot] = at + 1

    frames()
    if len(steps) > 2:
        st.button(
            "Play", key=f"{name}-play", icon=":material/play_arrow:", type="tertiary",
            on_click=lambda: st.session_state.update({slot: 0}),
            help="Shows the figure step by step.",
        )  # fmt: skip
