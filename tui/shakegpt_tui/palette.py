"""The command palette: what the keys of the shown screen do, in their order, with the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from textual.app import App
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.screen import Screen

KEY_WIDTH = 7
NO_COMMANDS = ("command_palette", "quit", "scroll(-1)", "scroll(1)", "back(-1)", "back(1)")
"""What needs no place among the commands: them, the second key that quits, and moving about."""


class Command(NamedTuple):
    """An entry of the command palette."""

    title: str
    help: str
    run: Callable[[], Any]
    key: str = ""


def commands(app: App[Any], screen: Screen[Any]) -> Iterator[Command]:
    """What the keys of `screen` and of the app do, in their order, then the rest."""
    listed = dict.fromkeys(NO_COMMANDS)
    for active in screen.active_bindings.values():
        binding = active.binding
        if active.enabled and binding.tooltip and binding.action not in listed:
            listed[binding.action] = None
            run = partial(app.run_action, binding.action, active.node)
            yield Command(binding.description, binding.tooltip, run, app.get_key_display(binding))
    yield Command("Tour", "What is where, in six steps", partial(app.run_action, "tour", app))
    for command in app.get_system_commands(screen):
        if command.title in ("Theme", "Maximize", "Minimize"):
            yield Command(command.title, command.help, command.callback)


class Commands(Provider):
    """The provider of `commands`."""

    def _commands(self) -> Iterator[Command]:
        return commands(self.app, self.screen)

    async def discover(self) -> Hits:
        """All of them."""
        for command in self._commands():
            prompt = _prompt(command.key, Content(command.title))
            yield DiscoveryHit(prompt, command.run, text=command.title, help=command.help)

    async def search(self, query: str) -> Hits:
        """Those whose title or sentence matches, titles first."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = matcher.match(command.title)
            of_help = matcher.match(command.help) / 2
            if max(score, of_help) > 0:
                title = matcher.highlight(command.title)
                yield Hit(
                    max(score, of_help),
                    _prompt(command.key, title),
                    command.run,
                    text=command.title,
                    help=command.help,
                )


def _prompt(key: str, title: Content) -> Content:
    return Content.assemble((f"{key:>{KEY_WIDTH}}  ", "bold"), title)
