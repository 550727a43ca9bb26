"""Skillscope: which feed-forward neurons carry a task's skill? `streamlit run app.py`."""

import streamlit as st

from pages.common import answers

st.set_page_config(page_title="Skillscope", page_icon=":material/neurology:", layout="wide")

PAGES = [
    st.Page("pages/overview.py", title="Overview", icon=":material/home:", default=True),
    st.Page("pages/transfer.py", title="Transfer", icon=":material/grid_on:"),
    st.Page("pages/predictivity.py", title="Predictivity", icon=":material/candlestick_chart:"),
    st.Page("pages/correlation.py", title="Correlation", icon=":material/hub:"),
    st.Page("pages/suppression.py", title="Suppression", icon=":material/trending_down:"),
    st.Page("pages/tuning.py", title="Tuning", icon=":material/tune:"),
]

page = st.navigation(PAGES, position="top")
with answers.shown_errors():
    page.run()
