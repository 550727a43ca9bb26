"""Published results, read from `assets/published` and never mixed with computed ones."""

from functools import lru_cache
from pathlib import Path

import pandas as pd

SU_2022 = "Su et al. 2022"
# Name in the release -> name in figures, in the order of the figures.
MODELS = {
    "Roberta": "RoBERTa base",
    "T5": "T5 base",
    "RobertaLarge": "RoBERTa large",
    "T5Small": "T5 small",
}
TASKS = {
    "IMDB": "IMDB",
    "SST2": "SST-2",
    "laptop": "Laptop",
    "restaurant": "Restaurant",
    "movierationales": "Movie rationales",
    "tweetevalsentiment": "Tweet sentiment",
    "MNLI": "MNLI",
    "QNLI": "QNLI",
    "snli": "SNLI",
    "recastner": "Recast NER",
    "ethicsdeontology": "Ethics: deontology",
    "ethicsjustice": "Ethics: justice",
    "QQP": "QQP",
    "MRPC": "MRPC",
    "squad": "SQuAD (BLEU)",
    "nq_open": "NQ open (BLEU)",
    "multi_news": "Multi-News (BLEU)",
    "samsum": "SAMSum (BLEU)",
    "random": "random vectors",
}

CATEGORIES = {
    **dict.fromkeys(
        ("IMDB", "SST2", "laptop", "restaurant", "movierationales", "tweetevalsentiment"),
        "sentiment",
    ),
    **dict.fromkeys(("MNLI", "QNLI", "snli", "recastner"), "inference"),
    **dict.fromkeys(("ethicsdeontology", "ethicsjustice"), "ethics"),
    **dict.fromkeys(("QQP", "MRPC"), "paraphrase"),
    **dict.fromkeys(("squad", "nq_open"), "question answering"),
    **dict.fromkeys(("multi_news", "samsum"), "summarisation"),
}


def categories() -> dict[str, str]:
    """Each task's category, by its name in figures."""
    return {TASKS[name]: category for name, category in CATEGORIES.items()}


def classified() -> dict[str, str]:
    """The categories of the tasks that are scored by accuracy."""
    written = ("question answering", "summarisation")
    return {t: c for t, c in categories().items() if c not in written}


@lru_cache(maxsize=2)
def _read(assets: Path) -> pd.DataFrame:
    return pd.read_csv(assets / "published" / "su2022_transfer_accuracy.csv")


def transfer(assets: Path, *, relative: bool) -> pd.DataFrame:
    """Published transfer per (backbone, source_task, target_task): value, accuracy.

    `value` is the accuracy, or, relative, the accuracy over that of the target's own prompt.
    """
    rows = _read(assets)
    own = rows[rows.source_prompt == rows.target_task].set_index(["model", "target_task"]).accuracy
    own = own.rename("own").reset_index()
    table = rows.merge(own, on=["model", "target_task"], how="left")
    return pd.DataFrame(
        {
            "backbone": table.model.map(MODELS),
            "source_task": table.source_prompt.map(TASKS),
            "target_task": table.target_task.map(TASKS),
            "value": table.accuracy / table.own if relative else table.accuracy,
            "accuracy": table.accuracy,
        }
    )
