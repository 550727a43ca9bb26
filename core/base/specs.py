"""Questions. A spec is frozen, nested and JSON-able: it is its own provenance.

`key(spec)` names the answer everywhere: in the store, in file names, in exports. What a measurement
asks is defined beside the measurement (`core/measures`); here is what all questions have in common.

What enters a key: the class and its version, and every field that is not at its default. So a spec
can gain a field without orphaning an answer, and a default must never change: a new default is a
new version. Of what is pinned only the fingerprint counts, not the name.
"""

import hashlib
import json
import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import lru_cache
from numbers import Real
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from core.base.errors import BadInput

Precision = Literal["fp32", "bf16", "fp64"]
Layout = Literal["mask_first", "published"]
Stack = Literal["encoder", "decoder"]
"""Whose neurons: a masked model is an encoder only."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A question or a part of one. Numbers become what their field's type says: 1 is 1.0 where a
    fraction is asked for, and 256.0 is 256 where a count is. Raises: TypeError for what cannot be.
    """

    version: ClassVar[int] = 1  # raised when the mathematics behind it changes

    def edition(self) -> int:
        """The version that this question's answer depends on: the class's, or a later one."""
        return self.version

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for f, hint in _number_fields(kind):
            given = getattr(self, f.name)
            if given and type(given) is hint:  # as most are; 0.0 may be -0.0
                continue
            try:
                exact = _exact(given, hint)
            except ValueError:
                raise TypeError(f"{kind.__name__}.{f.name} cannot be {given!r}") from None
            if exact is not given:
                object.__setattr__(self, f.name, exact)


@dataclass(frozen=True, kw_only=True)
class Pinned(Spec):
    """What is meant (`fingerprint`: of weights, or of data and how they are asked about), and where
    it is found on this machine (`name`). Two names of the same thing are equal.
    """

    name: str = field(compare=False)
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Contrast(Spec):
    """Two groups of classes; examples of other classes are left out."""

    negative: tuple[int, ...]
    positive: tuple[int, ...]


def positive(spec: Spec, *names: str, least: int = 1) -> None:
    """Raises: BadInput for a field of a question that nobody can ask; None is no limit."""
    for name in names:
        given = getattr(spec, name)
        if given is not None and given < least:
            raise BadInput(f"{name} is {given}; it must be {least} or more.")


# --- keys ----------------------------------------------------------------------------------------
def key(spec: Spec) -> str:
    """The answer's name: 20 hexadecimal digits that change with any part of the question."""
    kind: Any = type(spec)
    return _key(spec, kind, kind.version)


@lru_cache(maxsize=1 << 16)
def _key(spec: Spec, _kind: Any, _version: int) -> str:
    text = json.dumps(_identity(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _identity(value: Any) -> Any:
    """What of a spec enters its key, as JSON values."""
    if isinstance(value, Pinned):
        return value.fingerprint
    if isinstance(value, Spec):
        parts = {name: _identity(part) for name, part in _asked(value)}
        if value.edition() > 1:
            parts["version"] = value.edition()
        return {**parts, "spec": type(value).__name__}
    return [_identity(v) for v in value] if isinstance(value, tuple) else value


def _asked(spec: Spec) -> Iterator[tuple[str, Any]]:
    """Fields that are not at their default."""
    kind: Any = type(spec)
    for f, _ in _typed_fields(kind):
        value = getattr(spec, f.name)
        if f.default is MISSING or value != f.default:
            yield f.name, value


@lru_cache(maxsize=256)
def _typed_fields(kind: Any) -> tuple[tuple[Field[Any], Any], ...]:
    hints = get_type_hints(kind)
    return tuple((f, hints[f.name]) for f in fields(kind))


@lru_cache(maxsize=256)
def _number_fields(kind: Any) -> tuple[tuple[Field[Any], Any], ...]:
    """The fields that may hold numbers."""
    return tuple((f, hint) for f, hint in _typed_fields(kind) if _of_numbers(hint))


def _of_numbers(hint: Any) -> bool:
    """Whether a type is of numbers, or of tuples of them."""
    inner = get_args(hint)
    if get_origin(hint) is types.UnionType:
        return int in inner or float in inner
    if get_origin(hint) is tuple:
        return _of_numbers(inner[0])
    return hint in (int, float)


def _exact(value: Any, hint: Any) -> Any:
    """A value with its numbers as its field's type says; the value itself if they are so already.

    Raises: ValueError for a number that the type cannot be.
    """
    inner = get_args(hint)
    if get_origin(hint) is types.UnionType and value is not None:
        return next((_exact(value, kind) for kind in (int, float) if kind in inner), value)
    if get_origin(hint) is tuple and isinstance(value, tuple):
        parts = tuple(_exact(v, inner[0]) for v in value)
        return value if all(a is b for a, b in zip(parts, value, strict=True)) else parts
    return _number(value, hint) if hint in (int, float) else value


def _number(value: Any, kind: type) -> Any:
    """A number of a kind. -0.0 becomes 0.0. Raises: ValueError for what is none (a truth value is
    none), and for a fraction where a whole number is asked for.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or (kind is int and not float(value).is_integer()):
        raise ValueError(value)
    if kind is int:
        return value if type(value) is int else int(value)
    exact = float(value) + 0.0
    return value if type(value) is float and repr(value) == repr(exact) else exact


# --- JSON ----------------------------------------------------------------------------------------
def to_dict(value: Any) -> Any:
    """A spec as plain JSON values; each object names its class under `spec`."""
    if isinstance(value, Spec):
        parts = {f.name: to_dict(getattr(value, f.name)) for f in fields(value)}
        return {"spec": type(value).__name__, **parts}
    return [to_dict(v) for v in value] if isinstance(value, tuple) else value


def from_dict(value: Any) -> Any:
    """The inverse of `to_dict`; fields that are absent are at their default.

    Raises: KeyError, TypeError on what is no spec, BadInput.
    """
    if isinstance(value, dict):
        parts = {k: from_dict(v) for k, v in value.items() if k != "spec"}
        kind = _classes()[value["spec"]]
        hints = get_type_hints(kind)
        for name, part in parts.items():
            if name in hints and not _fits(part, hints[name]):
                raise TypeError(f"{kind.__name__}.{name} cannot be {part!r}")
        return kind(**parts)
    return tuple(from_dict(v) for v in value) if isinstance(value, list) else value


def _classes() -> dict[str, type[Spec]]:
    """Every kind of spec by name."""

    def below(kind: type[Spec]) -> Iterator[type[Spec]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    return {kind.__name__: kind for kind in below(Spec)}


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
    """The spec that `dumps` wrote. Raises: ValueError, KeyError, TypeError."""
    return from_dict(json.loads(text))
