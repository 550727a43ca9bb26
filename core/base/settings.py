"""Where things lie on this machine. The only reader of os.environ."""

import os
import re
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import cast, get_args

from core.base.errors import BadInput
from core.base.specs import Precision

# The backbones in `assets/backbones`: plain ones, and each one's counterpart, trained on the same
# texts with slips of the keyboard and the like. A counterpart may be absent.
PLAIN = ("roberta-mini", "t5-mini")
MATCHED = tuple((name, f"{name}-weathered") for name in PLAIN)
EMBEDDED = (*PLAIN, *(weathered for _, weathered in MATCHED))
ROOT = Path(__file__).resolve().parents[2]


def sleep_while_waiting() -> None:
    """Let torch's threads sleep while they wait for each other: those that spin take the core that
    the other one needs. Without effect once torch is loaded, or if the user has set it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Folders of tasks and data: a user's own tasks, what came from the hub, local copies."""

    tasks: Path
    downloads: Path
    data: Path | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Folders, limits and the device; every field can be set by `SKILLSCOPE_<FIELD>`."""

    assets: Path = ROOT / "assets"
    cache: Path = ROOT / "cache"
    tasks: Path | None = None  # where a user's own tasks lie; None: below the cache
    data: Path | None = None  # local copies of the papers' datasets, in place of the hub's
    device: str = "auto"
    precision: Precision = "fp32"  # of prompts for backbones that are not embedded
    threads: int | None = None
    activation_megabytes: int = 512

    @classmethod
    def from_env(cls) -> "Settings":
        """Defaults, overridden by the environment. Raises: BadInput for a value that cannot be."""
        return _settings(tuple(os.environ.get(f"SKILLSCOPE_{f.name.upper()}") for f in fields(cls)))

    @property
    def places(self) -> "Places":
        """Where tasks and their data are looked for."""
        return Places(
            tasks=(self.tasks or self.cache / "tasks").resolve(),
            downloads=(self.cache / "data").resolve(),
            data=None if self.data is None else self.data.resolve(),
        )

    def beside_pages(self) -> "Settings":
        """For a process that serves pages: half of the logical cores unless set otherwise.

        Torch's threads wait for each other; if the browser takes one's core, all of them stand
        still. On two cores one thread finishes a curve sooner than two.
        """
        return replace(self, threads=self.threads or max(1, (os.cpu_count() or 2) // 2))


@lru_cache(maxsize=64)
def _settings(given: tuple[str | None, ...]) -> Settings:
    """Settings from a text for each field; nothing given leaves the default. Pages ask for them
    thousands of times.
    """
    env = {f.name: text for f, text in zip(fields(Settings), given, strict=True) if text}
    default = Settings()
    device = env.get("device", default.device)
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise BadInput(f"SKILLSCOPE_DEVICE is {device!r}; it must be auto, cpu or cuda.")
    return Settings(
        assets=Path(env.get("assets", default.assets)),
        cache=Path(env.get("cache", default.cache)),
        tasks=Path(env["tasks"]) if "tasks" in env else None,
        data=Path(env["data"]) if "data" in env else None,
        device=device,
        precision=_precision(env.get("precision", default.precision)),
        threads=_number(env, "threads", default.threads),
        activation_megabytes=_number(env, "activation_megabytes", None)
        or default.activation_megabytes,
    )


def _precision(text: str) -> Precision:
    for known in get_args(Precision):
        if text == known:
            return cast(Precision, known)
    raise BadInput(
        f"SKILLSCOPE_PRECISION is {text!r}; it must be one of {', '.join(get_args(Precision))}."
    )


def _number(env: dict[str, str], name: str, default: int | None) -> int | None:
    if name not in env:
        return default
    if not env[name].isdecimal() or int(env[name]) < 1:
        raise BadInput(f"SKILLSCOPE_{name.upper()} is {env[name]!r}; it must be 1 or more.")
    return int(env[name])
