"""Text as data: what a prompt, a corpus, a file name, a log or a model says never takes effect.

Each string is put wherever text can stand in a log, and the log is shown by all that shows logs.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from shakegpt.runlog import schema as ev
from shakegpt.runlog.default_run import recorded
from shakegpt.runlog.log import LOG_NAME, RunLog, read
from tests.torture.lab import Lab
from tests.torture.screens import SCREEN, TRAINER, Terminal
from tests.torture.tally import Tally

MARK = "7331"
STRINGS: dict[str, str] = {
    "clipboard (OSC 52)": f"\x1b]52;c;NzMzMQ==\x07{MARK}",
    "title": f"\x1b]0;{MARK}\x07",
    "title, C1": f"\x9d0;{MARK}\x9c",
    "cursor": f"\x1b[{MARK};1H{MARK}",
    "cursor, C1": f"\x9b{MARK};1H",
    "alternate screen": f"\x1b[?1049l{MARK}",
    "device string": f"\x1bP{MARK}\x1b\\",
    "overwriting": f"\r{MARK}: all is well\x08\x08\x7f",
    "rich markup": f"[bold red]{MARK}[/bold red][link=file:///etc/passwd]x[/link]",
    "textual action": f"[@click=app.quit]{MARK}[/]",
    "broken markup": f"[/{MARK}][/][[",
    "script": f"<script>{MARK}</script><img src=x onerror=alert({MARK})>",
    "mustache": "{{ constructor.constructor('alert(7331)')() }}",
    "entities": "&lt;script&gt;&#x1b;&MARK;]]><svg onload=alert(7331)>",
    "attribute": '" onload="alert(7331)',
    "right to left": f"\u202e{MARK}\u2066evil\u2069\u202c",
    "line separators": f"a\u2028{MARK}\u2029b\x85c\x0b\x0c",
    "a lone accent, a joiner": f"\u0301\u200d{MARK}\ufeff",
}
NEVER = (
    *("\x1b]", "\x1bP", f"\x1b[{MARK}", "\x9b", "\x9d", "\x9c", "\x07", "\x08", "\x7f"),
    *(f"\r{MARK}", "\u202e", "\u2066", "\x85", "\x0b", "\x0c"),
)
"""What no output may hold, whatever it shows; a screen's own sequences are others."""


def escapes(lab: Lab, tally: Tally, *, short: bool = False) -> None:
    """All strings at once, and in the long form each alone, on every surface."""
    together = {"all of them": list(STRINGS.values())}
    alone = {} if short else {name: [text] for name, text in STRINGS.items()}
    for name, texts in (together | alone).items():
        run = poisoned(lab.folder / "poisoned", texts)
        for surface, show in SURFACES.items():
            with tally.case(f"{name} in {surface}"):
                show(run)
    for name, text in STRINGS.items():
        for words in [*SENTENCES.values()][: 2 if short else None]:
            with tally.case(f"{name} in shakegpt {' '.join(words)}"):
                _said_harmlessly(lab, [word.replace("TEXT", text) for word in words])


def poisoned(run: Path, texts: list[str]) -> Path:
    """The recorded run with `texts` in turn wherever a text stands."""
    given = itertools.cycle(texts)
    run.mkdir(exist_ok=True)
    (run / LOG_NAME).unlink(missing_ok=True)
    with RunLog(run / LOG_NAME) as log:
        for event in read(recorded() / LOG_NAME)[0]:
            log.write(_spoken(event, given))
        log.write(ev.RunWarning(iteration=1, message="".join(texts)))
        verb, said = texts[0], texts[-1]
        log.write(ev.Command(id="x", verb=verb, status="refused", message=said, iteration=1))
    return run


def _spoken(event: ev.Event, given: Iterator[str]) -> ev.Event:
    change = msgspec.structs.replace
    match event:
        case ev.Run():
            names = tuple(next(given) for _ in range(3))
            return change(
                event,
                run_id=next(given),
                model=change(event.model, name=next(given)),
                dataset=change(event.dataset, name=next(given), speakers=names),
                device=next(given),
                device_reason=next(given),
                dtype_reason=next(given),
                host=next(given),
                config=event.config | {"out_dir": next(given), "prompt": next(given)},
            )
        case ev.Sample():
            return change(event, prompt=next(given))
        case ev.Token():
            others = tuple(change(c, text=next(given)) for c in event.candidates)
            return change(event, text=next(given), candidates=others)
        case ev.SampleEnd():
            return change(event, text=next(given))
        case ev.End():
            return change(event, reason=next(given))
        case ev.Checkpoint():
            return change(event, path=next(given))
    return event


def harmless_output(text: str) -> None:
    """Fail when `text` holds anything that a terminal obeys and no screen of ours sends."""
    found = [mark for mark in NEVER if mark in text]
    assert not found, f"{found!r} at {text[max(0, text.find(found[0]) - 60) :][:160]!r}"


def plain(run: Path) -> None:
    """The headless lines."""
    from shakegpt.cli.console import PlainConsole

    with contextlib.redirect_stdout(io.StringIO()) as out:
        console = PlainConsole()
        for event in read(run / LOG_NAME)[0]:
            console.write(event)
    harmless_output(out.getvalue())
    assert "\x1b" not in out.getvalue() and MARK in out.getvalue()


def on_a_terminal(run: Path) -> None:
    """The live block, the list of runs and the claims, as bytes on a real terminal."""
    live = (
        "import sys; from pathlib import Path; from shakegpt.cli.console import LiveConsole\n"
        "from shakegpt.runlog.log import read\n"
        "console = LiveConsole()\n"
        "for event in read(Path(sys.argv[1]) / 'log.jsonl')[0]: console.write(event)\n"
        "console.close()"
    )
    harmless_output(shown([sys.executable, "-c", live, str(run)]))
    for words in (["runs", str(run.parent)], ["claims", str(run)]):
        harmless_output(shown([*TRAINER, *words]))


def in_the_screen(run: Path) -> None:
    """The run screen, as bytes on a real terminal: it asks the terminal things of its own."""
    said = on_screen(run)
    own = ("\x1b]", "\x1bP", "\x07", "\x08")
    found = [mark for mark in NEVER if mark in said and mark not in own]
    assert not found and "\x1b]52" not in said and f"\x1b]0;{MARK}" not in said, found
    assert MARK in said


def shown(words: list[str]) -> str:
    """What a command writes to a terminal until it leaves."""
    terminal = Terminal(words)
    assert terminal.leave() == 0, terminal.said[-500:]
    return terminal.said.decode("utf-8", "replace")


def on_screen(run: Path) -> str:
    """What the run screen writes to a terminal, samples and tokens looked through."""
    terminal = Terminal([*SCREEN, str(run)])
    terminal.until(lambda said: b"val" in said)
    for keys in (b"[", b"[", b"\t", b"\x1b[C", b"?", b"\x1b"):
        terminal.read(0.3)
        terminal.type(keys)
    terminal.read(0.3)
    terminal.quit()
    return terminal.said.decode("utf-8", "replace")


def pictures(run: Path) -> None:
    """The figures: XML that is whole, without a script, a handler or a link to run."""
    from shakegpt.runlog.history import load
    from shakegpt_figures.make import rendered

    names = ("training", "architecture", "generation")
    for path, content in rendered(names, [load(run)[0]], run, ("svg",), ["0" * 64]):
        text = content.decode("utf-8")
        harmless_output(text)
        for element in ET.fromstring(text).iter():
            assert not element.tag.endswith("script"), path
            assert not any(name.startswith("on") for name in element.attrib), element.attrib


def deck(run: Path) -> None:
    """The deck's data: JSON that reads back; that the deck shows it as text, its tests hold."""
    from shakegpt.runlog.history import load
    from shakegpt_figures import data

    raw = data.encoded(data.run_data(load(run)[0], run / LOG_NAME)).decode()
    harmless_output(raw)
    told: dict[str, Any] = json.loads(raw)
    harmless_output(told["alt"]["training"] + told["alt"]["generation"] + told["sample"]["prompt"])


SURFACES = {
    "plain lines": plain,
    "a terminal": on_a_terminal,
    "the screen": in_the_screen,
    "figures": pictures,
    "the deck's data": deck,
}

SENTENCES: dict[str, list[str]] = {
    "a text's name": ["finetune", "--no-tui", "--dataset", "TEXT"],
    "a model's name": ["sample", "TEXT"],
    "a verb": ["TEXT"],
    "a run's name": ["finetune", "--no-tui", "--resume", "TEXT"],
    "a flag's value": ["finetune", "--no-tui", "--batch-size", "TEXT"],
    "a flag": ["finetune", "--no-tui", "--TEXT", "1"],
    "a directory": ["runs", "TEXT"],
    "a device": ["sample", "pocket", "--device", "TEXT"],
}


def _said_harmlessly(lab: Lab, words: list[str]) -> None:
    ended = lab(words)
    assert ended.code in (0, 2), ended
    assert "Traceback" not in ended.err, ended.err
    harmless_output(ended.out + ended.err)
    assert "\x1b" not in ended.out + ended.err, ended.out + ended.err
