"""Texts unlike those that a task's prompts were tuned on."""

import pytest

from core.tasks import familiar, load_task
from core.tasks.data import Examples, load_split

KNOWN = familiar.of(
    Examples(
        text_a=("The cake is Anna's.", "A film, 3 hours!"), text_b=None, labels=(0, 1),
        attack=None, index=(0, 1),
    )
)  # fmt: skip


def test_words_have_no_case_numbers_or_punctuation() -> None:
    assert familiar.words("It\u2019s Anna's 2nd na\u00efve, 10-minute FILM!") == [
        "it's", "anna's", "nd", "na\u00efve", "minute", "film",
    ]  # fmt: skip
    assert KNOWN.words == {"the", "cake", "is", "anna's", "a", "film", "hours"}
    assert (KNOWN.shortest, KNOWN.longest, KNOWN.texts) == (3, 4, 2)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["the FILM is the cake"[:15]], ""),
        (["A cake is red"], "one word is in none of them: red. "),
        (["The x y z", "v w the u t s"],
         "8 words are in none of them: x, y, z, v, w and 3 more; its length, 6 words, is outside "
         "theirs, 3 to 4. "),
        (["film"], "2 train texts of A\\*: its length, 1 word, is outside theirs, 3 to 4. "),
        ([], ""),
    ],
)  # fmt: skip
def test_new_words_and_odd_lengths_are_said(texts: list[str], said: str) -> None:
    found = familiar.remark(KNOWN, texts, "A*")
    assert said in found
    assert bool(found) == bool(said)


def test_few_of_a_tasks_own_texts_are_remarked_on_and_nonsense_is() -> None:
    task = load_task("short_reviews")
    known = familiar.of(load_split(task, "train"))
    texts = load_split(task, "validation").text_a
    odd = [t for t in texts if familiar.remark(known, [t], task.title)]
    assert len(odd) / len(texts) < 0.05
    nonsense = familiar.remark(known, ["Quantum flibber perturbs zyxwv."], task.title)
    assert "quantum, flibber, perturbs, zyxwv" in nonsense
    assert "The answers may be unreliable." in nonsense
