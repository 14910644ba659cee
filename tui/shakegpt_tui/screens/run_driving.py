"""Controlling a run from its screen: commands, stop, kill, resume, leaving; holding a replay."""

from __future__ import annotations

import random
from typing import Any

from shakegpt.errors import ShakegptError
from shakegpt.runlog.control import Verb
from shakegpt_tui.processes import trainer as trainers
from shakegpt_tui.run.replay_feed import ReplayFeed
from shakegpt_tui.screens.run_sampling import SETTINGS
from shakegpt_tui.screens.run_tracing import Tracing
from shakegpt_tui.settings import Prompting

SPEEDS = (0.25, 256.0)
"""The slowest and the fastest replay."""


class Driving(Tracing):
    """The actions that change the run; each says what it did or why it could not."""

    leaving = False
    """The screen closes as soon as the requested stop is done."""

    def ask(self, verb: Verb, **values: Any) -> None:
        """Send a command; the activity list shows it as sent, then its answer in the log."""
        if self.launching:
            self.say("the trainer is still starting: try again in a moment", problem=True)
            return
        try:
            self.driver.ask(verb, **values)
        except ShakegptError as error:
            self.complain(error)
        self.redraw()

    def action_pause(self) -> None:
        self.ask("pause")

    def action_go_on(self) -> None:
        self.ask("resume")

    def action_evaluate(self) -> None:
        self.ask("evaluate")

    def action_save(self) -> None:
        self.ask("save")

    def action_sample(self) -> None:
        kept = self.shakegpt.settings.prompting(self.run)
        seed = random.randrange(1 << 31) if kept.seed is None else kept.seed
        given = {name: getattr(kept, name) for name in SETTINGS if name != "seed"}
        given |= {"prompt": kept.prompt or None, "seed": seed}
        if self.facts().moving:
            self.ask("sample", **given)
        else:
            self.draw(given)
        self.browser.follow()
        self.redraw()

    def action_edit(self) -> None:
        from shakegpt_tui.screens.prompt import PromptEditor

        kept = self.shakegpt.settings.prompting(self.run)
        runs_own = self.history.latest.config if self.history.latest else {}
        self.app.push_screen(PromptEditor(kept, runs_own), self._edited)

    def _edited(self, result: tuple[Prompting, bool] | None) -> None:
        if result is None:
            return
        self.shakegpt.settings.remember(self.run, result[0])
        self.shakegpt.keep(self.shakegpt.settings)
        if result[1]:
            self.action_sample()

    def action_inside(self) -> None:
        from shakegpt_tui.screens.inside import Inside

        self.app.push_screen(Inside(self))

    def action_limit(self) -> None:
        """Change the iteration limit; a run that has ended resumes with it."""
        from shakegpt_tui.screens.dialogs import AskNumber

        now = self.facts()
        explanation = (
            f"{now.iteration} of {now.max_iters} iterations are done. "
            "At the limit the trainer saves and ends."
        )
        least, proposed = max(1, now.iteration), now.max_iters
        if now.state == "finished":  # to go on there must be something left to do
            least, proposed = least + 1, 2 * now.max_iters
        dialog = AskNumber("Train until which iteration?", explanation, proposed, least)
        self.app.push_screen(dialog, self._limited)

    def _limited(self, limit: int | None) -> None:
        if limit is None:
            return
        if self.facts().moving:
            self.ask("max_iters", max_iters=limit)
        else:
            self._resume("--max-iters", str(limit))

    def action_stop(self) -> None:
        """Stop and save; if that was requested already, offer to kill. Ended: stop the sample."""
        if not self.facts().moving:
            self.stop_drawing()
        elif self.launching or self.driver.stopping(self.history):
            self._offer_kill()
        else:
            self.ask("stop")
            self.say("stopping: it saves first. x again to kill it")

    def _offer_kill(self) -> None:
        from shakegpt_tui.screens.dialogs import Choice, Way

        saved = self.facts().saved_iteration
        kept = "nothing was saved yet" if saved is None else f"iteration {saved} is saved"
        explanation = f"It ends at once, without saving: {kept}, what came after is lost."
        ways = [Way("k", "kill", "kill", "error")]
        self.app.push_screen(Choice("Kill the trainer?", explanation, ways), self._kill)

    def _kill(self, answer: str | None) -> None:
        if answer != "kill":
            return
        if self.trainer is not None and self.trainer.exit_code is None:
            self.trainer.kill()
            self.say("killed")
        elif trainers.kill_stranger(self.history, self.run):
            self.say("killed")
        else:
            self.say("there is no trainer of this run on this machine", problem=True)

    def action_resume(self) -> None:
        """Go on with a run that has ended; one that is finished needs a new limit for that."""
        if self.facts().state == "finished":
            self.action_limit()
        else:
            self._resume()

    def _resume(self, *flags: str) -> None:
        self.lives_before = len(self.history.resumes) + (self.history.run is not None)
        try:
            self.trainer = self.shakegpt.started(trainers.resume(self.run, *flags))
        except ShakegptError as error:
            self.complain(error)
        self.redraw()

    def action_leave(self) -> None:
        """Leave; a run that moves is asked about first, a stop that saves is waited for."""
        from shakegpt_tui.screens.dialogs import Choice, Way

        if self.over_run:
            self.dismiss()
            return
        if not self.live or not self.facts().moving or self.leaving:
            self.leave()
            return
        ways = [Way("l", "leave it running", "leave"), Way("s", "stop and save", "stop")]
        explanation = f"To come back: shakegpt-tui {self.run}"
        self.app.push_screen(Choice("Leave the run?", explanation, ways), self._left)

    def _left(self, answer: str | None) -> None:
        if answer == "leave":
            self.leave()
        elif answer == "stop":
            self.leaving = True
            self.ask("stop")
            self.say("stopping and saving; q again leaves at once")

    def action_home(self) -> None:
        self.shakegpt.open_home("runs")

    def action_hold(self) -> None:
        if self.replay is not None:
            self.replay.paused = not self.replay.paused
            self.redraw()

    def action_faster(self) -> None:
        self._change_speed(2.0)

    def action_slower(self) -> None:
        self._change_speed(0.5)

    def _change_speed(self, factor: float) -> None:
        if self.replay is not None:
            speed = self.replay.speed * factor
            self.replay.chosen_speed = min(SPEEDS[1], max(SPEEDS[0], speed))
            self.redraw()

    def action_jump(self, by: int) -> None:
        if self.replay is not None:
            self.replay.seek(self.replay.iteration + by)

    def action_jump_to(self) -> None:
        from shakegpt_tui.screens.dialogs import AskNumber

        if self.replay is not None:
            explanation = "The replay goes on from the moment after that update."
            dialog = AskNumber("Go to which iteration?", explanation, self.replay.iteration, 0)
            self.app.push_screen(dialog, self._jumped)

    def _jumped(self, iteration: int | None) -> None:
        if iteration is not None and self.replay is not None:
            self.replay.seek(iteration)

    def action_replay(self) -> None:
        self.shakegpt.open_run(ReplayFeed(self.run))
