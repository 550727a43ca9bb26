"""Prompts in the plane, and how well the plane keeps neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.prompts import Dead, Prompt, never
from core.figures.indicators import LIVE
from core.stats.similarity import cosine_average
from core.store import Store

Array = npt.NDArray[Any]
Method = Literal["PCA", "t-SNE"]
FEWEST = 4  # prompts of a map


@dataclass(frozen=True, kw_only=True, eq=False)
class Map:
    """Places in the plane; `kept`: how well neighbours are kept (trustworthiness, 1 at best; NaN
    for too few); `variance`: share of the variance that two principal components hold (NaN for
    t-SNE).
    """

    places: npt.NDArray[np.float64]
    kept: float
    variance: float


def plane(products: Array, method: Method) -> Map:
    """Prompts in the plane, from the inner products `[prompt other]` of their mean unit vectors
    (`cosine_average`).
    """
    from sklearn.decomposition import KernelPCA
    from sklearn.manifold import TSNE, trustworthiness

    n = len(products)
    squares = np.diag(products)[:, None] + np.diag(products)[None] - 2 * products
    distances = np.sqrt(np.maximum(squares, 0))
    variance = float("nan")
    if method == "PCA":
        pca = KernelPCA(kernel="precomputed")
        found = pca.fit_transform(products)
        places = np.hstack([found, np.zeros((n, 2))])[:, :2]
        total = float(pca.eigenvalues_.sum())  # 0 if all prompts are one
        variance = float(pca.eigenvalues_[:2].sum()) / total if total > 0 else 1.0
    else:
        places = TSNE(
            metric="precomputed", init="random", perplexity=min(15.0, (n - 1) / 3), random_state=0
        ).fit_transform(distances)
    neighbours = min(5, (n - 1) // 2)
    kept = float("nan")
    if neighbours:
        kept = trustworthiness(distances, places, n_neighbors=neighbours, metric="precomputed")
    return Map(places=np.asarray(places, np.float64), kept=float(kept), variance=variance)


def of_prompts(
    store: Store,
    prompts: Sequence[Prompt],
    titles: Mapping[str, str],
    categories: Mapping[str, str],
    method: Method,
    dead: Dead = never,
) -> pd.DataFrame:
    """The stored ones among the prompts in the plane: x, y, task (title), category, seed, and for
    the whole map kept and variance; `categories` by title. Empty for fewer than four. The first
    vectors of `dead` ones are left out.
    """
    known = [found for p in prompts if (found := store.read(p)) is not None]
    tasks = [titles.get(p.spec.source_task, p.spec.source_task) for p in known]
    vectors = [p.array[int(dead(p.spec)) :] for p in known]
    products = cosine_average(vectors) if vectors else np.empty((0, 0))
    return _map(products, tasks, [p.spec.seed for p in known], categories, method)


def of_likeness(
    likeness: pd.DataFrame, categories: Mapping[str, str], method: Method
) -> pd.DataFrame:
    """As `of_prompts`, from the rows of one backbone, which hold each prompt with itself."""
    live = likeness.indicator == "cosine_average" + LIVE
    mine = likeness[live if live.any() else likeness.indicator == "cosine_average"]
    products = mine.pivot(index="source_task", columns="target_task", values="value")
    products = products.reindex(columns=products.index)
    return _map(
        products.to_numpy(), list(products.index), ["none"] * len(products), categories, method
    )


def _map(
    products: Array,
    tasks: Sequence[str],
    seeds: Sequence[object],
    categories: Mapping[str, str],
    method: Method,
) -> pd.DataFrame:
    names = "x y task category seed kept variance".split()  # noqa: SIM905
    if len(products) < FEWEST:
        return pd.DataFrame(columns=names)
    found = plane(products, method)
    return pd.DataFrame(
        {
            "x": found.places[:, 0], "y": found.places[:, 1], "task": tasks,
            "category": [categories.get(t, "other") for t in tasks], "seed": seeds,
            "kept": found.kept, "variance": found.variance,
        }
    )[names]  # fmt: skip
