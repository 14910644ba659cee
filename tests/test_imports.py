"""Fast to start: what prints help or reads logs imports nothing heavy. Each in a fresh process."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT

HEAVY = ("torch", "transformers", "tokenizers", "huggingface_hub", "matplotlib", "textual")
MODULES = [
    "config", "config.bounds", "errors", "files", "format", "claims.report", "cli.console",
    "cli.main",
    "cli.runs", "data.plays", "hardware.memory", "runlog.control", "runlog.history", "runlog.log",
    "runlog.metrics", "runlog.runs", "runlog.schema",
]  # fmt: skip
HELP = [
    ["--help"], ["--version"], [], ["finetune", "--help"], ["sample", "--help"],
    ["evaluate", "--help"], ["runs", "--help"], ["figures", "--help"], ["claims", "--help"],
    ["convert", "--help"], ["export", "--help"],
]  # fmt: skip
REPORT = f"""
import sys
heavy = sorted(set({HEAVY!r}) & set(sys.modules))
sys.stderr.write("heavy: " + ",".join(heavy))
"""


def heavy_after(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tui'}:{ROOT / 'figures'}", "PATH": "/usr/bin"},
        check=True,
    )
    return done.stderr.partition("heavy: ")[2]


def test_modules_that_read_import_nothing_heavy() -> None:
    imports = "\n".join(f"import shakegpt.{name}" for name in MODULES)
    assert heavy_after(imports + REPORT) == ""


@pytest.mark.parametrize("argv", HELP, ids=" ".join)
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    code = f"from shakegpt.cli.main import main\ntry: main({argv!r})\nexcept SystemExit: pass\n"
    assert heavy_after(code + REPORT) == ""


def test_the_list_of_runs_imports_nothing_heavy() -> None:
    assert (
        heavy_after("from shakegpt.cli.main import main\nmain(['runs', '/nowhere'])" + REPORT) == ""
    )


BAD = [
    "finetune --init-from gpt2", "finetune --init-from nonesuch", "finetune --init-from {folder}",
    "finetune --block-size 9999", "finetune --dataset gone.txt", "finetune --dataset {folder}",
    "finetune --dataset {binary}", "finetune --out-dir {run}", "finetune --resume {folder}",
    "sample nonesuch", "sample {folder}", "evaluate pocket --dataset gone.txt",
]  # fmt: skip


def test_bad_input_is_told_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    folder, binary, run = (tmp_path / name for name in ("empty", "binary.txt", "run"))
    folder.mkdir()
    binary.write_bytes(b"a\0b")
    run.mkdir()
    (run / "log.jsonl").write_text("{}\n")
    named = {"folder": folder, "binary": binary, "run": run}
    commands = [[word.format(**named) for word in line.split()] for line in BAD]
    code = "import os; os.environ['HF_HUB_OFFLINE'] = '1'\nfrom shakegpt.cli.main import main\n"
    code += f"assert [main(argv) for argv in {commands}] == [2] * {len(BAD)}\n"
    assert heavy_after(code + REPORT) == "huggingface_hub"  # for the one name of the hub


def test_the_report_does_tell() -> None:
    assert heavy_after("import tokenizers" + REPORT) == "tokenizers"


def test_private_names_of_textual_are_used_in_one_module() -> None:
    """Private names that the package defines nowhere itself; sigstop.py overrides a method."""
    package = ROOT / "tui" / "shakegpt_tui"
    trees = {path: ast.parse(path.read_text("utf-8")) for path in package.rglob("*.py")}
    own, uses = set[str](), set[tuple[str, str]]()
    for path, tree in trees.items():
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    own.add(name)
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    own.add(name)
                case ast.ImportFrom(module=str(module)) if "._" in module:
                    uses.add((path.name, module))
                case ast.Attribute(attr=name) if re.match(r"_[a-z]", name):
                    uses.add((path.name, name))
    foreign = {(file, name) for file, name in uses if name not in own}
    assert {file for file, _ in foreign} <= {"internals.py", "sigstop.py"}, foreign
