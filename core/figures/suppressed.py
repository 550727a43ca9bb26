"""Does suppressing chosen neurons cost more accuracy than suppressing random ones?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.markdown import plain
from core.base.specs import key
from core.figures import asked
from core.figures.words import MINUS, listed
from core.measures.evaluation import EvaluationSpec
from core.stats.intervals import crossed
from core.stats.neurons import Choose
from core.store import Store

Array = npt.NDArray[Any]
KINDS: tuple[Choose, ...] = ("causal", "skill")
COLUMNS = "backbone choose cost low high p n draws seeds".split()  # noqa: SIM905


def costs(
    store: Store, specs: Sequence[EvaluationSpec], choose: Choose = "skill"
) -> tuple[Array, Array] | None:
    """Accuracy with random neurons suppressed minus accuracy with chosen ones, averaged over the
    fractions, `[prompt draw example]`, and the examples; None until the whole curve is stored.
    """
    questions = [s for s in specs if s.suppression is not None]
    if len(store.known(key(s) for s in questions)) < len({key(s) for s in questions}):
        return None
    rows = store.frame(
        "SELECT a.seed, a.prompt, e.choose, coalesce(e.draw, 0) AS draw, unnest(e.rows) AS example,"
        " unnest(e.scores) AS score FROM asked a JOIN evaluation e USING (key)",
        asked=asked.table(questions),
    )
    means = rows.groupby(["choose", "seed", "prompt", "draw", "example"]).score.mean()
    if not {choose, "random"} <= set(means.index.levels[0]):
        return None
    chosen, random = (means[kind].unstack("example") for kind in (choose, "random"))
    prompts = chosen.index.droplevel("draw").unique()
    table = np.stack([random.loc[p].to_numpy() - chosen.loc[p].to_numpy() for p in prompts])
    return table, chosen.columns.to_numpy()


def beyond_random(store: Store, specs: Sequence[EvaluationSpec]) -> pd.DataFrame:
    """One row per backbone and kind of neuron whose curves are complete: cost (mean of `costs`),
    low, high (95%), p; prompts, random draws and examples are all treated as samples.
    """
    out = list[dict[str, object]]()
    for backbone in dict.fromkeys(s.prompt.backbone.name for s in specs):
        mine = [s for s in specs if s.prompt.backbone.name == backbone]
        for choose in KINDS:
            if (found := costs(store, mine, choose)) is None:
                continue
            table, _ = found
            test = crossed(table)
            out.append(
                {
                    "backbone": backbone, "choose": choose, "cost": test.value, "low": test.low,
                    "high": test.high, "p": test.p, "n": table.shape[2], "draws": table.shape[1],
                    "seeds": table.shape[0],
                }
            )  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS)


def sentence(found: pd.DataFrame) -> str:
    """On which backbones each kind of neuron costs more than random ones, in Markdown."""
    parts = list[str]()
    for choose, rows in found.groupby("choose", sort=False):
        more = list(rows.backbone[rows.low > 0])
        where = "only " * (len(more) < len(rows)) + f"on {listed([*map(plain, more)])}"
        if len(more) == len(rows) > 1:
            where = f"on all {len(rows)} backbones"
        does = "costs" if more else "does not clearly cost"
        does += " more accuracy" + " than suppressing random ones" * (not parts)
        if parts and " costs " in parts[0]:
            does = "does so" if more else "does not clearly do so"
        clause = f"suppressing {choose} neurons {does}"
        parts.append(f"{clause} {where}" if more else clause)
    said = "; ".join(parts)
    return f"**{said[:1].upper()}{said[1:]}.**" if said else ""


def numbers(found: pd.DataFrame) -> str:
    """The same in points, with intervals."""
    kinds = list[str]()
    for choose, rows in found.groupby("choose", sort=False):
        each = [
            f"{plain(r.backbone)} {_points(r.cost)} ({_points(r.low)} to {_points(r.high)})"
            for r in rows.itertuples()
        ]
        kinds.append(f"{choose} neurons: {', '.join(each)}")
    return "; ".join(kinds)


def _points(share: float) -> str:
    return f"{100 * share:z.1f}".replace("-", MINUS)
