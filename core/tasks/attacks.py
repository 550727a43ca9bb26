"""Texts changed as an adversary would: the meaning should stay, the answer should, too.

An attack has a dose: how many edits a text gets. The kinds are those of the built-in adversarial
versions (whose fifth, `human`, was written by hand). The word lists lie in `attacks.toml`; why each
kind leaves the label alone is said in docs/method.md.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from core.base.errors import BadInput
from core.base.specs import Spec

if TYPE_CHECKING:
    from core.tasks.data import Examples

Kind = Literal["typo", "synonym", "distraction", "negation"]
Where = Literal["both", "first", "second"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DOSES = (1, 2, 3, 5)  # edits a text in a dose-response
USUAL_DOSE = {"typo": 2, "synonym": 3, "distraction": 1, "negation": 1}
MOST_DOSE = {"typo": 20, "synonym": 20, "distraction": 5, "negation": 1}
"""How many edits of a kind one text can take: there are five asides, and nested negations would
leave nobody sure of the meaning."""
EDITION = {"synonym": 2, "negation": 2}
"""Raised when a kind's texts change: 2 leaves words with several uses alone (synonym), and does not
take a question or a name for a clause (negation)."""
SHORTEST = 4  # characters of a word that a slip may strike, of which the first three are letters
MOST_DRAWS = 1000


def doses_of(kind: Kind) -> list[int]:
    """The usual doses of a kind, in turn: those of `DOSES` that one text can take."""
    return [dose for dose in DOSES if dose <= MOST_DOSE[kind]]


@dataclass(frozen=True, kw_only=True)
class Attack(Spec):
    """How texts are changed: `dose` edits a text, in the first text of a pair, the second or both.

    `worst_of` n draws, for each example the one that leaves the model's right answer the least
    margin is taken: a real adversary, and a different one for each backbone and prompt. A text with
    fewer places to strike than the dose gets fewer edits.
    """

    kind: Kind
    dose: int
    where: Where = "both"
    seed: int = 0
    worst_of: int = 1

    def edition(self) -> int:
        """What a kind does to a text may change, without an effect on the answers to the others."""
        return EDITION.get(self.kind, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in KINDS:
            raise BadInput(f"There is no attack {self.kind!r}; choose among {', '.join(KINDS)}.")
        if not 1 <= self.dose <= MOST_DOSE[self.kind]:
            raise BadInput(
                f"The dose of {self.kind!r} is {self.dose}; it must be from 1 to "
                f"{MOST_DOSE[self.kind]}."
            )
        if self.where not in get_args(Where):
            raise BadInput(
                f"The attacked text is {self.where!r}; it must be {', '.join(get_args(Where))}."
            )
        if not 1 <= self.worst_of <= MOST_DRAWS:
            raise BadInput(
                f"worst_of is {self.worst_of}; it must be 1 or more, and at most {MOST_DRAWS:,}."
            )


def attacked(
    examples: Examples, attack: Attack, draws: Sequence[int] | npt.NDArray[np.int64] | None = None
) -> Examples:
    """Each example under the attack, in the same order with the same labels.

    What becomes of a text depends on the attack and on the text alone, so some rows of a split are
    attacked as they are among all rows. `draws[example]` says which of the `worst_of` draws is
    meant, the first by default.
    """
    chosen = np.zeros(len(examples), int) if draws is None else np.asarray(draws)

    def strike(texts: tuple[str, ...], which: Where) -> tuple[str, ...]:
        if attack.where not in ("both", which):
            return texts
        return tuple(_struck(t, attack, which, int(d)) for t, d in zip(texts, chosen, strict=True))

    second = examples.text_b
    return replace(
        examples,
        text_a=strike(examples.text_a, "first"),
        text_b=None if second is None else strike(second, "second"),
    )


def _struck(text: str, attack: Attack, which: str, draw: int) -> str:
    """A text under one draw of an attack. A higher dose adds edits to those of a lower one."""
    name = f"{attack.kind}/{attack.seed}/{draw}/{which}/{text}"
    rng, order = random.Random(name), random.Random(f"order/{name}")
    return _edits(text, attack.kind, rng, attack.dose, order)


def perturb(text: str, kind: Kind, rng: random.Random) -> str:
    """The text under an attack of the usual dose. Raises: BadInput if nothing can be changed."""
    changed = _edits(text, kind, rng, USUAL_DOSE[kind])
    if changed == text:
        why = {"typo": "no word that is long enough", "synonym": "no word with a listed synonym"}
        raise BadInput(
            f"The attack {kind!r} finds {why.get(kind, 'nothing to change')} in this text."
        )
    return changed


def _edits(
    text: str, kind: Kind, rng: random.Random, dose: int, order: random.Random | None = None
) -> str:
    if kind == "typo":
        return slips(text, rng, dose, order)
    if kind == "synonym":
        return _synonyms(text, rng, dose, order)
    if kind == "distraction":
        return _distraction(text, rng, dose)
    return _negation(text, rng) if order is None else _doubly_negated(text, rng)


@lru_cache(maxsize=1)
def _lists() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def _drawn(
    spots: list[Any], dose: int, rng: random.Random, order: random.Random | None
) -> list[Any]:
    """As many different spots as the dose asks for. With an order of its own, those of a lower dose
    come first.
    """
    if order is None:
        return rng.sample(spots, min(dose, len(spots)))
    return order.sample(spots, len(spots))[:dose]


def slips(text: str, rng: random.Random, dose: int = 2, order: random.Random | None = None) -> str:
    """Slips of the keyboard, each in another word that begins with letters: two letters swapped,
    one dropped or doubled, never the first or the last character. A full stop or a comma counts as
    a character of its word, so `not.` can be struck, and `not` cannot. Without an order of their
    own they are those of the built-in adversarial versions, in words of five characters or more.
    """
    words, shortest = text.split(" "), SHORTEST if order else 5
    long = [
        i for i, word in enumerate(words)
        if len(word) >= shortest and word[: shortest - 1].isalpha()
    ]  # fmt: skip
    for i in _drawn(long, dose, rng, order):
        word, at = words[i], rng.randrange(1, len(words[i]) - 2)
        same = word[at] == word[at + 1] and order is not None  # swapped, nobody would see it
        slip = "double" if same else rng.choice(("swap", "drop", "double"))
        middle = {
            "swap": word[at + 1] + word[at],
            "drop": word[at + 1],
            "double": word[at] * 2 + word[at + 1],
        }[slip]
        words[i] = word[:at] + middle + word[at + 2 :]
    return " ".join(words)


def _synonyms(text: str, rng: random.Random, dose: int, order: random.Random | None = None) -> str:
    lists = _lists()
    left = () if order is None else lists["ambiguous"]["words"]
    known = {word: rare for word, rare in lists["synonyms"].items() if word not in left}
    spots = [m for m in re.finditer(r"[A-Za-z]+", text) if m[0].lower() in known]
    chosen = _drawn(spots, dose, rng, order)
    for spot in sorted(chosen, key=lambda m: -m.start()):
        new = known[spot[0].lower()]
        if spot[0][0].isupper():
            new = new.capitalize()
        before = text[: spot.start()]
        if article := re.search(r"\b([Aa])(n?) $", before):
            fitting = article[1] + ("n" if new[0].lower() in "aeiou" else "")
            before = before[: article.start()] + fitting + " "
        text = before + new + text[spot.end() :]
    return text


def _distraction(text: str, rng: random.Random, dose: int) -> str:
    """As many asides, each another one, before or after the text."""
    asides = {where: list(found) for where, found in _lists()["distraction"].items()}
    for _ in range(dose):
        before = rng.random() < 0.5
        where = "before" if (before and asides["before"]) or not asides["after"] else "after"
        aside = asides[where].pop(asides[where].index(rng.choice(asides[where])))
        text = aside + text if where == "before" else text.rstrip() + aside
    return text


def _doubly_negated(text: str, rng: random.Random) -> str:
    """Two negations before a text, in a form that fits its first sentence: a question, a clause
    (whose first word is of a list, so that it can be written small), or anything else.
    """
    lists, text = _lists()["negation"], text.lstrip()
    first = text.split(" ", 1)[0]
    end = re.search(r"[.?!](?=\s|$)", text)
    asks = end[0] == "?" if end else first.lower() in lists["asks"]
    if asks:
        return str(rng.choice(lists["question"])) + text
    if first.lower() in lists["clause"]:
        small = first if first == "I" or first.startswith("I'") else first.lower()
        return str(rng.choice(lists["before"])) + small + text[len(first) :]
    return str(rng.choice(lists["sentence"])) + text


def _negation(text: str, rng: random.Random) -> str:
    """That of the built-in adversarial versions: any text becomes a clause."""
    start = text.lstrip()
    first = start.split(" ", 1)[0].rstrip(",.;:!?")
    kept = first == "I" or first.startswith("I'") or not first.istitle()
    body = start if kept else start[:1].lower() + start[1:]
    return str(rng.choice(_lists()["negation"]["before"]) + body)
