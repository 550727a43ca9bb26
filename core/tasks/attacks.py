"""Texts changed as an adversary would: the meaning should stay, the answer should, too.

The four attacks are those of the built-in adversarial versions (whose fifth, `human`, was written
by hand). The word lists lie in `attacks.toml`.
"""

import random
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.base.errors import BadInput

KINDS = ("typo", "synonym", "distraction", "negation")
MOST_SYNONYMS = 3


def perturb(text: str, kind: str, rng: random.Random) -> str:
    """The text under one attack. Raises: BadInput if the attack finds nothing to change."""
    attack = {
        "typo": slips, "synonym": _synonyms, "distraction": _distraction, "negation": _negation
    }[kind]  # fmt: skip
    changed = attack(text, rng)
    if changed == text:
        why = {"typo": "no longer word", "synonym": "no word with a rarer synonym in our list"}
        raise BadInput(f"The attack {kind!r} finds {why.get(kind, 'nothing')} in this text.")
    return changed


@lru_cache(maxsize=1)
def _lists() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def slips(text: str, rng: random.Random) -> str:
    """Two slips of the keyboard in longer words: swapped, dropped or doubled letters."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 5 and word[:4].isalpha()]
    for i in rng.sample(long, min(2, len(long))):
        word, at = words[i], rng.randrange(1, len(words[i]) - 2)
        slip = rng.choice(("swap", "drop", "double"))
        middle = {
            "swap": word[at + 1] + word[at],
            "drop": word[at + 1],
            "double": word[at] * 2 + word[at + 1],
        }[slip]
        words[i] = word[:at] + middle + word[at + 2 :]
    return " ".join(words)


def _synonyms(text: str, rng: random.Random) -> str:
    known: dict[str, str] = _lists()["synonyms"]
    spots = [m for m in re.finditer(r"[A-Za-z]+", text) if m[0].lower() in known]
    chosen = rng.sample(spots, min(MOST_SYNONYMS, len(spots)))
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


def _distraction(text: str, rng: random.Random) -> str:
    lists = _lists()["distraction"]
    if rng.random() < 0.5:
        return str(rng.choice(lists["before"]) + text)
    return str(text.rstrip() + rng.choice(lists["after"]))


def _negation(text: str, rng: random.Random) -> str:
    start = text.lstrip()
    first = start.split(" ", 1)[0].rstrip(",.;:!?")
    kept = first == "I" or first.startswith("I'") or not first.istitle()
    body = start if kept else start[:1].lower() + start[1:]
    return str(rng.choice(_lists()["negation"]["before"]) + body)
