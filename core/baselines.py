"""What a task gives away without a language model."""

from functools import lru_cache

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from core.data import Examples, load_split
from core.tasks import Task, load_task, pin_task


def bag_of_words(task: Task) -> float:
    """Accuracy on the evaluation split of a logistic regression over single words of both texts."""
    return _fit(task.name, pin_task(task).fingerprint)


@lru_cache(maxsize=64)
def _fit(name: str, _fingerprint: str) -> float:
    task = load_task(name)
    train, held = load_split(task, "train"), load_split(task, task.evaluation_split)
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    model.fit(_texts(train), train.labels)
    return float(model.score(_texts(held), held.labels))


def _texts(examples: Examples) -> list[str]:
    others = examples.text_b or ("",) * len(examples)
    return [f"{a} {b}" for a, b in zip(examples.text_a, others, strict=True)]
