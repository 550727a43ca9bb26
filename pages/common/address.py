"""The address of a page says all that is chosen there; what several pages have travels along.

Streamlit's own binding (`bind="query-params"`) leaves out what is at its default, so that half of a
view would be missing, and change with the defaults. Here a control is `bound` instead: it begins
with what the address asks for, or with what was chosen on an earlier page, or at its default. At
the end of a run the whole view is written into the address: as a step of the browser's history if
somebody chose something, in place of the address as it was if the page was just opened (page.js).
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar
from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import RerunException, get_script_run_ctx

from pages.common import widgets

P = ParamSpec("P")
T = TypeVar("T")
Texts = list[str]

TRAVELS = ("backbone", "seed", "task", "from", "prompts", "top")
"""Keys of the controls that several pages have: a choice that is not the default travels."""
VISIT, TRAVELLING = "address", "travelling"  # in the session


@dataclass
class Visit:
    """A page from its opening to the next one. All values are texts, as the address has them."""

    page: str = ""
    path: str = ""
    asked: dict[str, Texts] = field(default_factory=dict)
    """By the address, and not taken yet."""
    along: dict[str, Texts] = field(default_factory=dict)
    """From earlier pages, and not taken yet."""
    named: dict[str, Texts] = field(default_factory=dict)
    """What no control shows: the step of the tour, the example."""
    view: dict[str, Texts] = field(default_factory=dict)
    """What the controls of this run show, in their order."""
    usual: set[str] = field(default_factory=set)
    """Which of them are at their defaults."""
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each could show when it was last seen."""
    refused: dict[str, Texts] = field(default_factory=dict)
    """What the address asks for in vain, and the visitor has not been told yet."""
    seen: dict[str, Texts] = field(default_factory=dict)
    """What controls showed in any run."""
    chosen: bool = False
    """Whether somebody has chosen something that the address does not say yet."""
    whole: bool = True
    """Whether all controls of this run were there: some come with a figure that is computed."""


@contextmanager
def visited(page: str, path: str) -> Iterator[None]:
    """A run of a page: before it, what its address asks for; after it, what could not be had is
    said, and the address is written. A run that is cut short by another one does neither.
    """
    visit = _opened(page, path)
    visit.view, visit.usual, visit.whole = {}, set(), True
    try:
        yield
    except BaseException as raised:
        visit.whole = False  # a page may stop early
        if not isinstance(raised, RerunException):
            _leave(visit)
        raise
    _leave(visit)


def _opened(page: str, path: str) -> Visit:
    """The visit of this page; a new one if the page was just opened, or if Back or a link in a
    figure or a text (page.js) leads to another view of it.
    """
    visit: Visit | None = st.session_state.get(VISIT)
    followed = _followed()
    if visit is not None and visit.page == page and followed is None:
        return visit
    asked = followed
    if asked is None:
        asked = {name: st.query_params.get_all(name) for name in st.query_params}
    for name in visit.view if visit is not None else ():
        if name in st.session_state:  # a control of the new page may have the same key
            del st.session_state[name]
    along = {} if followed is not None else st.session_state.get(TRAVELLING, {})
    new = Visit(page, path, asked, dict(along))
    st.session_state[VISIT] = new
    return new


def _followed() -> dict[str, Texts] | None:
    """The address that Back or a link asks for; None in any other run."""
    run = get_script_run_ctx()
    if run is None or not run.is_history_navigation:
        return None
    asked = parse_qs(run.query_string, keep_blank_values=True)
    return {name: values for name, values in asked.items() if not name.startswith("embed")}


def _visit() -> Visit:
    """The current visit; a page that runs without the app around it begins its own."""
    if VISIT not in st.session_state:
        return _opened("", "")
    visit: Visit = st.session_state[VISIT]
    return visit


def bound(widget: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A control of Streamlit's whose value the address holds, under its `key`."""
    visit = _visit()
    allowed = widgets.values(widget, args, kwargs)
    name = allowed.name
    asked, along = visit.asked.pop(name, None), visit.along.pop(name, None)
    if asked is not None:
        st.session_state[name], refused = allowed.taken(asked)
        refuse(name, refused)
    elif along is not None:
        st.session_state[name] = allowed.taken(along)[0]
    elif name not in st.session_state or not allowed.holds(st.session_state[name]):
        st.session_state[name] = allowed.default
    elif visit.options.get(name, allowed.options) != allowed.options:
        st.session_state[name] = st.session_state[name]  # for Streamlit it may be another control
    visit.options[name] = allowed.options
    shown = widget(*args, **kwargs)
    visit.view[name] = allowed.texts(st.session_state[name])
    visit.chosen |= visit.seen.get(name, visit.view[name]) != visit.view[name]
    visit.seen[name] = visit.view[name]
    if visit.view[name] == allowed.texts(allowed.default):
        visit.usual.add(name)
    else:
        visit.usual.discard(name)
    return shown


def only(name: str, value: T) -> T:
    """The one value that there is, so that no control shows it. Other views have several."""
    visit = _visit()
    refuse(name, [text for text in visit.asked.pop(name, []) if text != str(value)])
    visit.view[name] = [str(value)]
    visit.usual.add(name)
    return value


def asked(name: str) -> str:
    """What the address says under a name that no control has; empty if it does not."""
    visit = _visit()
    if name in visit.asked:
        visit.named[name] = visit.asked.pop(name)
    return visit.named.get(name, [""])[-1]


def once(name: str) -> str:
    """The same, and from now on the address does not say it."""
    said = asked(name)
    _visit().named.pop(name, None)
    return said


def put(name: str, text: str | None, *, chosen: bool = True) -> None:
    """From now on the address says this under a name that no control has; None takes it out.
    `chosen`: by somebody, so that Back undoes it.
    """
    visit = _visit()
    visit.asked.pop(name, None)
    visit.chosen |= chosen
    if text is None:
        visit.named.pop(name, None)
    else:
        visit.named[name] = [text]


def alone() -> None:
    """What was chosen on earlier pages does not alter this one."""
    _visit().along.clear()


def refuse(name: str, texts: Sequence[str]) -> None:
    """The address asks for what cannot be had; the visitor is told at the end of the run."""
    if texts:
        _visit().refused[name] = list(texts)


def unfinished() -> None:
    """A figure is not there yet, nor are its controls."""
    _visit().whole = False


def view() -> dict[str, Texts]:
    """All that the address says, as far as the page has run."""
    visit = _visit()
    return {**visit.view, **visit.named, **({} if visit.whole else visit.asked)}


def changed() -> dict[str, Texts]:
    """Of it, what is not at its default."""
    usual = _visit().usual
    return {name: texts for name, texts in view().items() if name not in usual}


def quoted(values: Iterable[str]) -> str:
    """Values of an address, as they are: no Markdown, no links."""
    return ", ".join(
        f"`{value.replace('`', ' ')}`" if value.strip() else "nothing" for value in values
    )


def _leave(visit: Visit) -> None:
    """After a run of a page."""
    if visit.whole:
        for name, texts in visit.asked.items():
            refuse(name, texts if name not in TRAVELS else [])
        visit.asked = {}
        visit.along = {}
    if visit.refused:
        named = "; ".join(f"{name} = {quoted(texts)}" for name, texts in visit.refused.items())
        visit.refused = {}
        st.toast(
            f"This link asks for what is not available here: {named}. The page shows available "
            "values instead.",
            icon=":material/link_off:", duration="long",
        )  # fmt: skip
    kept: dict[str, Texts] = st.session_state.setdefault(TRAVELLING, {})
    for name in TRAVELS:
        if name in visit.usual:
            kept.pop(name, None)
        elif name in visit.view:
            kept[name] = visit.view[name]
    _write(visit)


def follow() -> None:
    """At the end of a fragment that has controls: what was chosen there, if it runs by itself."""
    run = get_script_run_ctx()
    if run is not None and run.fragment_ids_this_run and VISIT in st.session_state:
        _write(_visit())


def _write(visit: Visit) -> None:
    """Complete the address, or make a step of its history if somebody has chosen something."""
    parts = [(name, text) for name, texts in view().items() for text in texts]
    arguments = ", ".join(map(json.dumps, (visit.path, parts, visit.chosen, time.time())))
    script = f"skillscopePage.show({arguments})".replace("<", "\\u003c")  # texts may say </script>
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)
    visit.chosen = False
