"""A person's way through the dashboard, in a real Chromium, on the embedded default."""

import csv
import io
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, TimeoutError, expect

from core.base.settings import PLAIN
from tests.charts.test_charts import contrast
from tests.e2e.conftest import JOB

pytestmark = pytest.mark.browser

CHART = '[data-testid="stVegaLiteChart"]'
PHONE, HEIGHT = 390, 844  # pixels of a phone's screen
NEURON = re.compile(r"^Neuron \d+, layer \d+$")
PAGES: dict[str, str | re.Pattern[str]] = {
    "": "Skillscope",
    "transfer": "Transfer",
    "transferability": "Transferability",
    "projection": "Projection",
    "ways": "Ways to tune",
    "predictivity": "Predictivity",
    "correlation": "Correlation",
    "suppression": "Suppression",
    "robustness": "Robustness",
    "rankings": "Rankings",
    "neuron": NEURON,
    "flips": "Flips",
    "playground": "Playground",
    "tuning": "Tuning",
    "library": "Library",
    "prompt": re.compile("Prompt: .*, seed 0"),
}
GROUPS = {
    "Findings": (
        "robustness", "suppression", "predictivity", "transfer", "transferability", "projection",
        "ways",
    ),
    "Explore": ("rankings", "correlation", "neuron", "prompt", "flips", "playground"),
    "Your data": ("tuning", "library"),
}  # fmt: skip


BARS = {"ways": "Ways to tune"}  # names in the bar that are not the path's


def open_page(page: Page, app: str, path: str) -> None:
    page.goto(f"{app}/{path}")
    expect(page.get_by_role("heading", level=1)).to_have_text(PAGES[path.split("?")[0]])


def no_error(page: Page) -> None:
    """The page is drawn to its end, also what the last click led to, and shows no error."""
    page.wait_for_timeout(200)  # the server answers a click with "running" after a moment
    idle = page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]')
    expect(idle).to_have_count(1)
    expect(page.locator('[data-testid="stException"]')).to_have_count(0)
    expect(page.locator('[data-testid="stAlertContentError"]')).to_have_count(0)


def no_jobs(page: Page, app: str) -> None:
    """Cancel what earlier tests left running on this server: it would keep the workers busy, and
    nothing is deleted meanwhile. Lines are counted by their text: while a page is drawn, a button
    may be hidden, and hidden ones have no role.
    """
    active = page.get_by_text(re.compile(r": (running|waiting)\b"))
    cancel = page.locator('[class*="st-key-jobs-"]').get_by_role("button", name="Cancel")
    until = time.monotonic() + JOB / 1_000
    while time.monotonic() < until:
        open_page(page, app, "library?section=jobs")
        listed = page.get_by_text(re.compile(": (running|waiting|done|failed|cancelled)"))
        expect(listed.or_(page.get_by_text("No jobs have been started")).first).to_be_visible()
        no_error(page)
        if not active.count():
            return
        with suppress(TimeoutError):  # a job may end before the click
            cancel.first.click(timeout=5_000)
        page.wait_for_timeout(300)
    raise AssertionError("jobs go on after Cancel")


def arrives(page: Page, found: Locator) -> None:
    """Wait for what a job leads to, as long as it takes; a failed job is not waited for."""
    wrong = page.locator('[data-testid="stAlertContentError"], [data-testid="stException"]')
    expect(found.or_(wrong).first).to_be_visible(timeout=JOB)
    expect(found).to_be_visible()


def compute(page: Page, view: str) -> None:
    """Have a section of a page computed. Its button is found by the section's name: while a page is
    drawn, the first button by role may be another section's, for hidden ones do not count.
    """
    page.locator(f".st-key-{view}-start").get_by_role("button", name="Compute").click()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_without_an_error_and_fits_a_phone(
    page: Page, app: str, path: str
) -> None:
    """Light and wide; then made dark, and as narrow as a phone."""
    page.emulate_media(color_scheme="light")
    open_page(page, app, path)
    if path in ("transfer", "predictivity", "correlation"):
        expect(page.locator(f"{CHART}:visible").nth(1)).to_be_visible()
    if path == "":
        expect(page.locator('[data-testid="stDataFrame"]')).to_be_visible()
    _fits(page)
    assert max(_lines(page), default=1) <= 2, "a caption has at most two lines; help has the rest"
    page.set_viewport_size({"width": PHONE, "height": HEIGHT})
    page.emulate_media(color_scheme="dark")
    _fits(page)
    if path != "library":
        first = page.locator(f"{CHART}:visible").first
        expect(first).to_be_visible()
        no_error(page)
        box = first.bounding_box()
        assert box
        assert box["y"] < HEIGHT - 40, "more of the first figure than its frame is to be seen"


def _lines(page: Page) -> list[int]:
    """How many lines each caption takes."""
    found: list[int] = page.locator('[data-testid="stCaptionContainer"] p:visible').evaluate_all(
        "all => all.map(e => Math.round(e.getBoundingClientRect().height /"
        " parseFloat(getComputedStyle(e).lineHeight)))"
    )
    return found


def _fits(page: Page) -> None:
    """It shows no error, and no part of it is beyond the right edge."""
    no_error(page)
    page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_captions_can_be_read(page: Page, app: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    open_page(page, app, "predictivity")
    caption = page.get_by_test_id("stCaptionContainer").first
    expect(caption).to_be_visible()
    ink, opacity, ground = caption.evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).opacity,"
        " getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor]"
    )
    inks, grounds = (list(map(int, re.findall(r"\d+", c)[:3])) for c in (ink, ground))
    share = float(opacity)
    seen = [round(share * a + (1 - share) * b) for a, b in zip(inks, grounds, strict=True)]
    named = ["#" + bytes(c).hex() for c in (seen, grounds)]
    assert contrast(*named) >= 4.5


def test_navigation_reaches_every_page(page: Page, app: str) -> None:
    open_page(page, app, "")
    assert {p for paths in GROUPS.values() for p in paths} == set(PAGES) - {""}
    for group, paths in GROUPS.items():
        for path in paths:
            page.get_by_test_id("stTopNavSection").filter(has_text=group).click()
            named = page.get_by_text(BARS.get(path, path.capitalize()), exact=True)
            page.get_by_test_id("stTopNavDropdownLink").filter(has=named).click()
            expect(page.get_by_role("heading", level=1)).to_have_text(PAGES[path])
            no_error(page)


def test_a_full_suppression_run_is_live_and_stays_cached(page: Page, app: str) -> None:
    pair = "".join(f"&backbone={name}" for name in PLAIN)
    view = f"suppression?task=Opinions&limit=64&draws=1&seed=1{pair}"
    open_page(page, app, view)
    expect(page.locator(CHART)).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=JOB)
    expect(page.get_by_text("not been computed yet")).to_have_count(0)
    points = download(page)
    assert {(r["backbone"], r["choose"]) for r in points} == {
        (b, c) for b in PLAIN for c in ("causal", "skill", "random")
    }
    assert len({r["fraction"] for r in points}) == 9
    assert all(0 <= float(r["accuracy"]) <= 1 for r in points)
    open_page(page, app, view)
    expect(page.locator(CHART)).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert download(page) == points


def test_jobs_are_listed_and_their_end_is_told_on_other_pages(page: Page, app: str) -> None:
    no_jobs(page, app)
    open_page(page, app, "tuning?task=Treatment&steps=100&length=5")
    compute(page, "tuning")
    expect(page.get_by_role("button", name="Cancel").first).to_be_visible()
    page.get_by_test_id("stTopNavSection").filter(has_text="Your data").click()
    library = page.get_by_text("Library", exact=True)
    page.get_by_test_id("stTopNavDropdownLink").filter(has=library).click()
    page.get_by_role("radio", name="jobs").click()
    expect(page.get_by_text("Tuning: Treatment; roberta-mini: running")).to_be_visible()
    told = page.get_by_test_id("stToast").filter(
        has_text="Treatment; roberta-mini has been computed."
    )
    arrives(page, told)
    expect(page.get_by_text("Tuning: Treatment; roberta-mini: done after")).to_be_visible()
    no_error(page)


def test_a_running_curve_can_be_cancelled_and_resumed(page: Page, app: str) -> None:
    open_page(page, app, "suppression?task=Long+reviews&limit=600&draws=10&grid=wide")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled. What was computed is kept.")).to_be_visible()
    no_error(page)  # the page draws itself once more when its job has ended
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Continue")).to_be_visible()


def test_a_tuning_run_of_a_few_steps(page: Page, app: str) -> None:
    open_page(page, app, "tuning?task=Opinions&steps=12&seed=7&length=4")
    compute(page, "tuning")
    arrives(page, page.get_by_text(re.compile("selection rows")))
    steps = download(page)
    assert [int(float(r["step"])) for r in steps] == list(range(1, 13))
    no_error(page)


def test_a_tuning_run_can_be_cancelled_and_goes_on_from_its_last_step(page: Page, app: str) -> None:
    """However fast or slow the machine: no step below the cancelled one is ever shown again."""
    watched = """() => {
        window.steps = []
        const look = () => window.steps.push(
            ...Array.from(document.body.innerText.matchAll(/step (\\d+) of 4000/g), (m) => +m[1]))
        const all = {subtree: true, childList: true, characterData: true}
        new MutationObserver(look).observe(document.body, all)
    }"""
    open_page(page, app, "tuning?steps=4000&seed=8")
    compute(page, "tuning")
    told = page.get_by_text(re.compile(r"step [2-9]\d+ of 4000"))
    expect(told).to_be_visible()
    before = int(told.inner_text().split("step ")[1].split(" of")[0])
    page.locator(".st-key-tuning-cancel").get_by_role("button").click()
    expect(page.get_by_text("Cancelled. What was computed is kept.")).to_be_visible()
    no_error(page)
    page.evaluate(watched)
    page.locator(".st-key-tuning-start").get_by_role("button", name="Continue").click()
    expect(page.get_by_text(re.compile(r"step \d+ of 4000"))).to_be_visible()
    page.wait_for_function("new Set(window.steps).size > 2")
    steps = page.evaluate("window.steps")
    assert min(steps) >= before, "it went on, and did not begin again"
    page.locator(".st-key-tuning-cancel").get_by_role("button").click()
    expect(page.get_by_text("Cancelled. What was computed is kept.")).to_be_visible()
    expect(page.locator(CHART).first).to_be_visible()


def test_a_link_reproduces_the_view(page: Page, app: str) -> None:
    open_page(page, app, "transfer?backbone=t5-mini&scale=relative")
    expect(page.locator(f"{CHART}:visible")).to_have_count(1 + 2)
    expect(page.get_by_role("heading", level=3).first).to_have_text("t5-mini")
    page.get_by_role("radio", name="absolute").click()
    expect(page).to_have_url(re.compile("scale=absolute"))
    assert "backbone=t5-mini" in page.url


def test_choices_go_into_the_address(page: Page, app: str) -> None:
    open_page(page, app, "predictivity")
    page.get_by_role("radio", name="adversarial").click()
    expect(page).to_have_url(re.compile("shown=adversarial"))


@pytest.mark.parametrize(
    ("label", "magic"), [("Picture (PNG) t5-mini", b"\x89PNG"), ("Drawing (SVG) t5-mini", b"<svg")]
)
def test_figures_can_be_downloaded(page: Page, app: str, label: str, magic: bytes) -> None:
    open_page(page, app, "correlation")
    assert fetch(page, label).read_bytes().startswith(magic)


def test_a_wrong_link_is_harmless(page: Page, app: str) -> None:
    open_page(page, app, "suppression?task=../../etc/passwd&draws=9999&kind=x&limit=64")
    no_error(page)


def settled(page: Page) -> None:
    """No job and no script run; a page draws itself once more when its job is done."""
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    page.wait_for_timeout(1_500)
    no_error(page)
    expect(first_download(page)).to_have_count(1)


def first_download(page: Page) -> Locator:
    """The figure's popover. A chart's toolbar has a Download, too, and all icons are called so."""
    label = page.get_by_text("Download", exact=True)
    return page.get_by_test_id("stPopoverButton").filter(has=label)


def fetch(page: Page, label: str) -> Path:
    settled(page)
    first_download(page).click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label).click()
    page.keyboard.press("Escape")
    return Path(waiting.value.path())


def download(page: Page) -> list[dict[str, str]]:
    """The figure's data."""
    return list(csv.DictReader(io.StringIO(fetch(page, "Data (CSV)").read_text())))


# --- the hub -------------------------------------------------------------------------------------
def test_a_backbone_and_a_task_come_from_the_hub_and_a_prompt_is_tuned(
    page: Page, app: str
) -> None:
    no_jobs(page, app)
    open_page(page, app, "library")
    page.get_by_role("textbox", name="Add a backbone").fill("roberta-base")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    arrives(page, page.get_by_text("The backbone is ready; the other pages offer it."))
    open_page(page, app, "library?section=tasks&from=papers")
    page.get_by_role("combobox", name="Task").click()
    page.get_by_role("option", name="SST-2", exact=True).click()
    page.get_by_role("button", name="Download SST-2").click()
    expect(page.get_by_role("button", name="Download SST-2")).to_have_count(0)
    open_page(
        page, app,
        "tuning?backbone=FacebookAI/roberta-base&from=papers&task=SST-2&steps_paper=3"
        "&length_paper=4&batch_paper=8",
    )  # fmt: skip
    compute(page, "tuning")
    arrives(page, page.get_by_text(re.compile(r"on \d+ selection rows")))
    no_error(page)


def test_a_model_that_the_hub_does_not_know_is_one_sentence(page: Page, app: str) -> None:
    open_page(page, app, "library")
    page.get_by_role("textbox", name="Add a backbone").fill("no-body/nothing")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(page.get_by_text("The Hub has no model no-body/nothing")).to_be_visible()
