"""Metrics of speed and size, on a model whose times are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests import tiny

from millwright_api.errors import InvalidManifest, InvalidModel, MemoryInsufficient, PassFailed, Stopped
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI, Artifact
from millwright_runner.data.tokens import Tokens, load_tokens
from millwright_runner.metrics import peak_memory
from millwright_runner.metrics.peak_memory import PeakMemory, as_data, from_data, resident_bytes
from millwright_runner.metrics.size_on_disk import SizeOnDisk
from millwright_runner.metrics.speed import check_room, interval, prompts, room
from millwright_runner.metrics.throughput import Throughput
from millwright_runner.metrics.token_latency import TokenLatency
from millwright_runner.subjects import Ids, Timing


@dataclass
class Clockwork:
    """A model whose generations take what they are told to; it remembers what it was asked."""

    artifact: Artifact
    timings: Iterator[Timing] = field(default_factory=lambda: iter(()))
    asked: list[tuple[list[Ids], int]] = field(default_factory=list)
    device: str = "cpu"
    end: frozenset[int] = frozenset()
    closed: bool = False

    def close(self) -> None:
        self.closed = True

    def timed(self, batch: Sequence[Ids], *, new_tokens: int) -> Timing:
        self.asked.append((list(batch), new_tokens))
        return next(self.timings)


@dataclass
class Room:
    """What a metric gets: a tokenizer, and an empty folder."""

    tokens: Tokens
    scratch: Path
    trust_remote_code: bool = False
    examples: tuple[()] = ()
    checks: int = 0
    stop_at: int | None = None

    def answers(self, asking: Any) -> list[str]:
        return []

    def check(self) -> None:
        self.checks += 1
        if self.checks == self.stop_at:
            raise Stopped("SIGTERM: while measuring")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return load_tokens(tiny.make_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture
def context(tokens: Tokens, tmp_path: Path) -> Room:
    (tmp_path / "scratch").mkdir()
    return Room(tokens, tmp_path / "scratch")


def clockwork(timings: Sequence[Timing], folder: Path = Path("model")) -> Clockwork:
    return Clockwork(Artifact(folder, HF, "0" * 64), iter(timings))


class TestPrompts:
    def test_they_have_the_length_that_was_asked_for_and_differ(self, tokens: Tokens) -> None:
        made = prompts(tokens, 4, 16)

        assert [len(prompt) for prompt in made] == [16] * 4
        assert len({tuple(prompt) for prompt in made}) == 4

    def test_they_are_the_same_each_time(self, tokens: Tokens) -> None:
        assert prompts(tokens, 3, 8) == prompts(tokens, 3, 8)

    def test_no_special_token_is_in_them(self, tokens: Tokens) -> None:
        special = {tokens.tokenizer.token_to_id(text) for text in tiny.SPECIAL}

        assert special & {token for prompt in prompts(tokens, 50, 200) for token in prompt} == set()

    def test_the_last_id_is_left_to_pad_with(self, tokens: Tokens) -> None:
        largest = max(tokens.tokenizer.get_vocab().values())

        assert max(token for prompt in prompts(tokens, 50, 200) for token in prompt) == largest - 1


class TestRoom:
    @pytest.mark.parametrize(("file", "content", "found"), [
        ("config.json", {"max_position_embeddings": 512}, 512),
        ("config.json", {"n_positions": 1024}, 1024),
        ("config.json", {"model_type": "x"}, None),
        ("config.json", {"max_position_embeddings": "many"}, None),
        ("genai_config.json", {"model": {"context_length": 4096}}, 4096),
        ("genai_config.json", {"model": []}, None),
        ("other.json", {}, None),
    ])  # fmt: skip
    def test_it_is_what_the_folders_configuration_says(
        self, file: str, content: dict[str, Any], found: int | None, tmp_path: Path
    ) -> None:
        (tmp_path / file).write_text(json.dumps(content))

        assert room(tmp_path) == found

    def test_what_genai_was_built_for_comes_first(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
        (tmp_path / "genai_config.json").write_text('{"model": {"context_length": 256}}')

        assert room(tmp_path) == 256

    @pytest.mark.parametrize("metric", [TokenLatency, Throughput, PeakMemory])
    def test_every_metric_refuses_more_than_the_model_takes(
        self, metric: type[TokenLatency | Throughput | PeakMemory], tmp_path: Path
    ) -> None:
        tokens = load_tokens(tiny.make_tokenizer(tmp_path))
        (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')

        metric.model_validate({"promptTokens": 480, "newTokens": 32}).check(tokens)
        with pytest.raises(InvalidManifest) as caught:
            metric.model_validate({"promptTokens": 481, "newTokens": 32}).check(tokens)

        assert (caught.value.where, caught.value.hint) == ("promptTokens", "at most 480 here")
        assert "more than the 512 tokens that the model takes" in caught.value.message

    def test_where_no_prompt_fits_new_tokens_are_named(self, tmp_path: Path) -> None:
        tokens = load_tokens(tiny.make_tokenizer(tmp_path))
        (tmp_path / "config.json").write_text('{"max_position_embeddings": 16}')

        with pytest.raises(InvalidManifest) as caught:
            check_room(tokens, 1, 16)

        assert caught.value.hint == "fewer than 16 newTokens"

    def test_where_nothing_is_known_nothing_is_refused(self, tokens: Tokens) -> None:
        check_room(tokens, 100_000, 100_000)


class TestIntervals:
    def test_repetitions_that_are_all_alike_leave_no_doubt(self) -> None:
        assert interval([[2.0, 4.0]] * 5, lambda samples: samples.mean(axis=1)) == (3.0, 3.0)

    def test_whole_repetitions_are_drawn(self) -> None:
        """Each repetition's mean is 3: drawing single values would show their spread."""
        assert interval([[2.0, 4.0], [1.0, 5.0], [0.0, 6.0]], lambda samples: samples.mean(axis=1)) == (3.0, 3.0)

    def test_of_a_mean_it_is_about_two_standard_errors_wide(self) -> None:
        import numpy as np

        values = np.random.default_rng(1).normal(10.0, 1.0, 400)

        low, high = interval([[value] for value in values], lambda samples: samples.mean(axis=1))

        assert (low, high) == pytest.approx((values.mean() - 1.96 / 20, values.mean() + 1.96 / 20), abs=0.02)


class TestTokenLatency:
    TIMINGS = [Timing(9.0, (9.0, 9.0))] * 2 + [Timing(0.010 * n, (0.001 * n, 0.003 * n)) for n in range(1, 11)]
    """Two to warm up, then ten that count: first tokens after 10 to 100 ms."""

    def test_the_median_of_the_tokens_after_the_first_is_the_default(self, context: Room) -> None:
        measured = TokenLatency().measure(clockwork(self.TIMINGS), context)

        values = sorted([1.0 * n for n in range(1, 11)] + [3.0 * n for n in range(1, 11)])
        assert measured.value == pytest.approx((values[9] + values[10]) / 2)
        assert measured.n == 10

    @pytest.mark.parametrize(("percentile", "expected"), [(50, 55.0), (90, 91.0), (99, 99.1)])
    def test_percentiles_of_the_first_token_are_in_ms_and_interpolated(
        self, percentile: int, expected: float, context: Room
    ) -> None:
        metric = TokenLatency.model_validate({"of": "firstToken", "percentile": percentile})

        assert metric.measure(clockwork(self.TIMINGS), context).value == pytest.approx(expected)

    def test_all_percentiles_of_both_are_kept(self, context: Room) -> None:
        measured = TokenLatency().measure(clockwork(self.TIMINGS), context)

        assert set(measured.details) == {f"{of}P{p}" for of in ("firstToken", "perToken") for p in (50, 90, 99)}
        assert measured.details["firstTokenP50"] == pytest.approx(55.0)
        assert measured.details["perTokenP50"] == measured.value

    def test_the_interval_holds_the_value(self, context: Room) -> None:
        measured = TokenLatency().measure(clockwork(self.TIMINGS), context)

        assert measured.low is not None and measured.high is not None
        assert 0 < measured.low < measured.value < measured.high

    def test_one_prompt_is_asked_at_a_time_each_another_one(self, context: Room) -> None:
        model = clockwork(self.TIMINGS)

        TokenLatency.model_validate({"promptTokens": 7, "newTokens": 3}).measure(model, context)

        assert [(len(batch), len(batch[0]), new) for batch, new in model.asked] == [(1, 7, 3)] * 12
        assert len({tuple(batch[0]) for batch, _ in model.asked}) == 12

    def test_it_stops_between_two_generations(self, context: Room) -> None:
        context.stop_at, model = 4, clockwork(self.TIMINGS)

        with pytest.raises(Stopped):
            TokenLatency().measure(model, context)

        assert len(model.asked) == 3

    @pytest.mark.parametrize(
        "options",
        [{"percentile": 95}, {"of": "last"}, {"newTokens": 1}, {"promptTokens": 0}, {"repeats": 0}, {"warmUp": 1}],
    )
    def test_what_makes_no_sense_is_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            TokenLatency.model_validate(options)


class TestThroughput:
    def test_it_counts_all_tokens_of_a_batch_and_all_of_the_time(self, context: Room) -> None:
        timings = [Timing(99.0, (99.0,)), Timing(0.5, (0.25, 0.25)), Timing(1.0, (0.5, 0.5)), Timing(1.5, (0.75, 0.75))]

        measured = Throughput.model_validate({"batchSize": 4, "newTokens": 3}).measure(clockwork(timings), context)

        assert measured.value == pytest.approx(4 * 3 * 3 / (1.0 + 2.0 + 3.0))
        assert measured.n == 3
        assert measured.low is not None and measured.high is not None
        assert 4.0 <= measured.low <= measured.value <= measured.high <= 12.0

    def test_every_batch_is_the_same(self, context: Room) -> None:
        model = clockwork([Timing(1.0, ())] * 4)

        Throughput.model_validate({"batchSize": 5, "promptTokens": 9, "newTokens": 1}).measure(model, context)

        assert [(len(batch), new) for batch, new in model.asked] == [(5, 1)] * 4
        assert all(batch == model.asked[0][0] for batch, _ in model.asked)

    def test_no_batch_is_larger_than_genai_takes(self) -> None:
        with pytest.raises(ValidationError, match="less than or equal to 32"):
            Throughput.model_validate({"batchSize": 33})


class TestSizeOnDisk:
    def test_all_files_count_those_in_folders_too(self, context: Room, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        (folder / "deeper").mkdir(parents=True)
        (folder / "config.json").write_bytes(b"x" * 100)
        (folder / "deeper" / "weights").write_bytes(b"x" * 1000)

        measured = SizeOnDisk().measure(clockwork([], folder), context)

        assert (measured.value, measured.details, measured.low) == (1100.0, {"files": 2.0}, None)

    def test_links_count_as_what_they_lead_to(self, context: Room, tmp_path: Path) -> None:
        (tmp_path / "blob").write_bytes(b"x" * 1000)
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "weights").symlink_to(tmp_path / "blob")

        assert SizeOnDisk().measure(clockwork([], tmp_path / "model"), context).value == 1000.0

    def test_an_outputs_own_notes_do_not(self, context: Room, tmp_path: Path) -> None:
        """The same model has the same size in a step's folder and in the output."""
        (tmp_path / "model" / "onnx").mkdir(parents=True)
        for name in ("manifest.json", ".claim", "README.md", "provenance.json", "model.onnx", "onnx/README.md"):
            (tmp_path / "model" / name).write_bytes(b"x" * 10)

        assert SizeOnDisk().measure(clockwork([], tmp_path / "model"), context).value == 20.0

    def test_an_adapters_base_does_not(self, context: Room, tmp_path: Path) -> None:
        for name in ("base", "adapter"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "weights").write_bytes(b"x" * 10)
        base = Artifact(tmp_path / "base", HF, "")
        model = Clockwork(Artifact(tmp_path / "adapter", HF_ADAPTER, "", base))

        assert SizeOnDisk().measure(model, context).value == 10.0

    def test_it_does_not_ask_the_model(self) -> None:
        assert not SizeOnDisk.asks
        assert not SizeOnDisk.of_machine


class TestPeakMemory:
    """The process of its own; a real one is in tests/pipeline."""

    def child(self, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
        """Runs this Python code in its place; sys.argv holds the files."""
        start = subprocess.Popen

        def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
            return start([sys.executable, "-c", code, *command[-2:]], **options)

        monkeypatch.setattr(peak_memory.subprocess, "Popen", popen)

    def test_it_is_what_the_process_says_of_itself(self, context: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        self.child(monkeypatch, "import sys; open(sys.argv[2], 'w').write('{\"resident\": 1000, \"cuda\": 0}')")

        measured = PeakMemory().measure(clockwork([]), context)

        assert (measured.value, measured.details, measured.n) == (1000.0, {}, 1)

    def test_the_model_is_not_held_twice(self, context: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        model, held = clockwork([]), []
        self.child(monkeypatch, "import sys; open(sys.argv[2], 'w').write('{\"resident\": 1, \"cuda\": 0}')")
        run = peak_memory._run
        monkeypatch.setattr(peak_memory, "_run", lambda *given: held.append(not model.closed) or run(*given))

        PeakMemory().measure(model, context)

        assert held == [False]

    def test_the_gpus_memory_is_a_detail(self, context: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        self.child(monkeypatch, "import sys; open(sys.argv[2], 'w').write('{\"resident\": 1000, \"cuda\": 500}')")

        assert PeakMemory().measure(clockwork([]), context).details == {"cudaBytes": 500.0}

    @pytest.mark.parametrize(
        ("device", "provider"), [("cpu", "CPUExecutionProvider"), ("cuda", "CUDAExecutionProvider")]
    )
    def test_it_is_told_the_model_the_prompt_and_what_to_run_it_on(
        self, device: str, provider: str, context: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copied = tmp_path / "seen.json"
        self.child(
            monkeypatch,
            f"import shutil, sys; shutil.copy(sys.argv[1], {str(copied)!r}); open(sys.argv[2], 'w').write('{{\"resident\": 1, \"cuda\": 0}}')",
        )
        base = Artifact(tmp_path / "base", HF, "b")
        model = Clockwork(Artifact(tmp_path / "adapter", HF_ADAPTER, "a", base), device=device)

        PeakMemory.model_validate({"promptTokens": 5, "newTokens": 6}).measure(model, context)

        task = json.loads(copied.read_text())
        assert from_data(task["artifact"]) == Artifact(
            tmp_path / "adapter", HF_ADAPTER, "", Artifact(base.folder, HF, "")
        )
        assert (task["provider"], task["newTokens"], task["trustRemoteCode"]) == (provider, 6, False)
        assert task["prompt"] == prompts(context.tokens, 1, 5)[0]

    @pytest.mark.parametrize(("code", "kind", "said"), [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", MemoryInsufficient, "this machine has too little memory"),
        ("import sys; print('noise'); sys.stderr.write('model: it is torn\\n'); sys.exit(2)", InvalidModel, "failed: model: it is torn"),
        ("raise RuntimeError('no kernel')", PassFailed, "failed: RuntimeError: no kernel"),
        ("import os; os._exit(9)", PassFailed, "failed: exit code 9"),
    ])  # fmt: skip
    def test_a_process_that_fails_says_why(
        self, code: str, kind: type[Exception], said: str, context: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.child(monkeypatch, code)

        with pytest.raises(kind, match=said):
            PeakMemory().measure(clockwork([]), context)

    def test_a_stop_ends_the_process(self, context: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.child(
            monkeypatch,
            f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)",
        )

        def check() -> None:
            if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                raise Stopped("SIGTERM: while measuring")

        monkeypatch.setattr(context, "check", check)
        with pytest.raises(Stopped):
            PeakMemory().measure(clockwork([]), context)

        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)

    def test_the_process_ends_when_nobody_waits_for_it(self, tmp_path: Path) -> None:
        model = Artifact(tiny.make_model_files(tmp_path / "model"), HF, "")
        task = {"artifact": as_data(model), "provider": "", "trustRemoteCode": False, "prompt": [5], "newTokens": 1}
        (tmp_path / "task.json").write_text(json.dumps(task))
        command = [sys.executable, "-m", peak_memory.__name__, str(tmp_path / "task.json"), str(tmp_path / "told.json")]

        done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)

        assert done.returncode == peak_memory.ORPHAN
        assert not (tmp_path / "told.json").exists()

    def test_an_artifact_survives_the_way_to_the_process(self) -> None:
        artifact = Artifact(Path("/models/a"), ONNX_GENAI, "")

        assert from_data(json.loads(json.dumps(as_data(artifact)))) == artifact

    def test_what_its_parent_had_does_not_count(self) -> None:
        """Linux's ru_maxrss starts at what the parent had when it forked."""
        code = "from millwright_runner.metrics.peak_memory import resident_bytes; print(resident_bytes())"
        before = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
        ballast = bytearray(b"x") * (400 << 20)

        after = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)

        assert resident_bytes() > len(ballast)
        assert abs(after - before) < 50 << 20
