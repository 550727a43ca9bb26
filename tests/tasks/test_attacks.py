"""Attacks: how many edits they make, and that they do the same everywhere."""

import random
import re
from dataclasses import replace

import numpy as np
import pytest

from core.base.errors import BadInput
from core.base.specs import from_dict, key, to_dict
from core.tasks import attacks, load_task
from core.tasks.attacks import KINDS, MOST_DOSE, Attack, attacked, doses_of
from core.tasks.data import Examples, load_split

TEXT = "The meal was good, and I think the staff were friendly."
TASKS = ("short_reviews", "answerability", "question_pairs")


@pytest.fixture(params=TASKS)
def examples(request: pytest.FixtureRequest) -> Examples:
    return load_split(load_task(request.param), "validation", 60)


def texts(examples: Examples) -> list[tuple[str, ...]]:
    return [examples.text_a] if examples.text_b is None else [examples.text_a, examples.text_b]


def changed_words(before: str, after: str) -> int:
    """Words that differ, where none was added or lost."""
    pairs = zip(before.split(" "), after.split(" "), strict=True)
    return sum(a != b for a, b in pairs)


def can_slip(word: str) -> bool:
    return len(word) >= 4 and word[:3].isalpha()


# --- doses ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("dose", [1, 2, 3, 5])
def test_a_dose_of_slips_strikes_as_many_words(examples: Examples, dose: int) -> None:
    struck = attacked(examples, Attack(kind="typo", dose=dose))
    for before, after in zip(texts(examples), texts(struck), strict=True):
        for a, b in zip(before, after, strict=True):
            places = sum(map(can_slip, a.split(" ")))
            assert changed_words(a, b) == min(dose, places)


@pytest.mark.parametrize("dose", [1, 2, 3])
def test_a_slip_keeps_both_ends_of_a_word_and_small_words(examples: Examples, dose: int) -> None:
    struck = attacked(examples, Attack(kind="typo", dose=dose))
    for before, after in zip(examples.text_a, struck.text_a, strict=True):
        for a, b in zip(before.split(" "), after.split(" "), strict=True):
            assert (a[0], a[-1]) == (b[0], b[-1])
            assert a == b or can_slip(a)


def test_a_higher_dose_of_slips_adds_to_the_lower_one(examples: Examples) -> None:
    lower, higher = (attacked(examples, Attack(kind="typo", dose=d)) for d in (2, 4))
    for clean, some, more in zip(examples.text_a, lower.text_a, higher.text_a, strict=True):
        words = zip(clean.split(" "), some.split(" "), more.split(" "), strict=True)
        assert all(b == c for a, b, c in words if a != b)


@pytest.mark.parametrize("dose", [1, 3, 5])
def test_asides_are_added_and_the_text_stays(examples: Examples, dose: int) -> None:
    struck = attacked(examples, Attack(kind="distraction", dose=dose))
    lists = attacks._lists()["distraction"]
    for before, after in zip(examples.text_a, struck.text_a, strict=True):
        assert before.rstrip() in after
        assert sum(after.count(aside) for aside in lists["before"] + lists["after"]) == dose


def test_only_known_words_get_synonyms(examples: Examples) -> None:
    lists = attacks._lists()
    known = {w: r for w, r in lists["synonyms"].items() if w not in lists["ambiguous"]["words"]}
    assert len(known) == len(lists["synonyms"]) - len(lists["ambiguous"]["words"])
    one, all_ = (attacked(examples, Attack(kind="synonym", dose=d)) for d in (1, 20))
    for before, some, most in zip(examples.text_a, one.text_a, all_.text_a, strict=True):
        there = [w for w in re.findall("[a-z]+", before.lower()) if w in known]
        assert (some != before) == bool(there)
        assert not {*re.findall("[a-z]+", most.lower())} & {*there} - {*known.values()}


# --- the same everywhere -------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_is_repeatable_and_its_seeds_and_draws_differ(kind: attacks.Kind) -> None:
    many = Examples.of_text("A good big house, a friendly doctor, a small old car and a meal.")
    attack = Attack(kind=kind, dose=1, worst_of=30)
    once = attacked(many, attack)
    assert once.text_a == attacked(many, attack).text_a == attacked(many, attack, [0]).text_a
    assert len({attacked(many, attack, [draw]).text_a for draw in range(30)}) > 1
    assert len({attacked(many, replace(attack, seed=seed)).text_a for seed in range(30)}) > 1


def test_what_becomes_of_a_text_is_known() -> None:
    """A stored answer is about these texts: a change here needs a new version of `Attack`."""
    one = Examples.of_text(TEXT, "A good meal.")
    said = {kind: attacked(one, Attack(kind=kind, dose=1)) for kind in KINDS}
    assert {kind: (e.text_a[0], (e.text_b or ("",))[0]) for kind, e in said.items()} == KNOWN


KNOWN = {
    "typo": ("The meal was goood, and I think the staff were friendly.", "A good mela."),
    "synonym": ("The meal was good, and I think the staff were affable.", "A good repast."),
    "distraction": (
        TEXT + " Someone at the next table was reading a map.",
        "For the record, this is my second note. A good meal.",
    ),
    "negation": (
        "It would not be untrue that the meal was good, and I think the staff were friendly.",
        "It would not be untrue that a good meal.",
    ),
}


def test_some_rows_are_attacked_as_among_all(examples: Examples) -> None:
    attack, rows = Attack(kind="typo", dose=3), np.array([5, 2, 40])
    among_all = attacked(examples, attack).take(rows)
    assert attacked(examples.take(rows), attack).text_a == among_all.text_a


def test_labels_and_order_stay(examples: Examples) -> None:
    struck = attacked(examples, Attack(kind="typo", dose=5))
    assert struck.labels.tolist() == examples.labels.tolist()
    assert struck.index.tolist() == examples.index.tolist()


@pytest.mark.parametrize("where", ["first", "second", "both"])
def test_only_the_text_that_is_meant_is_struck(where: attacks.Where) -> None:
    pairs = load_split(load_task("question_pairs"), "validation", 30)
    struck = attacked(pairs, Attack(kind="typo", dose=3, where=where))
    assert (struck.text_a != pairs.text_a) == (where != "second")
    assert (struck.text_b != pairs.text_b) == (where != "first")


def test_an_attack_is_part_of_a_question() -> None:
    attack = Attack(kind="typo", dose=2, worst_of=5)
    assert from_dict(to_dict(attack)) == attack
    different = [replace(attack, dose=3), replace(attack, seed=1), replace(attack, worst_of=1),
                 replace(attack, where="first"), replace(attack, kind="synonym")]  # fmt: skip
    assert len({key(a) for a in (attack, *different)}) == 6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "smoke", "dose": 1}, "no attack 'smoke'"),
        ({"kind": "typo", "dose": 0}, "from 1 to 20"),
        ({"kind": "negation", "dose": 2}, "from 1 to 1"),
        ({"kind": "typo", "dose": 1, "where": "third"}, "is 'third'"),
        ({"kind": "typo", "dose": 1, "worst_of": 0}, "worst_of is 0"),
    ],
)
def test_an_attack_that_there_is_not_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Attack(**given)


def test_every_kind_has_its_highest_dose() -> None:
    assert set(MOST_DOSE) == set(KINDS)
    for kind, most in MOST_DOSE.items():
        Attack(kind=kind, dose=most)


def test_every_kind_goes_to_the_usual_doses_that_it_can_take() -> None:
    assert [doses_of(kind) for kind in KINDS] == [[1, 2, 3, 5]] * 3 + [[1]]
    for kind in KINDS:
        assert [Attack(kind=kind, dose=dose).dose for dose in doses_of(kind)] == doses_of(kind)


# --- one text ------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", attacks.KINDS)
def test_an_attack_changes_the_text_and_is_repeatable(kind: str) -> None:
    once = attacks.perturb(TEXT, kind, random.Random(1))
    assert once != TEXT
    assert once == attacks.perturb(TEXT, kind, random.Random(1))
    assert len({attacks.perturb(TEXT, kind, random.Random(i)) for i in range(20)}) > 1


def test_synonyms_keep_case_and_fit_the_article() -> None:
    changed = attacks.perturb("Good food. A big car.", "synonym", random.Random(0))
    assert changed.split()[0].istitle()
    assert set(re.findall(r"[a-z]+", changed.lower())) & {"commendable", "fare", "automobile"}
    assert "Commendable" in {attacks.perturb("Good.", "synonym", random.Random(i))[:-1]
                             for i in range(3)}  # fmt: skip
    assert attacks.perturb("It was a big car", "synonym", random.Random(2)) in (
        "It was a sizeable automobile", "It was a sizeable car", "It was a big automobile"
    )  # fmt: skip
    assert attacks.perturb("an old car", "synonym", random.Random(0)).startswith("an antiquated")
    assert attacks.perturb("a good friend", "synonym", random.Random(0)) == "a commendable friend"


def test_a_negation_keeps_names_and_the_first_person() -> None:
    assert " that I liked it." in attacks.perturb("I liked it.", "negation", random.Random(0))
    assert " that NASA liked it." in attacks.perturb("NASA liked it.", "negation", random.Random(0))
    assert " that the film" in attacks.perturb("The film won.", "negation", random.Random(0))


@pytest.mark.parametrize(
    ("text", "so"),
    [
        ("The film won.", " the film won."),
        ("I liked it.", " I liked it."),
        ("Maria won.", ": Maria won."),
        ("Because it rained.", ": Because it rained."),
        ("Who won? Maria did.", ": Who won? Maria did."),
        ("The film won. Why?", " the film won. Why?"),
    ],
)
def test_a_negation_fits_the_sentence(text: str, so: str) -> None:
    struck = attacked(Examples.of_text(text), Attack(kind="negation", dose=1)).text_a[0]
    assert struck.endswith(so)
    lists = attacks._lists()["negation"]
    asked = lists[
        "question" if text.startswith("Who") else "before" if so[0] == " " else "sentence"
    ]
    assert struck.removesuffix(so.removeprefix(":").lstrip()) in asked


def test_only_the_answers_to_changed_texts_are_asked_anew() -> None:
    """The keys as they were before negations changed: shipped answers lie under the first."""
    assert key(Attack(kind="typo", dose=2)) == "a23883f449881ac536c1"
    assert key(Attack(kind="negation", dose=1)) != "f977bb97b5bef7afa090"


@pytest.mark.parametrize(("text", "kind"), [("a b c", "typo"), ("xyz", "synonym")])
def test_an_attack_that_finds_nothing_says_so(text: str, kind: str) -> None:
    with pytest.raises(BadInput, match=f"The attack '{kind}' finds no"):
        attacks.perturb(text, kind, random.Random(0))
