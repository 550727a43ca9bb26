"""Jobs wherever they were started: a toast at their end, a list of all, one by itself."""

import streamlit as st

from core.base.markdown import plain
from pages.common import about, answers

ENDED = {"done": "has been computed.", "failed": "could not be computed. Its page says why."}
STATES = {
    "queued": "waiting", "running": "running", "done": "done", "failed": "failed",
    "cancelled": "cancelled",
}  # fmt: skip
MOST_JOBS = 30  # that are listed


def notices() -> None:
    """A toast when a job that this visitor started has ended while another page is shown."""
    awaited: dict[str, str] = st.session_state.get(answers.AWAITED, {})
    watched = bool(awaited)

    @st.fragment(run_every=2 * answers.POLL_EVERY if watched else None)
    def watch() -> None:
        for name, page in list(awaited.items()):
            status = answers.lab().worker.status(name)
            if status is not None and status.active:
                continue
            del awaited[name]
            if status is not None and page != about.page() and status.state in ENDED:
                st.toast(f"{plain(status.label)} {ENDED[status.state]}", icon=":material/task_alt:")
        if watched and not awaited:
            st.rerun()  # nothing is left to look for

    watch()


def listed() -> None:
    """All jobs since the server was started, the newest first, each with its state."""
    asked = answers.lab()
    every = answers.POLL_EVERY if any(s.active for s in asked.worker.jobs()) else None

    @st.fragment(run_every=every)
    def live() -> None:
        found = asked.worker.jobs()[::-1]
        if every is not None and not any(s.active for s in found):
            st.rerun()
        if not found:
            st.info("No jobs have been started since the server started.")
        for status in found[:MOST_JOBS]:
            left, right = st.columns([5, 1], vertical_alignment="center")
            said = f"**{plain(status.label)}**: {STATES[status.state]}"
            if not status.active:
                left.markdown(said + f" after {status.seconds:.0f} s. {plain(status.error)}")
                continue
            left.progress(status.done, text=said + answers.time_left(status))
            if right.button("Cancel", key=f"jobs-{status.name}", icon=":material/close:"):
                asked.worker.cancel(status.name)

    live()


def one(name: str, done: str) -> None:
    """A job that is not a set of questions: how far it is, a cancel button, how it ended."""
    asked = answers.lab()
    status = asked.worker.status(name)
    if status is None:
        return
    every = answers.POLL_EVERY if status.active else None

    @st.fragment(run_every=every)
    def live() -> None:
        now = asked.worker.status(name)
        assert now is not None
        if now.active:
            left, right = st.columns([5, 1], vertical_alignment="center")
            left.progress(now.done, text=answers.doing(now) + answers.time_left(now))
            if right.button("Cancel", key=f"{name}-cancel", icon=":material/close:"):
                asked.worker.cancel(name)
            return
        if every is not None:
            st.rerun()
        if now.state == "done":
            st.success(done, icon=":material/check:")
        elif now.state == "cancelled":
            st.info("Cancelled. The part downloaded so far is kept.", icon=":material/stop_circle:")
        else:
            st.error(plain(now.error), icon=":material/error:")
            if now.detail:
                st.expander("Details").code(now.detail)

    live()
