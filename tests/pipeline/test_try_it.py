"""A model that was made is tried: `millwright bench` and `millwright chat` on real models of every format."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.jobs import Here, job

from millwright_runner import pipeline
from millwright_runner.artifact import HF, ONNX_GENAI, Artifact
from millwright_runner.cli.app import main
from millwright_runner.cli.measuring import Bench
from millwright_runner.cli.named import find_named
from millwright_runner.data.tokens import load_tokens
from millwright_runner.metrics.peak_memory import PeakMemory, resident_bytes
from millwright_runner.subjects.opening import open_subject
from millwright_runner.training import loading

QUESTION = "The old man looked at"
PROMPT = f"<|user|>\n{QUESTION}<|end|>\n<|assistant|>\n"


@pytest.fixture(scope="module")
def out(phi3: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a job that made an onnx-genai model of the small Phi-3, at full precision."""
    folder = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "hide_unneeded", lambda needed: None)
        Here(folder).run(job(phi3, rows, "out", {"genai": {"precision": "fp32"}}))
    return folder / "out"


@pytest.fixture(scope="module")
def adapter(phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on the small Phi-3 that changes what it says; it names its base, as peft has it."""
    import peft
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    config = peft.LoraConfig(r=8, lora_alpha=64, target_modules=["o_proj", "qkv_proj"], init_lora_weights=False)
    model = AutoModelForCausalLM.from_pretrained(phi3)
    peft.get_peft_model(model, config).save_pretrained(str(folder))
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home of its own; this process keeps its libraries and its signals."""
    monkeypatch.setenv("MILLWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(loading, "hide_unneeded", lambda needed: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs the command in this process and returns what it wrote to stdout."""
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def answer(model: Path, base: Path | None = None) -> str:
    """What a model answers to the question, by the subject that evaluations ask."""
    found = find_named(str(model), str(base) if base else None, trusted=False)
    subject = found.open()
    ids = found.tokens.tokenizer.encode(PROMPT, add_special_tokens=False).ids
    (made,) = subject.generate([ids], new_tokens=12, batch_size=1)
    return str(found.tokens.tokenizer.decode(made)).rstrip("\ufffd")


class TestBench:
    SIZES = ("--prompt-tokens", "16", "--new-tokens", "4", "--repeats", "3", "--batch-size", "2")

    @pytest.mark.parametrize("kind", [ONNX_GENAI, HF])
    def test_every_figure_comes_out(self, kind: str, out: Path, phi3: Path, capsys: pytest.CaptureFixture[str]) -> None:
        place = {ONNX_GENAI: out, HF: phi3}[kind]

        document: dict[str, Any] = json.loads(said(capsys, "bench", str(place), "--json", *self.SIZES))

        folder = out / "model" if kind == ONNX_GENAI else phi3
        notes = ("manifest.json", ".claim", "README.md", "provenance.json")
        files = [path for path in folder.iterdir() if path.name not in notes]
        assert document["model"]["format"] == kind
        assert (document["files"], document["sizeBytes"]) == (len(files), sum(path.stat().st_size for path in files))
        for of in ("firstTokenMs", "perTokenMs"):
            assert 0 < document[of]["p50"] <= document[of]["p90"] <= document[of]["p99"]
        assert document["tokensPerSecond"] > 0
        assert document["peakMemoryBytes"] > 20e6

    def test_memory_is_that_of_a_process_without_us(self, out: Path, tmp_path: Path) -> None:
        """This process has torch in it; onnxruntime-genai needs none."""
        import torch  # noqa: F401

        tokens = load_tokens(out / "model")
        subject = open_subject(
            Artifact(out / "model", ONNX_GENAI, ""), provider="CPUExecutionProvider", trust_remote_code=False
        )

        measured = PeakMemory().measure(subject, Bench(tokens, tmp_path, trust_remote_code=False))

        assert measured.value < resident_bytes() / 2

    def test_a_model_that_does_not_load_is_one_message(
        self, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        torn = tmp_path / "torn"
        torn.mkdir()
        for file in (out / "model").iterdir():
            (torn / file.name).write_bytes(b"torn" if file.name == "model.onnx" else file.read_bytes())

        code = main(["bench", str(torn), "--quiet"])

        assert code == 2
        assert capsys.readouterr().err.startswith(f"InvalidModel: {torn}: onnxruntime-genai cannot load it on cpu: ")


class TestChat:
    ASKED = ("--prompt", QUESTION, "--max-new-tokens", "12")

    def test_an_onnx_model_and_its_origin_give_the_same_answer(
        self, out: Path, phi3: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spoken = said(capsys, "chat", str(phi3), *self.ASKED)

        assert spoken.startswith(answer(phi3))
        assert said(capsys, "chat", str(out), *self.ASKED) == spoken

    def test_an_adapter_speaks_on_the_base_that_it_names(
        self, adapter: Path, phi3: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spoken = said(capsys, "chat", str(adapter), *self.ASKED)

        assert spoken.startswith(answer(adapter, phi3))
        assert spoken != said(capsys, "chat", str(phi3), *self.ASKED)

    def test_on_a_terminal_it_is_a_conversation(self, out: Path, tmp_path: Path) -> None:
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "millwright_runner", "chat", str(out), "--max-new-tokens", "4"],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, cwd=tmp_path, env=os.environ | {"TERM": "xterm", "COLUMNS": "300"},
        )  # fmt: skip
        watchdog = threading.Timer(60, process.kill)  # reading a terminal has no end of its own
        watchdog.start()
        os.close(slave)
        shown = _until(master, b"> ")
        for line in (b"hello\n", b"and now?\n"):
            os.write(master, line)
            shown += _until(master, b"> ")
        os.write(master, b"\x04")
        shown += _until(master, None)

        watchdog.cancel()
        assert process.wait(timeout=60) == 0
        assert b"(onnx-genai, on cpu), a conversation. Ctrl-D ends." in shown
        assert shown.count(b"> ") == 3
        os.close(master)


def _until(terminal: int, wanted: bytes | None) -> bytes:
    """Reads until something is shown; None: until the last process on the terminal has gone."""
    shown = b""
    while wanted is None or not shown.endswith(wanted):
        try:
            shown += os.read(terminal, 1)
        except OSError:
            break
    return shown
