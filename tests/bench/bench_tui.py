"""How fast the terminal UI is: `python -m tests.bench.bench_tui` prints figures with their limits.

Each figure is taken on a real pseudo-terminal from a process of its own. Other work on the machine
shows in them; the yardstick of the first screen is measured in the same minutes for that reason.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tui"), str(ROOT / "figures")]

from shakegpt.runlog.history import load  # noqa: E402
from shakegpt.runlog.log import LOG_NAME, Follower  # noqa: E402
from shakegpt.runlog.schema import Progress  # noqa: E402
from tests.tui import logs  # noqa: E402
from tests.tui.terminals import Terminal, environment  # noqa: E402

ROUNDS = 7
TURNS, MICRO_STEPS = 20, 8
"""How often training is watched and not watched, and for how long: two whole iterations."""
TRAINING = ["--no-tui", "--max-iters", "100000", "--eval-interval", "100000"]
"""The default run, but for its end and its evaluations, which would fall into one turn or other."""
ROWS, COLUMNS = 60, 200
"""A terminal in which all panes are shown."""
BUSY = "import time\nwhile True: sum(range(10_000))"


def main() -> int:
    """Measure and print; returns 1 when a limit is missed."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        good = [first_screen(home), busy_keys(home), idle(home), big_log(home), slowing(home)]
    return 0 if all(good) else 1


def tell(what: str, value: float, unit: str, limit: float) -> bool:
    """Print one figure beside its limit."""
    good = value <= limit
    print(f"{what:<52} {value:8.2f} {unit:<3} (limit {limit:g}) {'ok' if good else 'MISSED'}")
    return good


def first_screen(home: Path) -> bool:
    """Start to first painted home screen, against the import that every Textual app pays."""
    screens, filled, imports = [], [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import textual.app"], check=True,
                       env=environment(home))  # fmt: skip
        imports.append(time.perf_counter() - began)
        began = time.perf_counter()
        with Terminal([], home) as terminal:
            terminal.until("New run")
            screens.append(time.perf_counter() - began)
            terminal.until("accumulation")
            filled.append(time.perf_counter() - began)
    screen, yardstick = statistics.median(screens), statistics.median(imports)
    print(f"first screen {screen:.2f} s, import textual.app {yardstick:.2f} s; "
          f"form and list {statistics.median(filled):.2f} s")  # fmt: skip
    return tell("first screen / import textual.app", screen / yardstick, "x", 1.5)


def busy_keys(home: Path) -> bool:
    """From a key to its effect on the terminal while two processes take all they can get."""
    run = _run(home, "busy", 12)
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    try:
        with Terminal([str(run)], home, rows=ROWS, columns=COLUMNS) as terminal:
            terminal.until("sample 3 of 3")
            waits = [_key_to_screen(terminal, press) for press in range(60)]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    waits.sort()
    print(f"key to screen, two busy processes: median {1000 * statistics.median(waits):.0f} ms")
    return tell("key to screen, 95th percentile", 1000 * waits[int(0.95 * len(waits))], "ms", 100)


def _key_to_screen(terminal: Terminal, press: int) -> float:
    """Step to another sample; its title must come."""
    key, wanted = (("\x1b[D", "sample 2 of 3"), ("\x1b[C", "sample 3 of 3"))[press % 2]
    time.sleep(0.03 + 0.01 * (press % 7))
    while terminal.read(0.02):
        pass
    terminal.seen = b""
    began = time.perf_counter()
    terminal.press(key)
    while wanted not in terminal.plain:  # a line that changed is painted whole
        assert time.perf_counter() - began < 5, wanted
        terminal.read(0.5)
    return time.perf_counter() - began


def idle(home: Path) -> bool:
    """Processor time of an open run screen to which nothing comes."""
    run = _run(home, "idle", 12)
    with Terminal([str(run)], home, rows=ROWS, columns=COLUMNS) as terminal:
        terminal.until("sample 3 of 3")
        _drain(terminal, 3)
        process = psutil.Process(terminal.process.pid)
        before = sum(process.cpu_times()[:2])
        _drain(terminal, 15)
        used = sum(process.cpu_times()[:2]) - before
    return tell("idle, share of a core", 100 * used / 15, "%", 1)


def _drain(terminal: Terminal, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        terminal.read(0.5)


def big_log(home: Path) -> bool:
    """From start to a painted screen with the end of a log of 200,000 records."""
    run = home / "big"
    run.mkdir()
    count = _write_big(run)
    began = time.perf_counter()
    with Terminal([str(run)], home, rows=ROWS, columns=COLUMNS) as terminal:
        terminal.until("iteration 39000/40000")
        took = time.perf_counter() - began
    size = (run / "log.jsonl").stat().st_size
    print(f"the log: {count:,} records, {size / 1e6:.0f} MB")
    return tell("opening it, start of the program included", took, "s", 3)


def slowing(home: Path) -> bool:
    """Tokens a second of one training beside its screen, against those while the screen is halted.

    One trainer and one screen, which is stopped and let go on in short turns: the speed of a shared
    machine drifts by a tenth within a minute, and two turns next to each other have it alike.
    """
    run = home / "training"
    trainer = subprocess.Popen(
        [sys.executable, "-m", "shakegpt", "finetune", *TRAINING, "--out-dir", str(run)],
        env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not load(run)[0].progress:
            assert trainer.poll() is None, "the trainer ended"
            time.sleep(0.5)
        with Terminal([str(run)], home, rows=ROWS, columns=COLUMNS) as terminal:
            terminal.until("TRAINING")
            _drain(terminal, 3)
            turns = [_turn(run, terminal, halted) for halted in [True, False, False, True] * TURNS]
    finally:
        trainer.kill()
        trainer.wait()
    alone = [speed for halted, speed, _ in turns if halted]
    watched = [speed for halted, speed, _ in turns if not halted]
    share = statistics.median(used for halted, _, used in turns if not halted)
    ratios = sorted(one / other for one, other in zip(alone, watched, strict=True))
    print(
        f"training: {statistics.median(alone):,.0f} tokens/s alone; {len(ratios)} pairs of turns, "
    )
    print(f"alone / watched from {ratios[0]:.3f} to {ratios[-1]:.3f}, the middle half ", end="")
    print(f"{ratios[len(ratios) // 4]:.3f} to {ratios[-len(ratios) // 4]:.3f}; ", end="")
    unsure = 125 * statistics.stdev(ratios) / len(ratios) ** 0.5  # of a median, in percent
    print(f"their median is known to {unsure:.1f} %")
    print(f"processor time of the screen meanwhile: {share:.1f} % of a core")
    slower = 100 * (statistics.median(ratios) - 1)
    return tell("training slowed by its screen, median of turns", slower, "%", 2)


def _turn(run: Path, terminal: Terminal, halted: bool) -> tuple[bool, float, float]:
    """Tokens a second, and the share of a core that the screen takes meanwhile, in percent."""
    screen = psutil.Process(terminal.process.pid)
    screen.suspend() if halted else _drain(terminal, 1)  # it has caught up with the turn before
    began, before = time.perf_counter(), sum(screen.cpu_times()[:2])
    speed = _speed(run, time.sleep if halted else lambda seconds: _drain(terminal, seconds))
    screen.resume()
    used = sum(screen.cpu_times()[:2]) - before
    return halted, speed, 100 * used / (time.perf_counter() - began)


def _speed(run: Path, wait: Callable[[float], None]) -> float:
    """Tokens a second over the next `MICRO_STEPS`, `wait` passing the time."""
    follower, told = Follower(run / LOG_NAME), list[Progress]()
    follower.poll()
    while len(told) <= MICRO_STEPS:
        wait(0.5)
        told += [event for event in follower.poll() if isinstance(event, Progress)]
    first, last = told[0], told[MICRO_STEPS]
    return (last.tokens - first.tokens) / (last.time - first.time)


def _write_big(run: Path) -> int:
    import msgspec

    encode, lines = msgspec.json.encode, []
    start = time.time() - 1
    lines.append(encode(logs.header(time=start, max_iters=40_000)))
    for number in range(1, 39_001):
        lines += [encode(event) for event in logs.iteration(number, start)]
        if number % 1000 == 0:
            lines += [encode(event) for event in logs.sample(number // 1000 - 1, number, start)]
        if len(lines) > 200_000:
            break
    while len(lines) < 200_000:
        lines.append(encode(logs.beat("training", number, start, 40_000)))
    (run / "log.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return len(lines)


def _run(home: Path, name: str, upto: int) -> Path:
    length = list(logs.story(upto))[-1].time - logs.T0
    return logs.write(home / name, logs.story(upto, start=time.time() - length))


if __name__ == "__main__":
    sys.exit(main())
