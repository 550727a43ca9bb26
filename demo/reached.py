"""Which aims of the second edition the shipped answers reach, backbone by backbone."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import tomli_w

from core.base.settings import EMBEDDED, MATCHED, PLAIN
from core.figures import queries
from core.figures.robustness import dose
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.evaluation import EvaluationSpec
from core.tasks import Choice, Task, load_task
from demo import rebuild
from demo.second import visitors

CLEAN = 0.80  # accuracy, on every clean task
ONE_TYPO = (0.60, 0.88)  # accuracy of plain backbones with one typo a text
GAIN = 0.08  # how much more accurate weathered backbones are then, on six tasks
OTHERS = 0.62  # mean accuracy of prompts of other categories, at most
CAUSAL = {"roberta": 0.20, "t5": 0.10}  # how much more than random neurons 5% cost, on six tasks
PREDICTIVE = 0.10  # how much more than random neurons 15% cost, on three tasks
COLUMNS = "backbone aim value goal met".split()  # noqa: SIM905


def aims(lab: Lab) -> pd.DataFrame:
    """backbone, aim, value (tasks that reach it, of nine; or a mean accuracy), goal, met."""
    there, clean = [b for b in EMBEDDED if b in lab.models.embedded()], rebuild.tasks()[0]
    typos = pd.concat(
        [_typos(lab, there, task).assign(task=task.name) for task in clean], ignore_index=True
    ).set_index(["backbone", "task", "dose"]).accuracy.unstack("dose")  # fmt: skip
    rows = [row for b in there for row in _of(lab, b, clean, typos.loc[b])]
    for plain, weathered in MATCHED:
        if {plain, weathered} <= set(there):
            more = (typos.loc[weathered][1] - typos.loc[plain][1] >= GAIN).sum()
            rows.append((weathered, "more accurate with a typo", more, 6, more >= 6))
    return pd.DataFrame(rows, columns=COLUMNS)


def _typos(lab: Lab, backbones: list[str], task: Task) -> pd.DataFrame:
    asked = {b: rebuild.struck(lab, b, task) for b in backbones}
    return dose.accuracy(lab.store, asked, intervals=False)


def _of(
    lab: Lab, b: str, clean: list[Task], typos: pd.DataFrame
) -> Iterator[tuple[str, str, float, float, bool]]:
    """The aims of one backbone; `typos`: accuracy by task and dose."""
    right = int((typos[0] >= CLEAN).sum())
    yield b, "clean accuracy", right, 9, right == 9
    if b in PLAIN:
        between = int(typos[1].between(*ONE_TYPO).sum())
        yield b, "accuracy with a typo", between, 9, between == 9
        others = _others(lab, b, clean)
        yield b, "prompts of other categories", others, OTHERS, others <= OTHERS
    drops = {t.name: _drops(lab, b, t) for t in clean}
    least = CAUSAL[lab.models.family(b)]
    causal = sum(found["causal", 0.05] >= least for found in drops.values())
    yield b, "causal neurons", causal, 6, causal >= 6
    skill = sum(found["skill", 0.15] >= PREDICTIVE for found in drops.values())
    yield b, "predictive neurons", skill, 3, skill >= 3
    boxes = queries.predictivity_boxes(lab.store, rebuild.measured(lab, b, clean))
    above = int((boxes.highest > boxes.fwer).sum())
    yield b, "best neuron above its null", above, 7, above >= 7


def _others(lab: Lab, b: str, clean: list[Task]) -> float:
    """Mean accuracy of prompts on tasks of other categories."""
    category = {t.name: t.category for t in clean}
    grid = sweeps.transfer_grid(
        [p for t in clean for p in rebuild.prompts(lab, b, t)],
        [(lab.pin(t, b), t.evaluation_split) for t in clean],
    )
    table = queries.transfer(lab.store, grid, relative=False, clean=lab.clean_name)
    far = table.source_task.map(category) != table.target_task.map(category)
    return float(table[far].value.mean())


def _drops(lab: Lab, b: str, task: Task) -> dict[tuple[str, float], float]:
    """By kind of neuron and fraction: how much less accurate than without random neurons."""
    specs = [s for s in rebuild.suppressed(lab, b, task) if isinstance(s, EvaluationSpec)]
    curve = queries.suppression_curve(lab.store, specs).set_index(["choose", "fraction"]).accuracy
    return {
        (kind, fraction): float(curve["random", fraction] - curve[kind, fraction])
        for kind in ("causal", "skill")
        for fraction in (0.05, 0.15)
    }


def on_sentences(lab: Lab, data: Path | None = None) -> pd.DataFrame:
    """Accuracy of the short-reviews prompts on sentences that people wrote: the plain sentences of
    `visitors.toml`, and SST-2's dev rows if their folder is given. backbone, texts, accuracy (mean
    over seeds), lowest, highest, n.
    """
    texts = {"plain sentences": list(visitors())}
    if data is not None:
        lines = (data / "sst2" / "dev.jsonl").read_text("utf-8").splitlines()
        texts["SST-2 dev"] = [(r["sentence"], r["label"]) for r in map(json.loads, lines)]
    first, rows = load_task(rebuild.FIRST), []
    with TemporaryDirectory() as folder:
        for name, found in texts.items():
            task = lab.find_task(str(_written(Path(folder) / name.replace(" ", "-"), first, found)))
            for b in (b for b in EMBEDDED if b in lab.models.embedded()):
                asked = [
                    sweeps.own_evaluation(p, lab.pin(task, b), "validation")
                    for p in rebuild.prompts(lab, b, first)
                ]
                right = [float(lab.answer(spec).scores.mean()) for spec in asked]
                rows.append(
                    (b, name, sum(right) / len(right), min(right), max(right), len(found))
                )  # fmt: skip
    return pd.DataFrame(rows, columns="backbone texts accuracy lowest highest n".split())  # noqa: SIM905


def _written(folder: Path, like: Task, found: Sequence[tuple[str, int]]) -> Path:
    """A task with the classes and answer words of another one, and these texts."""
    assert isinstance(like.answer, Choice)
    folder.mkdir()
    lines = [json.dumps({"text": text, "label": label}) for text, label in found]
    (folder / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    raw = {
        "title": folder.name, "labels": list(like.labels), "splits": {"validation": "rows.jsonl"},
        "fields": {"text_a": "text", "label": "label"},
        "verbalizer": {family: list(words) for family, words in like.answer.verbalizer.items()},
    }  # fmt: skip
    file = folder / f"{folder.name}.toml"
    file.write_text(tomli_w.dumps(raw), "utf-8")
    return file
