"""Sheets for a blind reader: no label on them, all attacked, none twice; and the score."""

import json
from pathlib import Path

import pytest

from core.base.errors import BadInput
from core.base.settings import ROOT
from core.stats.intervals import wilson
from core.tasks.attacks import KINDS
from demo import blind

pytestmark = pytest.mark.slow


def test_sheets_hold_attacked_texts_without_labels(tmp_path: Path) -> None:
    files = blind.write(tmp_path / "a")
    assert [f.stem for f in files] == [
        "clean", *(f"{k}-{d}" for k in ("typo", "synonym", "distraction") for d in (1, 2, 3, 5)),
        "negation-1",
    ]  # fmt: skip
    blind.sheets.cache_clear()
    again = blind.write(tmp_path / "b")
    assert [f.read_text() for f in files] == [f.read_text() for f in again]
    every = blind.sheets()
    clean = {(r.task, r.text, r.text_b) for r in every["clean"]}
    for file in files:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert len(lines) == 100
        assert all(set(line) <= {"id", "question", "classes", "text", "text_b"} for line in lines)
        if file.stem != "clean":
            assert not clean & {(r.task, r.text, r.text_b) for r in every[file.stem]}


def test_the_score_is_the_share_of_labels_that_the_reader_does_not_share(tmp_path: Path) -> None:
    rows = blind.sheets()["typo-1"]
    given = {str(i): row.classes[row.label] for i, row in enumerate(rows)}
    for i in (3, 40, 99):
        given[str(i)] = rows[i].classes[1 - rows[i].label]
    file = tmp_path / "typo-1.answers.json"
    file.write_text(json.dumps(given))
    (row,) = blind.score(tmp_path).to_dict("records")
    assert (row["sheet"], row["read"], row["broken"]) == ("typo-1", 100, 0.03)
    assert (row["low"], row["high"]) == pytest.approx(wilson(3, 100))
    del given["7"]
    file.write_text(json.dumps(given))
    with pytest.raises(BadInput, match="no class of the task for text 7"):
        blind.score(tmp_path)


def test_the_table_of_the_documentation_is_what_the_last_readers_answered() -> None:
    found = blind.compared(blind.kept()).set_index("sheet")
    assert set(found.index) == set(blind.sheets())
    text = (ROOT / "docs" / "method.md").read_text("utf-8")
    for dose in (1, 2, 3, 5):
        cells = [
            f"{100 * row.broken:.0f} ({100 * row.low:.0f} to {100 * row.high:.0f})"
            for kind in KINDS
            for row in found[found.index == f"{kind}-{dose}"].itertuples()
        ]
        assert " | ".join([f"| {dose}", *cells]) in text
    assert found.broken["clean"] == 0
