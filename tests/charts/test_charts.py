"""Charts through what they hand to the browser: fields, domains, hues and line styles."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import vl_convert as vlc
from altair.utils.schemapi import SchemaValidationError

from core import charts
from core.base.settings import EMBEDDED

LIGHT, DARK = charts.Look(), charts.Look(dark=True)
CURVE = pd.DataFrame(
    {
        "backbone": ["roberta-mini"] * 4 + ["t5-mini"] * 4,
        "choose": ["skill", "skill", "random", "random"] * 2,
        "fraction": [0.0, 0.15] * 4,
        "accuracy": [0.9, 0.6, 0.9, 0.85, 0.88, 0.7, 0.88, 0.86],
        "low": 0.5,
        "high": 0.95,
        "seeds": 1,
        "draws": 3,
        "n": 256,
        "majority": 0.5,
    }
)
HEAT = pd.DataFrame(
    {
        "source_task": ["A", "A", "B", "B"],
        "target_task": ["A", "B", "A", "B"],
        "value": [0.9, 0.5, 0.52, 0.8],
        "accuracy": [0.9, 0.5, 0.52, 0.8],
        "sem": 0.01,
        "majority": 0.5,
        "seeds": 5,
        "n": 600,
    }
)
BOX = pd.DataFrame(
    {
        "task": ["A", "B"], "q1": 0.55, "median": 0.6, "q3": 0.65, "whisker_low": 0.5,
        "whisker_high": 0.8, "p99": 0.85, "highest": 0.9, "floor": 0.54, "fwer": 0.58,
        "fdr": 0.57, "discoveries": 0.3, "certain": 0.2, "neurons": 2048,
        "seeds": 5, "n": 600,
    }
)  # fmt: skip
BAR = pd.DataFrame(
    {"task": ["A", "B"], "accuracy": 0.9, "low": 0.88, "high": 0.92, "n": 600, "seeds": 5,
     "majority": 0.5}
)  # fmt: skip
DOTS = pd.DataFrame(
    {"task": ["A"], "layer": [3], "neuron": [7], "predictivity": [0.9], "url": "neuron?layer=3"}
)


def heatmap(look: charts.Look = LIGHT, backbone: str = "roberta-mini") -> charts.Figure:
    return charts.transfer_heatmap(
        HEAT, look, backbone=backbone, relative=False, rows=["A", "B"], columns=["A", "B"]
    )


def curves(look: charts.Look = LIGHT) -> charts.Figure:
    return charts.suppression_curves(CURVE, look, fractions=[0.0, 0.15])


def boxes(look: charts.Look = LIGHT) -> charts.Figure:
    return charts.boxes_over_bars(BOX, DOTS, BAR, look, backbone="roberta-mini", tasks=["A", "B"])


FIRST = {"transfer": heatmap, "suppression": curves, "predictivity": boxes}


def test_a_backbone_has_one_hue_in_every_figure() -> None:
    hue = LIGHT.hue("roberta-mini")
    for figure in (heatmap(), curves(), boxes()):
        assert hue in json.dumps(figure.to_dict())
    assert LIGHT.hue("t5-mini") != hue


def test_boxes_and_bars_share_one_axis_that_shows_all_of_them() -> None:
    spec = boxes().to_dict()
    scales = [
        layer["encoding"]["y"].get("scale", {}).get("domain")
        for layer in spec["layer"]
        if layer["encoding"]["y"].get("title") == "accuracy, predictivity"
    ]
    assert len(scales) == 8
    assert all(domain == [charts.boxes_begin(BOX, BAR), 1] for domain in scales)
    shown = [BOX.whisker_low.min(), BAR.majority.min(), BAR.low.min()]
    assert 0 < charts.boxes_begin(BOX, BAR) < min(shown)
    lower = charts.boxes_begin(BOX, BAR.assign(majority=0.2))
    assert lower == pytest.approx(0.1), "three classes, one of them a fifth"
    assert "resolve" not in spec, "no second axis"


def test_skill_and_random_have_line_styles_of_their_own() -> None:
    spec = curves().to_dict()
    dash = spec["layer"][1]["encoding"]["strokeDash"]["scale"]
    styles = dict(zip(dash["domain"], dash["range"], strict=True))
    assert styles["skill neurons"] != styles["random neurons"]
    assert styles["random neurons"] != [1, 0]


def test_both_backbones_are_judged_by_the_same_colours() -> None:
    def domain(backbone: str) -> list[float]:
        layer = heatmap(backbone=backbone).to_dict()["layer"][0]
        return layer["encoding"]["color"]["scale"]["domain"]

    assert domain("roberta-mini") == domain("t5-mini")


def test_chance_is_drawn_where_accuracy_is() -> None:
    for figure in (curves(), boxes()):
        assert any(layer["mark"].get("strokeDash") == [1, 3] for layer in figure.to_dict()["layer"])


@pytest.mark.parametrize("make", [heatmap, curves, boxes])
def test_dark_pages_get_light_ink(make: object) -> None:
    assert DARK.ink in json.dumps(make(DARK).to_dict())  # type: ignore[operator]
    assert LIGHT.ink not in json.dumps(make(DARK).to_dict())  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("make", [heatmap, curves, boxes])
def test_files_are_drawn_for_a_light_page(make: object, look: charts.Look) -> None:
    figure = make(look)  # type: ignore[operator]
    assert charts.png(figure).startswith(b"\x89PNG\r\n")
    same = [re.sub(r"(gradient_|clip)\d+", "", charts.svg(f)) for f in (figure, make(LIGHT))]  # type: ignore[operator]
    assert same[0] == same[1]
    assert "white" in charts.svg(figure)


def test_every_mark_that_carries_a_number_has_a_tooltip() -> None:
    for figure in (heatmap(), boxes(), curves()):
        assert any("tooltip" in layer["encoding"] for layer in figure.to_dict()["layer"])


# --- tuning --------------------------------------------------------------------------------------
def history() -> pd.DataFrame:
    return pd.DataFrame(
        {"step": [1, 2, 3, 4], "loss": [0.7, 0.6, 0.4, 0.3], "accuracy": [None, 0.6, None, 0.9]}
    )


def test_a_tuning_run_shows_every_loss_and_the_accuracies_that_were_measured() -> None:
    loss = charts.tuning_loss(history(), LIGHT, backbone="t5-mini", steps=10).to_dict()
    assert [row["loss"] for row in data(loss)] == [0.7, 0.6, 0.4, 0.3]
    assert loss["encoding"]["y"]["scale"]["domainMax"] > 0.7, "the first step is on the axis"
    accuracy = charts.tuning_accuracy(
        history(), LIGHT, backbone="t5-mini", steps=10, chance=1 / 3
    ).to_dict()
    line, chance, name = accuracy["layer"]
    named = accuracy["datasets"][line["data"]["name"]]
    assert [(row["step"], row["accuracy"]) for row in named] == [(2, 0.6), (4, 0.9)]
    assert accuracy["datasets"][chance["data"]["name"]] == [{"y": 1 / 3}]
    assert accuracy["datasets"][name["data"]["name"]] == [{"y": 1 / 3, "name": "chance"}]


def test_a_run_with_written_answers_names_its_metric_and_has_no_chance_level() -> None:
    drawn = charts.tuning_accuracy(
        history(), LIGHT, backbone="t5-mini", steps=10, chance=None, metric="ROUGE-L"
    ).to_dict()
    (line,) = drawn["layer"]
    assert line["encoding"]["y"]["title"] == "held-out ROUGE-L"
    assert line["encoding"]["tooltip"][1]["title"] == "ROUGE-L"


def test_a_tuning_runs_axis_reaches_its_last_step_from_the_start() -> None:
    settings = {"backbone": "t5-mini", "steps": 10}
    for figure in (
        charts.tuning_loss(history(), LIGHT, **settings),
        charts.tuning_accuracy(history(), LIGHT, **settings, chance=0.5),
    ):
        spec = figure.to_dict()
        line = spec["layer"][0] if "layer" in spec else spec
        assert line["encoding"]["x"]["scale"]["domain"] == [0, 10]


def data(spec: dict) -> list[dict]:
    return next(iter(spec["datasets"].values()))


def test_a_chart_for_the_page_is_written_as_it_is_and_not_checked_again() -> None:
    figure = heatmap()
    assert charts.Unchecked(figure).to_dict() == figure.to_dict()
    figure.layer[0].mark = "no mark"
    with pytest.raises(SchemaValidationError):
        figure.to_dict()
    assert charts.Unchecked(figure).to_dict()["layer"][0]["mark"] == {"type": "no mark"}


def test_quick_drawing_changes_nothing_but_the_checks() -> None:
    with charts.quickly():
        quick = curves().to_dict()
    assert quick == curves().to_dict()


# --- robustness, rankings, neurons ---------------------------------------------------------------
BOTH = ["roberta-mini", "t5-mini"]
POINTS = pd.DataFrame(
    {
        "backbone": BOTH * 3, "data": ["clean"] * 2 + ["adversarial"] * 4,
        "attack": [""] * 4 + ["typo"] * 2, "accuracy": 0.7, "low": 0.6, "high": 0.8, "n": 40,
        "seeds": 5,
    }
)  # fmt: skip
SHARED = pd.DataFrame(
    {
        "backbone": BOTH * 2, "fraction": [0.01, 0.01, 0.05, 0.05], "chosen": 100,
        "adversarial": 90, "shared": 20, "share": 0.2, "low": 0.1, "high": 0.3, "chance": 0.05,
        "chance_low": 0.02, "chance_high": 0.09, "p_chance": 0.001, "p": 0.02,
        "shuffled": 0.1, "shuffled_low": 0.05, "shuffled_high": 0.16, "control": 0.6,
        "layer": [0, 0, 1, 1],
    }
)  # fmt: skip
STABILITY = pd.DataFrame(
    {
        "backbone": BOTH, "spearman": [0.2, 0.8], "error": 0.05, "low": [0.1, 0.7],
        "high": [0.3, 0.9], "control": 0.8, "halves_error": 0.02, "n_clean": 600, "attack": "",
        "shuffled": [0.0, 0.8], "shuffled_low": [-0.1, 0.75], "shuffled_high": 0.85, "p": 0.1,
        "n_adversarial": 204, "seeds": 5, "replicates": 100,
    }
)  # fmt: skip
CROSS = pd.concat([CURVE.assign(found=found, tested="clean") for found in ("clean", "adversarial")])
NEURONS = pd.DataFrame(
    {
        "backbone": "t5-mini", "layer": [0, 1], "neuron": [3, 4], "url": "neuron?layer=0",
        "first": [0.6, 0.7], "second": [0.5, 0.8], "x": [0.2, 0.9], "y": [0.1, 0.95],
        "kind": ["neither", "both"], "percentile": [0.4, 0.9], "clean": 0.8, "adversarial": 0.7,
        "name": ["0/3", "1/4"], "above": [-0.3, 0.5], "vote": ["no", "yes"],
        "activation": [0.1, 0.7], "baseline": 0.4, "predictivity": [0.6, 0.7],
        "class": ["no", "yes"],
    }
)  # fmt: skip
PROFILE = pd.DataFrame(
    {
        "task": ["A", "A", "B"], "seed": [0, 1, 0], "predictivity": 0.7, "p": 0.01,
        "p_family": 0.02, "q": 0.01, "floor": 0.53, "fwer": 0.58, "token": ["mask", "p0", "mask"],
        "accuracy": [0.4, 0.7, 0.5], "chosen": [True, True, False], "best": [False, True, True],
    }
)  # fmt: skip
LAYERS = pd.DataFrame(
    {"backbone": BOTH, "layer": 0, "share": 0.3, "count": 30, "low": 0.2, "high": 0.4, "even": 0.25}
)
STAY = pd.DataFrame(
    {
        "backbone": BOTH * 2, "fraction": [0.01, 0.01, 0.05, 0.05], "share": 0.5, "low": 0.4,
        "high": 0.6, "all": 0.2, "chance": 0.05, "chosen": 51.2, "seeds": 5,
        "pairs": 10,
    }
)  # fmt: skip
SURE = pd.DataFrame(
    {
        "how": ["unmodified"] * 2, "class": ["no", "yes"], "rank": [0, 1],
        "probability": [0.3, 0.7],
        "low": [0.3, 0.7], "high": [0.3, 0.7],
    }
)  # fmt: skip
TASKS = pd.DataFrame(
    {"task_a": ["A", "A"], "task_b": ["A", "B"], "share": [1.0, 0.2], "shared": 3, "chosen": 15,
     "chance": 0.05, "p": 0.2}
)  # fmt: skip
DOSED = pd.DataFrame(
    {"backbone": ["roberta-mini"] * 3 + ["t5-mini"] * 3, "dose": [0, 1, 5] * 2, "majority": 0.5,
     "accuracy": [0.95, 0.8, 0.55, 0.92, 0.85, 0.6], "low": 0.47, "high": 0.97, "n": 600,
     "seeds": 5}
)  # fmt: skip
STAYED = DOSED.drop(columns=["accuracy", "majority"]).assign(
    neurons="skill", shared=0.6, shuffled=0.1, kept=0.8, splits=20, p=0.05
)
CLAIMED = pd.DataFrame(
    {"backbone": ["roberta-mini", "t5-mini"], "task": "A", "attack": "typo", "dose": 1,
     "accuracy": 0.8, "accuracy_kept": [0.6, -0.05], "kept": [0.7, 1.13], "shared": 0.5,
     "shuffled": 0.1, "n": 600, "seeds": 5, "url": "robustness?task=A"}
)  # fmt: skip
EXACT = pd.DataFrame(
    {"layer": 0, "neuron": [1, 2], "attributed": [0.3, -0.1], "exact": [0.2, -0.2],
     "low": [0.1, -0.3], "high": [0.3, -0.1], "n": 64, "seed": 0, "url": "neuron?layer=0"}
)  # fmt: skip
TRANSFERRED = pd.DataFrame(
    {"backbone": ["roberta-mini", "t5-mini"], "source_task": "A", "target_task": "B",
     "shared": [0.2, 0.47], "chance": 0.05, "transferred": [0.6, 1.0], "same": [True, False]}
)  # fmt: skip
ALIKE = pd.DataFrame(
    {"backbone": BOTH, "indicator": "causal", "title": "shared causal neurons", "source_task": "A",
     "target_task": ["B", "A"], "value": [0.1, -0.2], "transferred": [0.6, 1.0],
     "same": [True, False], "spearman": [0.6, 0.3], "low": [0.1, float("nan")],
     "high": [0.9, float("nan")], "across_categories": 0.2, "tasks": 9, "pairs": 72}
)  # fmt: skip
PARTS = pd.DataFrame(
    {"backbone": BOTH, "category": "ethics", "within": [0.8, 0.5], "between": [-0.2, 0.4]}
)  # fmt: skip
APART_BY = pd.DataFrame(
    {"first": "roberta-mini", "second": "t5-mini", "kind": ["accuracy", "skill"],
     "value": [0.1, float("nan")], "low": [0.05, float("nan")], "high": [0.15, float("nan")],
     "tasks": 9}
)  # fmt: skip
PLACES = pd.DataFrame(
    {"x": [0.0, 0.1, 1.0, 1.0], "y": [0.0, 0.0, 0.01, 1.0], "task": list("ABCD"),
     "category": ["u", "u", "v", "v"], "seed": 0}
)  # fmt: skip
WORKS = pd.DataFrame(
    {"task": ["A", "B"], "accuracy": [0.9, 0.3], "low": [0.88, float("nan")],
     "high": [0.92, float("nan")], "majority": [0.5, float("nan")], "n": 600, "own": [True, False],
     "metric": ["accuracy", "f1"]}
)  # fmt: skip
EFFECTS = pd.DataFrame(
    {"row": [0, 1], "effect": [0.1, -0.01], "low": [0.05, -0.03], "high": [0.15, 0.01],
     "p": [0.001, 1.0], "lost": [30, 2], "gained": [4, 4], "n": 256}
)  # fmt: skip
FEWER = pd.DataFrame(
    {"count": [0, 4, 8], "accuracy": [0.9, 0.8, 0.5], "low": [0.88, 0.7, 0.45],
     "high": [0.92, 0.85, 0.55], "orders": [1, 5, 5], "n": 256}
)  # fmt: skip
CONVERGED = pd.DataFrame(
    {"start": ["vocabulary", "Opinions"] * 2, "step": [4, 4, 8, 8], "accuracy": 0.8, "low": 0.7,
     "high": 0.9, "runs": 5}
)  # fmt: skip


def vectors(n: int) -> pd.DataFrame:
    """The cosines of so many vectors with as many others."""
    return pd.DataFrame(
        [{"row": i, "other": j, "cosine": (i - j) / n} for i in range(n) for j in range(n)]
    )


PROJECTED = pd.DataFrame(
    {"task": "A", "group": "unseen tasks", "how": ["own", "task", "task-random"], "accuracy": 0.8,
     "low": 0.75, "high": 0.85, "n": 600, "prompts": 5, "majority": 0.5, "relative": 0.9}
)  # fmt: skip
KINDS = {"own": "tuned", "task": "projected", "task-random": "projected random tokens"}
NEWER = {
    "projected": lambda k: charts.projected_accuracy(
        PROJECTED, k, backbone="t5-mini", tasks=["A"], kinds=KINDS, lowest=0.4
    ),
    "projection heatmap": lambda k: charts.projection_heatmap(
        PROJECTED, k, backbone="t5-mini", tasks=["A"], kinds=KINDS
    ),
    "agreement": lambda k: charts.indicator_agreement(ALIKE, k, order=["shared causal neurons"]),
    "categories": lambda k: charts.category_means(
        PARTS, k, categories=["ethics"], title="correlation"
    ),
    "claim differences": lambda k: charts.claim_differences(
        APART_BY, k, kinds={"accuracy": "accuracy", "skill": "skill neurons"}
    ),
    "indicator": lambda k: charts.indicator_points(ALIKE, k, title="shared causal neurons"),
    "likeness": lambda k: charts.likeness_heatmap(
        ALIKE, k, backbone="t5-mini", title="averaged cosine", tasks=["A", "B"]
    ),
    "map": lambda k: charts.prompt_map(PLACES, k, categories=["u", "v"]),
    "works": lambda k: charts.works_on(WORKS, k, backbone="t5-mini", tasks=["A", "B"]),
    "without": lambda k: charts.without_each(EFFECTS, k, backbone="t5-mini"),
    "fewer": lambda k: charts.fewer(FEWER, k, backbone="t5-mini", majority=0.5),
    "vectors": lambda k: charts.row_matrix(vectors(4), k, backbone="t5-mini", other="vector"),
    "convergence": lambda k: charts.convergence(
        CONVERGED, k, starts=["vocabulary", "Opinions"], steps=8, chance=0.5
    ),
    "transferred": lambda k: charts.transfer_points(TRANSFERRED, k, neurons="skill neurons"),
    "accuracy": lambda k: charts.accuracy_points(POINTS, k, chance=0.5),
    "overlap": lambda k: charts.overlap_curves(SHARED, k, fraction=0.05),
    "layers": lambda k: charts.overlap_layers(SHARED, k),
    "standing": lambda k: charts.percentile_histogram(
        NEURONS, k, backbone="t5-mini", median=0.6, highest=1.0
    ),
    "rank correlation": lambda k: charts.stability_points(STABILITY, k),
    "cross": lambda k: charts.cross_curves(
        CROSS[CROSS.backbone == "t5-mini"], k, backbone="t5-mini", fractions=[0, 0.15], lowest=0.4
    ),
    "layer shares": lambda k: charts.layer_shares(LAYERS, k),
    "pairs": lambda k: charts.rank_rank(NEURONS, k, first="A", second="B"),
    "stability": lambda k: charts.stability(STAY, k),
    "faithfulness": lambda k: charts.attributed_exact(EXACT, k, backbone="t5-mini"),
    "dose accuracy": lambda k: charts.dose_accuracy(DOSED, k, edits="typos", doses=[1, 5]),
    "dose overlap": lambda k: charts.dose_overlap(STAYED, k, edits="typos", doses=[1, 5]),
    "claim": lambda k: charts.claim_points(CLAIMED, k, neurons="skill neurons"),
    "shared": lambda k: charts.shared_heatmap(
        TASKS, k, backbone="t5-mini", tasks=["A", "B"], chance=0.05
    ),
    "profile": lambda k: charts.profile(PROFILE, k, backbone="t5-mini", tasks=["A", "B"]),
    "contribution": lambda k: charts.contribution(
        PROFILE.assign(attribution=[0.1, -0.02, 0.3], low=-0.1, high=0.4, place=0.9, n=300),
        k,
        backbone="t5-mini",
        tasks=["A", "B"],
    ),
    "tokens": lambda k: charts.tokens(
        PROFILE, k, backbone="t5-mini", order=["mask", "p0"], fwer=0.6
    ),
    "activations": lambda k: charts.activation_histogram(
        NEURONS, k, baseline=0.4, classes=["no", "yes"]
    ),
    "directions": lambda k: charts.word_directions(
        pd.DataFrame(
            {"class": ["no", "yes"], "word": ["bad", "good"], "cosine": [0.1, 0.3], "above": 0.7}
        ),
        k,
        cosines=[-0.2, 0.0, 0.1, 0.1, 0.3],
    ),
    "probabilities": lambda k: charts.probabilities(SURE, k, classes=["no", "yes"]),
    "votes": lambda k: charts.votes(NEURONS, k, classes=["no", "yes"]),
    "states": lambda k: charts.answer_states(
        pd.DataFrame(
            {
                "backbone": "t5-mini",
                "state": ["holds", "flips"],
                "examples": [80, 20],
                "share": [0.8, 0.2],
                "middle": [0.4, 0.9],
            }
        ),
        k,
        backbones=["t5-mini"],
        states=["holds", "flips"],
    ),
    "along": lambda k: charts.neuron_along(
        pd.DataFrame(
            {
                "position": [0, 1],
                "token": ["p0", "it's"],
                "kind": ["prompt", "text"],
                "activation": [0.1, -0.2],
            }
        ),
        k,
        backbone="t5-mini",
        baseline=0.05,
        domain=[-0.2, 0.1],
    ),
}


def test_an_estimate_is_filled_where_its_interval_excludes_0() -> None:
    table = APART_BY.assign(value=[0.4, 0.2], low=[-0.1, 0.1], high=[0.9, 0.3])
    kinds = {"accuracy": "accuracy", "skill": "skill neurons"}
    spec = charts.claim_differences(table, LIGHT, kinds=kinds).to_dict()
    layers = {str(layer.get("transform")): layer["mark"]["type"] for layer in spec["layer"]}
    assert layers["[{'filter': 'datum.clear'}]"] == "circle"
    assert layers["[{'filter': '!datum.clear'}]"] == "point"
    rows = next(d for d in spec["datasets"].values() if "clear" in d[0])
    assert {row["kind"]: row["clear"] for row in rows} == {"accuracy": False, "skill": True}
    domain = spec["layer"][1]["encoding"]["x"]["scale"]["domain"]
    assert domain == [-0.1, 0.9], "all intervals"


def test_a_class_is_named_on_its_own_piece_of_the_bar() -> None:
    """At the piece's begin, or at its end where it begins late: what is long would be cut."""
    three = pd.DataFrame(
        {"how": ["unmodified"] * 3 + ["suppressed"] * 3, "class": list("bac") * 2,
         "rank": [1, 0, 2] * 2, "probability": [0.6, 0.3, 0.1, 0.6, 0.2, 0.2],
         "low": float("nan"), "high": float("nan")}
    )  # fmt: skip
    spec = charts.probabilities(three, LIGHT, classes=["a", "b", "c"]).to_dict()
    (named,) = (rows for rows in spec["datasets"].values() if rows and "text" in rows[0])
    assert {(row["text"], row["late"], round(row["at"], 3)) for row in named} == {
        ("b 0.600", True, 0.9), ("b 0.600", False, 0.2),
    }  # fmt: skip


def test_each_category_has_a_dot_within_and_a_ring_for_the_others() -> None:
    spec = NEWER["categories"](LIGHT).to_dict()
    spans, _, points = spec["layer"]
    ends = spec["datasets"][points["data"]["name"]]
    seen = {(row["backbone"], row["which"]): row["value"] for row in ends}
    assert seen == {
        (BOTH[0], "same category"): 0.8, (BOTH[0], "other categories"): -0.2,
        (BOTH[1], "same category"): 0.5, (BOTH[1], "other categories"): 0.4,
    }  # fmt: skip
    shapes = points["encoding"]["shape"]["scale"]
    assert shapes["domain"] == ["same category", "other categories"]
    assert len(set(shapes["range"])) == 2
    domain = spans["encoding"]["x"]["scale"]["domain"]
    assert domain == points["encoding"]["x"]["scale"]["domain"] == [-0.2, 1.0]


@pytest.mark.parametrize("name", NEWER)
def test_a_figure_has_a_valid_schema_tooltips_and_the_pages_ink(name: str) -> None:
    for look in (LIGHT, DARK):
        spec = NEWER[name](look).to_dict()
        assert any("tooltip" in layer["encoding"] for layer in spec["layer"])
        assert spec["config"]["axis"]["labelColor"] == look.ink


@pytest.mark.slow
@pytest.mark.parametrize("name", NEWER)
def test_a_figures_file_is_the_same_from_a_light_and_a_dark_page(name: str) -> None:
    drawn = [charts.svg(NEWER[name](look)) for look in (LIGHT, DARK)]
    same = [re.sub(r"(gradient_|clip)\d+", "", text) for text in drawn]
    assert same[0] == same[1]
    for ink in (DARK.ink, DARK.ground, DARK.second, DARK.third, *DARK.classes(2)):
        assert ink not in drawn[1]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    if colour.startswith("rgb"):
        parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
    else:
        digits = "".join(2 * d for d in colour[1:]) if len(colour) == 4 else colour[1:]
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def mixed(colour: str, ground: str, opacity: float) -> str:
    """A colour as it looks when the ground shines through."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(ground[1:]), strict=True)
    return "#" + "".join(f"{round(opacity * a + (1 - opacity) * b):02x}" for a, b in pairs)


def marks(spec: dict) -> Iterator[tuple[str, str, float]]:
    """Kind of mark, colour and opacity of all that carries data, in nested charts too."""
    for part in ("layer", "hconcat", "vconcat", "concat"):
        for inner in spec.get(part, ()):
            yield from marks(inner)
    if "spec" in spec:
        yield from marks(spec["spec"])
    mark = spec.get("mark")
    if mark is None or mark["type"] in ("rect", "area"):
        return  # matrices run from the ground to a hue; bands lie around lines that are drawn
    seen = 1.0 if mark["type"] in ("point", "circle") else mark.get("opacity", 1.0)  # clouds
    if mark["type"] == "bar" and mark.get("fillOpacity", 1.0) < 1:
        assert "stroke" in mark or "stroke" in spec["encoding"], "a pale bar has a full border"
    found = [mark.get(name) for name in ("color", "stroke")]
    for name in ("color", "stroke"):
        channel = spec.get("encoding", {}).get(name, {})
        found += channel.get("scale", {}).get("range", [])
        found += [channel.get("value")]
    for colour in found:
        if isinstance(colour, str) and colour.startswith("#"):
            yield mark["type"], colour, seen


@pytest.mark.parametrize("name", [*FIRST, *NEWER])
def test_marks_stand_out_from_the_page(name: str) -> None:
    for look in (LIGHT, DARK):
        spec = {**FIRST, **NEWER}[name](look).to_dict(validate=False)  # another test does
        for kind, colour, opacity in marks(spec):
            if kind in ("bar", "circle") and colour == look.ground:
                continue  # the gap between the pieces of a bar, the hole of a ring
            least = 4.5 if kind == "text" else 3.0
            seen = mixed(colour, look.ground, opacity)
            assert contrast(seen, look.ground) >= least, (kind, colour, opacity, look.dark)


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("backbone", EMBEDDED)
def test_numbers_stand_out_from_the_cells_they_are_written_on(
    look: charts.Look, backbone: str
) -> None:
    """As drawn, over all colours of a matrix that has values on both sides of 0."""
    places, values = [f"t{i}" for i in range(9)], iter(np.linspace(-1, 1, 81))
    pairs = pd.DataFrame([(a, b, next(values)) for a in places for b in places])
    pairs.columns = ["task_a", "task_b", "spearman"]
    pairs = pairs.assign(lowest_layer=0.0, highest_layer=0.0, neurons=1, layers=1)
    figure = charts.correlation_heatmap(pairs, look, backbone=backbone, tasks=places)
    drawn = vlc.vegalite_to_svg(figure.to_dict(validate=False))
    cells, numbers = (
        re.findall(rf'aria-roledescription="{kind} mark" .*?fill="(.*?)"', drawn)
        for kind in ("rect", "text")
    )
    assert len(cells) == len(numbers) == 81
    assert min(map(contrast, cells, numbers)) >= 4.5
    assert len(set(cells)) > 70
    assert len(set(numbers)) == 2


SIGHT = {  # linear RGB as seen without one kind of cone (Machado et al. 2009, severity 1)
    "all cones": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                        [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                        [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                        [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip


def seen_as(colour: str, sight: np.ndarray) -> np.ndarray:
    """A colour's place in CIELAB (D65), in which equal distances look about equal."""
    parts = np.array([*bytes.fromhex(colour[1:])]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(sight @ linear, 0, 1) / (0.95047, 1.0, 1.08883)
    f = [np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours: Sequence[str], sight: np.ndarray) -> float:
    """The distance of the two colours that look most alike; 2.3 can just be seen side by side."""
    places = [seen_as(c, sight) for c in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(places, 2))


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart_for_the_colour_blind(sight: str) -> None:
    embedded = charts.Look(backbones=EMBEDDED)
    assert nearest([embedded.hue(b) for b in EMBEDDED], SIGHT[sight]) >= 20
    for look in (LIGHT, DARK):
        assert nearest(look.classes(2), SIGHT[sight]) >= 20
        assert nearest([look.ink, look.second, look.third, look.faint], SIGHT[sight]) >= 20


def test_the_simulated_eye_confuses_what_it_should() -> None:
    lime_and_orange = ("#9ccc3c", "#e8b446")
    assert nearest(lime_and_orange, SIGHT["all cones"]) > 40
    assert nearest(lime_and_orange, SIGHT["deutan"]) < 20
    assert seen_as("#ffffff", SIGHT["tritan"]) == pytest.approx([100, 0, 0], abs=0.05)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("backbone", ["roberta-mini", "t5-mini", "c", "d", "e", "f"])
def test_numbers_in_cells_can_be_read_at_every_value(backbone: str, dark: bool) -> None:
    look = charts.Look(dark=dark, backbones=("roberta-mini", "t5-mini", "c", "d", "e", "f"))
    figure = charts.row_matrix(vectors(6), look, backbone=backbone, other="vector")
    spec = figure.properties(width=600, height=300).to_dict()
    drawn = vlc.vegalite_to_svg(spec)
    cells = re.findall(r'aria-roledescription="rect mark"[^>]*fill="(rgb[^"]+|#\w+)"', drawn)
    texts = re.findall(r'<text[^>]*fill="(#000|#fff)"[^>]*>.?\d\.\d\d</text>', drawn)
    assert len(cells) == len(texts) == 36
    assert min(map(contrast, cells, texts)) >= 4.5


@pytest.mark.slow
def test_a_matrix_of_a_hundred_vectors_is_a_picture_of_a_screens_size() -> None:
    figure = charts.row_matrix(vectors(100), LIGHT, backbone="t5-mini", other="vector")
    drawn = charts.svg(figure)
    height = float(re.search(r'height="([\d.]+)"', drawn)[1])
    assert height < 700
    assert len(re.findall(r'opacity="1">\d+</text>', drawn)) < 60, "labels are thinned"


def test_negative_cosines_have_a_colour_of_their_own() -> None:
    figure = charts.row_matrix(vectors(4), LIGHT, backbone="t5-mini", other="vector")
    domain = figure.to_dict()["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert domain == [-1, 0, 1], "equal steps on both sides"


def test_names_on_a_map_do_not_lie_on_each_other() -> None:
    spec = charts.prompt_map(PLACES, LIGHT, categories=["u", "v"]).to_dict()
    (names,) = (layer for layer in spec["layer"] if layer["mark"]["type"] == "text")
    rows = {r["task"]: r for r in spec["datasets"][names["data"]["name"]]}
    assert abs(rows["A"]["y"] - rows["B"]["y"]) > 0.05, "they would lie on each other"
    assert rows["C"]["y"] == rows["C"]["mean"], "far to the side"


@pytest.mark.parametrize("name", ["pairs", "votes", "standing"])
def test_a_neuron_in_a_figure_leads_to_its_page(name: str) -> None:
    spec = NEWER[name](LIGHT).to_dict()
    assert [layer["encoding"]["href"]["field"] for layer in spec["layer"]
            if "href" in layer["encoding"]] == ["url"]  # fmt: skip


def test_every_neuron_is_a_piece_of_its_bar() -> None:
    table = pd.concat([NEURONS] * 3).assign(percentile=[0.02, 0.97, 0.999, 0.951, 0.04, 0.5])
    spec = charts.percentile_histogram(
        table, LIGHT, backbone="t5-mini", median=0.9, highest=charts.highest_bar(table)
    ).to_dict()
    pieces = next(iter(v for v in spec["datasets"].values() if len(v) == 6))
    heights: dict[float, float] = {}
    for p in sorted(pieces, key=lambda p: (p["left"], p["low"])):
        assert p["left"] <= p["percentile"] < p["right"]
        assert p["low"] == pytest.approx(heights.get(p["left"], 0.0)), "on top of the one below"
        heights[p["left"]] = p["high"]
    assert sum(heights.values()) == pytest.approx(1)
    assert charts.highest_bar(table) == pytest.approx(max(heights.values()))


def test_chance_is_drawn_beside_what_is_shared() -> None:
    for name in ("overlap", "layers", "stability"):
        fields = json.dumps(NEWER[name](LIGHT).to_dict())
        assert '"chance' in fields
    for name in ("overlap", "layers", "rank correlation"):
        assert '"shuffled_low' in json.dumps(NEWER[name](LIGHT).to_dict())


def test_a_legend_names_the_backbones_of_its_figure_only() -> None:
    one = SHARED[SHARED.backbone == "t5-mini"]
    for draw in (charts.overlap_layers, charts.stability):
        table = one if draw is charts.overlap_layers else STAY[STAY.backbone == "t5-mini"]
        text = json.dumps(draw(table, LIGHT).to_dict()["layer"])
        assert f'"domain": ["t5-mini"], "range": ["{LIGHT.hue("t5-mini")}"]' in text


@pytest.mark.parametrize(("value", "start"), [(0.5, 0.4), (0.52, 0.4), (0.55, 0.5), (0.02, 0.0)])
def test_an_axis_of_shares_begins_clear_of_its_lowest_value(value: float, start: float) -> None:
    assert charts.below(value) == start


def test_suppression_is_drawn_from_below_chance_or_from_where_it_is_told() -> None:
    def begins(**where: float) -> float:
        drawn = charts.suppression_curves(CURVE, LIGHT, fractions=[0, 0.15], **where).to_dict()
        return float(drawn["layer"][1]["encoding"]["y"]["scale"]["domain"][0])

    least = min(CURVE.low.min(), CURVE.majority.max())
    assert 0 <= begins() < least
    assert begins(lowest=0.2) == 0.2


def test_every_fraction_has_its_tick() -> None:
    """Given as NumPy numbers, too, as a notebook's table has them."""
    for fractions in ([0, 0.01, 0.05, 0.15], np.array([0, 0.01, 0.05, 0.15]), [0, 0.01, 1.0]):
        drawn = charts.suppression_curves(CURVE, LIGHT, fractions=fractions).to_dict()
        axis = drawn["layer"][1]["encoding"]["x"]["axis"]
        assert axis["values"] == pytest.approx([100 * f for f in fractions])
        assert axis["tickCount"] == len(fractions)
        assert axis["labelOverlap"] == (fractions[-1] == 1), "labels may be close on a wide grid"


def test_negative_correlations_have_a_hue_of_their_own() -> None:
    rows = TASKS.assign(spearman=[-0.5, *[0.5] * (len(TASKS) - 1)], neurons=8, layers=2)
    rows = rows.assign(lowest_layer=-1.0, highest_layer=1.0)
    drawn = charts.correlation_heatmap(rows, LIGHT, backbone="t5-mini", tasks=["A"]).to_dict()
    scale = drawn["layer"][0]["encoding"]["color"]["scale"]
    assert scale["domain"] == [-1.0, 0.0, 1.0]
    assert scale["range"] == [LIGHT.third, LIGHT.ground, LIGHT.hue("t5-mini")]


def test_pairs_of_one_category_are_outlined_where_others_are_not() -> None:
    rows = HEAT.assign(same_category=HEAT.source_task == HEAT.target_task)
    for table, outlined in ((rows, True), (rows.assign(same_category=True), False), (HEAT, False)):
        drawn = charts.transfer_heatmap(
            table, LIGHT, backbone="t5-mini", relative=False, rows=["A", "B"], columns=["A", "B"]
        ).to_dict()
        strokes = [layer["mark"].get("stroke") for layer in drawn["layer"]]
        assert (LIGHT.ink in strokes) == outlined


def test_the_words_of_a_neuron_are_all_in_the_histogram() -> None:
    drawn = NEWER["directions"](LIGHT).to_dict()
    rows = [row for data in drawn["datasets"].values() for row in data]
    assert sum(row["words"] for row in rows if "words" in row) == 5
    assert {row["word"] for row in rows if "word" in row} == {"bad", "good"}


# --- dose-response -------------------------------------------------------------------------------


def test_a_dose_response_spans_all_doses_from_the_first_point_on() -> None:
    only_clean = DOSED[DOSED.dose == 0]
    for table in (DOSED, only_clean):
        drawn = charts.dose_accuracy(table, LIGHT, edits="typos", doses=[1, 2, 3, 5]).to_dict()
        x = drawn["layer"][0]["encoding"]["x"]
        assert x["scale"]["domain"] == [0, 5]
        assert x["axis"]["values"] == [0, 1, 2, 3, 5]
        assert x["title"] == "typos per text"
    assert drawn["layer"][0]["encoding"]["y"]["scale"]["domain"] == [0.4, 1], "chance is in view"


def test_shared_neurons_have_their_null_in_the_same_figure() -> None:
    figure = charts.dose_overlap(STAYED, DARK, edits="typos", doses=[1, 5])
    drawn = figure.to_dict()
    rows = [row for data in drawn["datasets"].values() for row in data]
    shares = {row["labels"]: row["share"] for row in rows if "labels" in row}
    assert shares == {"true labels": 0.6, "shuffled (control)": 0.1}
    assert charts.svg(figure).startswith("<svg")


def test_the_claim_plot_has_room_for_points_beyond_its_corners_and_links() -> None:
    drawn = charts.claim_points(CLAIMED, LIGHT, neurons="skill neurons").to_dict()
    encoding = drawn["layer"][-1]["encoding"]
    assert encoding["x"]["scale"]["domain"] == [-0.1, 1.0]
    assert encoding["y"]["scale"]["domain"] == [0.0, 1.2]
    assert encoding["href"]["field"] == "url"
    assert encoding["y"]["title"] == "skill neurons kept"


def test_quadrants_are_named_by_their_kinds() -> None:
    table = pd.DataFrame({"layer": 0, "neuron": 1, "first": 0.6, "second": 0.1, "x": 0.5, "y": 0.5,
                          "kind": ["both", "neither"], "url": "neuron"})  # fmt: skip
    names = {"both": "B", "first only": "F", "second only": "S", "neither": "N"}
    drawn = charts.rank_rank(
        table, LIGHT, first="predictivity", second="attribution", names=names
    ).to_dict()
    assert drawn["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["B", "F", "S", "N"]
    agreement = pd.DataFrame({"backbone": ["t5-mini"], "layer": 0, "spearman": 0.1, "neurons": 9})
    bars = charts.spearman_by_layer(agreement, LIGHT).to_dict()
    assert bars["layer"][0]["encoding"]["y"]["scale"]["domain"] == [-1, 1]


def test_a_presented_chart_has_larger_type() -> None:
    sizes = [
        heatmap(charts.Look(large=large)).to_dict()["config"]["axis"]["labelFontSize"]
        for large in (False, True)
    ]
    assert sizes[1] > 1.2 * sizes[0]
