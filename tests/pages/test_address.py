"""The address of a page says all that is chosen there, and opens it so again."""

import json
import re
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
        assert name not in first.at_default
    assert {k for k in keys(test) - set(said) if not k.startswith(NO_VIEW)} == set()
    again = opened(page, **said)
    assert {**visit(again).view, **visit(again).named} == said
    assert visit(again).at_default == first.at_default
    assert visit(again).refused == visit(again).asked == {}
    assert [m.value for m in again.markdown] == [m.value for m in test.markdown]


def app() -> None:
    """A page that is told by the session which controls it has."""
    import streamlit as st

    from pages.common import address

    with address.visited(st.session_state.get("page", "One"), "one"):
        for name in st.session_state.get("controls", ()):
            address.bound(st.slider, name, 0, 50, 5, key=name)
        if st.session_state.get("several"):
            address.bound(st.pills, "seeds", [0, 1, 2], selection_mode="multi", key="seed")
        if st.session_state.get("waits"):
            address.unfinished()
        if st.session_state.get("ends"):
            address.end()


def made(asked: dict[str, str | list[str]], **session: object) -> AppTest:
    test = AppTest.from_function(app)
    for name, value in asked.items():
        test.query_params[name] = value
    for name, told in session.items():
        test.session_state[name] = told
    return test.run()


def written(test: AppTest) -> list[object]:
    """The last call of page.js: time, path, the address's parts, whether it is a step."""
    script = test.get("html")[-1].proto.body
    call = re.search(r"skillscopePage\.show\((.*)\)</script>", script)
    assert call
    return list(json.loads(f"[{call[1]}]"))


def test_a_control_that_comes_later_gets_what_the_address_asked_for() -> None:
    test = made({"a": "7", "b": "30"}, controls=["a"], waits=True)
    assert not test.toast
    assert written(test)[1:] == ["one", [["a", "7"], ["b", "30"]], False]
    test.session_state["controls"], test.session_state["waits"] = ["a", "b"], False
    test.run()
    assert test.slider(key="b").value == 30
    test.slider(key="b").set_value(31).run()
    assert written(test)[1:] == ["one", [["a", "7"], ["b", "31"]], True]
    test.session_state["controls"] = ["a"]
    assert written(test.run())[1:] == ["one", [["a", "7"]], False]
    test.session_state["controls"] = ["a", "b"]
    assert test.run().slider(key="b").value == 31, "it was only out of sight"


def test_what_no_control_has_is_refused_once() -> None:
    test = made({"a": "70", "b": "30"}, controls=["a"])
    (toast,) = test.toast
    assert "`a` = `70`; `b` = `30`." in toast.value
    assert written(test)[1:] == ["one", [["a", "5"]], False]
    assert not test.run().toast


def test_a_page_that_ends_early_writes_its_address() -> None:
    test = made({"a": "7", "b": "30"}, controls=["a"], ends=True)
    assert not test.exception
    assert written(test)[1:] == ["one", [["a", "7"], ["b", "30"]], False]


def test_only_what_was_chosen_travels() -> None:
    test = made({"seed": ["1", "2"]}, several=True)
    assert written(test)[2] == [["seed", "1"], ["seed", "2"]]
    test.session_state["page"], test.session_state["several"] = "Two", False
    test.query_params.clear()
    test.run()
    assert written(test)[2] == []
    test.session_state["page"], test.session_state["several"] = "Three", True
    test.run()
    assert written(test)[2] == [["seed", "1"], ["seed", "2"]]
    test.button_group(key="seed").set_value([0]).run()
    test.session_state["page"] = "One"
    assert written(test.run())[2] == [["seed", "0"]]


def test_a_text_cannot_end_the_script() -> None:
    test = made({"x</script><b>": "</script>"}, waits=True)
    assert test.get("html")[-1].proto.body.count("</script>") == 1
    assert written(test)[2] == [["x</script><b>", "</script>"]]
