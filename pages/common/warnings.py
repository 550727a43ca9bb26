"""Caveats to a figure: rows used both for tuning and evaluation, and imported prompts."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
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
    found = _shared(names[0], names[1], pins)
    titles = {name: load_task(name).title for name in every}
    if len(found) > FEW:
        _table(found, titles)
        return
    for one in found:
        source, target = plain(titles[one.source_task]), plain(titles[one.target_task])
        where = "its own train split" if source == target else f"the train split of {source}"
        st.warning(
            f"{one.rows} of {one.n} evaluation rows of {target} also occur in {where}: results on "
            "them are inflated.",
            icon=":material/content_copy:",
        )


FEW = 2  # warnings that are shown one by one


def _table(found: Sequence[Shared], titles: Mapping[str, str]) -> None:
    """One line for many pairs of tasks, with the pairs behind it."""
    most = max(one.rows / one.n for one in found)
    st.warning(
        f"For {len(found)} pairs of tasks, evaluation rows of the one also occur in the train "
        f"split of the other, up to {most:.0%} of them: results on them are inflated.",
        icon=":material/content_copy:",
    )
    with st.expander("Which tasks share rows?"):
        rows = sorted(found, key=lambda one: -one.rows / one.n)
        st.dataframe(
            pd.DataFrame(
                {
                    "Tuned on": titles[one.source_task], "Evaluated on": titles[one.target_task],
                    "Shared rows": one.rows, "Rows": one.n, "Share": one.rows / one.n,
                }
                for one in rows
            ),
            hide_index=True, width="stretch",
            column_config={"Share": st.column_config.NumberColumn(format="percent")},
        )  # fmt: skip


def origins(prompts: Iterable[Prompt]) -> None:
    """Warn of peculiarities of imported prompts."""
    for text in sorted({remark(prompt) for prompt in prompts} - {""}):
        st.warning(text, icon=":material/history_edu:")
