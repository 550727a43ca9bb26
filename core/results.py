"""The answers. Values only: they know neither store nor page."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from torch import Tensor

from core.specs import EvaluationSpec, PredictivitySpec, Prompt


@dataclass(frozen=True, kw_only=True)
class Run:
    """How an answer came about."""

    started: str
    seconds: float
    device: str
    versions: str


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Floor:
    """Predictivity that labels shuffled within the split reach, by the same maximum over tokens.

    `mean` and `p99` over neurons and permutations; `family`: 95 % of the permutations have no
    neuron above it.
    """

    mean: float
    p99: float
    family: float
    permutations: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictivity:
    """Per neuron and prompt token: how often `activation > baseline` guesses the class."""

    spec: PredictivitySpec
    baseline: Float[Tensor, "layer token neuron"]
    correct: Int[Tensor, "layer token neuron"]
    n: int
    n_train: int
    majority: float
    floor: Floor | None

    @property
    def accuracy(self) -> Float[Tensor, "layer token neuron"]:
        """Share of examples guessed right, in [0, 1]."""
        return self.correct.double() / self.n


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What the prompt answered, example by example, in the split's order.

    `scores[example class]` are the answer words' logits; the store does not keep them.
    """

    spec: EvaluationSpec
    index: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64] | None = field(repr=False)

    @property
    def n(self) -> int:
        """Examples evaluated."""
        return len(self.labels)

    @property
    def majority(self) -> float:
        """Accuracy of always answering the most frequent class."""
        return float(np.bincount(self.labels).max() / self.n)

    @property
    def correct(self) -> int:
        """Examples answered right."""
        return int((self.labels == self.predictions).sum())

    @property
    def accuracy(self) -> float:
        """Share answered right, in [0, 1]."""
        return self.correct / self.n


@dataclass(frozen=True, kw_only=True, eq=False)
class Activations:
    """Activations at each neuron's best prompt token, `values[example layer neuron]`."""

    index: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    values: Float[Tensor, "example layer neuron"]


Result = SoftPrompt | Predictivity | Evaluation | Activations
