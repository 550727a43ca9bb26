"""A private copy of a backbone with some weights to be trained: the ways to tune a model.

The shared backbones stay frozen. Where `peft` has a way, it is peft's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from jaxtyping import Float, Int

from core.backbones import LOADING
from core.backbones.base import Backbone

if TYPE_CHECKING:
    from torch import Tensor, nn

Way = Literal["prompt", "prefix", "bias", "lora", "adapter", "full"]
WAYS: tuple[Way, ...] = get_args(Way)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trainable:
    """A copy of a backbone and its weights to be trained. `vectors[token hidden]` stand before the
    input; none, unless a prompt is among what is trained.
    """

    backbone: Backbone
    learned: Sequence[Tensor]
    vectors: Float[Tensor, "token hidden"]
    added: list[nn.Module] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of trained weights."""
        return sum(p.numel() for p in self.learned)


def private(backbone: Backbone) -> Backbone:
    """The same backbone with weights of its own."""
    mine = copy.copy(backbone)
    mine.model = copy.deepcopy(backbone.model)
    return mine


@contextmanager
def trainable(
    backbone: Backbone,
    way: Way,
    *,
    vectors: Float[Tensor, "token hidden"],
    rank: int,
    seed: int,
    example: tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]],
) -> Iterator[Trainable]:
    """Inside the block, a copy of the backbone with what this way trains.

    - `prompt`: the vectors before the input.
    - `prefix`: these, and vectors that take the place of the states at their positions before
      each further layer of the encoder; they begin as these states' means over an `example` batch
      (ids, mask). Source: Li & Liang 2021 as deep prompts, Liu et al. 2022.
    - `bias`: all bias vectors (Ben Zaken et al. 2022), T5, which has none: the norms' gains.
    - `lora`: low-rank updates of queries and values by peft (Hu et al. 2022).
    - `adapter`: bottlenecks of width `rank` after each feed-forward network, with a residual
      connection, at first the identity (Houlsby et al. 2019, the second of their two places).
    - `full`: all weights.
    """
    import torch

    mine, none = private(backbone), vectors[:0]
    removed = list[Callable[[], None]]()
    with LOADING, torch.random.fork_rng(devices=[]):  # one seed and one dtype for all threads
        torch.manual_seed(seed)
        if way in ("prompt", "prefix"):
            first = vectors.detach().clone().to(mine.device, mine.dtype).requires_grad_(True)
            deeper = _prefix(mine, first, example, removed) if way == "prefix" else []
            found = Trainable(backbone=mine, learned=[first, *deeper], vectors=first)
        elif way == "adapter":
            added = _adapters(mine, rank, removed)
            learned = [p for module in added for p in module.parameters()]
            found = Trainable(backbone=mine, learned=learned, vectors=none, added=added)
        else:
            found = Trainable(backbone=mine, learned=_inside(mine, way, rank), vectors=none)
    try:
        yield found
    finally:
        for remove in removed:
            remove()


def _inside(mine: Backbone, way: Way, rank: int) -> list[Tensor]:
    """Weights of the model itself, or such that peft puts beside them."""
    if way == "full":
        chosen = dict(mine.model.named_parameters())
    elif way == "bias":
        named = dict(mine.model.named_parameters())
        chosen = {n: p for n, p in named.items() if n.endswith(".bias")} or {
            n: p for n, p in named.items() if "norm" in n.lower()
        }
    else:
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(mine.attention))
        inject_adapter_in_model(config, mine.model)
        chosen = {n: p for n, p in mine.model.named_parameters() if "lora_" in n}
    for weight in chosen.values():
        weight.requires_grad_(True)
    return list(chosen.values())


def _adapters(mine: Backbone, width: int, removed: list[Callable[[], None]]) -> list[nn.Module]:
    from torch import nn

    added: list[nn.Module] = []
    for stack in mine.stacks:
        for linear in mine.down_projections(stack):
            size = linear.out_features
            last = nn.Linear(width, size)
            for weight in last.parameters():
                nn.init.zeros_(weight)
            module = nn.Sequential(nn.Linear(size, width), nn.ReLU(), last)
            added.append(module.to(mine.device, mine.dtype))

            def beside(
                _: nn.Module, inputs: tuple[Tensor], out: Tensor, module: nn.Module = module
            ) -> Tensor:
                changed: Tensor = out + module(out)
                return changed

            removed.append(linear.register_forward_hook(beside).remove)
    return added


def _prefix(
    mine: Backbone,
    first: Float[Tensor, "token hidden"],
    example: tuple[Tensor, Tensor],
    removed: list[Callable[[], None]],
) -> list[Float[Tensor, "token hidden"]]:
    """Vectors for each layer but the first, set by hooks before these layers."""
    import torch

    end = mine.prefix_length(len(first))
    positions = slice(end - len(first), end)
    seen: list[Tensor] = []
    deeper: list[Tensor] = []
    watched = [
        block.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0][:, positions].detach().mean(0))
        )
        for block in mine.blocks()[1:]
    ]
    with torch.no_grad():
        mine.answer_state(first.detach(), *example)
    for handle in watched:
        handle.remove()
    for block, state in zip(mine.blocks()[1:], seen, strict=True):
        own = state.clone().requires_grad_(True)
        deeper.append(own)

        def put(_: nn.Module, inputs: tuple[Tensor, ...], own: Tensor = own) -> tuple[Tensor, ...]:
            states = inputs[0]
            placed = own.expand(len(states), -1, -1)
            before, after = states[:, : positions.start], states[:, positions.stop :]
            return (torch.cat([before, placed, after], dim=1), *inputs[1:])

        removed.append(block.register_forward_pre_hook(put).remove)
    return deeper
