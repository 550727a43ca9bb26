"""Soft prompts: what every kind of them offers to whoever measures behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from core.base.specs import Layout, Pinned, Precision, Spec, positive

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Origin = Literal["tuned", "imported", "words", "random", "projected"]


@dataclass(frozen=True, kw_only=True)
class Prompt(Spec):
    """A soft prompt, named by how it came about. A kind of prompt is a subclass.

    Two prompts may have the same seed; they are told apart by their key.
    """

    origin: ClassVar[str]
    backbone: Pinned
    seed: int
    prompt_length: int
    max_length: int = 128
    precision: Precision = "fp32"
    layout: Layout = "mask_first"  # prompts of our own never have a dead row

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "prompt_length", "max_length")

    @property
    def source_task(self) -> str:
        """Name of the task it was tuned on."""
        raise NotImplementedError

    @property
    def recipe(self) -> tuple[str, ...]:
        """How it came about, in short lines for a card."""
        return ()

    def reseeded(self, seed: int) -> Prompt | None:
        """The same kind of prompt from another start; None where there is no such thing."""
        return None

    @property
    def needs(self) -> tuple[Spec, ...]:
        """Other answers that it is made from, such as another prompt that it starts from."""
        return ()


Dead: TypeAlias = Callable[[Prompt], bool]
"""Whether the first vector of a prompt never reaches the model (`Lab.has_dead_row`)."""


def never(_: Prompt) -> bool:
    """No prompt has a dead row."""
    return False


@dataclass(frozen=True, kw_only=True)
class Step:
    """One point of a tuning run; `accuracy` is on the selection rows, None between evaluations."""

    step: int
    loss: float
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftPrompt:
    """Trained vectors before the input, from the step that was best on the selection rows."""

    spec: Prompt
    vectors: Float[Tensor, "token hidden"]
    words: tuple[str, ...]
    best_step: int | None = None
    selection_accuracy: float | None = None
    selection_rows: int | None = None
    history: tuple[Step, ...] = ()

    @property
    def array(self) -> npt.NDArray[np.float64]:
        """The vectors in double precision, `[token hidden]`."""
        found: npt.NDArray[np.float64] = self.vectors.double().cpu().numpy()
        return found
