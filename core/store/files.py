"""Soft prompts and arrays as safetensors files."""

import json
import os
import threading
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor

from core.errors import BadInput, reason
from core.results import SoftPrompt
from core.specs import ImportedPrompt, TuneSpec, dumps, loads


def write_file(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    part.write_bytes(content)
    part.replace(path)


def prompt_bytes(prompt: SoftPrompt) -> bytes:
    """A safetensors file: the vectors, the spec and the answer words in its header."""
    header = {"spec": dumps(prompt.spec), "words": json.dumps(prompt.words)}
    return save({"vectors": prompt.vectors.contiguous()}, metadata=header)


def write_arrays(path: Path, arrays: dict[str, Tensor]) -> None:
    """Named tensors as a safetensors file."""
    save_file({name: values.contiguous() for name, values in arrays.items()}, path)


def read_prompt_file(path: Path) -> SoftPrompt:
    """The prompt that `prompt_bytes` wrote. Raises: BadInput."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            vectors = file.get_tensor("vectors")
        spec, words = loads(header["spec"]), json.loads(header["words"])
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}.") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, BadInput) as error:
        why = reason(error).rstrip(".")
        raise BadInput(f"{path} is not a soft prompt written by Skillscope: {why}.") from error
    if not isinstance(spec, TuneSpec | ImportedPrompt):
        raise BadInput(f"{path} is not a soft prompt written by Skillscope.")
    if vectors.dim() != 2 or not vectors.is_floating_point():
        raise BadInput(f"{path} holds no [token, hidden] tensor of numbers with a point.")
    return SoftPrompt(spec=spec, vectors=vectors, words=tuple(words))
