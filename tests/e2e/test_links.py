"""Addresses: they say what a page shows, they travel between pages, and they refuse aloud."""

import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_browser import CHART, NEURON, no_error, open_page

pytestmark = pytest.mark.browser


def to_page(page: Page, group: str, name: str) -> None:
    """By the bar at the top."""
    page.get_by_test_id("stTopNavSection").filter(has_text=group).click()
    named = page.get_by_text(name, exact=True)
    page.get_by_test_id("stTopNavDropdownLink").filter(has=named).click()


def heading(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def test_a_neurons_address_says_layer_and_neuron(page: Page, app: str) -> None:
    open_page(page, app, "neuron")
    heading(page, NEURON)
    said = page.get_by_role("heading", level=1).inner_text()
    neuron, layer = re.findall(r"\d+", said)
    page.get_by_test_id("stNumberInputStepUp").nth(1).click()
    after = f"Neuron {int(neuron) + 1}, layer {layer}"
    heading(page, after)
    expect(page).to_have_url(re.compile(rf"layer={layer}&neuron={int(neuron) + 1}(&|$)"))
    page.reload()
    heading(page, after)
    page.go_back()
    heading(page, said)
    no_error(page)


def chosen(page: Page) -> list[str]:
    """The backbones that are chosen on a page for several."""
    found = page.get_by_role("toolbar", name="Backbones").get_by_role("button", pressed=True)
    return found.all_inner_texts()


def test_back_undoes_what_was_chosen_and_forward_does_it_again(page: Page, app: str) -> None:
    open_page(page, app, "predictivity?backbone=roberta-mini")
    heading(page, "Predictivity")
    no_error(page)
    page.get_by_role("button", name="t5-mini", exact=True).click()
    expect(page.locator(f"{CHART}:visible")).to_have_count(2)
    no_error(page)
    assert chosen(page) == ["roberta-mini", "t5-mini"]
    page.go_back()
    expect(page.locator(f"{CHART}:visible")).to_have_count(1)
    no_error(page)
    assert chosen(page) == ["roberta-mini"]
    expect(page).to_have_url(re.compile("predictivity.backbone=roberta-mini&(?!backbone)"))
    page.go_forward()
    expect(page.locator(f"{CHART}:visible")).to_have_count(2)
    no_error(page)
    assert chosen(page) == ["roberta-mini", "t5-mini"]


def test_each_page_is_left_by_one_step_back(page: Page, app: str) -> None:
    """Whether its address was whole when it was opened, or is completed afterwards."""
    open_page(page, app, "correlation")
    expect(page).to_have_url(re.compile(r"correlation\?backbone="))
    whole = page.url
    to_page(page, "Your data", "Library")
    heading(page, "Library")
    expect(page).to_have_url(re.compile(r"library\?section=backbones"))
    page.goto(whole)
    heading(page, "Correlation")
    no_error(page)
    page.wait_for_timeout(1_000)  # for what is written after the page has run
    assert page.url == whole
    page.go_back()
    heading(page, "Library")
    no_error(page)
    page.go_back()
    heading(page, "Correlation")
    no_error(page)
    assert page.url == whole
    page.go_forward()
    heading(page, "Library")


def test_a_text_in_an_address_is_only_a_text(page: Page, app: str) -> None:
    text = "</script><script>document.body.remove()</script><b>x</b> & \\u003c"
    page.goto(f"{app}/playground?{urlencode({'text_a': text})}")
    heading(page, "Playground")
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_have_value(text)
    no_error(page)
    expect(page).to_have_url(re.compile(re.escape(urlencode({"text_a": text}))))
    expect(page).to_have_url(re.compile("off=0"))
    page.reload()
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_have_value(text)
    no_error(page)


def test_a_click_on_a_figure_keeps_the_session_and_back_returns(page: Page, app: str) -> None:
    open_page(page, app, "predictivity?backbone=t5-mini")
    heading(page, "Predictivity")
    no_error(page)
    loads = list[Page]()
    page.on("load", lambda opened: loads.append(opened))
    page.locator(CHART).first.locator("g.mark-symbol path[aria-label*='neuron?']").last.click()
    heading(page, NEURON)
    no_error(page)
    said = page.get_by_role("heading", level=1).inner_text()
    expect(page.get_by_role("combobox", name="Backbone")).to_have_value("t5-mini")
    page.go_back()
    heading(page, "Predictivity")
    no_error(page)
    assert chosen(page) == ["t5-mini"]
    page.go_forward()
    heading(page, said)
    no_error(page)
    expect(page.get_by_role("combobox", name="Backbone")).to_have_value("t5-mini")
    assert not loads, "the app is not loaded anew"


def test_back_from_a_neuron_finds_the_page_as_it_was_left(page: Page, app: str) -> None:
    """Also where its address said nothing when it was opened."""
    open_page(page, app, "predictivity")
    heading(page, "Predictivity")
    no_error(page)
    shown = page.locator(f"{CHART}:visible")
    shown.last.locator("g.mark-symbol path[aria-label*='neuron?']").last.click()
    heading(page, NEURON)
    no_error(page)
    expect(page.get_by_role("combobox", name="Backbone")).to_have_value("t5-mini")
    page.go_back()
    heading(page, "Predictivity")
    expect(shown).to_have_count(2)
    no_error(page)
    assert chosen(page) == ["roberta-mini", "t5-mini"]
    assert "/predictivity?backbone=roberta-mini&backbone=t5-mini&" in page.url


def test_a_point_of_the_claim_opens_its_task_on_the_same_page(page: Page, app: str) -> None:
    open_page(page, app, "robustness")
    no_error(page)
    loads = list[Page]()
    page.on("load", lambda opened: loads.append(opened))
    point = page.locator(f"{CHART}:visible g.mark-symbol path[aria-label*='robustness?']").last
    label = point.get_attribute("aria-label") or ""
    task = re.search(r"task: ([^;]+);", label)
    assert task
    point.click()
    expect(page.get_by_role("combobox", name="Task", exact=True)).to_have_value(task[1])
    no_error(page)
    assert not loads


def test_nothing_is_fetched_from_outside(page: Page, app: str) -> None:
    """Not even the icon of a tab."""
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    for name in ("", "neuron", "suppression", "library", "tuning"):
        open_page(page, app, name)
        no_error(page)
    local = (app, app.replace("http", "ws"), "data:", "blob:")
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith(local)] == []


@pytest.mark.parametrize(
    ("asked", "shown"), [("Opinions", "Opinions"), ("Short+reviews,+adv.", "Short reviews")]
)
def test_what_a_page_does_not_have_travels_on_without_a_remark(
    page: Page, app: str, asked: str, shown: str
) -> None:
    page.goto(f"{app}/predictivity?task={asked}")
    heading(page, "Predictivity")
    no_error(page)
    to_page(page, "Your data", "Tuning")
    heading(page, "Tuning")
    no_error(page)
    expect(page.get_by_role("combobox", name="Task", exact=True)).to_have_value(shown)
    expect(page.get_by_test_id("stToast")).to_have_count(0)


def test_a_page_that_is_only_looked_at_changes_nothing_that_travels(page: Page, app: str) -> None:
    page.goto(f"{app}/suppression?backbone=t5-mini&backbone=t5-mini-weathered&seed=2&seed=3")
    heading(page, "Suppression")
    no_error(page)
    to_page(page, "Explore", "Neuron")  # has one backbone and one seed
    heading(page, NEURON)
    expect(page).to_have_url(re.compile("backbone=t5-mini&.*seed=2&layer"))
    no_error(page)
    to_page(page, "Findings", "Suppression")
    heading(page, "Suppression")
    expect(page).to_have_url(re.compile("backbone=t5-mini&backbone=t5-mini-weathered&"))
    expect(page).to_have_url(re.compile("seed=2&seed=3&"))
    no_error(page)


def test_back_undoes_the_choice_of_an_example(page: Page, app: str) -> None:
    open_page(page, app, "flips")
    heading(page, "Flips")
    expect(page).to_have_url(re.compile("only="))
    no_error(page)
    before = page.url
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    at = table.bounding_box()
    assert at
    shown = page.get_by_role("heading", name=re.compile("^Example"))
    first = shown.inner_text()
    page.mouse.click(at["x"] + 12, at["y"] + 35 * 2 + 17)  # its second row
    expect(shown).not_to_have_text(first)
    expect(page).to_have_url(re.compile("example=short_reviews"))  # once the page has run
    to_page(page, "Explore", "Neuron")
    heading(page, NEURON)
    expect(page).to_have_url(re.compile("example=short_reviews"))
    page.go_back()
    expect(shown).not_to_have_text(first)
    expect(page).to_have_url(re.compile("example=short_reviews"))
    no_error(page)
    page.go_back()
    expect(page).to_have_url(before)
    expect(shown).to_have_text(first)
    no_error(page)
    page.wait_for_timeout(1_000)  # for what is written after the page has run
    assert page.url == before
    to_page(page, "Explore", "Neuron")
    heading(page, NEURON)
    expect(page).to_have_url(re.compile("neuron="))
    assert "example=" not in page.url


def test_a_page_that_has_nothing_to_show_says_so_in_its_address(page: Page, app: str) -> None:
    open_page(page, app, "predictivity?backbone=t5-mini&shown=all&colour=red")
    heading(page, "Predictivity")
    no_error(page)
    page.get_by_role("button", name="t5-mini", exact=True).click()
    expect(page.get_by_text("Choose a backbone.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"predictivity\?backbone=&shown=all"))
    page.go_back()
    expect(page.locator(f"{CHART}:visible")).to_have_count(1)
    assert chosen(page) == ["t5-mini"]
    page.goto(f"{app}/projection?source=t5-mini&target=t5-mini")
    expect(page.get_by_text("Choose two different backbones.")).to_be_visible()
    expect(page).to_have_url(re.compile("source=t5-mini&target=t5-mini"))
    expect(page.get_by_test_id("stToast")).to_have_count(0)


def test_what_is_refused_is_quoted_not_rendered(page: Page, app: str) -> None:
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    picture = "![x](http://evil.example/x.png)"
    for address in (
        {picture: "1"},
        {"colour": f"red\n\n{picture}"},
        {"tour": f"`{picture}"},
        {f"name{i}": "x" * 500 for i in range(40)},
    ):
        page.goto(f"{app}/library?{urlencode(address)}")
        toast = page.get_by_test_id("stToast").filter(has_text=REFUSED)
        expect(toast).to_be_visible()
        assert toast.locator("img, a").count() == 0
        assert len(toast.inner_text()) < 1_000
        no_error(page)
    assert [url for url in asked if "evil" in url.split("?")[0]] == []


def test_a_text_unlike_the_train_texts_is_remarked_on(page: Page, app: str) -> None:
    open_page(page, app, "playground?text_a=Quantum+flibber+perturbs+zyxwv.")
    expect(page.get_by_text("4 words are in none of them: quantum, flibber")).to_be_visible()
    no_error(page)
    open_page(page, app, "playground")
    no_error(page)
    expect(page.get_by_text("This text differs from")).to_have_count(0)


def test_an_address_with_what_is_not_there_is_refused_aloud(page: Page, app: str) -> None:
    page.goto(f"{app}/neuron?layer=99&neuron=4&task=Nonsense")
    toasts = page.get_by_test_id("stToast")
    expect(toasts.filter(has_text=f"{REFUSED}task = Nonsense; layer = 99.")).to_be_visible()
    heading(page, re.compile("^Neuron 4, layer"))
    page.goto(f"{app}/flips?attack=negations&dose=77&example=short_reviews:99999")
    said = f"{REFUSED}dose = 77; example = short_reviews:99999."
    expect(toasts.filter(has_text=said)).to_be_visible()


REFUSED = "This link asks for what is not available here: "
IN_VAIN = {
    "suppression?limit=7&draws=99&scope=room": "scope = room; limit = 7; draws = 99",
    "robustness?dose=77&worst=2&part=foo&kinds=maybe&tab=Nope":
        "dose = 77; worst = 2; part = foo; kinds = maybe; tab = Nope",
    "tuning?seed=-5&steps=0&precision=fp8": "seed = -5; steps = 0; precision = fp8",
    "flips?only=zz&colour=red": "only = zz; colour = red",
}  # fmt: skip
TAKEN = (
    "suppression?limit=256&draws=3&scope=layer&seed=0&neurons=causal&neurons=skill&kind=zero",
    "robustness?tab=All+tasks&attack=synonyms&dose=2&worst=1&part=both+texts&kinds=true&top=5%25",
    "tuning?init=vocabulary&seed=3&length=8&steps=100&precision=fp64",
)


@pytest.mark.parametrize("address", IN_VAIN)
def test_what_a_link_asks_for_in_vain_is_said(page: Page, app: str, address: str) -> None:
    page.goto(f"{app}/{address}")
    toast = page.get_by_test_id("stToast").filter(has_text=REFUSED + IN_VAIN[address])
    expect(toast).to_be_visible()


@pytest.mark.parametrize("address", TAKEN)
def test_nothing_is_said_of_what_a_link_gets(page: Page, app: str, address: str) -> None:
    page.goto(f"{app}/{address}")
    no_error(page)
    expect(page.get_by_test_id("stToast")).to_have_count(0)


def test_the_backbone_and_the_seed_travel_between_pages(page: Page, app: str) -> None:
    page.goto(f"{app}/suppression?backbone=t5-mini&seed=2&seed=3&task=Opinions")
    heading(page, "Suppression")
    expect(page.locator(f"{CHART}:visible")).to_have_count(1)
    to_page(page, "Explore", "Neuron")
    for _ in ("as it arrives", "opened again: the address says all of it"):
        heading(page, NEURON)
        expect(page).to_have_url(
            re.compile(r"backbone=t5-mini&(from=built-in&)?task=Opinions&seed=2&layer")
        )
        chosen = page.get_by_role("combobox")
        expect(chosen.nth(0)).to_have_value("t5-mini")
        expect(chosen.nth(1)).to_have_value("Opinions")
        expect(chosen.nth(2)).to_have_value("2")
        no_error(page)
        page.reload()
    heading(page, NEURON)
    no_error(page)
    to_page(page, "Findings", "Transfer")
    heading(page, "Transfer")
    chosen = page.get_by_role("toolbar", name="Backbones").get_by_role("button", pressed=True)
    expect(chosen).to_have_text("t5-mini")
    expect(page.locator(f"{CHART}:visible").first).to_be_visible()
    no_error(page)


def test_findings_open_the_view_they_show_and_tabs_have_titles(page: Page, app: str) -> None:
    open_page(page, app, "")
    expect(page).to_have_title("Skillscope")
    expect(page.locator(f"{CHART}:visible")).to_have_count(3)
    page.get_by_role("link", name="Open Suppression").click()
    heading(page, "Suppression")
    expect(page).to_have_title("Suppression - Skillscope")
    expect(page).to_have_url(re.compile("backbone=roberta-mini"))
    expect(page).to_have_url(re.compile("seed=4"))
    expect(page.locator(f"{CHART}:visible")).to_have_count(1)
    page.go_back()
    heading(page, "Skillscope")
    no_error(page)


def test_a_named_view_is_not_altered_by_what_was_chosen_before(page: Page, app: str) -> None:
    page.goto(f"{app}/suppression?backbone=t5-mini&task=Opinions&seed=2")
    heading(page, "Suppression")
    expect(page.get_by_role("combobox").first).to_have_value("Opinions")
    page.get_by_test_id("stTopNavLink").filter(has_text="Overview").click()
    heading(page, "Skillscope")
    page.get_by_role("link", name="Open Suppression").click()
    heading(page, "Suppression")
    expect(page.get_by_role("combobox").first).to_have_value("Short reviews")
    expect(page).to_have_url(re.compile("seed=4"))
    page.go_back()
    heading(page, "Skillscope")
    page.get_by_role("link", name="Released prompts").click()
    heading(page, "Transferability")
    expect(page).to_have_url(re.compile("numbers=published"))
    page.go_back()
    heading(page, "Skillscope")
    page.get_by_role("link", name="Which other prompt works best").click()
    heading(page, "Transferability")
    expect(page.get_by_text("map of the prompts").first).to_be_visible()
    expect(page).not_to_have_url(re.compile("numbers=published"))
    no_error(page)


def test_the_tour_leads_through_six_pages_and_is_left_and_resumed(page: Page, app: str) -> None:
    open_page(page, app, "")
    page.get_by_role("link", name="Take the tour: 6 steps").click()
    titles = ("Suppression", "Rankings", "Robustness", "Flips", "Transferability", "Library")
    for step, title in enumerate(titles, start=1):
        heading(page, title)
        expect(page.get_by_text(re.compile(f"^{step} of 6: "))).to_be_visible()
        no_error(page)
        if step == 4:
            page.get_by_role("button", name="Leave the tour").click()
            expect(page).not_to_have_url(re.compile("tour="))
            expect(page.get_by_text("4 of 6: ")).to_have_count(0)
            heading(page, "Flips")
            page.get_by_test_id("stTopNavLink").first.click()
            page.get_by_role("link", name="Continue the tour: step 4 of 6").click()
            expect(page.get_by_text(re.compile("^4 of 6: "))).to_be_visible()
        if step < len(titles):
            page.get_by_role("link", name="Next", exact=True).click()
    expect(page.get_by_role("radio", name="tasks")).to_be_checked()
    expect(page).to_have_url(re.compile("section=tasks"))
    page.get_by_role("link", name="Back", exact=True).click()
    heading(page, "Transferability")
    no_error(page)


def test_a_presentation_hides_controls_and_is_stepped_by_key(page: Page, app: str) -> None:
    open_page(page, app, "")
    page.get_by_role("link", name="Take the tour: 6 steps").click()
    page.get_by_role("button", name="Present", exact=True).click()
    expect(page.get_by_role("button", name="End the presentation")).to_be_visible()
    expect(page.get_by_text("1 of 6: ")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(0)
    expect(page.locator(CHART).first).to_be_visible()
    no_error(page)
    for role in ("combobox", "spinbutton", "radio"):
        expect(page.get_by_role(role)).to_have_count(0)
    expect(page.get_by_test_id("stHeader")).to_be_hidden()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    size = page.locator("html").evaluate("e => getComputedStyle(e).fontSize")
    assert float(size.removesuffix("px")) >= 20
    for key, step in (
        ("ArrowRight", 2), ("PageDown", 3), ("ArrowLeft", 2), ("PageUp", 1), ("ArrowRight", 2),
    ):  # fmt: skip
        page.keyboard.press(key)
        expect(page.get_by_text(f"{step} of 6: ")).to_be_visible()
        no_error(page)
    page.go_back()
    expect(page.get_by_text("1 of 6: ")).to_be_visible()
    no_error(page)
    page.go_forward()
    expect(page.get_by_text("2 of 6: ")).to_be_visible()
    no_error(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Leave the tour")).to_be_visible()
    heading(page, "Rankings")
    expect(page.get_by_role("combobox").first).to_be_visible()


def test_an_embedded_page_stands_alone(page: Page, app: str) -> None:
    page.goto(f"{app}/suppression?embed=true&task=Opinions")
    heading(page, "Suppression")
    expect(page.locator(CHART).first).to_be_visible()
    expect(page.get_by_test_id("stTopNavSection")).to_have_count(0)
    expect(page.get_by_text("Opinions: ")).to_be_visible()
    expect(page.get_by_role("combobox")).to_have_count(0)
    expect(page.get_by_text("How neurons are chosen")).to_be_hidden()
    title = page.get_by_role("heading", level=1).bounding_box()
    assert title
    assert title["y"] < 60
    no_error(page)
    page.goto(f"{app}/predictivity?embed=true&backbone=t5-mini")
    heading(page, "Predictivity")
    no_error(page)
    page.locator(CHART).first.locator("g.mark-symbol path[aria-label*='neuron?']").last.click()
    heading(page, NEURON)
    no_error(page)
    expect(page).to_have_url(re.compile("embed=true"))
    expect(page.get_by_test_id("stTopNavSection")).to_have_count(0)
