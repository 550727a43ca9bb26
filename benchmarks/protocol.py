"""Our evaluation and predictivity against a plain forward pass and the reference protocol.

`python -m benchmarks.protocol [BACKBONE ...]` prints seconds and ratios, all from one run:

- plain: the stock model's own forward pass, texts padded per batch, logits of the whole vocabulary;
- reference: as the published code does it, every text padded to the layout's full length, and, for
  predictivity, every activation of the split kept until the end;
- ours: like lengths together, the answer words' logits only, running sums and counts.

Attribution (all neurons, one forward and one backward pass) stands beside the plain forward pass of
the same 300 train rows, and beside its exact counterpart, a pass for each neuron, counted from one.
"""

import sys
import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from core.backbones import Backbone
from core.backbones.batches import Encoded
from core.backbones.hooks import capture
from core.backbones.prompted import BATCH
from core.base.prompts import SoftPrompt
from core.base.settings import Settings
from core.base.specs import Spec
from core.lab.lab import Lab
from core.measures.attribution import AttributionSpec
from core.measures.evaluation import EvaluationSpec
from core.measures.predictivity import PredictivitySpec
from core.measures.sweeps import standard_prompt
from core.tasks import Task, load_task
from core.tasks.data import load_split

TEXT_LENGTH = 131  # the published layout's places for the text: 128 and specials
REPEATS = 3
CAUSAL_ROWS = 300
T = TypeVar("T")


def fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest of a few runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


class Forgetful(Lab):
    """A lab that computes anew what several measurements share."""

    def once(self, what: Hashable, compute: Callable[[], T]) -> T:
        """Computed now."""
        return compute()


def answering(lab: Lab, asked: Spec) -> float:
    """Seconds of computing an answer anew."""
    return fastest(lambda: lab.answer(asked))


def padded(encoded: Encoded, backbone: Backbone, length: int | None) -> list[tuple[Tensor, Tensor]]:
    """Batches in the split's order, padded per batch or to a fixed length."""
    batches = []
    for start in range(0, len(encoded.ids), BATCH):
        batch = encoded.batch(list(range(start, min(start + BATCH, len(encoded.ids)))), backbone)
        more = 0 if length is None else max(0, length - batch.ids.shape[1])
        ids = torch.nn.functional.pad(batch.ids, (0, more), value=backbone.pad_id)
        batches.append((ids, torch.nn.functional.pad(batch.mask, (0, more))))
    return batches


@torch.inference_mode()
def forward(
    backbone: Backbone,
    prompt: SoftPrompt,
    task: Task,
    length: int | None,
    rows: tuple[str, int | None] = ("validation", None),
) -> Tensor:
    """Logits of the whole vocabulary for every example of a split, or for so many of them."""
    encoded = Encoded.of(backbone, load_split(task, *rows))
    return torch.cat(
        [
            backbone.logits(backbone.answer_state(prompt.vectors, *batch), slice(None))
            for batch in padded(encoded, backbone, length)
        ]
    )


@torch.inference_mode()
def keep_everything(backbone: Backbone, prompt: SoftPrompt, task: Task) -> Tensor:
    """Accuracy per layer, token and neuron, from all activations of both splits at once."""
    prefix = backbone.prefix_length(len(prompt.vectors))
    kept = {}
    for split in ("train", "validation"):
        encoded = Encoded.of(backbone, load_split(task, split))
        parts = []
        with capture(backbone.down_projections(), slice(0, prefix)) as seen:
            for batch in padded(encoded, backbone, TEXT_LENGTH):
                backbone.logits(backbone.answer_state(prompt.vectors, *batch), slice(None))
                parts.append(torch.stack([seen[i].clone() for i in range(backbone.layers)], 1))
        kept[split] = torch.cat(parts)
    labels = torch.from_numpy(load_split(task, "validation").labels).bool()
    fired = kept["validation"] > kept["train"].mean(dim=0)
    return (fired == labels[:, None, None, None]).double().mean(dim=0)


def compare(lab: Lab, name: str) -> None:
    """One backbone's table."""
    task = load_task("short_reviews")
    pin = lab.pin(task, name)
    spec = standard_prompt(lab.models.pin(name), lab.models.family(name), pin, 0)
    prompt, backbone = lab.prompt(spec), lab.models.load(name)
    evaluation = EvaluationSpec(prompt=spec, task=pin)
    bare = PredictivitySpec(prompt=spec, task=pin, permutations=0)
    floor = PredictivitySpec(prompt=spec, task=pin, permutations=100)
    questions: dict[tuple[str, str], Spec] = {
        ("evaluate", "ours"): evaluation,
        ("evaluate", "near ties in fp64"): replace(evaluation, precision="fp64"),
        ("predictivity", "ours"): bare,
        ("predictivity", "ours, 100 permutations"): floor,
        ("predictivity", "all of it in fp64"): replace(floor, precision="fp64"),
        ("attribution", "ours"): AttributionSpec(prompt=spec, task=pin, limit=CAUSAL_ROWS),
    }
    rows = [
        *((*what, answering(lab, asked)) for what, asked in questions.items()),
        ("evaluate", "plain", fastest(lambda: forward(backbone, prompt, task, None))),
        ("evaluate", "reference", fastest(lambda: forward(backbone, prompt, task, TEXT_LENGTH))),
        ("predictivity", "reference", fastest(lambda: keep_everything(backbone, prompt, task))),
    ]
    train = ("train", CAUSAL_ROWS)
    once = fastest(lambda: forward(backbone, prompt, task, None, train))
    neurons = backbone.layers * backbone.intermediate_size
    rows += [("attribution", "plain forward", once), ("attribution", "neuron by neuron",
                                                      once * neurons)]  # fmt: skip
    print(f"\n{name}, {task.title}, {torch.get_num_threads()} threads")
    print(f"{'what':14}{'how':26}{'seconds':>9}{'ours is faster by':>20}")
    for what, how, seconds in rows:
        ours = next(s for w, h, s in rows if (w, h) == (what, "ours"))
        print(f"{what:14}{how:26}{seconds:9.3f}{seconds / ours:19.2f}x")


def main() -> None:
    """All embedded backbones, or those named."""
    lab = Forgetful.open(Settings.from_env())
    for name in sys.argv[1:] or lab.models.names():
        compare(lab, name)


if __name__ == "__main__":
    main()
