"""`millwright bench`: what it measures, prints and refuses; a model whose times are known takes the real one's place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cliground import CliGround
from tests.tiny import make_model_files, make_tokenizer

from millwright_runner.artifact import HF, ONNX_GENAI, Artifact
from millwright_runner.cli import measuring
from millwright_runner.cli.app import main
from millwright_runner.cli.named import Named
from millwright_runner.metrics import Measured
from millwright_runner.metrics.peak_memory import PeakMemory
from millwright_runner.subjects import Ids, Timing

ROOM = 512


class Clockwork:
    """A model that takes 20 ms to the first token and 5 ms to each further one."""

    device = "cpu"
    end: frozenset[int] = frozenset()

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.asked: list[tuple[int, int, int]] = []
        self.closed = 0

    def generate(self, prompts: Sequence[Ids], *, new_tokens: int, batch_size: int) -> list[list[int]]:
        return [[7] for _ in prompts]

    def timed(self, prompts: Sequence[Ids], *, new_tokens: int) -> Timing:
        self.asked.append((len(prompts), len(prompts[0]), new_tokens))
        return Timing(0.020, (0.005,) * (new_tokens - 1))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clockwork]:
    """An onnx-genai folder that runs like clockwork, in the folder `onnx`; no process of its own is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MILLWRIGHT_HOME", str(tmp_path / "home"))
    folder = make_tokenizer(tmp_path / "onnx")
    config = {"context_length": ROOM, "decoder": {"filename": "m.onnx", "session_options": {"intra_op_num_threads": 3}}}
    (folder / "genai_config.json").write_text(json.dumps({"model": config}))
    (folder / "m.onnx").write_bytes(b"x" * 1000)
    clockwork = Clockwork(Artifact(folder, ONNX_GENAI, ""))
    monkeypatch.setattr(measuring, "load", lambda found: clockwork)
    monkeypatch.setattr(
        PeakMemory, "measure", lambda self, model, context: Measured(300e6, n=1, details={"cudaBytes": 2e9})
    )
    yield clockwork


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Runs `millwright bench` in this process; what it says of its progress goes past this test, to the screen."""
    code = main(["bench", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


class TestTheTable:
    def test_it_says_what_was_measured_of_what_and_on_what(
        self, model: Clockwork, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, _ = run(capsys, "onnx", "--quiet")

        lines = [line.rstrip() for line in out.splitlines()]
        assert code == 0
        assert lines[0] == "model   onnx (onnx-genai)"
        assert lines[1].startswith("machine ")
        assert lines[1].endswith(", 3 threads, on cpu")
        assert lines[2] == "asked   128 tokens and 32 new ones, 10 times after 2 to warm up"

    def test_it_has_three_percentiles_of_both_waits(self, model: Clockwork, capsys: pytest.CaptureFixture[str]) -> None:
        _, out, _ = run(capsys, "onnx", "--quiet")

        rows = [line.split() for line in out.splitlines()]
        assert ["p50", "p90", "p99"] in rows
        assert ["first", "token", "20", "ms", "20", "ms", "20", "ms"] in rows
        assert ["each", "further", "token", "5", "ms", "5", "ms", "5", "ms"] in rows

    def test_it_has_throughput_size_and_memory(self, model: Clockwork, capsys: pytest.CaptureFixture[str]) -> None:
        _, out, _ = run(capsys, "onnx", "--quiet")

        size = sum(path.stat().st_size for path in model.artifact.folder.iterdir())
        assert f"throughput  {8 * 32 / (0.020 + 31 * 0.005):.4g} tokens/s in batches of 8\n" in out
        assert f"size        {size / 1000:.3g} kB in 4 files\n" in out
        assert out.endswith("memory      300 MB, and 2 GB of the GPU at most, in a process of its own\n")

    def test_one_prompt_at_a_time_is_no_batch(self, model: Clockwork, capsys: pytest.CaptureFixture[str]) -> None:
        _, out, _ = run(capsys, "onnx", "--quiet", "--batch-size", "1")

        assert "tokens/s one prompt at a time" in out

    def test_where_onnxruntime_chooses_its_threads_it_says_so(
        self, model: Clockwork, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (model.artifact.folder / "genai_config.json").write_text('{"model": {"decoder": {"filename": "m.onnx"}}}')

        assert "threads as onnxruntime chooses, on cpu" in run(capsys, "onnx", "--quiet")[1]


class TestJson:
    def test_it_has_every_figure_with_its_unit_in_its_name(
        self, model: Clockwork, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, out, _ = run(capsys, "onnx", "--json", "--quiet")

        document = json.loads(out)
        assert document["model"] == {"where": "onnx", "format": "onnx-genai"}
        assert document["firstTokenMs"] == pytest.approx({"p50": 20, "p90": 20, "p99": 20})
        assert document["perTokenMs"] == pytest.approx({"p50": 5, "p90": 5, "p99": 5})
        assert document["tokensPerSecond"] == pytest.approx(8 * 32 / 0.175)
        assert (document["files"], document["peakMemoryBytes"], document["peakCudaBytes"]) == (4, 300e6, 2e9)
        assert document["loadSeconds"] >= 0

    def test_it_says_what_was_asked_and_on_what(self, model: Clockwork, capsys: pytest.CaptureFixture[str]) -> None:
        _, out, _ = run(capsys, "onnx", "--json", "-q", "--prompt-tokens", "9", "--new-tokens", "4", "--repeats", "2", "--batch-size", "3")  # fmt: skip

        document = json.loads(out)
        assert document["asked"] == {"promptTokens": 9, "newTokens": 4, "warmup": 2, "repeats": 2, "batchSize": 3}
        assert {"processor", "cores", "threads", "device", "accelerators"} == set(document["machine"])
        assert (document["machine"]["threads"], document["machine"]["device"]) == (3, "cpu")

    def test_the_model_is_asked_that(self, model: Clockwork, capsys: pytest.CaptureFixture[str]) -> None:
        run(capsys, "onnx", "-q", "--prompt-tokens", "9", "--new-tokens", "4", "--repeats", "2", "--batch-size", "3")

        assert model.asked == [(1, 9, 4)] * (2 + 2) + [(3, 9, 4)] * (1 + 3)

    def test_nothing_of_it_is_left(self, model: Clockwork, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        run(capsys, "onnx", "-q")

        assert list((tmp_path / "home" / "bench").iterdir()) == []

    def test_it_is_loaded_once_more_for_its_time(self, model: Clockwork, capsys: pytest.CaptureFixture[str]) -> None:
        run(capsys, "onnx", "-q")

        assert model.closed == 1


class TestTheMachine:
    def test_the_processor_and_the_cores_of_this_process(self, model: Clockwork) -> None:
        found = Named("onnx", model.artifact, None, trusted=False)  # type: ignore[arg-type]

        here = measuring._machine(found, model)  # type: ignore[arg-type]

        assert here["cores"] >= 1
        assert here["processor"]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> CliGround:
    ground = CliGround.make(tmp_path_factory.mktemp("bench"))
    make_model_files(ground.folder / "phi3", max_position_embeddings=ROOM)
    return ground


class TestBadInput:
    """The real command; none of this loads a model."""

    @pytest.mark.parametrize(("arguments", "said"), [
        (("phi",), "ModelNotFound: phi: there is no such folder\n  hint: did you mean 'phi3'?\n"),
        (("plugins",), "ModelNotFound: plugins: no model lies there: found obey-1.0.dist-info, obey.py\n  hint: possible: onnx-genai has genai_config.json"),
        (("job.yaml",), "ModelNotFound: job.yaml: this is a file, and a model is a folder\n"),
        (("",), "InvalidManifest: model: found nothing, expected a folder, s3://bucket/key or https://account.blob.core.windows.net/container/key\n"),
        (("phi3", "--prompt-tokens", "481"), "UsageError: --prompt-tokens: found 481, and with 32 new ones that is more than the 512 tokens that the model takes\n  hint: at most 480 here\n"),
        (("phi3", "--new-tokens", "512"), "UsageError: --prompt-tokens: found 128, and with 512 new ones that is more than the 512 tokens that the model takes\n  hint: fewer than 512 --new-tokens\n"),
        (("phi3", "--prompt-tokens", "200000"), "millwright bench: invalid value for '--prompt-tokens': Input should be less than or equal to 131072"),
        (("phi3", "--batch-size", "33"), "millwright bench: invalid value for '--batch-size': Input should be less than or equal to 32"),
        ((), "millwright bench: missing argument 'PATH|URI'"),
    ])  # fmt: skip
    def test_it_says_what_was_found_and_what_is_possible(
        self, arguments: tuple[str, ...], said: str, ground: CliGround
    ) -> None:
        done = ground.run("bench", *arguments)

        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(said)

    def test_help_has_an_example(self, ground: CliGround) -> None:
        said = ground.run("bench", "--help")

        assert "millwright bench out/emotion --prompt-tokens 512 --new-tokens 128" in " ".join(said.out.split())


class TestContext:
    def test_there_is_nothing_to_answer(self, tmp_path: Path) -> None:
        context: Any = measuring.Bench(None, tmp_path, trust_remote_code=False)  # type: ignore[arg-type]

        assert (list(context.examples), context.answers(None), context.check()) == ([], [], None)

    def test_torch_tells_its_own_threads(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        import sys
        import types

        torch = types.ModuleType("torch")
        torch.get_num_threads = lambda: 5  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torch", torch)

        assert measuring._threads(Named("m", Artifact(tmp_path, HF, ""), None, trusted=False)) == 5  # type: ignore[arg-type]
