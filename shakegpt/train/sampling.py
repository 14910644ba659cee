"""Samples while a run trains: drawn and logged, with the passages they copied and an inspection."""

from __future__ import annotations

from functools import cached_property

from shakegpt.data.copies import CopyFinder
from shakegpt.data.dataset import Dataset
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.distributed.group import Team
from shakegpt.generate import recorded
from shakegpt.inspection.record import inspect
from shakegpt.model import GPT
from shakegpt.runlog import schema
from shakegpt.train.supervisor import Log, Supervisor

COPIES_LIMIT = 20_000_000
"""UTF-8 bytes of the longest training text that is searched for copies; its index takes as much
memory as three to five times that."""


class Sampler:
    """Draws from models in evaluation mode and logs the samples of a run."""

    def __init__(
        self, dataset: Dataset, tokenizer: Tokenizer, log: Log, supervisor: Supervisor, team: Team
    ) -> None:
        self._dataset, self._tokenizer, self._log = dataset, tokenizer, log
        self._supervisor, self._team = supervisor, team

    def draw(
        self, model: GPT, prompt: str, how: schema.Settings, sample: int, requested: bool
    ) -> list[int]:
        """Log a sample token by token and what it copied; returns the ids. Raises Stopped."""
        iteration, clock = self._supervisor.iteration, self._supervisor.clock
        key, check = (iteration, sample, requested), self._supervisor.check_local
        drawn = list[int]()
        for event in recorded(model, self._tokenizer, prompt, how, *key, check, clock):
            self._log.write(event)
            if isinstance(event, schema.Token):
                drawn.append(event.id)
        ended = drawn[-1:] == [self._tokenizer.eot]
        if len(drawn) == how.max_new_tokens or ended:
            text = self._tokenizer.decode(drawn[:-1] if ended else drawn)
            self._log_copies(text, iteration, sample)
        return drawn

    @cached_property
    def _finder(self) -> CopyFinder | None:
        """Finds copies from the training part of the text; None if that is too long."""
        text = self._dataset.text.content[: self._dataset.train_end]
        too_long = len(text) > COPIES_LIMIT or len(text.encode()) > COPIES_LIMIT
        return None if too_long else CopyFinder(text)

    def _log_copies(self, text: str, iteration: int, sample: int) -> None:
        """Log the passages that a sample copied from the training part of the text."""
        if not self._team.first or self._finder is None:
            return
        passages = tuple((c.begin, c.end, c.words, c.source) for c in self._finder.copies(text))
        self._log.write(schema.Copies(iteration=iteration, sample=sample, passages=passages))

    def inspect(
        self, model: GPT, initial: GPT | None, prompt: str, drawn: list[int], sample: int
    ) -> None:
        """Log an inspection of the model for the first tokens `drawn`, compared with `initial`."""
        record = inspect(
            model,
            self._tokenizer,
            self._tokenizer.encode(prompt),
            drawn,
            iteration=self._supervisor.iteration,
            sample=sample,
            initial=initial,
        )
        if record is not None:
            self._log.write(record)
