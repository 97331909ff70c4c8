"""The commands in README.md and the other documents: blocks of sh, and whole commands within the
text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "Datasets.md", *sorted((ROOT / "docs").glob("*.md"))]
WITHIN_TEXT = ("README.md", "Datasets.md")
"""Documents whose commands within the text are whole ones."""
FOLDERS = {"<run>": "parseq/run", "<time>": "time", "<64 digits>": "0" * 64}
"""What the documents leave open, and what it stands for here."""
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`((?:\./\w+\.py|strhub-[a-z]+ [a-z]+) [^`\n]+)`(?!`)")


class Command(NamedTuple):
    """A command and where it stands. text: with single blanks, without comment and continued
    lines.
    """

    document: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """Return what a shell makes of it, but for globs; `FOLDERS` filled in."""
        text = self.text
        for name, value in FOLDERS.items():
            text = text.replace(name, value)
        return shlex.split(text)


def documented(path: Path) -> Iterator[Command]:
    """Yield the commands of a document."""
    text = path.read_text("utf-8")
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1)) + 1
        lines = block[1].splitlines()
        while lines:
            number, whole = first, ""
            while lines:
                line = re.sub(r"(^|\s+)#\s.*$", "", lines.pop(0)).rstrip()
                first += 1
                whole += line.removesuffix("\\") + " "
                if not line.endswith("\\"):
                    break
            if whole.strip():
                yield Command(path.name, number, " ".join(whole.split()))
    for inline in _INLINE.finditer(text) if path.name in WITHIN_TEXT else ():
        yield Command(
            path.name, text.count("\n", 0, inline.start()) + 1, " ".join(inline[1].split())
        )


def all_commands() -> list[Command]:
    """Return every command of every document."""
    return [command for path in DOCUMENTS for command in documented(path)]
