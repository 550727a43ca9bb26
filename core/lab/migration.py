"""Answers of earlier schemas, brought under today's keys: nothing is computed anew.

Schema 1 (until November 2026) had every field in a key, pinned a task with the answer words of all
families and a backbone with all of its folder's files, and stored no counts.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from core.backbones import family_of, hub
from core.backbones.identity import fingerprint
from core.base.errors import BadInput, BadTask, UnknownName
from core.base.measure import Artifact
from core.base.settings import EMBEDDED, Settings
from core.base.specs import dumps, from_dict, key
from core.store.files import artifact_bytes, read_artifact, write_file
from core.tasks import Choice, Task, clean_task, data_hashes, load_task, pin_task

RENAMED = {"NeuronSpec": "AblationSpec", "AgreementSpec": "StabilitySpec"}
# Old main table -> today's.
TABLES = {
    "prompt": "prompt", "predictivity": "predictivity", "evaluation": "evaluation",
    "effect": "ablation", "agreement": "stability", "activation_index": "activation_index",
}  # fmt: skip
# What the shipped backbones were called in schema 1 -> what they are. Their files may have changed.
SHIPPED = {"5a206d28482e": "4a521bfbc2b4", "2d53570f950c": "99eaf07302e2"}  # roberta-, t5-mini
_SUFFIXES = {".safetensors", ".bin", ".json", ".txt", ".model"}


def upgrader(settings: Settings) -> Callable[[Any, Path, int], tuple[Path, ...]]:
    """What the store calls for a database of an earlier schema; gives the files that are no longer
    needed once that is committed.
    """

    def upgrade(cursor: Any, folder: Path, version: int) -> tuple[Path, ...]:
        assert version == 1
        return _from_1(cursor, folder, Pins(settings))

    return upgrade


# --- questions -----------------------------------------------------------------------------------
class Pins:
    """Old fingerprints -> today's, where what they stood for is still on this machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.backbone = lru_cache(maxsize=None)(self._backbone)
        self.task = lru_cache(maxsize=None)(self._task)

    def folder(self, name: str) -> Path | None:
        """Where a backbone lies, if it is still here."""
        if name in EMBEDDED:
            return self._settings.assets / "backbones" / name
        if Path(name).is_dir():
            return Path(name)
        ref = hub.reference(name)
        return None if ref is None else hub.cached(ref)

    def family(self, name: str) -> str:
        """A backbone's family; of one that is gone, by its name as far as that tells."""
        folder = self.folder(name)
        try:
            return family_of(folder) if folder is not None else _by_name(name)
        except BadInput:
            return _by_name(name)

    def _backbone(self, name: str, old: str) -> str:
        if old in SHIPPED:
            return SHIPPED[old]
        folder = self.folder(name)
        if folder is None or not folder.is_dir():
            return old
        ours = name in EMBEDDED or Path(name).is_dir()
        was = _folder_hash(folder) if ours else hub.commit(folder)[:12]
        return fingerprint(folder) if was == old else old

    def _task(self, name: str, old: str, family: str) -> str:
        try:
            task = load_task(name, self._settings.places)
            return pin_task(task, family).fingerprint if _old_task_pin(task) == old else old
        except (BadTask, UnknownName):
            return old


def _by_name(name: str) -> str:
    return next((f for f in ("t5", "roberta", "bert") if f in name.lower()), "roberta")


def _folder_hash(folder: Path) -> str:
    """A backbone's fingerprint in schema 1: every file of a known ending."""
    digest = hashlib.sha256()
    for path in sorted(f for f in folder.iterdir() if f.suffix in _SUFFIXES):
        digest.update(path.name.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _old_task_pin(task: Task) -> str:
    """A task's fingerprint in schema 1: words and templates of all families."""
    assert isinstance(task.answer, Choice)
    read = {
        "values": task.values,
        "fields": asdict(task.fields),
        "words": dict(task.answer.verbalizer),
        "templates": {family: asdict(t) for family, t in task.templates.items()},
        "data": data_hashes(task),
    }
    digest = hashlib.sha256(json.dumps(read, sort_keys=True).encode())
    if task.adversarial_of is not None:
        digest.update(_old_task_pin(clean_task(task)).encode())
    return digest.hexdigest()[:12]


def translated(old: Any, pins: Pins) -> Any:
    """A question of schema 1 as today's. Raises: KeyError, TypeError on what is no question."""
    return from_dict(_translated(old, pins, _first_backbone(old)))


def _first_backbone(old: Any) -> str:
    """Name of the backbone that a question is about."""
    if isinstance(old, dict):
        if isinstance(old.get("backbone"), dict):
            return str(old["backbone"]["name"])
        parts = list(old.values())
    else:
        parts = old if isinstance(old, list) else []
    return next((found for part in parts if (found := _first_backbone(part))), "")


def _translated(old: Any, pins: Pins, backbone: str) -> Any:
    if isinstance(old, list):
        return [_translated(part, pins, backbone) for part in old]
    if not isinstance(old, dict):
        return old
    new = {name: _translated(part, pins, backbone) for name, part in old.items()}
    new["spec"] = RENAMED.get(old["spec"], old["spec"])
    for field in ("backbone", "task"):
        if isinstance(new.get(field), dict):
            name, was = new[field]["name"], new[field]["fingerprint"]
            now = pins.backbone(name, was) if field == "backbone" else pins.task(
                name, was, pins.family(backbone)
            )  # fmt: skip
            new[field] = {**new[field], "fingerprint": now}
    return new


# --- answers -------------------------------------------------------------------------------------
def _from_1(cursor: Any, folder: Path, pins: Pins) -> tuple[Path, ...]:
    there = {name for (name,) in cursor.execute("SHOW TABLES").fetchall()}
    names = _new_names(cursor, there, pins)
    cursor.register("names", names)
    for old, sql in COPY.items():
        if f"old_{old}" in there:
            columns = _columns(cursor, f"old_{old}")
            cursor.execute(sql.format(**{c: _or_null(c, columns) for c in LATE}))
    cursor.unregister("names")
    for table in ("backbone", "merged"):
        if f"old_{table}" in there:
            cursor.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")
    return _copy_files(folder, names)


def _new_names(cursor: Any, there: set[str], pins: Pins) -> pd.DataFrame:
    """Old key, new key, new question and new kind of each answer that can be read."""
    rows = []
    for old, new in TABLES.items():
        if f"old_{old}" not in there:
            continue
        for name, text in cursor.execute(f"SELECT key, spec FROM old_{old}").fetchall():
            try:
                spec = translated(json.loads(text), pins)
            except (ValueError, KeyError, TypeError, BadInput):
                continue  # no version could ever use it
            fingerprint_now = _fingerprint_of(spec)
            rows.append((name, key(spec), dumps(spec), new, fingerprint_now))
    return pd.DataFrame(rows, columns=["old", "new", "spec", "kind", "fingerprint"], dtype=str)


def _fingerprint_of(spec: Any) -> str:
    backbone = getattr(spec, "backbone", None)
    return "" if backbone is None else str(backbone.fingerprint)


def _columns(cursor: Any, table: str) -> set[str]:
    return {str(row[0]) for row in cursor.execute(f"DESCRIBE {table}").fetchall()}


def _or_null(column: str, there: set[str]) -> str:
    return f"o.{column}" if column in there else "NULL"


# Columns that the first caches of schema 1 lack.
LATE = ("floor_fdr", "p", "p_family", "q", "by_token", "attack", "skill", "kept", "median")
_NAMED = "FROM old_{} o JOIN names m ON m.old = o.key AND m.kind = '{}'"
_PROMPT = " JOIN names p ON p.old = o.prompt AND p.kind = 'prompt'"
COPY = {
    "prompt": "INSERT INTO prompt BY NAME SELECT m.new AS key,"
    " o.* EXCLUDE (key, spec, fingerprint), m.fingerprint, m.spec "
    + _NAMED.format("prompt", "prompt"),
    "step": "INSERT INTO step BY NAME SELECT m.new AS key, o.* EXCLUDE (key) "
    + _NAMED.format("step", "prompt"),
    "predictivity": "INSERT INTO predictivity BY NAME SELECT m.new AS key, p.new AS prompt,"
    " o.backbone, o.source_task, o.seed, o.target_task, o.split, o.contrast, o.n, o.n_train,"
    " o.majority, o.floor_mean, o.floor_p99, o.floor_family, {floor_fdr} AS floor_fdr,"
    " o.permutations, m.spec " + _NAMED.format("predictivity", "predictivity") + _PROMPT,
    "neuron": "INSERT INTO neuron BY NAME SELECT m.new AS key, o.layer, o.neuron,"
    " round(o.predictivity * n.n)::UINTEGER AS correct,"
    " round(o.predictivity * n.n) / n.n AS predictivity, o.best_token,"
    " round(o.accuracy * n.n) / n.n AS accuracy, o.baseline, o.mean, {p} AS p,"
    " {p_family} AS p_family, {q} AS q, {by_token} AS by_token "
    + _NAMED.format("neuron", "predictivity") + " JOIN predictivity n ON n.key = m.new",
    "evaluation": "INSERT INTO evaluation BY NAME SELECT m.new AS key, p.new AS prompt,"
    " o.* EXCLUDE (key, prompt, spec), 'accuracy' AS metric,"
    " list_transform(list_zip(o.labels, o.predictions), lambda x: (x[1] = x[2])::INT::FLOAT)"
    " AS scores, m.spec " + _NAMED.format("evaluation", "evaluation") + _PROMPT,
    "effect": "INSERT INTO ablation BY NAME SELECT m.new AS key, p.new AS prompt,"
    " o.* EXCLUDE (key, prompt, spec), m.spec " + _NAMED.format("effect", "ablation") + _PROMPT,
    "agreement": "INSERT INTO stability BY NAME SELECT m.new AS key, o.backbone, o.source_task,"
    " o.target_task, o.seeds AS prompts, o.layers, o.neurons, o.n_clean, o.n_adversarial,"
    " list_transform(o.kind, lambda k: replace(k, 'halves', 'control')) AS kind,"
    " {attack} AS attack, o.spearman, o.fractions, {skill} AS skill, {kept} AS shared,"
    " {median} AS median, m.spec " + _NAMED.format("agreement", "stability"),
    "activation_index": "INSERT INTO activation_index BY NAME SELECT m.new AS key,"
    " o.* EXCLUDE (key, spec), m.spec " + _NAMED.format("activation_index", "activation_index"),
    "activation": "INSERT INTO activation BY NAME SELECT m.new AS key, o.* EXCLUDE (key) "
    + _NAMED.format("activation", "activation_index"),
    "run": "INSERT INTO run BY NAME SELECT m.new AS key, m.kind, o.* EXCLUDE (key, kind)"
    " FROM old_run o JOIN names m ON m.old = o.key",
}  # fmt: skip


def _copy_files(folder: Path, names: pd.DataFrame) -> tuple[Path, ...]:
    """Prompts under their new names, with the new question in the header; the old files, which are
    to stay until the tables are committed, so that a run that is killed here can be repeated.

    A file that cannot be read stays for good, and its prompt counts as one whose file is gone.
    """
    copied = list[Path]()
    asked = names[names.kind == "prompt"]
    for old, new, spec in asked[["old", "new", "spec"]].itertuples(index=False):
        source, target = (folder / "prompts" / f"{n}.safetensors" for n in (old, new))
        if source == target:
            continue
        try:
            found = read_artifact(source)
        except BadInput:
            continue
        header = {**found.header, "spec": spec}
        write_file(target, artifact_bytes(Artifact(tensors=found.tensors, header=header)))
        copied.append(source)
    return tuple(copied)
