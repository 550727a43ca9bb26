"""A prompt as a download."""

import io
import zipfile

import streamlit as st

from core.exchange import sharing
from core.lab.lab import Lab


def download(lab: Lab, key: str) -> None:
    """A button that hands out the files that share a prompt."""
    st.download_button(
        "Download (safetensors, card, PEFT for T5)",
        lambda: _zipped(lab, key),
        f"prompt-{key}.zip",
        "application/zip",
        icon=":material/download:",
        on_click="ignore",
    )


def _zipped(lab: Lab, key: str) -> bytes:
    """One archive with the files."""
    spec = lab.prompt_named(key)
    files = sharing.share(lab.prompt(spec), lab.models.shape(spec.backbone.name))
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()
