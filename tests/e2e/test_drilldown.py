"""From a figure to a neuron to a sentence, in a real Chromium; and the summary worked out by hand
from the files that the page hands out.
"""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from scipy.stats import spearmanr, ttest_1samp

from core.base.settings import EMBEDDED
from tests.e2e.test_browser import CHART, NEURON, no_error, open_page

pytestmark = pytest.mark.browser


def quiet(page: Page) -> None:
    """No job and no script runs any more."""
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    page.wait_for_timeout(1_500)
    no_error(page)


def table(page: Page, name: str, label: str = "Download") -> pd.DataFrame:
    """The CSV of the popover that hands out `name`, once the page has drawn it."""
    popovers = page.get_by_test_id("stPopoverButton").filter(has_text=label)
    data = page.get_by_role("button", name="Data (CSV)")
    expect(popovers.first).to_be_visible()
    seen: list[str] = []
    for _ in range(3):
        for popover in popovers.all():
            popover.click()
            with page.expect_download() as waiting:
                data.click()
            page.keyboard.press("Escape")
            expect(data).to_have_count(0)  # else the next click may reach this one's button
            seen.append(waiting.value.suggested_filename)
            if re.fullmatch(rf"{name}(_.+)?\.csv", seen[-1]):
                return pd.read_csv(io.StringIO(Path(waiting.value.path()).read_text()))
        quiet(page)  # a page draws itself once more when its job is done
    raise AssertionError(f"No popover hands out {name}.csv, only {seen}.")


# --- suppression ---------------------------------------------------------------------------------
def test_a_suppression_curve_is_what_its_answers_say(page: Page, app: str) -> None:
    open_page(page, app, "suppression")
    quiet(page)
    curve = table(page, "suppression")
    each = table(page, "suppression-each", "Each answer")
    means = each.groupby(["backbone", each.choose.fillna(""), "fraction"]).score.mean()
    assert set(curve.backbone) == set(EMBEDDED)
    for row in curve.itertuples():
        kind = row.choose if row.fraction else ""
        assert means[row.backbone, kind, row.fraction] == pytest.approx(row.accuracy)
    counts = each.groupby(["backbone", "choose", "fraction", "draw"], dropna=False).example
    assert set(counts.nunique()) == set(counts.size()) == set(curve.n), "each example once a draw"


# --- robustness ----------------------------------------------------------------------------------
def redraw(right: np.ndarray, rng: np.random.Generator) -> float:
    """The mean after redrawing seeds and examples, one at a time."""
    seeds = rng.integers(0, len(right), len(right))
    examples = rng.integers(0, right.shape[1], right.shape[1])
    return float(right[np.ix_(seeds, examples)].mean())


def by_hand_kept(neurons: pd.DataFrame) -> tuple[float, float]:
    """From each neuron's predictivities: which share of the top 5% stays, and Spearman."""
    chosen, kept, rhos = 0, 0, []
    for _, layer in neurons.groupby("layer"):
        k = int(0.05 * len(layer))
        tops = [
            set(layer[layer[c] > layer[f"{c}_majority"] + 1e-6].nlargest(k, c).neuron)
            for c in ("clean", "adversarial")
        ]
        chosen, kept = chosen + len(tops[0]), kept + len(tops[0] & tops[1])
        rhos.append(spearmanr(layer.clean, layer.adversarial).statistic)
    return kept / chosen, float(np.mean(rhos))


def by_hand_difference(
    right: dict[str, dict[str, np.ndarray]], rng: np.random.Generator
) -> tuple[float, float]:
    """95% interval of how much more T5 loses: the same examples, unrelated prompts."""
    found = []
    for _ in range(1500):
        places = {data: rng.integers(0, wide.shape[1], wide.shape[1])
                  for data, wide in right["t5-mini"].items()}  # fmt: skip
        lost = []
        for backbone in ("roberta-mini", "t5-mini"):
            seeds = rng.integers(0, 5, 5)
            means = {
                d: wide[np.ix_(seeds, places[d])].mean() for d, wide in right[backbone].items()
            }
            lost.append(means["clean"] - means["adversarial"])
        found.append(lost[1] - lost[0])
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def least_squares(points: pd.DataFrame, groups: pd.Series) -> float:
    """Slope of the neurons kept on the accuracy kept, with an intercept for each group."""
    design = np.column_stack([points.accuracy_kept, pd.get_dummies(groups).to_numpy(float)])
    return float(np.linalg.lstsq(design, points.kept.to_numpy(), rcond=None)[0][0])


def test_the_dose_response_and_the_claim_are_what_the_exported_files_say(
    page: Page, app: str
) -> None:
    open_page(page, app, "robustness?tab=This+task")
    quiet(page)
    expect(page.locator(CHART)).to_have_count(3)
    each = table(page, "robustness-each", "Each answer")
    means = each.groupby(["backbone", "dose"]).right.mean()
    curve = table(page, "robustness-dose").set_index(["backbone", "dose"])
    shared = table(page, "robustness-shared", "Shared neurons")
    shared = shared[shared.neurons == "skill"].set_index(["backbone", "dose"])
    page.get_by_role("tab", name="All tasks").click()
    expect(page.get_by_text("Each weathered backbone keeps more")).to_be_visible()
    quiet(page)
    points = table(page, "robustness-claim")
    page.get_by_text("Numbers, other pairs of backbones, and each backbone alone").click()
    expect(page.get_by_text("slope").first).to_be_visible()
    said = page.locator("main").inner_text().replace("\N{MINUS SIGN}", "-")
    for backbone in EMBEDDED:
        clean = means[backbone, 0]
        assert curve.accuracy[backbone].tolist() == pytest.approx(means[backbone].tolist())
        assert means[backbone, 5] < clean - 0.2, "the default view has an effect"
        above = shared.shared - shared.shuffled
        mine = points[(points.backbone == backbone) & (points.neurons == "skill")]
        here = mine[mine.task == "Short reviews"].set_index("dose")
        for dose in (1, 2, 3, 5):
            kept = (means[backbone, dose] - 0.5) / (clean - 0.5)
            assert here.accuracy_kept[dose] == pytest.approx(kept)
            assert here.kept[dose] == pytest.approx(above[backbone, dose] / above[backbone, 0])
        shown = mine.dropna(subset=["kept", "accuracy_kept"])
        line = next(t for t in said.splitlines() if t.startswith(backbone) and "slope" in t)
        if (tasks := shown.task.nunique()) < 6:
            assert f"no slope; the {tasks} tasks with points are too few" in line
            continue
        groups = shown.dose * 0, shown.dose.astype(str) + shown.category
        slopes = [least_squares(shown, group) for group in groups]
        assert f"slope {slopes[0]:.2f}, 95% interval" in line
        assert f"(slope {slopes[1]:.2f}, 95% interval" in line
        assert f"{len(shown)} points on {tasks} tasks" in line
    gaps = points[points.neurons == "skill"].pivot_table(
        index=["task", "dose"], columns="backbone", values="accuracy_kept"
    )
    number = r"(-?[\d.]+)"
    told = rf"\(difference {number}, 95% interval {number} to {number}; 9 tasks\)"
    for sentence, second, first in (
        ("t5-mini and roberta-mini do not differ clearly in the accuracy they keep",
         "t5-mini", "roberta-mini"),
        ("roberta-mini-weathered keeps more of its accuracy than roberta-mini",
         "roberta-mini-weathered", "roberta-mini"),
        ("t5-mini-weathered keeps more of its accuracy than t5-mini",
         "t5-mini-weathered", "t5-mini"),
    ):  # fmt: skip
        more = (gaps[second] - gaps[first]).groupby("task").mean()
        interval = ttest_1samp(more, 0).confidence_interval(0.95)
        found = re.search(f"{sentence} {told}", said)
        assert found, sentence
        by_hand = [more.mean(), interval.low, interval.high]
        assert [float(n) for n in found.groups()] == pytest.approx(by_hand, abs=0.0051)


@pytest.mark.parametrize("task", ["Short reviews", "Answerability"])
def test_the_finding_is_what_the_exported_files_say(page: Page, app: str, task: str) -> None:
    open_page(page, app, "robustness?tab=Adversarial+version&task=" + task.replace(" ", "+"))
    quiet(page)
    lead = page.get_by_text("their accuracy drops do not differ").first.inner_text()
    said = "\n".join([lead, *page.get_by_text("accuracy drops from").all_inner_texts()])
    answers = table(page, "robustness-answers", "Each answer")
    ranked = table(page, "robustness-neurons", "Each neuron")
    shared = table(page, "robustness-overlap").query("fraction == 0.05").set_index("backbone")
    agree = table(page, "robustness-stability")
    agree = agree[agree.attack.isna()].set_index("backbone")
    costs = table(page, "robustness-tests", "Tests")
    rng = np.random.default_rng(11)
    draws = {}
    for backbone in ("roberta-mini", "t5-mini"):
        mine = answers[answers.backbone == backbone]
        wide = {
            data: part.pivot(index="seed", columns="example", values="right").to_numpy()
            for data, part in mine.groupby("data")
        }
        clean, attacked = wide["clean"].mean(), wide["adversarial"].mean()
        assert (
            f"{backbone}: accuracy drops from {clean:.3f} on clean data to {attacked:.3f}" in said
        )
        found = re.search(
            rf"{backbone}: accuracy drops .*?\(([\d.]+) points, 95% interval ([\d.]+) to"
            r" ([\d.]+)\)",
            said,
        )
        assert found
        assert float(found[1]) == pytest.approx(100 * (clean - attacked), abs=0.051)
        lost = [redraw(wide["clean"], rng) - redraw(wide["adversarial"], rng) for _ in range(1500)]
        by_hand = 100 * np.quantile(lost, [0.025, 0.975])
        assert [float(found[2]), float(found[3])] == pytest.approx(by_hand, abs=1.5)
        draws[backbone] = (clean - attacked, wide)
        stay, spearman = by_hand_kept(ranked[ranked.backbone == backbone])
        row, rho = shared.loc[backbone], agree.loc[backbone]
        compared = f"permutation null {row.shuffled:.0%}, p = {row.p:.3f}"
        assert f"{stay:.0%} are also top neurons on adversarial data ({compared}" in said
        assert rho.spearman == pytest.approx(spearman, abs=1e-6)
        assert f"correlate at {spearman:z.2f}" in said
        assert f"permutation null {rho.shuffled:z.2f}, p = {rho.p:.3f}" in said.replace(
            "\N{MINUS SIGN}", "-"
        )
        for cost in costs[(costs.backbone == backbone) & (costs.found == "clean")].itertuples():
            if isinstance(cost.attack, float):  # all of them
                points = f"{100 * cost.cost:+z.1f} points".replace("-", "\N{MINUS SIGN}")
                assert points in said
        low, high = rho.spearman - 1.96 * rho.error, rho.spearman + 1.96 * rho.error
        interval = f"{max(-1, low):z.2f} to {min(1, high):z.2f}"
        assert interval.replace("-", "\N{MINUS SIGN}") in said
    difference = draws["t5-mini"][0] - draws["roberta-mini"][0]
    low, high = by_hand_difference({b: wide for b, (_, wide) in draws.items()}, rng)
    assert low < difference < high
    more = re.search(r"difference: ([\d.]+) points, 95% interval (.?[\d.]+) to ([\d.]+)", said)
    assert more
    expected = sorted([100 * low, 100 * high]) if difference >= 0 else [-100 * high, -100 * low]
    told = [float(more[i].replace("\N{MINUS SIGN}", "-")) for i in (2, 3)]
    assert told == pytest.approx(expected, abs=1.5)
    assert (low < 0 < high) == ("do not test the claim" in said)


def test_robustness_shows_each_part_of_the_claim(page: Page, app: str) -> None:
    open_page(page, app, "robustness?task=Question+pairs&tab=Adversarial+version&top=15%25")
    quiet(page)
    for heading in (
        "Summary", "How large is the accuracy drop?", "Are the skill neurons the same?",
        "Where do clean skill neurons rank on adversarial data?",
        "What happens when skill neurons are suppressed?",
    ):  # fmt: skip
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.locator(CHART)).to_have_count(4 + 2 + 4)
    expect(page.get_by_text("Of its top 15%").first).to_be_visible()


# --- to a neuron ---------------------------------------------------------------------------------
def test_a_click_on_a_point_opens_its_neuron(page: Page, app: str) -> None:
    open_page(page, app, "rankings?task=Opinions&backbone=t5-mini")
    quiet(page)
    chart = page.locator(CHART).nth(4)
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box
    # Thousands of points are drawn as one picture; the best neurons of both crowd the corner.
    for step in range(40):
        x, y = box["width"] * (0.985 - 0.004 * (step % 10)), box["height"] * (0.03 + step / 800)
        page.mouse.click(box["x"] + x, box["y"] + y)
        page.wait_for_timeout(400)
        if "/neuron" in page.url:
            break
    expect(page.get_by_role("heading", level=1)).to_have_text(NEURON)
    expect(page.get_by_role("combobox", name="Backbone")).to_have_value("t5-mini")
    expect(page.get_by_role("combobox", name="Task")).to_have_value("Opinions")
    quiet(page)


def test_an_outlier_of_a_box_opens_its_neuron(page: Page, app: str) -> None:
    open_page(page, app, "predictivity?backbone=roberta-mini")
    quiet(page)
    dot = page.locator(CHART).first.locator("g.mark-symbol path[aria-label*='neuron?']").last
    task = re.search(r"task: ([^;]+);", dot.get_attribute("aria-label") or "")
    assert task
    dot.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NEURON)
    expect(page.get_by_role("combobox", name="Task")).to_have_value(task[1])


def test_a_piece_of_a_bar_of_places_opens_its_neuron(page: Page, app: str) -> None:
    open_page(page, app, "robustness?task=Question+pairs&tab=Adversarial+version")
    quiet(page)
    chart = page.locator(CHART).nth(5)
    piece = chart.locator("g.mark-rect path[aria-label*='neuron?']").last
    label = piece.get_attribute("aria-label") or ""
    known = dict(re.findall(r"(layer|neuron): (\d+)", label))
    piece.click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(f"Neuron {known['neuron']}, layer {known['layer']}")
    expect(page.get_by_role("combobox", name="Backbone")).to_have_value("t5-mini")
    expect(page.get_by_role("combobox", name="Task")).to_have_value("Question pairs")
    quiet(page)


def test_a_click_on_a_vote_opens_its_neuron(page: Page, app: str) -> None:
    open_page(page, app, "playground?backbone=roberta-mini&seed=1")
    quiet(page)
    page.locator(CHART).nth(1).locator("g.mark-rect path").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NEURON)
    expect(page).to_have_url(re.compile("seed=1"))
    quiet(page)


def test_an_attacked_pair_goes_to_the_playground_and_the_attack_is_undone(
    page: Page, app: str
) -> None:
    open_page(page, app, "flips?backbone=roberta-mini")
    quiet(page)
    page.get_by_role("link", name="Open this pair in Playground").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Playground")
    quiet(page)
    text = page.get_by_role("textbox", name="Text", exact=True)
    after = text.input_value()
    expect(page.get_by_test_id("stToast")).to_have_count(0)
    bars = page.locator(CHART).first.locator("g.mark-rect path[aria-label*='before the attack']")
    expect(bars).to_have_count(2)
    page.get_by_role("button", name="undo").click()
    expect(bars).to_have_count(0)
    quiet(page)
    assert text.input_value() != after
    assert len(text.input_value().split()) == len(after.split()), "one typo"
    expect(page.get_by_test_id("stToast")).to_have_count(0)
    page.reload()
    expect(page.locator(CHART).first).to_be_visible()
    quiet(page)
    expect(bars).to_have_count(0)
    text.fill("Words that nobody has struck.")
    text.press("Control+Enter")
    quiet(page)
    expect(bars).to_have_count(0)
    expect(page.get_by_role("button", name="undo")).to_have_count(0)


def test_a_neurons_page_tells_everything_of_it(page: Page, app: str) -> None:
    open_page(page, app, "neuron?backbone=t5-mini&task=Entailment&layer=2&neuron=428&seed=3")
    expect(page.get_by_role("heading", level=1)).to_have_text("Neuron 428, layer 2")
    quiet(page)
    expect(page.locator(CHART)).to_have_count(7)
    for heading in (
        "Predictivity: which tasks' classes does it predict?",
        "What does it add to each task's answers?",
        "At which position?", "When does it fire?", "Which words does its output favour?",
        "What if this neuron alone is suppressed?", "Highest- and lowest-activating texts",
        "Which neurons are most similar?",
    ):  # fmt: skip
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.get_by_text("Changed answers")).to_be_visible()
    tasks = table(page, "neuron-tasks")
    assert len(tasks) == 12 * 5
    assert tasks.predictivity.between(0.5, 1).all()
    added = table(page, "neuron-attribution")
    assert len(added) == 9 * 5, "the clean tasks"
    assert (added.low <= added.attribution).all()


def test_a_wrong_neuron_in_the_address_is_harmless(page: Page, app: str) -> None:
    page.goto(f"{app}/neuron?layer=99&neuron=-4&backbone=no&task=no&seed=x")
    expect(page.get_by_role("heading", level=1)).to_have_text(NEURON)
    quiet(page)


# --- to a prompt ---------------------------------------------------------------------------------
def test_similarity_and_transfer_agree_as_the_exported_pairs_say(page: Page, app: str) -> None:
    open_page(page, app, "transferability")
    quiet(page)
    agreed = table(page, "transferability").set_index(["backbone", "indicator"])
    pairs = table(page, "transferability-pairs", label="Pairs")
    assert set(agreed.index) == set(zip(pairs.backbone, pairs.indicator, strict=True))
    for name, mine in pairs.groupby(["backbone", "indicator"]):
        each = [spearmanr(t.value, t.transferred).statistic for _, t in mine.groupby("target_task")]
        assert len(each) == 9
        assert agreed.spearman[name] == pytest.approx(np.mean(each)), name


def test_a_click_on_a_pair_of_tasks_opens_its_prompts(page: Page, app: str) -> None:
    open_page(page, app, "transferability?backbone=roberta-mini")
    quiet(page)
    page.locator(CHART).nth(1).locator("g.mark-symbol path").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Prompt: .*, seed 0"))
    expect(page).to_have_url(re.compile(r"/prompt\?.*other="))
    quiet(page)
    expect(page.locator(CHART)).to_have_count(4)
    vectors = table(page, "prompt-vectors")
    assert len(vectors) == 64
    assert vectors.cosine.between(-1, 1).all()
    assert vectors.cosine.max() < 1, "another prompt's vectors"


# --- to a sentence -------------------------------------------------------------------------------
def typed(page: Page) -> str:
    return page.get_by_role("textbox", name="Text", exact=True).input_value()


def test_a_typed_sentence_is_read_attacked_and_suppressed(page: Page, app: str) -> None:
    open_page(page, app, "playground")
    quiet(page)
    field = page.get_by_role("textbox", name="Text", exact=True)
    field.fill("The meal was good and the staff were friendly.")
    field.press("Control+Enter")
    quiet(page)
    votes = table(page, "votes-t5-mini")
    assert len(votes) == 100
    assert set(votes.vote) <= {"negative", "positive"}
    page.get_by_role("button", name="synonym").click()
    quiet(page)
    attacked = typed(page)
    assert attacked != "The meal was good and the staff were friendly."
    page.get_by_role("button", name="negation").click()
    quiet(page)
    assert len(typed(page)) > len(attacked)
    page.get_by_role("button", name="undo").click()
    quiet(page)
    assert typed(page) == "The meal was good and the staff were friendly."
    slider = page.get_by_role("slider", name="Suppressed skill neurons, % of each layer")
    slider.focus()
    for _ in range(5):
        slider.press("ArrowRight")
    expect(page.get_by_text("mean of 3 draws of as many neurons")).to_have_count(2)
    expect(page).to_have_url(re.compile("off=5"))
    expect(page).to_have_url(re.compile("text_a=The"))
    page.get_by_text("Model input, position by position").first.click()
    quiet(page)


def test_an_empty_text_is_one_sentence(page: Page, app: str) -> None:
    open_page(page, app, "playground?backbone=t5-mini")
    quiet(page)
    field = page.get_by_role("textbox", name="Text", exact=True)
    field.fill("  ")
    field.press("Control+Enter")
    expect(page.get_by_text("Type a text first.")).to_be_visible()


def test_a_pair_is_read(page: Page, app: str) -> None:
    open_page(page, app, "playground?task=Entailment")
    quiet(page)
    expect(page.get_by_role("textbox", name="Second text")).to_be_visible()
    page.get_by_role("button", name="typo").click()
    quiet(page)
    expect(page.locator(CHART)).to_have_count(4)
