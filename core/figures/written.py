"""What a prompt writes, and how well, for tasks whose answers are written."""

import numpy as np
import pandas as pd

from core.measures.evaluation import Evaluation, mean_interval
from core.tasks.baselines import constant
from core.tasks.data import Examples
from core.tasks.metrics import METRICS, beside


def scores(table: pd.DataFrame, found: Evaluation, examples: Examples) -> pd.DataFrame:
    """Of the table of `answers`, per metric that is usually reported with the task's: metric, score
    (the mean), low and high (95%), n, and constant, the score of always writing the most frequent
    first reference.
    """
    _, references = _aligned(found, examples)
    rows = []
    for name in beside(found.metric):
        values = table[name].to_numpy()
        low, high = mean_interval(values)
        always = constant(references, name)
        rows.append((name, float(values.mean()), low, high, len(values), always))
    return pd.DataFrame(rows, columns="metric score low high n constant".split())  # noqa: SIM905


def answers(found: Evaluation, examples: Examples) -> pd.DataFrame:
    """Per example: example, text_a, text_b (only of pairs), written, references, and a column for
    each metric that is usually reported with the task's.
    """
    written, references = _aligned(found, examples)
    each = {
        name: found.scores
        if name == found.metric
        else [metric(w, r) for w, r in zip(written, references, strict=True)]
        for name, metric in beside(found.metric).items()
    }
    pairs = {} if examples.text_b is None else {"text_b": examples.text_b}
    return pd.DataFrame(
        {
            "example": examples.index, "text_a": examples.text_a, **pairs, "written": written,
            "references": [list(r) for r in references], **each,
        }
    )  # fmt: skip


def _aligned(
    found: Evaluation, examples: Examples
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The written texts and the references, row by row."""
    assert found.written is not None
    assert found.metric in METRICS
    assert examples.targets is not None
    assert np.array_equal(found.index, examples.index)
    return found.written, examples.targets
