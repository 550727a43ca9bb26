"""The pages of findings on the embedded default, from shipped answers and in other states."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.base.settings import EMBEDDED, PLAIN, Settings
from core.figures import queries, rankings
from core.figures.robustness import claim
from core.measures import sweeps
from core.tasks import load_task
from core.tasks.attacks import KINDS, Attack
from core.tasks.textattack import adversarial_version
from pages.common import answers
from tests.conftest import write_task
from tests.pages.app import charts, headed, run, tables, words

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("page", "numbers", "found"),
    [
        (
            "transfer",
            "",
            "**Prompts transfer better to tasks of their own category.** Difference",
        ),
        (
            "transfer",
            "published (Su et al. 2022)",
            "**Prompts transfer better to tasks of their own category.** Difference",
        ),
        (
            "correlation",
            "",
            "**The same neurons tend to predict tasks of the same category on t5-mini; on "
            "roberta-mini, it depends on the category: correlation 0.80 for sentiment, 0.02 for "
            "inference.**",
        ),
    ],
)
def test_a_sentence_compares_pairs_within_and_between_categories(
    page: str, numbers: str, found: str
) -> None:
    opened = run(page, **({"numbers": numbers} if numbers else {}))
    assert found in words(opened)
    said = " ".join(m.value for m in (*opened.markdown, *opened.caption))
    named = "Same minus other categories" if page == "correlation" else "Difference"
    assert re.search(rf"{named} \(95% interval\): .* −?\d\.\d\d \(−?\d\.\d\d to", said)


@pytest.mark.parametrize("page", ["transfer", "predictivity", "correlation"])
def test_both_backbones_stand_side_by_side_from_shipped_answers(page: str) -> None:
    test = run(page)
    assert headed(test) == ["roberta-mini", "t5-mini"]
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"


def test_transfer_is_shown_against_shared_neurons() -> None:
    test = run("transfer")
    assert len(charts(test)) == 2 + 2
    assert (
        sum(
            "72 ordered pairs of 9 tasks. Spearman (95% interval): roberta-mini" in c.value
            and "between categories only, the correlation is: roberta-mini" in c.proto.help
            for c in test.caption
        )
        == 2
    )


def test_transferability_compares_indicators_from_shipped_answers() -> None:
    page = run("transferability")
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 7, "indicators, pairs, advice, matrices, maps"
    said = " ".join(c.value for c in page.caption)
    assert re.search(r"Best of 9 on roberta-mini: .*; best of 7 on t5-mini: ", said)
    assert "72 ordered pairs of 9 tasks" in said
    assert "Each point is one of 45 prompts. Trustworthiness" in said
    assert not page.button, "nothing is left to compute"
    assert re.search(
        r"\*\*Some indicators predict transfer\*\*: 4 of 9 on roberta-mini and ", words(page)
    )
    assert "t5-mini: too few layers for windows." in said
    for backbone in ("roberta-mini", "t5-mini"):
        page = run("transferability", backbone=backbone)
        assert not page.exception
        assert "too few layers" not in " ".join(c.value for c in page.caption)
    page = run("transferability", numbers="published (Su et al. 2022)", map="t-SNE")
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 7
    said = " ".join(c.value for c in page.caption)
    assert "One released run per task" in said
    assert "RoBERTa base 0.39 (" in said


def test_projection_shows_what_is_chosen_and_all_of_it_is_shipped() -> None:
    page = run("projection")
    assert not page.exception
    assert not page.button, "nothing is left to compute"
    assert len(page.get("vega_lite_chart")) == 2 + 6, "means, three groups, relative, two trainings"
    said = words(page)
    assert (
        "**Compared with tuned prompts, projected prompts show no clear loss of accuracy on "
        "training tasks, but lose 3 to 8 points on unseen tasks and 36 points on unseen "
        "categories.**"
    ) in said
    assert "**Task loss**: trained to solve the training tasks on roberta-mini." in said
    assert "Projected random tokens do worse on training tasks and unseen tasks." in said
    assert "Projected random tokens do not differ clearly from projected prompts." in said
    helps = " ".join(m.proto.help for m in page.markdown)
    assert "random tokens: training tasks 0.20 (0.12 to 0.28)" in helps
    means = json.loads(page.get("vega_lite_chart")[0].proto.spec)
    assert means["layer"][1]["encoding"]["y"]["sort"] == [
        "Training tasks", "Unseen tasks", "Unseen categories",
    ]  # fmt: skip
    page = run("projection", objective="distance", source="roberta-mini", target="t5-mini")
    drawn = json.dumps(charts(page))
    assert "projected random tokens, distance loss" in drawn
    assert len(charts(page)) == 1 + 5
    assert "task loss" not in drawn
    page = run("projection", source="t5-mini", target="t5-mini")
    assert [i.value for i in page.info] == ["Choose two different backbones."]


def test_a_projection_that_is_not_computed_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target's own prompts are known by other pages, so that a part is always there."""
    page = run("projection", shape="each by itself")
    assert not page.exception
    assert [b.label for b in page.button if b.label == "Compute"] == ["Compute"]
    history = pd.DataFrame({"step": [1, 2], "loss": [2.0, 1.0], "accuracy": [0.5, 0.6]})
    monkeypatch.setattr(queries, "tuning_history", lambda *_: history)
    page = run("projection", shape="each by itself")
    assert not page.exception
    assert [m.value for m in page.markdown if "Projector trained" in m.value] == [
        "**Projector trained with the distance loss**", "**Projector trained with the task loss**",
    ]  # fmt: skip


def test_ways_to_tune_are_shipped_for_the_first_task() -> None:
    page = run("ways")
    assert not page.exception
    assert not page.button, "nothing is left to compute"
    assert len(page.get("vega_lite_chart")) == 6, "two costs and the neurons, twice"
    assert len(page.dataframe[0].value) == 12
    said = " ".join(m.value for m in page.markdown)
    assert (
        "**Short reviews: no clear difference in accuracy between prompt tuning and full " in said
    )
    assert (
        "than random ones** (difference, 95% interval): roberta-mini: prompt tuning 0.20 (0.14 to"
        in said
    )


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


def test_published_figures_stand_alone() -> None:
    test = run("transfer", numbers="published (Su et al. 2022)")
    assert not test.exception
    assert [h.value for h in test.subheader] == ["RoBERTa base", "T5 base"]
    assert len(charts(test)) == 2
    assert any("Su et al. 2022" in c.value for c in test.caption)
    assert not [b for b in test.button if b.label == "Compute"]


def test_robustness_opens_with_the_claim_over_all_tasks() -> None:
    test = run("robustness")
    assert not test.exception
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"
    assert len(charts(test)) == 3
    assert (
        "**Each weathered backbone keeps more of its accuracy under attack than its "
        "counterpart, and more of its skill neurons.**"
    ) in words(test)
    for name in ("roberta-mini", "t5-mini"):
        assert f"**{name}**" in words(test)
    said = " ".join(c.value for c in test.caption)
    assert "Means over 8 to 9 tasks and all doses" in said
    assert "doses 1, 2, 3, 5" in said


def test_robustness_on_one_task_has_shipped_doses() -> None:
    test = run("robustness", tab="This task")
    assert not test.exception
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"
    assert len(charts(test)) == 3
    assert "loses 6.1 fewer points of accuracy than roberta-mini" in words(test)
    said = " ".join(c.value for c in test.caption)
    assert "Accuracy on Short reviews with one typo per text, and its change from clean" in said
    assert [m.label for m in test.metric] == list(EMBEDDED)
    assert "600 examples, means of 5 seeds" in said


def points_of(test: AppTest) -> list[Any]:
    """The points of the claim's figure of skill neurons."""
    return [row for t in tables(test, 1) if "url" in t for row in t.itertuples()]


def test_a_point_opens_what_it_is_made_of() -> None:
    claimed = run("robustness", backbone=["roberta-mini", "t5-mini"])
    (point,) = (
        row for row in points_of(claimed)
        if (row.backbone, row.task, row.dose) == ("t5-mini", "Excuses", 3)
    )  # fmt: skip
    page, _, query = point.url.partition("?")
    opened = run(page, **parse_qs(query))
    assert not opened.exception
    assert any("Accuracy on Excuses with 3 typos per text" in c.value for c in opened.caption)
    (parts,) = (d.value for d in opened.dataframe)
    (made,) = parts[(parts.backbone == "t5-mini") & (parts.neurons == "skill neurons")].itertuples()
    assert made.accuracy_kept == pytest.approx(point.accuracy_kept)
    assert made.kept == pytest.approx(point.kept)
    assert made.accuracy == pytest.approx(point.accuracy)


def test_the_claim_may_hold_every_kind_of_attack() -> None:
    """The plain pair's are shipped; the weathered backbones' are offered."""
    test = run("robustness", kinds=True, backbone=list(PLAIN))
    assert not test.exception
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"
    assert {row.attack for row in points_of(test)} == set(KINDS)
    assert "of one kind of attack" in " ".join(c.value for c in test.caption)
    more = run("robustness", kinds=True)
    assert not more.exception
    assert any("not been computed" in m.value for m in more.markdown)


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
    test = run("robustness")
    st.cache_data.clear()
    assert not test.exception
    assert len(charts(test)) == 2
    (sentence,) = (c.value for c in test.caption if "No point can be shown" in c.value)
    assert f"({4 * 9 * 4} left out)" in sentence


def test_another_attack_offers_to_compute_its_doses() -> None:
    test = run(
        "robustness", tab="This task", attack="negations", backbone="t5-mini-weathered",
        task="Opinions",
    )  # fmt: skip
    assert not test.exception
    assert len([b for b in test.button if b.label in ("Compute", "Cancel")]) == 1
    test = run("robustness", task="Excuses")
    assert [t.label for t in test.tabs] == ["All tasks", "This task", "Neuron ranks"]


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
    assert (
        "Suppressing the **24 most causal (4.8%)** of 512 neurons in each layer halves "
        "roberta-mini's lead over the majority class."
    ) in words(test)
    assert "**Suppressing causal neurons costs more accuracy than suppressing random ones on " in (
        words(test)
    )
    test = run("suppression", faithful="true")
    assert not test.exception
    assert not [b for b in test.button if b.label == "Compute"], "nothing is missing"
    assert len(charts(test)) == 2 + 4
    assert len(test.dataframe[-1].value) == 4 * 5
    assert sum("Spearman" in c.value and "64 train rows" in c.proto.help for c in test.caption) == 4


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
        return max(
            float(t[column].max())
            for t in tables(test, 0) for column in ("fraction", "dose") if column in t
        )  # fmt: skip

    test = run(page, **({"tab": "This task"} if page == "robustness" else {}))
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


def test_predictivity_says_how_near_the_best_neuron_comes() -> None:
    """From the data of its own figures."""
    test, medians = run("predictivity"), list[tuple[str, str]]()
    for figure in (0, 2):  # each followed by its layers
        found = tables(test, figure)
        (box,) = (t for t in found if "highest" in t)
        (bar,) = (t for t in found if {"accuracy", "sem"} <= {*t})
        medians.append((f"{box.highest.median():.2f}", f"{bar.accuracy.median():.2f}"))
    (near, whole), (far, other) = medians
    assert (
        f"**The best single neuron comes within {float(whole) - float(near):.2f} of the whole "
        f"model on roberta-mini ({near} against {whole}) but stays "
        f"{float(other) - float(far):.2f} below it on t5-mini ({far} against {other}).** "
        "Predictivity against accuracy, medians over 9 tasks."
    ) in words(test)


def test_predictivity_draws_the_levels_of_chance() -> None:
    test = run("predictivity")
    first = json.dumps(charts(test)[0])
    assert '"fwer"' in first
    assert '"floor"' in first
    assert any("Significant (FDR 5%): " in c.value for c in test.caption)
    more = run("predictivity", permutations="500")
    assert [b for b in more.button if b.label == "Compute"], "other shuffles are another question"
