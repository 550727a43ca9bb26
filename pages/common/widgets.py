"""The values that a widget of Streamlit's can have, and the texts that name them in an address."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.base.markdown import plain


@dataclass(frozen=True)
class Values:
    """The values of a widget, read off its arguments."""

    name: str
    default: Any
    read: Callable[[str], Any]
    """From a text to a value. Raises: ValueError."""
    text: Callable[[Any], str]
    has: Callable[[Any], bool]
    """Whether it can show a value."""
    options: tuple[str, ...] = ()
    """All of them, or the first and the last, as texts."""
    many: bool = False
    empty: bool = False
    """Whether nothing at all can be chosen, which the address says as `name=`."""

    def taken(self, texts: Sequence[str]) -> tuple[Any, list[str]]:
        """A value, and those of the texts that it does not hold."""
        if self.empty and list(texts) in ([], [""]):
            return ([] if self.many else None), []
        values, refused = [], list[str]()
        for text in texts:
            value = self._read(text)
            if value is None:
                refused.append(text)
            else:
                values.append(value)
        if not values:
            return self.default, refused
        if self.many:
            return list(dict.fromkeys(values)), refused
        return values[0], refused + [t for t in texts if t not in refused][1:]

    def texts(self, value: Any) -> list[str]:
        """A value as the address has it."""
        texts = {self.text(v) for v in self._each(value)}
        known = [text for text in self.options if text in texts]  # in the order of the options
        return (known if self.many else list(texts)) or [""]

    def holds(self, value: Any) -> bool:
        """Whether it can show all of this value."""
        values = self._each(value)
        return all(map(self.has, values)) if values else self.empty

    def _read(self, text: str) -> Any:
        """A value that it can show; None if this text is not one."""
        try:
            value = self.read(text)
        except ValueError:
            return None
        return value if self.has(value) else None

    def _each(self, value: Any) -> list[Any]:
        """The single values of a value."""
        return list(value) if self.many else [] if value is None else [value]


def values(widget: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Values:
    """The values of a widget by its arguments, which have the same names in all of Streamlit's."""
    call = inspect.signature(widget).bind(*args, **kwargs)
    call.apply_defaults()
    given = call.arguments
    name, start = given["key"], given.get("value", given.get("expanded"))
    if "tabs" in given or "options" in given:
        return _choice(name, given)
    if "max_chars" in given:
        longest = given["max_chars"] or sys.maxsize
        return Values(name, start, str, str, lambda text: len(text) <= longest)
    if "max_value" in given:
        low, high = given["min_value"], given["max_value"]
        start = low if start in (None, "min") else start
        number = _whole if isinstance(low, int) else float
        ends = str(low), str(high)
        return Values(name, start, number, str, lambda value: low <= value <= high, ends)
    truths = {"true": True, "false": False}
    return Values(
        name, start, lambda text: _one_of(truths, text.lower()), lambda value: str(value).lower(),
        lambda value: isinstance(value, bool),
    )  # fmt: skip


def _choice(name: str, given: Mapping[str, Any]) -> Values:
    """One or several of some options."""
    write: Callable[[Any], Any] = given.get("format_func") or str
    if write is plain:  # for a label, which is Markdown; an address is not
        write = str
    options = list(given["tabs"] if "tabs" in given else given["options"])
    known = {str(write(option)): option for option in options}
    many = empty = False
    if "index" in given:  # selectbox, radio
        empty = given["index"] is None
        default = None if empty else options[given["index"]]
    elif "value" in given:  # select_slider
        default = given["value"]
    else:  # tabs; pills, segmented_control; multiselect
        default = given["default"]
        many = "tabs" not in given and given.get("selection_mode", "multi") == "multi"
        empty = "tabs" not in given and not given.get("required", False)
    if many:
        default = list(default) if isinstance(default, list | tuple) else [default]
    elif default is None and not empty:
        default = options[0]
    return Values(
        name, default, lambda text: _one_of(known, text), lambda value: str(write(value)),
        options.__contains__, tuple(known), many=many, empty=empty,
    )  # fmt: skip


def _one_of(known: Mapping[str, Any], text: str) -> Any:
    if text not in known:
        raise ValueError(text)
    return known[text]


def _whole(text: str) -> int:
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)
