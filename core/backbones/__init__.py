"""Backbones: the one place that loads language models.

A family is one adapter file and one line in FAMILIES.
"""

import json
import threading
from pathlib import Path

import torch
from safetensors import SafetensorError

from core.backbones.base import Backbone, Layout, Slot, Template
from core.backbones.bert import Bert
from core.backbones.roberta import Roberta
from core.backbones.t5 import T5
from core.errors import BadInput

__all__ = ["FAMILIES", "Backbone", "Layout", "Slot", "Template", "family_of", "load_backbone"]

FAMILIES: dict[str, type[Backbone]] = {"bert": Bert, "roberta": Roberta, "t5": T5}
_HEADS = {
    "bert": "AutoModelForMaskedLM",
    "roberta": "AutoModelForMaskedLM",
    "t5": "AutoModelForSeq2SeqLM",
}
# While one thread loads, transformers changes torch's defaults for all: one at a time.
_LOADING = threading.Lock()
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}


def family_of(folder: Path) -> str:
    """The family a Hugging Face folder belongs to. Raises: BadInput."""
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except FileNotFoundError:
        raise BadInput(
            f"{folder} holds no config.json, so it is not a Hugging Face model folder; "
            "give the folder that `save_pretrained` wrote."
        ) from None
    except (ValueError, AttributeError):
        raise BadInput(f"{folder / 'config.json'} is not valid JSON.") from None
    if kind not in FAMILIES:
        raise BadInput(
            f"{folder} holds a model of type {kind!r}; supported families: {', '.join(FAMILIES)}."
        )
    return str(kind)


def load_backbone(
    folder: Path, *, name: str | None = None, device: str = "cpu", precision: str = "fp32"
) -> Backbone:
    """A frozen backbone from a local Hugging Face folder; safetensors only, never remote code.

    Raises: BadInput.
    """
    family = family_of(folder)
    try:
        with _LOADING:
            import transformers  # takes seconds; figures drawn from stored answers never need it

            model = getattr(transformers, _HEADS[family]).from_pretrained(
                folder, dtype=_DTYPES[precision], local_files_only=True, use_safetensors=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"The model in {folder} cannot be loaded: {reason}") from error
    return FAMILIES[family](name or folder.name, model, tokenizer, device)
