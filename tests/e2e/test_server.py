"""Who may speak to the dashboard: a handshake of a websocket over a real socket on loopback."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from core.base.settings import ROOT


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A page of nothing, served with the project's own settings."""
    page = tmp_path_factory.mktemp("server") / "page.py"
    page.write_text("import streamlit as st\nst.title('Nothing')\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", str(page), "--server.port", str(number)]
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(server, number)
        yield number
    finally:
        server.terminate()
        server.wait(20)


def _wait(server: "subprocess.Popen[bytes]", number: int) -> None:
    for _ in range(240):
        assert server.poll() is None
        try:
            with urllib.request.urlopen(f"http://localhost:{number}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError("The server did not start.")


def answer(port: int, path: str, **headers: str) -> int:
    """The status of a websocket's handshake; 101 opens it."""
    lines = [
        f"GET {path} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]  # fmt: skip
    with socket.create_connection(("localhost", port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.recv(1000).split()[1])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_a_page_on_this_machine_opens_the_websocket(port: int, host: str) -> None:
    here = f"{host}:{port}"
    assert answer(port, "/_stcore/stream", Host=here, Origin=f"http://{here}") == 101


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "@localhost"]
)
def test_a_foreign_name_that_leads_here_opens_nothing(port: int, host: str) -> None:
    """DNS rebinding: the foreign page and the foreign name are of one origin."""
    there = f"{host}:{port}"
    assert answer(port, "/_stcore/stream", Host=there, Origin=f"http://{there}") == 403
    assert answer(port, "/_stcore/stream", Host=there) == 403


def test_a_foreign_page_opens_nothing(port: int) -> None:
    here = f"localhost:{port}"
    assert answer(port, "/_stcore/stream", Host=here, Origin="http://evil.example") == 403
