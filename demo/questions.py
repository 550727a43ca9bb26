"""Questions with answers in words, for T5: several over the same texts, so that the hint decides.

About stories: who, where, when, how many, what, topic, tense, company, colour, mood, a summary; by
a hint alone, or as a question beside two stories. About the tasks' own texts: what kind of text it
is, and how many sentences it has.
"""

import random
import re
from dataclasses import dataclass

from demo.corpus import Corpus
from demo.texts import GENERATORS, stories

HINTS: dict[str, tuple[str, ...]] = {
    "who": ("who did it", "name of the person", "which person"),
    "where": ("where did it happen", "name of the place", "which place"),
    "when": ("when did it happen", "time of the day or year", "which time"),
    "how many": ("how many were there", "number of things", "which number"),
    "what": ("what was it", "name of the things", "which things"),
    "topic": ("topic of the story", "what is it about", "which topic"),
    "tense": ("past present or future", "tense of the story", "which tense"),
    "with whom": ("who came along", "name of the helper", "which company"),
    "colour": ("colour of the things", "red or blue or green", "which colour"),
    "mood": ("mood of the story", "happy or sad", "which mood"),
    "summary": ("the story in one line", "short summary of the story", "sum it up"),
    "in words": ("answer the question in words", "words that answer", "short answer in words"),
    "kind": ("what kind of text is it", "kind of text", "which kind"),
    "sentences": ("how many sentences are there", "number of sentences", "count the sentences"),
}
KINDS = {
    "short_reviews": "review",
    "long_reviews": "review",
    "opinions": "post",
    "entailment": "statements",
    "answerability": "question",
    "question_pairs": "questions",
    "sentence_pairs": "sentences",
    "excuses": "excuse",
    "treatment": "reason",
}
_SHARES = {**dict.fromkeys(HINTS, 1), "summary": 2, "in words": 5}
_COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven")
_END = re.compile(r"[.!?]+(?=\s|$)")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A text, the words that tell what is asked of it, and the answer in words."""

    question: str
    hint: str
    text_a: str
    text_b: str | None = None
    answer: str


def draw(corpus: Corpus, rng: random.Random, question: str | None = None) -> Asked:
    """A question: mostly by a hint about a story, else in words about two, else about a text."""
    if question is None:
        question = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
    if question in stories.QUESTIONS:
        return about_story(rng, question)
    return in_words(rng) if question == "in words" else about_text(corpus, rng, question)


def about_story(rng: random.Random, asked: str) -> Asked:
    """A hint asks for one part of a story, among those that the text tells."""
    while True:
        s = stories.story(rng)
        text = stories.text(s, rng)
        answer = stories.answer(asked, s, text)
        if answer is not None:
            return Asked(question=asked, hint=_hint(asked, rng), text_a=text, answer=answer)


def in_words(rng: random.Random) -> Asked:
    """A question in words stands before a passage that tells two stories."""
    asked = rng.choice(stories.ASKED_IN_WORDS)
    s = stories.story(rng)
    told = [stories.main_sentence(each, rng) for each in (s, stories.story(rng, unlike=s))]
    rng.shuffle(told)
    return Asked(
        question="in words",
        hint=_hint("in words", rng),
        text_a=stories.in_words(asked, s),
        text_b=" ".join(told),
        answer=stories.answer(asked, s, " ".join(told)) or "",
    )


def about_text(corpus: Corpus, rng: random.Random, asked: str) -> Asked:
    """What kind of text one of the tasks' texts is, or how many sentences it has."""
    task = rng.choice(list(GENERATORS))
    example = corpus.example(task, rng)
    found = len(_END.findall(f"{example.text_a} {example.text_b or ''}"))
    return Asked(
        question=asked,
        hint=_hint(asked, rng),
        text_a=example.text_a,
        text_b=example.text_b,
        answer=KINDS[task] if asked == "kind" else _COUNTS[min(found, len(_COUNTS) - 1)],
    )


def _hint(question: str, rng: random.Random) -> str:
    return rng.choice(HINTS[question])
