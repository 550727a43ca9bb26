"""Does a backbone keep its skill neurons on adversarial data? One table per figure.

Every function takes the sweeps by backbone and returns only what is stored. It has two baselines:
chance overlap, of two independent selections of neurons, and the permutation null, with shuffled
adversarial labels. The permutation null is the fairer one: some neurons fire almost always and
others almost never, whatever the labels are, and this alone makes rankings similar.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.specs import key
from core.figures import queries
from core.figures.rankings import Shared, compare, mean_of
from core.figures.robustness.accuracy import ADVERSARIAL, CLEAN, Sweeps
from core.measures.predictivity import PredictivitySpec
from core.measures.stability import StabilitySpec, as_array
from core.measures.sweeps import PAPER_FRACTIONS
from core.stats.intervals import Z, holm
from core.stats.neurons import Ranking, count, percentiles
from core.store import Store

Array = npt.NDArray[Any]


def stored_ranking(store: Store, specs: Sequence[PredictivitySpec]) -> Ranking | None:
    """Seed-mean predictivity; None until all of it is stored."""
    if len(store.known(key(s) for s in specs)) < len({key(s) for s in specs}):
        return None
    return mean_of(store, specs)


def _both(store: Store, sweeps: Sweeps) -> list[tuple[str, Ranking, Ranking]]:
    """The clean and the adversarial ranking of every backbone that has both."""
    found = list[tuple[str, Ranking, Ranking]]()
    for backbone, sweep in sweeps.items():
        clean, adversarial = (
            stored_ranking(store, sweep.clean),
            stored_ranking(store, sweep.adversarial),
        )
        if clean is not None and adversarial is not None:
            found.append((backbone, clean, adversarial))
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """A stored `Stability`: arrays over its draws, Spearman averaged over the layers."""

    kind: Array
    attack: Array
    spearman: Array
    skill: Array
    shared: Array
    median: Array
    fractions: tuple[float, ...]
    n_clean: int
    n_adversarial: int
    seeds: int

    def of(self, kind: str, attack: str = "") -> Array:
        """Whether each draw is of this kind and attack."""
        which: Array = (self.kind == kind) & (self.attack == attack)
        return which

    def share(self, fraction: float) -> Array:
        """Share of the first ranking's skill neurons shared with the second, over all layers."""
        at = self.fractions.index(fraction)
        shares: Array = self.shared[:, at].sum(axis=1) / np.maximum(
            1, self.skill[:, at].sum(axis=1)
        )
        return shares


def stored_draws(store: Store, spec: StabilitySpec) -> Draws | None:
    """The stored draws; None until they are stored."""
    rows = store.frame("SELECT * FROM stability WHERE key = ?", [key(spec)])
    if rows.empty:
        return None
    row = rows.iloc[0]
    by_layer = as_array(row.spearman)  # NaN where a ranking is constant
    known = np.isfinite(by_layer)
    total = np.where(known, by_layer, 0).sum(axis=1)
    spearman = np.where(known.any(axis=1), total / known.sum(axis=1).clip(min=1), math.nan)
    return Draws(
        kind=np.array(row.kind), attack=np.array(row.attack), spearman=spearman,
        skill=as_array(row.skill), shared=as_array(row.shared), median=as_array(row["median"]),
        fractions=tuple(row.fractions), n_clean=int(row.n_clean),
        n_adversarial=int(row.n_adversarial), seeds=int(row.prompts),
    )  # fmt: skip


def permutation_null(value: float, shuffled: Array) -> dict[str, float]:
    """The permutation null: mean, 95% range, and the probability of at least `value`."""
    known = shuffled[np.isfinite(shuffled)]
    if not len(known):
        return dict.fromkeys(NULL, math.nan)
    low, high = np.quantile(known, [0.025, 0.975])
    reached = int((known >= value - 1e-12).sum())
    return {
        "shuffled": float(known.mean()), "shuffled_low": float(low), "shuffled_high": float(high),
        "p": (1 + reached) / (1 + len(known)) if math.isfinite(value) else math.nan,
    }  # fmt: skip


def split_control(parts: Array, mixed: Array) -> dict[str, float]:
    """The split control, two disjoint parts of the clean data: mean with true and with shuffled
    labels, and the p-value of the former under the latter.
    """
    if not len(parts):
        return dict.fromkeys(CONTROL, math.nan)
    null = permutation_null(float(parts.mean()), mixed)
    return {"control": float(parts.mean()), "control_shuffled": null["shuffled"],
            "control_p": null["p"]}  # fmt: skip


NULL = ["shuffled", "shuffled_low", "shuffled_high", "p"]
CONTROL = ["control", "control_shuffled", "control_p"]
CHANCE = ["chance", "chance_low", "chance_high", "p_chance"]


def _chance(pair: Shared) -> dict[str, float]:
    """Chance overlap of two independent selections, as shares of the first."""
    return {
        "chance": pair.of(pair.chance.mean), "chance_low": pair.of(pair.chance.low),
        "chance_high": pair.of(pair.chance.high), "p_chance": pair.p,
    }  # fmt: skip


def overlap(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """Overlap of skill neurons per backbone and fraction, over all layers together.

    asked (neurons in that fraction of each layer), chosen (clean skill neurons, at most asked),
    adversarial (skill neurons), shared, share (of chosen), error (bootstrap), low and high (1.96
    errors around share);
    shuffled, shuffled_low, shuffled_high (permutation null with shuffled adversarial labels, mean
    and 95%), p (under that null);
    control, control_shuffled, control_p (split control: two disjoint parts of the clean data);
    chance, chance_low, chance_high (chance overlap, hypergeometric), p_chance.
    """
    out = list[dict[str, object]]()
    for backbone, clean, adversarial in _both(store, sweeps):
        draws = stored_draws(store, sweeps[backbone].stability)
        layers, width = clean.values.shape
        for fraction in PAPER_FRACTIONS[1:]:
            pair = compare(clean.top(fraction), adversarial.top(fraction))
            if pair.first == 0:
                continue
            shares = {
                kind: draws.share(fraction)[draws.of(kind)] if draws else np.empty(0)
                for kind in ("bootstrap", "control", "control shuffled", "shuffled")
            }
            error = float(shares["bootstrap"].std(ddof=1)) if draws else math.nan
            out.append(
                {
                    "backbone": backbone, "fraction": fraction,
                    "asked": layers * count(width, fraction), "chosen": pair.first,
                    "adversarial": pair.second, "shared": pair.shared, "share": pair.share,
                    "error": error, "low": np.maximum(0.0, pair.share - Z * error),
                    "high": np.minimum(1.0, pair.share + Z * error),
                    **permutation_null(pair.share, shares["shuffled"]),
                    **split_control(shares["control"], shares["control shuffled"]), **_chance(pair),
                }
            )  # fmt: skip
    names = "backbone fraction asked chosen adversarial shared share error low high"
    return pd.DataFrame(out, columns=[*names.split(), *NULL, *CONTROL, *CHANCE])


def overlap_by_layer(store: Store, sweeps: Sweeps, fraction: float) -> pd.DataFrame:
    """Overlap of skill neurons per backbone and layer at one fraction: chosen (clean ones),
    adversarial (skill neurons), shared, share (of chosen; NaN if none), and, as in `overlap`, the
    permutation null and chance overlap of each layer; p-values are not adjusted.
    """
    out = list[dict[str, object]]()
    for backbone, clean, adversarial in _both(store, sweeps):
        draws = stored_draws(store, sweeps[backbone].stability)
        first, second = clean.top(fraction), adversarial.top(fraction)
        for layer in range(len(first)):
            pair = compare(first[layer][None], second[layer][None])
            share, null = pair.share if pair.first else math.nan, np.empty(0)
            if draws:
                at = draws.of("shuffled"), draws.fractions.index(fraction), layer
                null = draws.shared[at] / np.maximum(1, draws.skill[at])
            out.append(
                {
                    "backbone": backbone, "layer": layer, "chosen": pair.first,
                    "adversarial": pair.second, "shared": pair.shared, "share": share,
                    **permutation_null(share, null), **_chance(pair),
                }
            )  # fmt: skip
    names = ["backbone", "layer", "chosen", "adversarial", "shared", "share", *NULL, *CHANCE]
    return pd.DataFrame(out, columns=names)


def rank_percentiles(
    store: Store, sweeps: Sweeps, fraction: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank percentiles of the clean skill neurons in their layers on adversarial data.

    The first table has one row per such neuron: backbone, layer, neuron, percentile in (0, 1),
    clean and adversarial (its predictivities). The second has one row per backbone: median (of the
    percentiles) and its permutation null, as in `overlap`.
    """
    out, medians = list[pd.DataFrame](), list[dict[str, object]]()
    for backbone, clean, adversarial in _both(store, sweeps):
        mask, percentile = clean.top(fraction), percentiles(adversarial.values)
        if not mask.any():
            continue
        draws = stored_draws(store, sweeps[backbone].stability)
        layer, neuron = np.nonzero(mask)
        out.append(
            pd.DataFrame(
                {
                    "backbone": backbone, "layer": layer, "neuron": neuron,
                    "percentile": percentile[mask], "clean": clean.values[mask],
                    "adversarial": adversarial.values[mask],
                }
            )
        )  # fmt: skip
        median, null = float(np.median(percentile[mask])), np.empty(0)
        if draws:
            null = draws.median[draws.of("shuffled"), draws.fractions.index(fraction)]
        medians.append({"backbone": backbone, "median": median, **permutation_null(median, null)})
    names = ["backbone", "layer", "neuron", "percentile", "clean", "adversarial"]
    table = pd.concat(out) if out else pd.DataFrame(columns=names)
    return table, pd.DataFrame(medians, columns=["backbone", "median", *NULL])


def stability(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """Spearman of clean and adversarial predictivities per backbone (mean over layers), with all
    adversarial examples (attack empty) and with those of each kind of attack.

    spearman; shuffled, shuffled_low, shuffled_high, p (with shuffled adversarial labels, as in
    `overlap`); and, with all examples, error (standard deviation over redrawn examples and seeds),
    low and high (1.96 errors around spearman), control, control_shuffled, control_p (as in
    `overlap`); n_clean, n_adversarial, seeds, replicates, permutations.

    Replicates are lower on average than the value itself, because resampling adds noise to
    predictivities; their spread is therefore used, not their quantiles.
    """
    out = list[dict[str, object]]()
    for backbone, sweep in sweeps.items():
        draws = stored_draws(store, sweep.stability)
        if draws is None:
            continue
        again, parts, mixed = (
            draws.spearman[draws.of(kind)] for kind in ("bootstrap", "control", "control shuffled")
        )
        for attack in dict.fromkeys(draws.attack.tolist()):
            value = float(draws.spearman[draws.of("measured", attack)][0])
            error = math.nan if attack else float(again.std(ddof=1))
            none = np.empty(0)
            out.append(
                {
                    "backbone": backbone, "attack": attack, "spearman": value, "error": error,
                    "low": np.maximum(-1.0, value - Z * error),
                    "high": np.minimum(1.0, value + Z * error),
                    **permutation_null(value, draws.spearman[draws.of("shuffled", attack)]),
                    **split_control(none if attack else parts, mixed),
                    "n_clean": draws.n_clean, "n_adversarial": draws.n_adversarial,
                    "seeds": draws.seeds, "replicates": len(again),
                    "permutations": int(draws.of("shuffled").sum()),
                }
            )  # fmt: skip
    names = "n_clean n_adversarial seeds replicates permutations".split()  # noqa: SIM905
    first = ["backbone", "attack", "spearman", "error", "low", "high"]
    return pd.DataFrame(out, columns=[*first, *NULL, *CONTROL, *names])


def by_attack(store: Store, sweeps: Sweeps, fraction: float) -> pd.DataFrame:
    """Overlap and rank percentiles on the adversarial examples of one kind of attack: backbone,
    attack, measure (`share` of shared neurons or `median` rank percentile), value, and, as in
    `overlap`, the permutation null; p_holm over the attacks of a backbone and measure.
    """
    out = list[pd.DataFrame]()
    for backbone, sweep in sweeps.items():
        draws = stored_draws(store, sweep.stability)
        kinds = [k for k in dict.fromkeys(draws.attack.tolist()) if k] if draws else []
        if draws is None or not kinds or not draws.skill[:, draws.fractions.index(fraction)].any():
            continue
        values = {
            "share": draws.share(fraction),
            "median": draws.median[:, draws.fractions.index(fraction)],
        }
        for measure, found in values.items():
            rows = []
            for attack in kinds:
                value = float(found[draws.of("measured", attack)][0])
                null = permutation_null(value, found[draws.of("shuffled", attack)])
                rows.append({"backbone": backbone, "attack": attack, "measure": measure,
                             "value": value, **null})  # fmt: skip
            table = pd.DataFrame(rows)
            out.append(table.assign(p_holm=holm(table.p.to_numpy(np.float64))))
    names = ["backbone", "attack", "measure", "value", *NULL, "p_holm"]
    return pd.concat(out) if out else pd.DataFrame(columns=names)


def ranked(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """Every neuron's seed-mean predictivities: backbone, layer, neuron, clean, adversarial, and the
    majority-class accuracies. Overlap, rank percentiles and Spearman are computed from them.
    """
    out = list[pd.DataFrame]()
    for backbone, clean, adversarial in _both(store, sweeps):
        layer, neuron = np.indices(clean.values.shape).reshape(2, -1)
        out.append(
            pd.DataFrame(
                {
                    "backbone": backbone, "layer": layer, "neuron": neuron,
                    "clean": clean.values.ravel(), "clean_majority": clean.least,
                    "adversarial": adversarial.values.ravel(),
                    "adversarial_majority": adversarial.least,
                }
            )
        )  # fmt: skip
    names = "backbone layer neuron clean clean_majority adversarial adversarial_majority"
    return pd.concat(out) if out else pd.DataFrame(columns=names.split())


def discoveries(store: Store, sweeps: Sweeps) -> pd.DataFrame:
    """Neurons that exceed the permutation null: backbone, data, neurons, discoveries (false
    discovery rate of 5%) and certain (family-wise error of 5%), as shares of the neurons and
    means over seeds; n, seeds.
    """
    parts = []
    for backbone, sweep in sweeps.items():
        for data, specs in ((CLEAN, sweep.clean), (ADVERSARIAL, sweep.adversarial)):
            if stored_ranking(store, specs) is not None:
                boxes = queries.predictivity_boxes(store, specs)
                parts.append(boxes.assign(backbone=backbone, data=data))
    names = ["backbone", "data", "neurons", "discoveries", "certain", "n", "seeds"]
    return pd.concat(parts)[names] if parts else pd.DataFrame(columns=names)
