"""Prompts that Su et al. 2022 released: how alike they are, shipped as numbers, not as vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float

from core.figures import literature
from core.figures.indicators import COLUMNS, LIVE, TITLES, embeddings
from core.figures.words import two

Array = npt.NDArray[Any]
PUBLISHED = Path("published") / "su2022_indicators.csv"
DEAD = "dead_row"  # of a task with itself: its prompt's `dead_share`
ON = (
    "Su et al. report the overlap of activated neurons (ON) as the best indicator. Computing it "
    "needs the backbones, so it is not compared here."
)
CONCAT = "cosine_concat"  # the indicator that the dead row changes most


def likeness(assets: Path) -> pd.DataFrame:
    """Likeness of the prompts that Su et al. 2022 released, shipped as numbers, not as vectors."""
    return pd.read_csv(assets / PUBLISHED)


def of_prompts(prompts: Mapping[tuple[str, str], Float[Array, "token hidden"]]) -> pd.DataFrame:
    """Likeness of released prompts by (model, task) as their folders name them; a prompt with
    itself, too, because a map needs it.
    """
    tables = []
    for model in dict.fromkeys(m for m, _ in prompts):
        mine = {literature.TASKS[task]: p for (m, task), p in prompts.items() if m == model}
        has_dead = "Roberta" in model
        matrices = embeddings(list(mine.values()), [has_dead] * len(mine))
        if has_dead:
            matrices[DEAD] = np.diag([dead_share(p) for p in mine.values()])
        for name, values in matrices.items():
            table = pd.DataFrame(values, index=list(mine), columns=list(mine)).stack().reset_index()
            table.columns = pd.Index(["source_task", "target_task", "value"])
            if name == DEAD:
                table = table[table.source_task == table.target_task]
            table = table.assign(backbone=literature.MODELS[model], indicator=name, pairs=1)
            tables.append(table[COLUMNS])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def dead_share(vectors: Float[Array, "token hidden"]) -> float:
    """Share of a prompt's squared norm in its first vector, the dead row."""
    squares = np.square(np.asarray(vectors, np.float64)).sum(1)
    return float(squares[0] / squares.sum())


def sentence(likeness: pd.DataFrame, agreed: pd.DataFrame) -> str:
    """What the dead row weighs and what leaving it out changes; empty where no prompt has one. The
    columns of `likeness` and of `indicators.agreement`.
    """
    dead = likeness[likeness.indicator == DEAD]
    found = []
    for backbone, mine in dead.groupby("backbone"):
        rho = agreed[agreed.backbone == backbone].set_index("indicator").spearman
        if not {CONCAT, CONCAT + LIVE} <= set(rho.index):
            continue
        low: Any = mine.loc[mine.value.idxmin()]
        high: Any = mine.loc[mine.value.idxmax()]
        found.append(
            f"The first vector of a released {backbone} prompt never reaches the model, yet it "
            f"holds between {low.value:.1%} ({low.source_task}) and {high.value:.0%} "
            f"({high.source_task}) of the prompt's squared norm. Without it, the correlation of "
            f"the {TITLES[CONCAT]} with transfer changes from {two(rho[CONCAT])} to "
            f"**{two(rho[CONCAT + LIVE])}**."
        )
    return " ".join(found)
