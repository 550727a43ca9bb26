"""User input as specs: prompts, pairings, kinds of neuron."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from core.backbones import FAMILIES
from core.base.errors import BadInput
from core.base.prompts import Prompt
from core.base.specs import Contrast, Precision, Stack
from core.exchange import published
from core.exchange.sharing import read_prompt
from core.lab.lab import Lab
from core.measures import sweeps
from core.measures.activations import Activations
from core.measures.predictivity import PredictivitySpec
from core.stats.neurons import Choose
from core.tasks import Task
from core.tasks.attacks import Attack, Kind, Where
from core.tasks.baselines import bag_of_words
from core.tasks.data import load_split, obtain_task

if TYPE_CHECKING:
    from torch import Tensor


def prompt(lab: Lab, text: str, backbone: str | None = None) -> Prompt:
    """A prompt by key, `.safetensors` file, or published torch file. Raises: BadInput."""
    path = Path(text)
    if path.suffix != ".safetensors" and path.is_file():
        return _published(lab, path, backbone)
    if path.suffix == ".safetensors":
        found = lab.adopt(read_prompt(path), hashlib.sha256(path.read_bytes()).hexdigest())
    else:
        found = lab.prompt_named(text)
    if backbone is not None and lab.models.pin(lab.models.obtain(backbone)) != found.backbone:
        raise BadInput(
            f"The prompt {text} is for {found.backbone.name}, not for {backbone}; leave out "
            "--backbone."
        )
    return found


def _published(lab: Lab, path: Path, backbone: str | None) -> Prompt:
    if backbone is None:
        raise BadInput(
            f"{path} is no .safetensors file; if it is a torch file with a released prompt, say "
            "which backbone it is for with --backbone."
        )
    try:
        claim = published.recognise(path.resolve())
    except BadInput:
        claim = published.Claim(task=path.parent.name or path.stem, model="", seed=0)
    return published.import_file(lab, path, claim, lab.models.obtain(backbone))


def start(lab: Lab, text: str, backbone: str, init: str) -> Prompt:
    """The prompt from which tuning starts. Raises: BadInput."""
    if init != "vocabulary":
        raise BadInput(f"--init {init} has no effect with --start; leave one of them out.")
    found = prompt(lab, text, backbone)
    lab.prompt(found)
    return found


def uses(texts: Sequence[str]) -> dict[str, str]:
    """`Roberta=FOLDER` as released model -> backbone. Raises: BadInput."""
    pairs = [text.partition("=") for text in texts]
    for model, sign, backbone in pairs:
        if not sign or model not in published.MODELS or not backbone:
            known = ", ".join(published.MODELS)
            raise BadInput(f"--use {model + sign + backbone!r} is not MODEL=BACKBONE ({known}).")
    return {model: backbone for model, _, backbone in pairs}


def pairing(
    lab: Lab, text: str, backbone: str | None, precision: Precision | None = None
) -> tuple[PredictivitySpec, ...]:
    """`PROMPT=TASK` as measurements, one per binary question. Raises: BadInput."""
    name, sign, task_name = text.partition("=")
    if not sign:
        raise BadInput(f"{text!r} is not of the form PROMPT=TASK.")
    task = obtain_task(task_name)
    asked = prompt(lab, name, backbone)
    where = (asked, lab.pin(task, asked.backbone.name), task.evaluation_split)
    return sweeps.predictivities([where], task.contrasts(), precision=precision)


def contrast(task: Task, name: str | None) -> Contrast | None:
    """One of the task's binary questions by name, the first by default. Raises: BadInput."""
    named = {task.contrast_name(c): c for c in task.contrasts()}
    if name is None:
        return task.contrasts()[0]
    if name not in named:
        raise BadInput(f"--contrast {name!r}: {task.title} has {', '.join(map(repr, named))}.")
    return named[name]


def attack(
    kind: Kind | None, dose: int, worst_of: int, seed: int, where: Where = "both"
) -> Attack | None:
    """The attack that the options ask for. Raises: BadInput for options that need `--attack`."""
    if kind is None:
        if (dose, worst_of, seed, where) != (1, 1, 0, "both"):
            raise BadInput("--dose, --worst-of, --attack-seed and --where need --attack KIND.")
        return None
    return Attack(kind=kind, dose=dose, worst_of=worst_of, seed=seed, where=where)


def has_stack(lab: Lab, prompt: Prompt, stack: Stack) -> None:
    """Whether the prompt's backbone has it, before anything is computed. Raises: BadInput."""
    name = prompt.backbone.name
    if stack not in FAMILIES[lab.models.family(name)].stacks:
        raise BadInput(f"{name} has no {stack}; ask about its encoder.")


def kinds(text: str | None, stack: Stack = "encoder") -> tuple[Choose, ...]:
    """`skill,random` as kinds of neuron; without a text the usual ones. Raises: BadInput."""
    if text is None:
        return sweeps.CURVES if stack == "encoder" else sweeps.IN_DECODER
    parts = tuple(text.split(","))
    known = get_args(Choose)
    for part in parts:
        if part not in known:
            raise BadInput(f"--choose {part!r}: choose among {', '.join(known)}.")
    return cast(tuple[Choose, ...], parts)


def describe(task: Task, shipped: Mapping[str, float]) -> dict[str, Any]:
    """Counts of a task, and majority-class and bag-of-words accuracy if it has classes."""
    examples = load_split(task, task.evaluation_split)
    classes = bool(task.labels)
    return {
        "name": task.name,
        "title": task.title,
        "category": task.category,
        "train": len(load_split(task, "train")),
        "evaluated": len(examples),
        "split": task.evaluation_split,
        "majority": examples.majority if classes else None,
        "bag_of_words": bag_of_words(task, shipped) if classes else None,
    }


def tensors(values: Activations) -> dict[str, Tensor]:
    """Cached activations as named tensors."""
    import torch

    return {
        "values": torch.from_numpy(values.values),
        "index": torch.from_numpy(values.index),
        "labels": torch.from_numpy(values.labels),
    }
