"""The loop that trains a few weights on a task's train rows and keeps those of the best step."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float

from core.backbones.prompted import BATCH, PromptedModel
from core.base.errors import BadInput, Cancelled
from core.base.measure import Artifact
from core.base.prompts import Step

if TYPE_CHECKING:
    from torch import Tensor

    from core.backbones.batches import Encoded
    from core.measures.tuning import TuneSpec
    from core.tasks.data import Examples

FEWEST = 8  # train rows, a quarter of which choose the best step


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How training went; `accuracy` is that of the best step on the selection rows, `seconds` are
    those of the updates alone: processor time, which other programs do not prolong, or, with
    several threads or on a GPU, the time that passed.
    """

    best_step: int
    accuracy: float
    selection_rows: int
    history: tuple[Step, ...]
    seconds: float


def _nothing_kept(halfway: Artifact) -> None:
    """For training that is begun anew when it was interrupted."""


def _not_told(steps: tuple[Step, ...]) -> None:
    """For training that is not resumed."""


def fit(
    spec: TuneSpec,
    model: PromptedModel,
    learned: Sequence[Tensor],
    vectors: Float[Tensor, "token hidden"],
    examples: Examples,
    follow: Callable[[Step], None],
    *,
    halfway: Artifact | None = None,
    before: Callable[[tuple[Step, ...]], None] = _not_told,
    keep: Callable[[Artifact], None] = _nothing_kept,
) -> Fitted:
    """Train what is `learned` on a task's train rows and leave it as it was at the best step;
    `vectors` stand before the input, learned or not.

    What `keep` was given last is how far an interrupted training got: at its last evaluation, or,
    if `follow` raised Cancelled, at its last step. With that as `halfway` it goes on as if it had
    not been interrupted; `before` is told the steps that were made before. Raises: BadInput for a
    loss that is no number.
    """
    import torch

    learn, select = split_selection(examples, spec)
    rows, held = model.encode(learn), model.encode(select)
    state = _State(learned, spec.learning_rate)
    if halfway is not None and state.resume(halfway, spec.steps):
        before(tuple(state.history))
    clock = _clock(vectors)
    for number, chosen in enumerate(_batches(len(learn), spec), start=1):
        if number <= len(state.history):
            continue
        since = clock()
        loss = model.loss(rows.batch(chosen, model.backbone), vectors)
        if not loss.isfinite():
            raise BadInput(
                f"Tuning diverged at step {number}: the loss is no longer a number; choose a "
                f"learning rate below {spec.learning_rate:g}."
            )
        state.update(loss)
        state.seconds += clock() - since
        accuracy = None
        if number % spec.evaluate_every == 0 or number == spec.steps:
            accuracy = selection_accuracy(model, vectors.detach(), held)
            state.judge(number, accuracy)
        state.history.append(Step(step=number, loss=loss.item(), accuracy=accuracy))
        if accuracy is not None and number < spec.steps:
            keep(state.saved())
        try:
            follow(state.history[-1])
        except Cancelled:
            if number < spec.steps:
                keep(state.saved())
            raise
    with torch.no_grad():
        for now, kept in zip(learned, state.best, strict=True):
            now.copy_(kept)
    return Fitted(
        best_step=state.best_step, accuracy=state.best_accuracy, selection_rows=len(select),
        history=tuple(state.history), seconds=state.seconds,
    )  # fmt: skip


class _State:
    """How far training is: the weights, the optimiser's means, the best step so far, the curve."""

    def __init__(self, learned: Sequence[Tensor], rate: float) -> None:
        import torch

        self._learned = list(learned)
        self._optimiser = torch.optim.AdamW(self._learned, lr=rate, weight_decay=0.0)
        self.best = [p.detach().clone() for p in self._learned]
        self.best_accuracy, self.best_step, self.seconds = -1.0, 0, 0.0
        self.history = list[Step]()

    def update(self, loss: Tensor) -> None:
        """One step of the optimiser."""
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()

    def judge(self, step: int, accuracy: float) -> None:
        """Of equally good steps, the later one is kept."""
        if accuracy >= self.best_accuracy:
            self.best_accuracy, self.best_step = accuracy, step
            self.best = [p.detach().clone() for p in self._learned]

    def saved(self) -> Artifact:
        """All of it, to go on from."""
        tensors = dict[str, "Tensor"]()
        for i, weights in enumerate(self._learned):
            tensors |= {f"{i}.weights": weights.detach(), f"{i}.best": self.best[i]}
            means: Mapping[str, Tensor] = self._optimiser.state[weights]
            tensors |= {f"{i}.{name}": value for name, value in means.items()}
        numbers = {
            "best_accuracy": self.best_accuracy, "best_step": self.best_step,
            "seconds": self.seconds, "history": [asdict(step) for step in self.history],
        }  # fmt: skip
        copies = {name: value.clone() for name, value in tensors.items()}
        return Artifact(tensors=copies, header={"halfway": json.dumps(numbers)})

    def resume(self, halfway: Artifact, steps: int) -> bool:
        """Go on from what was saved before the last of so many steps; False, and nothing is
        changed, if that is something else.
        """
        import torch

        try:
            numbers = json.loads(halfway.header["halfway"])
            history = [Step(**step) for step in numbers["history"]]
            best_accuracy, best_step = float(numbers["best_accuracy"]), int(numbers["best_step"])
            seconds = float(numbers["seconds"])
            saved = [
                {n: halfway.tensors[f"{i}.{n}"].to(p.device, copy=True) for n in NAMES}
                for i, p in enumerate(self._learned)
            ]
            counts = [halfway.tensors[f"{i}.step"].clone() for i in range(len(self._learned))]
        except (KeyError, TypeError, ValueError):
            return False
        fits = all(
            value.shape == p.shape
            for p, mine in zip(self._learned, saved, strict=True)
            for value in mine.values()
        )
        done = [step.step for step in history]
        if not fits or done != list(range(1, len(done) + 1)) or not 0 < len(done) < steps:
            return False
        for p, mine, count in zip(self._learned, saved, counts, strict=True):
            with torch.no_grad():
                p.copy_(mine["weights"])
            self._optimiser.state[p] = {"step": count, **{n: mine[n] for n in MEANS}}
        self.best = [mine["best"] for mine in saved]
        self.best_accuracy, self.best_step = best_accuracy, best_step
        self.history, self.seconds = history, seconds
        return True


MEANS = ("exp_avg", "exp_avg_sq")
NAMES = ("weights", "best", *MEANS)


def _clock(vectors: Tensor) -> Callable[[], float]:
    """Seconds: of this thread alone where it does all the work, else of the clock on the wall."""
    import torch

    if vectors.device.type == "cuda":

        def finished() -> float:
            torch.cuda.synchronize()
            return time.perf_counter()

        return finished
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def split_selection(examples: Examples, spec: TuneSpec) -> tuple[Examples, Examples]:
    """Disjoint rows for training and for choosing the best step, drawn with a fixed seed: as many
    of the latter as `selection` says, or a quarter of all where so many would leave nothing.
    """
    import torch

    if len(examples) < FEWEST:
        raise BadInput(
            f"Tuning needs at least {FEWEST} train examples; the train split has {len(examples)}."
        )
    enough = len(examples) >= spec.selection + 2
    held = spec.selection if enough else len(examples) // 4
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0)).numpy()
    return examples.take(order[held:]), examples.take(order[:held])


def _batches(n: int, spec: TuneSpec) -> Iterator[list[int]]:
    """Row numbers of each step: shuffled epochs, incomplete last batches dropped."""
    rng, queue = random.Random(spec.seed), list[int]()
    size = min(spec.batch_size, n)
    for _ in range(spec.steps):
        if len(queue) < size:
            queue = rng.sample(range(n), n)
        yield queue[:size]
        queue = queue[size:]


def selection_accuracy(model: PromptedModel, vectors: Tensor, held: Encoded) -> float:
    """Accuracy on the selection rows, or the mean score of the written texts."""
    import torch

    batches = held.by_length(model.backbone, BATCH)
    with torch.inference_mode():
        right = sum(model.judge(batch, vectors).sum() for batch in batches)
    return float(right / len(held.ids))
