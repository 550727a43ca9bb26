"""The address of a page says all that is chosen there, and opens it so again."""

import time

import pytest
from streamlit.testing.v1 import AppTest

from pages.common.address import VISIT, Visit
from tests.pages.app import PAGES, run

CHOICES: dict[str, dict[str, str | list[str]]] = {
    "overview": {},
    "transfer": {"scale": "relative", "backbone": "t5-mini"},
    "transferability": {"numbers": "published (Su et al. 2022)"},
    "projection": {"source": "roberta-mini", "target": "t5-mini"},
    "ways": {"task": "Opinions"},
    "predictivity": {"shown": "adversarial", "backbone": "t5-mini"},
    "correlation": {"backbone": ["t5-mini", "t5-mini-weathered"]},
    "suppression": {"neurons": "causal", "seed": ["0", "3"]},
    "robustness": {"tab": "Neuron ranks", "attack": "synonyms"},
    "flips": {"attack": "negations", "only": "all examples"},
    "rankings": {"by": "attribution", "top": "1%"},
    "neuron": {"backbone": "t5-mini", "neuron": "7", "example": "short_reviews:7"},
    "playground": {"which": "causal neurons", "text_a": 'A "quoted" & <b>odd</b> text; 100 % = ü'},
    "tuning": {"task": "Opinions", "precision": "bf16", "length": "16"},
    "library": {"section": "prompts"},
    "prompt": {"task": "Opinions", "other": "Short reviews", "seed": "1"},
}
"""At least one choice on each page that is not its default."""
NO_VIEW = ("settings-open", "ex_", "up_", "own-", "words-")
"""Beginnings of keys of controls that do something, or fold others; they choose no view."""


def visit(test: AppTest) -> Visit:
    found: Visit = test.session_state[VISIT]
    return found


def keys(test: AppTest) -> set[str]:
    """Of all controls that choose something."""
    kinds = (
        test.selectbox, test.multiselect, test.slider, test.select_slider, test.number_input,
        test.toggle, test.text_area, test.text_input, test.button_group,
    )  # fmt: skip
    return {widget.key for kind in kinds for widget in kind if widget.key}


def opened(page: str, **asked: str | list[str]) -> AppTest:
    """A page whose figures are all there."""
    test = run(page, **asked)
    for _ in range(120):
        if "Cancel" not in {button.label for button in test.button}:
            return test
        time.sleep(0.25)
        test.run()
    raise AssertionError("a job has not ended")


@pytest.mark.parametrize("page", PAGES)
def test_the_whole_address_opens_the_same_view(page: str) -> None:
    test = opened(page, **CHOICES[page])
    assert not test.exception
    first = visit(test)
    assert first.refused == {}
    assert first.asked == {}, "each name is one of the page's"
    said = {**first.view, **first.named}
    for name, asked in CHOICES[page].items():
        assert said[name] == ([asked] if isinstance(asked, str) else asked)
        assert name not in first.usual
    assert {k for k in keys(test) - set(said) if not k.startswith(NO_VIEW)} == set()
    again = opened(page, **said)
    assert {**visit(again).view, **visit(again).named} == said
    assert visit(again).usual == first.usual
    assert visit(again).refused == visit(again).asked == {}
    assert [m.value for m in again.markdown] == [m.value for m in test.markdown]
