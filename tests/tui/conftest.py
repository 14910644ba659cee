"""What the screens' tests share: style sheets that are applied in less time."""

from __future__ import annotations

from textual.css.model import RuleSet

# Textual looks up every rule of its style sheets for every node that is styled, and hashes a rule
# by its identity, in Python; in C it is the same and saves a tenth of these tests' processor time.
RuleSet.__hash__ = object.__hash__  # type: ignore[method-assign]
