"""A page session with RoBERTa-base: random weights of the true configuration, from a hub on
loopback. Takes a minute or two; with T5-base as well where there is time.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.backbones.hub import hub as running
from tests.commands.base_size import REPOS, fill
from tests.conftest import THOROUGH
from tests.e2e.conftest import serving
from tests.e2e.test_browser import CHART, arrives, compute, no_error, open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
FAMILIES = tuple(REPOS) if THOROUGH else ("roberta",)


@pytest.fixture(scope="module")
def base_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard whose hub has backbones at their real size."""
    with running() as hub:
        fill(hub, tmp_path_factory.mktemp("repos"), FAMILIES)
        with serving(tmp_path_factory.mktemp("cache"), hub) as address:
            yield address


def test_a_page_session_at_base_size(page: Page, base_app: str) -> None:
    for family in FAMILIES:
        session(page, base_app, family)


def session(page: Page, base_app: str, family: str) -> None:
    """Add a backbone, have a task downloaded (once), and tune a prompt."""
    repo = REPOS[family]
    open_page(page, base_app, "library")
    page.get_by_role("textbox", name="Add a backbone").fill(repo)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    there = page.get_by_text("The backbone is ready; the other pages offer it.")
    arrives(page, there)
    open_page(page, base_app, "library?section=tasks&from=papers")
    page.get_by_role("combobox", name="Task").click()
    page.get_by_role("option", name="SST-2", exact=True).click()
    fetch = page.get_by_role("button", name="Download SST-2")
    if family == "roberta":
        fetch.click()
    expect(fetch).to_have_count(0)
    view = f"tuning?backbone={repo}&from=papers&task=SST-2&steps_paper=1&length_paper=8"
    open_page(page, base_app, view + "&batch_paper=4")
    compute(page, "tuning")
    tuned = page.get_by_text(re.compile(r"on \d+ selection rows"))
    arrives(page, tuned)
    expect(page.locator(CHART)).to_have_count(2)
    no_error(page)
