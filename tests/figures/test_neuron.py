"""A neuron's finding in words."""

import numpy as np
import pandas as pd

from core.figures.neuron import elsewhere, helps, sentence


def ablated(contribution: float, spread: float) -> pd.DataFrame:
    """Two of 40 answers change if the contribution exceeds their margin."""
    rng = np.random.default_rng(0)
    margin = np.where(np.arange(40) < 2, 0.05, 3.0)
    noise = rng.permutation(np.repeat([-spread, spread], 20))
    return pd.DataFrame({"margin": margin, "contribution": contribution + noise})


def predicted(p: float) -> pd.DataFrame:
    return pd.DataFrame({"predictivity": [0.934], "p_family": [p]})


def test_a_neurons_sentence_says_what_its_test_and_its_interval_allow() -> None:
    clear = sentence(predicted(0.0004), ablated(0.2, 0.01), "A*")
    assert clear == (
        r"**This neuron predicts the classes of A\*** (predictivity 0.93, family-wise p < 0.001). "
        "Suppressing it changes 2 of 40 answers."
    )
    assert (
        "does not clearly predict the classes of B** (predictivity 0.93, family-wise p = 0.050)."
        in sentence(predicted(0.05), ablated(0.2, 0.01), "B")
    )
    assert sentence(predicted(0.01), ablated(-0.2, 0.01), "B").endswith("changes 0 of 40 answers.")


def test_a_neuron_that_was_not_suppressed_is_said_to_predict_only() -> None:
    said = sentence(predicted(0.01), ablated(0, 0).iloc[:0], "B")
    assert (
        said
        == "**This neuron predicts the classes of B** (predictivity 0.93, family-wise p = 0.010)."
    )
    assert not sentence(predicted(0.01).iloc[:0], ablated(0, 0), "B")


def test_other_tasks_that_it_predicts_are_counted() -> None:
    table = pd.DataFrame(
        [("a", 0, 0.01), ("b", 0, 0.2), ("b", 0, 0.04), ("c", 0, 0.05), ("c", 1, 0.001),
         ("d", 0, 0.001)],
        columns=["task", "seed", "p_family"],
    )  # fmt: skip
    assert elsewhere(table, ["a", "b", "c"], 0) == (2, 3)
    assert elsewhere(table, ["a", "b", "c"], 1) == (1, 1)
    assert elsewhere(table, [], 0) == (0, 0)
    said = sentence(predicted(0.01), ablated(0, 0).iloc[:0], "B", (2, 3))
    assert said.endswith("family-wise p = 0.010) and those of 2 of 3 other clean tasks.")
    said = sentence(predicted(0.2), ablated(0, 0).iloc[:0], "B", (2, 3))
    assert said.endswith(
        "family-wise p = 0.200) but does predict those of 2 of 3 other clean tasks."
    )
    said = sentence(predicted(0.01), ablated(0, 0).iloc[:0], "B", (0, 3))
    assert said.endswith("but those of none of 3 other clean tasks.")
    said = sentence(predicted(0.2), ablated(0, 0).iloc[:0], "B", (0, 1))
    assert said.endswith("family-wise p = 0.200) or those of any of 1 other clean task.")


def test_it_adds_to_a_task_if_it_does_with_every_seed() -> None:
    titles = {name: name.upper() for name in "abcde"}

    def said(*lows: tuple[str, float]) -> str:
        return helps(pd.DataFrame(lows, columns=["task", "low"]), titles)

    lead = "It clearly supports the right answer "
    some = [("a", 0.1), ("a", 0.2), ("b", 0.1), ("b", -0.01), ("c", 0.3)]
    assert said(*some) == f"{lead}only on A and C"
    assert said(("a", 0.1), ("c", 0.3)) == f"{lead}on A and C"
    none = "It does not clearly support the right answer on any of 2 tasks"
    assert said(("a", 0.0), ("c", -0.3)) == none
    assert said(*((t, 0.1) for t in "abcd"), ("e", -1)) == f"{lead}on 4 of 5 tasks"
    assert said(("unnamed", 0.1), ("a", -1)) == f"{lead}only on unnamed"
    assert said() == ""
    whole = sentence(predicted(0.01), ablated(0, 0).iloc[:0], "B", (2, 3), said(*some))
    assert whole.endswith(
        "2 of 3 other clean tasks. **It clearly supports the right answer only on A and C**."
    )
