"""Little stories about which many questions can be asked: who, where, when, how many and so on.

The text alone does not tell which question is asked; a hint (in the soft prompt's place) or a
question in words does. Answers are spans of one to three words, or one line that sums the story up.
"""

import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

Tense = Literal["past", "present", "future"]


@dataclass(frozen=True, kw_only=True)
class Story:
    """Who did what, where, when, with whom, and how everybody felt about it."""

    who: str
    with_whom: str
    topic: str
    deed: tuple[str, str, str]  # base, past, third person
    number: str
    things: str
    where: str
    when: str
    colour: str
    glad: bool
    mood: str
    tense: Tense

    @property
    def did(self) -> str:
        """The verb in the story's tense."""
        base, past, third = self.deed
        return {"past": past, "present": third, "future": f"will {base}"}[self.tense]

    def summary(self) -> str:
        """The main event in one line, without number, time and details."""
        return f"{self.who} {self.did} {self.things} {self.where}."


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "words" / name).read_text("utf-8"))


@lru_cache(maxsize=1)
def _words() -> dict[str, Any]:
    return _read("stories.toml")


@lru_cache(maxsize=1)
def _names() -> list[str]:
    return [n for names in _read("inference.toml")["names"].values() for n in names.split()]


def story(rng: random.Random, *, unlike: Story | None = None) -> Story:
    """A story; all its words differ from those of `unlike`, save the tense, which is its."""
    while True:
        drawn = _story(rng, unlike.tense if unlike else rng.choice(get_args(Tense)))
        same = unlike and any(
            getattr(drawn, part) == getattr(unlike, part)
            for part in ("who", "with_whom", "topic", "number", "where", "when", "colour")
        )
        if not same:
            return drawn


def _story(rng: random.Random, tense: Tense) -> Story:
    words, details = _words(), _words()["details"]
    who, with_whom = rng.sample(_names(), 2)
    topic = rng.choice(list(words["topics"]))
    base, past, third = rng.choice(words["topics"][topic]["deeds"])
    cities = [f"in {city}" for city in words["where"]["cities"].split()]
    glad = rng.random() < 0.5
    return Story(
        who=who,
        with_whom=with_whom,
        topic=topic,
        deed=(base, past, third),
        number=rng.choice(details["numbers"].split()),
        things=rng.choice(words["topics"][topic]["things"]),
        where=rng.choice(cities if rng.random() < 0.5 else words["where"]["sites"]),
        when=rng.choice(words["when"][tense]),
        colour=rng.choice(details["colours"].split()),
        glad=glad,
        mood=rng.choice(details["good" if glad else "bad"].split()),
        tense=tense,
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def main_sentence(s: Story, rng: random.Random) -> str:
    """Who did what, where and when; time or place may come first."""
    event = f"{s.who} {s.did} {s.number} {s.things}"
    order = rng.randrange(4)
    if order == 0:
        return f"{_capital(s.when)}, {event} {s.where}."
    if order == 1:
        return f"{_capital(s.where)}, {event} {s.when}."
    return f"{event} {s.where} {s.when}." if order == 2 else f"{event} {s.when} {s.where}."


def details(s: Story, rng: random.Random) -> list[str]:
    """One or two more sentences: company, colour, mood; those that were drawn tell of it."""
    be = {"past": "were", "present": "are", "future": "will be"}[s.tense]
    came = {"past": "came along", "present": "comes along", "future": "will come along"}[s.tense]
    helped = {"past": "helped", "present": "helps", "future": "will help"}[s.tense]
    told = {
        "with_whom": rng.choice((f"{s.with_whom} {came}.", f"{s.with_whom} {helped} a little.")),
        "colour": f"The {s.things} {be} {s.colour}.",
        "mood": f"They {be} {s.mood} about it.",
    }
    if s.topic in _COLOURLESS:
        del told["colour"]
    return [told[part] for part in rng.sample(list(told), rng.choice((1, 2, 2)))]


def text(s: Story, rng: random.Random) -> str:
    """Two or three sentences, the main one first or last."""
    more = details(s, rng)
    main = main_sentence(s, rng)
    return " ".join([main, *more] if rng.random() < 0.8 else [*more, main])


_ANSWERS: dict[str, Callable[[Story], str]] = {
    "who": lambda s: s.who,
    "where": lambda s: s.where,
    "when": lambda s: s.when,
    "how many": lambda s: s.number,
    "what": lambda s: s.things,
    "topic": lambda s: s.topic,
    "tense": lambda s: s.tense,
    "with whom": lambda s: s.with_whom,
    "colour": lambda s: s.colour,
    "mood": lambda s: "positive" if s.glad else "negative",
    "summary": Story.summary,
}
QUESTIONS = tuple(_ANSWERS)
_COLOURLESS = ("music", "sport", "school")
_TOLD = {"with whom": "with_whom", "colour": "colour", "mood": "mood"}


def answer(question: str, s: Story, shown: str) -> str | None:
    """What the text says; None where this text does not tell it."""
    part = _TOLD.get(question)
    if part and getattr(s, part) not in shown:
        return None
    return _ANSWERS[question](s)


def in_words(question: str, s: Story) -> str:
    """The question about this story's main event: `Where did Maria sell boats?`"""
    base = s.deed[0]
    helper = {"past": "did", "present": "does", "future": "will"}[s.tense]
    return {
        "who": f"Who {s.did} {s.things}?",
        "where": f"Where {helper} {s.who} {base} {s.things}?",
        "when": f"When {helper} {s.who} {base} {s.things}?",
        "how many": f"How many {s.things} {helper} {s.who} {base}?",
        "what": f"What {helper} {s.who} {base}?",
    }[question]


ASKED_IN_WORDS = ("who", "where", "when", "how many", "what")
READABLE = ("where", "when", "how many")  # whose answers backbones of this size can find
Row = dict[str, str]


def question_row(rng: random.Random) -> Row:
    """A story and a question about it in words, with its answer."""
    s, asked = story(rng), rng.choice(READABLE)
    told = text(s, rng)
    return {
        "question": in_words(asked, s), "text": told, "answer": answer(asked, s, told) or "",
        "construction": asked,
    }  # fmt: skip


def summary_row(rng: random.Random) -> Row:
    """A story and its main event in one line."""
    s = story(rng)
    return {"text": text(s, rng), "summary": s.summary()}
