"""One typed text as tables: class probabilities, and the classes its skill neurons predict."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.figures import rankings
from core.measures.predictivity import PredictivitySpec
from core.measures.reading import Alone, Play
from core.stats.neurons import Ranking
from core.store import Store

TOP = 0.05  # of each layer: the skill neurons shown
LOUDEST = 16
UNMODIFIED, BEFORE, AFTER = "unmodified", "before the attack", "after the attack"


def probabilities(play: Play, labels: Sequence[str], kind: str = "skill") -> pd.DataFrame:
    """One row per class and state of the model: how, class, rank, probability, low and high (range
    over random draws). `kind` is that of the suppressed neurons.
    """
    rows = play.reading.probabilities
    states = {UNMODIFIED: rows[:1]}
    if play.draws:
        states |= {
            f"{kind} neurons suppressed": rows[1:2], "random neurons suppressed": rows[2:],
        }  # fmt: skip
    return pd.DataFrame(
        {
            "how": how, "class": label, "rank": i, "probability": float(p[:, i].mean()),
            "low": float(p[:, i].min()), "high": float(p[:, i].max()),
        }
        for how, p in states.items()
        for i, label in enumerate(labels)
    )  # fmt: skip


def with_clean(table: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """The probabilities of an attacked text, after those of the text before the attack."""
    before = clean[clean.how == UNMODIFIED].assign(how=BEFORE)
    after = table.assign(how=table.how.replace(UNMODIFIED, AFTER))
    return pd.concat([before, after], ignore_index=True)


def votes(play: Play, ranking: Ranking, labels: Sequence[str], backbone: str) -> pd.DataFrame:
    """The skill neurons of a ranking: backbone, layer, neuron, name, predictivity, activation,
    baseline, above (activation minus baseline), vote (the class that the neuron predicts).
    """
    layer, neuron = np.nonzero(ranking.top(TOP))
    here = (layer, neuron)
    activation, baseline = (
        play.reading.activations[here],
        play.neurons["baseline"][here],
    )
    fires_for_one = play.neurons["accuracy"][here] >= 0.5
    vote = (activation > baseline) == fires_for_one
    return pd.DataFrame(
        {
            "backbone": backbone, "layer": layer, "neuron": neuron,
            "name": [f"{a}/{b}" for a, b in zip(layer, neuron, strict=True)],
            "predictivity": ranking.values[here], "activation": activation,
            "baseline": baseline, "above": activation - baseline,
            "vote": [labels[int(v)] for v in vote],
        }
    )  # fmt: skip


def alone(found: Alone, labels: Sequence[str], backbone: str) -> pd.DataFrame:
    """Single suppressed neurons, those that change the answer first, then by how much they lower
    it: backbone, layer, neuron, attribution (of the answer's margin), probability (of the
    unmodified answer), lowered (by how much), answer (with the neuron suppressed), flips.
    """
    said = int(found.unmodified.argmax())
    now = found.probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {
            "backbone": backbone, "layer": found.layer, "neuron": found.neuron,
            "attribution": found.attributed, "probability": found.probabilities[:, said],
            "lowered": found.unmodified[said] - found.probabilities[:, said],
            "answer": [labels[i] for i in now], "flips": now != said,
        }
    )  # fmt: skip
    return table.sort_values(["flips", "lowered"], ascending=False, kind="stable")


def ranking(store: Store, ranked: Sequence[PredictivitySpec]) -> Ranking:
    """Seed-mean predictivity for the contrast of `ranked[0]`."""
    mean = rankings.mean_of(store, [s for s in ranked if s.contrast == ranked[0].contrast])
    assert mean is not None, "the measurements of a text's prompt come first"
    return mean


def loudest(votes: pd.DataFrame) -> pd.DataFrame:
    """The neurons furthest from their baselines, the furthest first."""
    order = votes.above.abs().sort_values(ascending=False).index
    return votes.loc[order].head(LOUDEST)
