"""Backbones from the Hugging Face Hub, by its own client. HF_HOME, HF_HUB_OFFLINE, HF_TOKEN and
HF_ENDPOINT have their usual meanings.

Only settings, tokenizers and weights are fetched: safetensors, and `pytorch_model.bin` only where a
repository has no safetensors. Never code.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import BadInput, NotDownloaded, reason
from core.base.progress import Progress, no_progress

ALIASES = {
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
    "t5-small": "google-t5/t5-small",
    "t5-base": "google-t5/t5-base",
    "t5-large": "google-t5/t5-large",
    "bert-base-uncased": "google-bert/bert-base-uncased",
}
_SMALL = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
]
_SAFE = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
_OLD = ["pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"]
# The hub's rule for ids (huggingface.co/docs/huggingface_hub), and a revision.
_ID = re.compile(r"\w[\w.-]{0,95}\b/\w[\w.-]{0,95}\b(@\w[\w./-]*)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """`owner/name`, optionally `@revision`: a branch, a tag or a commit."""

    repo: str
    revision: str | None = None

    @property
    def name(self) -> str:
        """The reference as a user writes it."""
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def reference(name: str) -> Reference | None:
    """The Hub reference that a name denotes; None if it cannot be a Hub id."""
    base, _, revision = name.partition("@")
    full = ALIASES.get(base, base) + (f"@{revision}" if revision else "")
    if not _ID.fullmatch(full) or ".." in full or "--" in full:
        return None
    repo, _, revision = full.partition("@")
    if repo.endswith(".git"):
        return None
    return Reference(repo=repo, revision=revision or None)


def cached(ref: Reference) -> Path | None:
    """The whole snapshot on this machine, without asking the hub; None if it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                ref.repo, revision=ref.revision, local_files_only=True, allow_patterns=_SMALL
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError):
        return None
    whole = (folder / "config.json").is_file() and _has_weights(folder) and _has_words(folder)
    return folder if whole else None


def here() -> Iterator[str]:
    """Names of the snapshots on this machine, whoever downloaded them, without asking the hub."""
    from huggingface_hub import constants

    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*/snapshots/*")):
        repo = folder.parents[1].name.removeprefix("models--").replace("--", "/")
        main = folder.parents[1] / "refs" / "main"
        newest = main.is_file() and main.read_text("utf-8").strip() == commit(folder)
        yield repo if newest else f"{repo}@{commit(folder)}"


def commit(folder: Path) -> str:
    """The commit that a snapshot folder is of."""
    return folder.name


def download(ref: Reference, families: tuple[str, ...], progress: Progress = no_progress) -> Path:
    """Fetch the missing files of a snapshot, resuming an earlier attempt.

    The settings come first: a model of another family is refused before its weights are fetched.
    Raises: BadInput, NotDownloaded, Cancelled.
    """
    from huggingface_hub import hf_hub_download, snapshot_download

    with _plain_errors(ref):
        progress(0.0, f"Asking for {ref.name}")
        config = hf_hub_download(ref.repo, "config.json", revision=ref.revision)
        kind = _model_type(Path(config))
        if kind not in families:
            raise BadInput(
                f"{ref.name} is a model of type {kind!r}; supported families: "
                f"{', '.join(families)}."
            )
        bar = _bar(progress, ref.name)
        folder = Path(config).parent
        for weights in (_SAFE, _OLD):
            folder = Path(
                snapshot_download(
                    ref.repo,
                    revision=ref.revision,
                    allow_patterns=[*_SMALL, *weights],
                    tqdm_class=bar,
                )
            )
            if _has_weights(folder):
                if not _has_words(folder):
                    raise BadInput(f"{ref.name} has no tokenizer files, so it cannot read texts.")
                return folder
    raise BadInput(f"{ref.name} has neither model.safetensors nor pytorch_model.bin.")


def _has_weights(folder: Path) -> bool:
    """One weights file, or all the parts that the index names."""
    for single in ("model.safetensors", "pytorch_model.bin"):
        if (folder / single).is_file():
            return True
        index = folder / f"{single}.index.json"
        if index.is_file():
            try:
                parts = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
            except (ValueError, KeyError, TypeError, AttributeError):
                raise BadInput(f"{index.name} is not an index of weights.") from None
            return all((folder / part).is_file() for part in parts)
    return False


def _has_words(folder: Path) -> bool:
    """The files of a tokenizer, in any of the families' forms."""
    forms = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",), ("spiece.model",))
    return any(all((folder / name).is_file() for name in form) for form in forms)


def _model_type(config: Path) -> str:
    try:
        return str(json.loads(config.read_text("utf-8")).get("model_type"))
    except (ValueError, AttributeError):
        return "unknown"


def _bar(progress: Progress, name: str) -> type[Any]:
    """A progress bar class that reports to `progress`, by bytes; it never goes back, although the
    total grows with each file that begins.
    """
    from tqdm import tqdm

    reached = 0.0

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.bytes = str(kwargs.get("desc")).startswith("Reconstructing")  # what lies on disk
            super().__init__(*args, **{**kwargs, "disable": False, "file": _Nowhere()})

        def update(self, n: float | None = 1) -> Any:
            shown = super().update(n)
            if self.bytes and self.total:
                nonlocal reached
                reached = max(reached, min(0.99, self.n / self.total))
                megabytes = f"{self.n / 1e6:,.0f} of {self.total / 1e6:,.0f} MB"
                progress(reached, f"Downloading {name}: {megabytes}")
            return shown

    return Bar


class _Nowhere:
    """A sink for the bar's own text."""

    def write(self, _: str) -> None: ...

    def flush(self) -> None: ...


@contextmanager
def _plain_errors(ref: Reference) -> Iterator[None]:
    """One sentence for each kind of refusal by the Hub."""
    from httpx2 import HTTPError
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise NotDownloaded(
            f"{ref.name} is gated: accept its conditions at {constants.ENDPOINT}/{ref.repo} and "
            "set HF_TOKEN to a token of that account."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise NotDownloaded(f"{ref.repo} has no revision {ref.revision!r}.") from error
    except errors.RepositoryNotFoundError as error:
        raise NotDownloaded(
            f"The Hub has no model {ref.repo}; check its spelling (owner/name), or set HF_TOKEN "
            "if it is private."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        why = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else (
            f"{constants.ENDPOINT} cannot be reached"
        )  # fmt: skip
        raise NotDownloaded(
            f"{ref.name} is not on this machine, and {why}; try again with a network, or give a "
            "local folder."
        ) from error
    except errors.EntryNotFoundError as error:
        raise BadInput(f"{ref.name} has no config.json; it is not a transformers model.") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        raise NotDownloaded(
            f"The hub refused {ref.name} (HTTP {status}); try again later, or check HF_TOKEN."
        ) from error
    except (HTTPError, OSError) as error:
        why = reason(error).rstrip(".")
        raise NotDownloaded(
            f"The download of {ref.name} was interrupted ({why}); the part downloaded so far "
            "is kept. Try again to resume it."
        ) from error
