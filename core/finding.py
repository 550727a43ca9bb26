"""What the numbers of the Robustness page say, in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.robustness import ADVERSARIAL, CLEAN, fall_difference, falls
from core.statistics import Estimate, Z


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the numbers say, one paragraph in Markdown, the verdict first. `verdict` is the claim's
    fate: `agrees`, `contradicts`, `no difference` or `open` (not two backbones, or something is
    missing).
    """

    text: str
    verdict: str


def finding(
    rows: pd.DataFrame,
    accuracies: pd.DataFrame,
    overlaps: pd.DataFrame,
    agreements: pd.DataFrame,
    tests: pd.DataFrame,
    *,
    title: str,
    fraction: float,
) -> Finding:
    """The paragraph, from `answers`, `accuracy`, `overlap`, `agreement` and `paired_tests`."""
    overall = accuracies[accuracies.attack == ""].set_index(["backbone", "data"]).accuracy
    lost, sentences = falls(rows), list[str]()
    agree = agreements.set_index("backbone")
    for backbone, fall in lost.items():
        way = "falls" if fall.value >= 0 else "rises"
        text = (
            f"**{backbone}** {way} from {overall[backbone, CLEAN]:.3f} on clean to "
            f"{overall[backbone, ADVERSARIAL]:.3f} on adversarial data ({_points(_positive(fall))})"
        )
        mine = overlaps[(overlaps.backbone == backbone) & (overlaps.fraction == fraction)]
        if len(mine):
            o = mine.iloc[0]
            text += (
                f"; {o.share:.0%} of its top {fraction:.0%} of neurons stay (chance "
                f"{o.chance:.0%}, {_p(o.p)}"
                + (f"; clean against clean {o.ceiling:.0%})" if math.isfinite(o.ceiling) else ")")
            )
        if backbone in agree.index:
            a = agree.loc[backbone]
            text += (
                f"; the predictivities correlate with {_two(a.spearman)} (95 % interval "
                f"{_two(a.low)} to {_two(a.high)}; clean against clean {_two(a.ceiling)}"
                + (f"; against other tasks' attacked data {_two(a.elsewhere)})"
                   if math.isfinite(a.elsewhere) else ")")
            )  # fmt: skip
        sentences.append(text + ". " + _switched_off(tests[tests.backbone == backbone]))
    verdict, lead = _verdict(rows, agree, list(lost))
    return Finding(text=" ".join([f"{title}:", lead, *sentences]).strip(), verdict=verdict)


def _switched_off(tests: pd.DataFrame) -> str:
    """Whether clean skill neurons matter, on clean data first: where they do not matter there, the
    attack cannot take anything away.
    """
    parts = [
        f"{_cost(row)} on {row.tested} data" for row in tests[tests.found == CLEAN].itertuples()
    ]
    if not parts:
        return ""
    return f"Against random ones, switching off its clean skill neurons costs {', '.join(parts)}."


def _cost(row: Any) -> str:
    known = f"{_signed(row.cost)} points, {_p(row.p_holm)}"
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
    a, b = agree.loc[first], agree.loc[second]
    # What a backbone's neurons share with any other attacked task says nothing of this one.
    beyond = math.isfinite(a.elsewhere) and math.isfinite(b.elsewhere)
    gap = float(a.spearman - b.spearman) - (float(a.elsewhere - b.elsewhere) if beyond else 0.0)
    what = "Spearman beyond that with other tasks' attacked data" if beyond else "Spearman"
    half = Z * math.hypot(a.error, b.error)
    kept = Estimate(value=gap, low=gap - half, high=gap + half)
    if not fall.certain:
        return "no difference", (
            f"**No difference** in robustness between the two (their losses differ by "
            f"{_points(_positive(fall))}), so this task does not put the claim to the test."
        )
    robust, other = (first, second) if fall.value > 0 else (second, first)
    lead = f"**{robust}** loses less than {other} (by {_points(_positive(fall))})"
    if not kept.certain:
        return "no difference", (
            f"{lead}, but there is **no difference** in how far their neurons agree "
            f"({_signed_interval(kept)}): no support for the claim."
        )
    keeps_more = first if kept.value > 0 else second
    agrees = keeps_more == robust
    word = "agrees with" if agrees else "contradicts"
    return ("agrees" if agrees else "contradicts"), (
        f"{lead} and its neurons agree {'more' if agrees else 'less'} ({what} differs "
        f"by {_signed_interval(_positive(kept))}): this **{word}** the claim that the more robust "
        "model keeps its skill neurons. Two models and one task are no proof."
    )


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _positive(e: Estimate) -> Estimate:
    if e.value >= 0:
        return e
    return Estimate(value=-e.value, low=-e.high, high=-e.low, p=e.p)


def _points(e: Estimate) -> str:
    text = f"{100 * e.value:.1f} points, 95 % interval {100 * e.low:.1f} to {100 * e.high:.1f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _signed_interval(e: Estimate) -> str:
    text = f"{e.value:.2f}, 95 % interval {e.low:.2f} to {e.high:.2f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
