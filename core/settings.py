"""Where things lie on this machine. The only reader of os.environ."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Folders, limits and the device; every field can be set by `SKILLSCOPE_<FIELD>`."""

    assets: Path = ROOT / "assets"
    cache: Path = ROOT / "cache"
    tasks: Path | None = None
    device: str = "cpu"
    threads: int | None = None
    activation_megabytes: int = 512

    @classmethod
    def from_env(cls) -> "Settings":
        """Defaults, overridden by the environment."""
        env = {
            k[11:].lower(): v for k, v in os.environ.items() if k.startswith("SKILLSCOPE_") and v
        }
        default = cls()
        return cls(
            assets=Path(env.get("assets", default.assets)),
            cache=Path(env.get("cache", default.cache)),
            tasks=Path(env["tasks"]) if "tasks" in env else None,
            device=env.get("device", default.device),
            threads=int(env["threads"]) if "threads" in env else None,
            activation_megabytes=int(env.get("activation_megabytes", default.activation_megabytes)),
        )
