"""Rankings of neurons compared, one table per figure; every function names its columns."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from core import queries
from core.neurons import count
from core.specs import PredictivitySpec, key
from core.statistics import chance_overlap, chosen, percentiles
from core.store import Store
from core.sweeps import PAPER_FRACTIONS

Values = npt.NDArray[np.float64]
MOST_POINTS = 4000  # of neurons that are skill neurons of neither


def by_seed(store: Store, specs: Sequence[PredictivitySpec]) -> dict[int, Values]:
    """Predictivity [layer, neuron] of each stored seed; several binary questions are averaged."""
    rows = store.frame(
        "SELECT p.seed, n.layer, n.neuron, avg(n.predictivity) AS value FROM neuron n"
        " JOIN predictivity p USING (key) WHERE p.key IN ? GROUP BY ALL ORDER BY ALL",
        [[key(s) for s in specs]],
    )
    return {
        int(str(seed)): part.value.to_numpy(np.float64).reshape(part.layer.nunique(), -1)
        for seed, part in rows.groupby("seed")
    }


def mean_of(store: Store, specs: Sequence[PredictivitySpec]) -> Values | None:
    """Seed-mean predictivity [layer, neuron] of what is stored; None if nothing is."""
    return next(iter(queries.rankings(store, specs).values()), None)


def layer_shares(
    store: Store, specs: Mapping[str, Sequence[PredictivitySpec]], fraction: float
) -> pd.DataFrame:
    """In which layers the top `fraction` of the whole model lies, per backbone and layer: count and
    share (by the seeds' mean ranking), low and high (over the seeds' own rankings), even (as much
    in each layer), seeds.
    """
    out = list[pd.DataFrame]()
    for backbone, asked in specs.items():
        mean, seeds = mean_of(store, asked), by_seed(store, asked)
        if mean is None:
            continue
        k = count(mean.size, fraction)

        def shares(values: Values, k: int = k) -> Values:
            found = chosen(values.reshape(1, -1), k).reshape(values.shape)
            share: Values = found.sum(axis=1) / max(1, k)
            return share

        each = np.stack([shares(v) for v in seeds.values()])
        out.append(
            pd.DataFrame(
                {
                    "backbone": backbone, "layer": np.arange(len(mean)), "share": shares(mean),
                    "count": np.rint(shares(mean) * k).astype(int), "low": each.min(axis=0),
                    "high": each.max(axis=0), "even": 1 / len(mean), "seeds": len(seeds),
                }
            )
        )  # fmt: skip
    names = ["backbone", "layer", "share", "count", "low", "high", "even", "seeds"]
    return pd.concat(out) if out else pd.DataFrame(columns=names)


def pair(first: Values, second: Values, fraction: float) -> pd.DataFrame:
    """Every neuron by two rankings (layer, neuron, first, second: predictivities; x, y: places in
    the layer) and kind: skill neuron of `both`, `first only`, `second only`, `neither`. Of large
    models' `neither` a fixed sample.
    """
    k = count(first.shape[1], fraction)
    a, b = chosen(first, k), chosen(second, k)
    layer, neuron = np.divmod(np.arange(first.size), first.shape[1])
    kinds = np.select([a & b, a, b], ["both", "first only", "second only"], "neither").ravel()
    table = pd.DataFrame(
        {
            "layer": layer, "neuron": neuron, "first": first.ravel(), "second": second.ravel(),
            "x": percentiles(first).ravel(), "y": percentiles(second).ravel(), "kind": kinds,
        }
    )  # fmt: skip
    rest = table[table.kind == "neither"]
    if len(rest) <= MOST_POINTS:
        return table
    return pd.concat([table[table.kind != "neither"], rest.sample(MOST_POINTS, random_state=0)])


def shared(rankings: Mapping[str, Values], fraction: float) -> pd.DataFrame:
    """Shared skill neurons of each pair of tasks (task_a, task_b), all layers together: shared,
    chosen, share, chance, p (at least so many by chance). A task with itself shares all.
    """
    out = list[dict[str, object]]()
    for a, first in rankings.items():
        layers, width = first.shape
        k = count(width, fraction)
        chance = chance_overlap(width, np.full(layers, k))
        for b, second in rankings.items():
            both = int((chosen(first, k) & chosen(second, k)).sum())
            total = max(1, layers * k)
            out.append(
                {
                    "task_a": a, "task_b": b, "shared": both, "chosen": layers * k,
                    "share": both / total, "chance": chance.mean / total, "p": chance.p(both),
                }
            )  # fmt: skip
    names = ["task_a", "task_b", "shared", "chosen", "share", "chance", "p"]
    return pd.DataFrame(out, columns=names)


def stability(store: Store, specs: Mapping[str, Sequence[PredictivitySpec]]) -> pd.DataFrame:
    """How many skill neurons of one seed's prompt are another's, per backbone and fraction: share
    (mean over pairs of seeds), low and high (lowest and highest pair), all (in every seed), chance
    (of a pair), seeds, pairs.
    """
    out = list[dict[str, object]]()
    for backbone, asked in specs.items():
        seeds = list(by_seed(store, asked).values())
        if len(seeds) < 2:
            continue
        for fraction in PAPER_FRACTIONS[1:]:
            k = count(seeds[0].shape[1], fraction)
            if k == 0:
                continue
            masks, total = [chosen(v, k) for v in seeds], k * len(seeds[0])
            pairs = [
                (masks[i] & masks[j]).sum() / total
                for i in range(len(masks))
                for j in range(i + 1, len(masks))
            ]
            out.append(
                {
                    "backbone": backbone, "fraction": fraction, "share": float(np.mean(pairs)),
                    "low": min(pairs), "high": max(pairs),
                    "all": np.logical_and.reduce(masks).sum() / total,
                    "chance": k / seeds[0].shape[1], "seeds": len(seeds), "pairs": len(pairs),
                }
            )  # fmt: skip
    names = ["backbone", "fraction", "share", "low", "high", "all", "chance", "seeds", "pairs"]
    return pd.DataFrame(out, columns=names)
