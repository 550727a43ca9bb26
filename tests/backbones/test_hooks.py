"""The one hook point: capture reads what enters the down-projection, suppress changes it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.backbones import Backbone, load_backbone
from core.backbones.batches import Batch, Encoded
from core.backbones.hooks import Intervention, capture, suppress, suppress_rows
from core.tasks.data import Examples
from tests.conftest import random_vectors

TEXTS = ["the film was bad.", "we", "a warm and very cold meal was not dull but fine."]
PROMPT = 4


@pytest.fixture(scope="module")
def backbone(tiny_folder: Path) -> Backbone:
    return load_backbone(tiny_folder, precision="fp64")


@pytest.fixture(scope="module")
def batch(backbone: Backbone) -> Batch:
    return encoded(backbone).batch([0, 1, 2], backbone)


def encoded(backbone: Backbone) -> Encoded:
    ids = [backbone.encode(text) for text in TEXTS]
    return Encoded(ids=ids, labels=[0] * len(ids))


@torch.no_grad()
def state(backbone: Backbone, batch: Batch) -> Tensor:
    vectors = random_vectors(backbone, PROMPT).to(backbone.dtype)
    return backbone.answer_state(vectors, batch.ids, batch.mask)


def activations(backbone: Backbone, batch: Batch, how: Intervention | None) -> dict[int, Tensor]:
    """What enters each down-projection, after the intervention."""
    with (
        suppress(backbone.down_projections(), how) as current,
        capture(backbone.down_projections(), slice(None)) as seen,
    ):
        current[:] = batch.rows
        state(backbone, batch)
    return seen


def some(backbone: Backbone, layer: int | None = None) -> Tensor:
    """A mask of every third neuron, in one layer or in all."""
    mask = torch.zeros(backbone.layers, backbone.intermediate_size, dtype=torch.bool)
    mask[slice(None) if layer is None else layer, ::3] = True
    return mask


def hooks(backbone: Backbone) -> int:
    return sum(len(m._forward_pre_hooks) for m in backbone.down_projections())


def test_an_empty_mask_is_the_identity(backbone: Backbone, batch: Batch) -> None:
    nothing = Intervention(mask=torch.zeros_like(some(backbone)))
    for how in (None, nothing):
        with suppress(backbone.down_projections(), how):
            assert hooks(backbone) == 0
            suppressed = state(backbone, batch)
        assert torch.equal(suppressed, state(backbone, batch))


def test_suppression_changes_the_answer(backbone: Backbone, batch: Batch) -> None:
    with suppress(backbone.down_projections(), Intervention(mask=some(backbone))):
        suppressed = state(backbone, batch)
    assert not torch.allclose(suppressed, state(backbone, batch))


def test_hooks_vanish_after_an_exception(backbone: Backbone, batch: Batch) -> None:
    def fail() -> None:
        linears = backbone.down_projections()
        how = Intervention(mask=some(backbone))
        with suppress(linears, how), capture(linears, slice(None)):
            assert hooks(backbone) == 2 * backbone.layers
            raise ZeroDivisionError

    before = state(backbone, batch)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert hooks(backbone) == 0
    assert torch.equal(state(backbone, batch), before)


def test_capture_returns_what_enters_the_linear(backbone: Backbone, batch: Batch) -> None:
    linears = backbone.down_projections()
    left: dict[int, Tensor] = {}
    handles = [
        m.register_forward_hook(lambda m, x, y, layer=i: left.update({layer: y}))
        for i, m in enumerate(linears)
    ]
    seen = activations(backbone, batch, None)
    for handle in handles:
        handle.remove()
    assert sorted(seen) == list(range(backbone.layers))
    for layer, linear in enumerate(linears):
        assert torch.equal(linear(seen[layer]), left[layer])


def test_capture_gives_the_asked_positions_only(backbone: Backbone, batch: Batch) -> None:
    everything = activations(backbone, batch, None)
    with capture(backbone.down_projections(), slice(1, 3)) as seen:
        state(backbone, batch)
    for layer, values in seen.items():
        assert torch.equal(values, everything[layer][:, 1:3])


def test_suppressed_neurons_are_zero_everywhere(backbone: Backbone, batch: Batch) -> None:
    mask = some(backbone)
    for layer, values in activations(backbone, batch, Intervention(mask=mask)).items():
        assert (values[..., mask[layer]] == 0).all()
        assert values[..., ~mask[layer]].abs().max() > 0


def test_prompt_positions_only_leave_the_text_alone(backbone: Backbone, batch: Batch) -> None:
    """At the layer itself; above it the text feels the change through attention."""
    prefix = backbone.prefix_length(PROMPT)
    for layer in range(backbone.layers):
        mask = some(backbone, layer)
        how = Intervention(mask=mask, positions=slice(0, prefix))
        plain = activations(backbone, batch, None)[layer]
        values = activations(backbone, batch, how)[layer]
        assert torch.equal(values[:, prefix:], plain[:, prefix:])
        assert torch.equal(values[:, :prefix, ~mask[layer]], plain[:, :prefix, ~mask[layer]])
        assert (values[:, :prefix, mask[layer]] == 0).all()


def test_mean_replacement_puts_exactly_the_mean(backbone: Backbone, batch: Batch) -> None:
    mask = some(backbone)
    means = torch.randn(mask.shape, dtype=torch.float64)
    how = Intervention(mask=mask, replacement=means)
    for layer, values in activations(backbone, batch, how).items():
        expected = means[layer, mask[layer]].expand_as(values[..., mask[layer]])
        assert torch.equal(values[..., mask[layer]], expected)


def test_noise_is_one_draw_per_example_shared_by_all_positions(
    backbone: Backbone, batch: Batch
) -> None:
    mask = some(backbone, 0)
    plain = activations(backbone, batch, None)[0]
    noisy = activations(backbone, batch, Intervention(mask=mask, noise=0.1))[0]
    added = (noisy - plain)[..., mask[0]]
    assert torch.allclose(added, added[:, :1].expand_as(added), atol=1e-12)
    assert not torch.allclose(added[0], added[1], atol=1e-3)
    assert torch.equal(noisy[..., ~mask[0]], plain[..., ~mask[0]])


def test_noise_of_an_example_does_not_depend_on_its_batch(backbone: Backbone) -> None:
    rows = encoded(backbone)
    how = Intervention(mask=some(backbone), noise=0.5, seed=3)

    def answers(order: list[int]) -> Tensor:
        with suppress(backbone.down_projections(), how) as current:
            current[:] = order
            return state(backbone, rows.batch(order, backbone))

    together = answers([0, 1, 2])
    for order in ([2, 0, 1], [1], [0, 2]):
        assert torch.allclose(answers(order), together[order], atol=1e-12)


def test_noise_depends_on_its_seed(backbone: Backbone, batch: Batch) -> None:
    mask = some(backbone)
    one, other = (
        activations(backbone, batch, Intervention(mask=mask, noise=0.1, seed=s))[0] for s in (1, 2)
    )
    assert not torch.allclose(one, other)


def test_the_models_own_tensors_are_not_written_to(backbone: Backbone) -> None:
    linear = backbone.down_projections()[0]
    values = torch.ones(1, 2, backbone.intermediate_size, dtype=torch.float64)
    with suppress([linear], Intervention(mask=torch.ones(1, values.shape[-1], dtype=torch.bool))):
        linear(values)
    assert (values == 1).all()


@pytest.mark.parametrize("how", [{}, {"noise": 0.5}, {"positions": slice(0, PROMPT)}])
def test_inference_mode_which_needs_no_copy_gives_the_same_state(
    backbone: Backbone, batch: Batch, how: dict
) -> None:
    intervention = Intervention(mask=some(backbone), **how)
    with suppress(backbone.down_projections(), intervention) as current:
        current[:] = batch.rows
        plain = state(backbone, batch)
        with torch.inference_mode():
            vectors = random_vectors(backbone, PROMPT).to(backbone.dtype)
            fast = backbone.answer_state(vectors, batch.ids, batch.mask)
    assert torch.equal(plain, fast)


def test_what_was_captured_before_the_suppression_stays(backbone: Backbone, batch: Batch) -> None:
    vectors = random_vectors(backbone, PROMPT).to(backbone.dtype)
    with (
        torch.inference_mode(),
        capture(backbone.down_projections(), slice(None)) as seen,
        suppress(backbone.down_projections(), Intervention(mask=some(backbone))),
    ):
        backbone.answer_state(vectors, batch.ids, batch.mask)
    assert seen[0][..., ::3].abs().max() > 0


def test_rows_of_one_batch_pass_under_an_intervention_each(backbone: Backbone) -> None:
    one = encoded(backbone).batch([2], backbone)
    mask = some(backbone)
    means = torch.full(mask.shape, 0.5)
    ways = [
        None,
        Intervention(mask=mask),
        Intervention(mask=mask, replacement=means, positions=slice(0, PROMPT)),
        Intervention(mask=some(backbone, 1), noise=0.1, seed=3),
    ]
    rows = Batch(
        rows=[0] * len(ways),
        ids=one.ids.repeat(len(ways), 1),
        mask=one.mask.repeat(len(ways), 1),
        labels=one.labels.repeat(len(ways)),
    )
    with suppress_rows(backbone.down_projections(), ways):
        together = state(backbone, rows)
    assert hooks(backbone) == 0
    for row, how in zip(together, ways, strict=True):
        with suppress(backbone.down_projections(), how) as current:
            current[:] = [0]
            assert torch.allclose(row, state(backbone, one)[0], atol=1e-12)
    assert not torch.allclose(together[0], together[1])


def test_examples_of_a_split_keep_their_file_index() -> None:
    """What evaluation feeds the noise with: `index`, not the row in a limited sample."""
    import numpy as np

    examples = Examples(
        text_a=tuple(TEXTS), text_b=None, labels=np.zeros(3, np.int64), attack=None,
        index=np.array([4, 7, 9]),
    )  # fmt: skip
    assert examples.take(np.array([2, 0])).index.tolist() == [9, 4]
