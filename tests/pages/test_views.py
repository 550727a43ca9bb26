"""The named views of the Overview: each link opens its page, and what it says is still true."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.figures import advice, indicators, literature, projection, queries, released, ways
from core.figures import neuron as profiles
from core.figures.robustness import claim, dose, flips
from core.lab.lab import Lab
from core.measures import projections, sweeps
from core.tasks import load_task
from core.tasks.attacks import Attack, attacked
from core.tasks.data import load_split
from demo import rebuild
from pages.common import views
from tests.conftest import opened_lab
from tests.pages.app import run

pytestmark = pytest.mark.slow
R, T = "roberta-mini", "t5-mini"


@pytest.fixture(scope="module")
def lab(opened: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with opened_lab(opened, tmp_path_factory.mktemp("views") / "cache", threads=1) as lab:
        yield lab


def a_few_neurons(lab: Lab) -> None:
    specs = rebuild.suppressed(lab, R, load_task("sentence_pairs"))
    curve = queries.suppression_curve(lab.store, [s for s in specs if hasattr(s, "suppression")])
    here = curve[curve.fraction == 0.03].set_index("choose")
    at = here.accuracy
    assert round(0.03 * lab.models.neurons(R)[1]) == 15
    assert at["causal"] <= here.majority["causal"]
    assert min(at["skill"], at["random"]) > 0.85


def messy_texts(lab: Lab) -> None:
    pair = (R, f"{R}-weathered")
    task = load_task("answerability")
    table = dose.accuracy(lab.store, {b: rebuild.struck(lab, b, task) for b in pair})
    at = table[table.dose == 1].set_index("backbone")
    assert at.low[pair[1]] > at.high[pair[0]]
    asked = {
        (b, t.title, "typo"): rebuild.struck(lab, b, t) for b in pair for t in rebuild.tasks()[0]
    }
    points = claim.points(lab.store, asked, 0.05)
    (low,) = claim.differences(points[points.neurons == "skill"]).accuracy_low
    assert low > 0, "so it is over all tasks"


def one_slip(lab: Lab) -> None:
    task = load_task("short_reviews")
    clean, seen = load_split(task, "validation"), {}
    place = list(clean.index).index(1)
    struck = attacked(clean, Attack(kind="typo", dose=1))
    assert struck.text_a[place] == "All of the staff were courteuos."
    for b in (R, T):
        asked = rebuild.struck(lab, b, task).evaluations
        pair = flips.Pair(clean=asked[0][0], attacked=asked[1][0])
        table = flips.examples(lab.store, {b: pair}, clean, struck, task.labels)
        row = table.set_index("example").loc[1]
        seen[b] = row[b], row[f"{b} clean"], row[f"{b} attacked"]
    assert seen[R] == (flips.FLIPS, "positive", "negative")
    assert seen[T] == (flips.HOLDS, "positive", "positive")


def one_neuron(lab: Lab) -> None:
    clean = rebuild.tasks()[0]
    specs = [
        spec
        for t in clean
        for spec in sweeps.predictivities(
            ((p, lab.pin(t, R), t.evaluation_split) for p in rebuild.prompts(lab, R, t)),
            t.contrasts(),
        )
    ]
    found = profiles.profile(lab.store, specs, 3, 153)
    assert profiles.elsewhere(found, ["short_reviews"], 0) == (1, 1)
    others = [t.name for t in clean if t.name != "short_reviews"]
    assert profiles.elsewhere(found, others, 0) == (7, 8)


def which_start(lab: Lab) -> None:
    clean = rebuild.tasks()[0]
    sweep = sweeps.similarity(
        {t.name: rebuild.prompts(lab, R, t) for t in clean},
        {t.name: (lab.pin(t, R), t.evaluation_split) for t in clean},
        {t.name: t.contrasts() for t in clean},
    )
    likeness = indicators.of_everything(lab.store, R, sweep, clean=lab.clean_name)
    transfer = queries.transfer(lab.store, sweep.grid, relative=True)
    pairs = indicators.joined(likeness, transfer, {t.name: t.category for t in clean})
    gains = advice.gained(advice.tested(pairs)).set_index("over")
    assert gains.low["all"] > 0.05
    assert gains.low["category"] < 0.01


def prompts_of_another_backbone(lab: Lab) -> None:
    clean = rebuild.tasks()[0]
    learned = projections.learned_by_default(clean)
    pairs = [[p for t in learned for p in rebuild.prompts(lab, b, t)] for b in (T, R)]
    asked = {
        t.name: projections.questions(
            {"task": projections.projector(pairs[0], pairs[1], "task")},
            (lab.pin(t, R), t.evaluation_split), rebuild.prompts(lab, T, t),
            rebuild.prompts(lab, R, t),
        )
        for t in clean
    }  # fmt: skip
    group = projection.groups({t.name: t.category for t in clean}, [t.name for t in learned])
    found = projection.read(lab.store, asked)
    table = projection.gain(found, group, "task", "task-random").set_index("group")
    assert table.gain.abs().max() < 0.03
    against = projection.gain(found, group, "task", "random").set_index("group")
    assert against.gain[projection.LEARNED] > 0.2


def same_neurons(lab: Lab) -> None:
    specs = rebuild.tuned_otherwise(lab, R, load_task("short_reviews"))
    lost = ways.without(lab.store, specs).set_index(["way", "choose"])
    assert lost.excess_low["lora", "causal"] > 0
    assert lost.excess_low["adapter", "causal"] > 0


def published_pairs(lab: Lab) -> None:
    assets = lab.settings.assets
    pairs = indicators.joined(
        released.likeness(assets), literature.transfer(assets, relative=True),
        literature.categories(),
    )  # fmt: skip
    found = indicators.agreement(pairs[pairs.indicator == "cosine_average"])
    assert sorted(found.backbone) == ["RoBERTa base", "T5 base"]
    assert (found.low > 0).all()


HOLDS: dict[str, Callable[[Lab], None]] = {
    "A few neurons carry a skill": a_few_neurons,
    "Pretrained on messy texts": messy_texts,
    "Same sentence, one typo": one_slip,
    "One neuron, eight tasks": one_neuron,
    "Which other prompt works best": which_start,
    "Prompts of another backbone": prompts_of_another_backbone,
    "Causal for LoRA and adapters, too": same_neurons,
    "Released prompts": published_pairs,
}


def test_every_named_view_has_its_check() -> None:
    assert list(HOLDS) == [view.label for view in views.GALLERY]


@pytest.mark.parametrize("view", views.GALLERY, ids=lambda v: v.label)
def test_what_a_view_says_is_true(lab: Lab, view: views.View) -> None:
    HOLDS[view.label](lab)


@pytest.mark.parametrize("view", views.GALLERY, ids=lambda v: v.label)
def test_a_view_opens_on_a_figure(view: views.View) -> None:
    test = run(view.page, **view.query)
    assert not test.exception
    assert not test.error
    assert test.get("vega_lite_chart")
    assert not test.toast, "every setting of the link is known"
    assert not [b for b in test.button if b.label == "Compute"], "nothing is left to compute"
