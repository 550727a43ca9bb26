"""Intervals and tests. The statistics are scipy's; this file fixes their inputs and seeds.

scipy is imported where it is used, because it takes a second and the first page does not need it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache, cached
from jaxtyping import Bool, Float

Array = npt.NDArray[Any]
RESAMPLES = 2000
BLOCK = 2**21  # numbers held at once while examples are redrawn: 16 MB
Z = 1.959963984540054  # 95% of a normal distribution lie within so many standard deviations


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value, its 95% interval, and, for a test, its p-value."""

    value: float
    low: float
    high: float
    p: float = float("nan")

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@lru_cache(maxsize=4096)
def wilson(correct: int, n: int) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927); within [0, 1] for every n."""
    from scipy.stats import binomtest

    interval = binomtest(correct, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(lost: int, gained: int) -> float:
    """Exact two-sided p-value that as many paired answers are lost as gained (McNemar 1947)."""
    from scipy.stats import binomtest

    changed = lost + gained
    return float(binomtest(lost, changed, 0.5).pvalue) if changed else 1.0


def redrawn(
    right: Float[Array, "seed example"], *, prompts: int = 0, examples: int = 0
) -> Float[Array, " resample"]:
    """Mean of a table after resampling its seeds and its examples, both with replacement.

    `prompts` and `examples` identify them: tables with the same number are resampled jointly, so
    that the same prompts, or the same examples, are compared in pairs.
    """
    by_seed = np.concatenate(list(_weights(right.shape[0], (0, prompts))))
    parts, start = [], 0
    for by_example in _weights(right.shape[1], (1, examples)):
        end = start + len(by_example)
        parts.append(((by_seed[start:end] @ right) * by_example).sum(axis=1))
        start = end
    means: Float[Array, " resample"] = np.concatenate(parts)
    return means


def _weights(n: int, seed: tuple[int, int]) -> Iterator[Array]:
    """How often each of `n` things is drawn, as shares, `[resample thing]`, in blocks of at most
    `BLOCK` numbers; where one block is enough it is remembered.
    """
    size = max(1, min(RESAMPLES, BLOCK // n))
    if size == RESAMPLES:
        yield _small_weights(n, seed)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, RESAMPLES, size):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(size, RESAMPLES - start)) / n


@cached(LRUCache(2**26, getsizeof=lambda array: array.nbytes), lock=Lock())
def _small_weights(n: int, seed: tuple[int, int]) -> Array:
    drawn: Array = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return drawn / n


def mean_accuracy(right: Bool[Array, "seed example"]) -> Estimate:
    """Accuracy over seeds and examples. For one seed, the interval is Wilson's; for several, the
    central 95% of `redrawn`, or Wilson's for one of them if these do not vary.
    """
    value = float(right.mean())
    if len(right) == 1:
        low, high = wilson(int(right.sum()), right.shape[1])
        return Estimate(value=value, low=low, high=high)
    low, high = np.quantile(redrawn(right.astype(float)), [0.025, 0.975])
    if low == high:  # all seeds right, or all wrong, on every example: the interval of one of them
        low, high = wilson(round(value * right.shape[1]), right.shape[1])
    return Estimate(value=value, low=min(1.0, float(low)), high=min(1.0, float(high)))


def difference(a: Bool[Array, "seed example"], b: Bool[Array, "seed other"]) -> Estimate:
    """Mean of `a` minus mean of `b`: the same prompts on two sets of examples, all resampled."""
    draws = redrawn(a.astype(float)) - redrawn(b.astype(float), examples=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value=float(a.mean() - b.mean()), low=float(low), high=float(high))


def paired(differences: Float[Array, " example"]) -> Estimate:
    """Mean of paired differences, with a percentile bootstrap interval over examples and the
    p-value of a two-sided sign-flipping test (9,999 draws).
    """
    from scipy.stats import bootstrap, permutation_test

    if not differences.any():
        return Estimate(value=0.0, low=0.0, high=0.0, p=1.0)
    mean: Callable[..., Any] = np.mean
    interval = bootstrap(
        (differences,),
        mean,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    test = permutation_test(
        (differences,), mean, permutation_type="samples", vectorized=True, n_resamples=9999,
        batch=1000, rng=np.random.default_rng(0),
    )  # fmt: skip
    return Estimate(
        value=float(differences.mean()),
        low=float(interval.low),
        high=float(interval.high),
        p=float(test.pvalue),
    )


def crossed(values: Float[Array, "..."]) -> Estimate:
    """Mean of a table whose axes (prompts, draws, examples ...) are all treated as samples.

    The variance of the mean is estimated as the sum over the axes of the variance of that axis'
    means divided by its length, which is conservative; t with Satterthwaite's degrees of freedom.
    Axes of length 1 have no spread and are left out. Source: Clark 1973, quasi-F.
    """
    from scipy.stats import t

    parts = list[tuple[float, int]]()
    for axis, n in enumerate(values.shape):
        if n > 1:
            means = values.mean(axis=tuple(i for i in range(values.ndim) if i != axis))
            parts.append((float(means.var(ddof=1)) / n, n - 1))
    value, variance = float(values.mean()), sum(v for v, _ in parts)
    if variance == 0 and value == 0:
        return Estimate(value=0.0, low=0.0, high=0.0, p=1.0)
    if variance == 0:  # too few samples to estimate the variance
        return Estimate(value=value, low=math.nan, high=math.nan, p=1.0)
    freedom = variance**2 / sum(v**2 / n for v, n in parts)
    error = math.sqrt(variance)
    half = float(t.ppf(0.975, freedom)) * error
    p = 2 * float(t.sf(abs(value) / error, freedom))
    return Estimate(value=value, low=value - half, high=value + half, p=p)


def holm(p: Float[Array, " test"]) -> Float[Array, " test"]:
    """Holm-adjusted p-values of several tests of one question."""
    order = np.argsort(p)
    steps = (len(p) - np.arange(len(p))) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


FEWEST_CLUSTERS = 6


def over_clusters(
    cluster: Sequence[object], of: Callable[[npt.NDArray[np.intp]], float]
) -> Estimate:
    """A statistic of the rows at some places, with its 95% interval from leaving out one cluster
    at a time: value -/+ t x the jackknife's standard error, with one degree of freedom less than
    clusters. Of a mean of equally large clusters this is the t interval of their means. No interval
    below six clusters, or where the statistic is undefined without one of them.

    Percentiles of redrawn clusters are too narrow for so few. Source: Tukey 1958.
    """
    from scipy.stats import t

    names = np.array([str(name) for name in cluster])
    every = list(dict.fromkeys(names.tolist()))
    value = of(np.arange(len(names))) if len(names) else math.nan
    if len(every) < FEWEST_CLUSTERS or not math.isfinite(value):
        return Estimate(value=value, low=math.nan, high=math.nan)
    left = np.array([of(np.flatnonzero(names != name)) for name in every])
    k = len(every)
    error = math.sqrt((k - 1) / k * float(((left - left.mean()) ** 2).sum()))
    half = float(t.ppf(0.975, k - 1)) * error
    return Estimate(value=value, low=value - half, high=value + half)
