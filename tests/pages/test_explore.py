"""Neurons, prompts and texts, one at a time: rankings, neuron, prompt, flips, playground."""

import json
import re
import time
from pathlib import Path

import pytest
import streamlit as st
import torch

from core.base.prompts import SoftPrompt
from core.base.specs import key
from core.measures.prompts import ImportedPrompt
from core.tasks import load_task
from core.tasks.data import load_split
from pages.common import answers
from tests.pages.app import charts, run, words

pytestmark = pytest.mark.slow


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
    assert "95% Wilson intervals. Majority-class accuracy: 0.5" in said
    assert not page.button, "all of it is shipped"
    assert [len(t.value) for t in page.dataframe] == [8, 2, 8], "words, in words, most alike"
    page = run("prompt", backbone="t5-mini", task="Excuses", other="Treatment")
    assert not page.exception
    assert "Mean cosine" in " ".join(c.value for c in page.caption)
    assert "without the diagonal" not in " ".join(c.value for c in page.caption)


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


def test_rankings_compare_layers_seeds_pairs_and_tasks() -> None:
    test = run("rankings", task="Opinions", against="Excuses", top="3%")
    assert not test.exception
    assert len(charts(test)) == 2 + 1 + 2 + 2 + 2
    assert any("top 3%" in c.value and "chance" in c.value for c in test.caption)
    assert words(test).count("skill neurons are also causal (") == 2


def test_flips_lists_examples_and_shows_neurons_along_one() -> None:
    page = run("flips")
    assert not page.exception
    listed = page.dataframe[0].value
    assert f"{len(listed)} of 600 examples." in [c.value for c in page.caption]
    assert (listed["roberta-mini clean"] == listed.label).all()
    assert (listed["roberta-mini attacked"] != listed.label).all()
    assert len(charts(page)) == 1 + 4, "the states, and one neuron a backbone along both texts"
    assert sum("skill neurons." in m.value for m in page.markdown) == 2
    assert re.search(
        r"difference between the backbones\*\* \(p = 0\.\d+\)\. The attack", words(page)
    )
    both = run("flips", only="flips for t5-mini, stays right for roberta-mini", dose="3")
    assert (both.dataframe[0].value["roberta-mini attacked"] == both.dataframe[0].value.label).all()
    one = run("flips", backbone="t5-mini", task="Question pairs", seed="2")
    assert not one.exception
    assert "The attack flips **" in words(one)
    assert "difference between the backbones" not in words(one), "one backbone alone"
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
    assert any("highest cosines are" in c.proto.help for c in test.caption)
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
    for brought, shown in (("opinions:7", 0), ("short_reviews:9", 1)):  # the first: another task's
        test.session_state["travelling"] = {"example": [brought]}
        del test.session_state["address"]  # as when the page is opened
        del test.query_params["example"]
        test.run()
        said = [m.value for m in test.markdown]
        assert said.count("Example 9 (selected)") == shown
        assert "Example 7 (selected)" not in said
        test.query_params["example"] = ""
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
