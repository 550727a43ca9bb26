"""The verdict of the Robustness page, and the numbers behind it, in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.base.markdown import plain
from core.figures.robustness.accuracy import (
    ADVERSARIAL,
    CLEAN,
    accuracy,
    accuracy_drops,
    both_kinds,
    drop_difference,
)
from core.figures.words import in_points, interval, p_value, points, positive, two
from core.stats.intervals import Estimate, Z


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The tables behind the verdict, named after the functions that make them."""

    answers: pd.DataFrame
    paired_tests: pd.DataFrame
    discoveries: pd.DataFrame
    overlap: pd.DataFrame
    stability: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The results in Markdown: the verdict, then a paragraph per backbone.

    `verdict` says how the results relate to the claim: `agrees`, `contradicts`, `no difference`
    (one model is more robust, but its overlap is not larger), `not tested` (no model is more
    robust) or `open` (not two backbones, missing answers, or an uninformative measure).
    """

    lead: str
    backbones: tuple[str, ...]
    verdict: str


def summarise(numbers: Numbers, *, backbones: Sequence[str], fraction: float) -> Summary:
    """State the results in words, with the overlap at one fraction; `backbones` are those asked
    about, whether or not their answers are stored.
    """
    agree = numbers.stability[numbers.stability.attack == ""].set_index("backbone")
    answered, parts = both_kinds(numbers.answers), list[str]()
    drops, accuracies = accuracy_drops(answered), accuracy(answered)
    for backbone, drop in drops.items():
        tests = numbers.paired_tests[
            (numbers.paired_tests.backbone == backbone) & (numbers.paired_tests.attack == "")
        ]
        sentences = [
            _drop(accuracies, backbone, drop),
            _discovered(numbers.discoveries[numbers.discoveries.backbone == backbone]),
            _shared(numbers.overlap, agree, backbone, fraction),
            _suppressed(tests),
        ]
        parts.append(" ".join(s for s in sentences if s))
    mine = numbers.overlap[numbers.overlap.fraction == fraction].set_index("backbone")
    verdict, lead = _verdict(numbers.answers, mine, backbones)
    return Summary(lead=lead, backbones=tuple(parts), verdict=verdict)


def _drop(accuracies: pd.DataFrame, backbone: str, drop: Estimate) -> str:
    overall = accuracies[accuracies.attack == ""].set_index(["backbone", "data"]).accuracy
    way = "drops" if drop.value >= 0 else "rises"
    return (
        f"**{plain(backbone)}**: accuracy {way} from {overall[backbone, CLEAN]:.3f} on clean data "
        f"to {overall[backbone, ADVERSARIAL]:.3f} on adversarial data "
        f"({in_points(positive(drop))})."
    )


def _discovered(found: pd.DataFrame) -> str:
    """How many neurons exceed the permutation null on either kind of data."""
    if len(found) < 2:
        return ""
    rows = found.set_index("data")
    clean, attacked = rows.loc[CLEAN], rows.loc[ADVERSARIAL]
    fewer = " (fewer examples give less power)" if attacked.n < clean.n else ""
    return (
        f"On {clean.n} clean examples, {clean.discoveries:.0%} of neurons exceed the permutation "
        f"null; on {attacked.n} adversarial examples, {attacked.discoveries:.0%} do{fewer}."
    )


def _shared(overlaps: pd.DataFrame, agree: pd.DataFrame, backbone: str, fraction: float) -> str:
    parts = list[str]()
    mine = overlaps[(overlaps.backbone == backbone) & (overlaps.fraction == fraction)]
    if len(mine):
        o = mine.iloc[0]
        beside = f"chance overlap: {o.chance:.0%}"
        if math.isfinite(o.p):
            beside = (
                f"permutation null {o.shuffled:.0%}, {p_value(o.p)}; split control "
                f"{o.control:.0%}, its permutation null {o.control_shuffled:.0%}"
            )
        parts.append(
            f"Of its top {fraction:.0%} of neurons on clean data, {o.share:.0%} are also top "
            f"neurons on adversarial data ({beside})."
        )
    if backbone in agree.index and math.isfinite(agree.loc[backbone].spearman):
        a = agree.loc[backbone]
        parts.append(
            f"Over all neurons, clean and adversarial predictivities correlate at "
            f"{two(a.spearman)} (Spearman, 95% interval {two(a.low)} to {two(a.high)}; "
            f"permutation null {two(a.shuffled)}, {p_value(a.p)})."
        )
    return " ".join(parts)


def _suppressed(tests: pd.DataFrame) -> str:
    """The accuracy cost of suppressing clean skill neurons, on clean data first: without a cost
    there, an attack has no skill to disrupt.
    """
    mine = tests[tests.found == CLEAN]
    if mine.empty:
        return ""
    parts = [f"{_cost(row)} on {row.tested} data" for row in mine.itertuples()]
    return (
        "Suppressing its clean skill neurons instead of random ones (mean over 1 to 15% of each "
        f"layer) {' and '.join(parts)}."
    )


def _cost(row: Any) -> str:
    test = f"{points(row.cost)} points, {p_value(row.p_holm)}"
    if row.p_holm > 0.05:
        return f"makes no significant difference ({test})"
    return f"costs {'more' if row.cost > 0 else 'less'} accuracy ({test})"


def _verdict(
    rows: pd.DataFrame, overlap: pd.DataFrame, backbones: Sequence[str]
) -> tuple[str, str]:
    """The claim: the more robust model keeps more of its skill neurons. `overlap` holds one
    fraction, indexed by backbone.
    """
    counts = rows.groupby(["backbone", "data"]).prompt.nunique().unstack("data")
    counts = counts.reindex(index=list(backbones), columns=[CLEAN, ADVERSARIAL])
    if why := _cannot_judge(counts, overlap, backbones):
        return "open", why
    alone = ""
    if counts.min(axis=None) == 1:
        alone = " Results from a single prompt do not generalize to other prompts."
    first, second = backbones
    drop = drop_difference(rows, first, second)
    if not drop.certain:
        return "not tested", (
            "The two models do **not test the claim**: their accuracy drops do not differ "
            f"significantly (difference: {in_points(positive(drop))}).{alone}"
        )
    robust, other = (first, second) if drop.value > 0 else (second, first)
    lead = (
        f"**{plain(robust)}** is more robust than {plain(other)} (its accuracy drop is smaller by "
        f"{in_points(positive(drop))})"
    )
    blind = [name for name in backbones if overlap.control_p[name] > 0.05]
    if blind:
        return "open", (
            f"{lead}, but for {' and '.join(map(plain, blind))} even the split control does not "
            f"exceed the permutation null: overlap cannot show whether the skill is kept.{alone}"
        )
    verdict, text = _kept(overlap, first, second, robust)
    return verdict, f"{lead}{text}{alone}"


def _cannot_judge(
    counts: pd.DataFrame, overlap: pd.DataFrame, backbones: Sequence[str]
) -> str | None:
    """Why there is no verdict: `counts` of prompts by backbone and data; None if there can be."""
    if len(backbones) != 2:
        return "There is no verdict: a test of the claim compares exactly two backbones."
    if counts.isna().any(axis=None) or (counts[CLEAN] != counts[ADVERSARIAL]).any():
        return (
            "There is no verdict yet: not every prompt has been evaluated on both clean and "
            "adversarial data."
        )
    if not set(backbones) <= set(overlap.index) or overlap.loc[list(backbones)].p.isna().any():
        return (
            "There is no verdict yet: the backbones' neurons have not been compared, or there are "
            "no skill neurons to compare at this fraction."
        )
    return None


def _kept(overlap: pd.DataFrame, first: str, second: str, robust: str) -> tuple[str, str]:
    """Does the more robust backbone keep more of its skill neurons? The rest of the sentence."""
    kept = _kept_more(overlap.loc[first], overlap.loc[second])
    more = first if kept.value > 0 else second
    if kept.certain and overlap.p[more] > 0.05:
        return "no difference", (
            f". {plain(more)} keeps more of its skill neurons than the other model, but **no "
            f"more than the permutation null** ({p_value(overlap.p[more])}). This does not support "
            "the claim."
        )
    if not kept.certain:
        return "no difference", (
            ", but there is **no significant difference** between the models' overlap "
            "beyond the permutation null (difference, as a share of the split control: "
            f"{interval(positive(kept))}). This does not support the claim."
        )
    agrees = more == robust
    word = "agrees with" if agrees else "contradicts"
    return ("agrees" if agrees else "contradicts"), (
        f" and keeps {'more' if agrees else 'fewer'} of its skill neurons (difference in "
        f"overlap beyond the permutation null, as a share of the split control: "
        f"{interval(positive(kept))}). This **{word}** the claim that the more robust model "
        "keeps its skill neurons. Two models and one task are no proof."
    )


def _kept_more(a: pd.Series, b: pd.Series) -> Estimate:
    """Difference in relative overlap between two backbones, first minus second.

    Relative overlap is the overlap beyond the permutation null, divided by that of the split
    control. The errors are added as independent; the denominator's error is not counted.
    """
    values, errors = [], []
    for x in (a, b):
        most = x.control - x.control_shuffled
        values.append(float((x.share - x.shuffled) / most))
        errors.append(float(x.error / most))
    value, half = values[0] - values[1], Z * math.hypot(*errors)
    return Estimate(value=value, low=value - half, high=value + half)
