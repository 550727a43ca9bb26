"""A small hub on loopback that speaks the Hugging Face hub's HTTP protocol, for the real clients.

Repositories are folders of files; a commit is the hash of their content. Refusals, missing
revisions, broken-off transfers and Range requests are as the hub's.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pandas as pd

LARGE = 1_000_000  # bytes from which a file counts as LFS


@dataclass
class Repo:
    """One repository. `gated`: only with this token; `cut`: break a file's transfer off there."""

    folder: Path
    kind: str = "model"
    gated: str | None = None
    revisions: tuple[str, ...] = ("main",)
    cut: dict[str, int] = field(default_factory=dict)
    lies: dict[str, int] = field(default_factory=dict)

    def files(self) -> dict[str, Path]:
        """Path in the repository -> file."""
        found = (f for f in sorted(self.folder.rglob("*")) if f.is_file())
        return {f.relative_to(self.folder).as_posix(): f for f in found}

    def commit(self) -> str:
        """40 hexadecimal digits that change with the content."""
        digest = hashlib.sha1()
        for name, file in self.files().items():
            digest.update(f"{name}:{file.stat().st_size}:{file.stat().st_mtime_ns}".encode())
        return digest.hexdigest()


class Hub:
    """The server: `repos` by id, `asked` what it was asked for."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.hub = self
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """No more answers."""
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def hub() -> Iterator[Hub]:
    """A running hub."""
    running = Hub()
    try:
        yield running
    finally:
        running.close()


def etag(file: Path) -> str:
    """A large file's SHA-256, a small one's git hash."""
    data = file.read_bytes()
    if len(data) >= LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Server(ThreadingHTTPServer):
    hub: Hub


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._route(body=False)

    def do_GET(self) -> None:
        self._route(body=True)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.posted = self.rfile.read(length)
        self._route(body=True)

    def _route(self, *, body: bool) -> None:
        self.with_body = body
        url = urlsplit(self.path)
        path = url.path.strip("/")
        self.server.hub.asked.append((self.command, path, self.headers.get("Range")))
        api = re.fullmatch(r"api/(models|datasets)/([^/]+/[^/]+)(?:/(.*))?", path)
        file = re.fullmatch(r"(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if api:
            self._api(api[1][:-1], api[2], api[3] or "", parse_qs(url.query))
        elif file:
            self._file(
                "dataset" if file[1] else "model", file[2], unquote(file[3]), unquote(file[4])
            )
        else:
            self._refuse(404, "Not a path of a hub.")

    def _repo(self, kind: str, name: str, revision: str) -> Repo | None:
        repo = self.server.hub.repos.get(name)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if repo is None or repo.kind != kind:
            # The real hub does not tell a stranger whether a repository is private or absent.
            self._refuse(401 if not token else 404, "Not found.", "RepoNotFound")
        elif revision not in (*repo.revisions, repo.commit()):
            self._refuse(404, "Invalid revision.", "RevisionNotFound")
        elif repo.gated is not None and token != repo.gated:
            self._refuse(401 if not token else 403, "Access is restricted.", "GatedRepo")
        else:
            return repo
        return None

    def _api(self, kind: str, name: str, rest: str, query: dict[str, list[str]]) -> None:
        verb, _, tail = rest.partition("/")
        revision, _, inside = tail.partition("/")
        repo = self._repo(kind, name, unquote(revision) or "main")
        if repo is None:
            return
        if verb in ("", "revision"):
            self._json(self._info(repo, kind, name))
        elif verb == "tree":
            deep = "recursive" in query and query["recursive"][0].lower() in ("true", "1")
            self._json(self._tree(repo, unquote(inside), deep))
        elif verb == "paths-info":
            asked = _paths(self.posted, self.headers.get("Content-Type") or "")
            self._json([e for e in self._tree(repo, "", True) if e["path"] in asked])
        else:
            self._refuse(404, f"No {verb} here.")

    def _info(self, repo: Repo, kind: str, name: str) -> dict[str, object]:
        files = [{"rfilename": n, "size": f.stat().st_size} for n, f in repo.files().items()]
        return {
            "_id": "0", "id": name, "modelId": name, "sha": repo.commit(), "private": False,
            "gated": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0,
            "siblings": files, "lastModified": "2024-01-01T00:00:00.000Z",
            "createdAt": "2024-01-01T00:00:00.000Z",
        }  # fmt: skip

    def _tree(self, repo: Repo, inside: str, deep: bool) -> list[dict[str, object]]:
        entries: dict[str, dict[str, object]] = {}
        for name, file in repo.files().items():
            if inside and not name.startswith(inside.rstrip("/") + "/"):
                continue
            own = name[len(inside) + 1 :] if inside else name
            if "/" in own:
                first = own.split("/")[0]
                folder = f"{inside}/{first}" if inside else first
                entries[folder] = {"type": "directory", "path": folder, "size": 0, "oid": "0"}
                if not deep:
                    continue
            size = repo.lies.get(name, file.stat().st_size)
            entry: dict[str, object] = {
                "type": "file", "path": name, "size": size, "oid": etag(file)
            }  # fmt: skip
            if size >= LARGE:
                entry["lfs"] = {"oid": etag(file), "size": size, "pointerSize": 134}
            entries[name] = entry
        return list(entries.values())

    def _file(self, kind: str, name: str, revision: str, path: str) -> None:
        repo = self._repo(kind, name, revision)
        if repo is None:
            return
        file = repo.files().get(path)
        if file is None:
            self._refuse(404, "Entry not found.", "EntryNotFound", repo)
            return
        size = file.stat().st_size
        start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        self.send_response(206 if self.headers.get("Range") else 200)
        self.send_header("X-Repo-Commit", repo.commit())
        self.send_header("ETag", f'"{etag(file)}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(repo.lies.get(path, size) - start))
        if self.headers.get("Range"):
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        if not self.with_body:
            return
        stop = repo.cut.pop(path, None)
        with file.open("rb") as data:
            data.seek(start)
            left = size - start if stop is None else max(0, stop - start)
            while left > 0 and (piece := data.read(min(left, 1 << 20))):
                self.wfile.write(piece)
                left -= len(piece)
        if stop is not None or path in repo.lies:
            self.close_connection = True

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, text: str, code: str = "", repo: Repo | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": text} if code else {}
        if repo is not None:
            headers["X-Repo-Commit"] = repo.commit()
        self._send(status, json.dumps({"error": text}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.with_body:
            self.wfile.write(body)


def _paths(posted: bytes, kind: str) -> set[str]:
    if "json" in kind:
        return set(json.loads(posted).get("paths", []))
    return set(parse_qs(posted.decode()).get("paths", []))


def glue(folder: Path, texts: Sequence[str], held: int) -> Path:
    """GLUE's repository with SST-2 alone: `texts` as train rows, the first `held` held out."""
    (folder / "sst2").mkdir(parents=True)
    for split, rows in (("train", texts), ("validation", texts[:held])):
        labels = [i % 2 for i in range(len(rows))]
        table = pd.DataFrame({"sentence": list(rows), "label": labels})
        table.to_parquet(folder / "sst2" / f"{split}-00000-of-00001.parquet")
    hidden = pd.DataFrame({"sentence": ["hidden"], "label": [-1]})
    hidden.to_parquet(folder / "sst2" / "test-00000-of-00001.parquet")
    files = "".join(
        f"  - split: {s}\n    path: sst2/{s}-*\n" for s in ("train", "validation", "test")
    )
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: sst2\n  data_files:\n{files}---\n# GLUE\n"
    )
    return folder
