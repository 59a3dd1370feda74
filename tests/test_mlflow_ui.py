"""What a person sees in MLflow's pages, in a real browser; the shared view's format is documented nowhere else."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from benchmark.labels import labels
from benchmark.mlflow_store import sqlite_uri
from benchmark.tracking import Publisher
from reports.settings import setting
from tests.mlflow_support import FACTS, a_run, confusion_png, epoch, fail, finish, mlflow_server, new_rundir

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1900,1100"
)
ACCURACY = {("lenet5", 0.01): 0.71, ("lenet5", 0.001): 0.83, ("resnet18", 0.01): 0.875, ("resnet18", 0.001): 0.91}
RANKED = [
    f"{model}, {setting('lr', lr)} · seed 0" for (model, lr), _ in sorted(ACCURACY.items(), key=lambda item: -item[1])
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]


class Published:
    """An experiment of four finished runs, a failed one and the sweep's own, and the server that shows it."""

    def __init__(self, directory: Path, address: str, link: str, ids: list[str]) -> None:
        self.directory, self.address, self.link, self.ids = directory, address, link, ids
        self.experiment = link.split("/")[2]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    directory = tmp_path_factory.mktemp("кот #1")
    runs = [a_run(model=model, lr=lr) for model, lr in ACCURACY]
    failed = a_run(model="lenet5", lr=10.0)
    publisher = Publisher(sqlite_uri(directory / "mlflow.db"), "fashion-tour", data=FACTS, artifacts=confusion_png)
    names = labels([*runs, failed])
    for run in (*runs, failed):
        rundir = new_rundir(directory, run)
        accuracy = ACCURACY.get((run.model, run.lr), 0.1)
        for number in (1, 2, 3):
            rundir.append_event(epoch(number, accuracy * (1 - 0.4**number)))
        if run is failed:
            fail(rundir)
        else:
            finish(rundir, accuracy, seconds=accuracy * 100 - 60 * run.lr)
            rundir.write_profile({"speed/latency_ms_p50": 20 * accuracy - 10})
        found = publisher.publish(run, rundir, run.run_id * 2, None, name=names[run.run_id])
        if run is runs[0]:
            ids = [found.mlflow_run_id]
        elif run is not failed:
            ids.append(found.mlflow_run_id)
    publisher.log_sweep({"leaderboard.md": b"# Leaderboard"}, "e" * 32)
    link = publisher.write_view([*runs, failed], "test/accuracy")
    with mlflow_server(directory, directory / "server.log") as address:
        yield Published(directory, address, link, ids)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    # MLflow opens its chat beside the page on the first visit.
    visited = {"source": "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"}
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", visited)
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def see(browser: webdriver.Chrome, tmp_path: Path) -> Callable[..., None]:
    """Waits until ``shown`` holds, and keeps a picture of the page either way."""

    def wait(shown: Callable[[webdriver.Chrome], object], picture: str) -> None:
        try:
            WebDriverWait(browser, 60, ignored_exceptions=[Exception]).until(shown)
        except TimeoutException:
            raise AssertionError(f"{picture} shows:\n{words(browser)}") from None
        finally:
            browser.save_screenshot(str(tmp_path / f"{picture}.png"))

    return wait


def words(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def having(browser: webdriver.Chrome, selector: str) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, selector)


def all_in(*texts: str) -> Callable[[webdriver.Chrome], bool]:
    return lambda browser: all(text in words(browser) for text in texts)


def drawn(browser: webdriver.Chrome, title: str, selector: str) -> int:
    """How many marks the chart with this title has, without the faint line that MLflow draws below a smoothed one.

    The chart is scrolled into sight, since those elsewhere are not drawn."""
    script = """
        const [title, selector] = arguments;
        const cards = [...document.querySelectorAll('[data-testid^=experiment-view-compare-runs-card]')];
        const card = cards.find(each => each.innerText.split('\\n').some(line => line.trim() === title));
        if (!card) return 0;
        card.scrollIntoView({block: 'center'});
        const faint = each => Number(each.style.strokeOpacity || 1) < 1;
        return [...card.querySelectorAll(selector)].filter(each => !faint(each)).length;"""
    return int(browser.execute_script(script, title, selector))


def show(browser: webdriver.Chrome, see: Callable[..., None], section: str) -> None:
    """Scrolls to a section of charts."""
    see(all_in(section), "sections")
    script = "[...document.querySelectorAll('*')].filter(e => e.innerText === arguments[0]).pop().scrollIntoView()"
    browser.execute_script(script, section)


def test_the_link_opens_a_table_of_the_runs_sorted_by_accuracy(
    published: Published, browser: webdriver.Chrome, see: Callable[..., None]
) -> None:
    browser.get(f"{published.address}/{published.link}")
    see(all_in("5 matching runs", *RANKED, "lenet5, lr 10 · seed 0"), "table")
    text = words(browser)
    for column in ("model", "lr", "test/accuracy", "test/f1_macro", "test/log_loss", "cost/train_seconds"):
        assert f"\n{column}\n" in text
    assert "seed" not in text.split("matching runs")[0].split("Parameters")[1].split("Metrics")[0]
    assert "leaderboard" not in text
    accuracies = [cell.text for cell in having(browser, '[role=gridcell][col-id="metrics.`test/accuracy`"]')]
    assert accuracies[:4] == ["0.91", "0.875", "0.83", "0.71"]


SCATTERS = [f"{cost} vs. test/accuracy" for cost in ("cost/train_seconds", "speed/latency_ms_p50", "model/parameters")]
AXES = ("model", "lr", "cost/train_seconds", "test/log_loss", "test/accuracy")


@pytest.fixture
def charts(published: Published, browser: webdriver.Chrome, see: Callable[..., None]) -> webdriver.Chrome:
    browser.get(f"{published.address}/{published.link}")
    see(all_in("5 matching runs"), "before")
    button = browser.find_element(By.CSS_SELECTOR, "[name=runs-view-mode][value=CHART]")
    browser.execute_script("arguments[0].click()", button)
    return browser


def test_the_charts_are_one_click_away(charts: webdriver.Chrome, see: Callable[..., None]) -> None:
    see(all_in("Results", "Quality against cost", "test/f1_macro", *SCATTERS), "charts")
    see(lambda page: drawn(page, "test/accuracy", ".barlayer .point") == 4, "bars")
    for title in SCATTERS:
        see(lambda page, title=title: drawn(page, title, ".scatterlayer .point") == 4, title.replace("/", "-"))


def test_settings_and_metrics_are_joined_by_parallel_lines(charts: webdriver.Chrome, see: Callable[..., None]) -> None:
    show(charts, see, "Hyperparameters and what came of them")
    see(lambda page: {each.text for each in having(page, "svg .axis .label")} >= set(AXES), "parallel")
    assert having(charts, "canvas.foreground"), "no lines are drawn"


def test_curves_over_the_epochs_are_drawn_of_every_run(charts: webdriver.Chrome, see: Callable[..., None]) -> None:
    show(charts, see, "Learning curves")
    for metric in ("val/accuracy", "val/log_loss", "train/loss"):
        see(lambda page, metric=metric: drawn(page, metric, ".scatterlayer .js-line") == 5, metric.replace("/", "-"))


def test_the_page_of_compared_runs_shows_their_confusion_matrices(
    published: Published, browser: webdriver.Chrome, see: Callable[..., None]
) -> None:
    runs, experiments = (quote(json.dumps(each)) for each in (published.ids[:2], [published.experiment]))
    browser.get(f"{published.address}/#/compare-runs?runs={runs}&experiments={experiments}")
    see(lambda page: having(page, '[aria-label="confusion_matrix.png"]'), "compare")
    browser.execute_script("arguments[0].firstChild.click()", having(browser, '[aria-label="confusion_matrix.png"]')[0])
    pictures = "return new Set([...document.images].filter(i => i.naturalWidth == 300).map(i => i.src)).size"
    see(lambda page: page.execute_script(pictures) == 2, "loaded")
    picture = browser.execute_script("return [...document.images].find(i => i.naturalWidth == 300)")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", picture)
    see(lambda page: picture.is_displayed(), "confusion")


def test_the_page_of_a_failed_run_says_why(
    published: Published, browser: webdriver.Chrome, see: Callable[..., None]
) -> None:
    browser.get(f"{published.address}/{published.link}")
    see(all_in("lenet5, lr 10 · seed 0"), "before")
    browser.execute_script("arguments[0].click()", browser.find_element(By.PARTIAL_LINK_TEXT, "lr 10"))
    see(all_in("Failed (diverged)", "NaN at", "fashion-mini"), "failed")
    assert "secret" not in words(browser)
