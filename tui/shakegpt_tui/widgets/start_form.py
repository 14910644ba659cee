"""The start form: presets, models with what they need, settings with their help and errors."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Input, OptionList, Select, Static

from shakegpt.config import FinetuneConfig
from shakegpt.config.presets import FIRST, PRESETS
from shakegpt.sanitize import one_line
from shakegpt_tui.home import form, models, speed
from shakegpt_tui.home import machine as machines
from shakegpt_tui.home.form import fitting
from shakegpt_tui.widgets.advised_form import ADVISE, AdvisedForm
from shakegpt_tui.widgets.form_row import FormRow, Rows
from shakegpt_tui.widgets.model_list import HEADS, ModelList, takes


class StartForm(AdvisedForm):
    """What to train, on what, how; `Start` when it makes sense."""

    DEFAULT_CSS = """
    StartForm {
        & > #first { height: 1; margin-bottom: 1; }
        #preset { width: 1fr; }
        #preset #label { text-wrap: nowrap; text-overflow: ellipsis; }
        #start, #advise { margin-left: 1; width: 12; min-width: 12; }
        #advise:focus { background: $primary; text-style: bold underline; }
        #advise:ansi:focus { background: ansi_default; text-style: bold reverse; }
        #start:focus { background: $primary; text-style: bold underline; }
        #start:ansi:focus { background: ansi_default; text-style: bold reverse; }
        #heads { height: 1; color: $foreground 60%; text-wrap: nowrap; }
        & > #settings { height: 1fr; scrollbar-size-vertical: 1; }
        &.-all FormRow.further { display: block; }
        & > #need { height: auto; max-height: 4; }
        & > #help { height: 4; color: $foreground 60%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority they are obeyed before what is typed after them: on a slow line much comes
        # at once, and it must not go to the setting before.
        Binding("down,tab", "walk(1)", show=False, priority=True),
        Binding("up,shift+tab", "walk(-1)", show=False, priority=True),
    ]

    class Start(Message):
        """A run is to start with these arguments of `shakegpt finetune`, from a form so filled."""

        def __init__(self, arguments: list[str], filled: form.Filled) -> None:
            super().__init__()
            self.arguments, self.filled = arguments, filled

    class Measured(Message):
        """The free memory and disk of this machine were measured."""

        def __init__(self, machine: machines.Machine) -> None:
            super().__init__()
            self.machine = machine

    class ModelsListed(Message):
        """The models on this machine were listed."""

        def __init__(self, known: list[models.Known]) -> None:
            super().__init__()
            self.known = known

    class Timed(Message):
        """The speed of earlier runs on this machine was read."""

        def __init__(self, measures: list[speed.Measure]) -> None:
            super().__init__()
            self.measures = measures

    def __init__(
        self, base: Path, filled: form.Filled | None = None, *, classes: str | None = None
    ) -> None:
        """`base`: the directory of runs; `filled`: a form as it was left, else the defaults."""
        super().__init__(classes=classes)
        self.runs = base
        self.models = models.known()
        default = PRESETS[FIRST].config
        self.config: FinetuneConfig | None = default
        texts = {name: form.typed(getattr(default, name)) for name in form.form_fields()}
        filled = filled or form.Filled(FIRST, default, texts)
        self.texts = dict(filled.texts)
        """What is typed, by field, whether the field is on screen or not."""
        self.preset = filled.preset
        self.base = filled.base
        """What the preset and the model suggest, which was followed by all that was not typed."""
        self.measures: list[speed.Measure] = []
        self._judging = False
        self.machine = machines.machine()

    def compose(self) -> ComposeResult:
        """Preset and start, models, settings, what it takes, help."""
        with Horizontal(id="first"):
            # It stays blank, its prompt naming the preset in use, which can so be chosen again
            presets = [(form.heading(name, ""), name) for name in PRESETS]
            yield Select(presets, prompt=self._heading(), compact=True, id="preset")
            yield Button(ADVISE, id="advise", compact=True)
            yield Button("Start  F5", id="start", variant="primary", compact=True)
        with Rows(id="settings"):
            for name in form.ESSENTIAL:
                yield self._row(name)
                if name == "init_from":
                    yield Static(HEADS, id="heads", markup=False)
                    yield ModelList(id="models", markup=False, compact=True)
        yield Static(id="need", markup=False)
        yield Static(id="help", markup=False)

    def on_mount(self) -> None:
        """Say what the defaults take, in each theme's colours, and look which models are here."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._list_models())
        self.judge()
        self._measure()
        self.set_timer(0.2, self._look)  # after the first picture: it imports the hub's client

    @work(thread=True, group="gpu", exit_on_error=False)
    def _measure(self) -> None:
        self.post_message(self.Measured(machines.with_gpu()))

    @work(thread=True, group="models", exit_on_error=False)
    def _look(self) -> None:
        self.post_message(self.Timed(speed.measures(self.runs)))
        self.post_message(self.ModelsListed(models.look(self.models)))

    def on_start_form_measured(self, event: Measured) -> None:
        """Judge again, with what the GPU has."""
        self.machine = event.machine
        self.judge()

    def on_start_form_timed(self, event: Timed) -> None:
        """Say how long the run takes."""
        self.measures = event.measures
        self._list_models()
        self.query_one("#need", Static).update(self._need())

    def on_start_form_models_listed(self, event: ModelsListed) -> None:
        """Show which models are here."""
        self.models = event.known
        self._list_models()

    def _row(self, name: str) -> FormRow:
        return FormRow(form.form_fields()[name], self.texts[name])

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        """Judge the form, once for all changes that come together."""
        event.stop()
        self.texts[event.input.name or ""] = event.value
        if event.input.name == "init_from":
            self._suit(event.value)
        if not self._judging:
            self._judging = True
            self.call_after_refresh(self.judge)

    def judge(self) -> None:
        """Check the form as it stands: errors beside their fields, needs below."""
        self._judging = False
        self.config, errors = form.check(self.texts)
        doubts = form.doubts(self.config, self.base) if self.config else {}
        for row in self.query(FormRow):
            row.complain(errors.get(row.field.name, ""), doubts.get(row.field.name, ""))
            if row.field.name in errors and row.has_class("further"):
                self.add_class("-all")  # an error must be seen
        if self.config is not None:
            self._list_models()
        for need in self.query("#need").results(Static):
            need.update(self._need())
        self._explain()

    def _list_models(self) -> None:
        config = self.config or FinetuneConfig()
        for listed in self.query(ModelList):  # gone once the form is closed
            listed.say(self.models, config, self.machine, self.measures)

    def _need(self) -> Content:
        """What the run takes, and whether this machine has it."""
        if self.config is None:
            return Content.styled("Fix the highlighted fields first.", "$error")
        name = self.config.init_from
        scratch = models.scratch(self.config) if name == "scratch" else None
        model = scratch or models.of(name, self.models)
        if model is None:
            return Content(f"{one_line(name, 40)}: its size is known when it is here.")
        on_gpu = self.machine.place(self.config) != "memory"
        time = speed.estimate(self.measures, name, model, self.config, on_gpu=on_gpu)
        said = speed.UNKNOWN if time is None else time.text
        return Content.assemble(takes(model, self.config, self.machine), f"\n{said}")

    @on(OptionList.OptionSelected, "#models")
    def _take_model(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.query_one("#field-init_from", Input).value = str(event.option.id)

    @on(Select.Changed, "#preset")
    def _take_preset(self, event: Select.Changed) -> None:
        event.stop()
        if event.value not in PRESETS:  # it is made blank again
            return
        self.preset = str(event.value)
        self.base = PRESETS[self.preset].config
        event.select.clear()
        self.fill({name: form.typed(getattr(self.base, name)) for name in self.texts})

    def _heading(self) -> str:
        return form.heading(self.preset, self.texts["init_from"].strip())

    def _suit(self, model: str) -> None:
        """Give what was not typed the values that suit `model`, as the command line does."""
        self.preset, base = form.suggest(model, self.preset)
        if base != self.base:
            typed = {row.field.name: row.query_one(Input).value for row in self.query(FormRow)}
            # the model itself is what was typed
            before, after = (replace(config, init_from=model) for config in (self.base, base))
            self.fill(form.follow(self.texts | typed, before, after))
            self.base = base

    def fill(self, texts: dict[str, str]) -> None:
        """Write these into the fields."""
        self.texts = texts
        for row in self.query(FormRow):
            row.query_one(Input).value = texts[row.field.name]
        self._explain()

    def on_descendant_focus(self) -> None:
        """Explain what has the focus."""
        self._explain()

    def on_resize(self) -> None:
        """Explain it at another length, and keep it in sight."""
        self._explain()
        self.call_after_refresh(self._list_models)
        focused = self.screen.focused
        if focused is not None and self in focused.ancestors:
            self.call_after_refresh(focused.scroll_visible, animate=False)

    def _explain(self) -> None:
        """Tell of a setting what it is, else what the form will start."""
        if not self.query("#preset"):  # the form is being closed
            return
        self.query_one("#preset", Select).prompt = self._heading()
        line = self.query_one("#help", Static)
        focused = self.screen.focused
        field = form.form_fields().get((focused and focused.name) or "")
        text = (
            field.help if field is not None else f"{self._command()}\n{PRESETS[self.preset].about}"
        )
        line.update(fitting(text, line.size.width, line.size.height))

    def _command(self) -> str:
        """What to type in a shell for the same run."""
        if self.config is None:
            return ""
        return one_line("$ " + shlex.join(["shakegpt", "finetune", *self.arguments(self.config)]))

    def arguments(self, config: FinetuneConfig) -> list[str]:
        """Of `shakegpt finetune`, for `config`."""
        return form.flags(config, self.preset)

    @on(Input.Submitted)
    def _next(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.focus_next()

    @on(Button.Pressed, "#start")
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.start()

    def start(self) -> None:
        """Ask for the run, or go to what is wrong."""
        self.judge()
        if self.config is not None:
            filled = form.Filled(self.preset, self.base, dict(self.texts))
            self.post_message(self.Start(self.arguments(self.config), filled))
            return
        self.go_to_fault()

    def go_to_fault(self) -> None:
        """Focus the first field that is wrong."""
        wrong = self.query("FormRow.wrong")
        if wrong:
            wrong.first().query_one(Input).focus()

    def action_walk(self, by: int) -> None:
        """To the setting below or above; lists have keys of their own for that."""
        if isinstance(self.screen.focused, Select | OptionList):
            raise SkipAction
        if by > 0:
            self.screen.focus_next()
        else:
            self.screen.focus_previous()

    def toggle_all(self) -> None:
        """Show all settings, or only those that matter."""
        if not self.query("FormRow.further"):  # made on demand: they would double the start's time
            rest = [name for name in form.form_fields() if name not in form.ESSENTIAL]
            self.query_one("#settings").mount_all([self._row(name) for name in rest])
        self.toggle_class("-all")
