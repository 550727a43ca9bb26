"""What questions about a prompt on a task have in common, and the columns that keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from core.base.errors import BadInput
from core.base.specs import key

if TYPE_CHECKING:
    import pandas as pd

    from core.base.prompts import Prompt
    from core.base.specs import Pinned, Precision, Stack
    from core.tasks.attacks import Attack


Values = npt.NDArray[np.float64]
Positions = Literal["all", "prompt"]
"""Where in the input neurons are studied or suppressed: everywhere, or at the prompt only."""


def at_all_positions(stack: Stack, positions: Positions) -> None:
    """A prompt has positions in the encoder only. Raises: BadInput."""
    if stack == "decoder" and positions == "prompt":
        raise BadInput("The decoder has no prompt positions; ask about all of its positions.")


class OnTask(Protocol):
    """A question about a prompt on a split of a task."""

    @property
    def prompt(self) -> Prompt: ...
    @property
    def task(self) -> Pinned: ...
    @property
    def split(self) -> str: ...


class Asked(OnTask, Protocol):
    """One that is asked in a precision, of some rows, as they are or under an attack."""

    @property
    def limit(self) -> int | None: ...
    @property
    def precision(self) -> Precision | None: ...
    @property
    def attack(self) -> Attack | None: ...


COLUMNS = (
    "prompt VARCHAR, backbone VARCHAR, source_task VARCHAR, seed INTEGER, target_task VARCHAR,"
    " split VARCHAR"
)


def columns(spec: OnTask) -> dict[str, Any]:
    """The values of `COLUMNS`."""
    return {
        "prompt": key(spec.prompt),
        "backbone": spec.prompt.backbone.name,
        "source_task": spec.prompt.source_task,
        "seed": spec.prompt.seed,
        "target_task": spec.task.name,
        "split": spec.split,
    }


def each_neuron(layers: int, width: int) -> dict[str, Any]:
    """Columns `layer` and `neuron` of a table with a row for each neuron, layer by layer."""
    return {
        "layer": np.repeat(np.arange(layers), width),
        "neuron": np.tile(np.arange(width), layers),
    }


def as_layers(found: pd.DataFrame, name: str) -> Float[Values, "layer neuron"]:
    """The column of a table with as many rows for each layer, layer by layer."""
    values: Values = found[name].to_numpy(np.float64).reshape(found.layer.nunique(), -1)
    return values
