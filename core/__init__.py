"""The compute layer; it never imports streamlit. Map: docs/architecture.md."""
