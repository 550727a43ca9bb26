"""One typed text: what the playground asks while a person waits."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from core.lab.lab import Lab
from core.measures.attribution import AttributionSpec
from core.measures.evaluation import Suppression
from core.measures.predictivity import PredictivitySpec
from core.measures.reading import Play


def play(
    lab: Lab,
    ranked: Sequence[PredictivitySpec],
    texts: tuple[str, str | None],
    *,
    share: float,
    draws: int,
    causal: Sequence[AttributionSpec] = (),
) -> Play:
    """Read a text through the prompt of `ranked[0]`; with a share above 0 also with so many skill
    neurons off, or so many `causal` ones if these are given, and with as many random ones, `draws`
    times. Raises: BadInput.
    """
    how: list[Suppression] = []
    if share > 0:
        how = [
            Suppression(ranking=tuple(causal), choose="causal", fraction=share)
            if causal
            else Suppression(ranking=tuple(ranked), choose="skill", fraction=share)
        ]
        how += [
            Suppression(ranking=(), choose="random", fraction=share, seed=i) for i in range(draws)
        ]
    reading = lab.read(ranked, texts, how)
    values = lab.stored(ranked[0])
    return Play(
        reading=reading,
        neurons={"baseline": values.baseline, "accuracy": values.accuracy},
        draws=draws if share > 0 else 0,
    )


def layout(
    lab: Lab, spec: PredictivitySpec, texts: tuple[str, str | None]
) -> list[dict[str, object]]:
    """The exact input, position by position."""
    task, asked = lab.find_task(spec.task.name), spec.prompt
    with lab.models.borrowed(lab.models.found(asked.backbone).name, asked.precision) as backbone:
        slots = backbone.layout(
            asked.prompt_length, texts[0], texts[1],
            template=task.templates.get(backbone.family), layout=asked.layout,
            max_length=asked.max_length,
        )  # fmt: skip
    return [asdict(slot) for slot in slots]


def along(
    lab: Lab, spec: PredictivitySpec, texts: tuple[str, str | None], layer: int, neuron: int
) -> pd.DataFrame:
    """One neuron's activation at every position of the input: position, token, kind, activation."""
    slots = pd.DataFrame(layout(lab, spec, texts))[["position", "token", "kind"]]
    return slots.assign(activation=lab.along(spec, texts, layer, neuron))
