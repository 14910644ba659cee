"""The models to choose from: size on disk, whether they are here, what these settings take."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from shakegpt import format
from shakegpt.config import FinetuneConfig
from shakegpt.sanitize import one_line
from shakegpt_tui.home import machine as machines
from shakegpt_tui.home import models, speed

_SLOWER = {"low": "a third slower", "lowest": "half again as slow"}
_HERE = {None: "…", True: "here", False: "fetch"}
HEADS = f"{'':<12}{'on disk':>8}  {'':<6}{'memory':>8}  {'':<9} {'time':>6}"

WITH_TIME = 54
"""Cells from which on there is room for the time."""


class ModelList(OptionList):
    """The models; up and down leave it at its ends, as they leave any other setting."""

    DEFAULT_CSS = """
    ModelList {
        height: auto; max-height: 6; border: none; padding: 0; margin: 0 0 1 0;
        background: transparent; scrollbar-size-vertical: 1; text-wrap: nowrap;
        & > .option-list--option-highlighted { background: transparent; }
        &:focus > .option-list--option-highlighted { background: $primary 25%; }
        &:ansi:focus > .option-list--option-highlighted {
            background: ansi_default; color: ansi_default; text-style: bold underline;
        }
    }
    """

    def action_cursor_up(self) -> None:
        """The model above or, from the first, the setting above."""
        if self.highlighted:
            super().action_cursor_up()
        else:
            self.screen.focus_previous()

    def action_cursor_down(self) -> None:
        """The model below or, from the last, the setting below."""
        if self.highlighted == self.option_count - 1:
            self.screen.focus_next()
        else:
            super().action_cursor_down()

    def say(
        self,
        known: list[models.Known],
        config: FinetuneConfig,
        here: machines.Machine,
        measures: Sequence[speed.Measure],
    ) -> None:
        """Say of each model what it takes with the settings of `config`."""
        if self.size.width < WITH_TIME:
            measures = ()
        lines = {model.name: model_line(model, config, here, measures) for model in known}
        if not self.option_count:
            self.add_options(Option(line, id=name) for name, line in lines.items())
            self.highlighted = 0
        for name, line in lines.items():
            self.replace_option_prompt(name, line)


def model_line(
    model: models.Known,
    config: FinetuneConfig,
    here: machines.Machine,
    measures: Sequence[speed.Measure] = (),
) -> Content:
    """`gpt2  523 MiB  fetch  11.3 GiB  fits  17 min`; the model that `config` names stands out."""
    on_gpu = here.place(config) != "memory"
    time = speed.estimate(measures, model.name, model, config, on_gpu=on_gpu)
    verdict, colour = _verdict(here.need(model, config), here.free(config))
    name = "bold $primary" if model.name == config.init_from else ""
    return Content.assemble(
        (f"{model.name:<12}", name),
        f"{format.size(model.disk):>8}  ",
        (f"{_HERE[model.here]:<6}", "" if model.here else "dim"),
        f"{format.size(here.need(model, config).bytes):>8}  ",
        (f"{verdict:<9}" if time else verdict, colour),
        f" {time.brief:>6}" if time else "",
    )


def _verdict(need: machines.Need, free: int) -> tuple[str, str]:
    if need.bytes > free:
        return "too big", "$warning"
    return (f"fits, {need.lowered}" if need.lowered else "fits"), "$success"


def takes(model: models.Known, config: FinetuneConfig, here: machines.Machine) -> Content:
    """What the run takes, whether this machine has it and, when it has not, what helps."""
    need, place, free = here.need(model, config), here.place(config), here.free(config)
    where = one_line(f" on {here.gpu_name}", 40) if place != "memory" else ""
    how = f" ({need.lowered}: {_SLOWER[need.lowered]})" if need.lowered else ""
    files = f" and {format.size(need.disk)} of disk" if need.lowered == "lowest" else ""
    text = f"Takes about {format.size(need.bytes)} of {place}{files}{how}; "
    if place != "memory" and here.gpu is None:
        return Content.styled(f"{text}no GPU was found: set device to auto.", "$warning")
    text += f"{format.size(free)} are free{where}"
    if need.bytes <= free:
        return Content.styled(f"{text}.", "$success")
    normal = config.memory == "normal"
    way = "set memory to auto" if normal else "lower batch size, block size or the model"
    return Content.styled(f"{text}: {way}.", "$warning")
