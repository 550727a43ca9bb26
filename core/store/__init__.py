"""DuckDB holds the index and the numbers, safetensors files the big tensors.

One process owns the database file (a lock beside it says which), with one long-lived connection and
a cursor per thread. A row is written after the file it speaks of, so a row means that the file is
whole. Keys are content hashes: merging two stores is a set union.
"""

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from core.errors import BadInput, StoreBusy, reason
from core.results import (
    Activations,
    Agreement,
    Evaluation,
    NeuronEffect,
    Predictivity,
    Run,
    SoftPrompt,
    Step,
)
from core.specs import (
    ActivationSpec,
    EvaluationSpec,
    ImportedPrompt,
    Pinned,
    PredictivitySpec,
    Prompt,
    TuneSpec,
    dumps,
    key,
    loads,
)
from core.store.files import prompt_bytes, read_prompt_file, write_file
from core.store.rows import (
    agreement_tables,
    effect_tables,
    evaluation_tables,
    predictivity_tables,
    prompt_tables,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS prompt (
  key VARCHAR PRIMARY KEY, backbone VARCHAR, fingerprint VARCHAR, task VARCHAR, seed INTEGER,
  prompt_length INTEGER, origin VARCHAR, best_step INTEGER, selection_accuracy DOUBLE,
  selection_rows INTEGER, spec VARCHAR);
CREATE TABLE IF NOT EXISTS step (
  key VARCHAR, step INTEGER, loss DOUBLE, accuracy DOUBLE, PRIMARY KEY (key, step));
CREATE TABLE IF NOT EXISTS predictivity (
  key VARCHAR PRIMARY KEY, prompt VARCHAR, backbone VARCHAR, source_task VARCHAR, seed INTEGER,
  target_task VARCHAR, split VARCHAR, contrast VARCHAR, n INTEGER, n_train INTEGER,
  majority DOUBLE, floor_mean DOUBLE, floor_p99 DOUBLE, floor_family DOUBLE, floor_fdr DOUBLE,
  permutations INTEGER, spec VARCHAR);
CREATE TABLE IF NOT EXISTS neuron (
  key VARCHAR, layer USMALLINT, neuron USMALLINT, predictivity FLOAT, best_token USMALLINT,
  accuracy FLOAT, baseline FLOAT, mean FLOAT, p FLOAT, p_family FLOAT, q FLOAT,
  by_token UINTEGER[]);
CREATE TABLE IF NOT EXISTS evaluation (
  key VARCHAR PRIMARY KEY, prompt VARCHAR, backbone VARCHAR, source_task VARCHAR, seed INTEGER,
  target_task VARCHAR, split VARCHAR, n INTEGER, correct INTEGER, accuracy DOUBLE, majority DOUBLE,
  choose VARCHAR, fraction DOUBLE, draw INTEGER,
  rows INTEGER[], labels UTINYINT[], predictions UTINYINT[], spec VARCHAR);
CREATE TABLE IF NOT EXISTS effect (
  key VARCHAR PRIMARY KEY, prompt VARCHAR, backbone VARCHAR, source_task VARCHAR, seed INTEGER,
  target_task VARCHAR, split VARCHAR, layer INTEGER, neuron INTEGER, rows INTEGER[],
  labels UTINYINT[], margin DOUBLE[], without_slot DOUBLE[], without DOUBLE[], spec VARCHAR);
CREATE TABLE IF NOT EXISTS agreement (
  key VARCHAR PRIMARY KEY, backbone VARCHAR, source_task VARCHAR, target_task VARCHAR,
  seeds INTEGER, layers INTEGER, neurons INTEGER, n_clean INTEGER, n_adversarial INTEGER,
  kind VARCHAR[], attack VARCHAR[], spearman DOUBLE[][], fractions DOUBLE[], skill INTEGER[][][],
  kept INTEGER[][][], median DOUBLE[][], spec VARCHAR);
CREATE TABLE IF NOT EXISTS activation (
  key VARCHAR, example INTEGER, label UTINYINT, layer USMALLINT, "values" FLOAT[]);
CREATE TABLE IF NOT EXISTS activation_index (
  key VARCHAR PRIMARY KEY, bytes BIGINT, used BIGINT, spec VARCHAR);
CREATE TABLE IF NOT EXISTS backbone (name VARCHAR PRIMARY KEY);
CREATE TABLE IF NOT EXISTS merged (stamp VARCHAR PRIMARY KEY);
CREATE TABLE IF NOT EXISTS run (
  key VARCHAR PRIMARY KEY, kind VARCHAR, started VARCHAR, seconds DOUBLE, device VARCHAR,
  versions VARCHAR);
"""
# What caches of earlier versions lack or have too much.
ADDED = """
ALTER TABLE predictivity ADD COLUMN IF NOT EXISTS floor_fdr DOUBLE;
ALTER TABLE neuron ADD COLUMN IF NOT EXISTS p FLOAT;
ALTER TABLE neuron ADD COLUMN IF NOT EXISTS p_family FLOAT;
ALTER TABLE neuron ADD COLUMN IF NOT EXISTS q FLOAT;
ALTER TABLE neuron ADD COLUMN IF NOT EXISTS by_token UINTEGER[];
ALTER TABLE agreement ADD COLUMN IF NOT EXISTS attack VARCHAR[];
ALTER TABLE agreement ADD COLUMN IF NOT EXISTS skill INTEGER[][][];
ALTER TABLE agreement ADD COLUMN IF NOT EXISTS kept INTEGER[][][];
ALTER TABLE agreement ADD COLUMN IF NOT EXISTS median DOUBLE[][];
ALTER TABLE agreement DROP COLUMN IF EXISTS chosen;
ALTER TABLE agreement DROP COLUMN IF EXISTS shared;
"""
SHARED = ("prompt", "step", "predictivity", "neuron", "evaluation", "effect", "agreement", "run")
LATER = ("effect", "agreement")  # exports of earlier versions do not have them
MEASURED = ("prompt", "predictivity", "evaluation", "effect", "agreement")
Stored = SoftPrompt | Predictivity | Evaluation | NeuronEffect | Agreement


class Store:
    """All answers known on this machine. Safe to use from several threads of one process."""

    def __init__(self, folder: Path, *, activation_megabytes: int = 512) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.prompts = folder / "prompts"
        self.prompts.mkdir(exist_ok=True)
        self._activation_bytes = activation_megabytes * 2**20
        self._lock = _own(folder / ".lock")
        self._connection = duckdb.connect(str(folder / "skillscope.duckdb"))
        self._connection.execute(SCHEMA + ADDED)
        self._local = threading.local()
        self._writing = threading.Lock()

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()
        self._lock.release()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading -------------------------------------------------------------------------------
    def frame(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """A query's rows. Values go in as parameters, never into the text."""
        return self._cursor().execute(sql, list(parameters)).df()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self._connection.cursor()
        cursor: duckdb.DuckDBPyConnection = self._local.cursor
        return cursor

    def _row(self, sql: str, *parameters: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._cursor().execute(sql, list(parameters)).fetchone()
        return row

    def known(self, keys: Iterable[str]) -> set[str]:
        """Those keys whose answer is stored."""
        wanted = list(keys)
        tables = " UNION ALL ".join(f"SELECT key FROM {t}" for t in (*MEASURED, "activation_index"))
        rows = self._cursor().execute(f"SELECT key FROM ({tables}) WHERE key IN ?", [wanted])
        return {k for (k,) in rows.fetchall()}

    def prompt(self, spec: Prompt) -> SoftPrompt | None:
        """A stored prompt."""
        name = key(spec)
        row = self._row(
            "SELECT best_step, selection_accuracy, selection_rows FROM prompt WHERE key = ?", name
        )
        if row is None:
            return None
        steps = self._cursor().execute(
            "SELECT step, loss, accuracy FROM step WHERE key = ? ORDER BY step", [name]
        )
        found = read_prompt_file(self.prompt_file(name))
        return SoftPrompt(
            spec=spec,
            vectors=found.vectors,
            words=found.words,
            best_step=row[0],
            selection_accuracy=row[1],
            selection_rows=row[2],
            history=tuple(Step(step=s, loss=x, accuracy=a) for s, x, a in steps.fetchall()),
        )

    def imported(self, backbone: Pinned, task: str) -> tuple[ImportedPrompt, ...]:
        """Stored imports for a backbone and a task, by seed."""
        rows = self._cursor().execute(
            "SELECT key, spec FROM prompt WHERE origin = 'imported' AND backbone = ?"
            " AND fingerprint = ? AND task = ? ORDER BY seed, key",
            [backbone.name, backbone.fingerprint, task],
        )
        found = [_read_spec(*row) for row in rows.fetchall()]
        return tuple(spec for spec in found if isinstance(spec, ImportedPrompt))

    def broken_prompts(self) -> dict[str, str]:
        """Prompts that cannot be asked about, because their row is broken: key -> why."""
        rows = self._cursor().execute("SELECT key, spec FROM prompt ORDER BY key").fetchall()
        return {row[0]: why for row in rows if isinstance(why := _read_spec(*row), str)}

    def has_imports(self, backbones: Sequence[str]) -> bool:
        """Whether any of these backbones has an imported prompt."""
        return (
            self._row(
                "SELECT 1 FROM prompt WHERE origin = 'imported' AND backbone IN ? LIMIT 1",
                list(backbones),
            )
            is not None
        )

    def prompt_file(self, name: str) -> Path:
        """The safetensors file of a stored prompt."""
        return self.prompts / f"{name}.safetensors"

    def prompt_spec(self, prefix: str) -> Prompt:
        """The spec of the stored prompt whose key starts so. Raises: BadInput."""
        rows = self._cursor().execute(
            "SELECT key, spec FROM prompt WHERE starts_with(key, ?) LIMIT 2", [prefix]
        )
        found = rows.fetchall()
        if len(found) != 1:
            how = "No stored prompt has a key" if not found else "Several prompts have keys"
            raise BadInput(f"{how} that starts with {prefix!r}; `status --json` lists them.")
        spec = _read_spec(*found[0])
        if isinstance(spec, str):
            raise BadInput(spec)
        return spec

    def evaluation(self, spec: EvaluationSpec) -> Evaluation | None:
        """A stored evaluation, without its scores."""
        row = self._row("SELECT rows, labels, predictions FROM evaluation WHERE key = ?", key(spec))
        if row is None:
            return None
        index, labels, predictions = (np.array(column, np.int64) for column in row)
        return Evaluation(
            spec=spec, index=index, labels=labels, predictions=predictions, scores=None
        )

    def run(self, name: str) -> Run:
        """How a stored answer came about."""
        row = self._row("SELECT started, seconds, device, versions FROM run WHERE key = ?", name)
        assert row is not None
        return Run(started=row[0], seconds=row[1], device=row[2], versions=row[3])

    def neurons(self, spec: PredictivitySpec) -> dict[str, Tensor] | None:
        """Predictivity, best token, accuracy, baseline (at that token) and mean activation over all
        prompt tokens, each as a [layer, neuron] tensor.
        """
        if self._row("SELECT 1 FROM predictivity WHERE key = ?", key(spec)) is None:
            return None
        columns = self._cursor().execute(
            "SELECT layer, predictivity, best_token, accuracy, baseline, mean FROM neuron "
            "WHERE key = ? ORDER BY layer, neuron",
            [key(spec)],
        )
        values = columns.fetchnumpy()
        layers = int(np.max(values.pop("layer"))) + 1
        return {
            name: torch.from_numpy(np.asarray(column, np.float64).reshape(layers, -1))
            for name, column in values.items()
        }

    def activations(self, spec: ActivationSpec) -> Activations | None:
        """Cached activations; reading them makes them the most recently used."""
        name = key(spec)
        if self._row("SELECT 1 FROM activation_index WHERE key = ?", name) is None:
            return None
        with self._writing:
            self._cursor().execute(
                "UPDATE activation_index SET used = (SELECT max(used) + 1 FROM activation_index)"
                " WHERE key = ?",
                [name],
            )
        rows = self._cursor().execute(
            'SELECT example, label, layer, "values" FROM activation WHERE key = ?'
            " ORDER BY example, layer",
            [name],
        )
        data = rows.fetchall()
        layers = max(r[2] for r in data) + 1
        values = np.array([r[3] for r in data], np.float32).reshape(len(data) // layers, layers, -1)
        heads = data[::layers]
        return Activations(
            index=np.array([r[0] for r in heads]),
            labels=np.array([r[1] for r in heads]),
            values=torch.from_numpy(values),
        )

    def backbones(self) -> tuple[str, ...]:
        """Names of the backbones that were added, in alphabetical order."""
        rows = self._cursor().execute("SELECT name FROM backbone ORDER BY name")
        return tuple(name for (name,) in rows.fetchall())

    # --- writing -------------------------------------------------------------------------------
    def add(self, result: Stored, run: Run) -> None:
        """Store an answer; storing it again changes nothing."""
        match result:
            case SoftPrompt():
                tables = prompt_tables(result)
                if not self.known([key(result.spec)]):
                    write_file(self.prompt_file(key(result.spec)), prompt_bytes(result))
            case Predictivity():
                tables = predictivity_tables(result)
            case Evaluation():
                tables = evaluation_tables(result)
            case NeuronEffect():
                tables = effect_tables(result)
            case Agreement():
                tables = agreement_tables(result)
        name = key(result.spec)
        tables["run"] = pd.DataFrame([{"key": name, "kind": type(result).__name__, **asdict(run)}])
        self._insert(tables)

    def add_backbone(self, name: str) -> None:
        """Remember a backbone beside the embedded ones."""
        with self._writing:
            self._cursor().execute("INSERT OR IGNORE INTO backbone VALUES (?)", [name])

    def remove_backbone(self, name: str) -> None:
        """Forget a backbone that was added; its answers stay, and are found if it comes back."""
        with self._writing:
            self._cursor().execute("DELETE FROM backbone WHERE name = ?", [name])

    def add_activations(self, spec: ActivationSpec, values: Activations) -> None:
        """Cache activations and forget the least recently used ones beyond the size limit."""
        name = key(spec)
        shape = values.values.shape
        rows = pd.DataFrame(
            {
                "key": name,
                "example": np.repeat(values.index, shape[1]),
                "label": np.repeat(values.labels, shape[1]),
                "layer": np.tile(np.arange(shape[1]), shape[0]),
                "values": list(values.values.reshape(-1, shape[2]).float().numpy()),
            }
        )
        size = values.values.numel() * 4
        with self._writing:
            cursor = self._cursor()
            cursor.begin()
            try:
                cursor.execute("DELETE FROM activation WHERE key = ?", [name])
                cursor.execute("DELETE FROM activation_index WHERE key = ?", [name])
                cursor.register("incoming", rows)
                cursor.execute("INSERT INTO activation SELECT * FROM incoming")
                cursor.execute(
                    "INSERT INTO activation_index SELECT ?, ?, coalesce(max(used), 0) + 1, ?"
                    " FROM activation_index",
                    [name, size, dumps(spec)],
                )
                self._evict(cursor)
                cursor.commit()
            except BaseException:
                cursor.rollback()
                raise
            finally:
                cursor.unregister("incoming")

    def _evict(self, cursor: duckdb.DuckDBPyConnection) -> None:
        old = cursor.execute(
            "SELECT key FROM (SELECT key, sum(bytes) OVER (ORDER BY used DESC) AS total,"
            " row_number() OVER (ORDER BY used DESC) AS place FROM activation_index)"
            " WHERE total > ? AND place > 1",
            [self._activation_bytes],
        ).fetchall()
        for (name,) in old:
            cursor.execute("DELETE FROM activation WHERE key = ?", [name])
            cursor.execute("DELETE FROM activation_index WHERE key = ?", [name])

    def _insert(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """All rows or none; rows whose key is already there are left alone."""
        with self._writing:
            cursor = self._cursor()
            cursor.begin()
            try:
                known = {t: _known(cursor, t, frame) for t, frame in tables.items()}
                for table, frame in tables.items():
                    fresh = frame[~frame["key"].isin(known[table])]
                    if len(fresh):
                        cursor.register("incoming", fresh)
                        cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
                        cursor.unregister("incoming")
                cursor.commit()
            except BaseException:
                cursor.rollback()
                raise

    # --- handing over --------------------------------------------------------------------------
    def export(self, folder: Path, keys: Sequence[str] | None = None) -> None:
        """Write answers as Parquet files and prompts, for `merge` elsewhere; all, or some keys."""
        (folder / "prompts").mkdir(parents=True, exist_ok=True)
        chosen = "" if keys is None else "WHERE key IN (SELECT key FROM chosen)"
        self._cursor().register("chosen", pd.DataFrame({"key": list(keys or ())}, dtype=str))
        for table in SHARED:
            target = str(folder / f"{table}.parquet")
            order = {"neuron": "key, layer, neuron", "step": "key, step"}.get(table, "key")
            self._cursor().execute(
                f"COPY (SELECT * FROM {table} {chosen} ORDER BY {order}) TO ?"
                " (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 19)",
                [target],
            )
        for file in self.prompts.glob("*.safetensors"):
            if keys is None or file.stem in keys:
                write_file(folder / "prompts" / file.name, file.read_bytes())

    def merge(self, folder: Path) -> int:
        """Take over the answers of an exported folder that are not known yet; how many came."""
        before = self._total()
        tables = [t for t in SHARED if (folder / f"{t}.parquet").is_file()]
        absent = [t for t in SHARED if t not in (*tables, *LATER)]
        if absent:
            raise BadInput(f"{folder} is not a folder that `export` wrote: no {absent[0]}.parquet.")
        for file in (folder / "prompts").glob("*.safetensors"):
            target = self.prompts / file.name
            if not target.exists():
                write_file(target, file.read_bytes())
        with self._writing:
            cursor = self._cursor()
            cursor.begin()
            try:
                for table in reversed(tables):
                    source = [str(folder / f"{table}.parquet")]
                    columns = _columns(cursor, f"SELECT * FROM {table}")
                    found = _columns(cursor, "SELECT * FROM read_parquet(?)", source)
                    kept = ", ".join(f'"{name}"' for name in columns if name in found)
                    cursor.execute(
                        f"INSERT INTO {table} BY NAME SELECT {kept} FROM read_parquet(?)"
                        f" WHERE key NOT IN (SELECT key FROM {table})",
                        source,
                    )
                cursor.commit()
            except duckdb.Error as error:
                cursor.rollback()
                raise BadInput(
                    f"The answers in {folder} cannot be read: {reason(error)}"
                ) from error
            except BaseException:
                cursor.rollback()
                raise
        return self._total() - before

    def merge_once(self, folder: Path) -> None:
        """`merge`, unless this very export was merged before."""
        with (folder / "run.parquet").open("rb") as file:
            stamp = hashlib.file_digest(file, "sha256").hexdigest()
        if self._row("SELECT 1 FROM merged WHERE stamp = ?", stamp) is None:
            self.merge(folder)
            with self._writing:
                self._cursor().execute("INSERT INTO merged VALUES (?)", [stamp])

    def _total(self) -> int:
        row = self._row("SELECT " + " + ".join(f"(SELECT count(*) FROM {t})" for t in MEASURED))
        assert row is not None
        return int(row[0])


def _read_spec(name: str, text: str) -> Prompt | str:
    """The spec of a prompt's row, or what is wrong with the row."""
    try:
        spec = loads(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadInput) as error:
        why = f"{type(error).__name__}: {reason(error).rstrip('.')}"
    else:
        if isinstance(spec, TuneSpec | ImportedPrompt):
            return spec
        why = "it is no prompt's"
    return f"The row of prompt {name} in the cache is broken ({why}); tune or import it anew."


def _known(cursor: duckdb.DuckDBPyConnection, table: str, frame: pd.DataFrame) -> list[str]:
    keys = list(frame["key"].unique())
    rows = cursor.execute(f"SELECT DISTINCT key FROM {table} WHERE key IN ?", [keys])
    return [k for (k,) in rows.fetchall()]


def _columns(
    cursor: duckdb.DuckDBPyConnection, query: str, values: Sequence[str] = ()
) -> list[str]:
    rows = cursor.execute(f"DESCRIBE {query}", values).fetchall()
    return [str(row[0]) for row in rows]


def _own(path: Path) -> FileLock:
    """Lock the store for this process. Raises: StoreBusy, naming the owner.

    The owner's number stands in a file of its own: a locked one cannot be read on Windows. Any
    thread may release the lock.
    """
    lock, owner = FileLock(path, timeout=0, thread_local=False), path.with_name(".owner")
    try:
        lock.acquire()
    except Timeout:
        who = owner.read_text("utf-8").strip() if owner.is_file() else ""
        raise StoreBusy(
            f"The cache in {path.parent} is in use by process {who or 'unknown'}; stop it, or set "
            "SKILLSCOPE_CACHE to another folder."
        ) from None
    owner.write_text(str(os.getpid()), "utf-8")
    return lock
