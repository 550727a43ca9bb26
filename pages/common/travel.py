"""What is chosen on one page is chosen on the next one, too, and the address of each says so."""

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
KEPT, PAGE, ARRIVED = "travel", "travel-page", "travel-arrived"


def arrive(page: str) -> None:
    """On a page that was just opened: what was chosen on the last one, unless the address says
    otherwise. It is written into the address, from which the controls take it in another run.
    """
    before = st.session_state.get(PAGE)
    st.session_state[PAGE] = page
    if before in (None, page):
        return
    if (asked := _asked()) is not None:
        st.query_params.from_dict(asked)
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


def _asked() -> dict[str, list[str]] | None:
    """After Back, or a link in a figure or a text (page.js): the address as it was asked for. On
    its way from another page, Streamlit drops from it what both pages have in their addresses.
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


def leave() -> None:
    """After a page: what it has chosen; Streamlit leaves defaults out of the address."""
    kept = dict(st.session_state.get(KEPT, {}))
    for name in TRAVELS:
        if name in st.query_params:
            kept[name] = st.query_params.get_all(name)
        elif name in st.session_state:
            kept.pop(name, None)
    st.session_state[KEPT] = kept
    st.session_state.pop(ARRIVED, None)
