"""Every page through Streamlit's AppTest, on the embedded default and in its other states."""

import json
import re
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from core.base.errors import BadInput
from core.base.markdown import plain
from core.base.prompts import SoftPrompt
from core.base.settings import EMBEDDED, PLAIN, ROOT, Settings
from core.base.specs import key
from core.exchange.published import import_folder
from core.figures import queries, rankings
from core.figures.robustness import claim
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.prompts import ImportedPrompt
from core.tasks import load_task
from core.tasks.attacks import Attack
from core.tasks.data import load_split
from core.tasks.textattack import adversarial_version
from pages.common import answers, upload
from tests.conftest import here, write_task, write_text_task

pytestmark = pytest.mark.slow
PAGES = (
    "overview", "transfer", "transferability", "projection", "ways", "predictivity", "correlation",
    "suppression",
    "robustness", "flips", "rankings", "neuron", "playground", "tuning", "library", "prompt",
)  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(cache))
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module", autouse=True)
def _close() -> None:
    yield
    st.cache_resource.clear()


def run(page: str, **choices: object) -> AppTest:
    file = "app.py" if page == "overview" else f"pages/{page}.py"
    test = AppTest.from_file(str(ROOT / file), default_timeout=60)
    for name, value in choices.items():
        test.query_params[name] = value
    return test.run()


def charts(test: AppTest) -> list[dict]:
    return [json.loads(c.proto.spec) for c in test.get("vega_lite_chart")]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_it_is_and_raises_nothing(page: str) -> None:
    test = run(page)
    assert not test.exception
    assert not test.error
    assert len(test.title) == 1


@pytest.mark.parametrize("page", ["transfer", "predictivity", "correlation"])
def test_both_backbones_stand_side_by_side_from_shipped_answers(page: str) -> None:
    test = run(page)
    assert [h.value for h in test.subheader][:2] == ["roberta-mini", "t5-mini"]
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"


def test_transfer_is_shown_against_shared_neurons() -> None:
    test = run("transfer")
    assert len(charts(test)) == 2 + 2
    assert (
        sum(
            "72 ordered pairs of 9 tasks. Spearman (95 % interval): roberta-mini" in c.value
            for c in test.caption
        )
        == 2
    )


def test_transferability_compares_indicators_from_shipped_answers() -> None:
    page = run("transferability")
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 7, "indicators, pairs, advice, matrices, maps"
    said = " ".join(c.value for c in page.caption)
    assert "Highest mean Spearman of 9 indicators (95 % interval): roberta-mini" in said
    assert "72 ordered pairs of 9 tasks" in said
    assert "Each point is one of 45 prompts. Trustworthiness" in said
    assert not page.button, "nothing is left to compute"
    page = run("transferability", numbers="published (Su et al. 2022)", map="t-SNE")
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 7
    said = " ".join(c.value for c in page.caption)
    assert "One released run per task" in said
    assert "RoBERTa base 0.39 (" in said


def test_a_prompts_page_shows_words_vectors_and_where_it_works() -> None:
    page = run("prompt", backbone="roberta-mini")
    assert not page.exception
    assert page.title[0].value == "Prompt: Short reviews, seed 0"
    assert len(page.get("vega_lite_chart")) == 4, "tasks, without one, with fewer, vectors"
    said = " ".join(c.value for c in page.caption)
    assert "of 8 vectors, the nearest token is still the one that" in said
    assert re.search(
        r"of 8 vectors p < 0\.05 \(Holm\). Accuracy is 0\.9\d with all vectors and 0\.4", said
    )
    assert "95 % Wilson intervals. Majority-class accuracy: 0.5" in said
    assert not page.button, "all of it is shipped"
    assert [len(t.value) for t in page.dataframe] == [8, 2, 8], "words, in words, most alike"
    page = run("prompt", backbone="t5-mini", task="Excuses", other="Treatment")
    assert not page.exception
    assert "Mean cosine" in " ".join(c.value for c in page.caption)
    assert "without the diagonal" not in " ".join(c.value for c in page.caption)


def test_projection_shows_what_is_chosen_and_all_of_it_is_shipped() -> None:
    page = run("projection")
    assert not page.exception
    assert not page.button, "nothing is left to compute"
    assert len(page.get("vega_lite_chart")) == 6, "three groups, relative, two trainings"
    said = " ".join(m.value for m in page.markdown)
    assert "trained by distance: prompts do better on training tasks and unseen tasks than" in said
    assert "trained by task: random words projected in the same way do about as well" in said
    page = run("projection", objective="distance", source="roberta-mini", target="t5-mini")
    drawn = json.dumps(charts(page))
    assert "random words, projected by distance" in drawn
    assert "by task" not in drawn
    page = run("projection", source="t5-mini", target="t5-mini")
    assert [i.value for i in page.info] == ["Choose two different backbones."]


def test_ways_to_tune_are_shipped_for_the_first_task() -> None:
    page = run("ways")
    assert not page.exception
    assert not page.button, "nothing is left to compute"
    assert len(page.get("vega_lite_chart")) == 6, "two costs and the neurons, twice"
    assert len(page.dataframe[0].value) == 12
    said = " ".join(m.value for m in page.markdown)
    assert "Causal neurons cost clearly more than random ones: **roberta-mini**: prompt" in said


def test_tuning_compares_starts_from_shipped_answers() -> None:
    page = run("tuning", backbone="t5-mini")
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 3, "loss, accuracy, starts"
    assert not page.button, "nothing is left to compute"
    rows = page.dataframe[0].value.set_index("start")
    assert list(rows.index) == [
        "vocabulary", "Long reviews", "Treatment", "labels", "projected from roberta-mini",
        "random",
    ]  # fmt: skip
    assert rows.runs.tolist() == [5] * 6
    assert rows.speedup["vocabulary"] == 1
    assert rows.low["projected from roberta-mini"] > 1, "the one clear effect"
    assert "[This prompt in detail](prompt?key=" in " ".join(c.value for c in page.caption)


def test_a_link_to_any_prompt_opens_it(tmp_path: Path) -> None:
    run("library")
    lab = answers.lab()
    tuned = lab.store.specs("prompt", "origin = 'tuned' AND task = 'excuses' AND seed = 3")[0]
    page = run("prompt", key=key(tuned))
    assert not page.exception
    assert page.title[0].value == "Prompt: Excuses, seed 3"
    assert not [s for s in page.selectbox if s.label == "Seed"], "the link says it"
    words = lab.store.specs("prompt", "origin = 'words' AND task = 'excuses'")[0]
    page = run("prompt", key=key(words))
    assert not page.exception
    assert "prompt in words of 5 tokens" in page.markdown[0].value
    page = run("prompt", key="0000")
    assert not page.exception
    assert "No stored prompt has a key that starts with" in page.error[0].value


@pytest.mark.usefixtures("fresh")
def test_a_prompt_whose_tasks_data_are_not_here_is_shown_by_itself(tiny_roberta: Path) -> None:
    run("library")
    lab = answers.lab()
    spec = ImportedPrompt(
        backbone=lab.models.pin(lab.models.obtain(str(tiny_roberta))), seed=33, prompt_length=3,
        sha256="0", task="tweet_sentiment", layout="published",
    )  # fmt: skip
    vectors = torch.randn(3, lab.backbone(spec).hidden_size)
    known = lab.adopt(SoftPrompt(spec=spec, vectors=vectors, words=()), "0")
    page = run("prompt", key=key(known))
    assert not page.exception
    assert any("are not here" in i.value for i in page.info)
    assert "Imported on" in page.caption[0].value


def test_words_of_one_task_do_not_stay_with_the_next() -> None:
    page = run("prompt", task="Short reviews")
    assert page.text_input(key="words").value == "negative, positive?"
    page.selectbox(key="task").set_value("entailment").run()
    assert page.text_input(key="words").value == "no, yes?"
    page.text_input(key="words").set_value("is it so").run()
    page.selectbox(key="task").set_value("excuses").run()
    assert page.text_input(key="words").value == "is it so", "typed by the user"


@pytest.mark.usefixtures("fresh")
def test_three_tasks_are_too_few_for_a_correlation(
    tiny_roberta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in ("one", "two", "three"):
        toml = write_task(tmp_path / name)
        text = toml.read_text().replace('title = "Toy"', f'title = "{name}"')
        (own / f"{name}.toml").write_text(f'data = "{toml.parent}"\n{text}')
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(own))
    lab = answers.lab()
    backbone = lab.models.obtain(str(tiny_roberta))
    tasks = [load_task(name) for name in ("one", "two", "three")]
    usual = sweeps.standard_prompt
    monkeypatch.setattr(
        sweeps, "standard_prompt",
        lambda *a, **k: usual(*a, **{**k, "steps": 1, "selection": 10, "prompt_length": 3}),
    )  # fmt: skip
    places = [(lab.pin(t, backbone), t.evaluation_split) for t in tasks]
    tuned = [
        sweeps.standard_prompt(lab.models.pin(backbone), "roberta", pin, seed)
        for pin, _ in places for seed in sweeps.SEEDS[:2]
    ]  # fmt: skip
    page = run("transferability", backbone=backbone, **{"from": "own"})
    assert not page.exception
    assert "These prompts have not been compared yet." in [c.value for c in page.caption]
    for spec in sweeps.transfer_grid(tuned, places):
        lab.ask(spec)
    page = run("transferability", backbone=backbone, **{"from": "own"})
    assert not page.exception
    assert any("at least three source tasks" in c.value for c in page.caption)


def test_a_typed_prompt_in_words_is_measured_beside_the_soft_one() -> None:
    page = run("prompt")
    page.text_input(key="words").set_value("is this film good").run()
    for _ in range(60):
        if len(page.dataframe[1].value) == 2:
            break
        time.sleep(0.5)
        page.run()
    rows = page.dataframe[1].value.set_index("Prompt")
    assert rows.Vectors["in words"] == 4
    assert rows.low["in words"] < rows.accuracy["in words"] < rows.high["in words"]
    page.text_input(key="words").set_value(" ").run()
    assert "Enter a prompt to compare it with the soft prompt." in [c.value for c in page.caption]


@pytest.mark.parametrize("page", ["transfer", "predictivity", "correlation"])
def test_a_link_chooses_the_backbone(page: str) -> None:
    headings = [h.value for h in run(page, backbone="t5-mini").subheader]
    assert "t5-mini" in headings
    assert "roberta-mini" not in headings


def test_the_overview_lists_every_task_with_its_baselines() -> None:
    table = run("overview").dataframe[0].value
    assert len(table) == 14
    assert {"n", "Most frequent", "Bag of words", "roberta-mini", "t5-mini"} <= set(table)
    written = table["t5-mini"].str.contains(r"\((?:F1|ROUGE-L)\)")
    assert written.sum() == 2
    dashes = table["Bag of words"] == "\N{EN DASH}"
    assert dashes.tolist() == written.tolist(), "classes only"
    assert table.notna().all().all()


def test_missing_answers_offer_a_button_and_a_count() -> None:
    test = run("tuning", seed="4711")
    assert [b.label for b in test.button if not b.label.startswith("Download")] == ["Compute"]
    assert "**1 of 1** prompt" in test.markdown[1].value


def test_figures_say_n_seeds_and_chance() -> None:
    for page in ("transfer", "predictivity"):
        text = " ".join(c.value for c in run(page).caption)
        assert f"{len(sweeps.SEEDS)} seeds" in text
        assert "600 examples" in text
        assert "hance" in text


def test_a_users_error_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BadInput("The file x is empty; choose another.")

    monkeypatch.setattr(Lab, "missing", broken)
    test = run("correlation")
    assert [e.value for e in test.error] == ["The file x is empty; choose another."]
    assert not test.exception


def test_shipped_prompts_are_the_ones_the_pages_ask_for(tmp_path: Path) -> None:
    from demo.rebuild import shipped

    lab = Lab.open(Settings(cache=tmp_path))
    try:
        for backbone in lab.models.names():
            specs = shipped(lab, backbone)
            assert lab.missing(specs) == ()
            basic = len(sweeps.SEEDS) * (9 + 12 + 9 * 12)
            curves = 3 * len(sweeps.SEEDS) * (2 + 2 * 8 * (2 + 10))  # per adversarial version
            # Attribution and the page's curves; three tasks share all but the causal points with
            # their adversarial version's curves.
            causal = len(sweeps.SEEDS) * (6 * (1 + 1 + 8 * (1 + 1 + 3)) + 3 * (1 + 8))
            doses = 9 * 4 * (len(sweeps.SEEDS) + 2)  # accuracy; skill and causal neurons kept
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
    finally:
        lab.store.close()


def test_published_figures_stand_alone() -> None:
    test = run("transfer", numbers="published (Su et al. 2022)")
    assert not test.exception
    assert [h.value for h in test.subheader] == ["RoBERTa base", "T5 base"]
    assert len(charts(test)) == 2
    assert any("Su et al. 2022" in c.value for c in test.caption)
    assert not [b for b in test.button if b.label == "Compute"]


# --- library -------------------------------------------------------------------------------------
@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, so that what is added does not reach other tests."""
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(tmp_path / "fresh"))
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.mark.usefixtures("fresh")
def test_the_library_lists_backbones_and_adds_a_folder(tiny_folder: Path) -> None:
    test = run("library")
    names = list(test.dataframe[0].value["Backbone"])
    assert names[:2] == ["roberta-mini", "t5-mini"]
    test.text_input[0].set_value(str(tiny_folder))
    next(b for b in test.button if b.label == "Add").click().run()
    for _ in range(40):
        if test.success:
            break
        time.sleep(0.25)
        test.run()
    assert test.success
    test.run()
    assert str(tiny_folder) in list(test.dataframe[0].value["Backbone"])


def test_a_backbone_that_is_not_there_is_told_in_one_sentence() -> None:
    test = run("library")
    test.text_input[0].set_value("no such thing")
    next(b for b in test.button if b.label == "Add").click().run()
    for _ in range(40):
        if test.error:
            break
        time.sleep(0.25)
        test.run()
    assert "no backbone called 'no such thing'" in test.error[0].value
    assert not test.exception


def test_the_library_shows_answer_words_as_token_ids() -> None:
    test = run("library", section="tasks")
    assert not test.exception
    words = test.dataframe[1].value
    mine = words[words.Backbone == "roberta-mini"]
    assert list(mine["Answer word"]) == ["negative", "positive"]
    assert all("," not in ids for ids in mine["Token ids"])


def test_tasks_of_the_papers_are_listed_even_if_their_data_are_not_here() -> None:
    test = run("library", section="tasks", **{"from": "papers"})
    table = test.dataframe[0].value
    assert "SST-2" in list(table.Task)
    assert not table.Here.any()
    assert [b.label for b in test.button if b.label.startswith("Download")]


def test_released_prompts_are_imported_from_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "SST2PromptRoberta"
    folder.mkdir()
    torch.save(torch.zeros(3, 128), folder / "task_prompt")
    test = run("library", section="prompts")
    assert len(test.dataframe[0].value) >= 90
    test.text_input[0].set_value(str(tmp_path))
    next(b for b in test.button if b.label == "Import").click().run()
    outcome = test.dataframe[-1].value.iloc[0]
    assert "not on this machine" in outcome.why
    assert any("0 of 1" in m.value for m in test.markdown)


def test_imported_prompts_can_be_shown_instead_of_tuned_ones(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SKILLSCOPE_CACHE", str(tmp_path))
    st.cache_resource.clear()
    folder = tmp_path / "seed_33" / "SST2PromptT5"
    folder.mkdir(parents=True)
    torch.save(torch.zeros(3, 128), folder / "task_prompt")
    with here(tmp_path) as store:
        lab = Lab(Settings(cache=tmp_path), store)
        (outcome,) = import_folder(lab, tmp_path / "seed_33", {"T5": "t5-mini"})
    assert outcome.key
    test = run("transfer", backbone="t5-mini", prompts="imported")
    assert not test.exception
    assert [h.value for h in test.subheader][:1] == ["t5-mini"]
    assert any("Nothing computed yet" in c.value for c in test.caption)
    st.cache_resource.clear()


# --- robustness, rankings, neuron, playground ----------------------------------------------------
def words(test: AppTest) -> str:
    return " ".join(m.value for m in test.markdown)


def test_robustness_opens_with_shipped_doses_and_the_claim_over_all_tasks() -> None:
    test = run("robustness")
    assert not test.exception
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"
    assert len(charts(test)) == 3
    assert "Accuracy on Short reviews with one typo per text, and its change from clean" in words(
        test
    )
    assert [m.label for m in test.metric] == list(EMBEDDED)
    assert "600 examples, means of 5 seeds" in " ".join(c.value for c in test.caption)
    claimed = run("robustness", tab="All tasks")
    assert not claimed.exception
    assert not [b for b in claimed.button if b.label == "Compute"], "nothing is missing"
    assert len(charts(claimed)) == 2
    assert "verdict on weathered against plain: agrees" in words(claimed)
    for name in ("roberta-mini", "t5-mini"):
        assert f"**{name}**" in words(claimed)
    assert "doses 1, 2, 3, 5" in " ".join(c.value for c in claimed.caption)


def test_ranks_on_clean_and_on_attacked_texts_come_from_shipped_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test = run("robustness", tab="Neuron ranks")
    assert not test.exception
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"
    assert len(charts(test)) == len(EMBEDDED)
    assert sum("by chance it would be" in c.value for c in test.caption) == len(EMBEDDED)
    lab, task = answers.lab(), load_task("short_reviews")
    specs = lab.standard("t5-mini", task, sweeps.SEEDS)
    place = lab.pin(task, "t5-mini"), task.evaluation_split
    asked = sweeps.dose_response(specs, place, task.contrasts(), Attack(kind="typo", dose=1))
    pair = asked.stability["skill"][1]
    means = [rankings.mean_of(lab.store, side) for side in (pair.clean, pair.adversarial)]
    tops = [mean.top(0.05) for mean in means if mean is not None]
    shared, chosen = int((tops[0] & tops[1]).sum()), int(tops[0].sum())
    assert 0 < shared < chosen
    assert any(c.value.startswith(f"{shared} of {chosen} skill neurons") for c in test.caption)
    monkeypatch.setattr(lab, "missing", lambda asked: tuple(asked[:1]))
    partial = run("robustness", tab="Neuron ranks")
    assert not charts(partial), "seeds are missing, so their means are of different prompts"
    monkeypatch.undo()
    more = run("robustness", tab="Neuron ranks", dose="5", backbone="t5-mini")
    assert not more.exception
    assert not charts(more)
    assert "These neurons have not been ranked under attack yet." in [c.value for c in more.caption]


def test_neurons_without_a_point_above_shuffled_labels_are_counted_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = claim.points

    def left_out(*args: object) -> pd.DataFrame:
        table = points(*args)  # type: ignore[arg-type]
        table.loc[table.neurons == "causal", "kept"] = float("nan")
        return table

    st.cache_data.clear()
    monkeypatch.setattr(claim, "points", left_out)
    test = run("robustness", tab="All tasks")
    st.cache_data.clear()
    assert not test.exception
    assert len(charts(test)) == 1
    (sentence,) = (c.value for c in test.caption if "No point can be shown" in c.value)
    assert f"({4 * 9 * 4} left out)" in sentence


def test_another_attack_offers_to_compute_its_doses() -> None:
    test = run("robustness", attack="negations", task="Opinions", backbone="t5-mini")
    assert not test.exception
    assert len([b for b in test.button if b.label in ("Compute", "Cancel")]) == 1
    test = run("robustness", task="Excuses")
    assert [t.label for t in test.tabs] == ["This task", "All tasks", "Neuron ranks"]


@pytest.mark.parametrize("task", ["Short reviews", "Answerability"])
def test_an_adversarial_version_in_detail_comes_from_shipped_answers(task: str) -> None:
    test = run("robustness", task=task, tab="Adversarial version")
    assert not test.exception
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"
    for name in ("roberta-mini", "t5-mini"):
        assert f"**{name}**: accuracy drops from" in words(test)
    assert "verdict: not tested" in words(test), [m.value for m in test.markdown]
    assert re.search(r"permutation null \d+%, p = 0\.\d+", words(test))
    assert len(charts(test)) == 4 + 2 + 4
    by_attack, costs = (d.value for d in test.dataframe[-2:][::-1])
    assert len(costs) == 8
    assert len(by_attack) == 2 * 5
    assert set(by_attack.attack) == {"typo", "synonym", "distraction", "negation", "human"}


def test_one_backbone_alone_is_told_without_a_verdict() -> None:
    test = run("robustness", backbone="t5-mini", tab="Adversarial version")
    assert "**t5-mini**: accuracy drops from" in words(test)
    assert "the claim that" not in words(test)
    assert len(charts(test)) == 4 + 1 + 2
    test = run("robustness", backbone="t5-mini", tab="All tasks")
    assert "The claim needs two backbones with points to compare." in words(test)


def test_the_decoders_neurons_are_suppressed_where_there_is_one() -> None:
    test = run("suppression", stack="decoder", neurons=["skill", "lowest"])
    assert not test.exception
    assert [i.value for i in test.info] == [
        "roberta-mini, roberta-mini-weathered have no decoder and are left out."
    ]
    (offered,) = (m.value for m in test.markdown if "not been computed" in m.value)
    points = 1 + 8 * (1 + 3)  # causal and three random draws
    of_both = f"**{2 * (points - 1)} of {2 * points}** points"  # T5 and weathered T5
    assert offered.startswith(of_both), offered
    alone = run("suppression", stack="decoder", backbone="roberta-mini")
    assert not alone.exception
    assert [i.value for i in alone.info] == [
        "roberta-mini has no decoder; choose a T5 backbone, or the encoder's neurons."
    ]


def test_suppression_shows_how_faithful_attribution_is_from_shipped_answers() -> None:
    test = run("suppression")
    assert len(charts(test)) == 2, "plain and weathered backbones"
    assert "half of the skill away: **roberta-mini**:" in words(test)
    test = run("suppression", faithful="true")
    assert not test.exception
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"
    assert len(charts(test)) == 2 + 4
    assert len(test.dataframe[-1].value) == 4 * 5
    assert sum("Spearman" in c.value and "64 train rows" in c.value for c in test.caption) == 4


def test_rankings_compare_layers_seeds_pairs_and_tasks() -> None:
    test = run("rankings", task="Opinions", against="Excuses", top="3%")
    assert not test.exception
    assert len(charts(test)) == 2 + 1 + 2 + 2 + 2
    assert any("top 3%" in c.value and "chance" in c.value for c in test.caption)
    assert any("are among the" in c.value and "causal ones" in c.value for c in test.caption)


def test_an_imported_version_stands_with_the_own_tasks_and_beside_its_clean_task(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(tmp_path / "tasks"))
    table = pd.DataFrame(
        {
            "perturbed_text": ["a goood film"],
            "ground_truth_output": "1",
            "result_type": "Successful",
        }
    )
    places = Settings.from_env().places
    adversarial_version(places, table, load_task("short_reviews"), "Attacked", ("successful",))
    for page in ("robustness", "playground", "rankings", "flips"):
        test = run(page, **{"from": "own"})
        assert not test.exception, page
        assert not test.error, page
    test = run("robustness", tab="Adversarial version")
    versions = next(s for s in test.selectbox if s.key == "version").options
    assert versions == ["Short reviews, adv.", "Attacked"]


@pytest.mark.parametrize(("page", "slot"), [("suppression", "suppression"), ("robustness", "dose")])
def test_a_figure_can_be_played_step_by_step(page: str, slot: str) -> None:
    def furthest(test: AppTest) -> float:
        tables = [
            pa.ipc.open_stream(bytes(d.data.data)).read_pandas()
            for d in test.get("vega_lite_chart")[0].proto.datasets
        ]
        return max(
            float(t[column].max()) for t in tables for column in ("fraction", "dose") if column in t
        )

    test = run(page)
    whole = furthest(test)
    test.button(key=f"{slot}-play").click().run()
    first = furthest(test)
    assert first == 0
    seen = [first]
    for _ in range(12):
        if f"{slot}-frame" not in test.session_state:
            break
        test.run()
        seen.append(furthest(test))
    assert not test.exception
    assert seen == sorted(seen)
    assert seen[-1] == whole
    assert len(set(seen)) > 3


def test_flips_lists_examples_and_shows_neurons_along_one() -> None:
    page = run("flips")
    assert not page.exception
    listed = page.dataframe[0].value
    assert f"{len(listed)} of 600 examples." in [c.value for c in page.caption]
    assert (listed["roberta-mini clean"] == listed.label).all()
    assert (listed["roberta-mini attacked"] != listed.label).all()
    assert len(charts(page)) == 1 + 4, "the states, and one neuron a backbone along both texts"
    assert sum("skill neurons." in m.value for m in page.markdown) == 2
    both = run("flips", only="flips for t5-mini, stays right for roberta-mini", dose="3")
    assert (both.dataframe[0].value["roberta-mini attacked"] == both.dataframe[0].value.label).all()
    one = run("flips", backbone="t5-mini", task="Question pairs", seed="2")
    assert not one.exception
    assert not [m.value for m in one.markdown if "McNemar" in m.value], "one backbone alone"
    assert {"text_b", "attacked_b"} <= set(one.dataframe[0].value)


def test_rankings_are_those_of_the_view_whatever_was_shown_before() -> None:
    """A task against its adversarial version asks what that version against the task asks."""

    def drawn(view: dict[str, str]) -> tuple[bytes, ...]:
        test = run("rankings", backbone="roberta-mini", **view)
        assert not test.exception
        figures = [c.proto for c in test.get("vega_lite_chart")]
        return tuple(d.data.data for figure in figures for d in figure.datasets)

    pair = ("Short reviews", "Short reviews, adv.")
    views = [
        {"task": task, "against": other, "by": by}
        for by in ("predictivity", "attribution") for task, other in (pair, pair[::-1])
    ]  # fmt: skip
    alone = []
    for view in views:
        st.cache_data.clear()
        alone.append(drawn(view))
    st.cache_data.clear()
    assert [drawn(view) for view in views] == alone
    assert len(set(alone)) == 4


def test_rankings_by_attribution_are_shipped_too() -> None:
    test = run("rankings", by="attribution")
    assert not test.exception
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"
    assert "Are causal neurons shared with other seeds?" in [h.value for h in test.subheader]
    assert len(charts(test)) == 2 + 1 + 2 + 2 + 2


def test_a_neuron_is_known_at_once_and_its_activity_is_computed() -> None:
    test = run("neuron", backbone="t5-mini", task="Excuses", layer="1", neuron="148", seed="2")
    assert [t.value for t in test.title] == ["Neuron 148, layer 1"]
    for _ in range(60):
        if len(charts(test)) == 7 and test.metric:
            break
        time.sleep(0.25)
        test.run()
    assert not test.exception
    assert len(charts(test)) == 7
    assert any("Highest of all: " in c.value for c in test.caption)
    assert any("Excuses: rank percentile " in c.value for c in test.caption)
    assert [m.label for m in test.metric] == ["Accuracy", "When suppressed", "Changed answers"]
    near = test.dataframe[-1].value
    assert (near.layer[0], near.neuron[0], near.difference[0]) == (1, 148, 0)
    assert near.url[1].startswith("neuron?backbone=t5-mini&layer=")


def test_a_picked_example_stays_picked_on_other_pages() -> None:
    task = load_task("short_reviews")
    rows = load_split(task, task.evaluation_split)
    test = run("playground", example="short_reviews:7")
    assert test.text_area[0].value == rows.text_a[list(rows.index).index(7)]
    test = run("neuron", example="short_reviews:7")
    for _ in range(60):
        if "Example 7 (selected)" in [m.value for m in test.markdown]:
            break
        time.sleep(0.25)
        test.run()
    assert not test.exception
    assert "Example 7 (selected)" in [m.value for m in test.markdown]
    near = test.dataframe[-1].value
    assert near.url.str.contains("example=short_reviews%3A7").all(), "it goes along by link"
    test.session_state["example"] = "opinions:7"  # of another task
    del test.query_params["example"]
    test.run()
    assert "Example 7 (selected)" not in [m.value for m in test.markdown]
    test.session_state["example"] = "short_reviews:9"
    test.run()
    assert "Example 9 (selected)" in [m.value for m in test.markdown]
    flipped = run("flips", example="short_reviews:7")
    assert not flipped.exception
    assert [h.value for h in flipped.subheader] == ["Example 7"], "though it does not flip"
    for wrong in (
        "-1",
        "short_reviews:99999",
        "short_reviews:x",
        "7",
        "short_reviews:" + "9" * 6000,
    ):
        assert not run("flips", example=wrong).exception


def test_the_library_lists_the_shipped_projectors() -> None:
    test = run("library", section="prompts")
    assert not test.exception
    table = test.dataframe[1].value
    assert set(zip(table.from_backbone, table.to_backbone, table.trained_by, strict=True)) == {
        (a, b, how)
        for a, b in (("roberta-mini", "t5-mini"), ("t5-mini", "roberta-mini"))
        for how in ("distance", "task")
    }
    assert table.selection_accuracy[table.trained_by == "task"].between(0.5, 1).all()
    assert table.tasks.str.contains("long_reviews").all()


@pytest.mark.usefixtures("fresh")
def test_what_was_computed_here_is_listed_and_deleted() -> None:
    test = run("library", section="results")
    assert [i.value for i in test.info] == [
        "Only the shipped results are stored; nothing else has been computed on this machine."
    ]
    lab, task = answers.lab(), load_task("opinions")
    prompt = lab.standard("t5-mini", task, [1])[0]
    spec = sweeps.own_evaluation(prompt, lab.pin(task, "t5-mini"), "validation", limit=8)
    lab.ask(spec)
    test = run("library", section="results")
    assert not test.exception
    assert test.dataframe[0].value.values.tolist()[0][:4] == [
        "accuracy", "t5-mini", "Opinions", 1
    ]  # fmt: skip
    test.multiselect(key="dropped").set_value([0]).run()
    assert "This deletes **1** stored result." in words(test)
    next(b for b in test.button if b.label == "Delete these results").click().run()
    assert not test.exception
    assert [i.value for i in test.info]
    assert lab.missing([spec]) == (spec,)
    assert lab.known([prompt]), "the prompt is shipped and stays"


def test_the_last_figure_stays_greyed_while_another_one_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test = run("predictivity", backbone="t5-mini")
    before = len(charts(test))
    assert not [c for c in test.caption if "greyed" in c.value]
    test.select_slider(key="permutations").set_value(500).run()
    assert not test.exception
    assert next(c.value for c in test.caption) == (
        "Nothing has been measured with these settings yet. The greyed figure below is from the "
        "previous settings."
    )
    assert len(charts(test)) == before > 0
    assert "Compute" in [b.label for b in test.button]
    assert not test.get("download_button"), "they would name the new settings"
    test.select_slider(key="permutations").set_value(100).run()
    assert len(charts(test)) == before > 0
    assert not [c for c in test.caption if "greyed" in c.value]
    test.select_slider(key="permutations").set_value(500).run()
    monkeypatch.setattr(queries, "predictivity_boxes", lambda *_: pd.DataFrame())
    test.run()
    assert not charts(test), "its answers are gone"
    assert not [c for c in test.caption if "greyed" in c.value]
    fresh = run("predictivity", backbone="t5-mini", permutations="500")
    assert not charts(fresh)
    assert "Nothing has been measured with these settings yet." in [c.value for c in fresh.caption]


def test_the_playground_begins_with_a_text_on_which_model_and_neurons_agree() -> None:
    test = run("playground")
    assert not test.exception
    assert len(charts(test)) == 4
    assert not [m.value for m in test.markdown if "although" in m.value]


def test_the_playground_reads_what_is_typed() -> None:
    test = run("playground")
    assert not test.exception
    test.text_area[0].set_value("The soup was lovely and the waiter was kind.").run()
    assert not test.exception
    assert len(charts(test)) == 4
    next(b for b in test.button if b.label == "synonym").click().run()
    assert test.text_area[0].value != "The soup was lovely and the waiter was kind."
    next(b for b in test.button if b.label == "undo").click().run()
    assert test.text_area[0].value == "The soup was lovely and the waiter was kind."
    test.slider(key="off").set_value(10).run()
    assert any("Random: mean of 3 draws" in c.value for c in test.caption)


def test_the_playground_suppresses_causal_neurons_and_single_ones() -> None:
    test = run("playground", which="causal neurons", off="10")
    test.session_state["single-roberta-mini"] = True  # somebody opens the expander
    test.run()
    assert not test.exception
    assert "neurons with the highest attribution to this answer" in words(test)
    assert not [b for b in test.button if b.label == "Compute"], "the rankings are shipped"
    assert any("Random: mean of 3 draws" in c.value for c in test.caption)
    assert [c for c in charts(test) if "how" in json.dumps(c)]


def test_a_typed_text_stays_when_the_task_changes_and_an_example_gives_way() -> None:
    test = run("playground", task="Short reviews")
    first = test.text_area[0].value
    task = next(s for s in test.selectbox if s.label == "Task")
    task.set_value("Opinions").run()
    assert test.text_area[0].value != first
    test.text_area[0].set_value("My own words were good.").run()
    next(s for s in test.selectbox if s.label == "Task").set_value("Short reviews").run()
    assert test.text_area[0].value == "My own words were good."
    assert not test.exception


def test_undo_brings_back_what_the_attack_changed_and_nothing_else() -> None:
    test = run("playground", task="Short reviews")

    def press(label: str) -> None:
        next(b for b in test.button if b.label == label).click().run()

    first = test.text_area[0].value
    press("typo")
    press("distraction")
    press("undo")
    assert test.text_area[0].value == first
    next(s for s in test.selectbox if s.label == "Task").set_value("Opinions").run()
    assert test.text_area[0].value != first, "an example gives way, attacked or not"
    press("typo")
    test.text_area[0].set_value("Other words.").run()
    assert not [b for b in test.button if b.label == "undo"], "nothing of these was attacked"
    press("negation")
    press("undo")
    assert test.text_area[0].value == "Other words."


def test_an_example_can_be_chosen_again_after_changes() -> None:
    test = run("playground")
    for _ in range(2):
        examples = next(s for s in test.selectbox if s.label == "Start from")
        examples.set_value(examples.options[2]).run()
        text = test.text_area[0].value
        assert text[:40] in examples.options[2]
        test.text_area[0].set_value("Something else.").run()
    assert not test.exception


def test_an_attack_never_cuts_a_long_text() -> None:
    test = run("playground")
    text = "good " * 398 + "good end."
    test.text_area[0].set_value(text).run()
    next(b for b in test.button if b.label == "distraction").click().run()
    assert test.text_area[0].value == text
    assert any("longer than 2,000" in i.value for i in test.info)


def test_a_neurons_page_opens_at_the_tasks_best_neuron() -> None:
    test = run("neuron", task="Entailment", backbone="roberta-mini")
    layer, neuron = (int(n.value) for n in test.number_input[:2])
    assert test.title[0].value == f"Neuron {neuron}, layer {layer}"
    assert (layer, neuron) != (0, 0)


def test_an_attack_without_a_target_says_so() -> None:
    test = run("playground")
    test.text_area[0].set_value("xyz").run()
    next(b for b in test.button if b.label == "synonym").click().run()
    assert any("no word with a listed synonym" in i.value for i in test.info)


def test_predictivity_draws_the_levels_of_chance() -> None:
    test = run("predictivity")
    first = json.dumps(charts(test)[0])
    assert '"fwer"' in first
    assert '"floor"' in first
    assert any("Discoveries: " in c.value for c in test.caption)
    more = run("predictivity", permutations="500")
    assert [b for b in more.button if b.label == "Compute"], "other shuffles are another question"


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


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    "page", ["playground", "robustness", "neuron", "rankings", "prompt", "flips"]
)
def test_a_task_without_an_imported_prompt_is_told_in_one_sentence(
    page: str, tmp_path: Path
) -> None:
    folder = tmp_path / "released" / "SST2PromptT5"
    folder.mkdir(parents=True)
    torch.save(torch.zeros(3, 128), folder / "task_prompt")
    run("library")
    import_folder(answers.lab(), tmp_path / "released", {"T5": "t5-mini"})
    test = run(page, backbone="t5-mini", prompts="imported")
    assert not test.exception
    assert any("There is no prompt" in i.value for i in test.info) or page == "rankings"


@pytest.mark.parametrize(
    ("low", "high"), [(-0.3, 0.9), (0.1, 0.11), (0.00004, 0.0004), (-1e-6, 2e-6), (0.2, 0.2)]
)
def test_the_ends_of_an_interval_are_told_apart(low: float, high: float) -> None:
    shown = [f"{end:+.{answers.digits(high - low)}f}" for end in (low, high)]
    assert (shown[0] != shown[1]) == (low != high)
    assert all(3 <= len(text.split(".")[1]) <= 8 for text in shown)


# --- what must not take the other pages down -----------------------------------------------------
def no_page_is_down(**choices: object) -> None:
    """Every page says what it is, whatever lies among the user's own things."""
    for page in PAGES:
        test = run(page, **choices)
        assert not test.exception, page
        assert len(test.title) == 1, page


@pytest.mark.usefixtures("fresh")
def test_a_moved_folder_is_listed_as_missing_and_can_be_removed(
    tiny_roberta: Path, tmp_path: Path
) -> None:
    run("library")
    shutil.copytree(tiny_roberta, tmp_path / "mine")
    name = answers.lab().models.obtain(str(tmp_path / "mine"))
    (tmp_path / "mine" / "tokenizer.json").write_text("{")
    broken = run("library", section="tasks")
    assert any(f"{name}: The tokenizer in" in w.value for w in broken.warning)
    assert len(broken.dataframe) == 2, "the other backbones' answer words are there"
    (tmp_path / "mine").rename(tmp_path / "elsewhere")
    no_page_is_down(backbone=name)
    test = run("library")
    assert any(f"There is no folder {name} any more" in w.value for w in test.warning)
    next(b for b in test.button if b.label == "Remove").click().run()
    assert not test.warning
    assert answers.lab().store.backbones() == ()


@pytest.mark.usefixtures("fresh")
def test_bad_own_tasks_and_a_broken_row_are_named_and_the_pages_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_task(tmp_path / "own").parent
    good = (own / "task.toml").read_text()
    (own / "number.toml").write_text("adversarial_of = 5\n" + good)
    (own / "deep.toml").write_text("labels = " + "[" * 100_000)
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(own))
    folder = tmp_path / "released" / "SST2PromptT5"
    folder.mkdir(parents=True)
    torch.save(torch.zeros(3, 128), folder / "task_prompt")
    run("library")
    lab = answers.lab()
    (outcome,) = import_folder(lab, tmp_path / "released", {"T5": "t5-mini"})
    lab.store._cursor().execute("UPDATE prompt SET spec = '{' WHERE key = ?", [outcome.key])
    no_page_is_down(**{"from": "own", "backbone": "t5-mini", "prompts": "imported"})
    said = [w.value for w in run("library", section="tasks", **{"from": "own"}).warning]
    assert [w.split(" is skipped")[0] for w in said] == ["deep.toml", "number.toml"]
    (broken,) = [w.value for w in run("library", section="prompts").warning]
    assert outcome.key in broken


RANKING = (
    "predictivity", "correlation", "suppression", "robustness", "rankings", "neuron", "playground",
)  # fmt: skip


@pytest.mark.usefixtures("fresh")
def test_tasks_with_written_answers_are_left_out_where_neurons_are_ranked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_text_task(tmp_path / "own").parent
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(own))
    chosen = {"from": "own", "backbone": "t5-mini"}
    no_page_is_down(**chosen)
    for page in RANKING:
        (said,) = [i.value for i in run(page, **chosen).info]
        assert "All of these tasks have written answers" in said
    toy = write_task(tmp_path / "toy")
    (own / "toy.toml").write_text(f'data = "{toy.parent}"\n{toy.read_text()}')
    no_page_is_down(**chosen)
    for page in ("neuron", "playground", "suppression"):
        assert next(s for s in run(page, **chosen).selectbox if s.label == "Task").options == [
            "Toy"
        ]


@pytest.mark.usefixtures("fresh")
def test_written_answers_are_asked_of_backbones_that_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(write_text_task(tmp_path / "own").parent))
    for page, words in (
        ("transfer", "caption"), ("tuning", "info"), ("transferability", "info"), ("prompt", "info")
    ):  # fmt: skip
        test = run(page, **{"from": "own", "backbone": "roberta-mini"})
        assert not test.exception
        assert any("cannot write" in e.value for e in getattr(test, words)), page
    task = load_task("echo")
    lab = answers.lab()
    pin = lab.models.pin("t5-mini")
    prompts = [
        sweeps.standard_prompt(pin, "t5", lab.pin(task, "t5-mini"), seed, steps=2, selection=10)
        for seed in (0, 1)
    ]
    monkeypatch.setattr(sweeps, "standard_prompt", lambda *a, **_: prompts[a[3] % 2])
    for prompt in prompts:
        lab.ask(sweeps.own_evaluation(prompt, lab.pin(task, "t5-mini")))
    t5 = {"from": "own", "backbone": "t5-mini"}
    tuning, transfer, library = (
        run(p, **t5, section="tasks") for p in ("tuning", "transfer", "library")
    )
    for test in (tuning, transfer, library):
        assert not test.exception
        assert not test.error
    assert "exact_match" in tuning.success[0].value
    assert len(charts(transfer)) == 1
    (caption,) = [c.value for c in transfer.caption if "Mean of" in c.value]
    assert "scored by their task's metric" in caption
    assert "chance" not in caption
    assert any("at most 3 tokens" in c.value for c in library.caption)
    prompt = run("prompt", **t5)
    assert not prompt.exception
    (said,) = [m.value for m in prompt.markdown if m.value.startswith("Exact match **")]
    found = lab.stored(sweeps.own_evaluation(prompts[0], lab.pin(task, "t5-mini")))
    assert f"Exact match **{found.score:.2f}**" in said
    assert "; F1 **" in said
    (shown,) = [d.value for d in prompt.dataframe if "written" in d.value]
    assert shown.written.tolist() == list(found.written)
    wrong = run("prompt", **t5, answers="below full score")
    (kept,) = [d.value for d in wrong.dataframe if "written" in d.value]
    assert len(kept) == int((found.scores < 1).sum())
    assert any("Accuracy of this one prompt on" in c.value for c in prompt.caption)
    assert not [t for t in prompt.text_input if t.label == "Prompt in words"], "no classes"


def test_why_a_tokenizer_cannot_be_used_is_shown_as_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captions = list[str]()
    monkeypatch.setattr(upload.st, "caption", captions.append)

    class Broken:
        def names(self) -> list[str]:
            return [ODD]

        def pieces(self, name: str, words: tuple[str, ...]) -> None:
            raise BadInput(f"The tokenizer in {name} cannot be used.")

    upload._pieces(SimpleNamespace(models=Broken()), ("no", "yes"))
    assert captions == [plain(f"{ODD}: The tokenizer in {ODD} cannot be used.")]


ODD = "**Odd** ![x](http://evil.example/x.png) <img src=x> $x$ :red[x] [x](y)"


def marked(test: AppTest) -> list[str]:
    """Everything on a page that Streamlit reads as Markdown, but for the page's own marks."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "success")
    bodies = [e.value for kind in kinds for e in getattr(test, kind)]
    labels = [e.label for kind in ("button", "text_input", "expander") for e in getattr(test, kind)]
    groups = [o for g in test.button_group for o in g.options]
    return [str(text) for text in (*bodies, *labels, *groups)]


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


@pytest.mark.usefixtures("fresh")
def test_an_uploaded_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, times = upload.read_table, list[str]()
    monkeypatch.setattr(upload, "read_table", lambda *a: times.append(a[0]) or read(*a))
    rows = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(40)).encode()
    test = run("library", section="tasks", **{"from": "own"})
    test.file_uploader[0].set_value(("mine.csv", b"words,verdict\n" + rows, "text/csv")).run()
    for title in ("One", "Two"):
        next(t for t in test.text_input if t.label == "Title").set_value(title).run()
    assert not test.exception
    assert times == ["mine.csv"]
    test.file_uploader[0].set_value(("mine.csv", b"words,mark\n" + rows, "text/csv")).run()
    assert times == ["mine.csv", "mine.csv"], "other content under the same name is another file"


@pytest.mark.parametrize("tasks", [1, 3])
def test_many_pairs_that_share_rows_are_one_line_and_a_table(
    tasks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"task{i}" for i in range(tasks)]
    for name in names:
        toml = write_task(tmp_path / name)
        shutil.copy(toml.parent / "train.jsonl", toml.parent / "validation.jsonl")
        (tmp_path / f"{name}.toml").write_text(f'data = "{toml.parent}"\n{toml.read_text()}')
    monkeypatch.setenv("SKILLSCOPE_TASKS", str(tmp_path))
    script = (
        "from core.tasks import load_task\n"
        "from pages.common import warnings\n"
        f"tasks = [load_task(n) for n in {names}]\n"
        "warnings.shared(tasks, tasks)\n"
    )
    page = AppTest.from_string(script, default_timeout=30).run()
    assert not page.exception
    (said,) = [w.value for w in page.warning]
    if tasks == 1:
        assert "also occur in its own train split" in said
    else:
        assert said.startswith("For 9 pairs of tasks")
        assert len(page.dataframe[0].value) == 9
        assert (page.dataframe[0].value.Share == 1).all()
