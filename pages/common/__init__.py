"""What pages share: the controls, and how answers, waiting and errors look."""

import threading

import streamlit as st
from streamlit import runtime


def say_how_pages_are_found() -> None:
    """Tell Streamlit that `st.navigation` names this app's pages.

    Until it has been called once in a process, Streamlit takes a folder `pages/` for its older kind
    of app and runs the page of a deep link by itself, without app.py. A call outside of any session
    (thus the thread) draws nothing and is enough.
    """
    thread = threading.Thread(target=lambda: st.navigation([st.Page(lambda: None, title="none")]))
    thread.start()
    thread.join()


# `streamlit run app.py` has not said so when a deep link is the first thing that is asked for.
if runtime.exists() and not st.session_state.get("from_app"):
    say_how_pages_are_found()
    st.session_state["from_app"] = True
    st.rerun()
