"""The report page of the largest search that there can be, in a real Chromium: it fits, it can be read, it asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import searches
from tests.browser import Browser, browser
from tests.pipeline.test_page_browser import contrast
from tests.reports import MANIFEST, report

from millwright_runner.page import render


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def write(target: Path, search: searches.Json, spec: searches.Json) -> Path:
    document = report(search=search)
    target.write_text(render(document | {"spec": document["spec"] | {"search": spec}}, MANIFEST))
    return target


@pytest.fixture(scope="module")
def largest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("largest") / "report.html", *searches.largest())


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("usual") / "report.html", searches.search(), searches.SPEC)


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("which", ["usual", "largest"])
def test_nothing_runs_out_of_the_screen(tab: Browser, which: str, width: int, request: pytest.FixtureRequest) -> None:
    tab.open(request.getfixturevalue(which), width=width)

    page_width, room = tab.value("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert page_width == room <= width


def test_on_a_phone_no_trial_has_to_be_scrolled_sideways(tab: Browser, usual: Path) -> None:
    tab.open(usual, width=390)

    assert tab.value("Math.max(...[...document.querySelectorAll('.trials')].map(t => t.scrollWidth))") <= 390


def test_it_asks_for_nothing_and_complains_of_nothing(tab: Browser, largest: Path) -> None:
    tab.requests.clear()
    tab.complaints.clear()

    tab.open(largest)

    assert tab.value("document.querySelectorAll('.trials tbody tr').length") == 200
    assert tab.requests == [largest.as_uri()]
    assert tab.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("selector", [".mark", ".trials td.warn", ".trials td.bad", ".trials tbody small"])
def test_every_colour_can_be_read(tab: Browser, usual: Path, selector: str, dark: bool) -> None:
    tab.open(usual, dark=dark)

    assert contrast(tab, selector) >= 4.5


def test_points_are_in_the_pages_colours_in_the_dark_too(tab: Browser, usual: Path) -> None:
    colours = []
    for dark in (False, True):
        tab.open(usual, dark=dark)
        colours.append(tab.value("getComputedStyle(document.querySelector('.series.color-2 .dot')).fill"))

    assert colours == ["rgb(107, 118, 130)", "rgb(152, 164, 176)"]


def test_a_legend_lies_within_its_chart(tab: Browser, usual: Path) -> None:
    tab.open(usual)

    outside = tab.value(
        "[...document.querySelectorAll('.legend')].filter(l => l.getBoundingClientRect().bottom > "
        "l.ownerSVGElement.getBoundingClientRect().bottom + 1).length"
    )
    assert outside == 0
