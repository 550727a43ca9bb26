"""A prompt as files for others: safetensors with a card, and a PEFT adapter."""

import json

from safetensors.torch import save

from core.backbones import Shape
from core.errors import BadInput
from core.markdown import plain
from core.results import SoftPrompt
from core.specs import TuneSpec, dumps, key
from core.store.files import prompt_bytes
from core.store.rows import source_task


def card(prompt: SoftPrompt) -> str:
    """What the prompt is, in Markdown."""
    spec = prompt.spec
    lines = [
        f"# Soft prompt {key(spec)}",
        "",
        f"- backbone: {plain(spec.backbone.name)} ({spec.backbone.fingerprint})",
        f"- task: {plain(source_task(spec))}",
        f"- seed: {spec.seed}",
        f"- vectors: {len(prompt.vectors)} of width {prompt.vectors.shape[1]}",
        f"- layout: {spec.layout}",
    ]
    if prompt.words:
        lines.append(f"- answer words: {', '.join(map(plain, prompt.words))}")
    if isinstance(spec, TuneSpec):
        lines += [
            f"- best of {spec.steps} steps: {prompt.best_step}, accuracy "
            f"{prompt.selection_accuracy:.3f} on {prompt.selection_rows} held-back train rows",
            f"- learning rate {spec.learning_rate:g}, batch size {spec.batch_size}, start from "
            f"{spec.init}",
        ]
    else:
        lines.append(f"- imported from a file with SHA-256 {spec.sha256}")
    lines += ["", "```json", dumps(spec), "```", ""]
    return "\n".join(lines)


def adapter(prompt: SoftPrompt, shape: Shape) -> dict[str, bytes]:
    """A PEFT prompt-tuning adapter of a T5 prompt: file name -> content.

    PEFT puts the vectors before the encoder's input, as we do. Raises: BadInput for other families:
    PEFT has no prompt tuning for masked language models.
    """
    if shape.family != "t5":
        raise BadInput(
            f"PEFT has no prompt tuning for {shape.family} models; share the safetensors file."
        )
    repo, _, revision = prompt.spec.backbone.name.partition("@")
    config = {
        "peft_type": "PROMPT_TUNING",
        "task_type": "SEQ_2_SEQ_LM",
        "base_model_name_or_path": repo,
        "revision": revision or None,
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
    """All files for others, by their path in a folder."""
    files = {"prompt.safetensors": prompt_bytes(prompt), "README.md": card(prompt).encode()}
    if shape.family == "t5":
        files |= {f"peft/{name}": data for name, data in adapter(prompt, shape).items()}
    return files
