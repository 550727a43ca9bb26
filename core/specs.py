"""The questions. A spec is frozen, nested and JSON-able: it is its own provenance.

`key(spec)` names the answer everywhere: in the store, in file names, in exports.
"""

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from core.errors import BadInput

Precision = Literal["fp32", "bf16", "fp64"]
Init = Literal["vocabulary", "random", "labels"]
Choose = Literal["skill", "random", "lowest"]
Scope = Literal["layer", "model"]
Positions = Literal["all", "prompt"]
Kind = Literal["zero", "mean", "noise"]


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A name and the fingerprint of what stands behind it (weights, or task file and data)."""

    name: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class TuneSpec:
    """A soft prompt: which one results from tuning like this?"""

    backbone: Pinned
    task: Pinned
    seed: int
    prompt_length: int = 16
    init: Init = "vocabulary"
    steps: int = 80
    learning_rate: float = 0.03
    batch_size: int = 32
    selection: int = 200
    evaluate_every: int = 20
    max_length: int = 128
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        _positive(self, "prompt_length", "steps", "batch_size", "selection", "evaluate_every")
        _positive(self, "max_length")

    @property
    def layout(self) -> Literal["mask_first"]:
        """Prompts of our own never have a dead row."""
        return "mask_first"


@dataclass(frozen=True, kw_only=True)
class ImportedPrompt:
    """A soft prompt from a file, named by the file's hash."""

    backbone: Pinned
    sha256: str
    task: str
    seed: int
    prompt_length: int
    layout: Literal["mask_first", "published"]
    max_length: int = 128
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        _positive(self, "prompt_length", "max_length")


def _positive(spec: object, *names: str) -> None:
    """Raises: BadInput for a field of a question that nobody can ask."""
    for name in names:
        if getattr(spec, name) < 1:
            raise BadInput(f"{name} is {getattr(spec, name)}; it must be 1 or more.")


Prompt = TuneSpec | ImportedPrompt


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two groups of classes; examples of other classes are left out."""

    negative: tuple[int, ...]
    positive: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PredictivitySpec:
    """How well does each neuron's activation, above its train mean, tell the classes apart?

    The baseline is the mean on the train split of the clean task (at most `train_limit` examples);
    accuracy is measured on `split`. `contrast` None means class 1 against class 0.
    """

    prompt: Prompt
    task: Pinned
    split: str = "validation"
    contrast: Contrast | None = None
    limit: int | None = None
    train_limit: int | None = None
    permutations: int = 100


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Which neurons are switched off: the `fraction` chosen by a ranking's mean over its seeds."""

    ranking: tuple[PredictivitySpec, ...]
    choose: Choose
    fraction: float
    scope: Scope = "layer"
    positions: Positions = "all"
    kind: Kind = "zero"
    seed: int = 0
    noise: float = 0.1


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """How many examples does the prompt get right? Transfer, robustness and suppression alike."""

    prompt: Prompt
    task: Pinned
    split: str = "validation"
    limit: int | None = None
    suppression: Suppression | None = None


@dataclass(frozen=True, kw_only=True)
class ActivationSpec:
    """Each neuron's activation at its best prompt token, example by example."""

    ranking: PredictivitySpec
    limit: int = 256


@dataclass(frozen=True, kw_only=True)
class NeuronSpec:
    """What does one neuron do to the answers, example by example, when it is switched off?"""

    ranking: PredictivitySpec
    layer: int
    neuron: int
    limit: int = 256


@dataclass(frozen=True, kw_only=True)
class AgreementSpec:
    """How far do predictivities on clean and on adversarial data agree, and how sure is that?

    `clean[i]` and `adversarial[i]` are the same prompt's; the means over seeds are compared.
    `fractions` are those at which shared skill neurons are counted. `permutations` shuffle the
    adversarial labels, `replicates` redraw examples and seeds, `splits` halve the clean split.
    """

    clean: tuple[PredictivitySpec, ...]
    adversarial: tuple[PredictivitySpec, ...]
    fractions: tuple[float, ...]
    replicates: int = 100
    splits: int = 20
    permutations: int = 100


Measurement = (
    TuneSpec | PredictivitySpec | EvaluationSpec | ActivationSpec | NeuronSpec | AgreementSpec
)
Spec = Measurement | ImportedPrompt

_CLASSES: dict[str, type] = {
    c.__name__: c
    for c in (
        Pinned,
        TuneSpec,
        ImportedPrompt,
        Contrast,
        PredictivitySpec,
        Suppression,
        EvaluationSpec,
        ActivationSpec,
        NeuronSpec,
        AgreementSpec,
    )
}
# Raised when the mathematics behind a spec changes: old answers are then no longer found.
VERSIONS = {
    "TuneSpec": 1, "PredictivitySpec": 2, "EvaluationSpec": 1, "ActivationSpec": 1,
    "AgreementSpec": 6,
}  # fmt: skip


def key(spec: Spec) -> str:
    """The answer's name: 20 hexadecimal digits that change with any part of the question."""
    return _key(spec, tuple(VERSIONS.items()))


@lru_cache(maxsize=1 << 16)
def _key(spec: Spec, _versions: tuple[tuple[str, int], ...]) -> str:
    text = json.dumps(_versioned(to_dict(spec)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _versioned(value: Any) -> Any:
    if isinstance(value, dict):
        parts = {name: _versioned(part) for name, part in value.items()}
        return {**parts, "version": VERSIONS.get(value["spec"], 1)}
    return [_versioned(v) for v in value] if isinstance(value, list) else value


def to_dict(value: Any) -> Any:
    """A spec as plain JSON values; each object names its class under `spec`."""
    if is_dataclass(value):
        parts = {f.name: to_dict(getattr(value, f.name)) for f in fields(value)}
        return {"spec": type(value).__name__, **parts}
    return [to_dict(v) for v in value] if isinstance(value, tuple) else value


def from_dict(value: Any) -> Any:
    """The inverse of `to_dict`. Raises: KeyError, TypeError on what is no spec, BadInput."""
    if isinstance(value, dict):
        parts = {k: from_dict(v) for k, v in value.items() if k != "spec"}
        kind = _CLASSES[value["spec"]]
        hints = get_type_hints(kind)
        for name, part in parts.items():
            if name in hints and not _fits(part, hints[name]):
                raise TypeError(f"{kind.__name__}.{name} cannot be {part!r}")
        return kind(**parts)
    return tuple(from_dict(v) for v in value) if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type."""
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return value in inner
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(v, inner[0]) for v in value)
    if inner:
        return any(_fits(value, h) for h in inner)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and not (hint is int and isinstance(value, bool))


def dumps(spec: Spec) -> str:
    """A spec as one line of JSON."""
    return json.dumps(to_dict(spec), sort_keys=True)


def loads(text: str) -> Any:
    """The spec that `dumps` wrote."""
    return from_dict(json.loads(text))
