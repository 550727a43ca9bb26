"""How does a text differ from those that a task's prompts were tuned on?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.base.markdown import plain
from core.tasks.data import Examples

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
MOST = 5  # words that are named


@dataclass(frozen=True, kw_only=True)
class Familiar:
    """The words of a task's train texts, in lower case, and how many words these have."""

    words: frozenset[str]
    shortest: int
    longest: int
    texts: int


def words(text: str) -> list[str]:
    """The words of a text, in lower case; numbers and punctuation do not count."""
    return [word.lower().replace("\u2019", "'") for word in WORD.findall(text)]


def of(train: Examples) -> Familiar:
    """What a task's train rows have."""
    found = [words(text) for text in (*train.text_a, *(train.text_b or ()))]
    lengths = [len(each) for each in found] or [0]
    return Familiar(
        words=frozenset(word for each in found for word in each),
        shortest=min(lengths), longest=max(lengths), texts=len(found),
    )  # fmt: skip


def remark(known: Familiar, texts: Sequence[str], title: str) -> str:
    """In which words and in what length these texts differ from the train texts of a task, in
    Markdown; empty if in none.
    """
    typed = [words(text) for text in texts]
    new = list(dict.fromkeys(w for each in typed for w in each if w not in known.words))
    parts = list[str]()
    if new:
        more = f" and {len(new) - MOST} more" * (len(new) > MOST)
        count = "one word is" if len(new) == 1 else f"{len(new)} words are"
        parts.append(f"{count} in none of them: {plain(', '.join(new[:MOST]))}{more}")
    odd = [len(each) for each in typed if not known.shortest <= len(each) <= known.longest]
    if odd:
        size = f"{odd[0]} word{'s' * (odd[0] != 1)}"
        parts.append(f"its length, {size}, is outside theirs, {known.shortest} to {known.longest}")
    if not parts:
        return ""
    return (
        f"This text differs from the {known.texts:,} train texts of {plain(title)}: "
        f"{'; '.join(parts)}. The answers may be unreliable."
    )
