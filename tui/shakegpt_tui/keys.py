"""The keys of the run screen: one table, of which bindings, footer and key help are made.

`description` is the footer's label, `tooltip` the help's sentence. The footer has 50 columns for
the first five keys of a live run, the way out among them. The headings are no
`Binding.Group`: the footer would join the keys of a group under the group's one name.
"""

from __future__ import annotations

from textual.binding import Binding

RUN_TABLE: dict[str, list[Binding]] = {
    "Help": [
        Binding("question_mark", "app.help_keys", "Keys", key_display="?",
                tooltip="This list, and what you are looking at")
    ],
    "Driving the run": [
        Binding("space", "pause", "Pause", tooltip="Pause training after this micro-step"),
        Binding("space", "go_on", "Go on", tooltip="Continue a paused training"),
        Binding("s", "sample", "Sample", tooltip="Draw a sample now, with your prompt"),
        Binding("e", "edit", "Prompt", tooltip="Edit your prompt and its settings"),
        Binding("0", "before", "Before", False,
                tooltip="Ended: the sample shown, drawn by the model before training"),
        Binding("l", "last_state", "Last state", False,
                tooltip="Ended: the sample shown, drawn by the last state"),
        Binding("v", "evaluate", "Evaluate", False, tooltip="Evaluate now"),
        Binding("w", "save", "Save", False, tooltip="Save the state now"),
        Binding("i", "limit", "Limit", False, tooltip="Change the iteration limit"),
        Binding("x", "stop", "Stop", tooltip="Stop and save; again: kill. Ended: stop the sample"),
        Binding("r", "resume", "Resume", tooltip="Continue a run that has ended"),
    ],
    "A replay": [
        Binding("space", "hold", "Hold", tooltip="Hold the replay, or continue it"),
        Binding("plus", "faster", "Faster", key_display="+", tooltip="Double its speed"),
        Binding("minus", "slower", "Slower", key_display="-", tooltip="Halve its speed"),
        Binding("left_square_bracket", "jump(-1)", "Back", key_display="[",
                tooltip="Back by an iteration"),
        Binding("right_square_bracket", "jump(1)", "On", key_display="]",
                tooltip="On by an iteration"),
        Binding("i", "jump_to", "Go to", tooltip="Go to an iteration"),
    ],
    "Leaving": [
        Binding("q", "leave", "Quit", tooltip="Leave: the run goes on, or stops and saves"),
        Binding("h", "home", "Runs", False, tooltip="The list of runs; this one goes on"),
        Binding("ctrl+c", "leave", "Quit", False),
    ],
    "Reading the samples": [
        Binding("left", "back(-1)", "Earlier", False, tooltip="The sample before"),
        Binding("right", "back(1)", "Later", False, tooltip="The sample after; at the end: follow"),
        Binding("home", "first", "First", False, tooltip="The first sample"),
        Binding("end", "follow", "Latest", False, tooltip="The latest sample, and follow"),
        Binding("up", "scroll(-1)", "Up", False, tooltip="Scroll the sample up"),
        Binding("down", "scroll(1)", "Down", False, tooltip="Scroll it down"),
        Binding("b", "compare", "Beside", tooltip="The first sample beside this one"),
        Binding("c", "colour", "Colours", False, tooltip="Colour tokens by probability"),
        Binding("t", "tokens", "Tokens", tooltip="Walk the tokens with ←→↑↓, or click one: "
                "its candidates are shown"),
        Binding("i", "inside", "Inside",
                tooltip="At a token: what the model looked at, when it decided, what training "
                "changed and which passages taught it"),
        Binding("slash", "search", "Find", False, key_display="/", tooltip="Find in all samples"),
        Binding("n", "seek(1)", "Next", False, tooltip="The next match"),
        Binding("N", "seek(-1)", "Previous", False, tooltip="The match before"),
        Binding("y", "copy", "Copy", False, tooltip="Send the sample to the terminal's clipboard"),
        Binding("Y", "write", "To file", False, tooltip="Write the sample to a file"),
    ],
    "Seeing": [
        Binding("g", "plot", "Plot", tooltip="The loss curves, large: zoom, cursor, log scale"),
        Binding("f", "present", "Present",
                tooltip="For an audience: large digits, curves, samples before and after"),
        Binding("p", "replay", "Replay", False, tooltip="Play the run again from its start"),
        Binding("m", "messages", "Messages", False,
                tooltip="Commands and messages on small screens"),
        Binding("escape", "plain", "Back", False, key_display="esc",
                tooltip="Leave tokens, search, messages; else back to the list of runs"),
    ],
}  # fmt: skip
APP_TABLE: dict[str, list[Binding]] = {
    "Everywhere": [
        Binding("question_mark", "help_keys", "Keys", key_display="?", tooltip="This list"),
        Binding("T", "cycle_theme", "Next theme", False, tooltip="The next theme"),
        Binding("ctrl+s", "picture", "Picture", False, tooltip="Save the screen as SVG"),
        Binding("ctrl+p", "command_palette", "Commands", False, tooltip="All commands by name"),
        Binding(
            "ctrl+z",
            "suspend_process",
            "Shell",
            False,
            tooltip="Back to the shell; fg returns, and the run goes on meanwhile",
        ),
        Binding("ctrl+q", "quit", "Quit", False, tooltip="As q, while typing too", priority=True),
    ]
}
FILLING = (
    "plain", "home", "limit", "before", "inside", "search", "colour", "seek(1)", "evaluate", "save",
    "last_state", "replay", "copy", "write", "messages", "undelete", "first", "follow",
    "cycle_theme", "picture", "command_palette",
)  # fmt: skip
"""Actions whose keys fill a footer that is wide enough, the most useful first."""
RUN_KEYS = [binding for bindings in RUN_TABLE.values() for binding in bindings]
APP_KEYS = [binding for bindings in APP_TABLE.values() for binding in bindings]
_HEADINGS = {
    binding.action: heading
    for heading, bindings in (RUN_TABLE | APP_TABLE).items()
    for binding in bindings
}


def heading_of(binding: Binding) -> str:
    """Under which heading the help lists a binding."""
    return _HEADINGS.get(binding.action, "This screen")
