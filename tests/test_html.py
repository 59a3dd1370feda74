"""leaderboard.html in a real browser: what a reader can do with it, and that nothing leaves it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from benchmark.rundir import RunDir
from reports import html
from reports.exhibit import Exhibit
from reports.html.colours import DARK
from reports.leaderboard import Leaderboard, build
from reports.study import Interval, Study, Versus
from reports.tradeoffs import Tradeoffs
from tests.html_support import CHROMIUM, DRIVER, NAMES, chromium, noise, trained
from tests.report_support import HEADER, failed, make_run, pending

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]
HOSTILE = '</script><img src=x onerror="hacked=1">'
CELL = "return arguments[0].tBodies[0].rows[arguments[1]].cells[arguments[2] + 1].textContent"
CONTRASTS = (Path(__file__).parent / "contrasts.js").read_text(encoding="utf-8")


class Shown:
    """A page in the browser, and what it was made of."""

    def __init__(self, page: webdriver.Chrome, board: Leaderboard, path: Path) -> None:
        self.page, self.board, self.path = page, board, path

    def one(self, selector: str) -> WebElement:
        return self.page.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.page.find_elements(By.CSS_SELECTOR, selector)

    def select(self, section: str, label: str) -> Select:
        path = f"//section[contains(@id, '{section}')]//label[contains(., '{label}')]/select"
        return Select(self.page.find_element(By.XPATH, path))

    def head(self, title: str) -> WebElement:
        return self.page.find_element(By.XPATH, f"//*[contains(@class, 'ranking')]//th[starts-with(., '{title}')]")

    def order(self) -> list[str]:
        """Labels of the rows that are to be seen, as they stand."""
        rows = self.all(".ranking tbody tr")
        return [row.find_element(By.CSS_SELECTOR, ".model").text for row in rows if row.is_displayed()]

    def until(self, holds: Callable[[], object]) -> None:
        WebDriverWait(self.page, 20).until(lambda page: holds())

    def run(self, script: str, *arguments: object) -> Any:
        return self.page.execute_script(script, *arguments)

    def tip(self) -> str:
        return self.one("#tip").text

    def emulate(self, theme: str = "light", media: str = "", width: int = 1280) -> None:
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Leaderboard, Path]:
    """Four models, two seeds each, one of them lost; the names of one model and of one class are hostile."""
    directory = tmp_path_factory.mktemp("кот #1") / "tour"
    classes = (HOSTILE, *NAMES[1:])
    skills = {"alpha": 3.0, HOSTILE: 2.8, "beta": 2.2, "gamma": 1.5}
    entries = [
        trained(directory, model, seed, skill, classes, usd=skill / 10)
        for model, skill in skills.items()
        for seed in (0, 1)
    ]
    entries += [failed(make_run("beta", 2), message=HOSTILE), pending(make_run("delta"))]
    board = build(entries, HEADER)
    path = directory / "leaderboard.html"
    path.write_text(html.page(board, [compared(board)], directory, noise), encoding="utf-8")
    return board, path


def compared(board: Leaderboard) -> Exhibit:
    """A study in which the second row is tied with the first, which dominates the last."""
    first, second, third, last = (row.configuration_id for row in board.tables[0].rows)
    loss = Versus(-0.2, -0.25, -0.15, 0.001, 0.002, "McNemar's exact test", False, True)
    tie = Versus(-0.01, -0.03, 0.01, 0.4, 0.4, "McNemar's exact test", True, False, more_seeds=4)
    intervals = {
        row.configuration_id: {"test/accuracy": Interval(mean - 0.03, mean + 0.03, "seeds and images")}
        for row in board.tables[0].rows
        if (mean := row.mean("test/accuracy")) is not None
    }
    study = Study(first, intervals, {second: tie, third: loss, last: loss}, 3)
    return Exhibit(
        board.tables[0], "test/accuracy", study, Tradeoffs(("test/accuracy",), (first, third), {last: third})
    )


@pytest.fixture
def shown(browser: webdriver.Chrome, written: tuple[Leaderboard, Path]) -> Iterator[Shown]:
    """The page, freshly opened; afterwards its console has said nothing."""
    found = Shown(browser, *written)
    browser.get_log("browser")
    browser.get_log("performance")
    found.emulate()
    browser.get(found.path.as_uri())
    found.run("localStorage.clear()")
    browser.refresh()
    found.until(lambda: found.all(".point"))
    yield found
    assert browser.get_log("browser") == []


def test_nothing_is_fetched_and_nothing_hostile_runs(shown: Shown) -> None:
    events = [json.loads(each["message"])["message"] for each in shown.page.get_log("performance")]
    requests = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    own = ("data:", "chrome:")  # inside the page, and the browser's own cross in a field for searching
    assert {url for url in requests if not url.startswith(own)} == {shown.path.as_uri()}
    assert shown.run("return window.hacked") is None
    assert shown.run("return document.querySelectorAll('img:not([src^=\"data:\"])').length") == 0
    assert HOSTILE in shown.order()
    assert f"1 · {HOSTILE}" in shown.one("[data-plot=curves] .legend").text.replace("2 ·", "1 ·")


def test_the_policy_stops_a_script_and_a_style_that_are_put_in(shown: Shown) -> None:
    stopped = shown.page.execute_async_script(
        """const done = arguments[0], seen = new Set();
        document.addEventListener("securitypolicyviolation", e => {
          seen.add(e.effectiveDirective);
          if (seen.size === 3) done([...seen]);
        });
        const script = document.createElement("script");
        script.textContent = "window.hacked = 1";
        document.body.append(script);
        const div = document.createElement("div");
        document.body.append(div);
        div.innerHTML = '<p style="color: red">x</p><img src="https://example.org/x.png">';"""
    )
    assert sorted(stopped) == ["img-src", "script-src-elem", "style-src-attr"]
    assert shown.run("return window.hacked") is None
    shown.page.get_log("browser")  # the violations themselves


def test_every_column_sorts_both_ways_the_better_end_first(shown: Shown) -> None:
    titles = [head.text for head in shown.all(".ranking thead th")]
    assert {"rank", "model", "accuracy % ↑", "95% interval", "vs best", "log loss ↓", "Pareto", "runs"} <= set(titles)
    for place, title in enumerate(titles):
        for turn in range(2):
            shown.all(".ranking thead button")[place].click()
            sorted_by = shown.all(".ranking thead th")[place].get_attribute("aria-sort")
            first = "descending" if place == 0 or "↑" in title else None
            if turn == 0 and first:
                assert sorted_by == first
            values = column(shown, place)
            assert values == sorted(values, reverse=sorted_by == "descending"), title
    others = [head.get_attribute("aria-sort") for head in shown.all(".ranking thead th")[:-1]]
    assert set(others) == {"none"}


def column(shown: Shown, place: int) -> list[Any]:
    """The values that a column is sorted by, of the rows that have one."""
    script = f"return [...document.querySelectorAll('.ranking tbody tr')].map(r => r.cells[{place}].dataset.sort)"
    texts = [text for text in shown.run(script) if text is not None]
    return [float(text) for text in texts] if all(re.fullmatch(r"[-+.\de]+", text) for text in texts) else texts


def test_the_table_is_sorted_with_the_keyboard(shown: Shown) -> None:
    button = shown.head("log loss").find_element(By.TAG_NAME, "button")
    shown.run("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    assert shown.head("log loss").get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.SPACE)
    assert shown.head("log loss").get_attribute("aria-sort") == "descending"
    outline = shown.run("return getComputedStyle(arguments[0]).outlineStyle", button)
    assert outline == "solid"


def test_the_tabulator_reaches_the_filter_the_columns_and_the_plots(shown: Shown) -> None:
    reached = []
    for _ in range(60):
        shown.page.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(shown.run("const e = document.activeElement; return e.getAttribute('class') || e.tagName"))
    assert reached[0] == "skip"
    assert {"BUTTON", "A", "INPUT", "SELECT", "scroll ranking"} <= set(reached)
    assert any(name.startswith("point") for name in reached)


def test_rows_are_filtered_by_text_model_and_status(shown: Shown) -> None:
    field = shown.one("[data-filter] input")
    field.send_keys("BET")
    assert shown.order() == ["beta"]
    assert "1 of 4 shown" in shown.one("[data-filter]").text
    field.send_keys(Keys.CONTROL, "a", Keys.BACKSPACE)
    shown.select("ranking", "Model").select_by_visible_text(HOSTILE)
    assert shown.order() == [HOSTILE]
    shown.select("ranking", "Model").select_by_visible_text("all")
    for status, expected in (("fewer seeds than planned", {"beta"}), ("best, or tied with it", {"alpha", HOSTILE})):
        shown.select("ranking", "Status").select_by_visible_text(status)
        assert set(shown.order()) == expected
    assert "2/3 ⚠" in shown.run("return document.querySelector('.ranking').textContent")


def test_axes_are_chosen_and_points_tell_what_they_are(shown: Shown) -> None:
    shown.select("tradeoffs", "Cost").select_by_visible_text("parameters")
    shown.select("tradeoffs", "Quality").select_by_visible_text("test log loss")
    titles = [text.text for text in shown.all("[data-plot=scatter] .title")]
    assert titles == ["parameters (less is better)", "test log loss (less is better)"]
    shown.run("arguments[0].focus()", shown.one(".point[tabindex='0']"))
    assert "gamma" in shown.tip()
    assert "parameters: 0.34" in shown.tip()
    assert "dominated by beta" in shown.tip()
    shown.page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert "beta" in shown.tip().splitlines()[0]
    shown.page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not shown.one("#tip").is_displayed()


def test_the_front_goes_through_what_nothing_beats(shown: Shown) -> None:
    front = shown.one("[data-plot=scatter] .front").get_attribute("d")
    places = [each.get_attribute("transform") for each in shown.all(".point > g")]
    (x, y) = re.findall(r"translate\(([\d.]+) ([\d.]+)\)", min(places, key=lambda each: float(each[10:].split()[0])))[0]
    assert front is not None
    assert front.startswith(f"M{x},{y}")
    assert front.count("H") == 3


def test_points_have_bars_of_their_interval_in_their_colour(shown: Shown) -> None:
    bars = shown.all(".point .bar")
    assert len(bars) == 4
    stroke, colour = "return getComputedStyle(arguments[0]).stroke", "return getComputedStyle(arguments[0]).fill"
    for point in shown.all(".point"):
        bar, mark = point.find_element(By.CSS_SELECTOR, ".bar"), point.find_element(By.CSS_SELECTOR, "g > path")
        assert shown.run(stroke, bar) == shown.run(colour, mark)
    low, high = map(float, re.findall(r",([\d.]+)V([\d.]+)", bars[0].get_attribute("d") or "")[0])
    assert low > high


def test_curves_go_over_epochs_seconds_and_dollars(shown: Shown) -> None:
    choice = shown.select("curves", "Against")
    assert [option.text for option in choice.options] == ["epoch", "seconds of training", "dollars"]
    choice.select_by_visible_text("dollars")
    assert shown.all("[data-plot=curves] .title")[0].text == "dollars"
    plot = shown.one("[data-plot=curves] .plot svg")
    shown.run("arguments[0].focus()", plot)
    first = shown.tip()
    assert "epoch 3" in first
    assert "$0." in first
    plot.send_keys(Keys.ARROW_LEFT)
    assert "epoch 2" in shown.tip()
    plot.send_keys(Keys.ARROW_DOWN)
    assert shown.tip().splitlines()[0] != first.splitlines()[0]


def test_ranks_at_the_ends_of_lines_do_not_meet(shown: Shown) -> None:
    places = shown.run(
        """return [...document.querySelectorAll('[data-plot=curves] .plot .name')].map(t => +t.getAttribute('y'))"""
    )
    assert len(places) == 4
    assert min(np.diff(sorted(places))) >= 12


def test_a_line_is_hidden_and_shown_by_its_button(shown: Shown) -> None:
    button = shown.one("[data-plot=curves] .legend button")
    assert len(shown.all("[data-plot=curves] .series")) == 4
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert len(shown.all("[data-plot=curves] .series")) == 3
    button.click()
    assert len(shown.all("[data-plot=curves] .series")) == 4


def test_two_models_are_picked_and_their_difference_is_right(shown: Shown) -> None:
    rows = {row.model: row for row in shown.board.tables[0].rows}
    shown.select("confusion", "First").select_by_visible_text("beta")
    shown.select("confusion", "Second").select_by_visible_text("gamma")
    rates = {name: np.sum([confusion(e.directory) for e in rows[name].done], axis=0) for name in ("beta", "gamma")}
    whole = {name: counts / counts.sum(axis=1, keepdims=True) * 100 for name, counts in rates.items()}
    difference = np.floor(whole["gamma"] - whole["beta"] + 0.5)
    panels = shown.all(".matrix table")
    assert [each.text for each in shown.all(".matrix h4")] == ["beta", "gamma", "Difference: gamma less beta"]
    for i, j in ((0, 0), (3, 4), (9, 0), (5, 5)):
        texts = [shown.run(CELL, panel, i, j) for panel in panels]
        numbers = [int(text.replace("−", "-").replace("·", "") or 0) for text in texts]
        assert numbers == pytest.approx([whole["beta"][i, j], whole["gamma"][i, j], difference[i, j]], abs=1.01)
    assert "Largest differences: gamma less beta" in shown.one(".pairs").text


def confusion(directory: Path | None) -> Any:
    assert directory is not None
    return np.array(RunDir(directory).read_evaluation()["test"].confusion)


def test_the_gallery_shows_pictures_and_every_answer(shown: Shown) -> None:
    cards = shown.all("figure")
    assert 24 < len(cards) <= 48
    assert len(cards[0].find_elements(By.TAG_NAME, "li")) == 4
    loaded = "return [...document.querySelectorAll('figure img')].every(i => i.complete && i.naturalWidth === 32)"
    shown.until(lambda: shown.run(loaded))


def test_reliability_and_roc_are_drawn_for_each_class(shown: Shown) -> None:
    assert len(shown.all("[data-plot=reliability] .series")) == 4
    choice = shown.select("roc", "Class")
    assert [option.text for option in choice.options] == ["mean of all classes", HOSTILE, *NAMES[1:]]
    before = shown.one("[data-plot=roc] .line").get_attribute("d")
    choice.select_by_visible_text("Dress")
    assert shown.one("[data-plot=roc] .line").get_attribute("d") != before
    shown.select("roc", "False positives").select_by_visible_text("logarithmic")
    assert "0.1" in [text.text for text in shown.all("[data-plot=roc] text")]


def test_the_table_of_classes_is_of_the_chosen_model_and_sorts(shown: Shown) -> None:
    before = shown.one("[data-plot=classes] tbody").text
    shown.select("classes", "Model").select_by_visible_text("gamma")
    assert shown.one("[data-plot=classes] tbody").text != before
    head = shown.all("[data-plot=classes] thead button")[4]
    head.click()
    values = [float(row.text.split()[-2]) for row in shown.all("[data-plot=classes] tbody tr")]
    assert values == sorted(values)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_has_a_contrast_of_four_and_a_half(shown: Shown, theme: str) -> None:
    shown.emulate(theme)
    shown.one("[data-plot=curves] .legend button").click()
    found = shown.run(CONTRASTS)
    assert found["checked"] > 400
    assert found["low"] == []


def test_the_theme_follows_the_system_until_the_button_says_otherwise(shown: Shown) -> None:
    ground = "return getComputedStyle(document.querySelector('section')).backgroundColor"
    dark = f"rgb({', '.join(str(int(DARK[n : n + 2], 16)) for n in (1, 3, 5))})"
    assert shown.run(ground) == "rgb(255, 255, 255)"
    shown.emulate("dark")
    assert shown.run(ground) == dark
    button = shown.one("#theme")
    button.click()
    assert button.text == "Theme: light"
    assert shown.run(ground) == "rgb(255, 255, 255)"
    button.click()
    shown.emulate("light")
    assert shown.run(ground) == dark
    shown.page.refresh()
    assert shown.one("#theme").text == "Theme: dark"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways(shown: Shown, width: int) -> None:
    shown.emulate(width=width)
    shown.until(lambda: shown.run("return document.querySelector('.plot svg').viewBox.baseVal.width") <= width)
    assert shown.run("return document.documentElement.scrollWidth") <= width
    ranking = "const box = document.querySelector('.ranking'); return [box.scrollWidth, box.clientWidth]"
    inside, seen = shown.run(ranking)
    assert width == 1280 or inside > seen
    sizes = "return [...document.querySelectorAll('.plot text')].map(t => t.getBoundingClientRect().height)"
    assert min(height for height in shown.run(sizes) if height) >= 10


def test_print_is_light_and_whole(shown: Shown) -> None:
    shown.emulate("dark", media="print")
    assert (
        shown.run("return getComputedStyle(document.querySelector('section')).backgroundColor") == "rgb(255, 255, 255)"
    )
    assert not shown.one("#theme").is_displayed()
    assert shown.run("return getComputedStyle(document.querySelector('.ranking')).overflow") == "visible"
    shown.emulate()


def test_headings_landmarks_and_names_are_there_for_those_who_listen(shown: Shown) -> None:
    levels = [int(head.tag_name[1]) for head in shown.all("h1, h2, h3, h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(shown.all(tag) for tag in ("header", "main", "nav"))
    unnamed = """return [...document.querySelectorAll('select, input, button, [tabindex], img, svg[role]')].filter(e =>
      !(e.labels && e.labels.length) && !e.textContent.trim() && !e.getAttribute('aria-label') && !e.alt).length"""
    assert shown.run(unnamed) == 0
    assert shown.run("return document.documentElement.lang") == "en"


@pytest.mark.parametrize(("classes", "images"), [(2, 60), (40, 400), (300, 900)])
def test_matrices_are_legible_from_two_classes_to_hundreds(
    browser: webdriver.Chrome, tmp_path: Path, classes: int, images: int
) -> None:
    names = [f"class {n}" for n in range(classes)]
    entries = [trained(tmp_path, model, 0, skill, names, images) for model, skill in (("a", 3.0), ("b", 2.0))]
    shown = opened(browser, build(entries, HEADER), tmp_path)
    assert len(shown.all(".matrix")) == 3
    if classes <= 20:
        assert len(shown.all(".matrix:first-child td")) == classes**2 + 1
    else:
        assert len(shown.all(".matrix image")) == 3
        before = shown.one(".matrix image").get_attribute("href")
        shown.select("confusion", "Classes").select_by_visible_text("in their own order")
        assert shown.one(".matrix image").get_attribute("href") != before
    assert len(shown.all(".pairs > div:first-child li")) == min(10, classes)
    assert shown.run("return document.documentElement.scrollWidth") <= 1280
    assert browser.get_log("browser") == []


def test_two_data_sets_have_a_part_each(browser: webdriver.Chrome, tmp_path: Path) -> None:
    entries = [trained(tmp_path, "a", 0, 2.0), trained(tmp_path, "a", 0, 2.0, digest="f" * 64)]
    shown = opened(browser, build(entries, HEADER), tmp_path)
    assert [head.text for head in shown.all(".part > h2")] == ["fashion-mini 6d958be0", "fashion-mini ffffffff"]
    assert len(shown.all(".ranking")) == len(shown.all("[data-plot=roc] svg.mark")) == 2
    assert browser.get_log("browser") == []


def test_images_that_cannot_be_had_are_shown_by_their_ids(browser: webdriver.Chrome, tmp_path: Path) -> None:
    board = build([trained(tmp_path, "a", 0, 2.0), trained(tmp_path, "b", 0, 3.0)], HEADER)
    shown = opened(browser, board, tmp_path, html.no_thumbnails)
    assert shown.all("figure")
    assert not shown.all("figure img")
    assert "test/" in shown.one("figure").text
    assert "Images that are not on this machine are shown by their ids." in shown.one("[data-plot=gallery]").text


def test_fifty_configurations_of_three_seeds_take_less_than_two_megabytes(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    entries = [trained(tmp_path, f"model {n}", seed, 1 + n / 20, images=500) for n in range(50) for seed in range(3)]
    shown = opened(browser, build(entries, HEADER), tmp_path)
    assert shown.path.stat().st_size < 2_000_000
    assert len(shown.all(".ranking tbody tr")) == 50
    assert len(shown.all("figure")) == 48
    assert len(shown.all(".point")) == 50
    shown.head("accuracy").find_element(By.TAG_NAME, "button").click()
    assert browser.get_log("browser") == []


def opened(
    browser: webdriver.Chrome, board: Leaderboard, directory: Path, thumbnails: html.Thumbnails = noise
) -> Shown:
    path = directory / "page.html"
    path.write_text(
        html.page(board, [Exhibit(t, board.header.primary) for t in board.tables], directory, thumbnails),
        encoding="utf-8",
    )
    shown = Shown(browser, board, path)
    browser.get_log("browser")
    shown.emulate()
    browser.get(path.as_uri())
    shown.until(lambda: shown.all("[data-plot=classes] table"))
    return shown
