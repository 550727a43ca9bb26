"""The answers. Values only: they know neither store nor page."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from torch import Tensor

from core.base.specs import AgreementSpec, EvaluationSpec, NeuronSpec, PredictivitySpec, Prompt


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

    `mean` and `p99` over neurons and permutations. `family`: 95 % of the permutations have no
    neuron above it. `fdr`: the lowest predictivity of a neuron whose `q` is at most 0.05, NaN if
    there is none. Per neuron: `p` against its own shuffled values, `p_family` against the best
    neuron's (Westfall & Young 1993), `q` the false discovery rate (Benjamini & Hochberg 1995) of
    all that reach as much.
    """

    mean: float
    p99: float
    family: float
    fdr: float
    permutations: int
    p: Float[Tensor, "layer neuron"]
    p_family: Float[Tensor, "layer neuron"]
    q: Float[Tensor, "layer neuron"]


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


@dataclass(frozen=True, kw_only=True, eq=False)
class NeuronEffect:
    """The margin of the right answer, example by example: its logit less the best other one's.

    `margin` as the model is, `without` with the neuron at 0 everywhere, `without_slot` with the
    neuron at 0 at its best prompt token only.
    """

    spec: NeuronSpec
    index: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    margin: npt.NDArray[np.float64]
    without_slot: npt.NDArray[np.float64]
    without: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement:
    """Clean and adversarial predictivities compared, as they are and over redrawn data.

    Each draw is one comparison of two rankings: `spearman[draw layer]`; at each fraction, how many
    skill neurons the first has in each layer, `skill[draw fraction layer]`, how many of these are
    the second's, too, `kept[draw fraction layer]`, and the median of their places in their layer by
    the second, `median[draw fraction]`. `kind` says which comparison: `measured`, clean against
    adversarial data as they are; `shuffled`, with shuffled adversarial labels; `bootstrap`,
    examples and seeds redrawn; `halves`, two disjoint parts of the clean split, the second as large
    as the adversarial split; `halves shuffled`, with shuffled labels of the second. `attack` is the
    kind of the adversarial examples, empty for all.
    """

    spec: AgreementSpec
    kind: tuple[str, ...]
    attack: tuple[str, ...]
    spearman: npt.NDArray[np.float64]
    skill: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]
    median: npt.NDArray[np.float64]
    neurons: int
    n_clean: int
    n_adversarial: int


Result = SoftPrompt | Predictivity | Evaluation | Activations | NeuronEffect | Agreement
