"""The report page in a real Chromium: it asks for nothing, complains of nothing, and fits a phone in both colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser import Browser, browser
from tests.reports import MANIFEST, report, said

from millwright_runner.page import render

MEGABYTE = 1_000_000
SCRIPT = "<img src=https://elsewhere.example/x onerror=console.error(1)><script>console.error(2)</script>"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return write(tmp_path)


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "report.html"
    path.write_text(render(report(**changes), MANIFEST))
    return path


def contrast(tab: Browser, selector: str) -> float:
    """Returns WCAG's contrast of an element's text against the page."""
    return float(
        tab.value(
            """(() => {
              const light = colour => { const [r, g, b] = colour.match(/[\\d.]+/g).map(v => v / 255)
                .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
              const element = document.querySelector('SELECTOR'), style = getComputedStyle(element);
              const ink = light(element.ownerSVGElement ? style.fill : style.color);
              const paper = light(getComputedStyle(document.body).backgroundColor);
              return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05) })()""".replace("SELECTOR", selector)
        )
    )


def test_it_asks_for_nothing_and_complains_of_nothing(tab: Browser, page: Path) -> None:
    tab.requests.clear()
    tab.complaints.clear()

    tab.open(page)

    assert tab.value("document.title") == "emotion: Published"
    assert tab.requests == [page.as_uri()]
    assert tab.complaints == []
    assert page.stat().st_size < MEGABYTE


def test_what_a_model_says_is_text(tab: Browser, tmp_path: Path) -> None:
    answers = {name: {"accuracy": {"samples": [said(SCRIPT, SCRIPT, SCRIPT)]}} for name in ("input", "genai")}
    tab.requests.clear()
    tab.complaints.clear()

    tab.open(write(tmp_path, job=SCRIPT, measurements=answers))

    assert tab.value("document.querySelector('h1').textContent") == SCRIPT
    assert len(tab.requests) == 1
    assert tab.complaints == []


def test_the_policy_stops_what_would_get_in_all_the_same(tab: Browser, page: Path) -> None:
    page.write_text(page.read_text().replace("</main>", f"{SCRIPT}</main>"))
    tab.complaints.clear()

    tab.open(page)

    assert any("Content Security Policy" in complaint for complaint in tab.complaints)
    assert tab.value("document.querySelector('main img').naturalWidth") == 0


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_runs_out_of_the_screen(tab: Browser, page: Path, width: int) -> None:
    tab.open(page, width=width)

    page_width, room = tab.value("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert page_width == room <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    "selector", ["h1", ".quiet", ".tag.good", "small.bad, small.good", ".axis text", ".legend text"]
)
def test_every_colour_can_be_read(tab: Browser, page: Path, selector: str, dark: bool) -> None:
    tab.open(page, dark=dark)

    assert contrast(tab, selector) >= 4.5


def test_light_and_dark_are_the_browsers(tab: Browser, page: Path) -> None:
    colours = []
    for dark in (False, True):
        tab.open(page, dark=dark)
        colours.append(tab.value("getComputedStyle(document.body).backgroundColor"))

    assert colours == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


def test_curves_are_lines_in_the_pages_colours(tab: Browser, page: Path) -> None:
    tab.open(page, dark=True)

    assert tab.value("document.querySelectorAll('svg').length") == 5
    line = "getComputedStyle(document.querySelector('.series .line'))"
    assert tab.value(f"{line}.fill") == "none"
    assert tab.value(f"{line}.stroke") == "rgb(108, 176, 255)"
