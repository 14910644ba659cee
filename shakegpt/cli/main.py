"""The command line: verbs only. Parse, call, print; what is heavy is imported inside its verb."""

from __future__ import annotations

import difflib
import gc
import io
import os
import re
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from shakegpt import __version__
from shakegpt.checkpoint.hub import HUB_NAMES
from shakegpt.config import PRESETS, EvaluateConfig, FinetuneConfig, SampleConfig
from shakegpt.distributed import env
from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History
from shakegpt.sanitize import sentence

T = TypeVar("T")
LONGEST = 1000
"""Characters of a sentence on stderr."""

HELP = """shakegpt: finetune GPT-2 on Shakespeare, watch it learn, check the talk's numbers.

  shakegpt finetune [PRESET] [--flags]   train; in a terminal with a live screen
  shakegpt finetune --resume RUN         go on with a run that was stopped or killed
  shakegpt sample RUN|MODEL [--flags]    let a model write
  shakegpt evaluate RUN|MODEL [--flags]  val loss and perplexity over fixed windows
  shakegpt runs [DIRECTORY]              the runs there are, and how they went
  shakegpt figures [RUN ...] [--flags]   draw training, architecture and generation
  shakegpt claims [RUN] [--flags]        the talk's claims beside a run's numbers

Presets of finetune: {presets}.
`shakegpt VERB --help` explains each flag. `shakegpt-tui` opens the terminal UI."""


@dataclass(frozen=True, kw_only=True)
class FinetuneArguments(FinetuneConfig):
    """`FinetuneConfig`, and where to show the run."""

    tui: bool = True
    """Open the live screen in a terminal; --no-tui prints lines instead."""


@dataclass(frozen=True, kw_only=True)
class ResumeArguments:
    """What may change when a run goes on; all else stays as it began."""

    resume: Path
    """Directory of the run to go on with."""
    max_iters: int | None = None
    """New limit of iterations. None: as it was."""
    shard: bool = False
    """As in a new run, and to be given anew: it is about these processes, not about the run."""
    tui: bool = True
    """Open the live screen in a terminal; --no-tui prints lines instead."""


def _about_finetune() -> str:
    """What `shakegpt finetune --help` says first: the presets, and how to go on."""
    rows = {name: about for name, (about, _) in PRESETS.items()}
    rows["--resume RUN"] = "go on with a run that was stopped or killed; --max-iters may change"
    width, hang = shutil.get_terminal_size().columns - 1, " " * 16
    table = (
        textwrap.fill(f"  {name:<12}  {row}", width, subsequent_indent=hang)
        for name, row in rows.items()
    )
    return "Finetune a GPT-2 on a text. A preset may stand before the flags:\n" + "\n".join(table)


def main(argv: list[str] | None = None) -> int:
    """Run a verb; returns the exit code: 0 done, 1 failed, 2 bad input, 128 + n by a signal."""
    return run(_dispatch, sys.argv[1:] if argv is None else argv)


def run(job: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Call `job`; what it raises becomes one sentence on stderr and an exit code."""
    _open_what_was_closed()
    for stream in (sys.stdout, sys.stderr):  # a terminal in ASCII shows ? for what it cannot
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _said(job, arguments)
    except ShakegptError as error:
        print(f"shakegpt: {_sentence(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("shakegpt: stopped by Ctrl-C", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has left: nothing more to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        print(f"shakegpt: {_sentence(error)}", file=sys.stderr)
        return 1


def _said(job: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Call `job` and let its last words out: that a reader left is noticed here, not at exit."""
    try:
        code = job(arguments)
    except SystemExit:  # help was asked for
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def _open_what_was_closed() -> None:
    """Started with `>&-`: whatever is opened next would get the number, and the words in it."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        continue
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _sentence(error: Exception) -> str:
    """What `error` says, on one line; of a name longer than anybody reads, its two ends."""
    return sentence(re.sub(r"(\S{150})\S{100,}(\S{30})", r"\1…\2", str(error)), LONGEST)


def _dispatch(arguments: list[str]) -> int:
    verb, *rest = arguments or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(HELP.format(presets=", ".join(PRESETS)))
        return 0
    if verb in ("-V", "--version"):
        print(f"shakegpt {__version__}")
        return 0
    if verb not in VERBS:
        raise ShakegptError(f"there is no verb {verb!r}{_nearest(verb, VERBS)}")
    return VERBS[verb](rest)


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": there are {', '.join(known)}"


def _parse(kind: type[T], verb: str, arguments: list[str], default: T | None = None) -> T:
    """The dataclass that the flags describe. Raises ShakegptError for those that describe none."""
    with setting_up():
        from shakegpt.cli.arguments import parse

    presets = issubclass(kind, FinetuneConfig)
    about = _about_finetune() if presets else (kind.__doc__ or "").splitlines()[0]
    return parse(kind, f"shakegpt {verb}", arguments, default, about)


def _finetune(arguments: list[str]) -> int:
    if any(word == "--resume" or word.startswith("--resume=") for word in arguments):
        _require_kept(arguments)
        asked = _parse(ResumeArguments, "finetune", arguments)
        return _watch(arguments) if asked.tui and on_terminal() else _resume(asked)
    rest, default = _preset(arguments)
    fields = asdict(_parse(FinetuneArguments, "finetune [PRESET]", rest, default))
    piped = "-" in fields["dataset"]  # the screen's trainer would have no standard input
    if fields.pop("tui") and on_terminal() and not piped:
        return _watch(arguments)
    return _train(FinetuneConfig(**fields))


def _require_kept(arguments: list[str]) -> None:
    """Raise ShakegptError for a setting that a run which goes on has chosen already."""
    flags = [word.split("=")[0] for word in arguments if word.startswith("--")]
    began, may = ({f.name for f in fields(kind)} for kind in (FinetuneConfig, ResumeArguments))
    kept = [flag for flag in flags if flag[2:].replace("-", "_").removeprefix("no_") in began - may]
    if kept:
        raise ShakegptError(
            f"{kept[0]} stays as the run began with it: only --max-iters may change with --resume; "
            "for other settings start a new run from its model with --init-from RUN"
        )


def _preset(arguments: list[str]) -> tuple[list[str], FinetuneArguments]:
    """Take the preset's name off the front; without one, what suits the model that is named."""
    if arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        if name not in PRESETS:
            raise ShakegptError(f"there is no preset {name!r}{_nearest(name, PRESETS)}")
        return arguments, FinetuneArguments(**asdict(PRESETS[name][1]))
    return arguments, FinetuneArguments(**asdict(_suited(arguments)))


def _suited(arguments: list[str]) -> FinetuneConfig:
    """What to begin with for the model that --init-from names."""
    words = [part for word in arguments for part in word.split("=", 1)]
    named = [after for flag, after in pairwise(words) if flag in ("--init-from", "--init_from")]
    name, pocket = named[-1] if named else "pocket", next(iter(PRESETS.values()))[1]
    if name in HUB_NAMES or ("/" in name and not Path(name).exists()):
        return PRESETS["gpt2"][1]  # its size wants smaller batches and steps
    return pocket if name == "pocket" else replace(pocket, block_size=None)


def on_terminal() -> bool:
    """Whether a person sits at a terminal that can show the live screen."""
    dumb = os.environ.get("TERM", "") in ("", "dumb") or env.launched()
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty() and not dumb


def _watch(arguments: list[str]) -> int:
    from shakegpt_tui.main import watch

    return watch(arguments)


def _train(config: FinetuneConfig) -> int:
    config = _absolute(config)
    if not env.launched():  # else all processes would say it
        from shakegpt.cli import preflight

        preflight.finetune(config)
    with setting_up():
        from shakegpt import session

    return _shown(lambda log: session.finetune(config, log, signals=True))


def _resume(asked: ResumeArguments) -> int:
    from shakegpt.runlog import history

    past = history.begun(asked.resume)
    with setting_up():
        from shakegpt import session

    return _shown(
        lambda log: session.resume(
            asked.resume, asked.max_iters, log, signals=True, shard=asked.shard
        ),
        past,
    )


@contextmanager
def setting_up() -> Iterator[None]:
    """Import what is heavy. Ctrl-C meanwhile ends the process by the signal: some extension modules
    crash when an exception comes in the middle of their import. All of it stays, so looking for
    garbage among it would only take time, a tenth of the whole.
    """
    ours = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL) if ours else None
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if ours:
            signal.signal(signal.SIGINT, handler)


def _shown(job: Callable[[Any], Path], past: History | None = None) -> int:
    """Run a training under the console that suits, which knows its past; returns the exit code."""
    from shakegpt.cli.console import console
    from shakegpt.errors import Stopped

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a dropped line does not stop a run
    with console(past) as log:
        try:
            job(log)
        except Stopped as stopped:
            return stopped.exit_code
    return 0


def _absolute(config: FinetuneConfig) -> FinetuneConfig:
    """Files by their full path, so that a run can be resumed from anywhere."""
    named = ("plays", "tinyshakespeare", "-")
    dataset = tuple(n if n in named else str(Path(n).absolute()) for n in config.dataset)
    init_from, folder = config.init_from, Path(config.init_from)
    with suppress(OSError):  # a name too long for a path gets its sentence where it is looked up
        init_from = str(folder.absolute()) if folder.is_dir() else init_from
    return replace(config, dataset=dataset, init_from=init_from)


def _sample(arguments: list[str]) -> int:
    model, flags = _model_word("sample", SampleConfig, arguments)
    asked = _parse(SampleConfig, "sample MODEL", flags)
    from shakegpt.cli import preflight

    preflight.model(model)
    with setting_up():
        from shakegpt.cli.sample import write_samples

    return write_samples(model, asked)


def _evaluate(arguments: list[str]) -> int:
    model, flags = _model_word("evaluate", EvaluateConfig, arguments)
    asked = _parse(EvaluateConfig, "evaluate MODEL", flags)
    from shakegpt.cli import preflight

    preflight.evaluate(model, asked)
    with setting_up():
        from shakegpt.train.evaluate import evaluate

    return evaluate(model, asked)


def split_words(arguments: list[str], kind: type[Any] | None = None) -> tuple[list[str], list[str]]:
    """What comes before the flags, or after a switch of `kind` (`--strict RUN`), and the flags."""
    switches = {name for name, hint in get_type_hints(kind).items() if hint is bool} if kind else ()
    words, flags, loose = list[str](), list[str](), True
    for word in arguments:
        if word.startswith("-"):
            loose = word[2:].replace("-", "_").removeprefix("no_") in switches
        (words if loose and not word.startswith("-") else flags).append(word)
    return words, flags


def _model_word(verb: str, kind: type[T], arguments: list[str]) -> tuple[str, list[str]]:
    """The model or run that a verb is about, and its flags."""
    words, flags = split_words(arguments)
    if {"-h", "--help"} & set(flags):
        _parse(kind, f"{verb} MODEL", ["--help"])
    if len(words) != 1:
        raise ShakegptError(
            f"{verb} takes one run, checkpoint directory or model name before its flags, as in "
            f"`shakegpt {verb} pocket`, and was given {len(words)}"
        )
    return words[0], flags


def _runs(arguments: list[str]) -> int:
    words, flags = split_words(arguments)
    if flags or len(words) > 1:
        print("usage: shakegpt runs [DIRECTORY]   (the runs in DIRECTORY, by default runs/)")
        return 0 if {"-h", "--help"} & set(flags) else 2
    from shakegpt.cli.runs import print_runs

    print_runs(Path(words[0]) if words else Path("runs"))
    return 0


def _figures(arguments: list[str]) -> int:
    from shakegpt.config import FiguresConfig

    words, flags = split_words(arguments, FiguresConfig)
    asked = _parse(FiguresConfig, "figures [RUN ...]", flags)
    from shakegpt_figures.make import run

    return run(replace(asked, runs=tuple(words)))


def _claims(arguments: list[str]) -> int:
    from shakegpt.config import ClaimsConfig

    words, flags = split_words(arguments, ClaimsConfig)
    asked = _parse(ClaimsConfig, "claims [RUN]", flags)
    from shakegpt.claims.report import run

    asked = replace(asked, run=words[0] if words else None)
    if not asked.deck:
        return run(asked)
    from shakegpt_figures.deck_check import Deck

    return run(asked, Deck.here())


VERBS: dict[str, Callable[[list[str]], int]] = {
    "finetune": _finetune,
    "sample": _sample,
    "evaluate": _evaluate,
    "runs": _runs,
    "figures": _figures,
    "claims": _claims,
}
