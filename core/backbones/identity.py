"""The identity of a backbone: a fingerprint of its weights, settings and tokenizer.

The folder's name, path and other files, such as `trainer_state.json`, do not count. The same model
in two places is one backbone, so answers computed on one machine are found on another.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from threading import Lock

from cachetools import TTLCache, cached

from core.base.settings import EMBEDDED
from core.base.specs import Pinned

TOKENIZER = (
    "added_tokens.json", "merges.txt", "special_tokens_map.json", "spiece.model", "tokenizer.json",
    "tokenizer_config.json", "vocab.json", "vocab.txt",
)  # fmt: skip
ABOUT_THE_FILE = ("_name_or_path", "transformers_version")  # say nothing of the model


def fingerprint(folder: Path) -> str:
    """12 hexadecimal digits; files are read again only when they have changed."""
    stamps = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in _files(folder))
    return _fingerprint(stamps)


def is_embedded(pin: Pinned, assets: Path) -> bool:
    """Whether a backbone is one of those in `assets`, wherever it lies and whatever it is called.
    Without assets there are only names to go by.
    """
    known = _embedded(assets, _stamps(assets))
    return pin.fingerprint in known if known else pin.name in EMBEDDED


@cached(TTLCache(8, ttl=1), lock=Lock())
def _stamps(assets: Path) -> tuple[int, ...]:
    """When the embedded weights last changed; read at most once a second, because a page asks
    hundreds of times.
    """
    files = (assets / "backbones" / name / "model.safetensors" for name in EMBEDDED)
    return tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in files)


@lru_cache(maxsize=16)
def _embedded(assets: Path, stamps: tuple[int, ...]) -> frozenset[str]:
    """Fingerprints of the backbones in `assets`."""
    there = (name for name, stamp in zip(EMBEDDED, stamps, strict=True) if stamp)
    return frozenset(fingerprint(assets / "backbones" / name) for name in there)


def _files(folder: Path) -> Iterator[Path]:
    """Settings, tokenizer, and the weights that would be loaded."""
    names = ("config.json", *TOKENIZER)
    yield from (folder / name for name in names if (folder / name).is_file())
    yield from sorted(folder.glob("model*.safetensors")) or sorted(
        folder.glob("pytorch_model*.bin")
    )


@lru_cache(maxsize=64)
def _fingerprint(stamps: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path in (Path(text) for text, _, _ in stamps):
        digest.update(path.name.encode())
        digest.update(_settings(path) if path.name == "config.json" else _content(path))
    return digest.hexdigest()[:12]


def _settings(path: Path) -> bytes:
    """Settings without metadata about the file itself."""
    try:
        read = json.loads(path.read_bytes())
        kept = {k: v for k, v in read.items() if k not in ABOUT_THE_FILE}
    except (ValueError, AttributeError):
        return _content(path)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).digest()


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
