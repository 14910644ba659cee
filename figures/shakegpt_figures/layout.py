"""`shakegpt deck DIR`: the talk's slides from the installed package, with a run's numbers.

The slides lie in the package as deck/ (in a checkout: slides/). The two files whose lines the
slides show are copied beside them, so that the directory needs nothing but Node.
"""

from __future__ import annotations

import re
import shutil
from importlib import resources
from pathlib import Path

from shakegpt.config import DeckConfig, FiguresConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.default_run import named, newest
from shakegpt.sanitize import printable
from shakegpt_figures import make
from shakegpt_figures.source import Source
from shakegpt_figures.whole import replace

PARTS = (
    *("slides.md", "check.mjs", "optional.mjs", "talk.mjs", "talk.example.toml", "package.json"),
    *("package-lock.json", ".npmrc", "vite.config.ts", "global-top.vue", "pdf.mjs", "README.md"),
    *("components", "composables", "layouts", "setup", "styles", "public/favicon.svg"),
)
"""What a deck is, without a run."""
KEPT = ("talk.toml", "node_modules", "dist", "slides.md")
"""A speaker's own, never overwritten."""
_SOURCE = re.compile(r"(?m)^(<<< )\S*/(\w+\.py#)")


def package_deck() -> Path:
    """The slides of the package. Raises ShakegptError when they were not installed."""
    here = Path(__file__).parent
    for folder in (here / "deck", here.parents[1] / "slides"):
        if make.is_deck(folder):
            return folder
    raise ShakegptError(
        f"the slides are missing beside {here}: reinstall shakegpt from its wheel", exit_code=1
    )


def run(config: DeckConfig) -> int:
    """Lay the deck out, or bring one that is there to another run."""
    folder, source = Path(config.directory), package_deck()
    if folder.exists() and any(folder.iterdir()) and not make.is_deck(folder):
        raise ShakegptError(
            f"{folder} is not empty and holds no deck: give a new directory, or one of a deck"
        )
    log = Source(named(config.run) if config.run else newest())
    log.checked()
    out, numbers = folder / "public", folder / "data" / "run.json"
    files = make.files(FiguresConfig(), [log], out, numbers)
    if source.resolve() != folder.resolve():
        _copy(source, folder)
    make.put(files)
    print(printable(f"{folder}: the slides of {log.log.parent}"))
    print("give the talk:  npm ci && npm run dev     (needs Node 20.12 or newer)")
    print("your name, event and address:  copy talk.example.toml to talk.toml")
    return 0


def _copy(source: Path, folder: Path) -> None:
    """The deck's files and the two sources; slides.md only when there is none."""
    try:
        for part in PARTS:
            here, there = source / part, folder / part
            if here.is_dir():
                shutil.copytree(here, there, dirs_exist_ok=True)
            elif here.is_file() and not (there.exists() and part in KEPT):
                replace(there, here.read_bytes())
        for name in ("finetune.py", "generate.py"):
            code = resources.files("shakegpt").joinpath(name).read_bytes()
            replace(folder / "code" / name, code)
    except OSError as error:
        raise ShakegptError(f"{folder} cannot be written: {error.strerror}", exit_code=1) from error
    slides = folder / "slides.md"
    text = slides.read_text("utf-8")
    replace(slides, _SOURCE.sub(r"\1./code/\2", text).encode())
