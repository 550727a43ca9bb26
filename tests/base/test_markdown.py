"""Texts of users inside Markdown: shown as typed."""

import pytest

from core.base.markdown import plain


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Movie reviews, adv. (2nd)", "Movie reviews, adv. (2nd)"),
        ("roberta-mini", "roberta-mini"),
        ("owner/my_model-v1.0", "owner/my_model-v1.0"),
        ("**bold** and *less*", r"\*\*bold\*\* and \*less\*"),
        ("_x_ and a_b", r"\_x\_ and a_b"),
        ("![x](http://a/b.png)", r"!\[x\](http\://a/b.png)"),
        ("<img src=x>", r"\<img src=x\>"),
        ("`code` ~~no~~ $x$ a|b &amp;", r"\`code\` \~\~no\~\~ \$x\$ a\|b \&amp;"),
        (":red[x] :material/home:", r"\:red\[x\] \:material/home:"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("+ item", r"\+ item"),
        ("12. item", r"12\. item"),
        ("a\n\n# head\r\n- b", r"a \# head - b"),
        (r"C:\models", r"C:\\models"),
        ("", ""),
    ],
)
def test_marks_are_escaped_and_all_else_stands(typed: str, written: str) -> None:
    assert plain(typed) == written


def test_what_is_no_text_is_shown_as_one() -> None:
    assert plain(ValueError("a*b")) == r"a\*b"
