"""Caveats to a figure: rows used both for tuning and evaluation, and imported prompts."""

from collections.abc import Iterable, Sequence

import streamlit as st

from core.base.markdown import plain
from core.base.prompts import Prompt
from core.exchange.published import remark
from core.tasks import Task, data_stamp, load_task
from core.tasks.data import Shared, shared_rows
from pages.common import controls


@st.cache_data(show_spinner="Looking for shared rows ...")
def _shared(
    sources: tuple[str, ...], targets: tuple[str, ...], pins: tuple[str, ...]
) -> tuple[Shared, ...]:
    """Rows used both for tuning and for evaluation; new `pins` renew the answer."""
    assert len(pins) == len({*sources, *targets})
    return shared_rows([load_task(n) for n in sources], [load_task(n) for n in targets])


def shared(sources: Sequence[Task], targets: Sequence[Task]) -> None:
    """Warn of inflated figures, where evaluation rows also occur in a train split."""
    names = [tuple(t.name for t in group) for group in (controls.clean(sources), targets)]
    every = sorted({*names[0], *names[1]})
    pins = tuple(data_stamp(load_task(name)) for name in every)
    for one in _shared(names[0], names[1], pins):
        source, target = load_task(one.source_task).title, load_task(one.target_task).title
        source, target = plain(source), plain(target)
        where = "its own train split" if source == target else f"the train split of {source}"
        st.warning(
            f"{one.rows} of {one.n} evaluation rows of {target} also occur in {where}: results on "
            "them are inflated.",
            icon=":material/content_copy:",
        )


def origins(prompts: Iterable[Prompt]) -> None:
    """Warn of peculiarities of imported prompts."""
    for text in sorted({remark(prompt) for prompt in prompts} - {""}):
        st.warning(text, icon=":material/history_edu:")
