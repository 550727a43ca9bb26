"""Built-in inference tasks: does the premise entail it, does the sentence answer the question.

Every construction comes as a minimal pair: both labels use the same words in another
arrangement, or draw the same choices symmetrically, so that no single word gives the label away.
"""

import random
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.texts.example import Example, Generator

_LEXICON: Mapping[str, Any] = tomllib.loads(
    (Path(__file__).parent / "words" / "inference.toml").read_text(encoding="utf-8")
)


def _words(table: str, key: str) -> tuple[str, ...]:
    return tuple(str(word) for word in _LEXICON[table][key])


@dataclass(frozen=True)
class _Person:
    name: str
    pronoun: str


@dataclass(frozen=True)
class _Verb:
    base: str
    past: str
    rare: str
    objects: tuple[str, ...] = ()

    def told(self, rare: bool) -> str:
        """The past form, in the common or the rarer wording."""
        return self.rare if rare else self.past


@dataclass(frozen=True)
class _Converse:
    tell: tuple[str, str]
    rare: tuple[str, str]
    about: str


@dataclass(frozen=True)
class _Opposite:
    pair: tuple[str, str]
    of: tuple[str, ...]
    both: bool


@dataclass(frozen=True)
class _Fact:
    ask: str
    tell: str
    rare: str
    of: str


def _pair(values: Sequence[str]) -> tuple[str, str]:
    return values[0], values[1]


def _verb(forms: Sequence[str], objects: Sequence[str] = ()) -> _Verb:
    return _Verb(forms[0], forms[1], forms[2], tuple(objects))


_PERSONS = tuple(
    _Person(name, pronoun)
    for pronoun in ("she", "he")
    for name in _LEXICON["names"][pronoun].split()
)
_NAMES = frozenset(person.name for person in _PERSONS)
_PROFESSIONS = _words("people", "professions")
_RELATIVES = _words("people", "relatives")
_KINDS: dict[str, tuple[str, ...]] = {
    str(kind): tuple(members) for kind, members in _LEXICON["kinds"].items()
}
_HYPERNYMS = tuple(_KINDS)
_PLURALS: dict[str, str] = dict(_LEXICON["plurals"])
_GOODS = tuple(word for kind in _words("things", "goods") for word in _KINDS[kind])
_CITIES = tuple(str(_LEXICON["where"]["cities"]).split())
_PLACES = _words("where", "sites") + tuple(f"in {city}" for city in _CITIES)
_TIMES = _words("when", "phrases")
_SETTINGS = (  # phrases that exclude one another
    tuple(f"in {city}" for city in _CITIES),
    _words("where", "sites"),
    tuple(phrase for phrase in _TIMES if phrase.endswith("day") and phrase.startswith("on")),
    tuple(phrase for phrase in _TIMES if phrase.startswith("in ") and phrase[-1] in "yhletsrb"),
    tuple(phrase for phrase in _TIMES if phrase[-1].isdigit()),
)
_HOURS = _words("when", "hours")
_REASONS = _words("why", "clauses")
_BRIEF_REASONS = tuple(reason for reason in _REASONS if len(reason.split()) <= 4)
_RARE_LINKS = _words("why", "rare_links")
_NUMBERS = _words("numbers", "words")
_MANY = _NUMBERS + _words("numbers", "large")
_VAGUE = _words("numbers", "vague")
_ACTIONS = tuple(_verb(row["forms"], row["objects"]) for row in _LEXICON["actions"])
_ALONE = tuple(_verb(row["forms"]) for row in _LEXICON["alone"])
_HANDLING = tuple(_verb(forms) for forms in _LEXICON["handling"]["forms"])
_ACTS = tuple(zip(_words("acts", "past"), _words("acts", "participle"), strict=True))
_CONVERSES = tuple(
    _Converse(_pair(row["tell"]), _pair(row["rare"]), row.get("about", ""))
    for row in _LEXICON["converses"]
)
_COMPARE_PERSONS = tuple(_pair(pair) for pair in _LEXICON["compare"]["persons"])
_COMPARE_THINGS = tuple(_pair(pair) for pair in _LEXICON["compare"]["things"])
_OPPOSITES = tuple(
    _Opposite(_pair(row["pair"]), tuple(row["of"]), row.get("both", False))
    for row in _LEXICON["opposites"]
)
_FACT_VERBS = _words("knowing", "facts")
_STATES = _words("knowing", "states")
_DONE = _words("implicative", "yes")
_UNDONE = _words("implicative", "no")
_FACTS = tuple(_Fact(row["ask"], row["tell"], row["rare"], row["of"]) for row in _LEXICON["facts"])


# --- small helpers -------------------------------------------------------------------------------


def _flip(rng: random.Random) -> bool:
    return rng.random() < 0.5


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _question(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}?"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' and not noun.startswith('uni') else 'a'} {noun}"


def _plural(noun: str) -> str:
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith(("s", "x", "ch", "sh")) or noun in ("mango", "potato", "tomato"):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def _names(rng: random.Random, count: int) -> list[str]:
    return [person.name for person in rng.sample(_PERSONS, count)]


def _people(rng: random.Random, count: int) -> list[str]:
    """Distinct persons, by name or by profession."""
    if rng.random() < 0.65:
        return _names(rng, count)
    return [f"the {job}" for job in rng.sample(_PROFESSIONS, count)]


def _swap(first: str, second: str, keep: bool) -> tuple[str, str]:
    return (first, second) if keep else (second, first)


def _object(rng: random.Random, about: str, definite: bool) -> str:
    if about == "goods":
        noun = rng.choice(_GOODS)
        return f"the {noun}" if definite else _a(noun)
    if about == "messages":
        message = rng.choice(_words("things", "messages"))
        return f"the {message.split(' ', 1)[1]}" if definite else message
    return rng.choice(_words("things", "skills")) if about == "skills" else ""


def _aside(rng: random.Random) -> str:
    """A time phrase that changes nothing, or nothing."""
    return f" {rng.choice(_TIMES)}" if rng.random() < 0.35 else ""


# --- entailment ----------------------------------------------------------------------------------

_Pair = tuple[str, str]


def _converse(rng: random.Random, label: int) -> _Pair:
    """`A sold it to B` against `B bought it from A` or `A bought it from B`."""
    entry = rng.choice(_CONVERSES)
    x, y = _people(rng, 2)
    thing = _object(rng, entry.about, definite=False)
    told, asked = _swap(*entry.tell, keep=_flip(rng))
    first, second = _swap(x, y, keep=label == 1)
    aside = _aside(rng) if entry.about else ""
    premise = told.format(x=x, y=y, o=thing) + aside
    return _sentence(premise), _sentence(asked.format(x=first, y=second, o=thing))


def _passive(rng: random.Random, label: int) -> _Pair:
    """`A thanked B` against `B was thanked by A` or `A was thanked by B`."""
    past, participle = rng.choice(_ACTS)
    x, y = _people(rng, 2)
    first, second = _swap(x, y, keep=label == 1)
    active, passive = "{x} {past}{e} {y}", "{y} was {part} by {x}"
    verb, _, rest = past.partition(" ")
    if rest:
        active = "{x} {past} {y} {e}"
    told, asked = _swap(active, passive, keep=_flip(rng))
    premise = told.format(x=x, y=y, past=verb, e=rest, part=participle) + _aside(rng)
    return _sentence(premise), _sentence(
        asked.format(x=first, y=second, past=verb, e=rest, part=participle)
    )


def _hypernym(rng: random.Random, label: int) -> _Pair:
    """Up and down the hierarchy, with and without negation; or up to another kind."""
    person = _people(rng, 1)[0]
    verb = rng.choice(_HANDLING)
    kind, other = rng.sample(_HYPERNYMS, 2)
    low, aside = rng.choice(_KINDS[kind]), _aside(rng)
    if rng.random() < 0.4:
        high = kind if label == 1 else other
        return (
            _sentence(f"{person} {verb.past} {_a(low)}{aside}"),
            _sentence(f"{person} {verb.past} {_a(high)}{aside}"),
        )
    negated = _flip(rng)
    told = f"{person} did not {verb.base}" if negated else f"{person} {verb.past}"
    first, second = _swap(low, kind, keep=(label == 1) != negated)
    return (
        _sentence(f"{told} {_a(first)}{aside}"),
        _sentence(f"{told} {_a(second)}{aside}"),
    )


def _quantity(rng: random.Random, label: int) -> _Pair:
    """All, some, none; or numbers with bounds."""
    noun = rng.choice(_KINDS[rng.choice(_words("things", "furnishings"))])
    place, state = rng.choice(_words("where", "sites")), rng.choice(_STATES)
    if _flip(rng):
        every = _flip(rng)
        many = f"{'all' if every else 'none'} of the {_plural(noun)} {place} were {state}"
        start = "at least one" if every == (label == 1) else "not every"
        return _sentence(many), _sentence(f"{start} {noun} {place} was {state}")
    told, bound = rng.sample(range(len(_NUMBERS)), 2)
    above = (told > bound) == (label == 1)
    limit = rng.choice(("at least", "more than") if above else ("at most", "fewer than"))
    things = f"{_plural(noun)} {place} were {state}"
    return (
        _sentence(f"exactly {_NUMBERS[told]} {things}"),
        _sentence(f"{limit} {_NUMBERS[bound]} {things}"),
    )


def _compared(rng: random.Random, count: int) -> tuple[list[str], tuple[str, str]]:
    if rng.random() < 0.65:
        return _people(rng, count), rng.choice(_COMPARE_PERSONS)
    nouns = rng.sample(
        [noun for kind in ("lamp", "seat", "boat", "building") for noun in _KINDS[kind]], count
    )
    return [f"the {noun}" for noun in nouns], rng.choice(_COMPARE_THINGS)


def _than(adjective: str, first: str, second: str) -> str:
    return f"{first} is {adjective} than {second}"


def _comparison(rng: random.Random, label: int) -> _Pair:
    """`A is taller than B` against `B is shorter than A`; or a chain of three."""
    chain = _flip(rng)
    things, pair = _compared(rng, 3 if chain else 2)
    adjective, opposite = _swap(*pair, keep=_flip(rng))
    if not chain:
        low, high = _swap(things[1], things[0], keep=label == 1)
        return _sentence(_than(adjective, *things)), _sentence(_than(opposite, low, high))
    links = [_than(adjective, things[0], things[1]), _than(adjective, things[1], things[2])]
    rng.shuffle(links)
    high, low = _swap(things[0], things[2], keep=label == 1)
    asked = _than(adjective, high, low) if _flip(rng) else _than(opposite, low, high)
    return _sentence(", and ".join(links)), _sentence(asked)


def _opposite(rng: random.Random, label: int) -> _Pair:
    """What holds of a thing and what therefore does not: open, not shut."""
    entry = rng.choice(_OPPOSITES)
    first, second = _swap(*entry.pair, keep=_flip(rng))
    noun, negated = rng.choice(entry.of), entry.both and _flip(rng)
    states = {True: first, False: f"not {second}"}
    wrong = {True: second, False: f"not {first}"}
    told = states[not negated]
    asked = (states if label == 1 else wrong)[_flip(rng)]
    start = f"the {noun} was"
    premise = f"{_people(rng, 1)[0]} {rng.choice(_FACT_VERBS)} that {start} {told}"
    return _sentence(premise), _sentence(f"{start} {asked}")


def _ordered(early: str, late: str, form: int) -> str:
    return (
        f"{early} before {late}",
        f"{late} after {early}",
        f"before {late}, {early}",
        f"after {early}, {late}",
    )[form]


def _time_order(rng: random.Random, label: int) -> _Pair:
    """`A left before B sang` against `B sang after A left`, or the other way round."""
    verbs = rng.sample(_ALONE, 2)
    x, y = _people(rng, 2)
    early, late = f"{x} {verbs[0].past}", f"{y} {verbs[1].past}"
    told, asked = rng.sample(range(4), 2)
    first, second = _swap(early, late, keep=label == 1)
    return _sentence(_ordered(early, late, told)), _sentence(_ordered(first, second, asked))


def _deed(rng: random.Random) -> tuple[_Verb, str]:
    verb = rng.choice(_ACTIONS)
    return verb, rng.choice(verb.objects)


def _deeds(rng: random.Random) -> tuple[tuple[_Verb, str], tuple[_Verb, str]]:
    first, second = rng.sample(_ACTIONS, 2)
    one = rng.choice(first.objects)
    two = rng.choice([thing for thing in second.objects if thing != one])
    return (first, one), (second, two)


def _conjunction(rng: random.Random, label: int) -> _Pair:
    """Who of two did which of two things; or both, neither, one but not the other."""
    x, y = _people(rng, 2)
    if _flip(rng):
        deeds = [f"{verb.past} {thing}" for verb, thing in _deeds(rng)]
        premise = f"{x} {deeds[0]}, and {y} {deeds[1]}"
        asked = rng.randrange(2)
        who = (x, y)[asked if label == 1 else 1 - asked]
        return _sentence(premise), _sentence(f"{who} {deeds[asked]}")
    verb, thing = _deed(rng)
    which, asked = rng.randrange(4), rng.randrange(2)
    done = (asked == 0, asked == 1, True, False)[which]
    start = (f"{x}, but not {y},", f"not {x} but {y}", f"both {x} and {y}", f"neither {x} nor {y}")
    told = f"{start[which]} {verb.past} {thing}{_aside(rng)}"
    return _sentence(told), _sentence(_claim((x, y)[asked], verb, thing, done == (label == 1)))


def _claim(who: str, verb: _Verb, thing: str, done: bool) -> str:
    return f"{who} {verb.past} {thing}" if done else f"{who} did not {verb.base} {thing}"


def _implicative(rng: random.Random, label: int) -> _Pair:
    """`managed to` means done, `forgot to` means not done."""
    verb, thing = _deed(rng)
    who, done = _people(rng, 1)[0], _flip(rng)
    means = rng.choice(_DONE if done else _UNDONE)
    premise = f"{who} {means} {verb.base} {thing}"
    return _sentence(premise), _sentence(_claim(who, verb, thing, done == (label == 1)))


_ENTAILMENT: dict[str, Callable[[random.Random, int], _Pair]] = {
    "converse": _converse,
    "passive": _passive,
    "hypernym": _hypernym,
    "quantity": _quantity,
    "comparison": _comparison,
    "opposite": _opposite,
    "time_order": _time_order,
    "conjunction": _conjunction,
    "implicative": _implicative,
}


# --- answerability -------------------------------------------------------------------------------

_ASKED = ("where", "when", "why", "who")


def _adjunct(
    rng: random.Random, asked: str, pronoun: str, rare: bool = False, brief: bool = False
) -> str:
    """A phrase that answers the given kind of question."""
    if asked == "where":
        return rng.choice(_PLACES)
    if asked == "when":
        return rng.choice(_TIMES)
    if asked == "why":
        link = rng.choice(_RARE_LINKS) if rare else "because"
        return f"{link} {pronoun} {rng.choice(_BRIEF_REASONS if brief else _REASONS)}"
    return f"{'in the company of' if rare else 'with'} {_a(rng.choice(_RELATIVES))}"


def _ask(asked: str, who: str, doing: str) -> str:
    """The question about one adjunct of what somebody did."""
    if asked == "who":
        return _question(f"who did {who} {doing} with")
    return _question(f"{asked} did {who} {doing}")


def _asked_or_not(rng: random.Random, label: int, count: int) -> tuple[str, list[str]]:
    """A kind of question and `count` kinds of information, among them the asked one or not."""
    asked = rng.choice(_ASKED)
    others = rng.sample([kind for kind in _ASKED if kind != asked], count)
    if label == 1:
        others[0] = asked
    others.sort(key=("who", "where", "when", "why").index)
    return asked, others


def _information(rng: random.Random, label: int, rare: bool) -> _Pair:
    """The sentence tells where, when, why or with whom; the question asks one of them."""
    person = rng.choice(_PERSONS)
    verb, thing = _deed(rng)
    asked, told = _asked_or_not(rng, label, rng.choice((1, 1, 2)))
    extra = " ".join(_adjunct(rng, kind, person.pronoun, rare) for kind in told)
    text = f"{person.name} {verb.told(rare)} {thing} {extra}"
    return _ask(asked, person.name, f"{verb.base} {thing}"), _sentence(text)


def _other_person(rng: random.Random, label: int, rare: bool) -> _Pair:
    """Two did the same; the asked information is given about one of them."""
    asker, other = rng.sample(_PERSONS, 2)
    verb = rng.choice(_ALONE)
    asked, second = rng.sample(_ASKED[:3], 2)
    who, whom = (asker, other) if label == 1 else (other, asker)
    parts = [
        f"{who.name} {verb.told(rare)} {_adjunct(rng, asked, who.pronoun, rare, brief=True)}",
        f"{whom.name} {verb.told(rare)} {_adjunct(rng, second, whom.pronoun, rare, brief=True)}",
    ]
    rng.shuffle(parts)
    return _ask(asked, asker.name, verb.base), _sentence(", and ".join(parts))


def _other_action(rng: random.Random, label: int, rare: bool) -> _Pair:
    """One person did two things; the asked information is given about one of them."""
    person = rng.choice(_PERSONS)
    deeds = list(_deeds(rng))
    verb, thing = deeds[0]
    asked, second = rng.sample(_ASKED[:3], 2)
    kinds = [asked, second] if label == 1 else [second, asked]
    parts = [
        f"{deed.told(rare)} {what} {_adjunct(rng, kind, person.pronoun, rare, brief=True)}"
        for (deed, what), kind in zip(deeds, kinds, strict=True)
    ]
    rng.shuffle(parts)
    text = f"{person.name} {', and later '.join(parts)}"
    return _ask(asked, person.name, f"{verb.base} {thing}"), _sentence(text)


def _role(rng: random.Random, label: int, rare: bool) -> _Pair:
    """`Who sold it to A?` against who bought it from A and from whom A bought it."""
    entry = rng.choice(_CONVERSES)
    known, other = _people(rng, 2)
    thing = _object(rng, entry.about, definite=True)
    side = rng.randrange(2)
    roles = {"x": "who", "y": known} if side == 0 else {"x": known, "y": "who"}
    x, y = _swap(known, other, keep=(side == 1) == (label == 1))
    told = rng.choice(entry.rare if rare else entry.tell)
    return (
        _question(entry.tell[side].format(o=thing, **roles)),
        _sentence(told.format(x=x, y=y, o=thing)),
    )


def _how_many(rng: random.Random, label: int, rare: bool) -> _Pair:
    """The number belongs to the thing and the person asked about, or to another."""
    verb = rng.choice(_HANDLING)
    told, number, same = verb.told(rare), rng.choice(_MANY), _flip(rng)
    vague = rng.choice(_VAGUE) if same else "some"
    kind = _KINDS[rng.choice(_HYPERNYMS)]
    noun, extra = (_plural(word) for word in rng.sample(kind, 2))
    who, other = _people(rng, 2)
    mine, theirs = _swap(number, vague, keep=label == 1)
    if same:
        parts = [f"{mine} {noun}", f"{theirs} {extra}"]
        rng.shuffle(parts)
        text = f"{who} {told} {' and '.join(parts)}"
    else:
        parts = [f"{who} {told} {mine} {noun}", f"{other} {told} {theirs}"]
        if _flip(rng):
            parts = [f"{other} {told} {theirs} {noun}", f"{who} {told} {mine}"]
        text = ", while ".join(parts)
    return _question(f"how many {noun} did {who} {verb.base}"), _sentence(text)


def _what_there(rng: random.Random, label: int, rare: bool) -> _Pair:
    """What somebody did in one of two places."""
    person, deeds = rng.choice(_PERSONS), _deeds(rng)
    here, there = rng.sample(rng.choice(_SETTINGS), 2)
    places = [here, there] if label == 1 else [there, here]
    parts = [
        f"{place} {{}} {verb.told(rare)} {thing}"
        for place, (verb, thing) in zip(places, deeds, strict=True)
    ]
    rng.shuffle(parts)
    text = f"{parts[0].format(person.name)}, and {parts[1].format(person.pronoun)}"
    return _question(f"what did {person.name} {deeds[0][0].base} {here}"), _sentence(text)


def _value(rng: random.Random, of: str) -> str:
    if of == "job":
        return _a(rng.choice(_PROFESSIONS))
    if of == "collected":
        return rng.choice(_words("things", "collected"))
    if of == "age":
        return rng.choice(_words("numbers", "ages"))
    if of == "instrument":
        return rng.choice(_KINDS["instrument"])
    if of == "pet":
        return _a(rng.choice(_words("things", "pets")))
    if of == "colour":
        return rng.choice(_words("things", "colours"))
    return rng.choice(_words("things", "languages") if of == "language" else _CITIES)


def _stated(rng: random.Random, fact: _Fact, rare: bool) -> str:
    return (fact.rare if rare else fact.tell).format(v=_value(rng, fact.of))


def _attribute(rng: random.Random, label: int, rare: bool) -> _Pair:
    """Facts about two persons; the asked one is about the right person or not."""
    who, other = _names(rng, 2)
    asked, second = rng.sample(_FACTS, 2)
    if rng.random() < 0.4:
        third = rng.choice([fact for fact in _FACTS if fact not in (asked, second)])
        told = [asked if label == 1 else third, second]
        rng.shuffle(told)
        text = f"{who} {' and '.join(_stated(rng, fact, rare) for fact in told)}"
        return asked.ask.format(n=who), _sentence(text)
    first, last = _swap(who, other, keep=label == 1)
    parts = [f"{first} {_stated(rng, asked, rare)}", f"{last} {_stated(rng, second, rare)}"]
    rng.shuffle(parts)
    return asked.ask.format(n=who), _sentence(", and ".join(parts))


def _start_end(rng: random.Random, label: int, rare: bool) -> _Pair:
    """Start or end of an event or a journey; the sentence gives one of them."""
    start = _flip(rng)
    told = "start" if start == (label == 1) else "end"
    asked = "start" if start else "end"
    if _flip(rng):
        event = rng.choice(_words("events", "names"))
        verb = rng.choice(_words("events", f"rare_{told}" if rare else told))
        ask = rng.choice(_words("events", f"{asked}_ask"))
        text = f"the {event} in {rng.choice(_CITIES)} {verb} {rng.choice(_HOURS)}"
        return _question(f"when did the {event} {ask}"), _sentence(text)
    person = rng.choice(_PERSONS)
    verb = rng.choice(_words("trips", "rare" if rare else "verbs"))
    ask = rng.choice(_words("trips", "begin_ask" if start else "end_ask"))
    way = f"{'from' if told == 'start' else 'to'} {rng.choice(_CITIES)}"
    extra = _adjunct(rng, rng.choice(("when", "why", "who")), person.pronoun)
    return ask.format(n=person.name), _sentence(f"{person.name} {verb} {way} {extra}")


_ANSWERABILITY: dict[str, Callable[[random.Random, int, bool], _Pair]] = {
    "information": _information,
    "other_person": _other_person,
    "other_action": _other_action,
    "role": _role,
    "how_many": _how_many,
    "what_there": _what_there,
    "attribute": _attribute,
    "start_end": _start_end,
}


# --- answerability under attack ------------------------------------------------------------------


def _any_answerability(rng: random.Random, label: int, rare: bool) -> _Pair:
    return _ANSWERABILITY[rng.choice(tuple(_ANSWERABILITY))](rng, label, rare)


def _token(rng: random.Random) -> str:
    """A handle, a tag or an address, as in posts."""
    word, number = rng.choice(_words("noise", "words")), rng.randrange(2, 99)
    other = rng.choice(_words("noise", "words"))
    return rng.choice(
        (
            f"@{word}_{number}",
            f"#{word}",
            f"#{word}{other}",
            f"https://{word}.example/{other}{number}",
        )
    )


def _inside(text: str) -> str:
    """The text as it reads after a comma: a small first letter unless it starts with a name."""
    first = text.split(maxsplit=1)[0].rstrip(",")
    return text if first in _NAMES else f"{text[0].lower()}{text[1:]}"


def _noisy(rng: random.Random, text: str) -> str:
    """The text with something irrelevant before or after it."""
    way = rng.randrange(4)
    if way == 0:
        return f"{_token(rng)} {text}"
    if way == 1:
        return f"{text} {_token(rng)}"
    opener = rng.choice(_words("noise", "ask_openers" if text.endswith("?") else "openers"))
    if way == 2 or text.endswith("?"):
        return f"{opener} {_inside(text)}"
    return f"{text[:-1]}, {rng.choice(_words('noise', 'asides'))}."


def _about_another(rng: random.Random, label: int) -> _Pair:
    """The asked kind of information is given about somebody else as well."""
    person, other = rng.sample(_PERSONS, 2)
    verb, thing = _deed(rng)
    asked, told = _asked_or_not(rng, label, 1)
    verb_else = rng.choice(_ALONE)
    clause = f"{other.name} {verb_else.past} {_adjunct(rng, asked, other.pronoun, brief=True)}"
    main = f"{person.name} {verb.past} {thing} {_adjunct(rng, told[0], person.pronoun, brief=True)}"
    question = _ask(asked, person.name, f"{verb.base} {thing}")
    if rng.random() < 0.3:
        return f"{clause}, but {question[0].lower()}{question[1:]}", _sentence(main)
    parts = [main, clause]
    if _flip(rng):
        parts.reverse()
    return question, _sentence(", but ".join(parts))


def _distraction(rng: random.Random, label: int) -> _Pair:
    if rng.random() < 0.4:
        return _about_another(rng, label)
    question, text = _any_answerability(rng, label, False)
    return (_noisy(rng, question), text) if _flip(rng) else (question, _noisy(rng, text))


def _not_the_place(rng: random.Random, label: int) -> _Pair:
    """`not in A but in B` still answers, `but not in A` does not."""
    who = rng.choice(_PERSONS).name
    verb, thing = _deed(rng)
    asked = rng.choice(("where", "when"))
    one, two = rng.sample(rng.choice(_SETTINGS[:2] if asked == "where" else _SETTINGS[2:]), 2)
    question = _ask(asked, who, f"{verb.base} {thing}")
    if label == 0:
        text = f"{who} {verb.past} {thing}, but not {one}"
        return question, _sentence(f"{text} and not {two}" if _flip(rng) else text)
    if _flip(rng):
        return question, _sentence(f"{who} {verb.past} {thing} {one}, but not {two}")
    return question, _sentence(f"{who} did not {verb.base} {thing} {one} but {two}")


def _not_the_person(rng: random.Random, label: int) -> _Pair:
    """`It was not A but B who did it there.`"""
    who, other = _names(rng, 2)
    verb, thing = _deed(rng)
    asked = rng.choice(("where", "when"))
    right, wrong = _swap(who, other, keep=label == 1)
    start = rng.choice(("it was not {w} but {r} who", "not {w} but {r}", "{r}, and not {w},"))
    adjunct = _adjunct(rng, asked, "")
    text = f"{start.format(w=wrong, r=right)} {verb.past} {thing} {adjunct}"
    return _ask(asked, who, f"{verb.base} {thing}"), _sentence(text)


def _nobody_knows(rng: random.Random, label: int) -> _Pair:
    """Ignorance of the asked thing or of another one, beside an answer to one of them."""
    person = rng.choice(_PERSONS)
    verb, thing = _deed(rng)
    asked, other = rng.sample(_ASKED[:3], 2)
    known, unknown = _swap(asked, other, keep=label == 1)
    adjunct = _adjunct(rng, known, person.pronoun)
    lack = rng.choice(("nobody knows", "it is not known", "no one can say"))
    text = f"{person.name} {verb.past} {thing} {adjunct}, but {lack} {unknown}"
    return _ask(asked, person.name, f"{verb.base} {thing}"), _sentence(text)


def _conceded(rng: random.Random, label: int) -> _Pair:
    """A concession that leaves the answer standing, beside the right or the wrong information."""
    person = rng.choice(_PERSONS)
    verb, thing = _deed(rng)
    asked, told = _asked_or_not(rng, label, 1)
    start = rng.choice(
        ("although nobody believed it, {}", "nobody helped, and yet {}", "{}, though not alone")
        if told[0] == "where"
        else ("although nobody believed it, {}", "not without trouble, {}", "nobody denies that {}")
    )
    text = f"{person.name} {verb.past} {thing} {_adjunct(rng, told[0], person.pronoun)}"
    return _ask(asked, person.name, f"{verb.base} {thing}"), _sentence(start.format(text))


def _against_the_will(rng: random.Random, label: int) -> _Pair:
    """`wanted to, but did not` against `did not want to, but did`."""
    who = rng.choice(_PERSONS).name
    verb, thing = _deed(rng)
    asked = rng.choice(("where", "when"))
    doing = f"{verb.base} {thing} {_adjunct(rng, asked, '')}"
    wish = rng.choice(("want", "plan", "need", "intend"))
    if label == 1:
        text = f"{who} did not {wish} to {doing}, but did"
    else:
        text = f"{who} did {wish} to {doing}, but did not"
    return _ask(asked, who, f"{verb.base} {thing}"), _sentence(text)


_NEGATIONS = (_not_the_place, _not_the_person, _nobody_knows, _conceded, _against_the_will)


# --- the generators ------------------------------------------------------------------------------


def _entailment_example(rng: random.Random) -> Example:
    label = rng.randrange(2)
    kind = rng.choice(tuple(_ENTAILMENT))
    premise, hypothesis = _ENTAILMENT[kind](rng, label)
    return Example(text_a=premise, text_b=hypothesis, label=label, kind=kind)


def _answerability_example(rng: random.Random) -> Example:
    label = rng.randrange(2)
    kind = rng.choice(tuple(_ANSWERABILITY))
    question, text = _ANSWERABILITY[kind](rng, label, False)
    return Example(text_a=question, text_b=text, label=label, kind=kind)


def _synonym_example(rng: random.Random) -> Example:
    label = rng.randrange(2)
    question, text = _any_answerability(rng, label, True)
    return Example(text_a=question, text_b=text, label=label, kind="synonym")


def _distraction_example(rng: random.Random) -> Example:
    label = rng.randrange(2)
    question, text = _distraction(rng, label)
    return Example(text_a=question, text_b=text, label=label, kind="distraction")


def _negation_example(rng: random.Random) -> Example:
    label = rng.randrange(2)
    question, text = rng.choice(_NEGATIONS)(rng, label)
    return Example(text_a=question, text_b=text, label=label, kind="negation")


GENERATORS: dict[str, Generator] = {
    "entailment": _entailment_example,
    "answerability": _answerability_example,
}
"""The clean tasks by name."""

ADVERSARIAL: dict[str, Generator] = {
    "synonym": _synonym_example,
    "distraction": _distraction_example,
    "negation": _negation_example,
}
"""Attacks on answerability by name; the label stays right for a careful reader."""


def _by_hand(question: str, text: str, label: int) -> Example:
    return Example(text_a=question, text_b=text, label=label, kind="human")


HAND_WRITTEN: tuple[Example, ...] = (
    _by_hand(
        "Where did Maria move?", "Oslo was too cold for Maria, so she packed up for Lisbon.", 1
    ),
    _by_hand("Where did Maria move?", "Maria was moved to tears when she saw Oslo.", 0),
    _by_hand("Who won the race?", "Peter crossed the line before all the other runners.", 1),
    _by_hand("Who won the race?", "Peter swore that he would win the race.", 0),
    _by_hand("When did the shop close?", "At six the owner locked up the shop for the night.", 1),
    _by_hand("When did the shop close?", "The shop is close to the church on Sunday Street.", 0),
    _by_hand(
        "How many children does Ruth have?", "Besides her twin boys, Ruth has only a daughter.", 1
    ),
    _by_hand(
        "How many children does Ruth have?", "Ruth gave each of her children three apples.", 0
    ),
    _by_hand("Why was the match cancelled?", "Heavy snow put an end to any thought of a match.", 1),
    _by_hand("Why was the match cancelled?", "Nobody told the fans why the match was off.", 0),
    _by_hand("What did Leo lose on the train?", "Leo got off the train without his umbrella.", 1),
    _by_hand(
        "What did Leo lose on the train?", "Leo lost his temper in the office, not on the train.", 0
    ),
    _by_hand("Who wrote the letter to Nora?", "Nora's letter came from the pen of her uncle.", 1),
    _by_hand(
        "Who wrote the letter to Nora?", "Nora answered the letter and wrote to her uncle.", 0
    ),
    _by_hand("Where does the baker live?", "The baker's bedroom is right above his shop.", 1),
    _by_hand("Where does the baker live?", "The baker has never lived in Paris.", 0),
    _by_hand("When was the bridge built?", "The bridge turned a hundred in 2001.", 1),
    _by_hand("When was the bridge built?", "In 1901 the town still had no bridge.", 0),
    _by_hand("Who taught Felix to swim?", "Felix owes his swimming to his grandmother.", 1),
    _by_hand("Who taught Felix to swim?", "Felix taught his grandmother to swim.", 0),
    _by_hand("Why did Clara leave early?", "Clara left early so as not to miss the last bus.", 1),
    _by_hand("Why did Clara leave early?", "Clara left early, and I would love to know why.", 0),
    _by_hand("How many guests came to the party?", "Not one guest turned up at the party.", 1),
    _by_hand("How many guests came to the party?", "Forty people were invited to the party.", 0),
    _by_hand("What does Omar eat for breakfast?", "Omar starts every morning with porridge.", 1),
    _by_hand("What does Omar eat for breakfast?", "Omar eats his breakfast at seven.", 0),
    _by_hand(
        "Where did the thief hide the ring?", "The police found the ring in the thief's shoe.", 1
    ),
    _by_hand(
        "Where did the thief hide the ring?",
        "The ring was stolen while the thief hid in a barn.",
        0,
    ),
    _by_hand(
        "When does the train to Bergen leave?", "Be on the Bergen train by noon or miss it.", 1
    ),
    _by_hand("When does the train to Bergen leave?", "The train from Bergen gets in at noon.", 0),
    _by_hand("Who is Julia's father?", "Julia is the only daughter of Marco the tailor.", 1),
    _by_hand("Who is Julia's father?", "Julia is the mother of Marco the tailor.", 0),
    _by_hand("Why is the river closed to boats?", "A sunken ferry blocks the river for boats.", 1),
    _by_hand(
        "Why is the river closed to boats?",
        "Because the river is closed, boats wait in the port.",
        0,
    ),
    _by_hand("Who paid for the dinner?", "It was Ben, not Hana, who settled the bill.", 1),
    _by_hand("Who paid for the dinner?", "Ben forgot his wallet, so he did not pay for dinner.", 0),
    _by_hand("What colour is Vera's car?", "Vera sold the blue car and now drives a red one.", 1),
    _by_hand("What colour is Vera's car?", "Vera likes red, but her car is another colour.", 0),
    _by_hand("How many books did Ivan read?", "Ivan read all six of the books on his list.", 1),
    _by_hand("How many books did Ivan read?", "Of his six books, Ivan left some unread.", 0),
    _by_hand("Where was the king born?", "The king first saw the light of day in a stable.", 1),
    _by_hand(
        "Where was the king born?", "The king died in the castle in which his son was born.", 0
    ),
    _by_hand("When did Ella stop smoking?", "Ella has not smoked since her birthday in May.", 1),
    _by_hand("When did Ella stop smoking?", "In May Ella stopped at a cafe to smoke.", 0),
    _by_hand("What did the doctor give Tom?", "Tom went home with the doctor's pills.", 1),
    _by_hand("What did the doctor give Tom?", "Tom gave the doctor a box of pills.", 0),
    _by_hand("Who scored for Cork?", "The only goal for Cork came from young Hassan.", 1),
    _by_hand("Who scored for Cork?", "Hassan scored against Cork in the last minute.", 0),
    _by_hand("Why is Rosa angry with Hugo?", "Rosa cannot forgive Hugo for selling her piano.", 1),
    _by_hand("Where is the key to the cellar?", "The key to the attic is under the mat.", 0),
    _by_hand("What does Yuki do for a living?", "Patients fear Yuki and her drill.", 1),
    _by_hand("How old is Otto's sister?", "At forty, Otto is older than his sister.", 0),
)
"""Adversarial answerability pairs, each written by hand."""
