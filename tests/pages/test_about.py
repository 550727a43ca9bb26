"""What a download says about itself."""

from datetime import date

import pandas as pd
import pytest

from core import charts
from pages.common import about

CHOSEN = {"task": "Short reviews", "backbone": "roberta-mini, t5-mini", "seeds": "0, 1"}
TABLE = pd.DataFrame({"task": ["a", "b"], "x": [1.0, 2.0], "n": [600, 204], "seeds": [2, 2]})


def test_a_files_name_says_task_backbone_and_seeds() -> None:
    name = about.stem("suppression", CHOSEN)
    assert name == "suppression_short-reviews_roberta-mini-t5-mini_seeds-0-1"
    assert about.stem("correlation", {}) == "correlation"
    odd = about.stem("x", {"task": "../../etc/passwd \N{SNOWMAN}" + "a" * 300})
    assert odd.startswith("x_etc-passwd")
    assert len(odd) <= about.LONGEST


def test_a_picture_says_settings_sizes_date_and_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(about, "link", lambda: "http://localhost/suppression?task=Opinions")
    assert about.lines(TABLE, CHOSEN, date(2026, 1, 2)) == [
        "task Short reviews; backbone roberta-mini, t5-mini; seeds 0, 1",
        "204 to 600 examples, 2 seeds",
        "2026-01-02, http://localhost/suppression?task=Opinions",
    ]
    assert len(about.lines(pd.DataFrame({"x": [1]}), {}, date(2026, 1, 2))) == 1


def test_a_table_gets_the_settings_it_lacks_and_keeps_its_own_columns() -> None:
    table = about.with_settings(TABLE, CHOSEN)
    assert table.task.tolist() == ["a", "b"]
    assert set(table.backbone) == {CHOSEN["backbone"]}
    assert list(TABLE.columns) == ["task", "x", "n", "seeds"], "the figure's own table is untouched"


def test_a_drawing_has_the_title_and_the_lines() -> None:
    look = charts.Look(backbones=("t5-mini",))
    figure = charts.tuning_loss(
        pd.DataFrame({"step": [1.0, 2.0], "loss": [1.0, 0.5], "accuracy": [None, 0.5]}), look,
        backbone="t5-mini", steps=2,
    )  # fmt: skip
    head = charts.Head(title="Tuning: loss", lines=["task Opinions", "word " * 60])
    drawn = charts.svg(figure, head)
    assert "Tuning: loss" in drawn
    assert "task Opinions" in drawn
    assert drawn.count("word word") >= 3, "a long line is broken"
    assert "Tuning: loss" not in charts.svg(figure)
