"""Seeing inside: equal to the model and to transformers, and small enough to record."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.resolve import POCKET
from shakegpt.inspection.measures import looked_at, mean_decision, share_of_last
from shakegpt.inspection.record import CONTEXT, MOST_WEIGHTS, POSITIONS, add_initial, inspect
from shakegpt.inspection.trace import lens, trace
from shakegpt.model import GPT
from shakegpt.runlog.history import load
from shakegpt.runlog.schema import Event, Inspection
from shakegpt.session import finetune
from tests.commands import Commands
from tests.tiny import random_model, tiny_config

SHAPES = [
    dict(n_layer=2, n_head=2, n_embd=48, block_size=32, vocab_size=97),
    dict(n_layer=3, n_head=1, n_embd=16, block_size=24, vocab_size=50),
]


def theirs(model: GPT) -> GPT2LMHeadModel:
    """The same weights in transformers."""
    c = model.config
    config = GPT2Config(
        n_layer=c.n_layer,
        n_head=c.n_head,
        n_embd=c.n_embd,
        n_positions=c.block_size,
        vocab_size=c.vocab_size,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",  # type: ignore[call-arg]
    )
    other: GPT2LMHeadModel = GPT2LMHeadModel(config)
    other.eval()  # type: ignore[no-untyped-call]
    other.transformer.load_state_dict(model.state_dict(), strict=False)
    return other


@pytest.mark.parametrize("shape", [*SHAPES, None], ids=["two blocks", "one head", "pocket"])
def test_attention_streams_and_logits_are_those_of_the_model_and_of_transformers(
    shape: dict[str, int] | None,
) -> None:
    model = checkpoint.load(POCKET) if shape is None else random_model(3, **shape)
    model = model.eval()
    ids = torch.randint(0, model.config.vocab_size, (20,)).tolist()
    found = trace(model, ids)
    with torch.no_grad():
        own = model(torch.tensor([ids]))[0]
        reference = theirs(model)
        other = reference(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
        ours = lens(model, found.streams[:-1], model.config.vocab_size)
        read = torch.stack(
            [
                reference.lm_head(reference.transformer.ln_f(h[0])).softmax(-1)
                for h in other.hidden_states[:-1]
            ]
        )
    torch.testing.assert_close(found.logits, own, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        found.attention, torch.stack(other.attentions)[:, 0], atol=1e-5, rtol=0
    )
    torch.testing.assert_close(ours, read, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.attention.sum(-1), torch.ones(found.attention.shape[:3]))


def test_a_record_says_what_the_model_does() -> None:
    model, tokenizer = checkpoint.load(POCKET).eval(), checkpoint.vocabulary(POCKET)
    prompt, drawn = tokenizer.encode("ROMEO:\nWhat"), tokenizer.encode(" light is this?")
    found = inspect(model, tokenizer, prompt, drawn, iteration=5, sample=1, initial=model)
    assert found is not None and [id for id, _ in found.drawn] == drawn
    assert [id for id, _ in found.context] == [*prompt, *drawn[:-1]]
    assert len(found.guesses) == len(drawn) and len(found.guesses[0]) == model.config.n_layer + 1
    with torch.no_grad():
        last = model(torch.tensor([prompt]))[0, -1].softmax(-1)
    guess = found.guesses[0][-1]
    assert guess.probability == pytest.approx(float(last[drawn[0]]), abs=1e-4)
    assert guess.rank == int((last > last[drawn[0]]).sum()) + 1
    assert guess.top[0][0] == int(last.argmax())
    assert found.initial is not None
    assert found.initial[0] == pytest.approx(float(last[drawn[0]]), abs=1e-5)
    alone = inspect(model, tokenizer, prompt, drawn, iteration=5, sample=1)
    assert alone is not None and alone.initial is None
    assert add_initial(alone, model, tokenizer, prompt).initial == found.initial
    shape = model.config
    assert [(m.block, m.head) for m in found.attention] == [
        (block, head) for block in range(shape.n_layer) for head in range(shape.n_head)
    ]
    for one in found.attention:
        assert [len(row) for row in one.rows] == [len(prompt) + k for k in range(len(drawn))]
        assert all(abs(sum(row) - 1000) <= len(row) for row in one.rows)
    line = msgspec.json.encode(found)
    assert len(line) < 40_000
    assert msgspec.json.decode(line, type=Event) == found


def test_a_large_model_gives_means_and_its_sharpest_heads_in_a_bounded_record() -> None:
    model = random_model(1, n_layer=48, n_head=25, n_embd=50, block_size=128, vocab_size=300)
    tokenizer = checkpoint.vocabulary(POCKET)
    found = inspect(model.eval(), tokenizer, list(range(100)), list(range(40)))
    assert found is not None and len(found.drawn) == POSITIONS
    assert len(found.context) == CONTEXT and len(found.attention) == 48 * 3
    assert {m.head is None for m in found.attention} == {True, False}
    assert 48 * 25 * POSITIONS * CONTEXT > MOST_WEIGHTS
    assert all(sum(row) <= 1000 + len(row) for m in found.attention for row in m.rows)
    assert len(msgspec.json.encode(found)) < 800_000


def test_no_room_and_no_token_give_no_record() -> None:
    model = random_model(1, **SHAPES[1]).eval()
    tokenizer = checkpoint.vocabulary(POCKET)
    assert inspect(model, tokenizer, [1], []) is None
    assert inspect(model, tokenizer, list(range(25)), [1]) is None
    full = inspect(model, tokenizer, list(range(23)), [1, 2, 3, 4])
    assert full is not None and len(full.drawn) == 2


def test_a_run_records_its_first_and_last_sample(tmp_path: Path, text_file: Path) -> None:
    run = tmp_path / "run"
    config = tiny_config(text_file, run, max_iters=4, eval_interval=2)
    finetune(config)
    history, problems = load(run)
    assert not problems
    inspected = {s.start.iteration: s.inspection for s in history.samples}
    assert sorted(inspected) == [0, 2, 4] and inspected[2] is None
    first, last = inspected[0], inspected[4]
    assert first is not None and last is not None
    assert first.initial is None and last.initial is not None
    tokens = history.samples[-1].tokens
    assert [id for id, _ in last.drawn] == [token.id for token in tokens[: len(last.drawn)]]
    for guesses, token in zip(last.guesses, tokens, strict=False):
        assert guesses[-1].rank == token.rank
        assert guesses[-1].probability == pytest.approx(token.raw, abs=2e-4)


def test_the_command_answers_three_questions(shakegpt: Commands, tmp_path: Path) -> None:
    done = shakegpt("inspect", "pocket", "--prompt", "ROMEO:", "--tokens", "4", cwd=tmp_path)
    assert done.code == 0 and max(map(len, done.out.splitlines())) <= 90
    assert sum(line.count("?") > 0 and line[0].isupper() for line in done.out.splitlines()) >= 3
    asked = ("inspect", "pocket", "--tokens", "4", "--json", "--out", "inside.svg")
    record = msgspec.json.decode(shakegpt(*asked, cwd=tmp_path).out, type=Event)
    assert isinstance(record, Inspection) and len(record.drawn) == 4
    assert 0 <= mean_decision(record) <= 4
    figure = (tmp_path / "inside.svg").read_text("utf-8")
    assert f"block {mean_decision(record):.1f} of 4" in figure
    assert 0 < share_of_last(record, 0) <= 1.01
    assert sum(share for _, share in looked_at(record, 0, 99)) == pytest.approx(1, abs=0.02)
    for bad in (
        ["--tokens", "17"],
        ["--tokens", "0"],
        ["--prompt", "long " * 400],
        ["--out", "x.gif"],
    ):
        assert shakegpt("inspect", "pocket", *bad, cwd=tmp_path).code == 2
