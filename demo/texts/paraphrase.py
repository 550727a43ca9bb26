"""Built-in paraphrase tasks: pairs of questions or statements that do or do not mean the same.

Most constructions work on *slots*. A slot holds a group of interchangeable phrases. The two texts
of a pair share all groups; a different meaning comes from one real change (another group in one
slot, or two slots that trade places), while both labels get the same amount of rewording.
"""

import random
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from demo.texts.example import Example, Generator

Group = Sequence[str]
Pool = Sequence[Group]
Values = dict[str, str]
Texts = tuple[str, str]
Construction = Callable[[random.Random, int], Texts]

_REWORD = 0.45
_SWAP = "swap"
_ARTICLE = re.compile(r"\b([Aa])n? (?=(\w+))")
_VOWEL_EXCEPTIONS = ("uni", "use", "eu", "one", "ut")
_SILENT_H = ("hour", "honest", "heir")


def _load() -> dict[str, Any]:
    path = Path(__file__).parent / "words" / "paraphrase.toml"
    with path.open("rb") as file:
        return tomllib.load(file)


_DATA = _load()
_SHARED = _DATA["shared"]


def _single(words: Sequence[str]) -> list[list[str]]:
    return [[word] for word in words]


_CITIES = _single(_SHARED["cities"])
_EUROPEAN = next(i for i, city in enumerate(_CITIES) if city == ["Istanbul"])
_NAMES = _single(_SHARED["names"])
_PEOPLE: Pool = _SHARED["people"]
_VERBS: Pool = _SHARED["person_verbs"]
_GOODS: Pool = _SHARED["goods"]
_DAYS: Pool = _DATA["time"]["days"]
_MONTHS: Pool = _DATA["time"]["months"]
_WRAPS: Pool = [_DATA["time"]["wraps"]]


def _article(match: re.Match[str]) -> str:
    word = match.group(2).lower()
    vowel = word[0] in "aeiou" and not word.startswith(_VOWEL_EXCEPTIONS)
    return match.group(1) + ("n " if vowel or word.startswith(_SILENT_H) else " ")


def _polish(text: str) -> str:
    """Sentence case and the right form of the indefinite article."""
    text = _ARTICLE.sub(_article, text)
    return text[0].upper() + text[1:]


def _other(rng: random.Random, items: Sequence[Any], taken: Any) -> Any:
    """A uniformly drawn item that differs from `taken` (there must be one)."""
    while True:
        item = rng.choice(items)
        if item != taken:
            return item


def _groups(rng: random.Random, pools: Mapping[str, Pool]) -> dict[str, Group]:
    chosen = {name: rng.choice(pool) for name, pool in pools.items()}
    if "x" in chosen and "y" in chosen:
        chosen["y"] = _other(rng, pools["y"], chosen["x"])
    return chosen


def _reworded(rng: random.Random, groups: dict[str, Group], changed: str) -> set[str]:
    """The slots whose wording differs in the second text; one at least, if nothing else changed."""
    able = [name for name, group in groups.items() if len(group) > 1 and name != changed]
    chosen = {name for name in able if rng.random() < _REWORD}
    if able and changed in ("", _SWAP) and rng.random() < 0.8:
        chosen.add(rng.choice(able))
    return chosen


def _new_group(
    rng: random.Random, pools: Mapping[str, Pool], groups: dict[str, Group], name: str
) -> Group:
    while True:
        group: Group = _other(rng, pools[name], groups[name])
        if name not in "xy" or group not in (groups.get("x"), groups.get("y")):
            return group


def _values(
    rng: random.Random, label: int, pools: Mapping[str, Pool], vary: Sequence[str]
) -> tuple[Values, Values]:
    groups = _groups(rng, pools)
    changed = "" if label else rng.choice(vary)
    reworded = _reworded(rng, groups, changed)
    first = {name: rng.choice(group) for name, group in groups.items()}
    second = {
        name: _other(rng, groups[name], word) if name in reworded else word
        for name, word in first.items()
    }
    if changed == _SWAP:
        second["x"], second["y"] = second["y"], second["x"]
    elif changed:
        second[changed] = rng.choice(_new_group(rng, pools, groups, changed))
    return (first, second) if rng.random() < 0.5 else (second, first)


def _plain(values: Values) -> str:
    return values["frame"].format(**values)


def _texts(
    rng: random.Random,
    label: int,
    pools: Mapping[str, Pool],
    vary: Sequence[str],
    render: Callable[[Values], str] = _plain,
) -> Texts:
    """Two different texts of the same (label 1) or of different (label 0) meaning."""
    while True:
        first, second = _values(rng, label, pools, vary)
        text_a, text_b = _polish(render(first)), _polish(render(second))
        if text_a != text_b:
            return text_a, text_b


def _timed(values: Values) -> str:
    """A relation between x and y with its time phrase in front or at the end."""
    sentence = values["r"].format(**values)
    if values["frame"].startswith("{t}") and sentence.startswith("in "):
        sentence = sentence[0].lower() + sentence[1:]
    return values["frame"].format(s=sentence, t=values["t"])


def _how_to(rng: random.Random, label: int) -> Texts:
    data = _DATA["how_to"]
    domain = rng.choice(data["domains"])
    pools: dict[str, Pool] = {
        "frame": data["frames"],
        "v": domain["verbs"],
        "o": domain["objects"],
    }
    if rng.random() < 0.5:
        pools["m"] = data["manners"]
        return _texts(rng, label, pools, ("frame", "v", "v", "o", "m"))
    pools["m"] = [[""]]
    return _texts(rng, label, pools, ("frame", "v", "v", "o"))


def _route(rng: random.Random, label: int) -> Texts:
    data = _DATA["route"]
    near = rng.random() < 0.6
    cities = _CITIES[:_EUROPEAN] if near else _CITIES
    modes = data["near" if near else "far"]
    pools = {"frame": data["frames"], "x": cities, "y": cities, "m": modes}
    return _texts(rng, label, pools, (_SWAP, _SWAP, _SWAP, "frame", "x", "y", "m"))


def _convert_text(values: Values) -> str:
    verb, participle, into = values["v"].split(":")
    return values["frame"].format(v=verb, p=participle, into=into, x=values["x"], y=values["y"])


_CONVERTIBLE = [
    _single(_DATA["conversion"][name])
    for name in ("units", "weights", "volumes", "money", "files", "codes", "numbers")
]


def _conversion(rng: random.Random, label: int) -> Texts:
    things = rng.choice(_CONVERTIBLE)
    data = _DATA["conversion"]
    pools = {"frame": data["frames"], "x": things, "y": things, "v": [data["verbs"]]}
    vary = (_SWAP, _SWAP, _SWAP, "frame", "x", "y")
    return _texts(rng, label, pools, vary, _convert_text)


def _compare_text(values: Values) -> str:
    x, y, relation = values["x"], values["y"], values["r"]
    if relation.startswith("~"):
        x, y, relation = y, x, relation[1:]
    return values["frame"].format(x=x, y=y, r=relation)


def _comparison(rng: random.Random, label: int) -> Texts:
    data = _DATA["comparison"]
    domain = rng.choice(data["domains"])
    things = _single(domain["things"])
    pools = {"frame": data["frames"], "x": things, "y": things, "r": domain["relations"]}
    vary = (_SWAP, _SWAP, _SWAP, _SWAP, "frame", "x", "y", "r")
    return _texts(rng, label, pools, vary, _compare_text)


def _question_word(rng: random.Random, label: int) -> Texts:
    data = _DATA["question_word"]
    pools = {"frame": data["frames"], "s": data["subjects"], "v": data["verbs"]}
    return _texts(rng, label, pools, ("frame", "frame", "s", "v"))


def _person_text(values: Values) -> str:
    verb, participle = values["v"].split(":")
    return values["frame"].format(x=values["x"], y=values["y"], v=verb, p=participle)


def _roles(rng: random.Random, label: int) -> Texts:
    frames = _DATA["roles"]["frames"]
    pools = {"frame": frames, "x": _PEOPLE, "y": _PEOPLE, "v": _VERBS}
    vary = (_SWAP, _SWAP, _SWAP, "frame", "x", "y", "v")
    return _texts(rng, label, pools, vary, _person_text)


def _attribute(rng: random.Random, label: int) -> Texts:
    pools = {"frame": _DATA["attribute"]["frames"], "o": _GOODS}
    return _texts(rng, label, pools, ("frame", "o"))


def _place_search(rng: random.Random, label: int) -> Texts:
    data = _DATA["place_search"]
    pools = {
        "frame": data["frames"],
        "a": data["adjectives"],
        "o": data["objects"],
        "c": _CITIES,
    }
    return _texts(rng, label, pools, ("frame", "a", "a", "o", "c"))


_TEAMS = _single(_DATA["contest"]["teams"])
_SCORES = _single(_DATA["contest"]["scores"])


def _contest(rng: random.Random, label: int) -> Texts:
    pools = {
        "frame": _WRAPS,
        "r": _DATA["contest"]["relations"],
        "x": _TEAMS,
        "y": _TEAMS,
        "s": _SCORES,
        "c": _CITIES,
        "t": _DAYS,
    }
    return _texts(rng, label, pools, (_SWAP, _SWAP, _SWAP, "x", "y", "s", "c", "t"), _timed)


def _deed_text(values: Values) -> str:
    participle = values["v"].split(":")[1]
    sentence = values["r"].format(x=values["x"], y=values["y"], p=participle)
    return values["frame"].format(s=sentence, t=values["t"])


_DEED_VERBS = [group for group in _VERBS if group[0] != "choose:chosen"]


def _deed(rng: random.Random, label: int) -> Texts:
    pools = {
        "frame": _WRAPS,
        "r": [_DATA["deed"]["frames"]],
        "x": _PEOPLE,
        "y": _PEOPLE,
        "v": _DEED_VERBS,
        "t": _DAYS,
    }
    return _texts(rng, label, pools, (_SWAP, _SWAP, _SWAP, "x", "y", "v", "t"), _deed_text)


_BULKY = ("sofa", "fridge", "cooker", "plane", "boat", "car", "piano", "motorbike", "trash can")
_ITEMS = [[f"a {word}" for word in group] for group in _GOODS if group[0] not in _BULKY]


def _transfer(rng: random.Random, label: int) -> Texts:
    pools = {
        "frame": _WRAPS,
        "r": _DATA["transfer"]["relations"],
        "x": _NAMES,
        "y": _NAMES,
        "i": _ITEMS,
        "t": _DAYS,
    }
    return _texts(rng, label, pools, (_SWAP, _SWAP, _SWAP, "r", "x", "i", "t"), _timed)


def _cause(rng: random.Random, label: int) -> Texts:
    data = _DATA["cause"]
    pools = {"frame": [data["frames"]], "x": data["events"], "y": data["events"]}
    return _texts(rng, label, pools, (_SWAP, _SWAP, "x", "y"))


_ACTIONS = _single(_DATA["time_order"]["actions"])


def _order_text(values: Values) -> str:
    x_past, x_gerund, x_rest = values["x"].split(" ", 2)
    y_past, y_gerund, y_rest = values["y"].split(" ", 2)
    return values["frame"].format(
        n=values["n"],
        xp=f"{x_past} {x_rest}",
        xg=f"{x_gerund} {x_rest}",
        yp=f"{y_past} {y_rest}",
        yg=f"{y_gerund} {y_rest}",
    )


def _time_order(rng: random.Random, label: int) -> Texts:
    frames = [_DATA["time_order"]["frames"]]
    pools = {"frame": frames, "n": _NAMES, "x": _ACTIONS, "y": _ACTIONS}
    return _texts(rng, label, pools, (_SWAP, _SWAP, _SWAP, _SWAP, "x", "y", "n"), _order_text)


def _trend(rng: random.Random, label: int) -> Texts:
    data = _DATA["trend"]
    pools = {
        "frame": _WRAPS,
        "r": data["relations"],
        "w": data["things"],
        "c": _CITIES,
        "k": data["numbers"],
        "t": _MONTHS,
    }
    return _texts(rng, label, pools, ("r", "r", "w", "c", "k", "t"), _timed)


def _state(rng: random.Random, pair: Sequence[Group], pole: int) -> str:
    """Gives "closed" or "not open" for pole 1, "open" or "not closed" for pole 0."""
    if rng.random() < 0.5:
        return rng.choice(pair[pole])
    return "not " + rng.choice(pair[1 - pole])


def _polarity(rng: random.Random, label: int) -> Texts:
    states = rng.choice(_DATA["polarity"]["states"])
    subject, pair = rng.choice(states["subjects"]), rng.choice(states["pairs"])
    day = rng.choice(_DAYS)
    pole = rng.randrange(2)
    while True:
        texts = []
        for side in (pole, pole if label else 1 - pole):
            sentence = f"{subject} was {_state(rng, pair, side)}"
            frame = rng.choice(_WRAPS[0])
            texts.append(_polish(frame.format(s=sentence, t=rng.choice(day))))
        if texts[0] != texts[1]:
            return texts[0], texts[1]


_QUESTIONS: dict[str, Construction] = {
    "how_to": _how_to,
    "route": _route,
    "conversion": _conversion,
    "comparison": _comparison,
    "question_word": _question_word,
    "roles": _roles,
    "attribute": _attribute,
    "place_search": _place_search,
}
_SENTENCES: dict[str, Construction] = {
    "contest": _contest,
    "deed": _deed,
    "transfer": _transfer,
    "cause": _cause,
    "time_order": _time_order,
    "trend": _trend,
    "polarity": _polarity,
}
_QUESTION_KINDS = tuple(_QUESTIONS)
_SENTENCE_KINDS = tuple(_SENTENCES)


def question_pairs(rng: random.Random) -> Example:
    """Two questions that ask the same (1) or not (0)."""
    label, kind = rng.randrange(2), rng.choice(_QUESTION_KINDS)
    text_a, text_b = _QUESTIONS[kind](rng, label)
    return Example(text_a=text_a, text_b=text_b, label=label, kind=kind)


def sentence_pairs(rng: random.Random) -> Example:
    """Two statements that say the same (1) or not (0)."""
    label, kind = rng.randrange(2), rng.choice(_SENTENCE_KINDS)
    text_a, text_b = _SENTENCES[kind](rng, label)
    return Example(text_a=text_a, text_b=text_b, label=label, kind=kind)


_ATTACK = _DATA["adversarial"]
_RARE: dict[str, str] = dict(_ATTACK["rare"])
_COMMON = re.compile(
    r"(?<!-)(?<!vacuum )\b("
    + "|".join(sorted(map(re.escape, _RARE), key=len, reverse=True))
    + r")\b(?!-| park)"
)


def _with_rare(text: str) -> str:
    return _polish(_COMMON.sub(lambda match: _RARE[match.group(1)], text))


def synonym(rng: random.Random) -> Example:
    """A question pair whose second text uses rarer synonyms."""
    label = rng.randrange(2)
    while True:
        text_a, text_b = _QUESTIONS[rng.choice(_QUESTION_KINDS)](rng, label)
        rare = _with_rare(text_b)
        if rare != text_b:
            return Example(text_a=text_a, text_b=rare, label=label, kind="synonym")


def _junk(rng: random.Random) -> str:
    name = rng.choice(_ATTACK["handles"])
    number = rng.randrange(10, 1000)
    if rng.random() < 0.5:
        return f" @{name}{number}"
    return f" https://{name}.example/{rng.choice('abcdefgh')}{number}"


def _distracted(rng: random.Random, text: str) -> str:
    way = rng.randrange(3)
    if way == 0:
        return text + _junk(rng)
    if way == 1:
        return text + str(rng.choice(_ATTACK["endings"]))
    greeting: str = rng.choice(_ATTACK["greetings"])
    if greeting.endswith("! ") or text.startswith("I "):
        return greeting + text
    return greeting + text[0].lower() + text[1:]


def distraction(rng: random.Random) -> Example:
    """A question pair with something irrelevant added to one of the two."""
    pair = question_pairs(rng)
    text_a, text_b = pair.text_a, pair.text_b or ""
    if rng.random() < 0.5:
        text_a = _distracted(rng, text_a)
    else:
        text_b = _distracted(rng, text_b)
    return Example(text_a=text_a, text_b=text_b, label=pair.label, kind="distraction")


def _keep_forms(rng: random.Random) -> tuple[list[str], list[str]]:
    thing, gerund, base, good = rng.choice(_ATTACK["keep"])
    wanted = [
        f"How do I stop {thing} from {gerund}?",
        f"How can I keep {thing} {good}?",
        f"What is the best way to keep {thing} {good}?",
        f"How can I prevent {thing} from {gerund}?",
        f"What can I do so that {thing} does not {base}?",
    ]
    unwanted = [
        f"How do I make {thing} {base}?",
        f"How can I get {thing} to {base}?",
        f"What can I do so that {thing} will {base}?",
        f"What can I do so that {thing} does not stay {good}?",
    ]
    if re.match(r"my (knives|plants|shirts|windows)", thing):
        wanted = [text.replace("does not", "do not") for text in wanted]
        unwanted = [text.replace("does not", "do not") for text in unwanted]
    return wanted, unwanted


def _outcome_forms(rng: random.Random) -> tuple[list[str], list[str]]:
    good, good_ing, bad, bad_ing, thing = rng.choice(_ATTACK["outcomes"])
    poles = ((good, good_ing, bad, bad_ing), (bad, bad_ing, good, good_ing))
    sides = [
        [
            f"How can I {verb} {thing}?",
            f"What is the surest way to {verb} {thing}?",
            f"How can I avoid {other_ing} {thing}?",
            f"What should I do to not {other} {thing}?",
            f"What helps with {verb_ing} {thing}?",
            f"What is the surest way of not {other_ing} {thing}?",
        ]
        for verb, verb_ing, other, other_ing in poles
    ]
    return sides[0], sides[1]


def _why_forms(rng: random.Random) -> tuple[list[str], list[str]]:
    states = rng.choice(_DATA["polarity"]["states"])
    subject, pair = rng.choice(states["subjects"]), rng.choice(states["pairs"])
    sides = []
    for pole in (0, 1):
        words, others = pair[pole], pair[1 - pole]
        forms = [f"Why is {subject} {word}?" for word in words]
        forms += [f"Why is {subject} not {word}?" for word in others]
        forms += [f"What is the reason that {subject} is not {word}?" for word in others]
        forms += [f"What is the reason that {subject} is {word}?" for word in words]
        sides.append(forms)
    return sides[0], sides[1]


def negation(rng: random.Random) -> Example:
    """Two questions with negations or opposites that keep or flip the meaning."""
    label = rng.randrange(2)
    sides = list(rng.choice((_keep_forms, _outcome_forms, _why_forms))(rng))
    rng.shuffle(sides)
    if label:
        text_a, text_b = rng.sample(sides[0], 2)
    else:
        text_a, text_b = rng.choice(sides[0]), rng.choice(sides[1])
    return Example(text_a=_polish(text_a), text_b=_polish(text_b), label=label, kind="negation")


GENERATORS: dict[str, Generator] = {
    "question_pairs": question_pairs,
    "sentence_pairs": sentence_pairs,
}
ADVERSARIAL: dict[str, Generator] = {
    "synonym": synonym,
    "distraction": distraction,
    "negation": negation,
}


def _human(label: int, pairs: Sequence[Texts]) -> tuple[Example, ...]:
    return tuple(Example(text_a=a, text_b=b, label=label, kind="human") for a, b in pairs)


_HUMAN_SAME: tuple[Texts, ...] = (
    ("How do I stop my bread from drying out?", "What keeps a loaf soft for days?"),
    ("Why is my tea bitter?", "What did I do wrong if my tea tastes harsh?"),
    ("Is a tomato a fruit?", "Do tomatoes count as fruit?"),
    ("How can I fall asleep faster?", "What helps when I lie awake for hours?"),
    ("Do I need a visa for Japan?", "Can I enter Japan without a visa?"),
    ("Who taught Aristotle?", "Whose pupil was Aristotle?"),
    ("How old is the universe?", "How long ago did the universe begin?"),
    ("Can I take scissors on a plane?", "Are scissors banned in hand luggage on flights?"),
    ("How do I get red wine out of a shirt?", "My shirt has a wine stain; how is it removed?"),
    ("What is the tallest mountain on Earth?", "Which peak is higher than all others?"),
    ("Is it bad to skip breakfast?", "Does leaving out the morning meal do harm?"),
    ("How do I quit smoking?", "What is a good way to give up cigarettes?"),
    ("Who borrowed money from Anna?", "To whom did Anna lend money?"),
    ("Why do onions make me cry?", "Why do my eyes water when I chop onions?"),
    ("How far is the moon?", "What distance lies between us and the moon?"),
    ("Is Lima south of Quito?", "Is Quito north of Lima?"),
    ("What should I not eat before surgery?", "Which foods must I avoid before an operation?"),
    ("How do I keep cats out of my garden?", "How can I stop cats from coming into my garden?"),
    ("What is the opposite of brave?", "Which word is the antonym of brave?"),
    ("Is it too late to learn piano at sixty?", "At sixty, can one still take up the piano?"),
    ("Are there any snakes in Ireland?", "Is Ireland free of snakes?"),
    ("How do I make my phone battery last?", "How can I stop my phone from dying so quickly?"),
)
_HUMAN_DIFFERENT: tuple[Texts, ...] = (
    ("How can I fail an eye test?", "How can I pass an eye test?"),
    ("How do I get milk into my tea?", "How do I get tea into my milk?"),
    ("Can a dog eat what a cat eats?", "Can a cat eat what a dog eats?"),
    ("Why did my boss call me?", "Why did I call my boss?"),
    ("How do bees help flowers?", "How do flowers help bees?"),
    ("How do I keep cats in my garden?", "How do I keep cats out of my garden?"),
    ("Who taught Aristotle?", "Who was taught by Aristotle?"),
    ("How many cups make a litre?", "How many litres make a cup?"),
    ("Is it safe to swim after eating?", "Is it safe to eat after swimming?"),
    ("What is the oldest bridge in Rome?", "How old is the bridge in Rome?"),
    ("How do I become a better cook?", "How do I find a better cook?"),
    ("Why is the sky blue at noon?", "Is the sky blue at noon?"),
    ("Where can I learn to fly?", "When can I learn to fly?"),
    ("How do I say no in Greek?", "How do I say yes in Greek?"),
    ("Do more men than women snore?", "Do more women than men snore?"),
    ("How do I open a locked window?", "How do I lock an open window?"),
    ("Which planets have no moons?", "Which planets have moons?"),
    ("How do I lend a friend money?", "How do I borrow money from a friend?"),
    ("Can I travel with an expired passport?", "Can I renew an expired passport?"),
    ("How do I remove paint from glass?", "How do I put paint on glass?"),
    ("Should I eat before I run?", "Should I run before I eat?"),
    ("What does a judge earn in a month?", "What does a judge do in a month?"),
)
HAND_WRITTEN: tuple[Example, ...] = _human(1, _HUMAN_SAME) + _human(0, _HUMAN_DIFFERENT)
