"""The texts that name a widget's values in an address."""

from typing import Any

import pytest
import streamlit as st

from core.base.markdown import plain
from pages.common.widgets import Values, values

NAMES = {"a": "First", "b": "Second, of two", "c": "third & last"}
WIDGETS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], list[Any]]] = {
    "selectbox": (st.selectbox, (list(NAMES), 1), {"format_func": NAMES.get}, list(NAMES)),
    "selectbox of none": (st.selectbox, (range(3), None), {}, [None, 0, 1, 2]),
    "one of pills": (st.pills, (["x", "y"],), {}, [None, "x", "y"]),
    "several of pills": (
        st.pills, ([0, 1, 2],), {"selection_mode": "multi", "default": [0]}, [[], [0], [0, 2], [1]],
    ),
    "several with titles": (
        st.multiselect, (list(NAMES),), {"default": "a", "format_func": NAMES.__getitem__},
        [[], ["a", "c"]],
    ),
    "segments": (
        st.segmented_control, (["x", "y"],), {"default": "y", "required": True}, ["x", "y"],
    ),
    "multiselect": (st.multiselect, (["x", "y", "z"],), {"default": "y"}, [[], ["x", "z"]]),
    "select_slider": (st.select_slider, ([64, 128], 128), {}, [64, 128]),
    "slider": (st.slider, (0, 50, 5), {}, [0, 7, 50]),
    "slider between whole and half": (st.slider, (0.0, 1.0, 0.5), {}, [0.0, 0.1, 1.0]),
    "number_input": (st.number_input, (1, 9, 3), {}, [1, 9]),
    "toggle": (st.toggle, (), {}, [True, False]),
    "expander": (st.expander, (), {}, [True, False]),
    "text": (st.text_area, ("as it was",), {"max_chars": 20}, ["", "<b> & ü=1", "as it was"]),
    "tabs": (st.tabs, (), {"default": "Two"}, ["One", "Two"]),
}  # fmt: skip


def of(name: str) -> Values:
    widget, args, kwargs, _ = WIDGETS[name]
    return values(
        widget, (["One", "Two"] if name == "tabs" else "Label", *args), {**kwargs, "key": "k"}
    )


@pytest.mark.parametrize("name", WIDGETS)
def test_each_value_is_found_again_by_its_texts(name: str) -> None:
    found = of(name)
    for value in WIDGETS[name][3]:
        assert found.holds(value)
        assert found.taken(found.texts(value)) == (value, [])
    assert found.holds(found.default)
    assert found.name == "k"


@pytest.mark.parametrize(
    ("name", "asked", "value", "refused"),
    [
        ("selectbox", ["b"], "b", ["b"]),  # by its title only, and b is the default
        ("selectbox", ["third & last", "First"], "c", ["First"]),
        ("selectbox", [""], "b", [""]),
        ("several of pills", ["7", "2", "2.0", "1"], [2, 1], ["7", "2.0"]),
        ("several of pills", ["7"], [0], ["7"]),
        ("several of pills", ["1", "1", "0", "1"], [1, 0], []),
        ("segments", [""], "y", [""]),
        ("slider", ["51"], 5, ["51"]),
        ("slider", ["-1"], 5, ["-1"]),
        ("slider", ["7.0"], 7, []),
        ("slider", ["7.5"], 5, ["7.5"]),
        ("slider", ["nan"], 5, ["nan"]),
        ("slider", ["inf"], 5, ["inf"]),
        ("slider", ["many"], 5, ["many"]),
        ("slider between whole and half", ["nan"], 0.5, ["nan"]),
        ("toggle", ["TRUE"], True, []),
        ("toggle", ["1"], False, ["1"]),
        ("text", ["x" * 21], "as it was", ["x" * 21]),
        ("tabs", ["Three"], "Two", ["Three"]),
    ],
)
def test_what_a_widget_has_not_is_refused(
    name: str, asked: list[str], value: object, refused: list[str]
) -> None:
    found, not_taken = of(name).taken(asked)
    assert (found, type(found), not_taken) == (value, type(value), refused)


def test_an_address_has_the_order_of_the_options() -> None:
    """Not that in which they were pressed: the same choice has one address."""
    assert of("several of pills").texts([2, 0, 1]) == ["0", "1", "2"]


def test_an_address_is_no_markdown() -> None:
    found = values(st.pills, ("Label", ["a_[b]*"]), {"format_func": plain, "key": "k"})
    assert plain("a_[b]*") != "a_[b]*"
    assert found.texts("a_[b]*") == ["a_[b]*"]
    assert found.taken(["a_[b]*"]) == ("a_[b]*", [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("selectbox", "z"),
        ("several of pills", [0, 7]),
        ("several with titles", ["a", "z"]),
        ("segments", None),
        ("slider", 51),
    ],
)
def test_what_a_widget_lost_is_not_held(name: str, value: object) -> None:
    assert not of(name).holds(value)
