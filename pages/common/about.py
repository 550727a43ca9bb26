"""What a view shows, in words that a download can carry away: page, settings, link and date."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import pandas as pd
import streamlit as st

from pages.common import address

SLOT = "about"
# Parameters of a link that say nothing of what is shown.
HIDDEN = {"view", "start", "tour", "present"}
# Those that say which rows of a table are listed; files hold all rows.
LISTED = {"only", "answers", "section", "parts"}
LONGEST = 120  # characters of a file's name before its ending


def begin(page: str) -> None:
    """At the start of a page's run: its title; the controls then note what is chosen."""
    st.session_state[SLOT] = {"page": page}


def note(**chosen: object) -> None:
    """A control's value, by what it is called: `task="Opinions"`, `seeds=(0, 1)`."""
    known: dict[str, object] = st.session_state.setdefault(SLOT, {})
    known.update({name: value for name, value in chosen.items() if value not in (None, "", ())})


def settings() -> dict[str, str]:
    """All that was noted, and the other settings of the address, as text."""
    noted = {k: _text(v) for k, v in st.session_state.get(SLOT, {}).items() if k != "page"}
    there = {
        name: _text(texts)
        for name, texts in address.changed().items()
        if name not in HIDDEN | LISTED and name not in ("task", "backbone", "seed")
    }
    return {**there, **noted}


def page() -> str:
    """The title of the page that is shown."""
    return str(st.session_state.get(SLOT, {}).get("page", ""))


def link() -> str:
    """The address of this view."""
    kept = [(n, text) for n, texts in address.view().items() for text in texts if n not in HIDDEN]
    base = urlsplit(st.context.url or "")._replace(query="", fragment="").geturl()
    return f"{base}?{urlencode(kept)}" if kept else base


def stem(name: str, chosen: Mapping[str, str]) -> str:
    """A file's name without its ending: `suppression_opinions_roberta-mini_seeds-0-1`."""
    parts = [name]
    if "neuron" in chosen and "layer" in chosen:
        parts.append(f"layer-{chosen['layer']}-neuron-{chosen['neuron']}")
    for key in ("task", "backbone", "seed", "seeds"):
        if value := chosen.get(key):
            parts.append(f"{key}s-{value}".replace("ss-", "s-") if "seed" in key else value)
    return "_".join(map(_slug, parts))[:LONGEST]


def lines(table: pd.DataFrame, chosen: Mapping[str, str], on: date | None = None) -> list[str]:
    """Below a picture's title: settings, examples and seeds, date and link."""
    said = "; ".join(f"{name} {value}" for name, value in chosen.items())
    sizes = [
        _counted(_range(table[column]), what)
        for column, what in (("n", "examples"), ("seeds", "seeds"))
        if column in table and table[column].notna().any()
    ]
    when = (on or datetime.now(UTC).date()).isoformat()
    return [line for line in (said, ", ".join(sizes), f"{when}, {link()}") if line]


def with_settings(table: pd.DataFrame, chosen: Mapping[str, str]) -> pd.DataFrame:
    """The table, with a column for each setting that it has not got already; `seeds` may be a
    column of counts.
    """
    named = {"chosen_seeds" if n == "seeds" and n in table else n: v for n, v in chosen.items()}
    return table.assign(**{n: v for n, v in named.items() if n not in table.columns})


def _counted(number: str, what: str) -> str:
    return f"{number} {what.removesuffix('s') if number == '1' else what}"


def _text(value: object) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return ", ".join(map(str, value))


def _range(column: "pd.Series[Any]") -> str:
    low, high = int(column.min()), int(column.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _slug(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text.lower()).strip("-.")
