"""The real app on the embedded default, and a real Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from core.backbones.fresh import save_backbone
from core.base.settings import ROOT
from tests.backbones.hub import Hub, Repo, glue
from tests.backbones.hub import hub as running
from tests.conftest import TINY, corpus

PATIENCE = 120_000  # milliseconds that a page may take, with other tests on the same two cores
JOB = 900_000  # milliseconds that a job may take: its end is waited for, its speed not judged
expect.set_options(timeout=PATIENCE)
SIZE: ViewportSize = {"width": 1280, "height": 900}
LOGS: list[Path] = []  # of this process's servers
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with small models and a small SST-2 under their real ids."""
    folder = tmp_path_factory.mktemp("hub")
    save_backbone(TINY["roberta"](), folder / "roberta")
    save_backbone(TINY["t5"](), folder / "t5")
    with running() as one:
        one.repos["FacebookAI/roberta-base"] = Repo(folder / "roberta")
        one.repos["google-t5/t5-base"] = Repo(folder / "t5")
        one.repos["nyu-mll/glue"] = Repo(glue(folder / "glue", corpus(), 40), kind="dataset")
        yield one


@pytest.fixture(scope="session")
def app(opened: Path, tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[str]:
    """The address of a running dashboard."""
    cache = shutil.copytree(opened, tmp_path_factory.mktemp("app") / "cache")
    with serving(cache, hub) as address:
        yield address


@contextmanager
def serving(cache: Path, hub: Hub) -> Iterator[str]:
    """The real program on a cache and a hub on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (cache / "server.log").open("w")
    LOGS.append(cache / "server.log")
    server = subprocess.Popen(
        [sys.executable, "app.py", "--server.port", str(port)],
        cwd=ROOT,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("SKILLSCOPE_")},
            "SKILLSCOPE_CACHE": str(cache),
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(cache / "home"),
        },
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://localhost:{port}"
    try:
        _wait(address, server, cache / "server.log")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        finally:
            server.kill()


def _wait(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"The dashboard did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, "no Chromium: run `make browser`, which installs it"
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def context(browser: Browser) -> BrowserContext:
    """One profile: the dashboard's scripts are read and compiled once."""
    return browser.new_context(viewport=SIZE, accept_downloads=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport]:
    """What the page showed and the server said when a test failed: another machine's failure may
    not come again.
    """
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.failed and report.when == "call" and isinstance(page, Page):
        with suppress(PlaywrightError):
            report.sections.append(("The page's text", page.inner_text("body", timeout=5_000)))
        for log in LOGS:
            report.sections.append(("The server's log", log.read_text(errors="replace")[-8_000:]))
    return report


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()
    context.clear_cookies()
