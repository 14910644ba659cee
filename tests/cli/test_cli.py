"""The main job from end to end through the real command line, and what each verb prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shakegpt.runlog.history import load
from shakegpt.runlog.log import LOG_NAME
from tests.commands import ROOT, Commands, finish, start
from tests.tiny import as_flags, tiny_config


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """A working directory with one finished run, made by `python -m shakegpt` itself."""
    folder = tmp_path_factory.mktemp("home")
    config = tiny_config(text_file, Path("runs/one"), max_iters=8, eval_interval=4)
    code, out, err = finish(start("finetune", *as_flags(config), cwd=folder))
    assert code == 0 and not err, err
    (folder / "said.txt").write_text(out, "utf-8")
    return folder


def test_a_run_learns(home: Path) -> None:
    history, problems = load(home / "runs/one")
    assert not problems and history.end is not None and history.end.status == "finished"
    values = [history.evals[k].val_loss or 0 for k in (0, 4, 8)]
    assert values[0] > values[1] > values[2] and values[2] < values[0] - 1


def test_a_pipe_gets_a_line_an_iteration_and_an_evaluation(home: Path) -> None:
    said = (home / "said.txt").read_text("utf-8")
    assert "\r" not in said and "\x1b" not in said
    lines = said.splitlines()
    assert [x.split()[1] for x in lines if x.startswith("iter ")] == [f"{k}/8" for k in range(1, 9)]
    assert [x.split()[1] for x in lines if x.startswith("eval ")] == ["0/8", "4/8", "8/8"]
    assert any(re.search(r"needs about \d+ MiB of memory and \d+ s of time", x) for x in lines)


def test_the_summary_says_how_it_went_and_what_to_do_next(home: Path) -> None:
    history = load(home / "runs/one")[0]
    said = (home / "said.txt").read_text("utf-8")
    first, best = history.evals[0].val_loss or 0, history.evals[8].val_loss or 1
    assert f"val loss {first:.4f} -> {best:.4f}" in said
    assert f"{1 - best / first:.1%} lower" in said
    for command in ("sample", "figures", "claims"):
        assert f"shakegpt {command} runs/one" in said


def test_sampling_from_the_run(shakegpt: Commands, home: Path) -> None:
    flags = ["--prompt", "ROMEO:", "--max-new-tokens", "5", "--seed", "3", "--threads", "1"]
    one, two = (shakegpt("sample", "runs/one", *flags, cwd=home) for _ in range(2))
    assert one.code == 0 and one.out.startswith("ROMEO:") and one.out == two.out and not one.err
    other = shakegpt("sample", "runs/one", *flags[:-3], "4", "--threads", "1", cwd=home)
    assert other.code == 0 and other.out != one.out


def test_flags_before_the_model_are_flags_after_it(shakegpt: Commands, home: Path) -> None:
    flags = ["--max_new_tokens=5", "--seed", "3", "--threads", "1"]
    after = shakegpt("sample", "runs/one", *flags, cwd=home)
    before = shakegpt("sample", *flags, "runs/one", cwd=home)
    assert before.code == 0 and before.out == after.out
    assert shakegpt("claims", "--json", "runs/one", cwd=home).out.startswith("[")


def test_several_samples_and_a_prompt_from_standard_input(shakegpt: Commands, home: Path) -> None:
    flags = ["--prompt", "-", "--num-samples", "3", "--max-new-tokens", "3", "--threads", "1"]
    done = shakegpt("sample", "runs/one/model", *flags, cwd=home, stdin=b"HAMLET:\n")
    assert done.code == 0 and done.out.count("HAMLET:\n") == 3 and done.out.count("-" * 15) == 2


def test_sampling_as_people_want_it(shakegpt: Commands, home: Path) -> None:
    flags = ["sample", "runs/one", "--max-new-tokens", "12", "--threads", "1", "--seed", "3"]
    plain = shakegpt(*flags, "--prompt", "ROMEO:\nthe", cwd=home).out
    added = plain.removeprefix("ROMEO:\nthe")
    (home / "prompt.txt").write_text("ROMEO:\nthe")
    bare = shakegpt(*flags, "--prompt-file", "prompt.txt", "--no-prompt-echo", cwd=home)
    assert bare.code == 0 and bare.out == added and len(added) > 8
    for end in {added[3:6], added[5], "never, never, never"}:
        cut = shakegpt(*flags, "--prompt", "ROMEO:\nthe", "--until", end, cwd=home)
        assert cut.out == "ROMEO:\nthe" + added[:-1].partition(end)[0] + "\n"
    punished = shakegpt(*flags, "--prompt", "ROMEO:\nthe", "--repetition-penalty", "9", cwd=home)
    assert punished.code == 0 and punished.out != plain
    talk = shakegpt(*flags, "--interactive", cwd=home, stdin=b"ROMEO:\\nthe\nHAMLET:\n")
    assert talk.code == 0 and talk.out.startswith(plain + "HAMLET:") and not talk.err
    (home / "prompt.txt").write_bytes("ROMEO:\r\nthe".encode("utf-16"))
    utf16 = shakegpt(*flags, "--prompt-file", "prompt.txt", cwd=home)
    assert utf16.out == plain, "as texts to learn are read"
    for words in (["--prompt-file", "gone"], ["--prompt", "x", "--prompt-file", "prompt.txt"]):
        assert "--prompt-file" in shakegpt(*flags, *words, cwd=home).sentence


def test_a_window_that_slides_is_told(shakegpt: Commands, home: Path) -> None:
    flags = ["--max-new-tokens", "60", "--temperature", "1", "--threads", "1", "--top-k", "None"]
    done = shakegpt("sample", "runs/one", *flags, cwd=home)
    assert done.code == 0 and done.err.count("32 tokens is full") == 1


def test_evaluating_the_run_gives_the_logs_best_loss(shakegpt: Commands, home: Path) -> None:
    done = shakegpt("evaluate", "runs/one", "--dtype", "float32", cwd=home)
    best = load(home / "runs/one")[0].best_eval
    assert done.code == 0 and best is not None
    assert f"val loss {best.val_loss:.4f}" in done.out and "perplexity" in done.out


def test_the_list_of_runs(shakegpt: Commands, home: Path) -> None:
    done = shakegpt("runs", cwd=home)
    assert done.code == 0 and "runs/one\tfinished\tscratch\t8/8" in done.out
    assert "no runs in gone" in shakegpt("runs", "gone", cwd=home).out


def test_going_on_from_anywhere(shakegpt: Commands, home: Path, tmp_path: Path) -> None:
    flags = ["--resume", str(home / "runs/one"), "--max-iters", "9", "--no-tui"]
    done = shakegpt("finetune", *flags, cwd=tmp_path)
    assert done.code == 0 and "iter 9/9" in done.out and "iter 8" not in done.out
    assert load(home / "runs/one")[0].iteration == 9
    assert (home / "runs/one" / LOG_NAME).exists()


def test_a_run_from_another_run(shakegpt: Commands, home: Path, text_file: Path) -> None:
    words = ["--init-from", "runs/one", "--dataset", str(text_file), "--max-iters", "1"]
    words += ["--batch-size", "1", "--dtype", "float32", "--no-tui", "--out-dir", "runs/two"]
    done = shakegpt("finetune", *words, cwd=home)
    assert done.code == 0, done.err
    best = load(home / "runs/one")[0].best_eval
    begun = load(home / "runs/two")[0].evals[0].val_loss
    assert best is not None and begun == pytest.approx(best.val_loss, abs=1e-4)


def test_the_settings_chosen_for_a_model_are_printed(
    shakegpt: Commands, home: Path, text_file: Path
) -> None:
    words = ["--init-from", "runs/one", "--dataset", str(text_file), "--max-iters", "0"]
    done = shakegpt("finetune", *words, "--no-tui", "--out-dir", "runs/three", cwd=home)
    run = load(home / "runs/three")[0].run
    assert done.code == 0 and run is not None, done.err
    first = done.out.splitlines()[0]
    assert "learning rate 1.4e-3" in first and f"{run.config['batch_size']} x " in first


def test_the_traceback_of_an_error_is_to_be_had(shakegpt: Commands, home: Path) -> None:
    done = shakegpt("sample", "nonesuch", cwd=home, SHAKEGPT_DEBUG="1")
    assert done.code == 2 and "Traceback" in done.err and "resolve.py" in done.err
    assert done.err.splitlines()[-1].startswith("shakegpt: ")


COMPLETIONS = {
    "shakegpt fin": {"finetune"},
    "shakegpt finetune --max-": {"--max-iters", "--max-minutes", "--max-new-tokens"},
    "shakegpt finetune ta": {"talk"},
    "shakegpt finetune --device ": {"auto", "cpu", "cuda", "mps"},
    "shakegpt sample run": {"runs/"},
    "shakegpt-tui replay --sp": {"--speed"},
}


def test_bash_completes_commands_flags_values_and_files(home: Path) -> None:
    """A real bash sources the code and calls the function that it registered."""
    script = 'eval "$("$PYTHON" -m shakegpt completion bash)"\n'
    for line in COMPLETIONS:
        script += f"COMP_LINE='{line}' COMP_POINT={len(line)} COMP_TYPE=63 COMP_WORDS=({line}) "
        script += "COMP_CWORD=9\nunset COMPREPLY; "
        script += f'_python_argcomplete {line.split()[0]}; echo "${{COMPREPLY[*]}}"\n'
    programs = home / "programs"
    programs.mkdir()
    for name, module in (("shakegpt", "shakegpt"), ("shakegpt-tui", "shakegpt_tui.main")):
        (programs / name).write_text(f'#!/bin/sh\nexec "$PYTHON" -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    env = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tui'}",
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=home, env=env, capture_output=True, text=True, timeout=60
    )
    offered = [set(line.split()) for line in done.stdout.splitlines()]
    assert offered == list(COMPLETIONS.values()), done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_code_for_each_shell(shakegpt: Commands, home: Path, shell: str) -> None:
    done = shakegpt("completion", shell, cwd=home)
    assert done.code == 0 and "shakegpt-tui" in done.out
    program = shutil.which(shell)
    if program is not None:
        check = [program, "--no-execute" if shell == "fish" else "-n"]
        assert subprocess.run(check, input=done.out, text=True, timeout=60).returncode == 0


@pytest.mark.parametrize(
    "verb", ["finetune", "sample", "evaluate", "runs", "figures", "claims", "convert", "completion"]
)
def test_every_verb_has_help(shakegpt: Commands, home: Path, verb: str) -> None:
    done = shakegpt(verb, "--help", cwd=home)
    assert done.code == 0 and done.out.startswith(f"usage: shakegpt {verb}")
    assert done.out == shakegpt("help", verb, cwd=home).out == shakegpt(verb, "-h", cwd=home).out
