"""The numbers of docs/method.md are those of the shipped answers."""

from pathlib import Path

import pandas as pd
import pytest

from core.base.settings import EMBEDDED, PLAIN, ROOT
from demo import findings
from tests.conftest import opened_lab

pytestmark = pytest.mark.slow
README = " ".join((ROOT / "README.md").read_text("utf-8").split())
TEXT = " ".join((ROOT / "docs" / "method.md").read_text("utf-8").split())


@pytest.fixture(scope="module")
def shown(opened: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    with opened_lab(opened, tmp_path_factory.mktemp("findings") / "cache") as lab:
        return findings.tables(lab)


def span(row: pd.Series, name: str, low: str, high: str) -> str:
    """A value and its interval as the text gives them."""
    return f"{row[name]:.2f} ({row[low]:.2f} to {row[high]:.2f})"


def test_every_table_has_rows(shown: dict[str, pd.DataFrame]) -> None:
    assert set(shown) == set(findings.TABLES)
    for name, table in shown.items():
        assert len(table), name


def test_intervals_of_the_text_are_the_tables(shown: dict[str, pd.DataFrame]) -> None:
    slopes = shown["slopes"].set_index(["backbone", "neurons"])
    transfer = shown["transfer"].set_index(["backbone", "neurons"])
    likeness = shown["transferability"].set_index(["backbone", "indicator"])
    advised = shown["advised"].set_index(["backbone", "over"])
    without = shown["without"].set_index(["backbone", "way", "choose"])
    starts = shown["starts"].set_index(["backbone", "start"])
    over = shown["slopes_of_all"].set_index(["backbone", "neurons"])
    ends = ("slope_within", "slope_within_low", "slope_within_high")
    said = [
        *(span(over.loc[b, "skill"], "slope", "slope_low", "slope_high") for b in PLAIN),
        *(span(over.loc[b, "skill"], *ends) for b in PLAIN),
        span(slopes.loc["roberta-mini", "skill"], "slope", "slope_low", "slope_high"),
        span(slopes.loc["roberta-mini", "causal"], "slope", "slope_low", "slope_high"),
        span(transfer.loc["roberta-mini", "causal"], "spearman", "low", "high"),
        span(transfer.loc["t5-mini", "causal"], "spearman", "low", "high"),
        span(likeness.loc["roberta-mini", "cosine_average"], "spearman", "low", "high"),
        span(likeness.loc["t5-mini", "cosine_average"], "spearman", "low", "high"),
        span(without.loc["roberta-mini", "lora", "causal"], "excess", "excess_low", "excess_high"),
        f"{starts.loc['t5-mini', 'roberta-mini'].speedup:.1f} times sooner",
        f"{advised.loc['roberta-mini', 'all'].gain:.2f} ("
        f"{advised.loc['roberta-mini', 'all'].low:.2f} to "
        f"{advised.loc['roberta-mini', 'all'].high:.2f}, nine tasks)",
        *(span(advised.loc[place], "gain", "low", "high") for place in (
            ("roberta-mini", "category"), ("t5-mini", "all"), ("t5-mini", "category"),
        )),
        "Across categories these are "
        + " and ".join(f"{likeness.loc[b, 'cosine_average'].across_categories:.2f}" for b in PLAIN),
        *(
            f"{name} {row.excess:.2f}{more} ({row.excess_low:.2f} to {row.excess_high:.2f})"
            for name, way, more in (
                ("BitFit", "bias", " more than suppressing random neurons"),
                ("adapters", "adapter", ""), ("LoRA", "lora", ""), ("prefix tuning", "prefix", ""),
            )
            for row in [without.loc["roberta-mini", way, "causal"]]
        ),
    ]  # fmt: skip
    pairs = shown["differences"].set_index(["neurons", "first", "second"])
    for name in ("roberta-mini", "t5-mini"):
        pair = pairs.loc[("skill", name, f"{name}-weathered")]
        digits = 3 if name == "t5-mini" else 2  # as many as tell the interval from zero
        ends = f"({pair.accuracy_low:.{digits}f} to {pair.accuracy_high:.{digits}f}"
        kept = f"({pair.kept_low:.2f} to {pair.kept_high:.2f}"
        said += [f"{ends}, nine tasks)", f"{kept}, eight tasks)"]
        assert f"{pair.accuracy:.{digits}f} " in README
        assert ends.removeprefix("(") in README
        assert f"{pair.kept:.2f} " in README
        assert kept in README
    assert [text for text in said if text not in TEXT] == []


def test_what_each_kind_of_attack_leaves_is_the_table(shown: dict[str, pd.DataFrame]) -> None:
    table = shown["attacks"].query("neurons == 'skill' and dose == 1")
    table = table.set_index(["backbone", "attack"])
    one, other = (table.loc[b] for b in PLAIN)

    def pair(column: str, kind: str, between: str = " and ") -> str:
        return f"{one[column][kind]:.2f}{between}{other[column][kind]:.2f}"

    said = [
        f"One typo leaves RoBERTa {pair('accuracy_kept', 'typo', ' and T5 ')} of",
        f"one distraction {pair('accuracy_kept', 'distraction')}, one negation "
        f"{pair('accuracy_kept', 'negation')} (means over",
        f"synonyms leave {pair('accuracy_kept', 'synonym')},",
        f"{pair('kept', 'typo')} are kept with one typo, {pair('kept', 'distraction')} with one",
        f"{pair('kept', 'negation')} with one negation, {pair('kept', 'synonym')} with one",
    ]
    assert [text for text in said if text not in TEXT] == []


def test_accuracies_under_typos_and_faithfulness_are_the_tables(
    shown: dict[str, pd.DataFrame],
) -> None:
    typos = shown["typos"].query("task == 'Short reviews'").set_index(["backbone", "dose"]).accuracy
    faithful = shown["faithfulness"].set_index("backbone").spearman
    one, other = "roberta-mini", "t5-mini"
    said = [
        f"from {typos[one, 0]:.2f} (RoBERTa) and {typos[other, 0]:.2f} (T5) to "
        f"{typos[one, 1]:.2f} and {typos[other, 1]:.2f}",
        f"{typos[one, 5]:.2f} and {typos[other, 5]:.2f} with five",
        f"Spearman {faithful[one]:.2f} (RoBERTa) and {faithful[other]:.2f}",
    ]
    assert [text for text in said if text not in TEXT] == []


def test_the_aims_of_the_text_are_the_tables(shown: dict[str, pd.DataFrame]) -> None:
    rows = {
        "clean accuracy": "accuracy at least 0.80: nine tasks",
        "accuracy with a typo": "accuracy with one typo 0.60 to 0.88: nine tasks",
        "more accurate with a typo": "weathered at least 8 points above plain",
        "prompts of other categories": "prompts of other categories: at most 0.62",
        "causal neurons": "5% causal instead of random neurons",
        "predictive neurons": "15% skill instead of random neurons",
        "best neuron above its null": "best neuron above the 95th percentile",
    }
    table = shown["aims"]
    assert set(table.aim) == set(rows)
    lines = (ROOT / "docs" / "method.md").read_text("utf-8").splitlines()
    for aim, begins in rows.items():
        (line,) = (text for text in lines if text.startswith(f"| {begins}"))
        cells = [cell.strip() for cell in line.strip("|").split("|")[1:]]
        for backbone, cell in zip(EMBEDDED, cells, strict=True):
            mine = table[(table.aim == aim) & (table.backbone == backbone)]
            said = [
                f"{v:.2f}" if v < 1 and aim.startswith("prompts") else f"{v:.0f}"
                for v in mine.value
            ]
            marked = [
                text if met else f"**{text}**" for text, met in zip(said, mine.met, strict=True)
            ]
            assert [cell] == (marked or [""]), (aim, backbone)
