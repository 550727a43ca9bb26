"""Soft prompts in the store, and prompts imported from a file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pandas as pd

from core.base.errors import BadInput, reason
from core.base.measure import Artifact, Measure, Stored, Table
from core.base.prompts import Origin, Prompt, SoftPrompt, Step
from core.base.specs import Spec, dumps, key, loads

PROMPT = Table(
    name="prompt",
    columns="backbone VARCHAR, fingerprint VARCHAR, task VARCHAR, seed INTEGER,"
    " prompt_length INTEGER, origin VARCHAR, best_step INTEGER, selection_accuracy DOUBLE,"
    " selection_rows INTEGER",
)
STEP = Table(name="step", columns="step INTEGER, loss DOUBLE, accuracy DOUBLE", order="key, step")


@dataclass(frozen=True, kw_only=True)
class ImportedPrompt(Prompt):
    """A soft prompt from a file, named by the file's hash."""

    origin: ClassVar[Origin] = "imported"
    sha256: str
    task: str

    @property
    def source_task(self) -> str:
        return self.task

    @property
    def recipe(self) -> tuple[str, ...]:
        return (f"imported from a file with SHA-256 {self.sha256}",)


def rows(prompt: SoftPrompt) -> dict[str, pd.DataFrame]:
    """A prompt and the steps of its tuning."""
    spec = prompt.spec
    row = {
        "backbone": spec.backbone.name,
        "fingerprint": spec.backbone.fingerprint,
        "task": spec.source_task,
        "seed": spec.seed,
        "prompt_length": len(prompt.vectors),
        "origin": spec.origin,
        "best_step": prompt.best_step,
        "selection_accuracy": prompt.selection_accuracy,
        "selection_rows": prompt.selection_rows,
    }
    steps = pd.DataFrame([asdict(step) for step in prompt.history])
    return {"prompt": pd.DataFrame([row]), **({"step": steps} if len(steps) else {})}


def artifact(prompt: SoftPrompt) -> Artifact:
    """The vectors, with spec and answer words in the header."""
    header = {"spec": dumps(prompt.spec), "words": json.dumps(prompt.words)}
    return Artifact(tensors={"vectors": prompt.vectors}, header=header)


def files(prompt: SoftPrompt) -> Mapping[str, Artifact]:
    """The one artifact of a prompt."""
    return {"prompts": artifact(prompt)}


def from_artifact(found: Artifact, where: object) -> SoftPrompt:
    """The prompt that `artifact` described. Raises: BadInput."""
    try:
        spec, words = loads(found.header["spec"]), json.loads(found.header["words"])
        vectors = found.tensors["vectors"]
    except (KeyError, TypeError, ValueError, RecursionError, BadInput) as error:
        why = reason(error).rstrip(".")
        raise BadInput(f"{where} is not a soft prompt written by Skillscope: {why}.") from error
    if not isinstance(spec, Prompt):
        raise BadInput(f"{where} is not a soft prompt written by Skillscope.")
    if vectors.dim() != 2 or not vectors.is_floating_point():
        raise BadInput(f"{where} holds no [token, hidden] tensor of floating-point numbers.")
    return SoftPrompt(spec=spec, vectors=vectors, words=tuple(words))


def read(spec: Prompt, stored: Stored) -> SoftPrompt:
    """A stored prompt with its history."""
    found = from_artifact(stored.file("prompts"), f"The file of prompt {stored.key}")
    row = stored.rows("prompt").iloc[0]
    return SoftPrompt(
        spec=spec,
        vectors=found.vectors,
        words=found.words,
        best_step=_known(row.best_step, int),
        selection_accuracy=_known(row.selection_accuracy, float),
        selection_rows=_known(row.selection_rows, int),
        history=steps(stored),
    )


def steps(stored: Stored) -> tuple[Step, ...]:
    """The steps of a stored answer's training."""
    found = stored.rows("step", "step, loss, accuracy", "step")
    return tuple(
        Step(step=int(s), loss=float(x), accuracy=_known(a, float))
        for s, x, a in found.itertuples(index=False)
    )


def _known(value: Any, kind: type) -> Any:
    return None if pd.isna(value) else kind(value)


def _lost(spec: ImportedPrompt, bench: object, progress: object) -> SoftPrompt:
    raise BadInput(f"The imported prompt {key(spec)} is not in the cache; import it again.")


def needs(spec: Prompt) -> tuple[Spec, ...]:
    """What the prompt itself says."""
    return spec.needs


IMPORTED = Measure(
    spec=ImportedPrompt,
    tables=(PROMPT, STEP),
    needs=needs,
    compute=_lost,
    rows=rows,
    artifacts=("prompts",),
    files=files,
    read=read,
)
