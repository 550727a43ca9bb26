"""Sentiment texts whose label follows from structure rather than from single words.

Most clean constructions combine a polarity word with a marker that keeps or flips it, the others
set a good word against a bad one so that only order decides. Label 1 is positive, 0 negative.
"""

import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.texts.example import Example, Generator

__all__ = ["ADVERSARIAL", "GENERATORS", "HAND_WRITTEN"]

FLIP_RATE = 0.42
"""How often a polarity word is flipped; below a half, so that words carry a slight hint."""
LONG_FLIP_RATE = 0.28
"""The same for long reviews, where concessions and mixed judgements dilute the hint."""

Words = tuple[str, ...]
Polar = tuple[Words, Words]
"""Negative words first, so that a label is the index."""


@dataclass(frozen=True)
class Group:
    """Nouns of one aspect and the words that judge them."""

    singular: Words
    plural: Words
    words: Polar


@dataclass(frozen=True)
class Domain:
    """A kind of thing under review with its aspects and its neutral sentences."""

    things: Words
    words: Polar
    nouns: Polar
    verbs: Polar
    sides: tuple[Group, ...]
    extras: Words = ()
    neutral: Words = ()
    again: str = ""
    instead: str = ""


Domains = tuple[Domain, ...]
Builder = Callable[[random.Random, Domain, int], str]


# ---------------------------------------------------------------- lexicon


def _split(text: str, separator: str = ",") -> Words:
    return tuple(part.strip() for part in text.split(separator))


def _polar(table: dict[str, str], prefix: str = "") -> Polar:
    return _split(table[f"{prefix}neg"]), _split(table[f"{prefix}pos"])


def _with_general(own: Polar, general: Polar) -> Polar:
    return own[0] + general[0][:4], own[1] + general[1][:4]


def _load() -> dict[str, Any]:
    path = Path(__file__).parent / "words" / "sentiment.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


_RAW = _load()
_FILL: dict[str, Words] = {key: _split(text) for key, text in _RAW["fill"].items()}
_GENERAL = _polar(_RAW["general"])
_GENERAL_NOUNS = (_split(_RAW["general"]["neg_noun"]), _split(_RAW["general"]["pos_noun"]))


def _group(table: dict[str, str], rare: bool) -> Group:
    words = _polar(_RAW["rare"], table["rare"] + "_") if rare else _polar(table)
    return Group(_split(table["s"]), _split(table["p"]), words)


def _domain(table: dict[str, str], rare: bool) -> Domain:
    own = _with_general(_polar(table), _GENERAL)
    words = _polar(_RAW["rare"], table["rare"] + "_") if rare else own
    return Domain(
        things=_split(table["things"]),
        words=words,
        nouns=words if rare else _GENERAL_NOUNS,
        verbs=_polar(_RAW["verbs"][table["verbs"]]),
        sides=tuple(_group(_RAW["group"][name], rare) for name in _split(table["sides"])),
        extras=_split(table["extras"], "|"),
        neutral=_split(table["neutral"], "|"),
        again=table["again"],
        instead=table["instead"],
    )


def _opinion_domain(table: dict[str, str]) -> Domain:
    part = Group(_split(table["parts"]), (), _polar(table, "part_"))
    words = _polar(table)
    return Domain(_split(table["things"]), words, words, words, (part,))


REVIEWS: Domains = tuple(_domain(table, rare=False) for table in _RAW["domain"].values())
RARE: Domains = tuple(_domain(table, rare=True) for table in _RAW["domain"].values())
OPINIONS: Domains = tuple(_opinion_domain(table) for table in _RAW["opinion"].values())


# ---------------------------------------------------------------- small parts


def _fill(rng: random.Random, template: str) -> str:
    """Replace every {slot} by a random word of that list; {lname} is lower case."""
    while "{" in template:
        start = template.index("{")
        end = template.index("}", start)
        key = template[start + 1 : end]
        lower = key not in _FILL
        word = rng.choice(_FILL[key[1:] if lower else key])
        template = template[:start] + (word.lower() if lower else word) + template[end + 1 :]
    return template


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _a(word: str) -> str:
    vowel = word[0] in "aeiou" and not word.startswith(("use", "uni", "one"))
    return f"an {word}" if vowel else f"a {word}"


def _polarity(rng: random.Random, label: int, rate: float = FLIP_RATE) -> tuple[int, int]:
    """Draw (polarity, flip) whose exclusive or is the label."""
    flip = int(rng.random() < rate)
    return label ^ flip, flip


def _word(rng: random.Random, domain: Domain, polarity: int) -> str:
    return rng.choice(domain.words[polarity])


def _predicate(rng: random.Random, domain: Domain, polarity: int) -> str:
    """An adjective or, one time in four, a noun phrase such as 'a joy'."""
    words = domain.nouns if rng.random() < 0.25 else domain.words
    return rng.choice(words[polarity])


def _aspect(rng: random.Random, group: Group) -> tuple[str, str]:
    """A noun phrase of the group and its verb."""
    index = rng.randrange(len(group.singular) + len(group.plural))
    if index < len(group.singular):
        return f"the {group.singular[index]}", "was"
    return f"the {group.plural[index - len(group.singular)]}", "were"


def _thing(rng: random.Random, domain: Domain) -> str:
    return f"{rng.choice(('the', 'this'))} {rng.choice(domain.things)}"


def _opening(rng: random.Random) -> str:
    text = _fill(rng, rng.choice(_FILL["opening"]))
    return text + (" " if text.endswith(":") else ", ")


_KEEP = (
    "truly", "quite", "simply", "certainly", "clearly", "always", "really", "in every way",
)  # fmt: skip
_FLIP = (
    "hardly", "not", "never", "anything but", "far from", "by no means", "not at all",
    "not in the least",
)  # fmt: skip
_KEEP_NOUN = ("truly", "simply", "certainly", "clearly")
_FLIP_NOUN = ("hardly", "never", "anything but", "far from", "by no means")
_VERB = (
    ("truly", "certainly", "clearly", "always"),
    ("never once", "never really", "in no way", "never"),
)


def _adverb(rng: random.Random, flip: int, predicate: str) -> str:
    if predicate.startswith(("a ", "an ")):
        return rng.choice(_FLIP_NOUN if flip else _KEEP_NOUN)
    return rng.choice(_FLIP if flip else _KEEP)


# ---------------------------------------------------------------- short reviews


def _statement(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    if rng.random() < 0.3:
        group = rng.choice(domain.sides)
        subject, verb = _aspect(rng, group)
        predicate = rng.choice(group.words[polarity])
    else:
        subject, verb = _thing(rng, domain), "was"
        predicate = _predicate(rng, domain, polarity)
    return f"{subject} {verb} {_adverb(rng, flip, predicate)} {predicate}"


def _deed(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    verb = rng.choice(domain.verbs[polarity])
    return f"{_thing(rng, domain)} {rng.choice(_VERB[flip])} {verb}"


_CALL = (
    ("anyone would call", "everyone would call", "you can safely call", "I can only call"),
    ("no one would call", "nobody would call", "you can hardly call", "I could never call"),
)


def _denial(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    call = rng.choice(_CALL[flip])
    return f"{call} {_thing(rng, domain)} {_predicate(rng, domain, polarity)}"


_EXPECT = (
    "I expected {} to be {}", "we thought {} would be {}", "I assumed {} would be {}",
    "we took it for granted that {} would be {}", "I was told {} would be {}",
)  # fmt: skip
_OUTCOME = (
    (", and it was", ", and that was true", ", and I was right", ", and so it turned out"),
    (", and it was not", ", and that was false", ", and I was wrong", ", but not so"),
)


def _expectation(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    predicate = _predicate(rng, domain, polarity)
    start = rng.choice(_EXPECT).format(_thing(rng, domain), predicate)
    outcome = rng.choice(_OUTCOME[flip])
    if start.startswith("we"):
        outcome = outcome.replace("I was", "we were")
    if "I was told" in start:
        outcome = outcome.replace("I was right", "that was right")
        outcome = outcome.replace("I was wrong", "that was wrong")
    return start + outcome


_AGAINST = ("although", "even though", "though", "while")


def _concession(rng: random.Random, domain: Domain, label: int) -> str:
    """The main clause, or the one after 'but', wins over an aspect."""
    group = rng.choice(domain.sides)
    aspect, verb = _aspect(rng, group)
    minor = f"{aspect} {verb} {rng.choice(group.words[1 - label])}"
    major = f"{_thing(rng, domain)} was {_word(rng, domain, label)}"
    roll = rng.random()
    if roll < 0.35:
        return f"{rng.choice(_AGAINST)} {minor}, {major}"
    if roll < 0.65:
        return f"{major}, {rng.choice(_AGAINST)} {minor}"
    return f"{minor}, {rng.choice(('but', 'yet'))} {major}"


_OTHER = (
    "one before it", "one {name} chose", "one in {city}", "last one", "one we had in {month}",
    "one {name} likes", "one from {city}",
)  # fmt: skip


def _comparison(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    adjective, thing = _word(rng, domain, polarity), rng.choice(domain.things)
    other = _fill(rng, rng.choice(_OTHER))
    if not flip:
        degree = rng.choice(("just as", "every bit as", "fully as", "quite as"))
        return f"this {thing} was {degree} {adjective} as the {other}"
    if rng.random() < 0.4 and other != "last one":
        return f"this {thing} was everything that the {adjective} {other} was not"
    degree = rng.choice(("nowhere near as", "not nearly as", "nothing like as"))
    return f"this {thing} was {degree} {adjective} as the {other}"


_SAY = ("say so", "admit it", "mention it", "say it aloud", "write so")
_TO = ("to anyone", "to any friend", "again", "to {name}", "any day")


def _counterfactual(rng: random.Random, domain: Domain, label: int) -> str:
    """'Had it been' denies, 'it had been' affirms."""
    polarity, flip = _polarity(rng, label)
    predicate, thing = _predicate(rng, domain, polarity), _thing(rng, domain)
    would = f"I would {rng.choice(_SAY)}"
    if flip:
        start = (f"had {thing} been {predicate}", f"if {thing} had been {predicate}")
        return f"{rng.choice(start)}, {would}"
    return f"{thing} had been {predicate}, and {would} {_fill(rng, rng.choice(_TO))}"


def _wish(rng: random.Random, domain: Domain, label: int) -> str:
    """Only the order of 'this' and 'last' tells which of the two is praised."""
    thing, word = rng.choice(domain.things), _word(rng, domain, 1)
    wish = rng.choice(("I wish", "if only", "we both wish", "how I wish"))
    last = rng.choice(("last", "previous"))
    if label:
        return f"{wish} the {last} {thing} had been as {word} as this one"
    return f"{wish} this {thing} had been as {word} as the {last} one"


_MANY = (
    ("most of", "nearly all of", "all of", "nine in ten of", "almost all of"),
    ("hardly any of", "none of", "very few of", "one in ten of", "almost none of"),
)


def _quantity(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    group = rng.choice(domain.sides)
    noun, word = rng.choice(group.plural), rng.choice(group.words[polarity])
    return f"{rng.choice(_MANY[flip])} the {noun} were {word}"


_STAYS = (
    "it is {} that matters to me", "it is {} that decides it for me",
    "what counts in the end is {}", "what stays with us is {}",
)  # fmt: skip


def _weighing(rng: random.Random, domain: Domain, label: int) -> str:
    """Two aspects are judged and one of them is said to count."""
    group = rng.choice(domain.sides)
    first, second = rng.sample(group.singular, 2)
    good, bad = rng.choice(group.words[1]), rng.choice(group.words[0])
    flipped = rng.random() < 0.5
    words = (bad, good) if flipped else (good, bad)
    chosen = first if words[0] == (good if label else bad) else second
    stays = rng.choice(_STAYS).format(f"the {chosen}")
    return f"the {first} was {words[0]}, the {second} was {words[1]}, and {stays}"


_SHORT: dict[str, Builder] = {
    "statement": _statement,
    "deed": _deed,
    "denial": _denial,
    "expectation": _expectation,
    "concession": _concession,
    "comparison": _comparison,
    "counterfactual": _counterfactual,
    "wish": _wish,
    "quantity": _quantity,
    "weighing": _weighing,
}
_MAX_SHORT = 20


def _count(text: str) -> int:
    return len(text.split())


def _dress(rng: random.Random, domain: Domain, core: str) -> str:
    """Add an opening or a neutral second sentence when there is room."""
    roll = rng.random()
    text = f"{_capital(core)}."
    if roll < 0.4:
        text = f"{_capital(_opening(rng))}{core}."
    elif roll < 0.8:
        extra = _fill(rng, rng.choice(domain.extras))
        text = f"{text} {extra}" if roll < 0.6 else f"{extra} {text}"
    return text if _count(text) <= _MAX_SHORT else f"{_capital(core)}."


def _short(rng: random.Random, domains: Domains, label: int) -> tuple[str, str]:
    """A clean short review over the given lexicon, with its kind."""
    kind = rng.choice(tuple(_SHORT))
    domain = rng.choice(domains)
    return _dress(rng, domain, _SHORT[kind](rng, domain, label)), kind


def short_reviews(rng: random.Random) -> Example:
    """One or two sentences about a thing that was eaten, seen, bought or visited."""
    label = rng.randrange(2)
    text, kind = _short(rng, REVIEWS, label)
    return Example(text_a=text, label=label, kind=kind)


# ---------------------------------------------------------------- long reviews


def _judge(
    rng: random.Random, words: Polar, noun: str, value: int, rate: float = LONG_FLIP_RATE
) -> str:
    polarity, flip = _polarity(rng, value, rate)
    word = rng.choice(words[polarity])
    return f"{noun} was {_adverb(rng, flip, word)} {word}"


def _two_aspects(rng: random.Random, domain: Domain) -> tuple[Group, str, str]:
    group = rng.choice(domain.sides)
    first, second = rng.sample(group.singular, 2)
    return group, f"the {first}", f"the {second}"


def _mixed(rng: random.Random, domain: Domain) -> str:
    """A sentence with one good and one bad aspect, in either order."""
    group, first, second = _two_aspects(rng, domain)
    words = [rng.choice(group.words[0]), rng.choice(group.words[1])]
    rng.shuffle(words)
    return f"{_capital(first)} was {words[0]} and {second} was {words[1]}."


_REASON = (
    "In the end it was {} that decided it for us.", "What counts most for us, though, is {}.",
    "Of the two, {} mattered far more to me.", "Whatever {name} says, I judge it by {}.",
)  # fmt: skip


def _named_aspect(rng: random.Random, domain: Domain, label: int) -> list[str]:
    group, first, second = _two_aspects(rng, domain)
    values = rng.choice(((0, 1), (1, 0)))
    chosen = first if values[0] == label else second
    one = _judge(rng, group.words, first, values[0])
    two = _judge(rng, group.words, second, values[1])
    reason = _fill(rng, rng.choice(_REASON).format(chosen, name="{name}"))
    return [f"{_capital(one)}, while {two}.", reason]


def _majority(rng: random.Random, domain: Domain, label: int) -> list[str]:
    """Two of three aspects of the same group agree with the label."""
    group = rng.choice(domain.sides)
    nouns = rng.sample(group.singular, 3)
    values = [label, label, 1 - label]
    rng.shuffle(values)
    parts = [
        _judge(rng, group.words, f"the {noun}", value)
        for noun, value in zip(nouns, values, strict=True)
    ]
    return [f"{_capital(parts[0])}.", f"{_capital(parts[1])}, and {parts[2]}."]


_SUM = ("All in all,", "On the whole,", "Taken together,", "To sum up,")


def _verdict(rng: random.Random, domain: Domain, label: int) -> list[str]:
    polarity, flip = _polarity(rng, label, LONG_FLIP_RATE)
    predicate = _predicate(rng, domain, polarity)
    end = f"{_thing(rng, domain)} was {_adverb(rng, flip, predicate)} {predicate}."
    return [_mixed(rng, domain), f"{rng.choice(_SUM)} {end}"]


_HEARD = (
    "We had been told that {} would be {}.", "Every notice I saw called {} {}.",
    "{name} had described {} as {}.", "I had often heard {} called {}.",
)  # fmt: skip
_GUESSED = ("I had made up my mind that {} would be {}.", "We had guessed that {} would be {}.")
_HEARD_TRUTH = (
    ("What we heard was true.", "That report was correct.", "Those words proved right."),
    ("What we heard was untrue.", "That report was mistaken.", "Those words proved wrong."),
)
_GUESS_TRUTH = (
    ("That guess was correct.", "And that opinion proved right."),
    ("That guess was mistaken.", "But that opinion proved wrong."),
)


def _rumour(rng: random.Random, domain: Domain, label: int) -> list[str]:
    """Something said or guessed beforehand turns out true or untrue."""
    polarity, flip = _polarity(rng, label, LONG_FLIP_RATE)
    predicate, thing = _predicate(rng, domain, polarity), _thing(rng, domain)
    heard = rng.random() < 0.65
    template = rng.choice(_HEARD if heard else _GUESSED)
    start = template.format(thing, predicate, name=rng.choice(_FILL["name"]))
    truth = rng.choice((_HEARD_TRUTH if heard else _GUESS_TRUTH)[flip])
    return [start, rng.choice(domain.neutral), truth]


_TURN = (
    ("At first", "After a while"), ("To begin with", "Later on"),
    ("At the outset", "Before long"), ("Early on", "Soon enough"),
)  # fmt: skip
_STAYED = (
    "and it stayed that way", "and that did not change", "and that is how we left it",
    "and so it remained",
)  # fmt: skip


def _turn(rng: random.Random, domain: Domain, label: int) -> list[str]:
    """The later state counts; the two may be told in either order."""
    early, late = rng.choice(_TURN)
    thing = _thing(rng, domain)
    first, last = _word(rng, domain, 1 - label), _word(rng, domain, label)
    stayed, neutral = rng.choice(_STAYED), rng.choice(domain.neutral)
    if rng.random() < 0.6:
        return [
            f"{early}, {thing} was {first}.", neutral, f"{late} it was {last}, {stayed}.",
        ]  # fmt: skip
    return [f"{late}, {thing} was {last}, {stayed}.", f"{early}, it had been {first}.", neutral]


def _despite(rng: random.Random, domain: Domain, label: int) -> list[str]:
    """Two aspects are granted, and the whole is judged the other way."""
    group, first, second = _two_aspects(rng, domain)
    granted = rng.choice(("Yes,", "Granted,", "True,", "Of course"))
    still = rng.choice(("For all that,", "Even so,", "Nevertheless,", "All the same,"))
    one = _judge(rng, group.words, first, 1 - label, 0.5)
    two = _judge(rng, group.words, second, 1 - label, 0.5)
    end = _judge(rng, domain.words, _thing(rng, domain), label)
    return [f"{granted} {one}, and {two}.", f"{still} {end}."]


def _question(rng: random.Random, domain: Domain, label: int) -> list[str]:
    """Would we again / rather not, answered with yes or no."""
    again = rng.randrange(2)
    yes = again == label
    wish = domain.again if again else f"rather {domain.instead}"
    who = rng.choice(("we", "I"))
    answer = f"{_capital(who)} would." if yes else f"{_capital(who)} would not."
    return [_mixed(rng, domain), f"Would {who} {wish}?", answer]


LongBuilder = Callable[[random.Random, Domain, int], list[str]]
_LONG: dict[str, LongBuilder] = {
    "named_aspect": _named_aspect,
    "majority": _majority,
    "verdict": _verdict,
    "rumour": _rumour,
    "turn": _turn,
    "despite": _despite,
    "question": _question,
}


def _pad(rng: random.Random, domain: Domain, body: list[str]) -> str:
    """Put neutral sentences before (and once between) until 30 words are reached."""
    used = set(body)
    neutral = [text for text in domain.neutral if text not in used]
    rng.shuffle(neutral)
    extras = list(domain.extras)
    rng.shuffle(extras)
    parts = [extras[0], *body]
    if _count(" ".join(parts)) < 30:
        parts.insert(rng.choice((1, 1, 2)) if len(body) > 2 else 1, neutral[0])
    if len(parts) < 5 and (_count(" ".join(parts)) < 30 or rng.random() < 0.3):
        parts.insert(1, neutral[1])
    text = _fill(rng, " ".join(parts))
    if _count(text) < 30:
        text = text.replace(". ", _fill(rng, f". {neutral[2]} "), 1)
    return text


def long_reviews(rng: random.Random) -> Example:
    """Three to five sentences with neutral detail and mixed judgements."""
    label = rng.randrange(2)
    kind = rng.choice(tuple(_LONG))
    domain = rng.choice(REVIEWS)
    text = _pad(rng, domain, _LONG[kind](rng, domain, label))
    return Example(text_a=text, label=label, kind=kind)


# ---------------------------------------------------------------- opinions


def _new(rng: random.Random, domain: Domain) -> str:
    return f"{rng.choice(('the', 'this', 'the new', 'this new'))} {rng.choice(domain.things)}"


_LOW = (
    ("is lowkey", "is so", "is really", "is super", "is properly", "is just plain"),
    ("is not", "ain't", "is so not", "is anything but", "is never", "isn't even remotely"),
)


def _post(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    word = _word(rng, domain, polarity)
    return f"{_new(rng, domain)} {rng.choice(_LOW[flip])} {word}"


_CLAIM = (
    ("gotta say", "trust me,", "can confirm", "i'd bet money", "no doubt"),
    ("can't say", "no way", "nobody can claim", "wouldn't say", "it's a lie that"),
)


def _claim(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    return f"{rng.choice(_CLAIM[flip])} {_new(rng, domain)} is {_word(rng, domain, polarity)}"


_SAID = (
    ("said everyone ever", "said literally everybody", "says the whole street"),
    ("said no one ever", "said literally nobody", "says nobody on the street"),
)


def _said(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    thing = rng.choice(domain.things)
    return f'"what {_a(_word(rng, domain, polarity))} {thing}" {rng.choice(_SAID[flip])}'


_THOUGHT = ("thought", "figured", "was sure", "assumed", "bet {lname}")
_RESULT = (
    ("yep, it is", "called it", "was right", "and yeah, it is", "won that bet"),
    ("nope, it isn't", "wrong again", "was wrong", "and nah, it isn't", "lost that bet"),
)


def _thought(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    start = _fill(rng, rng.choice(_THOUGHT))
    result = rng.choice(_RESULT[flip] if start.startswith("bet") else _RESULT[flip][:4])
    return f"{start} {_new(rng, domain)} would be {_word(rng, domain, polarity)}. {result}"


_PEOPLE = ("everyone", "my sister", "the whole office", "{lname}", "the internet", "my mate")
_REPLY = (
    ("totally right", "spot on", "fair enough", "same here", "agreed"),
    ("totally wrong", "way off", "not fair", "not me", "disagree"),
)


def _hearsay(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    people = _fill(rng, rng.choice(_PEOPLE))
    thing, word = _new(rng, domain), _word(rng, domain, polarity)
    return f"{people} calls {thing} {word}. {rng.choice(_REPLY[flip])}"


def _swap(rng: random.Random, domain: Domain, label: int) -> str:
    """Old for new; the word at 'new' decides, whichever comes first."""
    thing = rng.choice(domain.things)
    old, new = _word(rng, domain, 1 - label), _word(rng, domain, label)
    if rng.random() < 0.5:
        verb = rng.choice(("swapped", "traded", "dropped", "binned"))
        return f"they {verb} the {old} old {thing} for {_a(new)} new one"
    verb = rng.choice(("picked", "went for", "chose", "preferred"))
    return f"they {verb} {_a(new)} new {thing} over the {old} old one"


def _longing(rng: random.Random, domain: Domain, label: int) -> str:
    thing, word = rng.choice(domain.things), _word(rng, domain, 1)
    wish = rng.choice(("wish", "i wish", "if only", "so wish"))
    if label:
        return f"{wish} the old {thing} had been as {word} as this new one"
    return f"{wish} this new {thing} had been as {word} as the old one"


_OFTEN = (
    ("nine times out of ten", "every single time", "day after day", "almost always"),
    ("one time out of ten", "never a single time", "once in a blue moon", "almost never"),
)


def _frequency(rng: random.Random, domain: Domain, label: int) -> str:
    polarity, flip = _polarity(rng, label)
    thing, word = _new(rng, domain), _word(rng, domain, polarity)
    return f"how often is {thing} {word}? {rng.choice(_OFTEN[flip])}"


def _but(rng: random.Random, domain: Domain, label: int) -> str:
    part = domain.sides[0]
    minor = f"the {rng.choice(part.singular)} is {rng.choice(part.words[1 - label])}"
    thing, word = rng.choice(domain.things), _word(rng, domain, label)
    major = f"the {thing} itself is {word}"
    if rng.random() < 0.5:
        return f"{rng.choice(('sure', 'yeah', 'ok'))} {minor} but {major}"
    return f"{major} {rng.choice(('even if', 'even though', 'tho'))} {minor}"


_POSTS: dict[str, Builder] = {
    "post": _post,
    "claim": _claim,
    "said": _said,
    "thought": _thought,
    "hearsay": _hearsay,
    "swap": _swap,
    "longing": _longing,
    "frequency": _frequency,
    "but": _but,
}


def _informal(rng: random.Random, core: str) -> str:
    roll = rng.random()
    text = core
    if roll < 0.65:
        start = rng.choice(_FILL["slang"])
        text = f"{start}{' ' if start.endswith((':', 'so')) else ', '}{core}"
    if roll > 0.4:
        tail = _fill(rng, rng.choice(_FILL["tail"]))
        mark = " ..." if core.endswith('"') else ". "
        longer = f"{text}{mark}{tail}"
        text = longer if _count(longer) <= _MAX_SHORT else text
    return text


def opinions(rng: random.Random) -> Example:
    """A short lower-case post about a thing of everyday life."""
    label = rng.randrange(2)
    kind = rng.choice(tuple(_POSTS))
    core = _POSTS[kind](rng, rng.choice(OPINIONS), label)
    return Example(text_a=_informal(rng, core), label=label, kind=kind)


# ---------------------------------------------------------------- adversarial short reviews


def synonym(rng: random.Random) -> Example:
    """A clean construction with polarity words the clean generator never uses."""
    label = rng.randrange(2)
    kinds = tuple(kind for kind in _SHORT if kind != "deed")
    domain = rng.choice(RARE)
    core = _SHORT[rng.choice(kinds)](rng, domain, label)
    return Example(text_a=_dress(rng, domain, core), label=label, kind="synonym")


_TOKENS = (
    "@{lname}{number}", "#{lday}notes", "#{lcity}{number}", "www.{lcity}-{lday}.example/{number}",
    "(photo {number}.jpg)", "[via {lname}-mobile]", "#review{number} @{lname}",
)  # fmt: skip
_ASIDES = (
    "My neighbour's new puppy is adorable, by the way.", "It rained horribly all that day.",
    "The parking meter outside swallowed my coins, sadly.", "{name} had just won a lovely prize.",
    "I have a nasty cold as I write this.", "The sunset over {city} was glorious that evening.",
    "Taxes are due next week, which I hate.", "{name}'s birthday cake, by the way, was perfect.",
    "My football team lost badly on {day}.", "I love {month} more than any other month.",
)  # fmt: skip
_REJECTED = (
    '"{word}," {name} said of {thing}, and {name} could not have been more mistaken.',
    'One critic wrote that {thing} was "{word}"; I disagree completely.',
    'Ignore whoever called {thing} "{word}"; it is the opposite.',
    'A man at the door muttered "{word}" about {thing}. What nonsense!',
    'The brochure for {thing} says "{word}", which is a plain lie.',
    'My uncle found {thing} "{word}". I found it just the reverse.',
)  # fmt: skip


def _rejected(rng: random.Random, label: int) -> str:
    domain = rng.choice(REVIEWS)
    word, thing = _word(rng, domain, 1 - label), _thing(rng, domain)
    template = rng.choice(_REJECTED)
    if template.startswith('"{word}'):
        word = _capital(word)
    return template.format(word=word, thing=thing, name=rng.choice(_FILL["name"]))


def distraction(rng: random.Random) -> Example:
    """A clean review with irrelevant matter, or a quoted judgement that is rejected."""
    label = rng.randrange(2)
    roll = rng.random()
    if roll < 0.34:
        return Example(text_a=_rejected(rng, label), label=label, kind="distraction")
    domain = rng.choice(REVIEWS)
    core = _capital(_SHORT[rng.choice(tuple(_SHORT))](rng, domain, label)) + "."
    template = rng.choice(_TOKENS if roll < 0.67 else _ASIDES)
    noise = _fill(rng, template.replace("{number}", str(rng.randrange(2, 9999))))
    text = f"{noise} {core}" if rng.random() < 0.5 else f"{core} {noise}"
    return Example(text_a=text, label=label, kind="distraction")


_KEEPERS = (
    "It would be wrong to say that {thing} was not {word}.",
    "I cannot deny that {thing} was {word}.",
    "It is not true that {thing} was not {word}.",
    "Nobody I know doubts that {thing} was {word}.",
    "Not only was {thing} {word}, it was so from the first minute.",
    "There was no moment when {thing} was not {word}.",
    "{thing} never stopped being {word}.",
    "{thing} did not for a minute fail to be {word}.",
    "Not even {name}, who disputes everything, could deny that {thing} was {word}.",
    "I am not saying this lightly: {thing} was {word}.",
)  # fmt: skip
_FLIPPERS = (
    "It would be wrong to say that {thing} was {word}.",
    "I do not think anybody found {thing} {word}.",
    "It is not true that {thing} was {word}.",
    "Nobody I know believes that {thing} was {word}.",
    "There was no moment when {thing} was {word}.",
    "Not for a minute did {thing} seem {word}.",
    "I cannot see how {name} could think {thing} was {word}, because it just was not.",
    "{thing} was many things, {word} not among them.",
    "Whatever else you say of {thing}, do not say that it was {word}.",
    "Neither {name} nor I found {thing} at all {word}; quite the opposite.",
)  # fmt: skip


def negation(rng: random.Random) -> Example:
    """Double negation and unusual scope."""
    label = rng.randrange(2)
    flip = rng.randrange(2)
    domain = rng.choice(REVIEWS)
    template = rng.choice(_FLIPPERS if flip else _KEEPERS)
    text = template.format(
        thing=_thing(rng, domain),
        word=_word(rng, domain, label ^ flip),
        name=rng.choice(_FILL["name"]),
    )
    return Example(text_a=_capital(text), label=label, kind="negation")


GENERATORS: dict[str, Generator] = {
    "short_reviews": short_reviews,
    "long_reviews": long_reviews,
    "opinions": opinions,
}
ADVERSARIAL: dict[str, Generator] = {
    "synonym": synonym,
    "distraction": distraction,
    "negation": negation,
}

_HAND_POSITIVE: Words = (
    "I brought earplugs to the recital and am ashamed that I ever packed them.",
    "The only thing wrong with this bakery is that I do not live above it.",
    "My husband, who hates musicals, asked whether we could stay for the late show too.",
    "Do not read this novel on a work night; I was a wreck at nine the next morning.",
    "I have tried to break this drill for six years and it has beaten me every time.",
    "Bad news for my diet: the pancake place is across the road and open late.",
    "The ghost story scared me so badly that I have already bought the sequel.",
    "We complained just once, and that was when they told us it was closing time.",
    "What a terrible idea it was to share one dessert instead of ordering two.",
    "I cried, my wife cried, the usher cried, and we would all pay to do it again.",
    "There is nothing fancy about this hostel and nothing I would change either.",
    "My old raincoat leaked in a drizzle; this one stood up to a gale.",
    "Three hours in hard seats, and nobody in our row so much as looked at a watch.",
    "The reviews said slow and dreary; I can only guess they were at a different play.",
    "If all hotels were like this one, I would never bother going home.",
    "You will hate the price of this kettle once and love the kettle every morning.",
    "The queue was horrid, the rain was worse, and I would face both again for that ramen.",
    "I looked for a flaw in this camera so the review would seem fair, and gave up.",
    "The plot makes no sense at all, and I have never laughed so hard in a cinema.",
    "I gave the lecture ten minutes to lose me, and two hours later it still had not.",
    "Who needs a good night's sleep when a thriller refuses to be put down?",
    "The waiter dropped a tray, the lights failed, and it was still our best meal all year.",
)
_HAND_NEGATIVE: Words = (
    "The best part of the concert was finding our car so quickly afterwards.",
    "I have had more fun reading the safety card than I did on this cruise.",
    "Great film, if you need two hours of sleep and have a comfortable seat.",
    "The soup came with a smile, which was the only warm thing about it.",
    "A wonderful cast, a brilliant composer, a huge budget, and not one minute worth keeping.",
    "The brochure promised peace and quiet; it did not mention the motorway.",
    "I loved the first book, which is why finishing this one felt like a duty.",
    "The drill is very quiet, mainly because it no longer turns on.",
    "Excellent coffee maker for anyone who enjoys cleaning and does not care for coffee.",
    "They say the lasagne is to die for, and around midnight I thought I would.",
    "My daughter asked politely whether the funny bit of the comedy was still to come.",
    "I would recommend this hotel warmly to people who have wronged me.",
    "The app is free, and I still feel that I was overcharged.",
    "Such a pretty lamp; what a pity it gives no light.",
    "We laughed a lot during the tragedy, which I doubt was the plan.",
    "The tour guide knew everything about the castle except where it was.",
    "Lovely packaging: I kept the box and sent back the headset.",
    "Nothing could have made that evening class longer, though the teacher certainly tried.",
    "A perfect jacket for dry, warm, windless days, when nobody needs one.",
    "Its fans call the novel brave and beautiful; I call it four hundred pages too long.",
    "I wanted so much to like this bistro, and it would not let me.",
    "If the singing had matched the splendid costumes, we might have stayed past the interval.",
)
HAND_WRITTEN: tuple[Example, ...] = tuple(
    Example(text_a=text, label=label, kind="human")
    for pair in zip(_HAND_POSITIVE, _HAND_NEGATIVE, strict=True)
    for label, text in ((1, pair[0]), (0, pair[1]))
)
"""Adversarial short reviews written one by one; the labels alternate."""
