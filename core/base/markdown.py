"""Texts of users inside Markdown."""

import re

_MARK = re.compile(r"[\\`*~\[\]<>#$|&]|:(?=[\w/])|(?<!\w)_|_(?!\w)")
_LIST = re.compile(r"^(\d+(?=[.)])|(?=[-+]))")


def plain(text: object) -> str:
    """Markdown that shows a text as it was typed: nothing becomes bold, a link or a picture that is
    fetched from elsewhere. Line breaks become blanks.
    """
    marked = _MARK.sub(r"\\\g<0>", " ".join(str(text).split()))
    return _LIST.sub(r"\g<0>\\", marked)
