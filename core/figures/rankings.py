"""Rankings of neurons compared, one table per figure; every function names its columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.figures import queries
from core.measures.sweeps import PAPER_FRACTIONS
from core.stats.correlation import spearman
from core.stats.neurons import Chance, Ranking, chance_overlap, percentiles
from core.store import Store

Mask = npt.NDArray[np.bool_]
NAMES = {"skill": "skill neurons", "causal": "causal neurons"}
MOST_POINTS = 4000  # of neurons that are skill neurons of neither


def by_prompt(store: Store, specs: queries.Rankable) -> list[Ranking]:
    """The ranking of each stored prompt, in the order of seeds, averaged over binary questions."""
    return list(queries.rankings(store, specs, by_seed=True).values())


def mean_of(store: Store, specs: queries.Rankable) -> Ranking | None:
    """Seed-mean ranking over the stored measurements; None if there are none."""
    return next(iter(queries.rankings(store, specs).values()), None)


def layer_shares(
    store: Store, specs: Mapping[str, queries.Rankable], fraction: float
) -> pd.DataFrame:
    """Share of the whole model's top `fraction` in each layer, per backbone and layer: count and
    share (by the seed-mean ranking), low and high (over the seeds' own rankings), even (the share
    if all layers had equally many), seeds.
    """
    out = list[pd.DataFrame]()
    for backbone, asked in specs.items():
        mean, seeds = mean_of(store, asked), by_prompt(store, asked)
        if mean is None:
            continue
        counts = mean.top(fraction, scope="model").sum(axis=1)
        each = np.stack([_shares(v.top(fraction, scope="model")) for v in seeds])
        layers = len(counts)
        out.append(
            pd.DataFrame(
                {
                    "backbone": backbone, "layer": np.arange(layers),
                    "share": counts / max(1, counts.sum()), "count": counts,
                    "low": each.min(axis=0), "high": each.max(axis=0), "even": 1 / layers,
                    "seeds": len(seeds),
                }
            )
        )  # fmt: skip
    names = ["backbone", "layer", "share", "count", "low", "high", "even", "seeds"]
    return pd.concat(out) if out else pd.DataFrame(columns=names)


def _shares(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Share of the chosen neurons in each layer."""
    shares: npt.NDArray[np.float64] = mask.sum(axis=1) / max(1, mask.sum())
    return shares


def pair(first: Ranking, second: Ranking, fraction: float) -> pd.DataFrame:
    """Every neuron in two rankings: layer, neuron, first and second (their values), x and y (rank
    percentiles in the layer), and kind (skill neuron of `both`, `first only`, `second only`,
    `neither`). For large models, `neither` is a fixed sample.
    """
    a, b = first.top(fraction), second.top(fraction)
    layer, neuron = np.indices(a.shape).reshape(2, -1)
    kinds = np.select([a & b, a, b], ["both", "first only", "second only"], "neither").ravel()
    table = pd.DataFrame(
        {
            "layer": layer, "neuron": neuron, "first": first.values.ravel(),
            "second": second.values.ravel(), "x": percentiles(first.values).ravel(),
            "y": percentiles(second.values).ravel(), "kind": kinds,
        }
    )  # fmt: skip
    rest = table[table.kind == "neither"]
    if len(rest) <= MOST_POINTS:
        return table
    return pd.concat([table[table.kind != "neither"], rest.sample(MOST_POINTS, random_state=0)])


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Sizes of two choices of neurons and of their intersection, with the chance overlap."""

    shared: int
    first: int
    second: int
    chance: Chance

    @property
    def share(self) -> float:
        """Share of the first choice that is also in the second; 0 if the first is empty."""
        return self.shared / max(1, self.first)

    @property
    def p(self) -> float:
        """Probability of at least this overlap by chance."""
        return self.chance.p(self.shared)

    def of(self, neurons: float) -> float:
        """A number of neurons as a share of the first choice."""
        return neurons / max(1, self.first)


def compare(first: Mask, second: Mask) -> Shared:
    """Overlap of two choices, `[layer neuron]`, over all layers together."""
    chance = chance_overlap(first.shape[1], first.sum(axis=1), second.sum(axis=1))
    return Shared(
        shared=int((first & second).sum()),
        first=int(first.sum()),
        second=int(second.sum()),
        chance=chance,
    )


def shared(rankings: Mapping[str, Ranking], fraction: float) -> pd.DataFrame:
    """Overlap of skill neurons for each pair of tasks (task_a, task_b), over all layers together:
    shared, chosen (skill neurons of task_a), share (of these), chance, p (chance overlap).
    """
    out = list[dict[str, object]]()
    masks = {task: ranking.top(fraction) for task, ranking in rankings.items()}
    for a, first in masks.items():
        for b, second in masks.items():
            pair = compare(first, second)
            out.append(
                {
                    "task_a": a, "task_b": b, "shared": pair.shared, "chosen": pair.first,
                    "share": pair.share, "chance": pair.of(pair.chance.mean), "p": pair.p,
                }
            )  # fmt: skip
    names = ["task_a", "task_b", "shared", "chosen", "share", "chance", "p"]
    return pd.DataFrame(out, columns=names)


def stability(store: Store, specs: Mapping[str, queries.Rankable]) -> pd.DataFrame:
    """Overlap of one seed's skill neurons with another's, per backbone and fraction:
    share (mean over ordered pairs of seeds), low and high (lowest and highest pair), all (shared by
    every seed), chance (mean over the pairs), chosen (mean over the seeds), seeds, pairs.
    """
    out = list[dict[str, object]]()
    for backbone, asked in specs.items():
        seeds = by_prompt(store, asked)
        if len(seeds) < 2:
            continue
        for fraction in PAPER_FRACTIONS[1:]:
            masks = [v.top(fraction) for v in seeds]
            chosen = float(np.mean([m.sum() for m in masks]))
            if chosen == 0:
                continue
            pairs = [compare(a, b) for a, b in permutations(masks, 2)]
            shares = [p.share for p in pairs]
            out.append(
                {
                    "backbone": backbone, "fraction": fraction, "share": float(np.mean(shares)),
                    "low": min(shares), "high": max(shares),
                    "all": np.logical_and.reduce(masks).sum() / chosen,
                    "chance": float(np.mean([p.of(p.chance.mean) for p in pairs])),
                    "chosen": chosen, "seeds": len(seeds), "pairs": len(pairs) // 2,
                }
            )  # fmt: skip
    names = "backbone fraction share low high all chance chosen seeds pairs".split()  # noqa: SIM905
    return pd.DataFrame(out, columns=names)


def by_layer(first: Mapping[str, Ranking], second: Mapping[str, Ranking]) -> pd.DataFrame:
    """Spearman correlation of two rankings of the same neurons, per backbone (of those that have
    both) and layer: spearman, neurons. NaN where one of them is constant.
    """
    out = [
        {"backbone": backbone, "layer": layer, "spearman": rho, "neurons": values.shape[1]}
        for backbone, values in ((b, r.values) for b, r in first.items() if b in second)
        for layer, rho in enumerate(spearman(values, second[backbone].values))
    ]
    return pd.DataFrame(out, columns=["backbone", "layer", "spearman", "neurons"])
