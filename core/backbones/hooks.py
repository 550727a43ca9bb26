"""The one hook point: a neuron's activation is what enters the FFN's down-projection.

Both context managers put forward pre-hooks on the down-projections (RoBERTa `output.dense`, T5
`DenseReluDense.wo`) and remove them again, also after an exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jaxtyping import Bool, Float

if TYPE_CHECKING:
    from torch import Tensor, nn


@contextmanager
def capture(
    down_projections: Sequence[nn.Linear], positions: slice
) -> Iterator[dict[int, Float[Tensor, "batch token neuron"]]]:
    """Inside the block, each forward pass leaves its activations at `positions`, by layer."""
    seen: dict[int, Tensor] = {}
    with ExitStack() as stack:
        for layer, module in enumerate(down_projections):

            def keep(_: nn.Module, inputs: tuple[Tensor], layer: int = layer) -> None:
                seen[layer] = inputs[0].detach()[:, positions].clone()  # suppress() may come next

            handle = module.register_forward_pre_hook(keep)
            stack.callback(handle.remove)
        yield seen


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """Which neurons are suppressed, where, and what takes the place of their activation.

    `mask[layer neuron]` is true for suppressed neurons. `replacement[layer neuron]` is the value
    they get (None: zero). `noise` is the standard deviation of a Gaussian added instead, one draw
    per example and neuron, shared by all positions (Wang et al. 2022).
    """

    mask: Bool[Tensor, "layer neuron"]
    positions: slice = field(default_factory=lambda: slice(None))
    replacement: Float[Tensor, "layer neuron"] | None = None
    noise: float | None = None
    seed: int = 0


@contextmanager
def suppress(
    down_projections: Sequence[nn.Linear], intervention: Intervention | None
) -> Iterator[list[int]]:
    """Inside the block, the chosen neurons are suppressed in every forward pass.

    Yields a list that noise needs: put the indices of the batch's examples into it before each
    pass, so that an example's noise does not depend on the batch it came in. None is the identity.
    """
    examples: list[int] = []
    with ExitStack() as stack:
        if intervention is not None:
            for layer, module in enumerate(down_projections):
                if intervention.mask[layer].any():
                    hook = _Suppression(layer, intervention, examples)
                    handle = module.register_forward_pre_hook(hook)
                    stack.callback(handle.remove)
        yield examples


@contextmanager
def suppress_rows(
    down_projections: Sequence[nn.Linear], interventions: Sequence[Intervention | None]
) -> Iterator[None]:
    """Inside the block, row i of every batch is subject to `interventions[i]`, in one pass."""
    with ExitStack() as stack:
        for layer, module in enumerate(down_projections):
            hooks = [
                (row, _Suppression(layer, how, [0]))
                for row, how in enumerate(interventions)
                if how is not None and how.mask[layer].any()
            ]

            def change(
                _: nn.Module,
                inputs: tuple[Tensor],
                hooks: list[tuple[int, _Suppression]] = hooks,
            ) -> tuple[Tensor]:
                values = _own(inputs[0])
                for row, hook in hooks:
                    hook.change(values[row : row + 1])
                return (values,)

            stack.callback(module.register_forward_pre_hook(change).remove)
        yield


def _own(values: Tensor) -> Tensor:
    """What may be written to: in inference nobody else reads the tensor, and a copy would cost a
    tenth of the pass.
    """
    return values if values.is_inference() else values.clone()


class _Suppression:
    """The pre-hook of one layer."""

    def __init__(self, layer: int, intervention: Intervention, examples: list[int]) -> None:
        self.layer, self.how, self.examples = layer, intervention, examples
        self.neurons = intervention.mask[layer].nonzero().squeeze(1)

    def __call__(self, _: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        values = _own(inputs[0])
        self.change(values)
        return (values,)

    def change(self, values: Float[Tensor, "batch token neuron"]) -> None:
        """Suppress in place."""
        neurons = self.neurons.to(values.device)
        rows = values[:, self.how.positions]
        if self.how.noise is not None:
            rows[..., neurons] += self._noise(values)[:, None, neurons]
        elif self.how.replacement is not None:
            rows[..., neurons] = self.how.replacement[self.layer].to(values)[neurons]
        else:
            rows[..., neurons] = 0

    def _noise(self, values: Tensor) -> Float[Tensor, "batch neuron"]:
        import torch

        assert self.how.noise is not None
        width = values.shape[-1]
        draws = [_gaussian(self.how.seed, index, self.layer, width) for index in self.examples]
        return (self.how.noise * torch.stack(draws)).to(values)


def _gaussian(seed: int, example: int, layer: int, width: int) -> Float[Tensor, " neuron"]:
    import torch

    generator = torch.Generator().manual_seed((seed * 1_000_003 + example) * 97 + layer)
    return torch.randn(width, generator=generator)
