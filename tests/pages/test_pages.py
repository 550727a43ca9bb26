"""What holds for every page."""

import json
import re
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import charts
from core.base.errors import BadInput
from core.base.markdown import plain
from core.base.settings import PLAIN
from core.base.specs import Pinned, key
from core.lab.lab import Lab
from core.measures import sweeps
from pages.common import answers
from tests.conftest import opened_lab, write_task
from tests.pages.app import ODD, PAGES, headed, run, words

pytestmark = pytest.mark.slow


def marked(test: AppTest) -> list[str]:
    """Everything on a page that Streamlit reads as Markdown, but for the page's own marks."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "success")
    bodies = [e.value for kind in kinds for e in getattr(test, kind)]
    labels = [e.label for kind in ("button", "text_input", "expander") for e in getattr(test, kind)]
    groups = [o for g in test.button_group for o in g.options]
    return [str(text) for text in (*bodies, *labels, *groups)]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_it_is_and_raises_nothing(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, its charts are checked against Vega-Lite's schema."""
    monkeypatch.setattr(charts.Unchecked, "to_dict", lambda self: self.chart.to_dict())
    test = run(page)
    assert not test.exception
    assert not test.error
    assert len(test.title) == 1


@pytest.mark.parametrize("page", ["transfer", "predictivity", "correlation"])
def test_a_link_chooses_the_backbone(page: str) -> None:
    assert headed(run(page, backbone="t5-mini")) == ["t5-mini"]


def test_the_findings_of_the_overview_bear_out_their_titles() -> None:
    page = run("overview")
    said = words(page)
    assert "**In T5, similar prompts transfer better**" in said
    assert "Similar prompts transfer better on t5-mini" in said
    assert "**Typos cost accuracy**" in said
    assert "**Predictive neurons are often not causal**" in said
    assert "256 of the 600 examples, 5 seeds" in " ".join(c.value for c in page.caption)


def test_the_overview_lists_every_task_with_its_baselines() -> None:
    table = run("overview").dataframe[0].value
    assert len(table) == 14
    assert {"n", "Most frequent", "Bag of words", "roberta-mini", "t5-mini"} <= set(table)
    written = table["t5-mini"].str.contains(r"\((?:F1|ROUGE-L)\)")
    assert written.sum() == 2
    dashes = table["Bag of words"] == "\N{EN DASH}"
    assert dashes.tolist() == written.tolist(), "classes only"
    assert table.notna().all().all()


@pytest.mark.parametrize(("took", "seconds"), [(0.0, 1.0), (0.1, 1.0), (1.0, 5.0), (60.0, 10.0)])
def test_a_slow_figure_is_drawn_less_often_while_a_job_runs(
    monkeypatch: pytest.MonkeyPatch, took: float, seconds: float
) -> None:
    spec = Pinned(name="x", fingerprint="x")
    monkeypatch.setattr(answers.st, "session_state", {"dose-took": ((spec,), took)})
    assert answers._pace([spec], "dose") == seconds
    assert answers._pace([spec, spec], "dose") == answers.POLL_EVERY, "another figure"
    assert answers._pace([spec], "claim") == answers.POLL_EVERY


def test_a_users_error_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BadInput("The file x is empty; choose another.")

    monkeypatch.setattr(Lab, "missing", broken)
    test = run("correlation")
    assert [e.value for e in test.error] == ["The file x is empty; choose another."]
    assert not test.exception


def test_shipped_prompts_are_the_ones_the_pages_ask_for(opened: Path, tmp_path: Path) -> None:
    from demo.rebuild import shipped

    with opened_lab(opened, tmp_path / "cache") as lab:
        for backbone in lab.models.names():
            specs = shipped(lab, backbone)
            assert lab.missing(specs) == ()
            basic = len(sweeps.SEEDS) * (9 + 12 + 9 * 12)
            curves = 3 * len(sweeps.SEEDS) * (2 + 2 * 8 * (2 + 10))  # per adversarial version
            # Attribution and the page's curves; three tasks share all but the causal points with
            # their adversarial version's curves.
            causal = len(sweeps.SEEDS) * (6 * (1 + 1 + 8 * (1 + 1 + 3)) + 3 * (1 + 8))
            # Typos, synonyms and distractions at four doses, one negation; weathered: typos. Each:
            # accuracy; skill and causal neurons kept.
            attacks = 3 * 4 + 1 if backbone in PLAIN else 4
            doses = 9 * attacks * (len(sweeps.SEEDS) + 2)
            # Activated neurons and nearest words; vectors left out, and a prompt in words.
            told = 9 * (2 * len(sweeps.SEEDS) + 1 + 2)
            told += 6 * len(sweeps.SEEDS)  # starts compared
            # Two projectors; each task with five kinds of prompt beside its own.
            projected = 2 + 9 * 5 * len(sweeps.SEEDS)
            ways = 6 * len(sweeps.SEEDS)
            ranks = len(sweeps.SEEDS)  # on texts with one typo each
            total = basic + 3 + curves + causal + doses + told + projected + ways + 1 + ranks
            # Two tasks with written answers: prompts, the grid, activated neurons, nearest words.
            total += 10 + 10 * (12 + 2) + 45 * 2 + 2 * 10 if backbone == "t5-mini" else 0
            if backbone not in PLAIN:  # prompts, accuracies, predictivities; curves; doses
                curves = 9 * len(sweeps.SEEDS) * (1 + 1 + 8 * (1 + 1 + 3))
                total = 3 * 45 + curves + doses + 1 + ranks
            assert len({key(s) for s in specs}) == total


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("page", ["neuron", "suppression", "prompt"])
def test_opening_a_page_does_not_tune_prompts(page: str, tiny_roberta: Path) -> None:
    """On another backbone nothing is ranked yet: the page offers to begin, and waits."""
    run("library")
    answers.lab().models.obtain(str(tiny_roberta))
    test = run(page, backbone=str(tiny_roberta))
    assert not test.exception
    assert "Compute" in [b.label for b in test.button]
    assert answers.lab().worker.jobs() == []


@pytest.mark.parametrize(
    ("low", "high"), [(-0.3, 0.9), (0.1, 0.11), (0.00004, 0.0004), (-1e-6, 2e-6), (0.2, 0.2)]
)
def test_the_ends_of_an_interval_are_told_apart(low: float, high: float) -> None:
    shown = [f"{end:+.{answers.digits(high - low)}f}" for end in (low, high)]
    assert (shown[0] != shown[1]) == (low != high)
    assert all(3 <= len(text.split(".")[1]) <= 8 for text in shown)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("page", PAGES)
def test_what_users_write_is_shown_as_typed_and_fetches_nothing(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_roberta: Path
) -> None:
    own = write_task(tmp_path / "own").parent
    toml = (own / "task.toml").read_text().replace('"Toy"', json.dumps(ODD))
    toml = toml.replace('labels = ["negative"', f"labels = [{json.dumps(ODD)}")
    toml = f"about = {json.dumps(ODD)}\nsource = {json.dumps(ODD)}\n{toml}"
    (own / "task.toml").write_text(toml)
    (own / "twin.toml").write_text('adversarial_of = "task"\n' + toml)
    (own / f"{ODD.replace('/', '')}.toml").write_text("")
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(own))
    shutil.copytree(tiny_roberta, tmp_path / "![x](x)")
    run("library")
    name = answers.lab().models.obtain(str(tmp_path / "![x](x)"))
    listed = page in ("neuron", "tuning")  # the entries of a list are no Markdown
    shown = name if listed else plain(name)
    choices = {"from": "own", "backbone": shown, "section": "tasks"}
    test = run(page, **choices)
    assert not test.exception
    seen = [text for text in marked(test) if re.search(r"x\\?\]", text)]
    assert seen or page in ("overview", "tuning", "projection")
    for text in seen:
        assert not re.search(r"(?<!\\)\[x|(?<!\\)<img|\*\*Odd|(?<!\\)\$x", text), text


def test_a_value_by_itself_on_a_line_is_not_shown() -> None:
    script = "import streamlit as st\nst.title('x')\nplaces = 1\n'what they are'\nplaces\n"
    page = AppTest.from_string(script).run()
    assert not page.exception
    assert not page.markdown
