"""What is chosen on one page is chosen on the next one, too, and the address of each says so."""

from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.base.markdown import plain

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
    """
    st.session_state[ASKED] = {n: st.query_params.get_all(n) for n in st.query_params}
    st.session_state[CHECKED] = set[str]()
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


def checked(key: str) -> None:
    """A control has looked itself at what the address asks of it."""
    st.session_state.setdefault(CHECKED, set()).add(key)


def _refused() -> None:
    """Say what the address asked for and its controls did not take; Streamlit drops it silently."""
    refused = list[str]()
    for key, values in st.session_state[ASKED].items():
        if key not in st.session_state or key in st.session_state[CHECKED]:
            continue
        taken = st.session_state[key]
        taken = taken if isinstance(taken, list | tuple) else [taken]
        kept = st.query_params.get_all(key) == values
        if not kept and list(map(_same, taken)) != list(map(_same, values)):
            refused.append(plain(f"{key} = {', '.join(values)}"))
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
    if not arrived():
        _refused()
    kept = dict(st.session_state.get(KEPT, {}))
    for name in TRAVELS:
        if name in st.query_params:
            kept[name] = st.query_params.get_all(name)
        elif name in st.session_state:
            kept.pop(name, None)
    st.session_state[KEPT] = kept
    st.session_state.pop(ARRIVED, None)
