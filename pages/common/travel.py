"""What is chosen on one page is chosen on the next one, too, and the address of each says so."""

from collections.abc import Sequence
from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

TRAVELS = ("backbone", "seed", "task", "from", "prompts", "top")
"""Keys of the controls that several pages have; the address has them by these names."""
SINGLE = {
    "Neuron": ("backbone", "seed"), "Prompt": ("backbone", "seed"), "Tuning": ("backbone", "seed"),
    "Flips": ("seed",), "Playground": ("seed",),
}  # fmt: skip
"""Which of them have one value on a page (its title); elsewhere they may have several."""
ASKED, CHECKED = "address-asked", "address-checked"
KEPT, PAGE, ARRIVED = "travel", "travel-page", "travel-arrived"


def arrive(page: str) -> None:
    """On a page that was just opened: what was chosen on the last one, unless the address says
    otherwise. It is written into the address, from which the controls take it in another run.
    After Back, or a link in a figure or a text (page.js), the address alone counts.
    """
    before = st.session_state.get(PAGE)
    st.session_state[PAGE] = page
    followed = _followed()
    if before != page or followed is not None:
        st.session_state[ASKED] = {n: st.query_params.get_all(n) for n in st.query_params}
        st.session_state[CHECKED] = set[str]()
    if before in (None, page):
        return
    if followed is not None:
        st.session_state[ASKED] = followed
        for name in TRAVELS:  # a control of the last page may have had the same key
            st.session_state.pop(name, None)
        st.query_params.from_dict(followed)
        st.rerun()
    kept: dict[str, list[str]] = st.session_state.get(KEPT, {})
    kept = {
        name: values[:1] if name in SINGLE.get(page, ()) else values
        for name, values in kept.items() if name not in st.query_params
    }  # fmt: skip
    if kept:
        st.session_state[ARRIVED] = True
        st.query_params.update(kept)
        st.rerun()


def _followed() -> dict[str, list[str]] | None:
    """The address that Back or a link asks for; None in any other run. On the way from another
    page, Streamlit drops from `st.query_params` what both pages have in their addresses.
    """
    run = get_script_run_ctx()
    if run is None or not run.is_history_navigation:
        return None
    asked = parse_qs(run.query_string, keep_blank_values=True)
    return {name: values for name, values in asked.items() if not name.startswith("embed")}


def arrived() -> bool:
    """Whether the address says what travelled here, not what a link asks for: a value that this
    page does not have is then no mistake.
    """
    return ARRIVED in st.session_state


def quoted(values: Sequence[str]) -> str:
    """Values of an address, as they are: no Markdown, no links."""
    return ", ".join(
        f"`{value.replace('`', ' ')}`" if value.strip() else "nothing" for value in values
    )


def checked(key: str) -> None:
    """A control has looked itself at what the address asks of it."""
    st.session_state.setdefault(CHECKED, set()).add(key)


def _refused() -> None:
    """Say what the address asked for and its controls did not take; Streamlit drops it silently."""
    refused = list[str]()
    for key, values in st.session_state.pop(ASKED, {}).items():
        if key not in st.session_state or key in st.session_state.get(CHECKED, ()):
            continue
        taken = st.session_state[key]
        taken = taken if isinstance(taken, list | tuple) else [taken]
        kept = st.query_params.get_all(key) == values
        if not kept and list(map(_same, taken)) != list(map(_same, values)):
            refused.append(f"{key} = {quoted(values)}")
    if refused:
        st.toast(
            f"This link asks for what is not available here: {'; '.join(refused)}. The page shows "
            "available values instead.",
            icon=":material/link_off:", duration="long",
        )  # fmt: skip


def _same(value: object) -> str:
    """A value as addresses have it, whichever way its number or truth is written."""
    text = str(value).lower()
    try:
        return repr(float(text))
    except ValueError:
        return text


def leave() -> None:
    """After a page: say what it refused, and keep what it has chosen; Streamlit leaves defaults out
    of the address.
    """
    if arrived():
        st.session_state.pop(ASKED, None)
    _refused()
    kept = dict(st.session_state.get(KEPT, {}))
    for name in TRAVELS:
        if name in st.query_params:
            kept[name] = st.query_params.get_all(name)
        elif name in st.session_state:
            kept.pop(name, None)
    st.session_state[KEPT] = kept
    st.session_state.pop(ARRIVED, None)
