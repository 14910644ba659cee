"""The built wheel in an environment of its own: its data files and its commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands import ROOT


@pytest.fixture(scope="module")
def bin_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a virtual environment with the wheel, and this one's other packages."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    packages = next((folder / "venv").glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # a folder on the path whose own .pth files, such as the editable install, are not read
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for line in (
        next(packages.glob("shakegpt-*.dist-info/entry_points.txt")).read_text().split("\n")
    ):
        if " = " in line:
            name, target = line.split(" = ")
            module, function = target.split(":")
            script = folder / "venv" / "bin" / name
            script.write_text(
                f"#!{folder}/venv/bin/python\nimport sys\nfrom {module} import {function}\n"
                f"sys.exit({function}())\n"
            )
            script.chmod(0o755)
    return folder / "venv" / "bin"


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """Standard output of a command that succeeds."""
    keep = {name: os.environ[name] for name in ("HOME", "SHAKEGPT_CACHE") if name in os.environ}
    env = keep | {"PATH": os.environ["PATH"], "TERM": "dumb", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_imported_is_the_wheel(bin_dir: Path, tmp_path: Path) -> None:
    code = (
        "import shakegpt, shakegpt_tui, shakegpt_figures as f; print(shakegpt.__file__, f.__file__)"
    )
    out = run([bin_dir / "python", "-c", code], tmp_path)
    assert str(bin_dir.parent) in out and str(ROOT) not in out


def test_the_products_in_c_are_in_the_wheel(bin_dir: Path) -> None:
    assert list(bin_dir.parent.glob("lib/python*/site-packages/shakegpt/nn/decode.c"))


def test_the_commands_answer(bin_dir: Path, tmp_path: Path) -> None:
    assert run([bin_dir / "shakegpt", "--version"], tmp_path).startswith("shakegpt ")
    assert "finetune" in run([bin_dir / "shakegpt", "--help"], tmp_path)
    assert "usage" in run([bin_dir / "shakegpt-tui", "--help"], tmp_path)


def test_a_run_its_figures_and_its_picture(bin_dir: Path, tmp_path: Path) -> None:
    """The pocket, the recorded run, style sheets and figure styles are all in the wheel."""
    text = tmp_path / "text.txt"
    text.write_text("ROMEO:\nBut soft, what light through yonder window breaks?\n\n" * 60)
    shakegpt = bin_dir / "shakegpt"
    finetune: list[str | Path] = [
        shakegpt,
        "finetune",
        "--no-tui",
        "--dataset",
        text,
        "--out-dir",
        "run",
    ]
    small: list[str | Path] = [
        "--max-iters",
        "1",
        "--batch-size",
        "1",
        "--gradient-accumulation-steps",
        "1",
    ]
    run([*finetune, *small, "--block-size", "16", "--max-new-tokens", "4"], tmp_path)
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    assert "ROMEO" in run([shakegpt, "sample", "run", "--max-new-tokens", "2"], tmp_path)
    run([shakegpt, "figures", tmp_path / "run", "--only", "architecture"], tmp_path)
    assert list((tmp_path / "run").rglob("architecture.svg"))
    run([shakegpt, "claims"], tmp_path)
    run([shakegpt, "deck", "talk"], tmp_path)
    assert (tmp_path / "talk" / "public" / "inside.svg").is_file()
    if shutil.which("node"):
        run(["node", "check.mjs"], tmp_path / "talk")
    picture: list[str | Path] = [
        bin_dir / "shakegpt-tui",
        "picture",
        "run",
        "--size",
        "80x24",
        "--out",
        "screen.svg",
    ]
    run(picture, tmp_path)
    assert "<svg" in (tmp_path / "screen.svg").read_text("utf-8")[:200]
