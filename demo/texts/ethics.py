"""Two everyday-ethics tasks: is an excuse reasonable, is a change of treatment fair?

Both rest on *situations*: a fact that may hold or not (the cake has been baked, the bus was
missed), with acts for which the fact, or its absence, is a good reason.  The first text is drawn
without looking at the label, and every reason is good for some acts and bad for others, so the
label lies in neither text nor in single words but in how the two texts fit together.
"""

import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from demo.texts.example import Example, Generator

_WORDS: Mapping[str, Any] = tomllib.loads(
    (Path(__file__).parent / "words" / "ethics.toml").read_text(encoding="utf-8")
)
_T = TypeVar("_T")
_PRONOUNS = {"f": ("she", "her", "her"), "m": ("he", "his", "him")}
_ROLE_SHARE = 0.15
_TIME_SHARE = 0.15
_COMPARISON_SHARE = 0.25
_NAME_SHARE = 0.75
_PRONOUN_SHARE = 0.4


@dataclass(frozen=True)
class _Person:
    name: str  # "~" stands for "my" or "your"
    gender: str

    def words(self, owner: str, *, pronoun: bool = False) -> dict[str, str]:
        """The fillers of the person's placeholders."""
        she, her, him = _PRONOUNS[self.gender]
        name = self.name.replace("~", owner)
        named = (she, her, him) if pronoun else (name, f"{name}'s", name)
        return dict(zip("pgoshm", (*named, she, her, him), strict=True))


@dataclass(frozen=True)
class _Situation:
    ident: str
    who: str
    things: tuple[str, ...]
    reasons: tuple[tuple[str, ...], tuple[str, ...]]  # the fact is absent, the fact holds
    acts: tuple[tuple[str, ...], tuple[str, ...]]  # settled by reasons[0], by reasons[1]
    has_person: bool
    keep_thing: bool


@dataclass(frozen=True)
class _Scene:
    """Who and what the first text is about."""

    situation: _Situation
    person: _Person
    thing: str
    bystander: str


def _situation(entry: Mapping[str, Any]) -> _Situation:
    do = tuple(entry.get("do", ()))
    acts = (tuple(entry.get("if_no", do)), tuple(entry.get("if_yes", do)))
    return _Situation(
        ident=entry["id"],
        who=entry.get("who", "any"),
        things=tuple(entry.get("things", ("",))),
        reasons=(tuple(entry["no"]), tuple(entry["yes"])),
        acts=acts,
        has_person=any(slot in act for act in acts[0] for slot in ("{p}", "{g}")),
        keep_thing=entry.get("keep_thing", False),
    )


def _situations(
    entries: Sequence[Mapping[str, Any]],
) -> tuple[tuple[_Situation, ...], dict[str, tuple[_Situation, ...]]]:
    """All situations, and for each one those whose reasons say nothing about it."""
    near = {(entry["id"], other) for entry in entries for other in entry.get("near", ())}
    situations = tuple(_situation(entry) for entry in entries)
    far = {
        one.ident: tuple(
            other
            for other in situations
            if other is not one
            and other.has_person == one.has_person
            and (one.ident, other.ident) not in near
            and (other.ident, one.ident) not in near
        )
        for one in situations
    }
    return situations, far


def _people(words: Mapping[str, list[str]]) -> dict[str, tuple[_Person, ...]]:
    """Persons with a title, by the kind of person a situation asks for."""
    groups: dict[str, tuple[_Person, ...]] = {}
    for age in ("adult", "child"):
        groups[age] = tuple(
            _Person(name, gender)
            for gender, key in (("f", "female"), ("m", "male"))
            for name in words[f"{key}_{age}"] + words[f"either_{age}"]
        )
    return {**groups, "any": groups["adult"] + groups["child"]}


_NAMED = tuple(
    _Person(name, gender)
    for gender, key in (("f", "female"), ("m", "male"))
    for name in _WORDS["people"][key]
)
_TITLED = _people(_WORDS["people"])
_EXCUSES: Mapping[str, Any] = _WORDS["excuses"]
_TREATMENT: Mapping[str, Any] = _WORDS["treatment"]
_DUTIES, _FAR_DUTIES = _situations(_EXCUSES["situation"])
_HABITS, _FAR_HABITS = _situations(_TREATMENT["situation"])


def _sentence(opener: str, clause: str) -> str:
    return f"{opener} {clause}."


def _other(rng: random.Random, options: Sequence[_T], taken: _T) -> _T:
    """A random option that differs from the one taken."""
    while (option := rng.choice(options)) == taken:
        pass
    return option


def _person(rng: random.Random, who: str, taken: _Person | None = None) -> _Person:
    """Somebody; a person of the same sort as the one taken, if there is one."""
    if taken is None:
        return rng.choice(_NAMED if rng.random() < _NAME_SHARE else _TITLED[who])
    pool = _NAMED if taken in _NAMED else _TITLED[who]
    while (person := rng.choice(pool)).name == taken.name:
        pass
    return person


def _scene(rng: random.Random, situations: Sequence[_Situation]) -> _Scene:
    situation = rng.choice(situations)
    person = _person(rng, situation.who)
    bystander = _other(rng, _NAMED, person).name
    return _Scene(situation, person, rng.choice(situation.things), bystander)


def _fill(scene: _Scene, template: str, owner: str, *, pronoun: bool = False) -> str:
    words = scene.person.words(owner, pronoun=pronoun)
    return template.format(t=scene.thing, n=scene.bystander, **words)


def _flaw(rng: random.Random, scene: _Scene, *, pronoun: bool) -> str:
    """What is wrong with a bad reason."""
    flaws = ["negated", "wrong_domain"]
    if scene.situation.has_person and not pronoun:
        flaws.append("other_person")
    if len(scene.situation.things) > 1 and not scene.situation.keep_thing:
        flaws.append("other_thing")
    return rng.choice(flaws)


def _shift(
    rng: random.Random, scene: _Scene, kind: str, far: Mapping[str, Sequence[_Situation]]
) -> _Scene:
    """The scene that a bad reason is really about."""
    situation, person, thing = scene.situation, scene.person, scene.thing
    if kind == "wrong_domain":
        situation = rng.choice(far[situation.ident])
        thing = rng.choice(situation.things)
    elif kind == "other_person":
        person = _person(rng, situation.who, taken=person)
    elif kind == "other_thing":
        thing = _other(rng, situation.things, thing)
    return _Scene(situation, person, thing, scene.bystander)


def _reason(
    rng: random.Random,
    scene: _Scene,
    fact: int,
    label: int,
    far: Mapping[str, Sequence[_Situation]],
) -> tuple[str, str]:
    """The kind and the clause of a reason; `fact` is the side of the situation that settles."""
    pronoun = scene.situation.has_person and rng.random() < _PRONOUN_SHARE
    kind = "fitting" if label else _flaw(rng, scene, pronoun=pronoun)
    target = _shift(rng, scene, kind, far)
    if kind == "wrong_domain":
        fact = rng.randrange(2)
    elif kind == "negated":
        fact = 1 - fact
    clause = rng.choice(target.situation.reasons[fact])
    return kind, _fill(target, clause, "my", pronoun=pronoun)


def _circumstance(rng: random.Random, label: int) -> Example:
    """An obligation that a fact removes."""
    scene = _scene(rng, _DUTIES)
    fact = rng.randrange(2)
    duty = _fill(scene, rng.choice(scene.situation.acts[fact]), "your")
    kind, clause = _reason(rng, scene, fact, label, _FAR_DUTIES)
    lead = rng.choice(_EXCUSES["leads"])
    openers = _EXCUSES["answers" if lead.endswith("?") else "openers"]
    return Example(
        text_a=lead.format(duty),
        text_b=_sentence(rng.choice(openers), clause),
        label=label,
        kind=kind,
    )


def _two_people(rng: random.Random) -> tuple[_Person, _Person]:
    first = rng.choice(_NAMED)
    return first, _other(rng, _NAMED, first)


def _wish(rng: random.Random, label: int) -> Example:
    """The one who is owed may waive a promise; the one who owes may not."""
    debtor, creditor = _two_people(rng)
    duty = rng.choice(_EXCUSES["role"]["duties"])
    duty = duty.format(r=creditor.name, rg=f"{creditor.name}'s")
    speaker = creditor if label else debtor
    clause = rng.choice(_EXCUSES["role"]["wishes"])
    clause = clause.format(x=speaker.name, h=_PRONOUNS[speaker.gender][1])
    verb = rng.choice(_EXCUSES["role"]["verbs"]).format(h=_PRONOUNS[debtor.gender][1])
    return Example(
        text_a=f"{debtor.name} {verb} to {duty}.",
        text_b=_sentence("But", clause),
        label=label,
        kind="waived" if label else "preference",
    )


def _distant(rng: random.Random, times: Sequence[str], gap: int, label: int) -> tuple[str, str]:
    """Two equal times, or two that lie at least `gap` apart around the cycle."""
    first = rng.randrange(len(times))
    step = 0 if label else rng.randint(gap, len(times) - gap)
    return times[first], times[(first + step) % len(times)]


def _hindrance(rng: random.Random, label: int) -> Example:
    """A serious hindrance excuses, but only at the time of the obligation."""
    times = _WORDS["times"]
    if rng.random() < 0.5:
        due, hindered = (f"on {day}" for day in _distant(rng, times["days"], 2, label))
    else:
        due, hindered = (f"in {month}" for month in _distant(rng, times["months"], 3, label))
    duty = rng.choice(_EXCUSES["time"]["duties"])
    return Example(
        text_a=rng.choice(_EXCUSES["leads"]).format(f"{duty} {due}"),
        text_b=_sentence("But", f"{rng.choice(_EXCUSES['time']['reasons'])} {hindered}"),
        label=label,
        kind="right_time" if label else "other_time",
    )


def excuses(rng: random.Random) -> Example:
    """An obligation and an excuse; label 1 if the excuse removes this obligation."""
    label = rng.randrange(2)
    share = rng.random()
    if share < _ROLE_SHARE:
        return _wish(rng, label)
    if share < _ROLE_SHARE + _TIME_SHARE:
        return _hindrance(rng, label)
    return _circumstance(rng, label)


def _change(rng: random.Random, label: int) -> Example:
    """A habit that was broken, in either direction, and why."""
    scene = _scene(rng, _HABITS)
    started = rng.randrange(2)
    habit = _fill(scene, rng.choice(scene.situation.acts[started]), "my")
    frame = rng.choice(_TREATMENT["started" if started else "stopped"])
    kind, clause = _reason(rng, scene, started, label, _FAR_HABITS)
    return Example(
        text_a=frame.format(habit, rng.choice(_TREATMENT["whens"])),
        text_b=_sentence("Because", clause),
        label=label,
        kind=kind,
    )


def _comparison(rng: random.Random, label: int) -> Example:
    """Two people treated differently; fair if the one who deserves more gets more."""
    first, second = _two_people(rng)
    entry = rng.choice(_TREATMENT["comparison"])
    more = rng.randrange(2)
    frame = rng.choice(entry["more" if more else "less"])
    deserving = first if more == label else second
    return Example(
        text_a=frame.format(p=first.name, r=second.name),
        text_b=_sentence("Because", rng.choice(entry["reasons"]).format(x=deserving.name)),
        label=label,
        kind="deserved" if label else "swapped",
    )


def treatment(rng: random.Random) -> Example:
    """A change of treatment and its reason; label 1 if the reason makes the change fair."""
    label = rng.randrange(2)
    if rng.random() < _COMPARISON_SHARE:
        return _comparison(rng, label)
    return _change(rng, label)


GENERATORS: dict[str, Generator] = {"excuses": excuses, "treatment": treatment}
