"""Six steps through the pages, each a named view with what to look at. The step is in the address:
it can be left, gone back over and resumed.
"""

import streamlit as st

from pages.common import address
from pages.common.answers import PRESENT, STEP, presented
from pages.common.views import MARK, View

LAST = "tour-last"  # in the session: the last step that was shown
CONTROLS = (
    "Selectbox", "MultiSelect", "ButtonGroup", "NumberInput", "Slider", "TextInput", "TextArea",
    "Checkbox", "Radio", "Popover", "Form", "FileUploader", "Button", "DownloadButton", "PageLink",
    "Expander",
)  # fmt: skip
BARE = f"""<style>
[data-testid='stHeader'] {{ display: none; }}
[data-testid='stMainBlockContainer'] {{ padding-top: 1rem; }}
:is(.st-key-tour-PageUp, .st-key-tour-PageDown,
    .st-key-settings:not(:has([data-testid='stAlert'])),
    [data-testid='stTabs'] [role='tablist']) {{ display: none; }}
[data-testid='stMain'] :is({", ".join(f"[data-testid='st{name}']" for name in CONTROLS)})\
:not(.st-key-tour *, [class$='-play'] *, [class*='-play '] *,
     [class$='-start'] *, [class*='-start '] *)\
 {{ display: none; }}
</style>"""
"""A page without its controls: its address says all that they would."""
LARGE = """<style>
html { font-size: 125%; }
[data-testid='stHeading']:has(h1) { display: none; }
</style>"""
"""A presentation: the step's own title stands for the page's."""
STEPS = (
    View(
        page="suppression", label="A few neurons carry a skill",
        says="More and more neurons of each layer are set to zero. Compare the causal neurons "
        "with as many random ones. *Play* draws the curves step by step.",
    ),
    View(
        page="rankings", label="Predictive neurons are often not causal",
        says="Each point is a neuron: how well it predicts the answer, and how much it adds to the "
        "right one. Click a point to open the neuron.",
    ),
    View(
        page="robustness", label="Typos cost accuracy, and neurons", params={"tab": "This task"},
        says="Texts get more and more typos. Accuracy falls, and fewer of the skill neurons "
        "found on clean text are found again.",
    ),
    View(
        page="flips", label="One example, twice",
        says="The table lists examples whose answer flips after one typo. Choose one to see which "
        "neurons change, position by position.",
    ),
    View(
        page="transferability", label="Do similar prompts transfer better?",
        says="Each point is a pair of tasks: how similar their prompts are, and how well one "
        "prompt works on the other task.",
    ),
    View(
        page="library", label="Your own data",
        says="The Library takes a CSV with texts and labels (*own*); all pages then offer your "
        "task. To try single texts, open the playground.",
        params={"section": "tasks"},
    ),
)  # fmt: skip


def shown() -> int | None:
    """The step that the address asks for, from 1; None without a tour."""
    asked = address.asked(STEP)
    return int(asked) if asked in map(str, range(1, len(STEPS) + 1)) else None


def _page(step: int) -> str:
    return f"pages/{STEPS[step - 1].page}.py"


def _query(step: int) -> dict[str, str | list[str]]:
    """What the address of a step says."""
    large = {PRESENT: "1"} if presented() else {}
    return {**STEPS[step - 1].query, STEP: str(step), **large, MARK: "1"}


def link(step: int, label: str, icon: str) -> None:
    """A link to a step."""
    st.page_link(_page(step), label=label, icon=icon, query_params=_query(step))


def bar() -> None:
    """The step's text above the page, with links to its neighbours, or keys in a presentation."""
    step = shown()
    if step is None:
        for name in (STEP, PRESENT):
            address.refuse(name, [said] if (said := address.taken(name)) else [])
        return
    st.session_state[LAST] = step
    view = STEPS[step - 1]
    if presented():
        st.html(BARE + LARGE)
    with st.container(border=True, key="tour"):
        stop = "" if view.label.endswith("?") else "."
        st.markdown(f"**{step} of {len(STEPS)}: {view.label}{stop}** {view.says}")
        with st.container(horizontal=True):
            if presented():
                _keys(step)
            else:
                _links(step)


def _links(step: int) -> None:
    if step > 1:
        link(step - 1, "Back", ":material/arrow_back:")
    if step < len(STEPS):
        link(step + 1, "Next", ":material/arrow_forward:")
    # Buttons: a link to the same page would leave the address as it is.
    if st.button("Present", icon=":material/slideshow:", type="tertiary"):
        address.put(PRESENT, "1")
        st.rerun()
    if st.button("Leave the tour", icon=":material/close:", type="tertiary"):
        address.put(STEP, None)
        st.rerun()


def _keys(step: int) -> None:
    """Buttons that can be pressed by a key; a remote control sends the keys for pages."""
    back, forth = (step - 1, "Back"), (step + 1, "Next")
    keys = {"Left": back, "PageUp": back, "Right": forth, "PageDown": forth}
    for key, (to, label) in keys.items():
        with st.container(key=f"tour-{key}", width="content"):
            if 1 <= to <= len(STEPS) and st.button(label, shortcut=key, type="tertiary", key=key):
                address.go(STEPS[to - 1].page, _query(to))
    if st.button("End the presentation", shortcut="Esc", type="tertiary"):
        address.put(PRESENT, None)
        st.rerun()


def begin() -> None:
    """A link that starts the tour, or goes on with it."""
    last = st.session_state.get(LAST)
    if last is None or last == len(STEPS):
        link(1, f"Take the tour: {len(STEPS)} steps", ":material/signpost:")
    else:
        link(last, f"Continue the tour: step {last} of {len(STEPS)}", ":material/signpost:")
