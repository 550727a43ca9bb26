"""What a page looks like while its state changes: nothing twice, nothing lost, little before it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import JOB
from tests.e2e.test_browser import CHART, no_error, open_page

pytestmark = pytest.mark.browser

# The most often that each heading, and each chart's card, was on the page in any one frame.
WATCH = """
window.most = {}; window.frames_seen = 0;
const watch = () => {
  const now = {};
  for (const e of document.querySelectorAll('[data-testid=stMain] :is(h1, h2, h3)')) {
    if (e.getClientRects().length) now[e.innerText] = (now[e.innerText] || 0) + 1;
  }
  const charts = '[data-testid=stMain] [data-testid=stVegaLiteChart]';
  now.charts = document.querySelectorAll(charts).length;
  for (const name in now) window.most[name] = Math.max(window.most[name] || 0, now[name]);
  window.frames_seen += 1;
  requestAnimationFrame(watch);
};
requestAnimationFrame(watch);
"""


def most(page: Page) -> dict[str, int]:
    """How often each heading was seen at once, at most."""
    assert page.evaluate("window.frames_seen") > 50
    found: dict[str, int] = page.evaluate("window.most")
    return found


def ended(page: Page, view: str) -> None:
    """The job of a section has been seen, and has ended."""
    expect(page.locator(f".st-key-{view}-cancel")).to_have_count(0, timeout=JOB)
    page.wait_for_timeout(1_500)  # a page draws itself once more when its job has ended
    no_error(page)


@pytest.mark.parametrize(
    ("view", "address", "charts"),
    [
        ("neuron", "neuron?backbone=t5-mini&task=Opinions&layer=1&neuron=33&seed=1", 7),
        ("suppression", "suppression?task=Excuses&limit=64&backbone=t5-mini&draws=1", 1),
    ],
)
def test_nothing_is_shown_twice_when_a_job_ends(
    page: Page, app: str, view: str, address: str, charts: int
) -> None:
    page.add_init_script(WATCH)
    open_page(page, app, address)
    expect(page.locator(f".st-key-{view}-cancel")).to_have_count(1)
    ended(page, view)
    expect(page.locator(CHART)).to_have_count(charts)
    seen = most(page)
    assert seen.pop("charts") == charts
    assert set(seen.values()) == {1}, seen


def test_a_cancelled_run_keeps_its_figure_in_its_card(page: Page, app: str) -> None:
    page.add_init_script(WATCH)
    open_page(page, app, "tuning?steps=4000&seed=9&task=Opinions")
    page.locator(".st-key-tuning-start").get_by_role("button", name="Compute").click()
    card = page.locator(".st-key-figure-tuning")
    expect(card.locator(CHART)).to_have_count(2)
    page.locator(".st-key-tuning-cancel").get_by_role("button").click()
    expect(page.get_by_text("Cancelled. What was computed is kept.")).to_be_visible()
    ended(page, "tuning")
    expect(card.locator(CHART)).to_have_count(2)
    seen = most(page)
    assert seen["Opinions, roberta-mini"] == 1
    assert seen["charts"] == 2


def test_the_last_figure_stays_while_a_control_asks_for_another_one(page: Page, app: str) -> None:
    open_page(page, app, "predictivity?backbone=roberta-mini")
    figure = page.locator(".st-key-figure-predictivity")
    stale = page.locator(".st-key-stale-predictivity")
    expect(figure.locator(f"{CHART}:visible")).to_have_count(1)
    no_error(page)
    page.get_by_role("slider", name="Label permutations").press("ArrowRight")
    expect(page.get_by_text("from the previous settings")).to_be_visible()
    expect(page.get_by_text(re.compile("It takes about"))).to_be_visible()
    expect(stale.locator(f"{CHART}:visible")).to_have_count(1)
    expect(figure.locator(CHART)).to_have_count(0)
    assert float(stale.evaluate("e => getComputedStyle(e).opacity")) < 0.5
    expect(stale.get_by_test_id("stPopoverButton")).to_have_count(0)
    page.get_by_role("slider", name="Label permutations").press("ArrowLeft")
    expect(stale).to_have_count(0)
    expect(figure.locator(f"{CHART}:visible")).to_have_count(1)


def test_controls_are_folded_on_a_phone_and_unfold(page: Page, app: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, app, "correlation")
    settings = page.locator(".st-key-settings")
    expect(page.get_by_role("switch", name="Settings")).to_be_visible()
    expect(settings).to_be_hidden()
    page.get_by_text("Settings", exact=True).click()
    expect(settings).to_be_visible()
    no_error(page)
    page.set_viewport_size({"width": 1280, "height": 844})
    expect(page.get_by_role("switch", name="Settings")).to_be_hidden()
    expect(settings).to_be_visible()


def test_a_picked_example_is_in_the_address_and_goes_along(page: Page, app: str) -> None:
    open_page(page, app, "flips?example=short_reviews:40")
    expect(page.get_by_role("heading", name="Example 40", exact=True)).to_be_visible()
    no_error(page)
    clean = page.get_by_text(re.compile("^Clean: ")).inner_text().removeprefix("Clean: ")
    page.get_by_test_id("stTopNavSection").filter(has_text="Explore").click()
    named = page.get_by_text("Playground", exact=True)
    page.get_by_test_id("stTopNavDropdownLink").filter(has=named).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Playground")
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_have_value(clean)
    no_error(page)
