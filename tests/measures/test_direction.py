"""Where a neuron's output points, against the weights read by hand."""

import numpy as np
import pytest

from core.measures.direction import word_cosines
from tests.conftest import TINY

HEADS = {
    "roberta": "lm_head.decoder.weight", "bert": "cls.predictions.decoder.weight",
    "t5": "lm_head.weight",
}  # fmt: skip
DOWN = {
    "roberta": "roberta.encoder.layer.1.output.dense.weight",
    "bert": "bert.encoder.layer.1.output.dense.weight",
    "t5": "encoder.block.1.layer.1.DenseReluDense.wo.weight",
}


@pytest.mark.parametrize("family", HEADS)
def test_cosines_are_those_of_the_weights(family: str) -> None:
    backbone = TINY[family]()
    weights = {k: v.double().numpy() for k, v in backbone.model.state_dict().items()}
    words, column = weights[HEADS[family]], weights[DOWN[family]][:, 3]
    lengths = np.linalg.norm(words, axis=1) * np.linalg.norm(column)
    by_hand = np.divide(words @ column, lengths, out=np.zeros(len(words)), where=lengths > 0)
    assert word_cosines(backbone, 1, 3) == pytest.approx(by_hand, abs=1e-5)


def test_a_neuron_that_writes_a_words_embedding_points_at_that_word() -> None:
    backbone = TINY["t5"]()
    rows = backbone.output_vectors()
    backbone.down_projections()[0].weight.data[:, 2] = 0.1 * rows[7]
    cosines = word_cosines(backbone, 0, 2)
    assert cosines[7] == pytest.approx(1, abs=1e-6)
    assert cosines.argmax() == 7


def test_the_output_embeddings_give_the_logits() -> None:
    import torch

    backbone = TINY["t5"]()  # whose head is nothing but these vectors
    state = torch.randn(3, backbone.hidden_size, generator=torch.Generator().manual_seed(0))
    scale = backbone.logits(state, slice(None)) / (state @ backbone.output_vectors().T)
    assert scale.std() < 1e-4 * scale.mean().abs()
