"""How many files one reads to follow a word: from ./read.py to its text, and from LMDB to its loss.

A file is on the way if it is on the stack when something happens to the word: its image is opened,
resized, normalized, its logits computed, its text decoded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from small_runs import Compose

ROOT = Path(__file__).resolve().parents[1]
READING = {
    "open_image",
    "image_to_pixels",
    "image_to_kept_pixels",
    "normalize_pixels",
    "_logits",
    "best_of_each_step",
    "text_of",
}
TRAINING = {"get", "open_bytes", "batch", "collate", "training_step", "training_loss", "forward"}


@contextmanager
def followed(functions: set[str]) -> Iterator[set[str]]:
    """Collect the project's files on the stack whenever one of these functions is called."""
    found: set[str] = set()
    own = {str(ROOT / part) for part in ("strhub", "read.py")}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_code.co_name not in functions:
            return
        if not frame.f_code.co_filename.startswith(tuple(own)):
            return
        above: FrameType | None = frame
        while above is not None:
            path = above.f_code.co_filename
            if path.startswith(tuple(own)):
                found.add(str(Path(path).relative_to(ROOT)))
            above = above.f_back

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


def test_from_the_command_to_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ROOT / "read.py"
    monkeypatch.setattr(sys, "argv", ["read.py", "--images", str(ROOT / "demo_images" / "01.png")])
    code = compile(script.read_text("utf-8"), str(script), "exec")
    with followed(READING) as files, pytest.raises(SystemExit) as ended:
        exec(code, {"__name__": "__main__", "__file__": str(script)})
    assert not ended.value.code
    assert {"strhub/images/open.py", "strhub/text/tokenizer.py"} <= files
    assert len(files) <= 10, sorted(files)


def test_from_lmdb_to_the_loss(word_tree: Path, compose_main: Compose) -> None:
    from strhub.training.run import data_from_config, model_from_config

    config = compose_main(
        "dataset=real",
        f"data.root_dir={word_tree}",
        "data.num_workers=0",
        "model.patch_size=[16,16]",
    )
    system = model_from_config(config)
    data = data_from_config(config, dict(system.hparams))
    data.train_dataset  # noqa: B018 - what labels there are is read before the first batch
    with followed(TRAINING) as files:
        images, labels, *_ = next(iter(data.train_dataloader()))
        system.training_loss(images, labels)
    assert {"strhub/data/sources/lmdb_pages.py", "strhub/training/systems/parseq.py"} <= files
    assert len(files) <= 14, sorted(files)
