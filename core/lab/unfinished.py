"""How far interrupted tuning runs got, a file each; what is finished is forgotten."""

from pathlib import Path

from core.base.errors import BadInput
from core.base.measure import Artifact
from core.store.files import artifact_bytes, read_artifact, write_file

MOST = 64  # files; the oldest go first


class Unfinished:
    """A folder of safetensors files, named by the keys of what they are halfway to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, key: str, halfway: Artifact) -> None:
        """In place of what was kept before."""
        write_file(self._file(key), artifact_bytes(halfway))
        for old in sorted(self._folder.glob("*.safetensors"), key=_age)[:-MOST]:
            old.unlink(missing_ok=True)

    def find(self, key: str) -> Artifact | None:
        """What was kept last; None if there is nothing, or nothing that can be read."""
        try:
            return read_artifact(self._file(key))
        except BadInput:
            return None

    def forget(self, key: str) -> None:
        """It is finished."""
        self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


def _age(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # another process has removed it
        return 0.0
