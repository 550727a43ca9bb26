"""DuckDB holds the index and the numbers, safetensors files the big tensors.

One process owns the database file (a lock beside it says which), with one long-lived connection and
a cursor per thread. A row is written after the file it speaks of, so a row means that the file was
whole; if the file is deleted, the row no longer counts. Keys are content hashes: merging two stores
is a set union. What is kept of a measurement is said by its `Measure`; nothing here knows a
measurement by name.
"""

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from filelock import FileLock, Timeout

from core.base.errors import BadInput, StoreBusy, reason
from core.base.measure import Artifact, Measure, Run, Table
from core.base.specs import Spec, dumps, key, loads
from core.store.files import artifact_bytes, read_artifact, write_file

SCHEMA = 2  # raised when tables change in another way than by a column more
FIXED = """
CREATE TABLE IF NOT EXISTS backbone (name VARCHAR PRIMARY KEY);
CREATE TABLE IF NOT EXISTS merged (stamp VARCHAR PRIMARY KEY);
CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS run (
  key VARCHAR PRIMARY KEY, kind VARCHAR, started VARCHAR, seconds DOUBLE, device VARCHAR,
  versions VARCHAR);
"""
RUN = Table(name="run", columns="")
Cursor = duckdb.DuckDBPyConnection
LOG_MEGABYTES = 256
"""So much is written ahead before DuckDB tidies its file up, which takes a second. With each answer
it writes the lists of up to 2,048 earlier rows again, some megabytes; at its usual 16, it would
tidy up every four answers.
"""


@contextmanager
def _transaction(cursor: Cursor) -> Any:
    cursor.begin()
    try:
        yield
        cursor.commit()
    except BaseException:
        cursor.rollback()
        raise


class Store:
    """All answers known on this machine. Safe to use from several threads of one process.

    `upgrade(cursor, folder, version)` brings the tables `old_*` of an earlier schema into the new
    ones, inside a transaction, and gives the files to delete after it; see `core/lab/migration.py`.
    """

    def __init__(
        self,
        folder: Path,
        measures: Mapping[type[Spec], Measure],
        *,
        activation_megabytes: int = 512,
        upgrade: Callable[[Cursor, Path, int], tuple[Path, ...]] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.measures, self._upgrade = folder, measures, upgrade
        self._room = activation_megabytes * 2**20
        self._local = threading.local()
        self._writing = threading.RLock()
        self._lock = _own(folder / ".lock")
        try:
            self._connection = duckdb.connect(str(folder / "skillscope.duckdb"))
            self._connection.execute(f"SET checkpoint_threshold = '{LOG_MEGABYTES}MB'")
            self._prepare()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()
        self._lock.release()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- tables --------------------------------------------------------------------------------
    @property
    def main_tables(self) -> tuple[str, ...]:
        """One row an answer each, by the measurements' names."""
        return tuple(dict.fromkeys(m.table for m in self.measures.values()))

    def shared_tables(self) -> dict[str, Table]:
        """The tables that are exported."""
        kept = (t for m in self.measures.values() if not m.bounded for t in m.tables)
        return {t.name: t for t in (*kept, RUN)}

    def artifact_kinds(self) -> tuple[str, ...]:
        """Names of the folders of artifacts."""
        return tuple(dict.fromkeys(k for m in self.measures.values() for k in m.artifacts))

    def _prepare(self) -> None:
        """Make the tables; bring those of an earlier schema up to date. Raises: BadInput."""
        version = self._version()
        if version > SCHEMA:
            self._connection.close()
            raise BadInput(
                f"The cache in {self.folder} was written by a newer Skillscope (schema {version}; "
                f"this one knows {SCHEMA}): update, or set SKILLSCOPE_CACHE to another folder."
            )
        cursor, needless = self._cursor(), tuple[Path, ...]()
        with _transaction(cursor):
            if 0 < version < SCHEMA:
                needless = self._upgrade_from(version, cursor)
            else:
                self._create(cursor)
            cursor.execute("DELETE FROM schema_version")
            cursor.execute("INSERT INTO schema_version VALUES (?)", [SCHEMA])
        for file in needless:
            with suppress(OSError):
                file.unlink()

    def _version(self) -> int:
        """0 of an empty database; 1 of one from before versions were written."""
        tables = {name for (name,) in self._cursor().execute("SHOW TABLES").fetchall()}
        if "schema_version" in tables:
            row = self._row("SELECT max(version) FROM schema_version")
            return int(row[0]) if row and row[0] is not None else SCHEMA
        return 1 if "prompt" in tables else 0

    def _create(self, cursor: Cursor) -> None:
        cursor.execute(FIXED)
        for measure in self.measures.values():
            for table in measure.tables:
                main = table.name == measure.table
                head, tail = ("key VARCHAR PRIMARY KEY", ", spec VARCHAR") if main else (
                    "key VARCHAR", ""
                )  # fmt: skip
                cursor.execute(
                    f"CREATE TABLE IF NOT EXISTS {table.name} ({head}, {table.columns}{tail})"
                )
                there = _columns(cursor, f"SELECT * FROM {table.name}")
                for column in table.columns.split(", "):
                    if column.split()[0].strip('"') not in there:
                        cursor.execute(f"ALTER TABLE {table.name} ADD COLUMN {column}")

    def _upgrade_from(self, version: int, cursor: Cursor) -> tuple[Path, ...]:
        if self._upgrade is None:
            raise BadInput(f"The cache in {self.folder} is of an earlier schema ({version}).")
        for (name,) in cursor.execute("SHOW TABLES").fetchall():
            cursor.execute(f'ALTER TABLE "{name}" RENAME TO "old_{name}"')
        self._create(cursor)
        needless = self._upgrade(cursor, self.folder, version)
        for (name,) in cursor.execute("SHOW TABLES").fetchall():
            if name.startswith("old_"):
                cursor.execute(f'DROP TABLE "{name}"')
        return needless

    # --- reading -------------------------------------------------------------------------------
    def frame(
        self, sql: str, parameters: Sequence[Any] = (), **tables: pd.DataFrame
    ) -> pd.DataFrame:
        """A query's rows. Values go in as parameters, never into the text; `tables` can be named in
        it.
        """
        cursor = self._cursor()
        for name, table in tables.items():
            cursor.register(name, table)
        try:
            return cursor.execute(sql, list(parameters)).df()
        finally:
            for name in tables:
                cursor.unregister(name)

    def _cursor(self) -> Cursor:
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self._connection.cursor()
        cursor: Cursor = self._local.cursor
        return cursor

    def _row(self, sql: str, *parameters: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._cursor().execute(sql, list(parameters)).fetchone()
        return row

    def known(self, keys: Iterable[str]) -> set[str]:
        """Those keys whose answer is stored; a row whose file is gone is no answer."""
        wanted = list(keys)
        tables = " UNION ALL ".join(f"SELECT key, '{t}' AS kind FROM {t}" for t in self.main_tables)
        rows = self._cursor().execute(f"SELECT key, kind FROM ({tables}) WHERE key IN ?", [wanted])
        return {name for name, table in rows.fetchall() if self._has_files(table, name)}

    def lost(self, table: str) -> tuple[str, ...]:
        """Keys of the rows of a main table whose file is gone."""
        rows = self._cursor().execute(f"SELECT key FROM {table} ORDER BY key").fetchall()
        return tuple(name for (name,) in rows if not self._has_files(table, name))

    def _has_files(self, table: str, name: str) -> bool:
        """Whether the files that belong to a row of a main table are there."""
        kinds = {k for m in self.measures.values() if m.table == table for k in m.artifacts}
        return all(self.file(kind, name).is_file() for kind in kinds)

    def _there(self, measure: Measure, name: str) -> bool:
        """Whether an answer is stored, with its files."""
        row = self._row(f"SELECT 1 FROM {measure.table} WHERE key = ?", name)
        return row is not None and self._has_files(measure.table, name)

    def read(self, spec: Spec) -> Any:
        """What is kept of an answer; None if it is not stored. Reading makes a bounded answer the
        most recently used.
        """
        measure, name = self.measures[type(spec)], key(spec)
        if not measure.bounded:
            return measure.read(spec, _Answer(self, name)) if self._there(measure, name) else None
        with self._writing:  # nothing is forgotten between the look and the reading
            if not self._there(measure, name):
                return None
            self._cursor().execute(
                f"UPDATE {measure.table} SET used = (SELECT max(used) + 1 FROM {measure.table})"
                " WHERE key = ?",
                [name],
            )
            return measure.read(spec, _Answer(self, name))

    def specs(self, table: str, where: str = "true", values: Sequence[Any] = ()) -> tuple[Any, ...]:
        """Questions of stored answers, in the order of seed and key; what cannot be read is left
        out (`unreadable` names it).
        """
        rows = [self._question(table, text) for _, text in self._spec_rows(table, where, values)]
        return tuple(spec for spec in rows if isinstance(spec, Spec))

    def unreadable(self, table: str) -> dict[str, str]:
        """Key -> what is wrong with the question of that row, for those that cannot be read."""
        found = self._spec_rows(table, "true", ())
        rows = {name: self._question(table, text) for name, text in found}
        return {name: why for name, why in rows.items() if isinstance(why, str)}

    def _question(self, table: str, text: str) -> Spec | str:
        """The question that a row of a main table holds, or what is wrong with it."""
        try:
            spec = loads(text)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadInput) as error:
            return f"{type(error).__name__}: {reason(error).rstrip('.')}"
        measure = self.measures.get(type(spec))
        return spec if measure is not None and measure.table == table else f"it is no {table}'s"

    def _spec_rows(self, table: str, where: str, values: Sequence[Any]) -> list[tuple[str, str]]:
        main = next(t for m in self.measures.values() for t in m.tables if t.name == table)
        order = "seed, key" if "seed INTEGER" in main.columns else "key"
        rows: list[tuple[str, str]] = (
            self._cursor()
            .execute(f"SELECT key, spec FROM {table} WHERE {where} ORDER BY {order}", list(values))
            .fetchall()
        )
        return rows

    def file(self, kind: str, name: str) -> Path:
        """The safetensors file of an artifact."""
        return self.folder / kind / f"{name}.safetensors"

    def run(self, name: str) -> Run:
        """How a stored answer came about."""
        row = self._row("SELECT started, seconds, device, versions FROM run WHERE key = ?", name)
        assert row is not None
        return Run(started=row[0], seconds=row[1], device=row[2], versions=row[3])

    def counts(self) -> dict[str, int]:
        """How many answers of each kind are stored, by main table."""
        rows = [self._row(f"SELECT count(*) FROM {t}") for t in self.main_tables]
        return {t: int(row[0]) for t, row in zip(self.main_tables, rows, strict=True) if row}

    def usual_seconds(self, table: str, backbone: str) -> float | None:
        """How long an answer of this main table took, in the median, for a backbone; None if there
        is none yet.
        """
        if "backbone" not in self._names_of(table):
            return None
        row = self._row(
            f"SELECT median(r.seconds) FROM run r JOIN {table} USING (key) WHERE backbone = ?",
            backbone,
        )
        return None if row is None or row[0] is None else float(row[0])

    def backbones(self) -> tuple[str, ...]:
        """Names of the backbones that were added, in alphabetical order."""
        rows = self._cursor().execute("SELECT name FROM backbone ORDER BY name")
        return tuple(name for (name,) in rows.fetchall())

    # --- writing -------------------------------------------------------------------------------
    def add(self, result: Any, run: Run) -> None:
        """Store an answer, whose question is `result.spec`; storing it again changes nothing, but a
        row whose file is gone is replaced.
        """
        spec = result.spec
        measure, name = self.measures[type(spec)], key(spec)
        with self._writing:
            new = not self._there(measure, name)
            if new and measure.artifacts:
                self._drop(measure, [name])
        for kind, artifact in measure.files(result).items():
            if new:
                write_file(self.file(kind, name), artifact_bytes(artifact))
        tables = {t: frame.assign(key=name) for t, frame in measure.rows(result).items()}
        tables[measure.table]["spec"] = dumps(spec)
        tables["run"] = pd.DataFrame([{"key": name, "kind": measure.table, **asdict(run)}])
        with self._writing:
            if measure.bounded:
                row = self._row(f"SELECT coalesce(max(used), 0) + 1 FROM {measure.table}")
                assert row is not None
                tables[measure.table]["used"] = int(row[0])
            self._insert(tables)
            if measure.bounded:
                self._forget(measure)

    def add_backbone(self, name: str) -> None:
        """Remember a backbone beside the embedded ones."""
        with self._writing:
            self._cursor().execute("INSERT OR IGNORE INTO backbone VALUES (?)", [name])

    def remove_backbone(self, name: str) -> None:
        """Forget a backbone that was added; its answers stay, and are found if it comes back."""
        with self._writing:
            self._cursor().execute("DELETE FROM backbone WHERE name = ?", [name])

    def _forget(self, measure: Measure) -> None:
        """Drop the least recently used answers beyond the size limit; the newest stays."""
        cursor = self._cursor()
        old = cursor.execute(
            "SELECT key FROM (SELECT key, sum(bytes) OVER (ORDER BY used DESC) AS total,"
            f" row_number() OVER (ORDER BY used DESC) AS place FROM {measure.table})"
            " WHERE total > ? AND place > 1",
            [self._room],
        ).fetchall()
        self._drop(measure, [name for (name,) in old])

    def _drop(self, measure: Measure, names: Sequence[str]) -> None:
        """Delete the rows of these answers."""
        cursor = self._cursor()
        with _transaction(cursor):
            for table in (*measure.tables, RUN) if names else ():
                cursor.execute(f"DELETE FROM {table.name} WHERE key IN ?", [list(names)])

    def resting_on(self, **values: str) -> tuple[str, ...]:
        """Keys of the answers in whose main table one of these columns has this value, e.g.
        `source_task="mine", target_task="mine"`.
        """
        found = set[str]()
        for table in self.main_tables:
            there = {c: v for c, v in values.items() if c in self._names_of(table)}
            if there:
                where = " OR ".join(f"{column} = ?" for column in there)
                rows = self._cursor().execute(
                    f"SELECT key FROM {table} WHERE {where}", list(there.values())
                )
                found |= {name for (name,) in rows.fetchall()}
        return tuple(sorted(found))

    def _names_of(self, table: str) -> list[str]:
        """The columns of a table."""
        return _columns(self._cursor(), f"SELECT * FROM {table} LIMIT 0")

    def remove(self, keys: Iterable[str]) -> int:
        """Delete these answers, with their files; how many there were."""
        wanted, gone = sorted(set(keys)), 0
        with self._writing:
            for measure in self.measures.values():
                rows = self._cursor().execute(
                    f"SELECT key FROM {measure.table} WHERE key IN ?", [wanted]
                )
                names = [name for (name,) in rows.fetchall()]
                self._drop(measure, names)
                gone += len(names)
                for kind in measure.artifacts:
                    for name in names:
                        self.file(kind, name).unlink(missing_ok=True)
        return gone

    def _insert(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """All rows or none; rows whose key is already there are left alone."""
        cursor = self._cursor()
        with _transaction(cursor):
            known = {t: _known(cursor, t, frame) for t, frame in tables.items()}
            for table, frame in tables.items():
                fresh = frame[~frame["key"].isin(known[table])]
                if len(fresh):
                    cursor.register("incoming", fresh)
                    cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
                    cursor.unregister("incoming")

    # --- handing over --------------------------------------------------------------------------
    def export(self, folder: Path, keys: Sequence[str] | None = None) -> tuple[str, ...]:
        """Write answers as Parquet files and artifacts, for `merge` elsewhere; all, or some keys.
        Answers that are kept only while there is room stay here. Those whose file is gone are left
        out; their keys are returned.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lost = tuple(dict.fromkeys(name for t in self.main_tables for name in self.lost(t)))
        chosen = "WHERE key NOT IN (SELECT key FROM lost)" + (
            "" if keys is None else " AND key IN (SELECT key FROM chosen)"
        )
        cursor, asked = self._cursor(), pd.DataFrame({"key": list(keys or ())}, dtype=str)
        cursor.register("chosen", asked)
        cursor.register("lost", pd.DataFrame({"key": list(lost)}, dtype=str))
        kept = " UNION ALL ".join(
            f"SELECT key FROM {m.table}" for m in self.measures.values() if not m.bounded
        )
        for name, table in self.shared_tables().items():
            where = chosen if name != "run" else f"{chosen} AND key IN ({kept})"
            cursor.execute(
                f"COPY (SELECT * FROM {name} {where} ORDER BY {table.order}) TO ?"
                " (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 19)",
                [str(folder / f"{name}.parquet")],
            )
        cursor.unregister("chosen")
        cursor.unregister("lost")
        for kind in self.artifact_kinds():
            (folder / kind).mkdir(exist_ok=True)
            files = {file.stem: file for file in (self.folder / kind).glob("*.safetensors")}
            for name in sorted(self.known(files) if keys is None else set(keys) & set(files)):
                write_file(folder / kind / files[name].name, files[name].read_bytes())
        write_file(folder / "schema.json", json.dumps({"schema": SCHEMA}).encode() + b"\n")
        return lost if keys is None else tuple(name for name in lost if name in set(keys))

    def merge(self, folder: Path) -> int:
        """Take over the answers of an exported folder that are not known yet; how many came.

        Raises: BadInput for a folder that is none, or of a newer Skillscope.
        """
        version = exported_schema(folder)
        if version > SCHEMA:
            raise BadInput(
                f"{folder} was exported by a newer Skillscope (schema {version}; this one knows "
                f"{SCHEMA}): update first."
            )
        if version < SCHEMA:
            return self._merge_old(folder)
        before = sum(self.counts().values())
        for kind in self.artifact_kinds():
            for file in (folder / kind).glob("*.safetensors"):
                target = self.file(kind, file.stem)
                if not target.exists():
                    write_file(target, file.read_bytes())
        with self._writing:
            cursor = self._cursor()
            try:
                with _transaction(cursor):
                    for table in reversed(self.shared_tables()):
                        if (folder / f"{table}.parquet").is_file():
                            _take_over(cursor, table, folder / f"{table}.parquet")
            except duckdb.Error as error:
                raise BadInput(
                    f"The answers in {folder} cannot be read: {reason(error)}"
                ) from error
        return sum(self.counts().values()) - before

    def _merge_old(self, folder: Path) -> int:
        """An export of an earlier schema, brought up to date in a store of its own."""
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            database = duckdb.connect(str(work / "skillscope.duckdb"))
            try:
                for file in sorted(folder.glob("*.parquet")):
                    database.execute(
                        f'CREATE TABLE "{file.stem}" AS SELECT * FROM read_parquet(?)', [str(file)]
                    )
            except duckdb.Error as error:
                raise BadInput(
                    f"The answers in {folder} cannot be read: {reason(error)}"
                ) from error
            finally:
                database.close()
            for file in (folder / "prompts").glob("*.safetensors"):
                write_file(work / "prompts" / file.name, file.read_bytes())
            with Store(work, self.measures, upgrade=self._upgrade) as other:
                other.export(work / "export")
            return self.merge(work / "export")

    def exported_keys(self, folder: Path) -> set[str]:
        """The keys of an exported folder's answers; none if it is no such folder."""
        file = folder / "run.parquet"
        if not file.is_file():
            return set()
        rows = self._cursor().execute("SELECT key FROM read_parquet(?)", [str(file)]).fetchall()
        return {name for (name,) in rows}

    def merge_once(self, folder: Path) -> None:
        """`merge`, unless this very export was merged before."""
        with (folder / "run.parquet").open("rb") as file:
            stamp = hashlib.file_digest(file, "sha256").hexdigest()
        if self._row("SELECT 1 FROM merged WHERE stamp = ?", stamp) is None:
            self.merge(folder)
            with self._writing:
                self._cursor().execute("INSERT INTO merged VALUES (?)", [stamp])
                with suppress(duckdb.TransactionException):  # tidied up later, then
                    self._cursor().execute("CHECKPOINT")


class _Answer:
    """What the store holds of one answer (`core.base.measure.Stored`)."""

    def __init__(self, store: Store, name: str) -> None:
        self.key, self._store = name, store

    def rows(self, table: str, columns: str = "*", order: str = "key") -> pd.DataFrame:
        """Its rows of a table."""
        sql = f"SELECT {columns} FROM {table} WHERE key = ? ORDER BY {order}"
        return self._store.frame(sql, [self.key])

    def file(self, kind: str) -> Artifact:
        """Its artifact of a kind. Raises: BadInput if it is gone."""
        return read_artifact(self._store.file(kind, self.key))


def exported_schema(folder: Path) -> int:
    """The schema of an exported folder. Raises: BadInput if it is none."""
    if not (folder / "run.parquet").is_file():
        raise BadInput(f"{folder} is not a folder that `export` wrote: no run.parquet.")
    file = folder / "schema.json"
    if not file.is_file():
        return 1
    try:
        return int(json.loads(file.read_text("utf-8"))["schema"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{file} does not say which schema it is: {reason(error)}.") from error


def _take_over(cursor: Cursor, table: str, file: Path) -> None:
    """Rows of an exported table whose key is not here; columns that either side lacks are empty."""
    source = [str(file)]
    columns = _columns(cursor, f"SELECT * FROM {table}")
    found = _columns(cursor, "SELECT * FROM read_parquet(?)", source)
    kept = ", ".join(f'"{name}"' for name in columns if name in found)
    cursor.execute(
        f"INSERT INTO {table} BY NAME SELECT {kept} FROM read_parquet(?)"
        f" WHERE key NOT IN (SELECT key FROM {table})",
        source,
    )


def _known(cursor: Cursor, table: str, frame: pd.DataFrame) -> list[str]:
    keys = list(frame["key"].unique())
    rows = cursor.execute(f"SELECT DISTINCT key FROM {table} WHERE key IN ?", [keys])
    return [k for (k,) in rows.fetchall()]


def _columns(cursor: Cursor, query: str, values: Sequence[str] = ()) -> list[str]:
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
