"""Likeness of prompts as tables, its agreement with transfer, and maps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.decomposition import PCA

from core.base.settings import ROOT
from core.base.specs import Pinned
from core.exchange import published
from core.figures import indicators, literature, prompt_map, released
from core.measures.prompts import ImportedPrompt
from core.stats.similarity import cosine_average

ASSETS = ROOT / "assets"
RELEASED = ROOT.parent / "shared" / "published" / "prompts" / "seed_su"


def prompt(task: str, seed: int) -> ImportedPrompt:
    return ImportedPrompt(
        backbone=Pinned(name="x", fingerprint="0"), seed=seed, prompt_length=2,
        sha256=f"{task}{seed}", task=task,
    )  # fmt: skip


def test_prompts_of_different_seeds_are_compared() -> None:
    asked = [prompt(t, s) for t in ("a", "b") for s in (0, 1, 2)]
    values = np.arange(36.0).reshape(6, 6)
    table = indicators.over_tasks(asked, values, "x", "some").set_index(
        ["source_task", "target_task"]
    )
    other = [(i, j) for i in range(3) for j in range(3) if i != j]
    assert table.loc[("a", "b"), "value"] == pytest.approx(
        np.mean([values[i, 3 + j] for i, j in other])
    )
    assert table.loc[("a", "a"), "value"] == pytest.approx(
        np.mean([values[i, j] for i, j in other])
    )
    assert table.pairs.tolist() == [3, 6, 6, 3], "a task's own pairs are counted once"
    between = [values[i, 3 + j] for i, j in other]
    ends = table.loc[("a", "b"), ["lowest", "highest"]].tolist()
    assert ends == [min(between), max(between)]


def test_of_one_seed_the_prompts_themselves_but_none_with_itself() -> None:
    table = indicators.over_tasks([prompt("a", 0), prompt("b", 0)], np.eye(2) + 1, "x", "some")
    assert table[["source_task", "target_task", "value"]].values.tolist() == [
        ["a", "b", 1.0], ["b", "a", 1.0],
    ]  # fmt: skip


def test_prompts_of_different_lengths_have_no_concatenated_indicator() -> None:
    rng = np.random.default_rng(0)
    found = indicators.embeddings([rng.normal(size=(n, 4)) for n in (3, 5)])
    assert set(found) == {"cosine_average", "euclidean_average"}


def test_the_dead_row_can_be_left_out() -> None:
    rng = np.random.default_rng(0)
    prompts = [rng.normal(size=(4, 3)) for _ in range(3)]
    found = indicators.embeddings(prompts, [True] * 3)
    rest = indicators.embeddings([p[1:] for p in prompts])
    assert len(found) == 8
    for name, values in rest.items():
        assert np.array_equal(found[name + indicators.LIVE], values)


def test_only_prompts_that_have_a_dead_row_lose_one() -> None:
    """An own prompt beside a released one keeps its first vector."""
    rng = np.random.default_rng(0)
    own, released = (rng.normal(size=(4, 3)) for _ in range(2))
    found = indicators.embeddings([own, released], [False, True])
    rest = indicators.embeddings([own, released[1:]])
    live = "cosine_average" + indicators.LIVE
    assert np.array_equal(found[live], rest["cosine_average"])
    assert "cosine_concat" in found
    assert "cosine_concat" + indicators.LIVE not in found, "of different lengths now"
    assert set(indicators.embeddings([own, released], [False, False])) == set(
        indicators.embeddings([own, released])
    )


def test_windows_of_layers_are_in_the_order_of_the_layers() -> None:
    names = ["activated_12 to 14", "activated_3 to 5", "causal", "activated", "activated_0 to 2"]
    assert indicators.order(names) == [
        "activated", "activated_0 to 2", "activated_3 to 5", "activated_12 to 14", "causal",
    ]  # fmt: skip


def test_agreement_is_also_given_between_categories() -> None:
    tasks, rng = list("abcdefgh"), np.random.default_rng(0)
    likeness = pd.DataFrame(
        [
            {"backbone": "x", "indicator": "causal", "source_task": a, "target_task": b,
             "value": rng.random(), "pairs": 1}
            for a in tasks for b in tasks
        ]
    )  # fmt: skip
    transfer = likeness.assign(value=rng.random(64))
    pairs = indicators.joined(likeness, transfer, {t: "uv"[t in "abcd"] for t in tasks})
    assert len(pairs) == 8 * 7
    (row,) = indicators.agreement(pairs).itertuples()
    expected, apart = [], []
    for target in tasks:
        mine = pairs[pairs.target_task == target]
        expected.append(spearmanr(mine.value, mine.transferred).statistic)
        mine = mine[~mine.same]
        assert len(mine) == 4
        apart.append(spearmanr(mine.value, mine.transferred).statistic)
    assert (row.spearman, row.across_categories) == pytest.approx(
        (np.mean(expected), np.mean(apart))
    )
    assert (row.tasks, row.pairs) == (8, 56)


def test_names_and_their_order() -> None:
    names = ["causal", "activated_1 to 3", "activated", "cosine_concat_live", "cosine_concat"]
    assert indicators.order(names) == [
        "cosine_concat", "cosine_concat_live", "activated", "activated_1 to 3", "causal",
    ]  # fmt: skip
    assert indicators.title("activated_1 to 3") == "ON, layers 1 to 3"
    assert indicators.title("cosine_concat_live") == "concatenated cosine (without dead row)"


# --- maps ----------------------------------------------------------------------------------------
def test_the_map_by_principal_components_is_that_of_the_vectors() -> None:
    rng = np.random.default_rng(0)
    prompts = [rng.normal(size=(3, 6)) for _ in range(10)]
    units = np.stack([(p / np.linalg.norm(p, axis=1, keepdims=True)).mean(0) for p in prompts])
    pca = PCA(2)
    expected = pca.fit_transform(units)
    found = prompt_map.plane(cosine_average(prompts), "PCA")
    apart = [np.linalg.norm(p[:, None] - p, axis=-1) for p in (found.places, expected)]
    assert apart[0] == pytest.approx(apart[1], abs=1e-9)
    assert found.variance == pytest.approx(pca.explained_variance_ratio_.sum())


@pytest.mark.parametrize("method", ["PCA", "t-SNE"])
def test_a_map_keeps_groups_that_are_far_apart(method: prompt_map.Method) -> None:
    rng = np.random.default_rng(0)
    middle = 8 * np.eye(4)[np.repeat([0, 1, 2], 6)]
    prompts = [c + rng.normal(0, 0.3, size=(2, 4)) for c in middle]
    found = prompt_map.plane(cosine_average(prompts), method)
    assert found.kept > 0.8
    assert np.isnan(found.variance) == (method == "t-SNE")
    groups = np.repeat([0, 1, 2], 6)
    near = np.linalg.norm(found.places[:, None] - found.places, axis=-1)
    np.fill_diagonal(near, np.inf)
    assert (groups[near.argmin(1)] == groups).all()


def test_identical_prompts_have_places_too() -> None:
    assert prompt_map.plane(np.ones((5, 5)), "PCA").places.shape == (5, 2)


def test_one_rule_holds_for_a_whole_matrix() -> None:
    """Two tasks with one common seed only: then prompts of that seed are compared everywhere."""
    asked = [prompt("a", 0), prompt("a", 1), prompt("b", 0), prompt("c", 0)]
    values = np.arange(16.0).reshape(4, 4)
    table = indicators.over_tasks(asked, values, "x", "some").set_index(
        ["source_task", "target_task"]
    )
    assert table.value["b", "c"] == values[2, 3]
    assert table.value["a", "b"] == values[:2, 2].mean(), "with the same seed, too"
    assert table.pairs["a", "a"] == 1


# --- published -----------------------------------------------------------------------------------
def test_shipped_similarities_name_known_tasks_and_go_with_the_released_accuracies() -> None:
    likeness = released.likeness(ASSETS)
    assert set(likeness.source_task) <= set(literature.TASKS.values())
    assert set(literature.categories()) >= set(likeness.source_task)
    transfer = literature.transfer(ASSETS, relative=True)
    found = indicators.agreement(
        indicators.joined(likeness, transfer, literature.categories())
    ).set_index(["backbone", "indicator"])
    assert found.pairs["RoBERTa base"].unique().tolist() == [13 * 12]
    assert found.pairs["T5 base"].unique().tolist() == [17 * 16]
    # Orientation values that stood in the project's plan before this code.
    assert found.spearman["RoBERTa base", "cosine_average"] == pytest.approx(0.39, abs=0.005)
    assert found.spearman["T5 base", "cosine_average"] == pytest.approx(0.43, abs=0.005)
    assert found.spearman["RoBERTa base", "cosine_concat"] == pytest.approx(0.19, abs=0.005)
    assert found.spearman["RoBERTa base", "cosine_concat_live"] == pytest.approx(0.33, abs=0.006)


@pytest.mark.slow
def test_published_correlations_are_those_of_a_loop_over_the_files() -> None:
    likeness = pd.read_csv(ASSETS / "published" / "su2022_indicators.csv")
    accuracy = pd.read_csv(ASSETS / "published" / "su2022_transfer_accuracy.csv")
    models = {"Roberta": "RoBERTa base", "T5": "T5 base"}
    transfer = literature.transfer(ASSETS, relative=True)
    found = indicators.agreement(
        indicators.joined(likeness, transfer, literature.categories())
    ).set_index(["backbone", "indicator"])
    names = {title: name for name, title in literature.TASKS.items()}
    for model, backbone in models.items():
        mine = accuracy[accuracy.model == model]
        known = mine.set_index(["source_prompt", "target_task"]).accuracy
        compared = likeness[(likeness.backbone == backbone) & (likeness.indicator != "dead_row")]
        for indicator, table in compared.groupby("indicator"):
            each = []
            for target, rows in table.groupby("target_task"):
                rows = rows[rows.source_task != target]
                there = [known[names[s], names[target]] for s in rows.source_task]
                each.append(spearmanr(rows.value, there).statistic)
            assert found.spearman[backbone, indicator] == pytest.approx(np.mean(each)), indicator


@pytest.mark.slow
@pytest.mark.skipif(not RELEASED.is_dir(), reason="the released prompts are not here")
def test_shipped_similarities_can_be_recomputed(tmp_path: Path) -> None:
    names = {published.TASKS.get(t.lower(), t.lower()): t for t in literature.TASKS}
    found = published.read_folder(RELEASED)
    some = {
        (c.model, names[c.task]): v.double().numpy()
        for c, v in found.items() if c.task in ("imdb", "sst2", "squad", "mrpc")
    }  # fmt: skip
    keys = ["backbone", "indicator", "source_task", "target_task"]
    again = released.of_prompts(some).merge(released.likeness(ASSETS), on=keys)
    assert len(again) == 9 * 8 + 16 * 4 + 3, "and the dead row of three RoBERTa prompts"
    assert again.value_x.to_numpy() == pytest.approx(again.value_y.to_numpy(), rel=1e-5, abs=1e-8)


def test_the_dead_row_is_weighed_and_what_it_changes_is_said() -> None:
    vectors = np.array([[3.0, 4.0], [0.0, 5.0]])
    assert released.dead_share(vectors) == pytest.approx(0.5)
    keys = ["backbone", "indicator"]
    rows = [("RoBERTa base", "a", 0.0145), ("RoBERTa base", "b", 0.66)]
    weights = pd.DataFrame(rows, columns=["backbone", "source_task", "value"])
    weights = weights.assign(indicator=released.DEAD)
    agreed = pd.DataFrame(
        [("RoBERTa base", "cosine_concat", 0.19), ("RoBERTa base", "cosine_concat_live", 0.33)],
        columns=[*keys, "spearman"],
    )
    said = released.sentence(weights, agreed)
    assert "holds between 1.5% (a) and 66% (b) of the prompt's squared norm" in said
    assert "changes from 0.19 to **0.33**" in said
    assert released.sentence(weights[:0], agreed) == "", "T5 prompts have no dead row"


def test_a_sentence_counts_indicators_and_quotes_the_averaged_cosine() -> None:
    def table(*rows: tuple[str, float, float, float], **columns: object) -> pd.DataFrame:
        names = ["backbone", "spearman", "low", "high"]
        found = pd.DataFrame(rows, columns=names).assign(indicator="cosine_average")
        return found.assign(**{"across_categories": 0.3, **columns})

    both = table(("x", 0.5, 0.1, 0.9), ("y", 0.4, -0.1, 0.8))
    assert indicators.sentence(both) == (
        "**Every indicator predicts transfer on x; no indicator clearly predicts transfer on "
        "y**: 1 of 1 on x and 0 of 1 on y (95% interval above 0)."
    )
    assert indicators.quoted(both) == (
        "For the averaged cosine, the mean Spearman correlation with transfer is 0.50 (0.10 to "
        "0.90) on x and 0.40 (−0.10 to 0.80) on y. For pairs from different categories only, it is "
        "0.30 and 0.30."
    )
    more = pd.concat([both, table(("y", 0.6, 0.2, 0.9), indicator="causal")])
    assert indicators.sentence(more).startswith(
        "**Every indicator predicts transfer on x; some indicators predict transfer on y**: "
        "1 of 1 on x and 1 of 2 on y (95% interval above 0)."
    )
    few = table(("x", 0.2, np.nan, np.nan))
    assert indicators.quoted(few) == ""
    assert indicators.sentence(few).startswith("There are too few tasks")
    less = table(("x", -0.5, -0.8, -0.1), indicator="causal")
    assert indicators.sentence(less) == (
        "**No indicator clearly predicts transfer**: 0 of 1 on x (95% interval above 0)."
    )
