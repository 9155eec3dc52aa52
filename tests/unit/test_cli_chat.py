"""`millwright chat`: conversations, plain continuations, one answer for scripts; a model of a few fixed words answers."""

from __future__ import annotations

import builtins
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cliground import CliGround
from tests.tiny import CHAT_TEMPLATE, make_model_files, make_tokenizer

from millwright_api.errors import InvalidData, InvalidModel
from millwright_runner.artifact import HF, Artifact
from millwright_runner.cli import converse
from millwright_runner.cli.app import main
from millwright_runner.cli.failures import UsageError
from millwright_runner.cli.talk import Talk
from millwright_runner.data.tokens import Tokens, load_tokens
from millwright_runner.subjects import Ids

MARK = "wept over the storm"


class Parrot:
    """Says the same to everything, and remembers what it was asked.

    Args:
        said: its answer.
        before: called with each token's number before it comes.
    """

    device = "cpu"

    def __init__(self, tokens: Tokens, said: str = MARK, before: Callable[[int], None] = lambda number: None) -> None:
        self.artifact = Artifact(tokens.folder, HF, "")
        self.ids = tokens.tokenizer.encode(said, add_special_tokens=False).ids
        self.tokens, self.before = tokens, before
        self.asked: list[tuple[str, int]] = []

    def stream(self, prompt: Ids, *, new_tokens: int) -> Iterator[int]:
        self.asked.append((self.tokens.tokenizer.decode(list(prompt), skip_special_tokens=False), new_tokens))
        for number, token in enumerate(self.ids[:new_tokens]):
            self.before(number)
            yield token


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return load_tokens(make_tokenizer(tmp_path_factory.mktemp("chatting")))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return load_tokens(make_tokenizer(tmp_path_factory.mktemp("plain"), chat_template=None))


def talk(tokens: Tokens, *, room: int | None = None, new_tokens: int = 16, system: str | None = None) -> Talk:
    return Talk(tokens, room=room, new_tokens=new_tokens, system=system)


def say(conversation: Talk, text: str, answer: str = MARK) -> tuple[str, str]:
    """Asks, answers and returns the prompt as text, and the answer as it came out."""
    ids, _ = conversation.ask(text)
    tokenizer = conversation._tokens.tokenizer
    made = tokenizer.encode(answer, add_special_tokens=False).ids
    return tokenizer.decode(ids, skip_special_tokens=False), "".join(conversation.answer(ids, made))


class TestConversations:
    def test_the_chat_template_is_applied_up_to_the_answer(self, chatting: Tokens) -> None:
        prompt, answer = say(talk(chatting), "Who wept?")

        assert prompt == "<|user|>\nWho wept?<|end|>\n<|assistant|>\n"
        assert answer == MARK

    def test_what_was_said_before_is_kept(self, chatting: Tokens) -> None:
        conversation = talk(chatting)
        say(conversation, "one", "two")

        prompt, _ = say(conversation, "three")

        assert prompt == "<|user|>\none<|end|>\n<|assistant|>\ntwo<|end|>\n<|user|>\nthree<|end|>\n<|assistant|>\n"

    def test_the_model_is_told_its_part_first(self, tmp_path: Path) -> None:
        tokens = load_tokens(make_tokenizer(tmp_path))

        prompt, _ = say(talk(tokens, system="Be brief."), "Who?")

        assert prompt.endswith("\nBe brief.<|end|>\n<|user|>\nWho?<|end|>\n<|assistant|>\n")

    def test_an_answer_that_was_ended_early_counts_as_far_as_it_came(self, chatting: Tokens) -> None:
        conversation = talk(chatting)
        ids, _ = conversation.ask("Who?")
        answer = conversation.answer(ids, chatting.tokenizer.encode(MARK, add_special_tokens=False).ids)
        first = next(answer)
        answer.close()  # type: ignore[attr-defined]

        assert conversation.messages[-1] == {"role": "assistant", "content": first}

    def test_special_tokens_are_not_shown(self, chatting: Tokens) -> None:
        assert say(talk(chatting), "Who?", f"{MARK}<|end|><s>")[1] == MARK

    @pytest.mark.parametrize("letters", ["naïve café", "日本語", "🙂🙃"])
    def test_letters_of_several_tokens_stay_whole(self, letters: str, chatting: Tokens) -> None:
        conversation = talk(chatting)
        ids, _ = conversation.ask("Say it")

        pieces = list(conversation.answer(ids, chatting.tokenizer.encode(letters, add_special_tokens=False).ids))

        assert "".join(pieces) == letters
        assert not any("\ufffd" in piece for piece in pieces)

    def test_a_template_that_refuses_leaves_the_conversation_as_it_was(self, tmp_path: Path) -> None:
        template = (
            "{% if messages[-1]['content'] == 'no' %}{{ raise_exception('not that') }}{% endif %}" + CHAT_TEMPLATE
        )
        conversation = talk(load_tokens(make_tokenizer(tmp_path, chat_template=template)))

        with pytest.raises(InvalidData, match="the chat template refuses the conversation: not that"):
            conversation.ask("no")

        assert conversation.messages == []
        assert say(conversation, "yes")[0].startswith("<|user|>\nyes")

    def test_a_malformed_template_is_told_at_once(self, tmp_path: Path) -> None:
        tokens = load_tokens(make_tokenizer(tmp_path, chat_template="{% for %}"))

        with pytest.raises(InvalidModel, match="the chat template is malformed"):
            talk(tokens)


class TestContinuations:
    def test_without_a_template_the_text_is_what_is_typed(self, plain: Tokens) -> None:
        conversation = talk(plain)
        say(conversation, "The old man")

        prompt, answer = say(conversation, "My sister", " wept")

        assert not conversation.chats
        assert (prompt, answer) == ("My sister", " wept")

    def test_an_end_token_that_the_tokenizer_appends_is_not_in_the_prompt(self, tmp_path: Path) -> None:
        from tokenizers import Tokenizer
        from tokenizers.processors import TemplateProcessing

        folder = make_tokenizer(tmp_path, chat_template=None)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ends = [("<s>", 0), ("<|endoftext|>", 1)]
        tokenizer.post_processor = TemplateProcessing(single="<s> $A <|endoftext|>", special_tokens=ends)
        tokenizer.save(str(folder / "tokenizer.json"))

        assert say(talk(load_tokens(folder)), "Nobody")[0] == "<s>Nobody"

    def test_it_cannot_be_told_its_part(self, plain: Tokens) -> None:
        with pytest.raises(UsageError, match="--system: the tokenizer has no chat template"):
            talk(plain, system="Be brief.")


class TestRoom:
    def test_new_tokens_are_as_many_as_fit(self, plain: Tokens) -> None:
        ids, new_tokens = talk(plain, room=20, new_tokens=100).ask("The old man")

        assert new_tokens == 20 - len(ids)

    def test_without_a_known_maximum_they_are_what_was_asked_for(self, plain: Tokens) -> None:
        assert talk(plain, new_tokens=100).ask("The old man")[1] == 100

    def test_the_oldest_turns_are_left_out_first(self, chatting: Tokens) -> None:
        conversation = talk(chatting, room=64, new_tokens=16, system="S")
        for word in ("alpha", "beta", "gamma", "delta"):
            prompt, _ = say(conversation, word)

        assert "alpha" not in prompt
        assert prompt.endswith("delta<|end|>\n<|assistant|>\n")
        assert [message["role"] for message in conversation.messages[:2]] == ["system", "user"]
        assert conversation.forgotten >= 2
        assert conversation.forgotten % 2 == 0

    def test_what_has_no_room_at_all_is_refused_and_forgotten(self, chatting: Tokens) -> None:
        conversation = talk(chatting, room=16)

        with pytest.raises(InvalidData, match="leave no room for an answer: the model takes 16"):
            conversation.ask("word " * 50)

        assert conversation.messages == []


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parrot]:
    """A Hugging Face folder `model`, for which the parrot answers."""
    monkeypatch.chdir(tmp_path)
    make_model_files(tmp_path / "model", max_position_embeddings=512)
    parrot = Parrot(load_tokens(tmp_path / "model"))
    monkeypatch.setattr(converse, "load", lambda found: parrot)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield parrot
    for number, handler in before.items():
        signal.signal(number, handler)


class TestOneAnswer:
    def test_it_is_all_that_goes_to_stdout(self, model: Parrot, capsys: pytest.CaptureFixture[str]) -> None:
        code = main(["chat", "model", "--prompt", "Who?"])

        assert (code, *capsys.readouterr()) == (0, f"{MARK}\n", "")

    def test_the_prompt_may_come_from_stdin(
        self, model: Parrot, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("Who?\nAnd why?\n"))

        assert main(["chat", "model", "--system", "Be brief", "--max-new-tokens", "2"]) == 0

        prompt, new_tokens = model.asked[0]
        assert prompt.endswith("\nBe brief<|end|>\n<|user|>\nWho?\nAnd why?<|end|>\n<|assistant|>\n")
        assert new_tokens == 2

    def test_control_characters_reach_files_as_they_are(
        self, model: Parrot, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model.ids = model.tokens.tokenizer.encode("a\x1b[2Jb\n", add_special_tokens=False).ids

        main(["chat", "model", "--prompt", "Who?"])

        assert capsys.readouterr().out == "a\x1b[2Jb\n"

    def test_ctrl_c_ends_it(self, model: Parrot, capsys: pytest.CaptureFixture[str]) -> None:
        model.before = lambda number: os.kill(os.getpid(), signal.SIGINT) if number == 2 else None

        code = main(["chat", "model", "--prompt", "Who?"])

        kept = model.tokens.tokenizer.decode(model.ids[:3])
        assert (code, capsys.readouterr().out) == (130, f"{kept}\n")

    def test_a_second_one_ends_the_program(self, model: Parrot, monkeypatch: pytest.MonkeyPatch) -> None:
        def left(code: int) -> None:
            raise SystemExit(code)

        monkeypatch.setattr(converse.os, "_exit", left)

        with converse._Interrupts() as interrupts:
            interrupts.answering = True
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupts.wanted
            with pytest.raises(SystemExit, match="130"):
                os.kill(os.getpid(), signal.SIGINT)


class TestOnATerminal:
    def type(self, monkeypatch: pytest.MonkeyPatch, *lines: str | type[BaseException]) -> None:
        """Types these lines on a terminal; an exception is what its key raises."""
        self.screen = Terminal()
        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr(sys, "stdout", self.screen)
        typed = iter(lines)

        def line(prompt: str) -> str:
            entered = next(typed)
            if isinstance(entered, str):
                return entered
            raise entered

        monkeypatch.setattr(builtins, "input", line)

    def test_lines_are_answered_until_ctrl_d(self, model: Parrot, monkeypatch: pytest.MonkeyPatch) -> None:
        self.type(monkeypatch, "Who?", "", "  ", "And why?", EOFError)

        code = main(["chat", "model"])

        assert (code, self.screen.getvalue()) == (0, f"{MARK}\n{MARK}\n\n")
        assert [prompt.count("<|user|>") for prompt, _ in model.asked] == [1, 2]

    def test_ctrl_c_at_the_prompt_ends_the_program(self, model: Parrot, monkeypatch: pytest.MonkeyPatch) -> None:
        self.type(monkeypatch, "Who?", KeyboardInterrupt)

        assert main(["chat", "model"]) == 130

    def test_ctrl_c_in_an_answer_ends_only_that(self, model: Parrot, monkeypatch: pytest.MonkeyPatch) -> None:
        model.before = lambda number: os.kill(os.getpid(), signal.SIGINT) if number == 0 else None
        self.type(monkeypatch, "Who?", "And why?", EOFError)

        code = main(["chat", "model"])

        first = model.tokens.tokenizer.decode(model.ids[:1])
        assert (code, self.screen.getvalue()) == (0, f"{first}\n{first}\n\n")

    def test_a_line_that_is_too_long_is_told_and_the_next_one_answered(
        self, model: Parrot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.type(monkeypatch, "letter " * 600, "Who?", EOFError)

        code = main(["chat", "model"])

        assert (code, self.screen.getvalue()) == (0, f"{MARK}\n\n")
        assert "leave no room for an answer: the model takes 512\n  hint: say it shorter" in capsys.readouterr().err

    def test_no_command_for_the_terminal_comes_through(self, model: Parrot, monkeypatch: pytest.MonkeyPatch) -> None:
        model.ids = model.tokens.tokenizer.encode("a\x1b[2Jb\tc\nd", add_special_tokens=False).ids
        self.type(monkeypatch, "Who?", EOFError)

        main(["chat", "model"])

        assert self.screen.getvalue() == "a\ufffd[2Jb\tc\nd\n\n"

    def test_it_says_what_it_talks_to(
        self, model: Parrot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.type(monkeypatch, EOFError)

        main(["chat", "model"])

        assert "model (hf, on cpu), a conversation. Ctrl-D ends." in capsys.readouterr().err

    def test_a_model_that_says_nothing_is_told_apart_from_one_that_hangs(
        self, model: Parrot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model.ids = []
        self.type(monkeypatch, "Who?", EOFError)

        main(["chat", "model"])

        assert "(no answer)" in capsys.readouterr().err

    def test_a_conversation_that_outgrows_the_model_says_so(
        self, model: Parrot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.type(monkeypatch, *["the letter and the storm " * 6] * 12, EOFError)

        main(["chat", "model", "--max-new-tokens", "16"])

        assert "its beginning is left out" in capsys.readouterr().err


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> CliGround:
    ground = CliGround.make(tmp_path_factory.mktemp("chat"))
    make_tokenizer(ground.folder / "model", chat_template=None)
    return ground


class TestBadInput:
    """The real command; none of this loads a model."""

    @pytest.mark.parametrize(("arguments", "said"), [
        (("model", "--prompt", " "), "UsageError: --prompt: the prompt is empty\n"),
        (("model",), "UsageError: stdin: the prompt is empty\n  hint: --prompt TEXT gives one\n"),
        (("modell", "-p", "x"), "ModelNotFound: modell: there is no such folder\n  hint: did you mean 'model'?\n"),
        (("model", "-p", "x", "--system", "y"), "UsageError: --system: the tokenizer has no chat template, and only that can tell it\n"),
        (("model", "-p", "x", "--max-new-tokens", "0"), "millwright chat: invalid value for '--max-new-tokens'"),
    ])  # fmt: skip
    def test_it_is_one_message(self, arguments: tuple[str, ...], said: str, ground: CliGround) -> None:
        done = ground.run("chat", *arguments, stdin="\n")

        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(said)

    def test_help_has_an_example(self, ground: CliGround) -> None:
        said = ground.run("chat", "--help")

        assert "millwright chat out/emotion --prompt 'Why is the sky blue?'" in " ".join(said.out.split())
