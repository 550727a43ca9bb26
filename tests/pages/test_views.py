"""The named views of the Overview: each link opens its page, and what it says is still true."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st

from core.base.settings import ROOT, Settings
from core.figures import advice, indicators, literature, projection, queries, ways
from core.figures.robustness import dose
from core.lab.lab import Lab
from core.measures import sweeps
from core.tasks import load_task
from demo import rebuild
from pages.common import views
from tests.pages.test_pages import run

pytestmark = pytest.mark.slow
R, T = "roberta-mini", "t5-mini"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab.open(Settings(cache=tmp_path_factory.mktemp("views"), threads=1))
    yield lab
    lab.store.close()


def a_few_neurons(lab: Lab) -> None:
    specs = rebuild.suppressed(lab, R, load_task("answerability"))
    curve = queries.suppression_curve(lab.store, [s for s in specs if hasattr(s, "suppression")])
    at = curve[curve.fraction == 0.01].set_index("choose").accuracy
    assert round(0.01 * lab.models.neurons(R)[1]) == 5
    assert at["causal"] < 0.6
    assert min(at["skill"], at["random"]) > 0.85


def t5_is_ahead(lab: Lab) -> None:
    task = load_task("question_pairs")
    table = dose.accuracy(lab.store, {b: rebuild.struck(lab, b, task) for b in (R, T)})
    kept = table[table.dose > 0].pivot(index="dose", columns="backbone", values="accuracy_kept")
    assert (kept[T] > kept[R]).all()


def which_start(lab: Lab) -> None:
    clean = rebuild.tasks()[0]
    sweep = sweeps.similarity(
        {t.name: rebuild.prompts(lab, R, t) for t in clean},
        {t.name: (lab.pin(t, R), t.evaluation_split) for t in clean},
        {t.name: t.contrasts() for t in clean},
    )
    likeness = indicators.of_everything(lab.store, R, sweep, dead_row=False, clean=lab.clean_name)
    transfer = queries.transfer(lab.store, sweep.grid, relative=True)
    pairs = indicators.joined(likeness, transfer, {t.name: t.category for t in clean})
    assert advice.gained(advice.tested(pairs)).low.iloc[0] > 0.05


def prompts_of_another_backbone(lab: Lab) -> None:
    clean = rebuild.tasks()[0]
    every = [s for s in rebuild.projected(lab, R, clean) if hasattr(s, "prompt")]
    mine = [s for s in every if s.task.name == "short_reviews"]
    asked = {
        "short": {
            how: [s for s in mine if s.prompt.origin == origin]
            for how, origin in (("own", "tuned"), ("task", "projected"), ("random", "random"))
        }
    }
    asked["short"]["task"] = [s for s in asked["short"]["task"] if s.prompt.projector.by == "task"]
    table = projection.accuracies(lab.store, asked, {"short": projection.SAME}).set_index("how")
    assert table.relative["task"] > 0.95 > 0.8 > table.relative["random"]


def same_neurons(lab: Lab) -> None:
    specs = rebuild.tuned_otherwise(lab, R, load_task("short_reviews"))
    lost = ways.without(lab.store, specs).set_index(["way", "choose"])
    assert lost.low["full", "causal"] > 0.02
    assert lost.loc[("full", "causal"), "drop"] > 2 * lost.loc[("full", "random"), "drop"]


def released(lab: Lab) -> None:
    assets = lab.settings.assets
    pairs = indicators.joined(
        indicators.published(assets), literature.transfer(assets, relative=True),
        literature.categories(),
    )  # fmt: skip
    found = indicators.agreement(pairs[pairs.indicator == "cosine_average"])
    assert sorted(found.backbone) == ["RoBERTa base", "T5 base"]
    assert (found.low > 0).all()


HOLDS: dict[str, Callable[[Lab], None]] = {
    "A few neurons carry a skill": a_few_neurons,
    "T5 is ahead under typos": t5_is_ahead,
    "Which prompt to start from": which_start,
    "Prompts of another backbone": prompts_of_another_backbone,
    "Other methods, same neurons": same_neurons,
    "Released prompts": released,
}


def test_every_named_view_has_its_check() -> None:
    assert list(HOLDS) == [view.label for view in views.GALLERY]


@pytest.mark.parametrize("view", views.GALLERY, ids=lambda v: v.label)
def test_what_a_view_says_is_true(lab: Lab, view: views.View) -> None:
    HOLDS[view.label](lab)


@pytest.mark.parametrize("view", views.GALLERY, ids=lambda v: v.label)
def test_a_view_opens_on_a_figure(
    view: views.View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(tmp_path))
    monkeypatch.chdir(ROOT)
    test = run(view.page, **view.query)
    assert not test.exception
    assert not test.error
    assert test.get("vega_lite_chart")
    assert not test.toast, "every setting of the link is known"
    assert not [b for b in test.button if b.label == "Compute"], "nothing is left to compute"
    st.cache_resource.clear()
