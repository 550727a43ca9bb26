"""What Skillscope is, which tasks it has, and where to start."""

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
    "A **soft prompt** adapts a frozen language model to a task. The activations of some "
    "feed-forward neurons then predict the answer; these are the task's **skill neurons**. "
    "Skillscope shows which neurons they are, "
    "whether prompts **transfer**, and how much accuracy drops when skill neurons are "
    "**suppressed**, for RoBERTa and T5 side by side."
)
lab = answers.lab()

st.subheader("Start here", anchor=False)
LINKS = (
    ("pages/robustness.py", "Robustness", "Do typos cost a skill its accuracy and its neurons?"),
    ("pages/suppression.py", "Suppression", "Which neurons cost accuracy when suppressed?"),
    ("pages/transferability.py", "Transferability", "Do similar prompts transfer better?"),
    ("pages/predictivity.py", "Predictivity", "How well does a single neuron predict the answer?"),
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
    """Counts, majority-class accuracy and bag-of-words accuracy for each task."""
    assert len(fingerprints) == len(found)
    shipped = read_shipped(lab.settings.assets)
    return pd.DataFrame(
        {
            "target_task": t.name,
            "Task": t.title,
            "Category": t.category,
            "n": len(load_split(t, t.evaluation_split)),
            "Majority": load_split(t, t.evaluation_split).majority,
            "Bag of words": bag_of_words(t, shipped),
            "Question": t.about,
        }
        for t in found
    )


def draw() -> None:
    """The tasks, and each backbone's accuracy on them."""
    table = baselines(tuple(data_stamp(t) for t in found))
    rows = queries.accuracies(lab.store, specs)
    for backbone in lab.models.embedded():
        mine = rows[rows.backbone == backbone].set_index("target_task")
        error = mine["sem"].map(" ± {:.3f}".format).where(mine["sem"].notna(), "")
        shown = mine.accuracy.map("{:.3f}".format) + error
        table[backbone] = table.target_task.map(shown)
    table["Question"] = table.pop("Question")
    shares = {"Majority": "Majority class", "Bag of words": "Bag of words"}
    st.dataframe(
        table.drop(columns="target_task"),
        hide_index=True,
        height="content",
        column_config={
            c: st.column_config.NumberColumn(label, format="%.2f") for c, label in shares.items()
        },
    )
    st.caption(
        f"Accuracy of each task's own prompts: mean ± standard error over {len(sweeps.SEEDS)} "
        "seeds on n validation examples. Adversarial versions use their clean task's prompts.",
        help="Majority class: accuracy of always giving the most frequent class. Bag of words: "
        "logistic regression over single words.",
    )


st.subheader("Tasks", anchor=False)
answers.show(specs, draw, name="overview", what="evaluations")
