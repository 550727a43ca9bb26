"""One typed text: what the playground asks while a person waits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float

from core.lab.lab import Lab
from core.measures.attribution import AttributionSpec
from core.measures.direction import word_cosines
from core.measures.evaluation import Suppression
from core.measures.nearest import readable
from core.measures.predictivity import PredictivitySpec
from core.measures.reading import Play

NEAREST = 8  # words of the vocabulary that are named


@dataclass(frozen=True, kw_only=True, eq=False)
class Favoured:
    """The cosine of a neuron's output direction with each word's output embedding. `words` has a
    row per class: class, word (its answer word), cosine, above (the share of the vocabulary with a
    lower cosine). `cosines[vocab]`; `nearest`: the words of the highest, the highest first.
    """

    words: pd.DataFrame
    cosines: Float[npt.NDArray[np.float64], " vocab"]
    nearest: list[str]


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


def favoured(lab: Lab, spec: PredictivitySpec, layer: int, neuron: int) -> Favoured:
    """The words at which a neuron's output points, and the task's answer words among them."""
    task, pin = lab.find_task(spec.task.name), lab.models.found(spec.prompt.backbone)
    with lab.models.borrowed(pin.name, spec.prompt.precision) as backbone:
        cosines = word_cosines(backbone, layer, neuron)
        special = set(backbone.tokenizer.all_special_ids)
        order = [int(i) for i in np.argsort(-cosines, kind="stable") if int(i) not in special]
        nearest = list(dict.fromkeys(readable(backbone, order[: 4 * NEAREST])))[:NEAREST]
    pieces = lab.models.answer_words(pin.name, task)
    ids = [ids[0] for _, ids, _ in pieces]
    words = pd.DataFrame(
        {
            "class": task.labels, "word": [word for word, _, _ in pieces],
            "cosine": cosines[ids], "above": [float((cosines < cosines[i]).mean()) for i in ids],
        }
    )  # fmt: skip
    return Favoured(words=words, cosines=cosines, nearest=nearest)


def along(
    lab: Lab, spec: PredictivitySpec, texts: tuple[str, str | None], layer: int, neuron: int
) -> pd.DataFrame:
    """One neuron's activation at every position of the input: position, token, kind, activation."""
    slots = pd.DataFrame(layout(lab, spec, texts))[["position", "token", "kind"]]
    return slots.assign(activation=lab.along(spec, texts, layer, neuron))
