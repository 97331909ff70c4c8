"""A resumed run's command line: what the run was started with, with what is given now on top of it.

A run's folder may come from a stranger, and configuration is code: so of what is stored only plain
options are taken. What names a class, refers to something else, or says where to write has to be
given again by whoever resumes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from strhub.checkpoint.runs import CHECKPOINTS, checkpoint_of_run, folder_of_run, last_checkpoint
from strhub.cli.overrides import Override, parse, split
from strhub.configs.former import present_override
from strhub.utils.yaml_text import read_yaml

__all__ = ["STORED", "stored_overrides", "with_stored"]

STORED = "config"
"""Folder of a run in which Hydra keeps its configuration."""

_WRITERS = ("logger", "callbacks", "trainer")  # groups with options that say where to write
_LARGEST = 1 << 20  # bytes of a stored file
_ATTEMPTS = 3
_PAUSE = 0.2  # seconds
_OF_ONE_START = ("ckpt_path", "output_dir")  # of the start that they were given for, not of the run


def with_stored(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with those that the run of `ckpt_path` was started with before them.

    What is given now replaces what was stored under the same name. Without `ckpt_path`, or where
    nothing is stored, the arguments stay as they are. Raises `ValueError` for arguments that Hydra
    cannot read, and for stored ones that are no plain options.
    """
    overrides, flags = split(arguments)
    overrides_now = {one.name: one.value for one in map(parse, overrides)}
    run = _run(overrides_now)
    if run is None:
        return [*arguments]
    replaced = {*overrides_now, *_OF_ONE_START}
    stored = _with_retries(
        lambda: [
            one
            for one in stored_overrides(run)
            if replaced.isdisjoint(_with_parents(parse(one).name))
        ]
    )
    for one in stored:
        if not _is_plain(parse(one)):
            raise ValueError(
                f"ckpt_path: {run / STORED} has {ascii(one)[:200]}, which can name code or say "
                "where to write, and so "
                "is not taken from a file. If you want it, give it on this command line; else "
                f"{parse(one).name}=null"
            )
    if (
        "--config-dir" not in " ".join(flags)
        and "-cd" not in flags
        and (folders := _config_folders(run))
    ):
        raise ValueError(
            f"ckpt_path: the run was started with the configuration in {ascii(folders[0])[1:-1]}. "
            "Configuration can "
            "run code, so it is not taken from a file: if you trust it, give --config-dir again"
        )
    return [*flags, *stored, *overrides]


def _is_plain(overrides_now: Override) -> bool:
    """Return whether an option can do no more than be a number, a name or a text of the run's
    own.
    """
    parts = overrides_now.name.split(".")
    if parts[0].startswith("hydra") or any(part.startswith("_") for part in parts):
        return False
    return _is_plain_value(overrides_now.value, writes=parts[0] in _WRITERS)


def _is_plain_value(value: object, *, writes: bool) -> bool:
    if isinstance(value, dict):
        return all(
            not str(key).startswith("_") and _is_plain_value(member, writes=writes)
            for key, member in value.items()
        )
    if isinstance(value, list):
        return all(_is_plain_value(member, writes=writes) for member in value)
    if value is None or isinstance(value, bool | int | float):
        return True
    # sweeps, and what extends lists
    if not isinstance(value, str) and type(value).__name__ != "QuotedString":
        return False
    text = str(getattr(value, "text", value))
    return "${" not in text and not (writes and any(mark in text for mark in "/\\"))


def _with_retries(read: Callable[[], list[str]]) -> list[str]:
    """Return what is read. Another process of this run may be writing the file just now, so a
    mistake is looked at again.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except ValueError:
            time.sleep(_PAUSE)
    return read()


def _with_parents(name: str) -> list[str]:
    """Return an option's name and those of what it is part of: `a.b.c`, `a.b`, `a`."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def stored_overrides(run: Path) -> list[str]:
    """Return what a run was started with, by the names that options have now; nothing if that is
    not stored. `ValueError` for a damaged file.
    """
    content = _yaml(run / STORED / "overrides.yaml")
    stored = [one for one in content if isinstance(one, str)] if isinstance(content, list) else []
    if strange := next((one for one in stored if not one.isprintable()), None):
        raise ValueError(
            f"{run / STORED / 'overrides.yaml'} cannot be read: it has {ascii(strange)[:200]}"
        )
    return [present_override(one) for one in stored]


def _yaml(path: Path) -> object:
    """Return the content of a small YAML file, without making what it refers to; None if there is
    none.

    Raises `ValueError` if it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        content: object = read_yaml(path, max_bytes=_LARGEST)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read: {ascii(reason)[1:-1][:200]}") from error
    return content


def _run(overrides_now: dict[str, object]) -> Path | None:
    """Return the folder of the run that is resumed."""
    checkpoint = overrides_now.get("ckpt_path")
    if not isinstance(checkpoint, str):
        return None
    if checkpoint == "last":
        folder = overrides_now.get("hydra.run.dir")
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
    """Return the folder of further choices that a run was started with."""
    content = _yaml(run / STORED / "hydra.yaml")
    for name in ("hydra", "runtime", "config_sources"):
        content = content.get(name) if isinstance(content, dict) else None
    sources = [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []
    return [str(one.get("path")) for one in sources if one.get("provider") == "command-line"]
