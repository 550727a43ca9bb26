"""How far interrupted tuning runs got, a file each; what is finished is forgotten."""

from contextlib import suppress
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
        """In place of what was kept before. A full disk keeps nothing, and ends no run."""
        header = {**halfway.header, "of": key}
        with suppress(OSError):
            content = artifact_bytes(Artifact(tensors=halfway.tensors, header=header))
            write_file(self._file(key), content)
            for old in sorted(self._folder.iterdir(), key=_age)[:-MOST]:
                old.unlink(missing_ok=True)

    def find(self, key: str) -> Artifact | None:
        """What was kept last; None if there is nothing, or nothing that can be read."""
        try:
            found = read_artifact(self._file(key))
        except BadInput:
            return None
        return found if found.header.get("of") == key else None

    def forget(self, key: str) -> None:
        """It is finished."""
        with suppress(OSError):
            self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


def _age(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # another process has removed it
        return 0.0
