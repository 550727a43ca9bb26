"""Numbers as sentences print them."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from core.base.markdown import plain
from core.stats.intervals import Estimate

MINUS = "\N{MINUS SIGN}"


def p_value(p: float) -> str:
    """A p-value as papers print it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def points(share: float) -> str:
    """A difference of accuracies in percentage points, with its sign; a dash if unknown."""
    if not math.isfinite(share):
        return "\N{EN DASH}"
    return f"{100 * share:+z.1f}".replace("-", MINUS).replace("+0.0", "0.0")


def verdict(
    found: pd.DataFrame, *, higher: str, lower: str, same: str,
    mixed: Mapping[str, str] = MappingProxyType({}),
) -> str:  # fmt: skip
    """Which of three clauses holds, by the intervals of a difference (`low` to `high`, a row per
    `backbone`): all above 0, all below, or around it. Where backbones differ, each clause is said
    of its backbones, and `same` becomes "the evidence is unclear". Backbones in `mixed` have
    a clause of their own. Empty where none has an interval.
    """
    known = found[found.low.notna() & ~found.backbone.isin(mixed)]
    kinds = {higher: known.low > 0, lower: known.high < 0}
    kinds[same] = ~(kinds[higher] | kinds[lower])
    there = {clause: list(known.backbone[rows]) for clause, rows in kinds.items() if rows.any()}
    if same in there and (len(there) > 1 or mixed):
        there["the evidence is unclear"] = there.pop(same)
    said = [each(there, alone=len(known) == len(found))] if there else []
    said += [f"on {plain(name)}, {clause}" for name, clause in mixed.items()]
    text = "; ".join(said)
    return text[:1].upper() + text[1:]


def each(clauses: Mapping[str, Sequence[str]], *, alone: bool = True) -> str:
    """Clauses, each said of its backbones; a single one is said of none by name if it may stand
    `alone`.
    """
    if len(clauses) == 1 and alone:
        return next(iter(clauses))
    said = [f"{clause} on {' and '.join(map(plain, names))}" for clause, names in clauses.items()]
    return "; ".join(text if not i else text[0].lower() + text[1:] for i, text in enumerate(said))


def listed(parts: Sequence[str]) -> str:
    """None, one, two, or more: with commas, and "and" before the last."""
    if len(parts) <= 2:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"


def two(value: float) -> str:
    """Two decimals."""
    return f"{value:z.2f}".replace("-", MINUS)


def ranged(value: float, low: float, high: float, *, bold: bool = False) -> str:
    """A value, and in brackets its interval if there is one; two decimals."""
    said = f"**{two(value)}**" if bold else two(value)
    return said if math.isnan(low) else f"{said} ({two(low)} to {two(high)})"


def positive(e: Estimate) -> Estimate:
    """The estimate, with its sign changed if it is below 0."""
    return e if e.value >= 0 else opposite(e)


def opposite(e: Estimate) -> Estimate:
    """The estimate with its sign changed."""
    return Estimate(value=-e.value, low=-e.high, high=-e.low, p=e.p)


def in_points(e: Estimate) -> str:
    """An estimate in percentage points, with its interval."""
    text = f"{100 * e.value:.1f} points, 95% interval {100 * e.low:.1f} to {100 * e.high:.1f}"
    return text.replace("-", MINUS)


def interval(e: Estimate) -> str:
    """An estimate with its interval: two decimals, or three where one end is close to 0."""
    digits = 3 if min(abs(e.low), abs(e.high)) < 0.005 else 2
    value, low, high = (f"{x:z.{digits}f}".replace("-", MINUS) for x in (e.value, e.low, e.high))
    return f"{value}, 95% interval {low} to {high}"
