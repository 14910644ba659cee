"""The start form and the list without widgets: what is typed, what is missing, which columns."""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakegpt.cli import finetune_arguments
from shakegpt.cli.preflight import faults
from shakegpt.config import FinetuneConfig
from shakegpt.config.presets import PRESETS
from shakegpt.errors import ShakegptError
from shakegpt.hardware import control_group, memory
from shakegpt.runlog import schema as ev
from shakegpt.runlog.runs import RunSummary
from shakegpt_tui.home import form, machine, models, speed
from shakegpt_tui.home.listing import COLUMNS, ORDERS, arrange, columns_for, row_of
from shakegpt_tui.main import watch
from shakegpt_tui.terminal import capabilities
from shakegpt_tui.widgets.model_list import model_line, takes
from tests.tui import logs

DEFAULT = PRESETS["pocket"].config


def filled(config: FinetuneConfig) -> dict[str, str]:
    return {name: form.typed(getattr(config, name)) for name in form.form_fields()}


def test_the_form_has_every_setting_with_its_help() -> None:
    told = form.form_fields()
    assert set(told) == {field.name for field in fields(FinetuneConfig)}
    assert all(field.help.endswith(".") for field in told.values())
    assert told["device"].choices == ("auto", "cpu", "cuda", "mps")
    assert next(iter(told)) == "init_from"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_goes_through_the_form_unchanged(name: str) -> None:
    config = PRESETS[name][1]
    assert form.check(filled(config)) == (config, {})


@given(st.text(max_size=40), st.floats(1e-9, 1), st.booleans(), st.integers(0, 10**6))
def test_what_is_typed_comes_back(prompt: str, rate: float, decay: bool, iters: int) -> None:
    config = replace(DEFAULT, prompt=prompt, learning_rate=rate, decay_lr=decay, max_iters=iters)
    assert form.check(filled(config)) == (config, {})


@given(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=3))
def test_names_with_blanks_and_quotes_come_back(names: list[str]) -> None:
    if "-" not in names:
        there = tuple(map(os.path.expanduser, names))
        assert form.parse("dataset", form.typed(tuple(names))) == there


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("max_iters", "many", "an integer >= 0, got 'many'"),
        ("max_iters", "", "an integer >= 0, got ''"),
        ("max_iters", "2.5", "an integer >= 0"),
        ("dropout", "2", "<= 0.99"),
        ("learning_rate", "nan", "> 0"),
        ("device", "gpu", "auto, cpu, cuda, mps"),
        ("decay_lr", "maybe", "yes or no"),
        ("dataset", '"half', "no closing quotation"),
        ("dataset", "-", "keyboard"),
        ("dataset", " ", "at least one"),
        ("dataset", "plays gone.txt", "gone.txt does not exist"),
        ("lora_targets", "attn.c_attn x", "one of attn.c_attn"),
        ("lora_targets", "", "one value of attn.c_attn"),
        ("device", "x" * 300, "auto"),
        ("init_from", " ", "empty"),
        ("init_from", "gpt5", "gpt5"),
        ("block_size", "9999", "9999 is over the 256"),
        ("shard", "yes", "torchrun"),
    ],
)
def test_an_error_stands_at_its_field(name: str, text: str, why: str) -> None:
    config, errors = form.check(filled(DEFAULT) | {"optimizer": "adamw", name: text})
    assert config is None
    assert list(errors) == [name]
    assert why in errors[name]


def test_all_faults_are_shown_at_once() -> None:
    typed = {"seed": "x", "dataset": "gone.txt", "block_size": "9999", "batch_size": "0"}
    typed |= {"val_fraction": "0.2", "val_dataset": "plays"}
    config, errors = form.check(filled(DEFAULT) | typed)
    assert config is None and set(errors) == set(typed) - {"val_dataset"}
    scratch = {"init_from": "scratch", "n_embd": "100", "tokenizer": "own", "max_iters": "-1"}
    assert set(form.check(filled(DEFAULT) | scratch)[1]) == {"n_embd", "tokenizer", "max_iters"}


def test_parse_says_none_where_a_setting_has_it() -> None:
    assert form.parse("grad_clip", "none") is None
    assert form.parse("block_size", "") is None
    assert form.parse("max_iters", "1_000") == 1000
    with pytest.raises(ShakegptError):
        form.parse("grad_clip", "some")


def test_flags_are_what_differs_and_no_value_is_taken_for_a_flag() -> None:
    assert form.flags(DEFAULT) == []
    config = replace(
        DEFAULT,
        dataset=("a b.txt", "plays"),
        prompt="--help",
        decay_lr=True,
        grad_clip=None,
        learning_rate=3e-5,
    )
    assert form.flags(config) == [
        "--dataset", "a b.txt", "plays", "--learning-rate", "3e-05", "--decay-lr",
        "--grad-clip", "none", "--prompt=--help",
    ]  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", ["pocket", "gpt2-medium", "someone/their-gpt2", "scratch"])
def test_the_command_line_makes_of_the_flags_what_the_form_says(preset: str, model: str) -> None:
    """Whatever it begins with for a model, the run is the one on the form."""
    typed = replace(DEFAULT, prompt="- dash", compile="on", top_k=None)
    for config in (
        replace(PRESETS[preset].config, init_from=model),
        replace(typed, init_from=model),
    ):
        assert finetune_arguments.parse(form.flags(config, preset)).config() == config


def test_a_model_brings_its_settings_and_what_was_typed_stays() -> None:
    pocket, gpt2, talk = (PRESETS[name].config for name in ("pocket", "gpt2", "talk"))
    for large in ("gpt2-medium", "someone/their-gpt2"):
        preset, config = form.suggest(large, "pocket")
        assert preset == "gpt2" and replace(config, init_from="gpt2") == gpt2
        assert form.suggest(large, "talk") == ("talk", talk)
    assert form.suggest("pocket", "talk") == ("pocket", pocket)
    assert form.suggest("no such model", "talk") == ("talk", talk)
    told = form.follow(filled(DEFAULT) | {"max_iters": "40"}, pocket, gpt2)
    assert told == filled(replace(gpt2, max_iters=40))


def test_a_model_on_disk_brings_the_settings_of_its_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        '{"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024,'
        '"vocab_size": 50257}'
    )
    assert form.suggest(str(tmp_path), "pocket")[0] == "gpt2"
    texts = filled(PRESETS["gpt2"].config) | {"init_from": str(tmp_path), "block_size": "2000"}
    assert list(form.check(texts)[1]) == ["block_size"]


def test_faults_are_named_by_field(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.jsonl").write_text("{}\n")
    odd = replace(DEFAULT, init_from="gpt5", dataset=("plays", "gone.txt", "\0"), out_dir=str(run))
    assert set(faults(odd)) == {"init_from", "dataset", "out_dir"}
    assert "gone.txt" in faults(odd)["dataset"]
    assert faults(DEFAULT) == {} == faults(PRESETS["char"].config)
    assert faults(replace(DEFAULT, init_from="someone/their-gpt2", dataset=(str(run),))) == {}
    assert faults(replace(DEFAULT, init_from="\x1b[31mred")).keys() == {"init_from"}
    wide = faults(replace(DEFAULT, init_from="gpt2", block_size=2048))
    assert list(wide) == ["block_size"] and "2048 is over the 1024" in wide["block_size"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--bogus", "--bogus"),
        ("talk --max-iter 3", "did you mean '--max-iters'?"),
        ("--max-iters x --seed y", "--seed must be"),
        ("char extra", "'extra'"),
        ("--init-from nope", "'nope'"),
        ("--dataset gone.txt --init-from nope", "gone.txt"),
        ("--dataset -", "--dataset - would read the keyboard"),
        ("--resume gone", "--resume gone is no run directory"),
        ("--resume gone --seed 1", "--seed cannot be changed"),
        ("gpt2 --block-size 2000", "--block-size 2000 is over the 1024"),
        ("nonesuch", "unknown run or preset 'nonesuch'"),
    ],
)
def test_flags_are_refused_before_a_screen_is_shown(
    words: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capabilities, "missing", lambda *_: None)
    with pytest.raises(ShakegptError) as refused:
        watch(words.split())
    assert why in str(refused.value) and refused.value.exit_code == 2


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_a_screen_needs_a_terminal_at_all_ends(
    closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tty:
        def isatty(self) -> bool:
            return True

    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, Tty())
    monkeypatch.setenv("TERM", "xterm")
    assert capabilities.missing() is None
    monkeypatch.setattr(sys, closed, None)
    assert capabilities.missing() == f"{closed} is not a terminal"


def test_the_known_shapes_give_the_known_sizes() -> None:
    told = {m.name: m.n_params for m in models.GPT2S}
    assert told["gpt2"] == 124_439_808
    assert told["gpt2-xl"] == 1_557_611_200
    for model in models.GPT2S:  # the files hold each block's causal mask beside the parameters
        masks = model.n_layer * model.block_size**2
        assert 4 * (told[model.name] + masks) == pytest.approx(model.disk, rel=1e-3)


def test_what_a_run_takes_follows_its_settings() -> None:
    here, gpt2 = machine.Machine(64 << 30), models.of("gpt2", models.known())
    assert gpt2 is not None

    def need(**settings: object) -> int:
        config = replace(PRESETS["gpt2"].config, **settings)  # type: ignore[arg-type]
        return here.need(gpt2, config).bytes

    assert need(batch_size=1) < need(batch_size=8) and need(block_size=64) < need()
    assert need(lora_rank=8) < need() and need(memory="low") < need()
    assert here.need(models.scratch(DEFAULT), DEFAULT).bytes > 0


def test_memory_auto_is_judged_by_the_row_that_the_trainer_will_choose() -> None:
    large = models.of("gpt2-large", models.known())
    assert large is not None
    talk = PRESETS["talk"].config
    roomy, tight, small, tiny = (machine.Machine(mib << 20) for mib in (65536, 10240, 2048, 512))
    normal, low = roomy.need(large, talk), tight.need(large, talk)
    assert not normal.lowered and normal.bytes > 10 << 30
    assert low.lowered and low.bytes < 10 << 30
    forced = tight.need(large, replace(talk, memory="normal"))
    assert forced == normal
    for where, config, said in (
        (roomy, talk, "are free."),
        (tight, talk, "(low: a third slower)"),
        (tight, replace(talk, memory="normal"), "set memory to auto"),
        (small, talk, "of disk (lowest: half again as slow)"),
        (tiny, talk, "lower batch size, block size or the model"),
        (roomy, replace(talk, device="cuda"), "no GPU was found"),
    ):
        assert said in takes(large, config, where).plain
    assert model_line(large, talk, tight).plain.endswith("fits, low")
    assert model_line(large, talk, small).plain.endswith("fits, lowest")
    assert model_line(large, talk, tiny).plain.endswith("too big")


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("3000000")
    (tmp_path / "memory.current").write_text("1000000")
    (tmp_path / "memory.stat").write_text("anon 700000\ninactive_file 300000\n")
    monkeypatch.setattr(control_group, "ROOT", tmp_path)
    assert machine.machine().memory == 2_300_000  # cached pages can be dropped


def test_models_that_are_known() -> None:
    assert models.pocket().here and models.pocket().disk > 1_000_000
    assert models.of("someone/their-gpt2", models.known()) is None
    assert models.of(str(Path(form.__file__).parent), models.known()) is None


def test_a_gpu_is_judged_by_its_own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text('#!/bin/sh\necho "$@" > asked\necho "NVIDIA, the 4090, 2048"\n')
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    monkeypatch.chdir(tmp_path)
    here = machine.with_gpu()
    assert (here.gpu, here.gpu_name) == (2 << 30, "NVIDIA, the 4090")
    assert "--id=3" in (tmp_path / "asked").read_text()
    gpt2, on_cpu = models.known()[1], replace(DEFAULT, device="cpu")
    asked = replace(DEFAULT, memory="normal")
    need = memory.estimate(gpt2, asked)
    assert (here.free(DEFAULT), here.free(on_cpu)) == (2 << 30, here.memory)
    assert here.need(gpt2, asked).bytes == need.total - need.process
    driver.write_text("#!/bin/sh\necho no devices were found; exit 6\n")
    assert machine.with_gpu().gpu is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.with_gpu().gpu is None
    assert machine.Machine(1).free(replace(DEFAULT, device="cuda")) == 0


def test_an_empty_field_says_what_it_means() -> None:
    told = {name: field.without for name, field in form.form_fields().items()}
    assert told["block_size"] == "what the model was made for"
    assert told["grad_clip"] == "no clipping" and told["max_iters"] == ""


def summary(name: str, **values: object) -> RunSummary:
    told: dict[str, object] = {
        "path": Path(name), "state": "finished", "model": "gpt2", "dataset": "plays",
        "iteration": 20, "max_iters": 20, "first_val": 4.0, "best_val": 3.0,
        "val_curve": ((0, 4.0), (20, 3.0)), "started": 1000.0, "updated": 1100.0,
    }  # fmt: skip
    return RunSummary(**(told | values))  # type: ignore[arg-type]


def test_runs_are_filtered_by_all_words_and_sorted() -> None:
    found = [
        summary("a", started=1.0, best_val=2.0),
        summary("b", started=3.0, best_val=None, state="training"),
        summary("c", started=2.0, model="Pocket", state="crashed"),
    ]
    names = {order: [run.name for run in arrange(found, order, "")] for order in ORDERS}
    assert names == {
        "newest": ["b", "c", "a"],
        "val loss": ["a", "c", "b"],
        "model": ["b", "a", "c"],
        "state": ["b", "c", "a"],
    }
    assert [run.name for run in arrange(found, "newest", "pocket crash")] == ["c"]
    assert arrange(found, "newest", "pocket live") == []


def test_a_row_in_words() -> None:
    cells = {column: text for column, (text, _) in row_of(summary("r"), 4700.0).cells.items()}
    assert cells["val loss"] == "4.000 → 3.000" and cells["val"] == "4.00→3.00"
    assert cells["age"] == "1 h" and cells["for"] == "1h"
    assert cells["curve"] == "█▁" and cells["state"] == "✓ finished"
    broken = row_of(
        summary("\x1b[31mr", problem="schema 99", best_val=None, max_iters=0), time.time()
    )
    assert broken.cells["state"][0] == "! unreadable"
    assert "\x1b" not in broken.cells["run"][0]


@pytest.mark.parametrize("width", [0, 49, 57, 81, 82, 200])
def test_columns_fit(width: int) -> None:
    columns = columns_for(width)
    assert set(columns) <= set(row_of(summary("r"), 0.0).cells)
    assert next(room for room, told in COLUMNS.items() if told == columns) <= width


def test_a_rate_far_above_what_suits_the_model_is_doubted() -> None:
    gpt2 = PRESETS["gpt2"].config
    assert form.doubts(DEFAULT, DEFAULT) == {} == form.doubts(gpt2, gpt2)
    assert form.doubts(replace(DEFAULT, learning_rate=0.01), DEFAULT) == {}
    doubt = form.doubts(replace(DEFAULT, learning_rate=4.0), DEFAULT)
    assert f"{4.0 / DEFAULT.learning_rate:,.0f} times" in doubt["learning_rate"]


def test_the_heading_of_the_presets_is_a_short_line_that_names_the_model() -> None:
    for name, preset in PRESETS.items():
        assert form.heading(name, preset.config.init_from).startswith(f"{name}: ")
        assert len(form.heading(name, "")) < 40
    assert "gpt2-xl" in form.heading("gpt2", "gpt2-xl")


def timed(base: Path, name: str, *, host: str = "", seconds: float = 2.0) -> None:
    """A run of the default configuration whose iterations took `seconds` each."""
    pocket = models.pocket()
    head = logs.header(host=host or socket.gethostname())
    shape = {f: getattr(pocket, f) for f in ("n_layer", "n_head", "n_embd", "vocab_size")}
    model = msgspec.structs.replace(
        head.model, **shape, block_size=pocket.block_size, n_params=pocket.n_params
    )
    config = {"block_size": DEFAULT.block_size, "lora_rank": None}
    head = msgspec.structs.replace(head, model=model, config=config)
    tokens = DEFAULT.batch_size * DEFAULT.gradient_accumulation_steps * (DEFAULT.block_size or 0)
    step = next(s for s in logs.iteration(1, logs.T0) if isinstance(s, ev.Step))
    step = msgspec.structs.replace(step, seconds=seconds, tokens_per_second=tokens / seconds)
    logs.write(base / name, [head, step, step, step])


def test_the_time_rests_on_the_newest_run_of_the_model_on_this_machine(tmp_path: Path) -> None:
    pocket, gpt2 = models.pocket(), models.of("gpt2", models.known())
    assert gpt2 is not None
    timed(tmp_path, "elsewhere", host="elsewhere")
    assert speed.measures(tmp_path) == []
    none = speed.estimate([], "pocket", pocket, DEFAULT, on_gpu=False)
    assert none is None
    timed(tmp_path, "before", seconds=50.0)
    os.utime(tmp_path / "before" / "log.jsonl", (1, 1))
    timed(tmp_path, "newest")
    known = speed.measures(tmp_path)
    assert [each.run for each in known] == ["newest", "before"]
    quiet = replace(DEFAULT, eval_interval=1000, eval_tokens=1)
    here = speed.estimate(known, "pocket", pocket, quiet, on_gpu=False)
    assert here is not None and not here.scaled and here.by.run == "newest"
    assert here.seconds == pytest.approx(DEFAULT.max_iters * 2.0, rel=0.01)
    assert here.brief == "40 s" and "newest" in here.text
    more = speed.estimate(known, "pocket", pocket, DEFAULT, on_gpu=False)
    assert more is not None and more.seconds > here.seconds  # evaluations take time, too
    scaled = speed.estimate(known, "gpt2", gpt2, quiet, on_gpu=False)
    assert scaled is not None and scaled.scaled and "scaled from pocket" in scaled.text
    assert 20 * here.seconds < scaled.seconds < 40 * here.seconds  # 124M and 4.3M parameters
    assert speed.estimate(known, "pocket", pocket, quiet, on_gpu=True) is None
    assert [replace(here, seconds=s).brief for s in (3, 600, 9000, 400_000)] == [
        "3 s",
        "10 min",
        "2 h",
        "5 d",
    ]
