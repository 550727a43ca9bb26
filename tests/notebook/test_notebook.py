"""The notebook's interface: it gives what the dashboard shows, and the example runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from core.base.errors import BadInput, UnknownName
from core.figures import queries
from core.measures import sweeps
from core.notebook import Skillscope
from core.tasks import load_task
from core.tasks.attacks import Attack
from tests.conftest import write_task
from tests.notebook import execute

pytestmark = pytest.mark.slow
BACKBONE, TASK = "roberta-mini", "short_reviews"


@pytest.fixture(scope="module")
def scope(opened: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Skillscope]:
    cache = shutil.copytree(opened, tmp_path_factory.mktemp("notebook") / "cache")
    with Skillscope(cache, progress=False) as scope:
        yield scope


def test_the_example_runs_and_its_outputs_are_todays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(tmp_path))
    values, kept = execute.run(), execute.cells()
    tables = 0
    for cell, value in zip(kept, values, strict=True):
        if value is None:
            assert cell["outputs"] == []
            continue
        (output,) = cell["outputs"]
        plain = output["data"]["text/plain"]
        if hasattr(value, "to_dict") and not isinstance(value, pd.DataFrame):
            assert output["data"]["image/png"]
            assert value.to_dict()
        else:
            tables += isinstance(value, pd.DataFrame)
            assert plain == execute.shown(value)["text/plain"]
    assert tables >= 3


def test_accuracies_are_the_stored_ones(scope: Skillscope) -> None:
    table = scope.accuracy(BACKBONE, TASK)
    lab, task = scope.lab, load_task(TASK)
    prompts = scope.prompts(BACKBONE, TASK)
    specs = [sweeps.own_evaluation(p, lab.pin(task, BACKBONE)) for p in prompts]
    assert table.seed.tolist() == list(sweeps.SEEDS)
    assert table.accuracy.tolist() == [lab.stored(s).accuracy for s in specs]
    assert (table.low < table.accuracy).all()
    struck = scope.accuracy(BACKBONE, TASK, attack=Attack(kind="typo", dose=1))
    assert struck.accuracy.mean() < table.accuracy.mean()
    other = scope.accuracy(BACKBONE, TASK, on="opinions", seeds=[1])
    assert other.task.tolist() == ["opinions"]


def test_transfer_predictivity_and_attribution_are_the_figures(scope: Skillscope) -> None:
    store = scope.lab.store
    table = scope.transfer(BACKBONE, [TASK, "opinions"], relative=True)
    own = table[table.source_task == table.target_task]
    assert own.value.tolist() == [1, 1]
    assert scope.plot_transfer(table, relative=True).to_dict()["layer"]
    skill = scope.predictivity(BACKBONE, TASK)
    task = load_task(TASK)
    asked = sweeps.predictivities(
        ((p, scope.lab.pin(task, BACKBONE), "validation") for p in scope.prompts(BACKBONE, TASK)),
        task.contrasts(),
    )
    (ranking,) = queries.rankings(store, asked).values()
    assert len(skill) == ranking.values.size
    assert skill.predictivity[0] == ranking.values.max()
    first = skill.iloc[0]
    assert ranking.values[int(first.layer), int(first.neuron)] == first.predictivity
    assert scope.attribution(BACKBONE, TASK).attribution.is_monotonic_decreasing


def test_curves_are_those_of_the_dashboard_and_can_be_drawn(scope: Skillscope) -> None:
    curve = scope.suppression(BACKBONE, TASK)
    by_kind = curve.set_index(["choose", "fraction"]).accuracy
    assert by_kind["causal", 0.05] < by_kind["random", 0.05] - 0.2
    assert scope.plot_suppression(curve).to_dict()["layer"]
    doses = scope.dose([BACKBONE, "t5-mini"], TASK)
    assert set(doses.backbone) == {BACKBONE, "t5-mini"}
    assert doses.groupby("backbone").accuracy.first().tolist() == pytest.approx(
        [scope.accuracy(b, TASK).accuracy.mean() for b in (BACKBONE, "t5-mini")]
    )
    assert scope.plot_dose(doses).to_dict()["layer"]


def test_what_is_not_there_is_said_in_a_sentence(scope: Skillscope) -> None:
    with pytest.raises(UnknownName, match="short_reviews"):
        scope.accuracy(BACKBONE, "short_review")
    with pytest.raises(BadInput):
        scope.accuracy("no/such folder", TASK)
    with pytest.raises(BadInput, match="list of seeds"):
        scope.accuracy(BACKBONE, TASK, seeds=[])
    with pytest.raises(BadInput, match="lists of tasks"):
        scope.transfer(BACKBONE, TASK)
    with pytest.raises(BadInput, match="no setting 'stepz'"):
        Skillscope(progress=False, stepz=3)


def test_an_adversarial_version_is_asked_through_its_clean_tasks_prompts(scope: Skillscope) -> None:
    assert scope.prompts(BACKBONE, "adv_short_reviews") == scope.prompts(BACKBONE, TASK)
    table = scope.accuracy(BACKBONE, "adv_short_reviews")
    assert set(table.task) == {"adv_short_reviews"}
    assert table.accuracy.mean() < 0.7


def test_own_data_are_tuned_on_demand_with_ones_own_settings(
    scope: Skillscope, tiny_roberta: Path, tmp_path: Path
) -> None:
    toml = write_task(tmp_path / "toy")
    with Skillscope(tmp_path / "cache", progress=False, steps=2, prompt_length=3) as other:
        table = other.accuracy(str(tiny_roberta), str(toml), seeds=[0], limit=5)
        assert other.prompts(str(tiny_roberta), str(toml), [0])[0].steps == 2
    assert table.n.tolist() == [5]
    assert set(scope.tasks()) == {"name", "title", "category", "classes", "ready"}
    assert BACKBONE in scope.backbones()
