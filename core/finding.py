"""What the numbers of the Robustness page say, in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.robustness import ADVERSARIAL, CLEAN, fall_difference, falls
from core.statistics import Estimate, Z


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The tables that the finding rests on, by the function that makes them."""

    answers: pd.DataFrame
    accuracy: pd.DataFrame
    paired_tests: pd.DataFrame
    discoveries: pd.DataFrame
    overlap: pd.DataFrame
    agreement: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the numbers say, in Markdown: the verdict, then a paragraph per backbone. `verdict` is
    the claim's fate: `agrees`, `contradicts`, `no difference` or `open` (not two backbones, or
    something is missing).
    """

    lead: str
    backbones: tuple[str, ...]
    verdict: str


def finding(numbers: Numbers, *, fraction: float) -> Finding:
    """Put the numbers into words, the shared neurons at one fraction."""
    agree = numbers.agreement[numbers.agreement.attack == ""].set_index("backbone")
    lost, parts = falls(numbers.answers), list[str]()
    for backbone, fall in lost.items():
        tests = numbers.paired_tests[
            (numbers.paired_tests.backbone == backbone) & (numbers.paired_tests.attack == "")
        ]
        sentences = [
            _loses(numbers.accuracy, backbone, fall),
            _tells(numbers.discoveries[numbers.discoveries.backbone == backbone]),
            _keeps(numbers.overlap, agree, backbone, fraction),
            _switched_off(tests),
        ]
        parts.append(" ".join(s for s in sentences if s))
    verdict, lead = _verdict(numbers.answers, agree, list(lost))
    return Finding(lead=lead, backbones=tuple(parts), verdict=verdict)


def _loses(accuracies: pd.DataFrame, backbone: str, fall: Estimate) -> str:
    overall = accuracies[accuracies.attack == ""].set_index(["backbone", "data"]).accuracy
    way = "falls" if fall.value >= 0 else "rises"
    return (
        f"**{backbone}** {way} from {overall[backbone, CLEAN]:.3f} on clean to "
        f"{overall[backbone, ADVERSARIAL]:.3f} on adversarial data ({_points(_positive(fall))})."
    )


def _tells(found: pd.DataFrame) -> str:
    """How many neurons know either kind of data at all."""
    if len(found) < 2:
        return ""
    shares = found.set_index("data").discoveries
    return (
        f"Of its neurons {shares[CLEAN]:.0%} can be told from shuffled labels on clean data and "
        f"{shares[ADVERSARIAL]:.0%} on adversarial data (false discovery rate 5 %)."
    )


def _keeps(overlaps: pd.DataFrame, agree: pd.DataFrame, backbone: str, fraction: float) -> str:
    parts = list[str]()
    mine = overlaps[(overlaps.backbone == backbone) & (overlaps.fraction == fraction)]
    if len(mine):
        o = mine.iloc[0]
        compared = [f"{o.shuffled:.0%} with shuffled labels, {p_value(o.p)}",
                    f"{o.halves:.0%} clean against clean"] if math.isfinite(o.p) else [
                    f"{o.chance:.0%} in unrelated choices"]  # fmt: skip
        parts.append(
            f"{o.share:.0%} of its top {fraction:.0%} of neurons stay ({'; '.join(compared)})"
        )
    if backbone in agree.index:
        a = agree.loc[backbone]
        parts.append(
            f"the predictivities of all correlate with {_two(a.spearman)} (95 % interval "
            f"{_two(a.low)} to {_two(a.high)}; {_two(a.shuffled)} with shuffled labels, "
            f"{p_value(a.p)}; {_two(a.halves)} clean against clean)"
        )
    text = ", and ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _switched_off(tests: pd.DataFrame) -> str:
    """Whether clean skill neurons matter, on clean data first: where they do not matter there, the
    attack cannot take anything away.
    """
    parts = [
        f"{_cost(row)} on {row.tested} data" for row in tests[tests.found == CLEAN].itertuples()
    ]
    if not parts:
        return ""
    return (
        "Against random ones, and averaged over 1 to 15 %, switching off its clean skill neurons "
        f"costs {', '.join(parts)}."
    )


def _cost(row: Any) -> str:
    known = f"{points(row.cost)} points, {p_value(row.p_holm)}"
    if row.p_holm > 0.05:
        return f"no more and no less that could be shown ({known})"
    return f"{'more' if row.cost > 0 else 'less'} ({known})"


def _verdict(rows: pd.DataFrame, agree: pd.DataFrame, backbones: Sequence[str]) -> tuple[str, str]:
    """The claim: the more robust model keeps more of its skill neurons."""
    if len(backbones) != 2:
        return "open", "Two backbones are needed to put the claim to the test."
    counts = rows.groupby(["backbone", "data"]).seed.nunique()
    if counts.nunique() > 1:
        return "open", "Not every prompt has answered both kinds of data yet: no verdict."
    if not set(backbones) <= set(agree.index):
        return "open", "Their neurons are not compared yet, so there is no verdict."
    first, second = backbones
    fall = fall_difference(rows, first, second)
    if not fall.certain:
        return "no difference", (
            f"**No difference** in robustness between the two that could be shown (their losses "
            f"differ by {_points(_positive(fall))}), so this task does not put the claim to the "
            "test."
        )
    kept = _kept_more(agree.loc[first], agree.loc[second])
    robust, other = (first, second) if fall.value > 0 else (second, first)
    lead = f"**{robust}** loses less than {other} (by {_points(_positive(fall))})"
    if not kept.certain:
        return "no difference", (
            f"{lead}, but there is **no difference** that could be shown in how far their neurons "
            f"agree beyond shuffled labels ({_interval(kept)}): no support for the claim."
        )
    keeps_more = first if kept.value > 0 else second
    agrees = keeps_more == robust
    word = "agrees with" if agrees else "contradicts"
    return ("agrees" if agrees else "contradicts"), (
        f"{lead} and its neurons agree {'more' if agrees else 'less'} (Spearman beyond that with "
        f"shuffled labels differs by {_interval(_positive(kept))}): this **{word}** the claim that "
        "the more robust model keeps its skill neurons. Two models and one task are no proof."
    )


def _kept_more(a: pd.Series, b: pd.Series) -> Estimate:
    """How much more the first agrees beyond what it does with shuffled labels; errors added as
    independent.
    """
    errors = [a.error, b.error]
    errors += [(x.shuffled_high - x.shuffled_low) / (2 * Z * math.sqrt(x.permutations))
               for x in (a, b)]  # fmt: skip
    half = Z * math.hypot(*errors)
    value = float(a.beyond - b.beyond)
    return Estimate(value=value, low=value - half, high=value + half)


MINUS = "\N{MINUS SIGN}"


def p_value(p: float) -> str:
    """As a reader expects it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def points(share: float) -> str:
    """A difference of accuracies in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", MINUS)


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


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
