"""What could have stood in a token's place: the candidates that the model weighed, as bars."""

from __future__ import annotations

from textual.content import Content

from shakegpt.runlog.schema import Candidate, Token
from shakegpt.sanitize import one_line
from shakegpt_tui.plot.bars import bar
from shakegpt_tui.widgets.quiet import Quiet

NAME_WIDTH = 12


class Candidates(Quiet):
    """The candidates of the token under the cursor; as many as fit."""

    def show(self, token: Token, count: int) -> None:
        """Show the candidates of `token`, the sample having `count` tokens."""
        room = max(1, self.content_size.height - 2) if self.content_size.height > 2 else 99
        width = max(8, self.content_size.width - NAME_WIDTH - 10)
        place, name = f"token {token.index + 1} of {count} ", token_name(token.text)
        chances = f"chance {_share(token.probability)}, model's {_share(token.raw)}"
        lines = [
            Content.assemble((place, "$quiet"), (name, "bold")),
            Content.styled(f"{chances}, rank {token.rank}", "$quiet"),
        ]
        shown = list(token.candidates[:room])
        lines += [_line(candidate, candidate.id == token.id, width) for candidate in shown]
        if all(candidate.id != token.id for candidate in shown):
            drawn = Candidate(
                id=token.id, text=token.text, probability=token.probability, raw=token.raw
            )
            lines[-1 if len(shown) == room else len(lines) :] = [_line(drawn, True, width)]
        self.say(Content("\n").join(lines), layout=True)


def _line(candidate: Candidate, drawn: bool, width: int) -> Content:
    name = token_name(candidate.text)
    style = "bold $primary" if drawn else ""
    return Content.assemble(
        (f"{'▸' if drawn else ' '} {name:<{NAME_WIDTH}} ", style),
        (bar(candidate.probability, width), "$primary" if drawn else "$secondary"),
        (f" {_share(candidate.probability):>6}", style or "$quiet"),
    )


def token_name(text: str) -> str:
    """The text of a token in quotes, its blanks visible or in place."""
    return one_line(text, NAME_WIDTH - 2).join("“”") if text else "(part of a character)"


def _share(probability: float) -> str:
    return f"{100 * probability:.1f}%" if probability >= 0.001 else "<0.1%"
