"""A straightforward implementation: full activations, one example at a time, nothing clever.

The oracle builds inputs by hand, pads every text to one length, calls the stock model with hooks
of its own and keeps everything.
"""

from pathlib import Path

import numpy as np
import torch

from core.backbones import Backbone
from core.tasks import load_task
from core.tasks.data import load_split


class Oracle:
    """No batching, no streaming, no verbalizer-only logits."""

    def __init__(self, backbone: Backbone, vectors: torch.Tensor, padded: int = 40) -> None:
        self.b, self.model = backbone, backbone.model
        self.vectors, self.padded = vectors.to(backbone.dtype), padded
        self.seen: list[torch.Tensor] = []

    def linears(self) -> list[torch.nn.Linear]:
        """The down-projections, found by their names."""
        if self.b.family != "t5":
            return [m for n, m in self.model.named_modules() if n.endswith("output.dense")
                    and ".attention." not in n]  # fmt: skip
        return [m for n, m in self.model.encoder.named_modules() if n.endswith("DenseReluDense.wo")]

    def logits(self, text: str, text_b: str | None) -> torch.Tensor:
        """The answer slot's scores of all words; activations go to `seen`."""
        tok = self.b.tokenizer
        ids = tok(text, add_special_tokens=False)["input_ids"]
        other = tok(text_b, add_special_tokens=False)["input_ids"] if text_b is not None else None
        start, end = tok.bos_token_id, tok.eos_token_id
        if self.b.family == "bert":
            start, end = tok.cls_token_id, tok.sep_token_id
        if self.b.family != "t5":
            ids = [start, *ids, end] + ([*other, end] if other is not None else [])
        else:
            ids = [*ids, end] + ([*other, end] if other is not None else [])
        if len(ids) > 128:
            ids = ids[:127] + ids[-1:]
        keep = [1] * len(ids) + [0] * (self.padded - len(ids))
        ids = ids + [tok.pad_token_id] * (self.padded - len(ids))
        embed = self.model.get_input_embeddings()
        text_vectors = embed(torch.tensor([ids]))
        self.seen = []
        handles = [
            m.register_forward_pre_hook(lambda _, x: self.seen.append(x[0].clone()))
            for m in self.linears()
        ]
        if self.b.family != "t5":
            first = 2 if self.b.family == "roberta" else 0
            position = self.model.base_model.embeddings.position_embeddings.weight
            prompt = torch.cat([embed(torch.tensor([tok.mask_token_id])), self.vectors])
            count = len(prompt)
            # Sequential ids would give the prompt positions 2, 3, ...: take those away again.
            prompt = prompt - position[first : first + count]
            segments = [0] * (count + self.padded)
            if self.b.family == "bert" and other is not None:
                for i in range(count + sum(keep) - len(other) - 1, count + sum(keep)):
                    segments[i] = 1
            out = self.model(
                inputs_embeds=torch.cat([prompt[None], text_vectors], dim=1),
                attention_mask=torch.tensor([[1] * count + keep]),
                position_ids=torch.arange(first, first + count + self.padded)[None],
                token_type_ids=torch.tensor([segments]),
            )
        else:
            out = self.model(
                inputs_embeds=torch.cat([self.vectors[None], text_vectors], dim=1),
                attention_mask=torch.tensor([[1] * len(self.vectors) + keep]),
                decoder_input_ids=torch.tensor([[tok.pad_token_id]]),
            )
        for handle in handles:
            handle.remove()
        return out.logits[0, 0]


@torch.no_grad()
def run_oracle(
    oracle: Oracle, toml: Path, split: str, words: list[int], limit: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Class scores, activations [example, layer, token, neuron] and labels of a split."""
    examples = load_split(load_task(str(toml)), split, limit)
    scores, activations = [], []
    prefix = len(oracle.vectors) + (oracle.b.family != "t5")
    for i, text in enumerate(examples.text_a):
        out = oracle.logits(text, examples.text_b[i] if examples.text_b else None)
        scores.append(out[words])
        activations.append(torch.stack([a[0, :prefix] for a in oracle.seen]))
    return torch.stack(scores), torch.stack(activations), torch.from_numpy(examples.labels)


def first_pieces(oracle: Oracle, toml: Path) -> list[int]:
    """First piece of each answer word."""
    words = load_task(str(toml)).words(oracle.b.family)
    return [oracle.b.tokenizer(w, add_special_tokens=False)["input_ids"][0] for w in words]


def skill_mask(
    held: torch.Tensor, baseline: torch.Tensor, labels: torch.Tensor, fraction: float
) -> np.ndarray:
    """[layer, neuron]: the neurons of highest predictivity in each layer, sorted in plain Python.

    `held` is [example, layer, token, neuron]; of equal neurons the one with the lower number wins.
    """
    _, layers, tokens, width = held.shape
    mask = np.zeros((layers, width), dtype=bool)
    for layer in range(layers):
        values = []
        for neuron in range(width):
            folded = []
            for token in range(tokens):
                fires = held[:, layer, token, neuron] > baseline[layer, token, neuron]
                right = int((fires == labels.bool()).sum())
                folded.append(max(right, len(labels) - right) / len(labels))
            values.append(max(folded))
        order = sorted(range(width), key=lambda i: (-values[i], i))
        mask[layer, order[: int(fraction * width + 1e-9)]] = True
    return mask


def zero_columns(oracle: Oracle, mask: np.ndarray) -> None:
    """Suppression by taking the neurons out of the weights."""
    with torch.no_grad():
        for linear, row in zip(oracle.linears(), mask, strict=True):
            linear.weight[:, torch.from_numpy(row)] = 0
