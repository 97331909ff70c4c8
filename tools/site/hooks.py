"""What MkDocs calls while it builds the site: adds the generated reference, and unlinks what is not
on the site.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
import reference

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
_OUTWARD = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, its options and its commands."""
    pages = {
        "reference/python.md": reference.python(),
        "reference/commands.md": reference.commands(),
        "reference/options.md": reference.options(),
        "data.md": (ROOT / "Datasets.md").read_text("utf-8"),
    }
    for address, content in pages.items():
        files.append(File.generated(config, address, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name files of the repository instead of linking to them: they are not on the site.

    Raises:
        FileNotFoundError: if a page links to a file that is not there.
    """

    def named(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        if not (ROOT / target).exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {target}, which is not there")
        if target == "Datasets.md":
            return f"[{text}](data.md)"
        return text if target in text else f"{text} (`{target}`)"

    if page.file.src_uri == "data.md":
        markdown = re.sub(r"\]\(docs/", "](", markdown)
        markdown = re.sub(
            r"\[([^\]]+)\]\((?!https?:|#|[\w-]+\.md)([^)]+)\)", r"\1 (`\2`)", markdown
        )
    return _OUTWARD.sub(named, markdown)
