"""The claim plot in words."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.base.markdown import plain
from core.figures.rankings import NAMES
from core.figures.words import interval, opposite, positive
from core.stats.intervals import FEWEST_CLUSTERS, Estimate

MATCHED = (
    "A weathered backbone was pretrained on the same texts in the same order as its counterpart, "
    "but with typos, asides, invented names and varied subword segmentation. Each pair shows the "
    "effect of noisy training text, not of architecture, and the typos resemble those of the "
    "attack."
)
LIMITS = (
    "Backbones that differ in several respects cannot show which difference makes a backbone "
    "robust. Where accuracy is at chance, the ranking is noise too, so part of the slope over all "
    "points is expected."
)
COLUMNS = "first second kind value low high tasks".split()  # noqa: SIM905


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How the points relate to the claim that a more robust backbone keeps more of its neurons.

    `verdict`, `headline` and `lead` (with the numbers) are those of the matched pairs of backbones,
    or of the first pair if none is matched: `agrees`, `contradicts`, `no difference` (one is more
    robust, but does not keep more neurons), `not tested` (neither is more robust), `open` (no pair,
    or too few tasks) or `mixed` (matched pairs with different verdicts). `within` has a sentence
    per backbone, `between` one per further pair.
    """

    verdict: str
    headline: str
    lead: str
    within: tuple[str, ...]
    between: tuple[str, ...]
    matched: bool = False  # whether the verdict is that of matched pairs


def summarise(
    differences: pd.DataFrame,
    slopes: pd.DataFrame,
    *,
    neurons: str = "skill",
    matched: Collection[tuple[str, str]] = (),
) -> Finding:
    """Say what `claim.differences` and `claim.slopes` show for one kind of neuron. Of `matched`
    pairs, the backbones differ in one respect only.
    """
    rows: list[Any] = list(differences[differences.neurons == neurons].itertuples())
    rows.sort(key=lambda row: (row.first, row.second) not in matched)
    pairs = [_between(row, neurons) for row in rows]
    count = sum((row.first, row.second) in matched for row in rows)
    leads = pairs[: max(count, 1)] or [
        ("open", "The claim needs two backbones with points to compare.")
    ]
    verdicts = {verdict for verdict, _ in leads} - {"open"} or {"open"}
    lead = " ".join(text for _, text in leads)
    told = [row for row, (found, _) in zip(rows, leads, strict=False) if found != "open"]
    alone = count > 0 or len(rows) == 1  # or else a sentence without names would say too much
    headline = _headline(verdicts, told, NAMES[neurons], count > 0) if alone else ""
    within = tuple(_within(row, neurons) for row in slopes[slopes.neurons == neurons].itertuples())
    return Finding(
        verdict=next(iter(verdicts)) if len(verdicts) == 1 else "mixed",
        headline=headline or lead.replace("**", ""),
        lead=lead,
        within=within,
        between=tuple(text for _, text in pairs[len(leads) :]),
        matched=count > 0,
    )


def compared(differences: pd.DataFrame, matched: Collection[tuple[str, str]] = ()) -> pd.DataFrame:
    """The `claim.differences` behind the verdict, one row per pair of backbones and `kind`
    ("accuracy" or a kind of neuron): first, second, value (second less first), low, high, tasks.
    """
    rows = differences
    known = [pair in matched for pair in zip(rows["first"], rows["second"], strict=True)]
    first = rows.iloc[:1][["first", "second"]]
    mine = rows[known] if any(known) else rows.merge(first)
    parts = [
        mine.drop_duplicates(["first", "second"]).assign(kind="accuracy", name="accuracy"),
        mine.assign(kind=mine.neurons, name="kept"),
    ]
    out = [
        {
            "first": row["first"], "second": row["second"], "kind": row["kind"],
            "value": row[row["name"]], "low": row[f"{row['name']}_low"],
            "high": row[f"{row['name']}_high"], "tasks": row[f"{row['name']}_tasks"],
        }
        for row in pd.concat(parts).to_dict("records")
    ]  # fmt: skip
    return pd.DataFrame(out, columns=COLUMNS)


def _headline(verdicts: Collection[str], pairs: Sequence[Any], what: str, matched: bool) -> str:
    """The verdicts on matched pairs, or on the only pair, in a sentence; empty if there is none."""
    if "open" in verdicts:
        return ""
    if len(verdicts) > 1:
        return (
            "The pairs of backbones disagree about the claim." if "contradicts" in verdicts
            else "Not every pair of backbones supports the claim." if "agrees" in verdicts
            else "No pair of backbones supports the claim."
        )  # fmt: skip
    (verdict,) = verdicts
    several = len(pairs) > 1
    if verdict == "not tested":
        who = "each pair" if several else "the two"
        return (
            f"The accuracy that is kept under attack does not differ clearly within {who}, so the "
            "claim is not tested."
        )
    if matched and all(row.accuracy > 0 for row in pairs):
        who = "Each" if several else "The"
        robust = (
            f"{who} weathered backbone keeps more of its accuracy under attack than its counterpart"
        )
        return {
            "agrees": f"{robust}, and more of its {what}.",
            "contradicts": f"{robust}, but fewer of its {what}.",
            "no difference": f"{robust}, but not clearly more of its {what}.",
        }[verdict]
    who = "In each pair, the backbone" if several else "The backbone"
    robust = f"{who} that keeps more of its accuracy under attack"
    return {
        "agrees": f"{robust} also keeps more of its {what}.",
        "contradicts": f"{robust} keeps fewer of its {what}.",
        "no difference": f"{robust} does not clearly keep more of its {what}.",
    }[verdict]


def _within(row: Any, neurons: str) -> str:
    """Where a backbone keeps its accuracy, does it keep the neurons?"""
    who, what = f"**{plain(row.backbone)}**", NAMES[neurons]
    overall = Estimate(value=row.slope, low=row.slope_low, high=row.slope_high)
    like = Estimate(value=row.slope_within, low=row.slope_within_low, high=row.slope_within_high)
    if not _known(overall):
        return (
            f"{who}: no slope; the {row.tasks} tasks with points are too few (at least "
            f"{FEWEST_CLUSTERS} are needed) or do not differ."
        )
    counted = f"{row.points} points on {row.tasks} tasks"
    text = f"{who}: accuracy kept and {what} kept are not clearly related"
    if overall.certain:
        related = "more" if overall.value > 0 else "fewer"
        text = f"{who} keeps {related} of its {what} where it keeps more accuracy"
    return f"{text} (slope {interval(overall)}; {counted}). {_among_like_tasks(like)}"


def _among_like_tasks(e: Estimate) -> str:
    """The same, without what the dose and the category of a task alone do."""
    if not _known(e):
        return "Among tasks of one category at equal dose there are too few to tell."
    if not e.certain:
        return (
            "Among tasks of one category at equal dose there is no clear relation (slope "
            f"{interval(e)})."
        )
    more = "more" if e.value > 0 else "fewer"
    return (
        "Among tasks of one category at equal dose, more accuracy kept goes with "
        f"{more} of them kept (slope {interval(e)})."
    )


def _between(row: Any, neurons: str) -> tuple[str, str]:
    """Verdict and sentence for two backbones."""
    accuracy = Estimate(value=row.accuracy, low=row.accuracy_low, high=row.accuracy_high)
    kept = Estimate(value=row.kept, low=row.kept_low, high=row.kept_high)
    first, second, what = plain(row.first), plain(row.second), NAMES[neurons]
    tasks = f"{row.accuracy_tasks} tasks"
    if not _known(accuracy):
        return "open", (
            f"{first} and {second} have too few tasks in common ({row.accuracy_tasks}; at least "
            f"{FEWEST_CLUSTERS} are needed)."
        )
    robust, other = (second, first) if accuracy.value > 0 else (first, second)
    if not accuracy.certain:
        return "not tested", (
            f"At equal dose, **{robust}** and **{other}** do not differ clearly in the accuracy "
            f"they keep (difference {interval(positive(accuracy))}; {tasks}), so they do **not "
            "test the claim**."
        )
    lead = (
        f"At equal dose, **{robust}** keeps more of its accuracy than {other} "
        f"(difference {interval(positive(accuracy))}; {tasks})"
    )
    if not _known(kept):
        return "open", (
            f"{lead}, but its {what} can be compared on {row.kept_tasks} tasks only (at least "
            f"{FEWEST_CLUSTERS} are needed)."
        )
    if not kept.certain:
        ahead = kept if accuracy.value > 0 else opposite(kept)
        return "no difference", (
            f"{lead}, but **not clearly more of its {what}** (difference {interval(ahead)}; "
            f"{row.kept_tasks} tasks). This does not support the claim."
        )
    apart = f"(difference {interval(positive(kept))}; {row.kept_tasks} tasks)"
    if (kept.value > 0) == (accuracy.value > 0):
        return "agrees", f"{lead}, and more of its {what} {apart}. This **agrees with** the claim."
    return (
        "contradicts",
        f"{lead}, but fewer of its {what} {apart}. This **contradicts** the claim.",
    )


def _known(e: Estimate) -> bool:
    return e.low == e.low and e.high == e.high
