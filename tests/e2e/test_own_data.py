"""A person's own files, in a real Chromium: from a CSV to tasks, prompts and curves."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import JOB
from tests.e2e.test_browser import CHART, arrives, compute, no_error, no_jobs, open_page

pytestmark = pytest.mark.browser


def uploaded(page: Page, name: str, text: str) -> None:
    page.locator('input[type="file"]').set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": text.encode()}
    )


def test_a_file_becomes_a_task_that_other_pages_offer(page: Page, app: str) -> None:
    rows = "".join(f"film {i} was {w},{w}\n" for i in range(80) for w in ("good", "bad"))
    open_page(page, app, "library?section=tasks&from=own")
    uploaded(page, "mine.csv", "words,verdict\n" + rows)
    page.get_by_role("textbox", name="Title").fill("Mine")
    page.get_by_role("textbox", name="Title").press("Enter")
    expect(page.get_by_text("roberta-mini tokenizes")).to_be_visible()
    page.get_by_role("button", name="Save task").click()
    expect(page.get_by_text("Mine is saved; the other pages offer it.")).to_be_visible()
    open_page(page, app, "tuning?from=own&steps=4&length=3")
    expect(page.get_by_role("combobox", name="Task", exact=True)).to_have_value("Mine")
    page.wait_for_timeout(1_500)
    compute(page, "tuning")
    arrives(page, page.get_by_text(re.compile("on 32 selection rows")))
    no_error(page)


def test_bad_rows_are_skipped_slips_merged_and_a_task_is_tuned_renamed_and_deleted(
    page: Page, app: str
) -> None:
    rows = "".join(f"meal {i} was {w},{w}\n" for i in range(60) for w in ("tasty", "bland"))
    rows += ",tasty\nno verdict,\nodd meal,tastyy\n"
    open_page(page, app, "library?section=tasks&from=own")
    uploaded(page, "meals.csv", "words,verdict\n" + rows)
    expect(page.get_by_text("The text or the label is missing in 2 of 123 rows.")).to_be_visible()
    expect(page.get_by_text("Row 121 has no")).to_have_count(0)
    page.get_by_text("Skip uncorrected rows (2)").click()
    expect(page.get_by_text("Treat 'tastyy' (1 row) as 'tasty'")).to_be_visible()
    expect(page.get_by_label("Answer word for 'tastyy'")).to_be_visible()
    page.get_by_text("Treat 'tastyy' (1 row) as 'tasty'").click()
    expect(page.get_by_label("Answer word for 'tastyy'")).to_have_count(0)
    page.get_by_role("textbox", name="Title").fill("Meals")
    page.get_by_role("textbox", name="Title").press("Enter")
    page.get_by_role("button", name="Save task").click()
    page.get_by_role("link", name="Tune its first prompt").click()
    expect(page.get_by_role("heading", name="Tuning")).to_be_visible()
    expect(page.get_by_role("combobox", name="Task", exact=True)).to_have_value("Meals")
    arrives(page, page.get_by_text(re.compile("on 24 selection rows")))
    open_page(page, app, "library?section=jobs")
    expect(page.get_by_text("Tuning: Meals; roberta-mini: done after")).to_be_visible()
    no_jobs(page, app)  # nothing is deleted while a job of any test runs
    open_page(page, app, "library?section=tasks&from=own")
    page.get_by_role("combobox", name="Task", exact=True).click()
    page.get_by_role("option", name="Meals").click()
    page.get_by_role("button", name="Rename or delete").click()
    expect(
        page.get_by_text("One stored result depends on this task or its prompts.")
    ).to_be_visible()
    page.get_by_role("textbox", name="Title", exact=True).last.fill("Dishes")
    page.get_by_role("textbox", name="Title", exact=True).last.press("Enter")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page.get_by_role("combobox", name="Task", exact=True)).to_have_value("Dishes")
    no_error(page)  # a click while the page is drawn again may be lost
    page.get_by_text("Also delete stored results").click()
    expect(page.get_by_role("checkbox", name="Also delete stored results")).to_be_checked()
    no_error(page)
    page.get_by_role("button", name="Delete the task").click()
    expect(page.locator('input[value="Dishes"]')).to_have_count(0)
    expect(page.get_by_role("gridcell", name="Dishes")).to_have_count(0)
    no_error(page)


def test_own_data_get_a_causal_curve_and_a_dose_response(page: Page, app: str) -> None:
    """Without an adversarial file: prompts are tuned, neurons ranked, texts attacked."""
    places = ["The film", "The meal", "A hotel", "My book", "Our guide"]
    rows = "".join(
        f"{places[i % 5]} number {i} was {w} indeed,{w}\n"
        for i in range(140) for w in ("wonderful", "terrible")
    )  # fmt: skip
    open_page(page, app, "library?section=tasks&from=own")
    uploaded(page, "curves.csv", "words,verdict\n" + rows)
    page.get_by_role("textbox", name="Title").fill("Curves")
    page.get_by_role("textbox", name="Title").press("Enter")
    page.get_by_role("button", name="Save task").click()
    expect(page.get_by_text("Curves is saved; the other pages offer it.")).to_be_visible()
    chosen = "from=own&task=Curves&backbone=roberta-mini"
    open_page(page, app, f"suppression?{chosen}&neurons=causal&neurons=random&draws=1")
    compute(page, "suppression")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=JOB)
    expect(page.locator(CHART)).to_have_count(1)
    expect(page.get_by_text("1 random draw;")).to_be_visible()
    open_page(page, app, f"robustness?{chosen}")
    compute(page, "dose")
    expect(page.get_by_role("button", name="Cancel").first).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=JOB)
    expect(page.get_by_text("56 examples, means of 5 seeds")).to_be_visible()
    for title in ("Accuracy", "Skill neurons found again", "Causal neurons found again"):
        drawn = page.get_by_test_id("stColumn").filter(has_text=re.compile(f"^{title}"))
        expect(drawn.locator(CHART)).to_have_count(1)
    page.get_by_role("tab", name="All tasks").click()
    expect(
        page.get_by_text("The claim needs two backbones with points to compare.")
    ).to_be_visible()
    # So few examples may leave no point above shuffled labels; then the page says so.
    points = page.get_by_text(re.compile(r"Each point is a task|No point can be shown \(4 left"))
    expect(points).to_have_count(2)
    no_error(page)


def test_a_bad_file_is_one_sentence(page: Page, app: str) -> None:
    open_page(page, app, "library?section=tasks&from=own")
    uploaded(page, "bad.csv", "words,verdict\nonly one field\n")
    expect(page.get_by_text("Row 1 of bad.csv has 1 fields")).to_be_visible()
