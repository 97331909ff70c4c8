"""`config.json` beside weights, as people of Hugging Face's hub expect it: what a network is built
with, for files of weights that do not say it themselves.

`strhub.push` writes it from a model's hyper-parameters. `PyTorchModelHubMixin` writes one from what
a class was called with. Either is read by the same rules as every other file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strhub.checkpoint.schema import parse_json
from strhub.errors import CheckpointError
from strhub.utils.regular_files import read_regular_text

__all__ = ["CONFIG_FILE", "LARGEST_CONFIG", "config_beside", "config_of"]

CONFIG_FILE = "config.json"
LARGEST_CONFIG = 4 << 20  # bytes
_COUNT = "charset_size"  # what a network is called with; ours follows from the charset


def config_beside(weights: Path) -> dict[str, Any]:
    """Return what `config.json` in the same folder says; nothing if there is none.

    Raises:
        CheckpointError: it is too large, or not JSON of one mapping.
    """
    path = weights.with_name(CONFIG_FILE)
    if not path.is_file():
        return {}
    try:
        text = read_regular_text(path, max_bytes=LARGEST_CONFIG)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    values = parse_json(text, str(path))
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} must hold one mapping, of names to values")
    return {name: value for name, value in values.items() if name != _COUNT}


def config_of(hparams: Mapping[str, Any]) -> str:
    """Return the text of `config.json` for a model's hyper-parameters."""
    values = {**hparams, _COUNT: len(hparams["charset_train"])}
    return json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
