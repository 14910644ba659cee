"""The process that finds settings for a text and a model: `shakegpt advise --json`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from shakegpt.config import FinetuneConfig, bounds
from shakegpt.config.commands import PROBED
from shakegpt.errors import ShakegptError
from shakegpt.sanitize import one_line

COMMAND = (sys.executable, "-P", "-m", "shakegpt", "advise")
SUBJECT = (
    *("init_from", "dataset", "text_field", "separate_documents"),
    *("val_dataset", "val_fraction"),
)
"""Settings for another value of which a recommendation says nothing."""


class Adviser:
    """A probe. It ends when `close` is called, or by itself."""

    def __init__(self, config: FinetuneConfig) -> None:
        """Of the text and model of `config`. Raises ShakegptError when it cannot start."""
        self.closed = False
        """It was ended by `close`."""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        # For its temporary files, which it leaves when it is ended
        self._scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        words = list(config.dataset)
        for name in PROBED:
            if (value := getattr(config, name)) is not None:
                words += bounds.words(name, value)
        try:
            self._process = subprocess.Popen(
                [*COMMAND, *words, "--long", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                env={**os.environ, "TMPDIR": self._scratch.name},
            )
        except OSError as error:
            self._scratch.cleanup()
            raise ShakegptError(f"cannot start the probe: {error}", exit_code=1) from None
        self._last = ""

    def progress(self) -> Iterator[str]:
        """Its lines of progress, until it ends; blocks, for a thread only."""
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._last = one_line(line.strip().removeprefix("shakegpt: "), 600) or self._last
                yield one_line(self._last, 200)

    def found(self) -> Mapping[str, Any]:
        """What it recommends, after `progress`. Raises ShakegptError, with its last words, when it
        failed.
        """
        code = self._process.wait()
        self._scratch.cleanup()
        with self._output as output:
            output.seek(0)
            data = output.read()
        with suppress(ValueError):
            found = json.loads(data)
            if code == 0 and isinstance(found, dict):
                return found
        ended = f"the probe was ended by signal {-code}" if code < 0 else ""
        raise ShakegptError(
            ended or self._last or f"the probe ended with exit code {code}", exit_code=1
        )

    def close(self) -> None:
        """End it at once; it has nothing to save."""
        self.closed = True
        self._process.kill()
        self._process.wait()
        self._scratch.cleanup()


def settings(found: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a recommendation has, by field of `FinetuneConfig`, beside those that say
    for which text and model it is.
    """
    return {name: value for name, value in found["config"].items() if name not in SUBJECT}


def sentence(found: Mapping[str, Any]) -> str:
    """What a recommendation expects, what in the text misleads it, and what it cannot tell."""
    guess, unknown = found["forecast"], "; ".join(found["unknown"])
    text = (
        f"Advised: val loss {guess['loss']:.2f} expected ({guess['low']:.2f} to "
        f"{guess['high']:.2f}), from {found['start']['loss']:.2f}"
    )
    text = ". ".join([text, *found["warnings"]])
    return one_line(text + (f". Cannot tell {unknown}" if unknown else ""), 600)
