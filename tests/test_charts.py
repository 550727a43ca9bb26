"""Charts through what they hand to the browser: fields, domains, hues and line styles."""

import json
import re

import pandas as pd
import pytest

from core import charts

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
        "whisker_high": 0.8, "top1": 0.85, "highest": 0.9, "floor": 0.54, "neurons": 2048,
        "seeds": 5, "n": 600,
    }
)  # fmt: skip
BAR = pd.DataFrame(
    {"task": ["A", "B"], "accuracy": 0.9, "low": 0.88, "high": 0.92, "n": 600, "seeds": 5,
     "majority": 0.5}
)  # fmt: skip
DOTS = pd.DataFrame({"task": ["A"], "layer": [3], "neuron": [7], "predictivity": [0.9]})


def heatmap(look: charts.Look = LIGHT, backbone: str = "roberta-mini") -> charts.Figure:
    return charts.transfer_heatmap(
        HEAT, look, backbone=backbone, relative=False, rows=["A", "B"], columns=["A", "B"]
    )


def curves(look: charts.Look = LIGHT) -> charts.Figure:
    return charts.suppression_curves(CURVE, look, fractions=[0.0, 0.15])


def boxes(look: charts.Look = LIGHT) -> charts.Figure:
    return charts.boxes_over_bars(BOX, DOTS, BAR, look, backbone="roberta-mini", tasks=["A", "B"])


def test_a_backbone_has_one_hue_in_every_figure() -> None:
    hue = LIGHT.hue("roberta-mini")
    for figure in (heatmap(), curves(), boxes()):
        assert hue in json.dumps(figure.to_dict())
    assert LIGHT.hue("t5-mini") != hue


def test_boxes_and_bars_share_one_axis_from_0_to_1() -> None:
    spec = boxes().to_dict()
    scales = [
        layer["encoding"]["y"].get("scale", {}).get("domain")
        for layer in spec["layer"]
        if layer["encoding"]["y"].get("title") == "accuracy, predictivity"
    ]
    assert len(scales) == 7
    assert all(domain == [0, 1] for domain in scales)
    assert "resolve" not in spec, "no second axis"


def test_skill_is_solid_and_random_dashed() -> None:
    spec = curves().to_dict()
    dash = spec["layer"][1]["encoding"]["strokeDash"]["scale"]
    styles = dict(zip(dash["domain"], dash["range"], strict=True))
    assert styles["skill neurons"] == [1, 0]
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
    accuracy = charts.tuning_accuracy(
        history(), LIGHT, backbone="t5-mini", steps=10, chance=1 / 3
    ).to_dict()
    line, chance = accuracy["layer"]
    named = accuracy["datasets"][line["data"]["name"]]
    assert [(row["step"], row["accuracy"]) for row in named] == [(2, 0.6), (4, 0.9)]
    assert accuracy["datasets"][chance["data"]["name"]] == [{"y": 1 / 3}]


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


def test_quick_drawing_changes_nothing_but_the_checks() -> None:
    with charts.quickly():
        quick = curves().to_dict()
    assert quick == curves().to_dict()
