"""Models of Hugging Face's hub: `hf://owner/name`, fetched by the package huggingface_hub.

Its cache, its token (`HF_TOKEN`, or `hf auth login`) and its offline mode (`HF_HUB_OFFLINE=1`) are
used as they are. What comes is a file like any other: it is checked when it is read, and no code in
it is run. Without `@<commit>` or `#sha256=…` it is whatever its owner has put there last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, NoReturn

import strhub
from strhub.checkpoint.download import (
    LARGEST,
    check_file_name,
    fetch,
    parse_remote,
    sha256,
    split_hub_address,
    stated_hash,
)
from strhub.checkpoint.hub_config import CONFIG_FILE, LARGEST_CONFIG
from strhub.errors import CheckpointError, MissingExtra
from strhub.utils.install import import_extra
from strhub.utils.telemetry import switch_off_telemetry

__all__ = ["explained", "fetch_address", "hub_options", "import_hub"]

PACKAGE = "huggingface_hub"


def fetch_address(source: str, cache: Path) -> Path:
    """Return the file of an address on this machine, fetched if it is not there yet.

    `hf://` is fetched by huggingface_hub to its own cache; where that is not installed, as any
    other address, which has to state a hash, to `cache`.

    Raises:
        CheckpointError: it cannot be fetched, or is not the file that its hash is of.
        MissingExtra: it states no hash, and huggingface_hub is not installed.
    """
    if not source.lower().startswith("hf://"):
        return fetch(parse_remote(source), cache)
    repository, file, revision = split_hub_address(source)
    check_file_name(PurePosixPath(file).name, source)
    digest = stated_hash(source)
    if digest is not None:
        pinned = parse_remote(source)
        if (cache / pinned.name).exists() or find_spec(PACKAGE) is None:
            return fetch(pinned, cache)
    path = _download(source, repository, file, revision)
    if digest is not None and (actual := sha256(path)) != digest:
        raise CheckpointError(
            f"{source} is not the expected file: its SHA-256 is {actual}, not {digest}"
        )
    return path


def _download(source: str, repository: str, file: str, revision: str) -> Path:
    """Return a file of a repository in the hub's cache, and the configuration that lies beside it
    in the same commit.
    """
    hub = import_hub(f"{source} without a hash")

    def get(name: str, revision: str, largest: int) -> Path:
        options = hub_options()
        found = hub.hf_hub_download(repository, name, revision=revision, dry_run=True, **options)
        if (found.file_size or 0) > largest:
            raise CheckpointError(
                f"{source}: {name} is {found.file_size >> 20} MiB large, more than the "
                f"{largest >> 20} that are fetched"
            )
        return Path(hub.hf_hub_download(repository, name, revision=revision, **options))

    with explained(source):
        path = get(file, revision, LARGEST)  # <cache>/<repository>/snapshots/<commit>/<file>
        inside = PurePosixPath(file)
        commit = path.parents[len(inside.parts) - 1].name
        with suppress(hub.errors.EntryNotFoundError):
            get(str(inside.parent / CONFIG_FILE), commit, LARGEST_CONFIG)
    return path


def import_hub(what: str) -> ModuleType:
    """Return huggingface_hub, its telemetry off. what: what needs it, for the message.

    Raises:
        MissingExtra: it is not installed.
    """
    switch_off_telemetry()
    import_extra("huggingface_hub.errors", "hub", what)
    return import_extra("huggingface_hub", "hub", what)


def hub_options() -> dict[str, Any]:
    """Return what every request states: who asks, and which hub, by the environment's
    `HF_ENDPOINT`.
    """
    return {
        "library_name": "strhub",
        "library_version": strhub.__version__,
        "endpoint": os.environ.get("HF_ENDPOINT") or None,
    }


@contextmanager
def explained(source: str) -> Iterator[None]:
    """Turn the library's errors into a `CheckpointError` that says what to do."""
    try:
        yield
    except (CheckpointError, MissingExtra):
        raise
    except Exception as error:  # the library's errors, and those of its HTTP client
        _raise_explained(source, error)


def _raise_explained(source: str, error: Exception) -> NoReturn:
    import huggingface_hub.errors as known

    reasons: tuple[tuple[type[Exception], str], ...] = (
        (known.HFValidationError, "that is not the name of a repository"),
        (known.GatedRepoError, "its owner grants access on its page: ask there, then log in"),
        (
            known.RepositoryNotFoundError,
            "there is no such repository, or it is private: log in with `hf auth login`, or set "
            "HF_TOKEN",
        ),
        (known.RevisionNotFoundError, "the repository has no such branch, tag or commit"),
        (known.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set, and it is not in the hub's cache"),
        (
            known.LocalEntryNotFoundError,
            "the hub cannot be reached, and the file is not in its cache",
        ),
        (
            known.EntryNotFoundError,
            "the repository has no such file: name one, as in hf://owner/name/file.safetensors",
        ),
    )
    reason = next((said for kind, said in reasons if isinstance(error, kind)), None)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    detail = ascii(lines[0][:300])[1:-1]
    raise CheckpointError(
        f"{source}: {reason or 'the hub returned an error'} ({detail})"
    ) from error
