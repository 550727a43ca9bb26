"""Three findings, what the words mean, named views, and the tasks."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core import charts
from core.base.settings import PLAIN
from core.figures import indicators, overview, queries
from core.figures.robustness import dose
from core.lab.lab import job_name
from core.measures import sweeps
from core.tasks import Text, data_stamp, load_task
from core.tasks.attacks import DOSES, Attack
from core.tasks.baselines import bag_of_words, constant_answer, read_shipped
from core.tasks.data import load_split
from core.tasks.metrics import TITLES
from pages.common import answers, controls, tour, views

Finding = tuple[str, str, charts.Figure | None]
# A sentence, what it rests on, and a figure; None while nothing is computed.
NOTHING = "\N{EN DASH}"  # a task that a backbone cannot do, a number that a task does not have
SMALL = 210  # height of a finding's figure
BARS = "95% intervals in brackets"
FRACTION = 0.05  # of each layer's neurons, suppressed in the second finding

st.title("Skillscope", anchor=False)
st.markdown(
    "Which feed-forward neurons carry a task's skill? Do soft prompts transfer between tasks? Does "
    "the skill survive when texts are attacked? Skillscope compares RoBERTa and T5 side by side."
)
lab = answers.lab()
shown = [name for name in lab.models.embedded() if name in PLAIN]
look = answers.look(lab.models.names())
first = load_task(controls.FIRST)
clean = controls.tasks(adversarial=False)
place = {b: (lab.pin(first, b), first.evaluation_split) for b in shown}
own = {b: controls.standard(lab, b, [first]) for b in shown}


def robustness() -> Finding:
    """Accuracy as texts get more typos."""
    attack = Attack(kind="typo", dose=1)
    asked = {b: sweeps.dose_response(own[b], place[b], first.contrasts(), attack) for b in shown}
    table = dose.accuracy(lab.store, asked)
    if table.empty:
        return "", "", None
    figure = charts.dose_accuracy(table, look, edits="typos", doses=DOSES)
    basis = f"{controls.count(table.n)} examples, {controls.count(table.seeds)} seeds"
    return overview.under_attack(table, first.title, "typo"), f"{basis}; {BARS}.", figure


def suppression() -> Finding:
    """What predicts is not what causes: the first backbone."""
    backbone = shown[0]
    choices = sweeps.SuppressionChoices(kinds_of_neuron=sweeps.CURVES)
    specs = sweeps.suppression_sweep(
        own[backbone],
        sweeps.predictivities(((p, *place[backbone]) for p in own[backbone]), first.contrasts()),
        *place[backbone], choices, sweeps.attributions(own[backbone], place[backbone][0]),
    )  # fmt: skip
    table = queries.suppression_curve(lab.store, specs)
    if table.empty:
        return "", "", None
    kinds: dict[str, list[Any]] = {"plain": [s for s in specs if s.suppression is None]}
    for spec in specs:
        how = spec.suppression
        if how is not None and how.fraction == FRACTION:
            kinds.setdefault(how.choose, []).append(spec)
    said = overview.without_neurons(lab.store, first.title, backbone, FRACTION, kinds)
    whole = len(load_split(first, first.evaluation_split))
    basis = (
        f"{table.n.max()} of the {whole} examples, {table.seeds.max()} seeds, {choices.draws} "
        "random draws"
    )
    figure = charts.suppression_curves(table, look, fractions=choices.fractions, legends="bottom")
    return said, f"{basis}; {BARS}.", figure


def transfer() -> Finding:
    """Whether similar prompts transfer."""
    prompts = {b: controls.standard(lab, b, clean) for b in shown}
    grid = tuple(
        spec
        for b in shown
        for spec in sweeps.transfer_grid(
            prompts[b], [(lab.pin(t, b), t.evaluation_split) for t in clean]
        )
    )

    @st.cache_data(show_spinner=False, max_entries=4)
    def pairs(name: str, known: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        del name, known
        found = queries.transfer(lab.store, grid, relative=True, clean=lab.clean_name)
        parts = [indicators.of_prompts(lab.store, b, prompts[b]) for b in shown]
        likeness = pd.concat(parts, ignore_index=True)
        likeness = likeness[likeness.indicator == "cosine_average"]
        table = indicators.joined(likeness, found, {t.name: t.category for t in clean})
        agreed = indicators.agreement(table) if len(table) else table
        return charts.titled(table, controls.titles(clean)), agreed

    table, agreed = pairs(job_name(grid), len(lab.known(grid)))
    if table.empty:
        return "", "", None
    figure = charts.indicator_points(table, look, title="averaged cosine of the prompts")
    basis = f"{len(clean)} tasks, {len(sweeps.SEEDS)} seeds; one point per ordered pair of tasks"
    return overview.similar_prompts(agreed), f"{basis}; {BARS}.", figure


FINDINGS: Mapping[str, tuple[Callable[[], Finding], views.View]] = {
    "Typos cost accuracy": (robustness, views.View(
        page="robustness", label="Robustness", params={"backbone": shown, "tab": "This task"},
    )),
    "Predictive neurons are often not causal": (suppression, views.View(
        page="suppression", label="Suppression",
        params={"backbone": shown[:1], "seed": list(sweeps.SEEDS)},
    )),
    "In T5, similar prompts transfer better": (transfer, views.View(
        page="transferability", label="Transferability",
    )),
}  # fmt: skip


def findings() -> None:
    """Each finding: a small figure, one sentence, and a link to that view."""
    for column, (title, (draw_one, view)) in zip(st.columns(3), FINDINGS.items(), strict=True):
        with column, st.container(border=True, height="stretch"):
            st.markdown(f"**{title}**")
            said, basis, figure = draw_one()
            if figure is None:
                st.caption("Not computed yet.")
            else:
                answers.chart(figure.properties(height=SMALL))
                st.markdown(said)
                st.caption(basis)
            views.link(view, f"Open {view.label}")


if shown:
    with answers.shown_errors(), charts.quickly():
        findings()
    tour.begin()

st.subheader("Key terms", anchor=False)
left, right = st.columns([3, 2], gap="medium", vertical_alignment="center")
with left:
    views.picture(lab, look.ink)
right.markdown(
    "A **soft prompt** is a few trained vectors placed before the input; the language model itself "
    "stays frozen. In each layer's feed-forward network, the activation of a **skill neuron** "
    "predicts the answer. **Suppression** sets neurons to zero; if accuracy drops more than with "
    "random neurons suppressed, the model needs them for the task. **Causal neurons** contribute "
    "most to the right answer; they are often not the ones that predict it best."
)

st.subheader("Suggested views", anchor=False)
views.gallery(lab)

found = [*controls.tasks(adversarial=True), *controls.tasks(adversarial=False, written=True)]
names = {t.name: t for t in found}
specs = tuple(
    sweeps.own_evaluation(prompt, lab.pin(t, backbone), t.evaluation_split)
    for backbone in shown
    for t in controls.answered_by(lab, backbone, found)
    for prompt in controls.standard(lab, backbone, [names[t.adversarial_of or t.name]])
)


@st.cache_data(show_spinner=False)
def baselines(fingerprints: tuple[str, ...]) -> pd.DataFrame:
    """Counts, and for each task majority-class and bag-of-words accuracy; for written answers the
    score of always writing the most frequent one.
    """
    assert len(fingerprints) == len(found)
    shipped = read_shipped(lab.settings.assets)
    return pd.DataFrame(
        {
            "target_task": t.name,
            "Task": t.title,
            "Most frequent": load_split(t, t.evaluation_split).majority if t.labels
            else constant_answer(t, shipped),
            "Bag of words": f"{bag_of_words(t, shipped):.2f}" if t.labels else NOTHING,
            "n": len(load_split(t, t.evaluation_split)),
            "Metric": f" ({TITLES[t.answer.metric]})" if isinstance(t.answer, Text) else "",
            "Question": t.about,
        }
        for t in found
    )  # fmt: skip


def draw() -> None:
    """The tasks, and each backbone's accuracy on them."""
    table = baselines(tuple(data_stamp(t) for t in found))
    rows = queries.accuracies(lab.store, specs)
    for i, backbone in enumerate(shown):
        mine = rows[rows.backbone == backbone].set_index("target_task")
        error = mine["sem"].map(" ± {:.3f}".format).where(mine["sem"].notna(), "")
        accuracy = table.target_task.map(mine.accuracy.map("{:.3f}".format) + error)
        table.insert(2 + i, backbone, (accuracy + table.Metric).fillna(NOTHING))
    st.dataframe(
        table.drop(columns=["target_task", "Metric"]),
        hide_index=True,
        height="content",
        column_config={
            "Task": st.column_config.TextColumn(width=150),
            "Most frequent": st.column_config.NumberColumn("Majority", format="%.2f", width=70),
            "Bag of words": st.column_config.TextColumn(width=95),
            "n": st.column_config.NumberColumn(width=45),
        },
    )
    st.caption(
        f"Accuracy or score of each task's own prompts: mean ± standard error over "
        f"{len(sweeps.SEEDS)} seeds on n validation examples. Adversarial versions use their clean "
        "task's prompts.",
        help="Majority: accuracy of always predicting the most frequent class, or score of "
        "always writing the most frequent answer. Bag of words: logistic regression on word "
        "counts. Only T5 can write answers; RoBERTa predicts one masked token.",
    )


st.subheader("Tasks", anchor=False)
answers.show(specs, draw, name="overview", what="evaluations")
