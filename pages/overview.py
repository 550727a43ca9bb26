"""What this is, what is there, and where to start."""

import pandas as pd
import streamlit as st

from core.figures import queries
from core.measures import sweeps
from core.tasks import data_stamp
from core.tasks.baselines import bag_of_words, read_shipped
from core.tasks.data import load_split
from pages.common import answers, controls

st.title("Skillscope", anchor=False)
st.markdown(
    "A **soft prompt** steers a frozen language model to a task. Some feed-forward neurons then "
    "know the answer: **skill neurons**. Here you see which, whether prompts **transfer**, and "
    "what is lost when the neurons are **switched off**, for RoBERTa and T5 side by side."
)
lab = answers.lab()
counts = {t: lab.store.counts()[t] for t in ("prompt", "evaluation", "predictivity")}
for column, (what, n) in zip(st.columns(3), counts.items(), strict=True):
    column.metric({"prompt": "Soft prompts", "evaluation": "Evaluations"}.get(
        what, "Predictivity measurements"), f"{n:,}", border=True)  # fmt: skip

st.subheader("Start here", anchor=False)
LINKS = (
    ("pages/transfer.py", "Transfer", "Does a prompt work on other tasks?"),
    ("pages/predictivity.py", "Predictivity", "How much does a single neuron know?"),
    ("pages/correlation.py", "Correlation", "Do tasks share their neurons?"),
    ("pages/suppression.py", "Suppression", "What if they are switched off?"),
)
for column, (page, title, question) in zip(st.columns(4), LINKS, strict=True):
    with column, st.container(border=True, height="stretch"):
        st.page_link(page, label=f"**{title}**")
        st.caption(question)

found = controls.tasks(adversarial=True)
titles = controls.titles(found)
clean = controls.tasks(adversarial=False)
names = {t.name: t for t in found}
specs = tuple(
    sweeps.own_evaluation(prompt, lab.pin(t, backbone), t.evaluation_split)
    for backbone in lab.models.embedded()
    for t in found
    for prompt in controls.prompts(lab, backbone, [names[t.adversarial_of or t.name]])
)


@st.cache_data(show_spinner=False)
def baselines(fingerprints: tuple[str, ...]) -> pd.DataFrame:
    """Counts, majority class and bag of words for each task."""
    assert len(fingerprints) == len(found)
    shipped = read_shipped(lab.settings.assets)
    return pd.DataFrame(
        {
            "target_task": t.name,
            "Task": t.title,
            "Family": t.family,
            "n": len(load_split(t, t.evaluation_split)),
            "Majority": load_split(t, t.evaluation_split).majority,
            "Bag of words": bag_of_words(t, shipped),
            "Question": t.about,
        }
        for t in found
    )


def draw() -> None:
    """The tasks, and how well each backbone does them."""
    table = baselines(tuple(data_stamp(t) for t in found))
    rows = queries.accuracies(lab.store, specs)
    for backbone in lab.models.embedded():
        mine = rows[rows.backbone == backbone].set_index("target_task")
        error = mine["sem"].map(" ± {:.3f}".format).where(mine["sem"].notna(), "")
        shown = mine.accuracy.map("{:.3f}".format) + error
        table[backbone] = table.target_task.map(shown)
    table["Question"] = table.pop("Question")
    shares = ["Majority", "Bag of words"]
    st.dataframe(
        table.drop(columns="target_task"),
        hide_index=True,
        height="content",
        column_config={c: st.column_config.NumberColumn(format="%.2f") for c in shares},
    )
    st.caption(
        "Accuracy of the task's own prompts (a twin's: those of its clean task), mean and "
        f"standard error of {len(sweeps.SEEDS)} seeds, on n validation examples. Majority: always "
        "the most frequent class. Bag of words: logistic regression over single words."
    )


st.subheader("Tasks", anchor=False)
answers.show(specs, draw, name="overview", what="evaluations")
