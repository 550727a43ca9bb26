"""Released prompts: what a folder of torch files holds, and what of it can be used here.

Su et al. 2022 and Ackermann & Ohmer 2024 name the folders `<Task>Prompt<Model>`, the files
`task_prompt`, `<epoch>_task_prompt.pkl` or `latest.pt`, and a folder above them `seed_<n>`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import BadInput, reason
from core.base.progress import Progress, no_progress
from core.base.prompts import Prompt, SoftPrompt
from core.base.specs import key
from core.measures.prompts import ImportedPrompt

if TYPE_CHECKING:
    from torch import Tensor

    from core.lab.lab import Lab

LARGEST = 200_000_000  # bytes; the largest released prompt has 1.6 million
MODELS = {
    "Roberta": "FacebookAI/roberta-base",
    "RobertaLarge": "FacebookAI/roberta-large",
    "Bert": "google-bert/bert-base-uncased",
    "T5Small": "google-t5/t5-small",
    "T5": "google-t5/t5-base",
    "T5Large": "google-t5/t5-large",
}
TASKS = {
    "movierationales": "movie_rationales",
    "tweetevalsentiment": "tweet_sentiment",
    "ethicsdeontology": "ethics_deontology",
    "ethicsjustice": "ethics_justice",
    "recastner": "recast_ner",
}
_FOLDER = re.compile(r"(?P<task>.+?)Prompt(?P<model>[A-Z][A-Za-z0-9]*)(?P<suffix>_.*)?")
_FILE = re.compile(r"task_prompt|.*_task_prompt\.pkl|latest\.pt|\d+\.pkl")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a path says about a prompt. `model` is the released folders' own word."""

    task: str
    model: str
    seed: int


def remark(prompt: Prompt) -> str:
    """What a reader must know of an imported prompt; empty if nothing."""
    roberta = prompt.origin == "imported" and "roberta" in prompt.backbone.name.lower()
    if roberta and prompt.source_task == "sst2" and prompt.seed:
        return (
            "The released RoBERTa prompts for SST-2 look as if they were tuned on the dev split "
            "(864 to 879 examples per epoch); results on that split are inflated."
        )
    return ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file: the stored prompt's key, or why there is none."""

    file: str
    task: str = ""
    backbone: str = ""
    seed: int | None = None
    key: str = ""
    why: str = ""


def recognise(path: Path) -> Claim:
    """Task, model and seed of a file, from its path alone. Raises: BadInput."""
    for part in reversed(path.parts[:-1]):
        if found := _FOLDER.fullmatch(part):
            break
    else:
        raise BadInput("no folder above it is named <Task>Prompt<Model>")
    if found["suffix"]:
        raise BadInput(f"the ending {found['suffix']!r} says that it is not a plain tuned prompt")
    if found["model"] not in MODELS:
        raise BadInput(f"the model {found['model']!r} is none of {', '.join(MODELS)}")
    name, seed = found["task"].lower(), _seed(path)
    name = TASKS.get(name, name)
    if name == "mnli" and seed:
        name = "mnli_binary"  # the numbered seeds were tuned without the neutral class
    return Claim(task=name, model=found["model"], seed=seed)


def _seed(path: Path) -> int:
    """`seed_33` is 33; `seed_su`, the authors' own run without a number, is 0."""
    for part in reversed(path.parts):
        if found := re.fullmatch(r"seed_(\d{1,9})", part):
            return int(found[1])
    return 0


def read_vectors(path: Path) -> Tensor:
    """The [token, hidden] tensor of a released prompt, on the CPU. Raises: BadInput."""
    import torch

    if path.stat().st_size > LARGEST:
        raise BadInput(f"{path} has more than {LARGEST // 1_000_000} MB, too much for a prompt.")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        why = reason(error)[:200]
        if "Weights only load failed" in why:
            why = "it asks to run code"
        raise BadInput(f"{path} is not a torch file that holds only tensors: {why}") from error
    if isinstance(loaded, dict):
        loaded = loaded.get("model", loaded.get("best_prompt"))
    if not _is_plain(loaded):
        raise BadInput(f"{path} holds no [token, hidden] tensor of floating-point numbers.")
    vectors: Tensor = loaded[0] if loaded.dim() == 3 else loaded
    return vectors.detach().float().clone()


def _is_plain(value: object) -> bool:
    """`[token, hidden]`, or that with a leading 1; dense, floating, not empty."""
    from torch import Tensor, strided

    if not isinstance(value, Tensor) or value.is_nested or value.is_quantized or value.is_meta:
        return False
    dense = value.layout is strided and value.is_floating_point() and value.numel() > 0
    return dense and (value.dim() == 2 or (value.dim() == 3 and value.shape[0] == 1))


def files(folder: Path) -> Iterator[Path]:
    """The files of a folder that are named like released prompts, in order."""
    yield from (f for f in sorted(folder.rglob("*")) if f.is_file() and _FILE.fullmatch(f.name))


def read_folder(folder: Path) -> dict[Claim, Tensor]:
    """The vectors of the plain tuned prompts of a folder, whose models need not be here; of several
    files of one prompt the first. Raises: BadInput for a file that is none, or a folder without.
    """
    found: dict[Claim, Tensor] = {}
    for file in files(folder):
        try:
            claim = recognise(file.resolve())
        except BadInput:
            continue  # what its folder says is something else
        if claim not in found:
            found[claim] = read_vectors(file)
    if not found:
        raise BadInput(f"{folder} holds no released prompt.")
    return found


def import_file(lab: Lab, path: Path, claim: Claim, backbone: str) -> ImportedPrompt:
    """Store one prompt for a backbone of this machine; the same vectors are stored once.

    Raises: BadInput.
    """
    import torch

    vectors = read_vectors(path)
    spec = ImportedPrompt(
        backbone=lab.models.pin(backbone),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        task=claim.task,
        seed=claim.seed,
        prompt_length=len(vectors),
        precision=lab.models.precision(backbone),
        layout="published",
    )
    for known in lab.imported(spec.backbone, spec.task):
        alike = (known.seed, known.precision) == (spec.seed, spec.precision)
        stored = lab.store.read(known) if alike else None
        if stored is not None and torch.equal(stored.vectors, vectors):
            return known
    adopted = lab.adopt(SoftPrompt(spec=spec, vectors=vectors, words=()), spec.sha256)
    assert isinstance(adopted, ImportedPrompt)
    return adopted


def import_folder(
    lab: Lab, folder: Path, use: Mapping[str, str], progress: Progress = no_progress
) -> list[Outcome]:
    """Store every released prompt of a folder; one outcome per file, refusals among them.

    `use` says which backbone of this machine stands for a released model, e.g. {"T5": "t5-base"};
    without it the model's own hub id, which must have been downloaded. Raises: BadInput, Cancelled.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}.")
    found, outcomes = list(files(folder)), list[Outcome]()
    for backbone in use.values():
        lab.models.obtain(backbone, progress)  # remembered, so that pages can show the prompts
    if not found:
        raise BadInput(
            f"{folder} holds no file named task_prompt, <epoch>_task_prompt.pkl or latest.pt."
        )
    for i, file in enumerate(found):
        shown = file.relative_to(folder).as_posix()
        progress(i / len(found), shown)
        try:
            claim = recognise(file.resolve())
            backbone = use.get(claim.model, MODELS[claim.model])
            spec = import_file(lab, file, claim, backbone)
        except BadInput as error:
            outcomes.append(Outcome(file=shown, why=str(error)))
        else:
            outcomes.append(
                Outcome(
                    file=shown, task=spec.task, backbone=spec.backbone.name, seed=spec.seed,
                    key=key(spec),
                )
            )  # fmt: skip
    progress(1.0, "")
    return outcomes
