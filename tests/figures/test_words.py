"""Numbers and lists as sentences print them."""

import pytest

from core.figures.words import listed


@pytest.mark.parametrize(
    ("parts", "said"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b, and c")],
)
def test_parts_are_listed_with_commas_and_an_and(parts: list[str], said: str) -> None:
    assert listed(parts) == said
