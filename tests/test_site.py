"""The documentation as a site: built without a warning, whole, and looked at in a browser."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.html_support import CHROMIUM, DRIVER, chromium

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site кот")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return place


def test_the_site_is_built_without_a_warning_and_has_every_page(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    missing = {each for each in pages if "runs" not in each.parts and not (site / each).exists()}
    assert not missing
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2])
    assert {Path(each).with_suffix(".html") for each in listed} == {
        each for each in pages if each.parts[0] != "example"
    }


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["']?https?://[^"'>]+""", text), path


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")
def test_a_browser_shows_the_pages_and_says_no_error(site: Path, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as page:
        for name in ("index", "tutorial", "keys", "architecture", "example/leaderboard"):
            page.get((site / f"{name}.html").as_uri())
            assert page.find_element("css selector", "h1").text
            wide = page.execute_script("return document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is wider than the window"
            errors = [each for each in page.get_log("browser") if each["level"] == "SEVERE"]
            assert not [each for each in errors if "search" not in each["message"]], errors
