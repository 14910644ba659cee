"""One target under atheris, which watches the coverage of shakegpt's own code.

python -m tests.torture.fuzz_one log /tmp/corpus -max_total_time=1200
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

with atheris.instrument_imports(include=["shakegpt"]):
    from tests.torture.fuzz_targets import SEEDS, TARGETS, words


def main(name: str, corpus: Path, flags: list[str]) -> None:
    """Sow the corpus if it is empty, and fuzz as libFuzzer's `flags` say; leaves the process."""
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, seed in enumerate(SEEDS[name]()):
            (corpus / f"seed-{number}").write_bytes(seed)
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        feed = TARGETS[name](Path(folder))
        dictionary = Path(folder) / "dictionary"
        dictionary.write_text("".join(f'"{quoted(word)}"\n' for word in words(name)))
        atheris.Setup([sys.argv[0], str(corpus), f"-dict={dictionary}", *flags], feed)
        atheris.Fuzz()


def quoted(word: bytes) -> str:
    """A word as libFuzzer's dictionaries spell it."""
    return "".join(f"\\x{byte:02x}" for byte in word)


def _memory() -> str | None:
    """A directory in memory where there is one: a case is then no work for a disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
