"""Backbones: the one place that loads language models.

A family is one adapter file and one line in FAMILIES.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from core.backbones.base import Backbone, Slot, as_typed
from core.backbones.bert import Bert
from core.backbones.roberta import Roberta
from core.backbones.t5 import T5
from core.base.errors import BadInput, no_panics, reason
from core.base.specs import Layout, Stack
from core.tasks import Template

if TYPE_CHECKING:
    import torch

__all__ = ["FAMILIES", "Backbone", "Layout", "Slot", "Template", "family_of", "load_backbone"]

FAMILIES: dict[str, type[Backbone]] = {"bert": Bert, "roberta": Roberta, "t5": T5}
# While one thread loads, transformers changes torch's defaults for all: one at a time.
LOADING = threading.Lock()
_REQUIRED = 5  # the first of a family's sizes; for the others transformers knows what is usual


def family_of(folder: Path) -> str:
    """The family a Hugging Face folder belongs to. Raises: BadInput."""
    kind = str(_read(folder).get("model_type"))
    if kind not in FAMILIES:
        raise BadInput(
            f"{folder} holds a model of type {kind!r}; supported families: {', '.join(FAMILIES)}."
        )
    return kind


def _read(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except FileNotFoundError:
        raise BadInput(
            f"{folder} holds no config.json, so it is not a Hugging Face model folder; "
            "give the folder that `save_pretrained` wrote."
        ) from None
    except OSError as error:
        raise BadInput(f"{folder / 'config.json'} cannot be read: {reason(error)}.") from error
    except (ValueError, RecursionError):
        raise BadInput(f"{folder / 'config.json'} is not valid JSON.") from None
    if not isinstance(config, dict):
        raise BadInput(f"{folder / 'config.json'} is not valid JSON: it must be one object.")
    return config


def _config(folder: Path) -> dict[str, Any]:
    """The settings of a model that can be one. Raises: BadInput."""
    config, sizes = _read(folder), FAMILIES[family_of(folder)].sizes
    for i, (name, most) in enumerate(sizes.items()):
        value = config.get(name)
        if value is None and i >= _REQUIRED:
            continue
        if type(value) is not int or not 1 <= value <= most:
            raise BadInput(
                f"{folder / 'config.json'} says {name} = {json.dumps(value)[:40]}; it must be a "
                f"whole number from 1 to {most:,}."
            )
    if config.get("quantization_config"):
        raise BadInput(f"{folder} holds quantised weights; give the model as it was trained.")
    return config


def load_backbone(
    folder: Path, *, name: str | None = None, device: str = "cpu", precision: str = "fp32"
) -> Backbone:
    """A frozen backbone from a local Hugging Face folder, without remote code or pickles.

    safetensors where there are any, else `.bin` files that hold only tensors. Raises: BadInput.
    """
    config = _config(folder)
    family = family_of(folder)
    shown = name or str(folder)
    _check_memory(folder, config, shown, device, precision)
    safe = any(folder.glob("model*.safetensors")) or not any(folder.glob("pytorch_model*.bin"))
    try:
        with LOADING, no_panics("its tokenizer broke"):
            import transformers

            transformers.logging.disable_progress_bar()
            model, loading = getattr(transformers, FAMILIES[family].head).from_pretrained(
                folder,
                config=transformers.AutoConfig.for_model(**_harmless(config)),
                attn_implementation="sdpa",
                dtype=_dtype(precision),
                local_files_only=True,
                use_safetensors=safe,
                weights_only=True,
                output_loading_info=True,
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # a strange file can break in as many ways as it has readers
        why = reason(error)
        if "Weights only load failed" in why:
            why = "its .bin file holds more than tensors, and such files are never opened."
        raise BadInput(f"The model in {folder} cannot be loaded: {why}") from error
    if absent := sorted(loading["missing_keys"]):
        raise BadInput(
            f"{shown} is not a whole language model: {len(absent)} weights are missing, "
            f"{absent[0]} among them; give one with its language-model head."
        )
    return FAMILIES[family](name or folder.name, model, tokenizer, device)


def _dtype(precision: str) -> torch.dtype:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}[precision]


def _harmless(config: dict[str, Any]) -> dict[str, Any]:
    """Settings of the model alone: none that make transformers fetch kernels or code, or read other
    files.
    """
    loaders = {"attn_implementation", "experts_implementation", "transformers_weights", "auto_map"}
    return {k: v for k, v in config.items() if k not in loaders and not k.startswith("_")}


def describe(folder: Path) -> dict[str, str | int]:
    """Family, layers, neurons per layer and width, from the settings alone. Raises: BadInput."""
    family, config = family_of(folder), _config(folder)
    layers, neurons, width = list(FAMILIES[family].sizes)[:3]
    return {
        "Family": family,
        "Layers": config[layers],
        "Neurons per layer": config[neurons],
        "Width": config[width],
    }


def neurons(folder: Path, stack: Stack = "encoder") -> tuple[int, int]:
    """Layers of a stack and neurons per layer, from the settings alone. Raises: BadInput."""
    known, config = describe(folder), _config(folder)
    layers = int(known["Layers"])
    if stack == "decoder":  # T5's settings leave it out where both stacks have as many
        layers = int(config.get("num_decoder_layers") or layers)
    return layers, int(known["Neurons per layer"])


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The model shape that an adapter's file states."""

    family: str
    layers: int
    heads: int


def shape(folder: Path) -> Shape:
    """From the settings alone. Raises: BadInput."""
    config, family = _config(folder), family_of(folder)
    layers, _, _, heads = list(FAMILIES[family].sizes)[:4]
    return Shape(family=family, layers=config[layers], heads=config[heads])


@lru_cache(maxsize=8)
def _tokenizer(folder: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def pieces(folder: Path, words: Sequence[str]) -> list[tuple[str, list[int], list[str]]]:
    """Each word, its token ids and its pieces, by the tokenizer alone. Raises: BadInput."""
    try:
        with no_panics("it broke"):
            tokenizer = _tokenizer(folder)
            ids = [
                tokenizer(
                    as_typed(tokenizer, word), add_special_tokens=False, split_special_tokens=True
                )["input_ids"]
                for word in words
            ]
            read = [tokenizer.convert_ids_to_tokens(i) for i in ids]
    except Exception as error:  # a strange file can break in as many ways as it has readers
        why = reason(error).rstrip(".")
        raise BadInput(f"The tokenizer in {folder} cannot be used: {why}.") from error
    return list(zip(words, ids, read, strict=True))


def _check_memory(
    folder: Path, config: dict[str, Any], shown: str, device: str, precision: str
) -> None:
    """Refuse a model that cannot fit into memory before reading it. Raises: BadInput."""
    stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    files = list(folder.glob("model*.safetensors")) or list(folder.glob("pytorch_model*.bin"))
    size = sum(f.stat().st_size for f in files)
    needed = size * _dtype(precision).itemsize / (2 if "16" in stored else 4)
    free = _free_bytes(device)
    if needed > free:
        smaller = "" if precision == "bf16" else "bf16 precision, "
        raise BadInput(
            f"{shown} needs about {needed / 1e9:.1f} GB in {precision}, but only "
            f"{free / 1e9:.1f} GB are free on {device}; choose {smaller}another device or a "
            "smaller model."
        )


def _free_bytes(device: str) -> int:
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)
