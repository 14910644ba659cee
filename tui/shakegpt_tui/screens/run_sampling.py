"""Sampling from the model of a run that has ended; these samples are in memory only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from textual import on, work
from textual.message import Message

from shakegpt.config import SampleConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.control import SampleRequest
from shakegpt.runlog.history import SampleView
from shakegpt.runlog.schema import Checkpoint, Command, Sample, SampleEnd, Token
from shakegpt_tui.processes.sampler import Answer, Sampler
from shakegpt_tui.processes.trainer import Trainer
from shakegpt_tui.run.feed import Feed
from shakegpt_tui.screens.run_base import RunBase

SETTINGS = ("max_new_tokens", "temperature", "top_k", "top_p", "seed")

Weights = Literal["best", "before", "last_state"]
"""The best model, or the last state where there is none; that of iteration 0; the last state."""


class Sampling(RunBase):
    """Draws samples in a process that starts with the first one and ends with the screen."""

    sampler: Sampler | None = None
    sampling_error = ""
    """Why the latest request failed, in a sentence."""

    @dataclass
    class Answered(Message, bubble=False):
        """The process wrote these records or, with none, it ended."""

        sampler: Sampler
        records: list[Answer]

    def __init__(self, feed: Feed, trainer: Trainer | None = None) -> None:
        super().__init__(feed, trainer)
        self.waiting: dict[str, SampleRequest] = {}
        """Requests whose samples are not complete, by id."""

    def can_draw(self, weights: Weights) -> bool:
        """Whether this run has such weights, by its log."""
        return self._weights(weights) is not None

    def _weights(self, weights: Weights) -> dict[str, Any] | None:
        """The fields of a request that name the weights; None when the run has none such."""
        run = self.run.absolute()
        init_from = self.history.run.config.get("init_from") if self.history.run else None
        initial = init_from if isinstance(init_from, str) and init_from != "scratch" else None
        best, last = self._saved("best"), self._saved("last")
        if weights == "before":
            return {"model": initial} if initial else None
        if best is not None and weights == "best":
            return {"model": str(run / "model"), "iteration": best.iteration}
        skeleton = str(run / "model") if best is not None else initial
        if last is None or skeleton is None:
            return None
        return {"model": skeleton, "state": str(run / "state"), "iteration": last.iteration}

    def _saved(self, kind: str) -> Checkpoint | None:
        return next((c for c in reversed(self.history.checkpoints) if c.kind == kind), None)

    def draw(self, given: Mapping[str, Any], weights: Weights = "best") -> None:
        """Request a sample; what `given` has as None is as the run says."""
        config = self.history.latest.config if self.history.latest else {}
        values = {}
        for name in ("prompt", *SETTINGS):
            values[name] = given.get(name)
            if values[name] is None:
                values[name] = config.get(name, getattr(SampleConfig, name))
        if not values["max_new_tokens"]:  # a run that drew no samples by itself
            values["max_new_tokens"] = SampleConfig.max_new_tokens
        self.request(values, weights)

    def request(self, values: dict[str, Any], weights: Weights) -> SampleRequest | None:
        """Request a sample by exactly these values, or an inspection; None when it was not sent."""
        chosen = self._weights(weights)
        return None if chosen is None else self.send({**values, **chosen})

    def send(self, values: dict[str, Any]) -> SampleRequest | None:
        """Send a request of these fields to the process, which starts with the first; None when it
        was not sent.
        """
        self.sampling_error = ""
        try:
            request = msgspec.convert({"verb": "sample", **values}, SampleRequest)
            if self.sampler is None or not self.sampler.running:
                self.sampler = Sampler()
                self._listen(self.sampler)
            self.sampler.send(request)
        except msgspec.ValidationError as error:
            self.sampling_error = f"the settings of this run cannot be used: {error}"
            return None
        except ShakegptError as error:
            self.sampling_error = str(error)
            return None
        except OSError:
            pass  # it has just ended: `_ended` says so
        self.waiting[request.id] = request
        if not request.drawn:
            self.driver.sent_here[request.id] = request
        return request

    @work(thread=True, group="sampler", exit_on_error=False)
    def _listen(self, sampler: Sampler) -> None:
        try:
            for records in sampler.answers():
                self.post_message(self.Answered(sampler, records))
        finally:
            self.post_message(self.Answered(sampler, []))

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        if event.sampler is not self.sampler:
            return
        for record in event.records:
            match record:
                case Sample() as start:
                    number = sum(view.afterwards for view in self.history.samples)
                    start = msgspec.structs.replace(start, sample=number)
                    self.drawing = SampleView(start, afterwards=True)
                    self.history.samples.append(self.drawing)
                    self.browser.follow()
                case Token() as token if self.drawing is not None:
                    self.drawing.tokens.append(token)
                case SampleEnd() as end if self.drawing is not None:
                    self.drawing.end, self.drawing = end, None
                case Command() as answer:
                    self._close_request(answer)
        if not event.records:
            self._ended(event.sampler)
        self.redraw_soon()

    def _close_request(self, answer: Command) -> None:
        request = self.waiting.pop(answer.id, None)
        if request is None or not request.drawn:  # what is shown elsewhere is no command
            self.history.commands[answer.id] = answer
        if answer.status == "refused" and not (request and request.replay):
            self.sampling_error = answer.message

    def _ended(self, sampler: Sampler) -> None:
        self.sampler = None
        if (view := self.drawing) is not None:
            view.end = SampleEnd(
                iteration=view.start.iteration,
                sample=view.start.sample,
                text=view.text,
                tokens=len(view.tokens),
                seconds=0.0,
                complete=False,
            )
            self.drawing = None
        for request in list(self.waiting.values()):
            self._close_request(
                Command(
                    id=request.id,
                    verb=request.verb,
                    status="refused",
                    message=sampler.failure(),
                    iteration=request.iteration,
                )
            )

    def stop_drawing(self) -> bool:
        """Stop what was requested; whether there was anything."""
        if self.sampler is None or not self.waiting:
            return False
        try:
            self.sampler.send(SampleRequest(verb="stop"))
        except OSError:
            return False  # it has just ended: `_ended` says so
        return True

    def action_before(self) -> None:
        """The sample on screen again, by the model before training: same prompt, same seed."""
        self._draw_again("before")

    def action_last_state(self) -> None:
        """The sample on screen again, by the weights of the last state."""
        self._draw_again("last_state")

    def _draw_again(self, weights: Weights) -> None:
        if (shown := self.browser.sample) is None:
            self.draw({}, weights)
        else:
            settings = msgspec.structs.asdict(shown.start.settings)
            self.request({"prompt": shown.start.prompt, **settings}, weights)
        self.redraw()

    def on_unmount(self) -> None:
        if self.sampler is not None:
            self.sampler.close()
