"""Three findings in a sentence each, from stored answers; empty until they are there."""

from collections.abc import Mapping, Sequence

import pandas as pd

from core.base.markdown import plain
from core.base.specs import Spec
from core.figures.queries import rights
from core.figures.words import ranged, two, verdict
from core.stats.intervals import mean_accuracy
from core.store import Store

KINDS = {"causal": "causal", "skill": "predictive (skill)", "random": "random"}


def under_attack(table: pd.DataFrame, task: str, edit: str) -> str:
    """What one edit per text costs each backbone: the columns of `robustness.dose.accuracy`."""
    said, lost = [], []
    for name, mine in table.groupby("backbone", sort=False):
        by_dose = mine.set_index("dose")
        if {0, 1} <= set(by_dose.index):
            clean, struck = by_dose.loc[0], by_dose.loc[1]
            lost.append(clean.accuracy > struck.accuracy)
            said.append(
                f"from {two(clean.accuracy)} to "
                + ranged(struck.accuracy, struck.low, struck.high, bold=True)
                + f" for {plain(str(name))}"
            )
    if not said:
        return ""
    does = "lowers" if all(lost) else "changes"
    return f"One {edit} per text {does} accuracy on {plain(task)} {' and '.join(said)}."


def without_neurons(
    store: Store, task: str, backbone: str, fraction: float, asked: Mapping[str, Sequence[Spec]]
) -> str:
    """What is left without neurons of each kind (`plain`: none suppressed)."""
    values = {kind: mean_accuracy(right) for kind, (right, _) in rights(store, asked).items()}
    if not {"plain", "causal", "skill"} <= values.keys():
        return ""
    causal, skill = values["causal"], values["skill"]
    does = "lowers" if causal.value < values["plain"].value else "changes"
    return (
        f"Suppressing the most causal {fraction:.0%} of neurons in each layer {does} "
        f"{plain(backbone)}'s accuracy on {plain(task)} from {two(values['plain'].value)} to "
        f"{ranged(causal.value, causal.low, causal.high, bold=True)}. Suppressing as many of "
        "the most predictive neurons (skill neurons) leaves it at "
        f"{ranged(skill.value, skill.low, skill.high, bold=True)}."
    )


def similar_prompts(agreed: pd.DataFrame) -> str:
    """Whether similar prompts transfer: the columns of `indicators.agreement`, one indicator."""
    said = [
        f"{plain(row.backbone)} {ranged(row.spearman, row.low, row.high, bold=True)}"
        for row in agreed.itertuples()
        if row.low == row.low
    ]
    if not said:
        return ""
    lead = verdict(
        agreed, higher="Similar prompts transfer better", lower="Similar prompts transfer worse",
        same="The similarity of prompts is not clearly related to transfer",
    )  # fmt: skip
    return (
        f"{lead}. Spearman correlation of cosine and transfer, mean over tasks: {'; '.join(said)}."
    )
