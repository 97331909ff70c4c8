"""What an adaptation changed in each parameter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Action = Literal["kept", "characters", "resized", "new", "dropped"]


@dataclass(frozen=True)
class Change:
    """What became of one parameter. name: in the network, or in the file if it was dropped; note:
    in words.
    """

    name: str
    action: Action
    note: str = ""


@dataclass(frozen=True)
class Adaptation:
    """What became of a checkpoint.

    changes: of every parameter; characters: each character of the new charset with the one of the
    old charset whose weights it took, "" if there was none; dropped: characters of the old charset
    that the new one lacks.
    """

    changes: tuple[Change, ...]
    characters: Mapping[str, str]
    dropped: str

    @property
    def counts(self) -> Counter[str]:
        """Count the parameters by action."""
        return Counter(change.action for change in self.changes)

    @property
    def new_characters(self) -> str:
        """Return the characters of the new charset that start from nothing known."""
        return "".join(character for character, origin in self.characters.items() if not origin)

    def table(self) -> str:
        """Return a line of totals, and a line for each parameter that was not kept as it is."""
        actions: tuple[Action, ...] = ("kept", "characters", "resized", "new", "dropped")
        lines = [
            "parameters: " + ", ".join(f"{self.counts[action]} {action}" for action in actions)
        ]
        borrowed = [
            f"{new} from {old}" for new, old in self.characters.items() if old not in ("", new)
        ]
        for title, members in (
            ("new characters", self.new_characters),
            ("characters that start as others", ", ".join(borrowed)),
            ("dropped characters", self.dropped),
        ):
            if members:
                lines.append(f"{title}: {members if len(members) <= 100 else members[:100] + '…'}")
        changed = [change for change in self.changes if change.action != "kept"]
        width = max((len(change.name) for change in changed), default=0)
        return "\n".join(
            [*lines, *(f"  {c.action:<10}  {c.name:<{width}}  {c.note}".rstrip() for c in changed)]
        )
