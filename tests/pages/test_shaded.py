"""Texts whose tokens are shaded."""

import re

import pandas as pd
import pytest

from core import charts
from core.base.settings import EMBEDDED
from core.charts import WORD_STARTS
from pages.common import shaded
from tests.charts.test_charts import contrast, mixed


def table(*rows: tuple[str, str, float]) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["token", "kind", "activation"])
    return found.assign(position=range(len(found)))


def shade(token: str) -> int:
    found = re.search(r"#123456 (\d+)%", token)
    assert found
    return int(found[1])


def test_the_shade_grows_with_the_activation_and_negative_ones_have_none() -> None:
    start = WORD_STARTS[0]
    rows = table(("p0", "prompt", -0.2), ("A", "text_a", 0.5), (f"{start}b", "text_a", 2.0),
                 ("c", "text_a", 1.0), ("</s>", "special", 0.0))  # fmt: skip
    tokens = shaded.tokens(rows, "#123456", 2.0)
    assert [shade(t) for t in tokens] == [0, 14, shaded.STRONGEST, 28, 0]
    assert 'title="1.000 at position 3"' in tokens[3]
    assert [t.startswith(" ") for t in tokens] == [True, True, True, False, True]
    silent = shaded.tokens(rows.assign(activation=-1.0), "#123456", 0.0)
    assert [shade(t) for t in silent] == [0] * 5


def test_what_a_user_wrote_is_no_html() -> None:
    (token,) = shaded.tokens(table(('<img src="x">&', "text_a", 1.0)), "#123456", 1.0)
    assert "<img" not in token
    assert token.endswith(">&lt;img src=&quot;x&quot;&gt;&amp;</span>")


@pytest.mark.parametrize("dark", [False, True])
def test_a_word_on_the_strongest_shade_can_be_read(dark: bool) -> None:
    look = charts.Look(dark=dark, backbones=EMBEDDED)
    for backbone in EMBEDDED:
        behind = mixed(look.hue(backbone), look.ground, shaded.STRONGEST / 100)
        assert contrast(look.ink, behind) >= 4.5, backbone
