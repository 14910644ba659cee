"""`shakegpt sample`: generate text and stream it, to the terminal or into a file."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shakegpt.cli.arguments import parse
from shakegpt.cli.imports import heavy_imports
from shakegpt.cli.model import ModelArgument, load_model, note, open_vocabulary
from shakegpt.config import SampleConfig
from shakegpt.config.bounds import Choice, setting
from shakegpt.config.fields import SAMPLING
from shakegpt.data.decoding import decode, normalize_newlines
from shakegpt.errors import ShakegptError
from shakegpt.runlog import history
from shakegpt.runlog.schema import Settings
from shakegpt.sanitize import printable

if TYPE_CHECKING:
    from shakegpt.data.copies import CopyFinder
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.model import GPT

ABOUT = "Draw text from a model."
SEPARATOR = "-" * 15


@dataclass(frozen=True, kw_only=True)
class Arguments(SampleConfig, ModelArgument):
    """All arguments of the command."""

    # fmt: off
    copies: Literal["auto", "on", "off"] = setting("auto", Choice("auto", "on", "off"),
        "Say on standard error which passages of each text stand word for word in the run's "
        "training text. auto: when a run is sampled in a terminal.", SAMPLING)
    # fmt: on


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt sample", words, ABOUT)
    from shakegpt.cli import preflight  # help needs none of this

    preflight.model(arguments.model)
    with heavy_imports():
        from shakegpt.hardware.device import choose
        from shakegpt.nn.fast_decode import store_by_output

    prompt = _prompt(arguments)
    source, tokenizer = open_vocabulary(arguments.model)
    ids = tokenizer.encode(prompt, "the prompt")
    device = choose(arguments.device, "float32").device
    model = load_model(source, device, arguments.threads)
    if arguments.dtype != "float32":
        from shakegpt.nn.quantize_cost import quantize_and_measure

        files = sorted(source.folder.glob("*.safetensors"))
        run = history.header(Path(arguments.model))
        note(quantize_and_measure(model, tokenizer, run, arguments.dtype, files))
    else:
        store_by_output(model)
    finder = _finder(arguments)
    if arguments.interactive:
        _converse(model, tokenizer, arguments, finder)
        return 0
    for number in range(arguments.num_samples):
        if number:
            print(SEPARATOR)
        _write_sample(model, tokenizer, prompt, ids, arguments, number, finder)
    return 0


def _finder(arguments: Arguments) -> CopyFinder | None:
    """The finder for --copies; None when copies are not printed. Raises ShakegptError."""
    is_run = history.header(Path(arguments.model)) is not None
    if arguments.copies == "off":
        return None
    if arguments.copies == "auto" and not (is_run and sys.stdout.isatty()):
        return None
    from shakegpt.cli import copied

    try:
        return copied.finder(arguments.model)
    except ShakegptError as error:
        if arguments.copies == "on":
            raise
        print(f"shakegpt: {printable(str(error))}", file=sys.stderr)
        return None


def _prompt(arguments: Arguments) -> str:
    """The prompt from the arguments, a file or standard input. Raises ShakegptError."""
    file = arguments.prompt_file
    if file is None:
        if arguments.prompt == "-" and arguments.interactive:
            raise ShakegptError("--interactive reads standard input itself: leave --prompt - out")
        return sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    if arguments.prompt != SampleConfig.prompt:
        raise ShakegptError("--prompt and --prompt-file exclude each other: give one of them")
    try:
        return normalize_newlines(decode(Path(file).read_bytes(), f"--prompt-file {file}")[0])
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ShakegptError(f"cannot read --prompt-file {file}: {reason}") from None


def _converse(
    model: GPT, tokenizer: Tokenizer, arguments: Arguments, finder: CopyFinder | None
) -> None:
    """Continue each line of standard input, the k-th with seed + k, until its end."""
    mark = "> " if sys.stdin.isatty() else ""
    if mark:
        with suppress(ImportError):  # gives `input` line editing and a history
            importlib.import_module("readline")
    for number in itertools.count():
        try:
            line = input(mark)
        except EOFError:
            return
        prompt = line.replace("\\n", "\n")
        try:
            ids = tokenizer.encode(prompt, "the prompt")
            _write_sample(model, tokenizer, prompt, ids, arguments, number, finder)
        except ShakegptError as error:
            if error.exit_code != 2:
                raise
            print(f"shakegpt: {printable(str(error))}", file=sys.stderr)
        except KeyboardInterrupt:
            print(flush=True)


def _write_sample(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    ids: list[int],
    arguments: Arguments,
    number: int,
    finder: CopyFinder | None,
) -> None:
    """Write the text of seed + `number` to standard output, and its copies to standard error."""
    text = "".join(_stream(model, tokenizer, prompt, ids, arguments, number))
    if finder is not None:
        from shakegpt.cli import copied

        sys.stdout.flush()
        for line in copied.lines(finder, text):
            print(f"shakegpt: {line}", file=sys.stderr)


def _stream(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    ids: list[int],
    arguments: Arguments,
    number: int,
) -> Iterator[str]:
    """Write a text as it is generated; yields its pieces, without the prompt."""
    from shakegpt.data.tokenizer import Decoder
    from shakegpt.generate import generate

    settings = Settings(
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed + number,
    )
    out = sys.stdout
    show = printable if out.isatty() else str  # a file gets the text unchanged
    out.write(show(prompt) if arguments.prompt_echo else "")
    decoder, end, warned = Decoder(tokenizer), arguments.until, False
    held = ""  # may be the beginning of `end`
    for draw in generate(model, tokenizer, ids, settings, arguments.repetition_penalty):
        if draw.slid and not warned:
            warned = True
            print(
                f"\nshakegpt: the context of {model.config.block_size} tokens is full: the text "
                "continues from its last part only",
                file=sys.stderr,
            )
        if draw.id != tokenizer.eot:
            held += decoder.add(draw.id)
            if end is not None and end in held:
                last = held.partition(end)[0]
                break
            certain = len(held) - _overlap(held, end)
            out.write(show(held[:certain]))
            out.flush()
            yield held[:certain]
            held = held[certain:]
    else:
        last = held + decoder.flush()
    out.write(show(last) + "\n")
    yield last


def _overlap(text: str, end: str | None) -> int:
    """Number of characters at the end of `text` that may be the beginning of `end`."""
    longest = min(len(text), len(end or "") - 1)
    return next((n for n in range(longest, 0, -1) if (end or "").startswith(text[-n:])), 0)
