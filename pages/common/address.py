"""The address of a page says all that is chosen there; what several pages have travels along.

Streamlit's own binding (`bind="query-params"`) leaves out what is at its default, so that half of a
view would be missing, and change with the defaults. Here a control is `bound` instead: it begins
with what the address asks for, or with what was chosen on an earlier page, or at its default. At
the end of a run the whole view is written into the address: as a step of the browser's history if
somebody chose something, in place of the address as it was if the page was just opened (page.js).
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn, ParamSpec, TypeVar
from urllib.parse import parse_qs, urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.common import widgets

P = ParamSpec("P")
T = TypeVar("T")
Texts = list[str]

TRAVELS = ("backbone", "seed", "task", "from", "prompts", "top", "example")
"""What several pages have: a choice that is not the default travels."""
VISIT, TRAVELLING = "address", "travelling"  # in the session
MOST, LONGEST = 5, 60  # names and characters of what is refused that a message quotes


@dataclass
class Visit:
    """A page from its opening to the next one. All values are texts, as the address has them."""

    page: str = ""
    path: str = ""
    number: int = 0
    """How many there were before it in this session."""
    asked: dict[str, Texts] = field(default_factory=dict)
    """By the address, and not taken yet."""
    brought: dict[str, Texts] = field(default_factory=dict)
    """From earlier pages, and not taken yet."""
    named: dict[str, Texts] = field(default_factory=dict)
    """What no control shows: the step of the tour, the example."""
    view: dict[str, Texts] = field(default_factory=dict)
    """What the controls of this run show, in their order."""
    at_default: set[str] = field(default_factory=set)
    """Which of them are at their defaults."""
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each could show when it was last seen."""
    refused: dict[str, Texts] = field(default_factory=dict)
    """What the address asks for in vain, and the visitor has not been told yet."""
    seen: dict[str, Texts] = field(default_factory=dict)
    """What controls showed in any run."""
    followed: bool = False
    """Whether Back, or a link in a figure or a text, led here: its address alone counts."""
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
    visit.view, visit.at_default, visit.whole = {}, set(), True
    try:
        yield
    except Ended:
        visit.whole = False
    _leave(visit)


class Ended(Exception):  # not an error
    """Raised by `end`."""


def end() -> NoReturn:
    """The page ends here, because what follows cannot be shown. (After `st.stop` nothing would
    reach the browser any more, the address neither.)
    """
    if not _visit().page:  # it runs without the app around it
        st.stop()
    raise Ended


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
    brought = {} if followed is not None else st.session_state.get(TRAVELLING, {})
    new = Visit(
        page, path, 0 if visit is None else visit.number + 1, asked, dict(brought),
        followed=followed is not None,
    )  # fmt: skip
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
    asked, brought = visit.asked.pop(name, None), visit.brought.pop(name, None)
    if asked is not None:
        value, refused = allowed.taken(asked)
        refuse(name, refused)
        if refused != asked or name not in st.session_state:  # or else what the page has put there
            st.session_state[name] = value
    elif brought is not None:
        st.session_state[name] = allowed.taken(brought)[0]
    elif name not in st.session_state and name in visit.seen:  # it was out of sight for a while
        st.session_state[name] = allowed.taken(visit.seen[name])[0]
    elif name not in st.session_state or not allowed.holds(st.session_state[name]):
        st.session_state[name] = allowed.default
    elif visit.options.get(name, allowed.options) != allowed.options:
        st.session_state[name] = st.session_state[name]  # for Streamlit it may be another control
    visit.options[name] = allowed.options
    shown = widget(*args, **kwargs)
    visit.view[name] = allowed.texts(st.session_state[name])
    changed = visit.seen.get(name, visit.view[name]) != visit.view[name]
    visit.chosen |= changed
    visit.seen[name] = visit.view[name]
    if visit.view[name] == allowed.texts(allowed.default):
        visit.at_default.add(name)
    else:
        visit.at_default.discard(name)
    if changed or asked is not None:
        _keep(name, visit.view[name] if name not in visit.at_default else None)
    return shown


def _keep(name: str, texts: Texts | None) -> None:
    """What is chosen travels to the next pages; a default (None) does not."""
    kept: dict[str, Texts] = st.session_state.setdefault(TRAVELLING, {})
    if texts is None:
        kept.pop(name, None)
    elif name in TRAVELS:
        kept[name] = texts


def only(name: str, value: T) -> T:
    """The one value that there is, so that no control shows it. Other views have several."""
    visit = _visit()
    refuse(name, [text for text in visit.asked.pop(name, []) if text != str(value)])
    visit.view[name] = visit.seen[name] = [str(value)]
    visit.at_default.add(name)
    return value


def asked(name: str) -> str:
    """What the address says under a name that no control has; empty if it does not."""
    visit = _visit()
    for known in (visit.asked, visit.brought):
        if name in known and name not in visit.named:
            visit.named[name] = known.pop(name)[-1:]
            _keep(name, visit.named[name])
    if visit.followed and name not in visit.named:
        _keep(name, None)
    return visit.named.get(name, [""])[-1]


def taken(name: str) -> str:
    """The same, which is then taken out of the address."""
    said = asked(name)
    _visit().named.pop(name, None)
    return said


def go(page: str, asked: Mapping[str, str | Texts]) -> None:
    """Open a page of this app, as a link in a text does. (`st.switch_page` makes two steps of the
    browser's history.)
    """
    _run("go", f"{page}?{urlencode(asked, doseq=True)}")


def number() -> int:
    """Another one whenever a page is opened, by Back, too: for the key of what must begin anew."""
    return _visit().number


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
    _keep(name, visit.named.get(name))


def alone() -> None:
    """What was chosen on earlier pages does not alter this one."""
    _visit().brought.clear()


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
    if visit.whole:
        return {**visit.view, **visit.named}
    return {**visit.seen, **visit.view, **visit.named, **visit.asked}


def changed() -> dict[str, Texts]:
    """Of it, what is not at its default."""
    at_default = _visit().at_default
    return {name: texts for name, texts in view().items() if name not in at_default}


def quoted(values: Iterable[str]) -> str:
    """Texts of an address, as they are: no Markdown, no links."""
    return ", ".join(map(_quoted, values))


def _quoted(text: str) -> str:
    text = " ".join(text.replace("`", " ").split())
    cut = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return f"`{cut}`" if text else "nothing"


def _leave(visit: Visit) -> None:
    """After a run of a page."""
    if visit.whole:
        for name, texts in visit.asked.items():
            _keep(name, texts)  # to pages that have it
            refuse(name, texts if name not in TRAVELS else [])
        visit.asked, visit.brought = {}, {}
    if visit.refused:
        every = [f"{quoted([name])} = {quoted(texts)}" for name, texts in visit.refused.items()]
        more = f"; and {len(every) - MOST} more" * (len(every) > MOST)
        named = "; ".join(every[:MOST]) + more
        visit.refused = {}
        st.toast(
            f"This link asks for what is not available here: {named}. The page shows available "
            "values instead.",
            icon=":material/link_off:", duration="long",
        )  # fmt: skip
    _write(visit)


def follow() -> None:
    """At the end of a fragment that has controls: what was chosen there, if it runs by itself."""
    run = get_script_run_ctx()
    if run is not None and run.fragment_ids_this_run and VISIT in st.session_state:
        _write(_visit())


def _write(visit: Visit) -> None:
    """Complete the address, or make a step of its history if somebody has chosen something."""
    parts = [(name, text) for name, texts in view().items() for text in texts]
    _run("show", visit.path, parts, visit.chosen)
    visit.chosen = False


def _run(what: str, *arguments: object) -> None:
    """Have page.js do it, once."""
    said = ", ".join(map(json.dumps, (time.time(), *arguments)))
    script = f"skillscopePage.{what}({said})".replace("<", "\\u003c")  # texts may say </script>
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)
