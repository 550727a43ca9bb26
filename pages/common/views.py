"""Named views: a page with its settings, and what it shows there. Tests keep the names true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from core.base.markdown import plain
from core.lab.lab import Lab
from pages.common import address
from pages.common.answers import AWAITED


@dataclass(frozen=True, kw_only=True)
class View:
    """A page and its settings that are not at their default; `label` is short, `says` is what the
    page shows.
    """

    page: str
    label: str
    says: str = ""
    params: Mapping[str, str | int | Sequence[str | int]] = field(default_factory=dict)

    @property
    def query(self) -> dict[str, str | list[str]]:
        """The settings as the address holds them."""
        return {
            name: str(value) if isinstance(value, str | int) else [str(v) for v in value]
            for name, value in self.params.items()
        }


MARK = "view"  # in the address of a named view, until it is open


def forget_choices() -> None:
    """Before a page that a named view opens: choices made on other pages do not alter the view."""
    if not address.taken(MARK):
        return
    address.alone()
    for name in list(st.session_state):
        if name not in KEPT:
            del st.session_state[name]


# Who this visitor is, not what was chosen.
KEPT = ("follower", "from_app", address.VISIT, AWAITED, "tour-last")
GALLERY = (
    View(
        page="suppression", label="A few neurons carry a skill",
        says="With 15 causal neurons per layer suppressed, RoBERTa's accuracy on sentence pairs "
        "falls to chance.",
        params={"task": "Sentence pairs", "backbone": "roberta-mini", "seed": [0, 1, 2, 3, 4]},
    ),
    View(
        page="robustness", label="Pretrained on messy texts",
        says="On answerability, one typo per text costs the RoBERTa pretrained on messy texts less "
        "accuracy than its plain counterpart.",
        params={
            "tab": "This task", "task": "Answerability",
            "backbone": ["roberta-mini", "roberta-mini-weathered"],
        },
    ),
    View(
        page="flips", label="Same sentence, one typo",
        says="“All of the staff were courteuos.” turns RoBERTa's answer from positive to negative, "
        "but not T5's.",
        params={
            "example": "short_reviews:1",
            "only": "flips for roberta-mini, stays right for t5-mini",
        },
    ),
    View(
        page="neuron", label="One neuron, eight tasks",
        says="A single neuron of RoBERTa predicts the classes of short reviews and of seven of the "
        "eight other tasks.",
        params={"layer": 3, "neuron": 153},
    ),
    View(
        page="transferability", label="Which other prompt works best",
        says="For RoBERTa, the most similar prompt beats the average prompt, but not the average "
        "of its category.",
    ),
    View(
        page="projection", label="Prompts of another backbone",
        says="With the task loss, projected random tokens are as accurate as projected prompts of "
        "T5.",
    ),
    View(
        page="ways", label="Causal for LoRA and adapters, too",
        says="With either, suppressing the prompts' causal neurons costs RoBERTa more than "
        "suppressing random ones.",
        params={"backbone": "roberta-mini"},
    ),
    View(
        page="transferability", label="Released prompts",
        says="Among the prompts of Su et al. 2022, more similar ones tend to transfer better.",
        params={"numbers": "published (Su et al. 2022)"},
    ),
)  # fmt: skip


def link(view: View, label: str | None = None) -> None:
    """A link that keeps the session."""
    st.page_link(
        f"pages/{view.page}.py", label=label or view.label, icon=":material/arrow_forward:",
        query_params={**view.query, MARK: "1"},
    )  # fmt: skip


def to(page: str, label: str, params: Mapping[str, str], icon: str, place: Any = st) -> None:
    """A link to a page with these settings that keeps the session, and what was chosen elsewhere;
    where a page runs without the app around it, a link that starts a new one.
    """
    if st.session_state.get("from_app"):
        place.page_link(f"pages/{page}.py", label=label, icon=icon, query_params=dict(params))
    else:
        place.markdown(f"[{plain(label)}]({page}?{urlencode(params)})")


def gallery(lab: Lab) -> None:
    """The views of the embedded default, if it is here."""
    if len(lab.models.embedded()) < 2:
        st.caption(
            "These views need the embedded backbones, which are not available on this machine."
        )
        return
    half = -(-len(GALLERY) // 2)
    for column, part in zip(st.columns(2), (GALLERY[:half], GALLERY[half:]), strict=True):
        with column:
            for view in part:
                with st.container(gap="xxsmall"):
                    link(view)
                    st.caption(view.says)


def picture(lab: Lab, ink: str) -> None:
    """A soft prompt, neurons and suppression, in one drawing in the page's ink."""
    file = lab.settings.assets / "picture.svg"
    if file.is_file():
        st.image(file.read_text("utf-8").replace("currentColor", ink), width="stretch")
        st.caption("Orange: skill neurons. Crossed out: suppressed.")
