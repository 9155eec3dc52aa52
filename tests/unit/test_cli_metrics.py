"""`millwright metrics`: the list, one metric, the page in docs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cliground import CliGround

from millwright_runner.cli.metrics import LISTING
from millwright_runner.evaluation.bound import METRICS

ROOT = Path(__file__).parents[2]

PLUGIN = '''\
from typing import ClassVar

from pydantic import Field

from millwright_runner.metrics import Metric


class Politeness(Metric):
    """Share of answers that say please."""

    name: ClassVar[str] = "politeness"
    unit: ClassVar[str] = "share"
    higher_is_better: ClassVar[bool] = True
    needs_examples: ClassVar[bool] = True

    word: str = Field(default="please", min_length=1, description="What is looked for.")
'''


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliGround]:
    ground = CliGround.make(tmp_path_factory.mktemp("metrics"))
    info = ground.folder / "plugins" / "polite-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polite\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[millwright.metrics]\npoliteness = polite:Politeness\nbroken = polite:Rudeness\n"
    )
    (ground.folder / "plugins" / "polite.py").write_text(PLUGIN)
    yield ground


class TestTheList:
    def test_it_says_unit_direction_and_needs(self, ground: CliGround) -> None:
        said = ground.run("metrics", COLUMNS="200")

        lines = {line.split()[0]: line for line in said.out.split("\n") if line}
        assert re.match(r"exactMatch +share +higher +data with answers +Share of answers", lines["exactMatch"])
        assert re.match(r"tokenLatency +ms +lower +nothing +How long one waits for a token", lines["tokenLatency"])
        assert re.match(r"perplexity +perplexity +lower +data +Perplexity", lines["perplexity"])
        assert said.out.endswith("Options of one: millwright metrics NAME\n")

    def test_plug_ins_are_in_it(self, ground: CliGround) -> None:
        assert "\npoliteness " in ground.run("metrics").out

    def test_a_broken_plug_in_does_not_hide_the_others(self, ground: CliGround) -> None:
        said = ground.run("metrics")

        assert said.code == 0
        assert "throughput" in said.out
        assert "UnknownMetric: the metric 'broken' (polite:Rudeness) cannot be imported" in said.err

    def test_json_has_every_metric_with_its_facts(self, ground: CliGround) -> None:
        documents = {document["name"]: document for document in json.loads(ground.run("metrics", "--json").out)}

        facts = {key: documents["politeness"][key] for key in ("unit", "higherIsBetter", "needsData", "builtIn")}
        assert facts == {"unit": "share", "higherIsBetter": True, "needsData": True, "builtIn": False}
        assert documents["tokenLatency"]["ofMachine"] is True
        assert {"exactMatch", "f1", "perplexity", "tokenLatency", "throughput", "sizeOnDisk", "peakMemory"} <= set(
            documents
        )


class TestOne:
    def test_its_options_are_shown_with_bounds_and_defaults(self, ground: CliGround) -> None:
        said = ground.run("metrics", "tokenLatency")

        assert said.out.startswith("tokenLatency  in ms, lower is better, measured on no data\nHow long one waits")
        assert "\npercentile  one of 50, 90, 99\n" in re.sub(r" +\n", "\n", said.out)
        assert "\nwarmup  a whole number, 0 to 1000" in said.out

    def test_a_plug_ins_own_page_can_be_made(self, ground: CliGround) -> None:
        said = ground.run("metrics", "politeness", "--markdown")

        assert "## politeness (plug-in)" in said.out
        assert "In share; higher is better. Needs `data`." in said.out
        assert "| `word` | text | `please` | What is looked for. |" in said.out

    def test_an_unknown_one_suggests(self, ground: CliGround) -> None:
        said = ground.run("metrics", "tokenlatency")

        assert (said.code, said.out) == (2, "")
        assert said.err == "UnknownMetric: no metric is called 'tokenlatency'\n  hint: did you mean 'tokenLatency'?\n"


class TestThePage:
    def test_what_is_in_docs_is_what_the_metrics_say(self, ground: CliGround) -> None:
        said = ground.run("metrics", "--markdown")

        assert said.out == (ROOT / "docs" / "metrics.md").read_text(), "make docs"
        assert "politeness" not in said.out

    @pytest.mark.parametrize("name", sorted(METRICS.builtin()))
    def test_every_metric_shows_how_it_is_written_in_its_first_line(self, name: str) -> None:
        first = (METRICS.get(name).__doc__ or "").split("\n", 1)[0]

        assert re.search(rf"`{name}: \{{.*\}}`$", first)

    @pytest.mark.parametrize("name", sorted(METRICS.builtin()))
    def test_every_option_is_described_and_says_its_default(self, name: str) -> None:
        for field, info in METRICS.get(name).model_fields.items():
            assert re.search(r"Default: [^.]+.*\.$", info.description or ""), f"{name}.{field}"

    def test_one_that_depends_on_the_machine_says_so(self) -> None:
        sentences = {name: LISTING.sentence(kind) for name, kind in METRICS.builtin().items()}

        assert [name for name, text in sentences.items() if "Depends on the machine" in text] == [
            "peakMemory", "throughput", "tokenLatency",
        ]  # fmt: skip
