"""Caches of the pages' tests."""

import shutil
from pathlib import Path

import pytest
import streamlit as st

from core.base.settings import ROOT


@pytest.fixture(scope="module")
def cache(opened: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = shutil.copytree(opened, tmp_path_factory.mktemp("pages") / "cache")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(cache))
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module", autouse=True)
def _close() -> None:
    yield
    st.cache_resource.clear()


@pytest.fixture
def fresh(opened: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, so that what is added does not reach other tests."""
    folder = shutil.copytree(opened, tmp_path / "fresh")
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(folder))
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()
