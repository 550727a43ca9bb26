"""Published figures are shown as they were released."""

import pandas as pd
import pytest

from core import charts
from core.base.settings import Settings
from core.figures import literature

ASSETS = Settings().assets


def cell(table: pd.DataFrame, backbone: str, source: str, target: str) -> float:
    rows = table[
        (table.backbone == backbone) & (table.source_task == source) & (table.target_task == target)
    ]
    assert len(rows) == 1
    return float(rows.value.iloc[0])


@pytest.mark.parametrize(
    ("backbone", "source", "target", "value"),
    [
        ("RoBERTa base", "SST-2", "SST-2", 0.9327),
        ("RoBERTa base", "QNLI", "QNLI", 0.9055),
        ("RoBERTa base", "IMDB", "SST-2", 0.8606),
        ("RoBERTa base", "random vectors", "SST-2", 0.5084),
        ("T5 base", "SST-2", "SST-2", 0.9435),
        ("T5 base", "MNLI", "MNLI", 0.8554),
    ],
)
def test_values_are_the_published_ones(
    backbone: str, source: str, target: str, value: float
) -> None:
    assert cell(literature.transfer(ASSETS, relative=False), backbone, source, target) == value


def test_all_991_figures_have_a_backbone_and_two_tasks() -> None:
    table = literature.transfer(ASSETS, relative=False)
    assert len(table) == 991
    assert not table.isna().any().any()
    assert not table.duplicated(["backbone", "source_task", "target_task"]).any()


def test_relative_to_the_targets_own_prompt() -> None:
    table = literature.transfer(ASSETS, relative=True)
    own = table[table.source_task == table.target_task]
    assert (own.value == 1).all()
    assert cell(table, "RoBERTa base", "IMDB", "SST-2") == pytest.approx(0.8606 / 0.9327)


def test_the_heatmap_shows_what_there_is_and_claims_no_seeds() -> None:
    table = literature.transfer(ASSETS, relative=False)
    mine = table[table.backbone == "T5 base"]
    order = list(literature.TASKS.values())
    figure = charts.transfer_heatmap(
        mine, charts.Look(backbones=tuple(literature.MODELS.values())), backbone="T5 base",
        relative=False, rows=order, columns=order,
    ).to_dict()  # fmt: skip
    fields = {tip["field"] for tip in figure["layer"][0]["encoding"]["tooltip"]}
    assert fields == {"source_task", "target_task", "value", "accuracy"}
    assert figure["layer"][0]["encoding"]["color"]["scale"]["domain"][0] == 0
