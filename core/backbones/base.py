"""The interface of a model family; the rest of the project uses backbones only through it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from jaxtyping import Bool, Float, Int

from core.base.errors import BadInput, no_panics
from core.base.specs import Layout, Stack
from core.tasks.task import Template

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_FIELD = re.compile(r"(\{a\}|\{b\})")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One input position as the backbone sees it; `position_id` is None where none is used."""

    position: int
    token: str
    kind: Literal["mask", "prompt", "special", "text_a", "text_b", "template", "start"]
    position_id: int | None


class Backbone(ABC):
    """A frozen language model of one family, with the papers' input layout.

    `vectors[token hidden]` is a soft prompt; `ids[batch seq]` are the text's tokens (specials
    included, right-padded) and `mask[batch seq]` is true on tokens that are not pads.
    """

    family: ClassVar[str]
    template: ClassVar[Template]
    no_text: ClassVar[str]  # the special token that stands for a text where there is none
    writes: ClassVar[bool] = False  # whether it can answer in words of its own
    attention: ClassVar[tuple[str, ...]]  # names of the query and value projections
    stacks: ClassVar[tuple[Stack, ...]] = ("encoder",)
    head: ClassVar[str]  # the class of transformers that loads it
    # Entries of a config that must be whole numbers, and the most that can be stored or built:
    # layers, neurons per layer, width, attention heads, vocabulary, then those that may be absent.
    sizes: ClassVar[dict[str, int]]

    def __init__(self, name: str, model: Any, tokenizer: Any, device: str = "cpu") -> None:
        self.name, self.tokenizer, self.device = name, tokenizer, device
        self.model = model.to(device).eval().requires_grad_(False)
        self._known_ids = lru_cache(maxsize=50_000)(self._read)

    # --- sizes ---------------------------------------------------------------------------------
    @property
    def layers(self) -> int:
        """Number of layers whose neurons are studied (T5: the encoder's)."""
        return len(self.down_projections())

    @property
    def intermediate_size(self) -> int:
        """Neurons per layer."""
        return self.down_projections()[0].in_features

    @property
    def hidden_size(self) -> int:
        """Width of a prompt vector."""
        return int(self.word_vectors().shape[1])

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.word_vectors().dtype

    def parameters(self) -> int:
        """Number of weights, tied ones counted once."""
        return sum(p.numel() for p in self.model.parameters())

    # --- what a family defines -----------------------------------------------------------------
    @abstractmethod
    def down_projections(self, stack: Stack = "encoder") -> list[nn.Linear]:
        """The second linear of each feed-forward network, first layer first. Raises: BadInput if
        the family has no such stack.
        """

    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The layers of the encoder, first layer first; each takes the states as first input."""

    @abstractmethod
    def word_vectors(self) -> Float[Tensor, "vocab hidden"]:
        """The input embeddings."""

    @abstractmethod
    def output_vectors(self) -> Float[Tensor, "vocab hidden"]:
        """The output embeddings: a word's logit is the product of its own with a state."""

    @abstractmethod
    def prefix_length(self, prompt_length: int, layout: Layout = "mask_first") -> int:
        """Positions before the text: the prompt's, and the mask slot where there is one."""

    @abstractmethod
    def room(self) -> int | None:
        """Longest input, prefix included; None if there is no limit."""

    @abstractmethod
    def answer_state(
        self,
        vectors: Float[Tensor, "*batch token hidden"],
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"],
        layout: Layout = "mask_first",
    ) -> Float[Tensor, "batch hidden"]:
        """The state from which the answer word is read."""

    @abstractmethod
    def logits(
        self, state: Float[Tensor, "batch hidden"], words: Int[Tensor, " word"] | slice
    ) -> Float[Tensor, "batch word"]:
        """Logits of some vocabulary entries only, equal to the plain model's."""

    def write(
        self,
        vectors: Float[Tensor, "token hidden"],
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"],
        max_new_tokens: int,
        stop: str = "",
    ) -> list[str]:
        """The model's greedy output after the prompt, up to its end-of-text token or, if it is not
        empty, to `stop`. Raises: BadInput if it cannot write.
        """
        raise BadInput(self.cannot_write())

    def text_loss(
        self,
        vectors: Float[Tensor, "token hidden"],
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"],
        targets: Sequence[str],
    ) -> Float[Tensor, ""]:
        """Cross entropy per token of the target texts. Raises: BadInput if it cannot write."""
        raise BadInput(self.cannot_write())

    def cannot_write(self) -> str:
        """The error for a task with written answers that this family cannot give."""
        return (
            f"{self.name} cannot write: tasks with written answers need an encoder-decoder such as "
            "T5."
        )

    @classmethod
    @abstractmethod
    def prefix_names(cls, prompt_length: int, layout: Layout = "mask_first") -> list[str]:
        """Names of the positions before the text in figures: `mask`, `p0`, `p1` ..."""

    @classmethod
    def has_dead_row(cls, layout: Layout) -> bool:
        """Whether a prompt's first vector never reaches the model."""
        return False

    @abstractmethod
    def _prefix_slots(self, prompt_length: int, layout: Layout) -> list[Slot]: ...

    @abstractmethod
    def _first_text_position_id(self, prefix: int) -> int | None: ...

    # --- shared --------------------------------------------------------------------------------
    def encode(
        self,
        text_a: str,
        text_b: str | None = None,
        *,
        template: Template | None = None,
        max_length: int = 128,
    ) -> list[int]:
        """Token ids of the text part; longer ones are cut to `max_length`, the last id kept."""
        return [i for i, _ in self._cut(text_a, text_b, template, max_length)]

    def _cut(
        self, text_a: str, text_b: str | None, template: Template | None, max_length: int
    ) -> list[tuple[int, str]]:
        pieces = list(self._pieces(text_a, text_b, template))
        return pieces if len(pieces) <= max_length else [*pieces[: max_length - 1], pieces[-1]]

    def _pieces(
        self, text_a: str, text_b: str | None, template: Template | None
    ) -> Iterator[tuple[int, str]]:
        chosen = template or self.template
        fields = {"{a}": ("text_a", text_a), "{b}": ("text_b", text_b or "")}
        for part in _FIELD.split(chosen.single if text_b is None else chosen.pair):
            if not part:
                continue
            kind, text = fields.get(part, ("special", part))
            literal = part not in fields
            yield from ((i, kind) for i in self.token_ids(text, special=literal))

    def token_ids(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of a text; unless `special`, `</s>` and the like are read as plain characters."""
        return list(self._known_ids(text, special))

    def _read(self, text: str, special: bool) -> tuple[int, ...]:
        if not special:
            text = as_typed(self.tokenizer, text)
        with no_panics(f"The tokenizer of {self.name} broke"):
            ids: list[int] = self.tokenizer(
                text, add_special_tokens=False, split_special_tokens=not special, verbose=False
            )["input_ids"]
        return tuple(ids)

    def layout(
        self,
        prompt_length: int,
        text_a: str,
        text_b: str | None = None,
        *,
        template: Template | None = None,
        layout: Layout = "mask_first",
        max_length: int = 128,
    ) -> list[Slot]:
        """The exact input of one example, position by position."""
        slots = self._prefix_slots(prompt_length, layout)
        first = self._first_text_position_id(len(slots))
        for offset, (token, kind) in enumerate(self._cut(text_a, text_b, template, max_length)):
            slots.append(
                Slot(
                    position=len(slots),
                    token=self.tokenizer.convert_ids_to_tokens(token),
                    kind=kind,  # type: ignore[arg-type]
                    position_id=None if first is None else first + offset,
                )
            )
        return slots

    @property
    def pad_id(self) -> int:
        """Id that fills short rows; always masked."""
        return int(self.tokenizer.pad_token_id)


def as_typed(tokenizer: Any, text: str) -> str:
    """A text in which `</s>` and the like are plain characters."""
    for token in tokenizer.all_special_tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def with_batch(vectors: Tensor, batch: int) -> Float[Tensor, "batch token hidden"]:
    """A shared prompt repeated for each example; a prompt with a batch axis is unchanged."""
    return vectors if vectors.dim() == 3 else vectors.expand(batch, -1, -1)
