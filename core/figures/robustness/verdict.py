"""What the numbers of the Robustness page say, in words."""

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
    both_kinds,
    fall_difference,
    falls,
)
from core.stats.intervals import Estimate, Z


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The tables that the finding rests on, by the function that makes them."""

    answers: pd.DataFrame
    paired_tests: pd.DataFrame
    discoveries: pd.DataFrame
    overlap: pd.DataFrame
    stability: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the numbers say, in Markdown: the verdict, then a paragraph per backbone. `verdict` is
    the claim's fate: `agrees`, `contradicts`, `no difference` (one model is more robust, but keeps
    no more), `not tested` (no model is more robust) or `open` (not two backbones, something is
    missing, or the measure cannot tell).
    """

    lead: str
    backbones: tuple[str, ...]
    verdict: str


def finding(numbers: Numbers, *, backbones: Sequence[str], fraction: float) -> Finding:
    """Put the numbers into words, the shared neurons at one fraction; `backbones` are those asked
    about, answered or not.
    """
    agree = numbers.stability[numbers.stability.attack == ""].set_index("backbone")
    answered, parts = both_kinds(numbers.answers), list[str]()
    lost, accuracies = falls(answered), accuracy(answered)
    for backbone, fall in lost.items():
        tests = numbers.paired_tests[
            (numbers.paired_tests.backbone == backbone) & (numbers.paired_tests.attack == "")
        ]
        sentences = [
            _loses(accuracies, backbone, fall),
            _tells(numbers.discoveries[numbers.discoveries.backbone == backbone]),
            _keeps(numbers.overlap, agree, backbone, fraction),
            _switched_off(tests),
        ]
        parts.append(" ".join(s for s in sentences if s))
    mine = numbers.overlap[numbers.overlap.fraction == fraction].set_index("backbone")
    verdict, lead = _verdict(numbers.answers, mine, backbones)
    return Finding(lead=lead, backbones=tuple(parts), verdict=verdict)


def _loses(accuracies: pd.DataFrame, backbone: str, fall: Estimate) -> str:
    overall = accuracies[accuracies.attack == ""].set_index(["backbone", "data"]).accuracy
    way = "falls" if fall.value >= 0 else "rises"
    return (
        f"**{plain(backbone)}** {way} from {overall[backbone, CLEAN]:.3f} on clean to "
        f"{overall[backbone, ADVERSARIAL]:.3f} on adversarial data ({_points(_positive(fall))})."
    )


def _tells(found: pd.DataFrame) -> str:
    """How many neurons know either kind of data at all."""
    if len(found) < 2:
        return ""
    known = found.set_index("data")
    clean, attacked = known.loc[CLEAN], known.loc[ADVERSARIAL]
    fewer = " (fewer examples find fewer)" if attacked.n < clean.n else ""
    return (
        f"Of its neurons {clean.discoveries:.0%} can be told from shuffled labels on {clean.n} "
        f"clean examples, {attacked.discoveries:.0%} on {attacked.n} adversarial ones{fewer}."
    )


def _keeps(overlaps: pd.DataFrame, agree: pd.DataFrame, backbone: str, fraction: float) -> str:
    parts = list[str]()
    mine = overlaps[(overlaps.backbone == backbone) & (overlaps.fraction == fraction)]
    if len(mine):
        o = mine.iloc[0]
        beside = f"unrelated choices: {o.chance:.0%}"
        if math.isfinite(o.p):
            beside = (
                f"with shuffled labels {o.shuffled:.0%}, {p_value(o.p)}; two parts of the clean "
                f"data {o.control:.0%}, with shuffled labels {o.control_shuffled:.0%}"
            )
        parts.append(
            f"Of its top {fraction:.0%} on clean data {o.share:.0%} are on top on adversarial "
            f"data, too ({beside})."
        )
    if backbone in agree.index and math.isfinite(agree.loc[backbone].spearman):
        a = agree.loc[backbone]
        parts.append(
            f"Over all neurons the two predictivities correlate at {_two(a.spearman)} (95 % "
            f"interval {_two(a.low)} to {_two(a.high)}; with shuffled labels {_two(a.shuffled)}, "
            f"{p_value(a.p)})."
        )
    return " ".join(parts)


def _switched_off(tests: pd.DataFrame) -> str:
    """Whether clean skill neurons matter, on clean data first: where they do not matter there, the
    attack cannot take anything away.
    """
    mine = tests[tests.found == CLEAN]
    if mine.empty:
        return ""
    parts = [f"{_cost(row)} on {row.tested} data" for row in mine.itertuples()]
    return (
        "Switching off its clean skill neurons (mean over 1 to 15 % of each layer) costs, against "
        f"random ones, {' and '.join(parts)}."
    )


def _cost(row: Any) -> str:
    known = f"{points(row.cost)} points, {p_value(row.p_holm)}"
    if row.p_holm > 0.05:
        return f"nothing that could be shown ({known})"
    return f"{'more' if row.cost > 0 else 'less'} ({known})"


def _verdict(
    rows: pd.DataFrame, overlap: pd.DataFrame, backbones: Sequence[str]
) -> tuple[str, str]:
    """The claim: the more robust model keeps more of its skill neurons. `overlap` at one fraction,
    by backbone.
    """
    if len(backbones) != 2:
        return "open", "Two backbones, no more and no fewer, put the claim to the test."
    counts = rows.groupby(["backbone", "data"]).prompt.nunique().unstack("data")
    counts = counts.reindex(index=list(backbones), columns=[CLEAN, ADVERSARIAL])
    if counts.isna().any(axis=None) or (counts[CLEAN] != counts[ADVERSARIAL]).any():
        return "open", "Not every prompt has answered both kinds of data yet: no verdict."
    if not set(backbones) <= set(overlap.index) or overlap.loc[list(backbones)].p.isna().any():
        return "open", (
            "Their neurons are not compared yet, or there are none to compare at this share: no "
            "verdict."
        )
    alone = "" if counts.min(axis=None) > 1 else " One prompt alone says nothing of other prompts."
    first, second = backbones
    fall = fall_difference(rows, first, second)
    if not fall.certain:
        return "not tested", (
            f"**No difference** in robustness between the two that could be shown (their losses "
            f"differ by {_points(_positive(fall))}): this task does not put the claim to the test."
            f"{alone}"
        )
    robust, other = (first, second) if fall.value > 0 else (second, first)
    lead = f"**{robust}** loses less than {other} (by {_points(_positive(fall))})"
    blind = [name for name in backbones if overlap.control_p[name] > 0.05]
    if blind:
        return "open", (
            f"{lead}, but with {' and '.join(map(plain, blind))} even two parts of the clean data "
            f"share no more skill neurons than with shuffled labels: kept skill cannot be "
            f"told.{alone}"
        )
    kept = _kept_more(overlap.loc[first], overlap.loc[second])
    more = first if kept.value > 0 else second
    if kept.certain and overlap.p[more] > 0.05:
        return "no difference", (
            f"{lead}; {plain(more)} keeps more of its skill neurons than the other, but **no more "
            f"than shuffled labels** give ({p_value(overlap.p[more])}): no support for the "
            f"claim.{alone}"
        )
    if not kept.certain:
        return "no difference", (
            f"{lead}, but there is **no difference** that could be shown in how much of their "
            f"skill neurons they keep beyond shuffled labels ({_interval(_positive(kept))} of what "
            f"two parts of the clean data share): no support for the claim.{alone}"
        )
    agrees = more == robust
    word = "agrees with" if agrees else "contradicts"
    return ("agrees" if agrees else "contradicts"), (
        f"{lead} and keeps {'more' if agrees else 'less'} of its skill neurons (beyond shuffled "
        f"labels, as a share of what two parts of the clean data have in common, the difference "
        f"is {_interval(_positive(kept))}): this **{word}** the claim that the more robust model "
        f"keeps its skill neurons. Two models and one task are no proof.{alone}"
    )


def _kept_more(a: pd.Series, b: pd.Series) -> Estimate:
    """How much more the first keeps: what it shares beyond shuffled labels, as a share of what two
    parts of its clean data share beyond shuffled labels. Errors added as independent; that of the
    denominator is not counted.
    """
    values, errors = [], []
    for x in (a, b):
        most = x.control - x.control_shuffled
        values.append(float((x.share - x.shuffled) / most))
        errors.append(float(x.error / most))
    value, half = values[0] - values[1], Z * math.hypot(*errors)
    return Estimate(value=value, low=value - half, high=value + half)


MINUS = "\N{MINUS SIGN}"


def p_value(p: float) -> str:
    """As a reader expects it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def points(share: float) -> str:
    """A difference of accuracies in percentage points, with its sign; a dash if unknown."""
    if not math.isfinite(share):
        return "\N{EN DASH}"
    return f"{100 * share:+z.1f}".replace("-", MINUS)


def _two(value: float) -> str:
    return f"{value:z.2f}".replace("-", MINUS)


def _positive(e: Estimate) -> Estimate:
    if e.value >= 0:
        return e
    return Estimate(value=-e.value, low=-e.high, high=-e.low, p=e.p)


def _points(e: Estimate) -> str:
    text = f"{100 * e.value:.1f} points, 95 % interval {100 * e.low:.1f} to {100 * e.high:.1f}"
    return text.replace("-", MINUS)


def _interval(e: Estimate) -> str:
    text = f"{e.value:.2f}, 95 % interval {e.low:.2f} to {e.high:.2f}"
    return text.replace("-", MINUS)
