"""A text whose tokens are shaded by a neuron's activation."""

from html import escape

import pandas as pd
import streamlit as st

from core import charts

STRONGEST = 55  # percent of the hue behind the highest activation; words stay legible


def text(table: pd.DataFrame, hue: str, highest: float) -> None:
    """The input as one text: position, token, kind, activation. The shade grows from 0 to
    `highest`; negative activations have none. Each token's title gives its activation; page.css
    shows it where a token is tapped.
    """
    st.html(f'<p class="shaded">{"".join(tokens(table, hue, highest))}</p>')


def tokens(table: pd.DataFrame, hue: str, highest: float) -> list[str]:
    """Each token as HTML, with a space before a word."""
    out, before = list[str](), ""
    for row in table.itertuples():
        share = min(1.0, max(0.0, row.activation / highest)) if highest > 0 else 0.0
        word = row.token.lstrip(charts.WORD_STARTS)
        apart = " " * (word != row.token or row.kind != before or row.kind == "prompt")
        before = row.kind
        shade = f"color-mix(in srgb, {hue} {STRONGEST * share:.0f}%, transparent)"
        title = f"{row.activation:.3f} at position {row.position}"
        out.append(
            f'{apart}<span class="{row.kind}" tabindex="-1" style="background:{shade}"'
            f' title="{title}">{escape(word)}</span>'
        )
    return out
