"""Questions as a table, which the queries join with the stored answers.

Names come from the question, not from the row: the same answer may have been computed under another
name, on another machine. A prompt is known by its key; two may have the same seed.
"""

from collections.abc import Sequence

import pandas as pd

from core.base.specs import Contrast, key
from core.measures.attribution import AttributionSpec
from core.measures.evaluation import EvaluationSpec
from core.measures.predictivity import PredictivitySpec

COLUMNS = "key backbone source_task prompt seed target_task split contrast".split()  # noqa: SIM905


def table(
    specs: Sequence[PredictivitySpec | EvaluationSpec | AttributionSpec],
) -> pd.DataFrame:
    """One row per question: key, backbone, source_task, prompt (its key), seed, target_task, split,
    contrast (as text; empty for none).
    """
    rows = [
        (
            key(s), s.prompt.backbone.name, s.prompt.source_task, key(s.prompt), s.prompt.seed,
            s.task.name, s.split, _text(getattr(s, "contrast", None)),
        )
        for s in specs
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=COLUMNS).drop_duplicates()
    return table.astype({name: "int64" if name == "seed" else "str" for name in COLUMNS})


def _text(contrast: Contrast | None) -> str:
    return "" if contrast is None else str((contrast.negative, contrast.positive))
