"""Files of training states: whole or not there, and what happens when one is damaged."""

import logging
import os
import resource
from pathlib import Path

import pytest
import torch

from strhub.training.checkpoint_io import DurableCheckpointIO, latest_checkpoint, put_in_place

FILES = DurableCheckpointIO()


def save(folder: Path, step: int) -> None:
    FILES.save_checkpoint({"global_step": step, "weights": torch.arange(5000.0)}, folder / "next")
    put_in_place(folder / "next", folder / "last.ckpt")


def step(folder: Path) -> int:
    return int(FILES.load_checkpoint(folder / "last.ckpt", weights_only=True)["global_step"])


@pytest.mark.parametrize("links", [True, False])
def test_the_one_before_is_kept_and_used_if_the_last_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, links: bool
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    assert latest_checkpoint(tmp_path) is None
    for number in (1, 2, 3):
        save(tmp_path, number)
    assert step(tmp_path) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]
    whole = (tmp_path / "last.ckpt").read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "last.ckpt").write_bytes(whole[:size])
        caplog.clear()
        assert step(tmp_path) == 2
        assert "resuming from the checkpoint before the last" in caplog.text
    (tmp_path / "last.ckpt").unlink()
    assert latest_checkpoint(tmp_path) == tmp_path / "last.ckpt"
    assert step(tmp_path) == 2
    (tmp_path / "previous.ckpt").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"no checkpoint to resume from: .*last.ckpt.*; .*previous.ckpt"
    ):
        step(tmp_path)


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (9000, limits[1])
        )  # the system refuses what is longer
        FILES.save_checkpoint({"weights": torch.zeros(50000)}, tmp_path / "next")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caplog.records[-1].levelno == logging.ERROR
    assert (
        "next could not be saved: File too large. What was saved before is still there"
        in caplog.text
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt"]
    assert step(tmp_path) == 1
