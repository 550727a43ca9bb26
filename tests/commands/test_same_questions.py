"""The command line asks what the pages ask: same rows, permutations, seeds and precision."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from core.__main__ import app
from core.base.settings import ROOT, Settings
from core.base.specs import Spec, key
from core.lab.lab import Lab
from core.measures import sweeps
from core.tasks import load_task
from pages.common import answers

pytestmark = pytest.mark.slow
BACKBONE, TASK = "roberta-mini", "short_reviews"
Asked = Callable[..., set[str]]


@pytest.fixture(autouse=True)
def _surroundings(opened: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(shutil.copytree(opened, tmp_path / "cache")))
    monkeypatch.chdir(ROOT)


@pytest.fixture
def by_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """Keys of what a page asks for."""

    def ask(page: str, **choices: object) -> set[str]:
        seen: list[Spec] = []

        def show(specs: Any, draw: Any, **_: Any) -> None:
            seen.extend(specs)

        with monkeypatch.context() as patch:
            patch.setattr(answers, "show", show)
            file = "app.py" if page == "overview" else f"pages/{page}.py"
            test = AppTest.from_file(str(ROOT / file), default_timeout=120)
            for name, value in choices.items():
                test.query_params[name] = value
            test.run()
        assert not test.exception
        st.cache_resource.clear()  # the command line opens the cache itself
        return {key(spec) for spec in seen}

    yield ask
    st.cache_resource.clear()


@pytest.fixture
def by_command(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Keys of what a command asks for; nothing is computed."""

    def ask(*words: object) -> set[str]:
        seen: list[Spec] = []
        with monkeypatch.context() as patch:
            patch.setattr(Lab, "ask", lambda self, spec, progress=None: seen.append(spec))
            patch.setattr(Lab, "answer", None)
            CliRunner().invoke(app, [str(word) for word in words])
        return {key(spec) for spec in seen}

    return ask


@pytest.fixture
def prompt(by_command: Asked) -> Callable[..., str]:
    """Key of the prompt that figures show."""

    def named(task: str = TASK, seed: int = 0) -> str:
        lab = Lab.open(Settings.from_env())
        pin = lab.pin(load_task(task), BACKBONE)
        spec = sweeps.standard_prompt(lab.models.pin(BACKBONE), "roberta", pin, seed)
        lab.store.close()
        return key(spec)

    return named


def test_tune(by_page: Asked, by_command: Asked, prompt: Callable[..., str]) -> None:
    page = by_page("tuning", backbone=BACKBONE, task=TASK, seed=7)
    assert by_command("tune", BACKBONE, TASK, "--seed", 7) == {prompt(seed=7)}
    assert prompt(seed=7) in page
    assert len(page) == 1 + 30, "and the runs whose starts are compared"


def test_indicators(by_page: Asked, by_command: Asked, prompt: Callable[..., str]) -> None:
    pair = prompt(), prompt("excuses")
    asked = by_command("indicators", *pair) - {*pair}
    assert len(asked) == 2
    assert asked <= by_page("transferability", backbone=BACKBONE)


def test_advise(by_page: Asked, by_command: Asked) -> None:
    asked = by_command("advise", TASK, "--backbone", BACKBONE)
    page = by_page("transferability", backbone=BACKBONE)
    assert len(asked - page) == 45, "the prompts themselves"
    others = 8 * 40  # no other prompt on the task, nor its prompts on other tasks
    assert len(asked & page) == others + 45 + 45, "and which neurons are active, and causal"
    brief = by_command("advise", TASK, "--backbone", BACKBONE, "--brief", "7")
    assert len(brief) == len(asked)
    assert len(brief - asked) == 3 * 5, "the task's own prompts, and both of each"


def test_project(by_page: Asked, by_command: Asked) -> None:
    learned = "answerability, opinions,long_reviews,"  # in any order
    page = by_page("projection")
    asked = by_command(
        "project", "t5-mini", BACKBONE, "--tasks", learned, "--test", "excuses", "--by", "distance"
    )
    assert len(asked) == 1 + 4 * 5
    assert asked <= page


def test_read_prompt(by_page: Asked, by_command: Asked, prompt: Callable[..., str]) -> None:
    asked = by_command("read-prompt", prompt()) - {prompt()}
    assert len(asked) == 1
    assert asked <= by_page("prompt", backbone=BACKBONE)


def test_evaluate(by_page: Asked, by_command: Asked, prompt: Callable[..., str]) -> None:
    asked = by_command("evaluate", prompt(), TASK)
    assert len(asked) == 1
    assert asked <= by_page("overview")
    assert asked <= by_page("transfer", backbone=BACKBONE)


def test_predictivity(by_page: Asked, by_command: Asked, prompt: Callable[..., str]) -> None:
    asked = by_command("predictivity", prompt(), TASK)
    assert len(asked) == 1
    assert asked <= by_page("predictivity", backbone=BACKBONE)


def test_correlate(by_page: Asked, by_command: Asked, prompt: Callable[..., str]) -> None:
    pairs = [f"{prompt(task)}={task}" for task in (TASK, "excuses")]
    asked = by_command("correlate", *pairs)
    assert len(asked) == 2
    assert asked <= by_page("correlation", backbone=BACKBONE)


@pytest.mark.parametrize("task", [TASK, "adv_short_reviews"])
def test_suppress(by_page: Asked, by_command: Asked, prompt: Callable[..., str], task: str) -> None:
    page = by_page("suppression", backbone=BACKBONE, task=load_task(task).title)
    assert by_command("suppress", prompt(), task) == page
    assert len(page) == 1 + 8 * (1 + 1 + 3)


def test_transfer(by_page: Asked, by_command: Asked, prompt: Callable[..., str]) -> None:
    asked = by_command("transfer", prompt(), prompt("excuses"), "--tasks", f"{TASK},excuses")
    assert len(asked) == 4
    assert asked <= by_page("transfer", backbone=BACKBONE)


def test_activations(by_page: Asked, by_command: Asked, prompt: Callable[..., str]) -> None:
    asked = by_command("activations", prompt(), TASK)
    assert len(asked) == 1
    assert asked <= by_page("neuron", backbone=BACKBONE, task=load_task(TASK).title)
