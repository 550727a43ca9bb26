"""Skillscope: which feed-forward neurons carry a task's skill?

`python app.py` serves it and gets ready while nobody has come yet; `streamlit run app.py` serves
it, too, but then the first page and the first job wait for the libraries' imports.
"""

import sys
import threading
from pathlib import Path

import streamlit as st
from streamlit import runtime


def serve() -> None:
    """Import what pages need, then start the server with this file as its script.

    What only jobs need is imported beside it.
    """
    import scipy.stats  # noqa: F401
    from streamlit.web import cli

    from core.base.errors import SkillscopeError
    from core.base.settings import Settings
    from core.figures.robustness import accuracy as robustness  # noqa: F401
    from core.lab import lab
    from pages import common

    common.say_how_pages_are_found()
    try:
        settings = Settings.from_env()
    except SkillscopeError as error:
        sys.exit(f"skillscope: {error}")
    threading.Thread(target=lab.warm_up, args=[settings], daemon=True).start()
    sys.argv = ["streamlit", "run", __file__, *sys.argv[1:]]
    sys.exit(cli.main())


if __name__ == "__main__" and not runtime.exists():
    serve()

st.session_state["from_app"] = True  # see pages/common

from pages.common import about, address, answers, jobs, tour, views  # noqa: E402

ICON = Path(__file__).parent / "assets" / "icon.svg"

# Without icons: Streamlit would fetch them from outside, to stand for the page in its tab.
PAGES = {
    "": [st.Page("pages/overview.py", title="Overview", default=True)],
    "Findings": [
        st.Page("pages/robustness.py", title="Robustness"),
        st.Page("pages/suppression.py", title="Suppression"),
        st.Page("pages/predictivity.py", title="Predictivity"),
        st.Page("pages/transfer.py", title="Transfer"),
        st.Page("pages/transferability.py", title="Transferability"),
        st.Page("pages/projection.py", title="Projection"),
        st.Page("pages/ways.py", title="Ways to tune"),
    ],
    "Explore": [
        st.Page("pages/rankings.py", title="Rankings"),
        st.Page("pages/correlation.py", title="Correlation"),
        st.Page("pages/neuron.py", title="Neuron"),
        st.Page("pages/prompt.py", title="Prompt"),
        st.Page("pages/flips.py", title="Flips"),
        st.Page("pages/playground.py", title="Playground"),
    ],
    "Your data": [
        st.Page("pages/tuning.py", title="Tuning"),
        st.Page("pages/library.py", title="Library"),
    ],
}

# In a slide or another site (`?embed=true`), a page stands alone.
page = st.navigation(PAGES, position="hidden" if st.context.is_embedded else "top")
st.set_page_config(
    page_title="Skillscope" if page.title == "Overview" else f"{page.title} - Skillscope",
    page_icon=ICON if ICON.is_file() else None,
    layout="wide",
)
COMMON = Path(__file__).parent / "pages" / "common"
st.html(COMMON / "page.css")
script = (COMMON / "page.js").read_text(encoding="utf-8")
st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)
if st.context.is_embedded:
    st.html(tour.BARE)
about.begin(page.title)
with address.visited(page.title, page.url_path), answers.shown_errors():
    views.forget_choices()
    jobs.notices()
    tour.bar()
    page.run()
