"""Artifacts as safetensors files."""

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import BadInput
from core.base.measure import Artifact

if TYPE_CHECKING:
    from torch import Tensor


def write_file(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    part.write_bytes(content)
    part.replace(path)


def artifact_bytes(artifact: Artifact) -> bytes:
    """A safetensors file with its header."""
    from safetensors.torch import save

    tensors = {name: values.contiguous() for name, values in artifact.tensors.items()}
    return save(tensors, metadata=dict(artifact.header))


def write_arrays(path: Path, arrays: "dict[str, Tensor]") -> None:
    """Named tensors as a safetensors file."""
    from safetensors.torch import save_file

    save_file({name: values.contiguous() for name, values in arrays.items()}, path)


def read_artifact(path: Path) -> Artifact:
    """What `artifact_bytes` wrote. Raises: BadInput."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            header = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}.") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} is not a safetensors file: {error}.") from error
    return Artifact(tensors=tensors, header=header)
