"""A prompt as files for others: safetensors with a card, and a PEFT adapter."""

import json
from dataclasses import replace
from pathlib import Path, PureWindowsPath

from core.backbones import Shape, hub
from core.base.errors import BadInput
from core.base.markdown import plain
from core.base.prompts import Prompt, SoftPrompt
from core.base.specs import Pinned, dumps, key
from core.measures.prompts import artifact, from_artifact
from core.measures.tuning import TuneSpec
from core.store.files import artifact_bytes, read_artifact


def read_prompt(path: Path) -> SoftPrompt:
    """A prompt from a safetensors file that Skillscope wrote. Raises: BadInput."""
    return from_artifact(read_artifact(path), path)


def card(prompt: SoftPrompt) -> str:
    """What the prompt is, in Markdown."""
    spec = prompt.spec
    lines = [
        f"# Soft prompt {key(spec)}",
        "",
        f"- backbone: {plain(spec.backbone.name)} ({spec.backbone.fingerprint})",
        f"- task: {plain(spec.source_task)}",
        f"- seed: {spec.seed}",
        f"- vectors: {len(prompt.vectors)} of width {prompt.vectors.shape[1]}",
        f"- layout: {spec.layout}",
    ]
    if prompt.words:
        lines.append(f"- answer words: {', '.join(map(plain, prompt.words))}")
    lines += [f"- {plain(line)}" for line in spec.recipe]
    if prompt.best_step is not None:
        lines.append(
            f"- best at step {prompt.best_step}, accuracy {prompt.selection_accuracy:.3f} on "
            f"{prompt.selection_rows} held-back train rows"
        )
    lines += ["", "```json", dumps(spec), "```", ""]
    return "\n".join(lines)


def adapter(prompt: SoftPrompt, shape: Shape) -> dict[str, bytes]:
    """A PEFT prompt-tuning adapter of a T5 prompt: file name -> content.

    PEFT puts the vectors before the encoder's input, as we do. Raises: BadInput for other families:
    PEFT has no prompt tuning for masked language models.
    """
    from safetensors.torch import save

    if shape.family != "t5":
        raise BadInput(
            f"PEFT has no prompt tuning for {shape.family} models; share the safetensors file."
        )
    name = prompt.spec.backbone.name
    ref = hub.reference(name)
    config = {
        "peft_type": "PROMPT_TUNING",
        "task_type": "SEQ_2_SEQ_LM",
        "base_model_name_or_path": _last(name) if ref is None else ref.repo,
        "revision": None if ref is None else ref.revision,
        "inference_mode": True,
        "num_virtual_tokens": len(prompt.vectors),
        "token_dim": prompt.vectors.shape[1],
        "num_transformer_submodules": 1,
        "num_attention_heads": shape.heads,
        "num_layers": shape.layers,
        "prompt_tuning_init": "RANDOM",
    }
    return {
        "adapter_config.json": json.dumps(config, indent=1).encode(),
        "adapter_model.safetensors": save({"prompt_embeddings": prompt.vectors.contiguous()}),
    }


def share(prompt: SoftPrompt, shape: Shape) -> dict[str, bytes]:
    """All files for others, by their path in a folder. They name no folder of this machine."""
    prompt = replace(prompt, spec=_without_paths(prompt.spec))
    files = {
        "prompt.safetensors": artifact_bytes(artifact(prompt)),
        "README.md": card(prompt).encode(),
    }
    if shape.family == "t5":
        files |= {f"peft/{name}": data for name, data in adapter(prompt, shape).items()}
    return files


def _without_paths(spec: Prompt) -> Prompt:
    """The same question; what lies in a folder of this machine is called by its last name."""
    if hub.reference(spec.backbone.name) is None:
        spec = replace(spec, backbone=_renamed(spec.backbone))
    if isinstance(spec, TuneSpec):
        start = None if spec.start is None else _without_paths(spec.start)
        return replace(spec, task=_renamed(spec.task), start=start)
    return spec


def _renamed(pin: Pinned) -> Pinned:
    return replace(pin, name=_last(pin.name))


def _last(name: str) -> str:
    """The last part of a path, of any system's; a name that is no path stays."""
    return PureWindowsPath(name).name
