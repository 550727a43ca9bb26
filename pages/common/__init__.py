"""What pages share: the controls, and how answers, waiting and errors look."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

# Until some script of this process has called st.navigation, Streamlit takes a folder `pages/` for
# its older kind of app and runs the page of a deep link by itself, without app.py. The first run
# ends up here, says that this app is of the newer kind, and starts over.
if PagesManager.uses_pages_directory:
    PagesManager.uses_pages_directory = False
    st.rerun()
