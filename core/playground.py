"""One typed text: what the playground asks the lab, and the answer as tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from core import rankings
from core.lab import Lab
from core.reading import Reading
from core.specs import PredictivitySpec, Suppression
from core.statistics import Ranking
from core.tasks import load_task

TOP = 0.05  # of each layer: whose votes are shown
LOUDEST = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Play:
    """A reading, and what is known of each neuron: `neurons[name]` as [layer, neuron] arrays."""

    reading: Reading
    neurons: dict[str, np.ndarray]
    draws: int

    def probabilities(self, labels: Sequence[str]) -> pd.DataFrame:
        """One row per class and state of the model: how, class, rank, probability, low, high."""
        rows = self.reading.probabilities
        states = {"as it is": rows[:1]}
        if self.draws:
            states |= {"skill neurons off": rows[1:2], "random neurons off": rows[2:]}
        return pd.DataFrame(
            {
                "how": how, "class": label, "rank": i, "probability": float(p[:, i].mean()),
                "low": float(p[:, i].min()), "high": float(p[:, i].max()),
            }
            for how, p in states.items()
            for i, label in enumerate(labels)
        )  # fmt: skip

    def votes(self, ranking: Ranking, labels: Sequence[str], backbone: str) -> pd.DataFrame:
        """The skill neurons of a ranking: backbone, layer, neuron, name, predictivity, activation,
        baseline, above (activation less baseline), vote (the class that the neuron speaks for).
        """
        layer, neuron = np.nonzero(ranking.skill(TOP))
        here = (layer, neuron)
        activation, baseline = (
            self.reading.activations.numpy()[here],
            self.neurons["baseline"][here],
        )
        fires_for_one = self.neurons["accuracy"][here] >= 0.5
        vote = (activation > baseline) == fires_for_one
        return pd.DataFrame(
            {
                "backbone": backbone, "layer": layer, "neuron": neuron,
                "name": [f"{a}/{b}" for a, b in zip(layer, neuron, strict=True)],
                "predictivity": ranking.predictivity[here], "activation": activation,
                "baseline": baseline, "above": activation - baseline,
                "vote": [labels[int(v)] for v in vote],
            }
        )  # fmt: skip


def play(
    lab: Lab,
    ranked: Sequence[PredictivitySpec],
    texts: tuple[str, str | None],
    *,
    share: float,
    draws: int,
) -> Play:
    """Read a text through the prompt of `ranked[0]`; with a share above 0 also with so many skill
    neurons off, and with as many random ones, `draws` times. Raises: BadInput.
    """
    how: list[Suppression] = []
    if share > 0:
        how = [Suppression(ranking=tuple(ranked), choose="skill", fraction=share)]
        how += [
            Suppression(ranking=(), choose="random", fraction=share, seed=i) for i in range(draws)
        ]
    reading = lab.read(ranked, texts, how)
    values = lab.neurons(ranked[0])
    return Play(
        reading=reading,
        neurons={n: np.asarray(values[n], np.float64) for n in ("baseline", "accuracy")},
        draws=draws if share > 0 else 0,
    )


def ranking(lab: Lab, ranked: Sequence[PredictivitySpec]) -> Ranking:
    """The mean over seeds of the binary question that `ranked[0]` asks."""
    mean = rankings.mean_of(lab.store, [s for s in ranked if s.contrast == ranked[0].contrast])
    assert mean is not None, "what a text is read with is measured before"
    return mean


def loudest(votes: pd.DataFrame) -> pd.DataFrame:
    """The votes furthest from their baseline, the furthest first."""
    order = votes.above.abs().sort_values(ascending=False).index
    return votes.loc[order].head(LOUDEST)


def layout(
    lab: Lab, spec: PredictivitySpec, texts: tuple[str, str | None]
) -> list[dict[str, object]]:
    """The exact input, position by position."""
    task, asked = load_task(spec.task.name), spec.prompt
    with lab.models.borrowed(asked.backbone.name, asked.precision) as backbone:
        slots = backbone.layout(
            asked.prompt_length, texts[0], texts[1],
            template=task.templates.get(backbone.family), layout=asked.layout,
            max_length=asked.max_length,
        )  # fmt: skip
    return [asdict(slot) for slot in slots]
