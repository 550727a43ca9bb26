"""What a task gives away without a language model."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import fmean

from core.base.settings import Places
from core.tasks import Task, Text, data_stamp, load_task
from core.tasks.data import Examples, load_split
from core.tasks.metrics import METRICS


def bag_of_words(task: Task, shipped: Mapping[str, float] | None = None) -> float:
    """Accuracy on the evaluation split of a logistic regression over single words of both texts.

    Computed, unless `shipped` has it under the stamp of its data.
    """
    fingerprint = data_stamp(task)
    if shipped and fingerprint in shipped:
        return shipped[fingerprint]
    return _fit(task.name, task.places, fingerprint)


def constant_answer(task: Task, shipped: Mapping[str, float] | None = None) -> float:
    """Mean score on the evaluation split, by the task's metric, of writing the most frequent answer
    of that split to every example; for tasks with written answers.

    Computed, unless `shipped` has it under the stamp of its data.
    """
    fingerprint = data_stamp(task)
    if shipped and fingerprint in shipped:
        return shipped[fingerprint]
    assert isinstance(task.answer, Text)
    return constant(load_split(task, task.evaluation_split).targets or (), task.answer.metric)


def constant(references: Sequence[tuple[str, ...]], metric: str) -> float:
    """Mean score of always writing the most frequent first reference, of equals the earliest."""
    firsts = Counter(r[0] for r in references)
    usual = firsts.most_common(1)[0][0]
    return fmean(METRICS[metric](usual, r) for r in references)


def read_shipped(assets: Path) -> dict[str, float]:
    """Stamp of the data -> bag of words, or the constant answer, of the built-in tasks."""
    file = assets / "tasks" / "baselines.json"
    return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}


def write_shipped(assets: Path, tasks: Iterable[Task]) -> None:
    """Compute and write what `read_shipped` reads."""
    values = {
        data_stamp(task): bag_of_words(task) if task.labels else constant_answer(task)
        for task in tasks
    }
    (assets / "tasks" / "baselines.json").write_text(json.dumps(values, indent=1) + "\n")


@lru_cache(maxsize=64)
def _fit(name: str, places: Places, _fingerprint: str) -> float:
    # scikit-learn takes a second to import, and shipped values need it not
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    task = load_task(name, places)
    train, held = load_split(task, "train"), load_split(task, task.evaluation_split)
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    model.fit(_texts(train), train.labels)
    return float(model.score(_texts(held), held.labels))


def _texts(examples: Examples) -> list[str]:
    others = examples.text_b or ("",) * len(examples)
    return [f"{a} {b}" for a, b in zip(examples.text_a, others, strict=True)]
