"""A resumed run's command line: what the run was started with, with what is given now on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from strhub.checkpoint.runs import CHECKPOINTS, checkpoint_of_run, folder_of_run, last_checkpoint
from strhub.cli.overrides import parse, split

__all__ = ["STORED", "stored_overrides", "with_stored"]

STORED = "config"
"""Folder of a run in which Hydra keeps its configuration."""

_OF_ONE_START = ("ckpt_path", "output_dir")  # of the start that they were given for, not of the run


def with_stored(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with those that the run of `ckpt_path` was started with before them.

    What is given now replaces what was stored under the same name. Without `ckpt_path`, or where nothing is stored,
    the arguments stay as they are. Raises `ValueError` for arguments that Hydra cannot read.
    """
    overrides, flags = split(arguments)
    given = {one.name: one.value for one in map(parse, overrides)}
    run = _run(given)
    if run is None:
        return [*arguments]
    stored = [one for one in stored_overrides(run) if parse(one).name not in {*given, *_OF_ONE_START}]
    if "--config-dir" not in " ".join(flags) and "-cd" not in flags:
        flags = [*flags, *(f"--config-dir={folder}" for folder in _config_folders(run)[:1])]
    return [*flags, *stored, *overrides]


def stored_overrides(run: Path) -> list[str]:
    """Return what a run was started with; nothing if that is not stored."""
    from omegaconf import OmegaConf

    path = run / STORED / "overrides.yaml"
    if not path.is_file():
        return []
    content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    return [str(one) for one in content] if isinstance(content, list) else []


def _run(given: dict[str, object]) -> Path | None:
    """The folder of the run that is resumed."""
    checkpoint = given.get("ckpt_path")
    if not isinstance(checkpoint, str):
        return None
    if checkpoint == "last":
        folder = given.get("hydra.run.dir")
        if not isinstance(folder, str) or "${" in folder:
            return None
        run = Path(folder)
        return run if last_checkpoint(run) is not None and (run / CHECKPOINTS).is_dir() else None
    path = Path(checkpoint).expanduser()
    found = path if path.is_file() else checkpoint_of_run(path)
    if found is None and path.name == "last.ckpt":
        found = path  # the one before it may be there
    return None if found is None else folder_of_run(found)


def _config_folders(run: Path) -> list[str]:
    """The folder of further choices that a run was started with."""
    from omegaconf import OmegaConf

    path = run / STORED / "hydra.yaml"
    if not path.is_file():
        return []
    sources = OmegaConf.select(OmegaConf.load(path), "hydra.runtime.config_sources") or []
    return [str(one.path) for one in sources if one.provider == "command-line" and Path(str(one.path)).is_dir()]
