"""The compute layer; it never imports streamlit. Map: docs/architecture.md."""

from core.base.settings import sleep_while_waiting

sleep_while_waiting()  # before anything loads torch
