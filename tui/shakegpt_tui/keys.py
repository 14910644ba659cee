"""The keys of the run screen: one table, of which bindings, footer and key help are made.

`description` is the footer's word, `tooltip` the help's sentence, `group` its heading.
"""

from __future__ import annotations

from textual.binding import Binding

DRIVE = Binding.Group("Driving the run")
READ = Binding.Group("Reading the samples")
SEE = Binding.Group("Seeing")
REPLAY = Binding.Group("A replay")
LEAVE = Binding.Group("Leaving")

RUN_KEYS: list[Binding] = [
    Binding("space", "pause", "Pause", tooltip="Pause training after this micro-step", group=DRIVE),
    Binding("space", "go_on", "Go on", tooltip="Let a paused training go on", group=DRIVE),
    Binding("s", "sample", "Sample", tooltip="Draw a sample now, with your prompt", group=DRIVE),
    Binding("e", "edit", "Prompt", tooltip="Edit the prompt and its settings", group=DRIVE),
    Binding("v", "evaluate", "Evaluate", False, tooltip="Evaluate now", group=DRIVE),
    Binding("w", "save", "Save", False, tooltip="Save the state now", group=DRIVE),
    Binding("i", "limit", "Limit", False, tooltip="Change the iteration limit", group=DRIVE),
    Binding("x", "stop", "Stop", tooltip="Stop and save; pressed again: kill", group=DRIVE),
    Binding("r", "resume", "Resume", tooltip="Go on with a run that has ended", group=DRIVE),
    Binding("space", "hold", "Hold", tooltip="Hold the replay, or let it go on", group=REPLAY),
    Binding("plus", "faster", "Faster", key_display="+", tooltip="Double its speed", group=REPLAY),
    Binding("minus", "slower", "Slower", key_display="-", tooltip="Halve its speed", group=REPLAY),
    Binding("left", "back(-1)", "Earlier", False, tooltip="The sample before", group=READ),
    Binding("right", "back(1)", "Later", False, tooltip="The sample after; at the end: follow",
            group=READ),
    Binding("home", "first", "First", False, tooltip="The first sample", group=READ),
    Binding("end", "follow", "Latest", False, tooltip="The latest sample, and follow", group=READ),
    Binding("b", "compare", "Beside", tooltip="The first sample beside this one", group=READ),
    Binding("c", "colour", "Colours", False, tooltip="Colour tokens by probability", group=READ),
    Binding("t", "tokens", "Tokens", tooltip="Walk token by token (←→↑↓), with the candidates "
            "of each; a click on a token does the same", group=READ),
    Binding("slash", "search", "Find", False, key_display="/", tooltip="Find in all samples",
            group=READ),
    Binding("n", "seek(1)", "Next", False, tooltip="The next place found", group=READ),
    Binding("N", "seek(-1)", "Previous", False, tooltip="The place found before", group=READ),
    Binding("y", "copy", "Copy", False, tooltip="Send the sample to the terminal's clipboard",
            group=READ),
    Binding("Y", "write", "To file", False, tooltip="Write the sample to a file", group=READ),
    Binding("up", "scroll(-1)", "Up", False, tooltip="Scroll the sample up", group=READ),
    Binding("down", "scroll(1)", "Down", False, tooltip="Scroll it down", group=READ),
    Binding("g", "plot", "Plot", tooltip="The loss curves, large: zoom, cursor, log scale",
            group=SEE),
    Binding("m", "messages", "Messages", False, tooltip="Commands and messages on small screens",
            group=SEE),
    Binding("escape", "plain", "Back", False, tooltip="Leave the search, the tokens, the messages",
            group=SEE),
    Binding("h", "home", "Runs", False, tooltip="The list of runs; this one goes on", group=LEAVE),
    Binding("q,ctrl+c", "leave", "Leave", tooltip="Leave: the run goes on, or stops and saves",
            group=LEAVE),
]  # fmt: skip

APP_KEYS: list[Binding] = [
    Binding("T", "cycle_theme", "Theme", False, tooltip="The next theme", group=SEE),
    Binding("ctrl+s", "picture", "Picture", False, tooltip="Save the screen as SVG", group=SEE),
    Binding("question_mark", "help_keys", "Keys", key_display="?", tooltip="This list", group=SEE),
]
