"""The field's protocols of testing: which benchmarks each of them is about."""

from __future__ import annotations

import yaml

from strhub.configs import CONFIG_DIR

__all__ = ["protocols"]


def protocols() -> dict[str, list[str]]:
    """Return the names of each protocol's benchmarks: of subset, full, new and further ones."""
    content: dict[str, list[str]] = yaml.safe_load(
        (CONFIG_DIR / "evaluation.yaml").read_text("utf-8")
    )
    return content
