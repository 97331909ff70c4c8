"""Where a model's file comes from: a path, a folder, an address on the web. Out: a file on this
machine.

What comes from the web is named together with its SHA-256, kept in torch's cache and checked each
time it is used. A file whose hash nobody has given is not fetched from there: there would be no way
to tell it from another. Hugging Face's hub is `strhub.checkpoint.hub`'s.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from strhub.checkpoint.runs import checkpoint_of_run
from strhub.errors import CheckpointError
from strhub.utils.files import replacing
from strhub.utils.progress import ProgressLine, closing_line

log = logging.getLogger(__name__)

SCHEMES = ("hf", "http", "https")
SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
DEFAULT_FILE = "model.safetensors"
_BLOCK = 1 << 20  # bytes
_TIMEOUT = 30  # seconds without an answer
LARGEST = 8 << 30  # bytes of a file that is fetched
_SLOWEST = 10_000  # bytes a second, on average, of a fetch that goes on
_PATIENCE = 60.0  # seconds before that counts


class RemoteFile(NamedTuple):
    """url: http or https; sha256: the hash in hexadecimal, or its first eight or more digits; name:
    in the cache.
    """

    url: str
    sha256: str
    name: str


def is_remote(source: str) -> bool:
    """Return whether a source is an address rather than a path or an id."""
    return "://" in source


def parse_remote(source: str) -> RemoteFile:
    """Return what is to be fetched for `hf://owner/name[/file][@revision]#sha256=…` or
    `http(s)://…#sha256=…`.

    Instead of the fragment the file's own name may end in the hash's first digits, as torch.hub's
    do: `x-1a2b3c4d.pt`.
    Raises `CheckpointError` for another scheme, a malformed address or one without a hash.
    """
    address = source.partition("#")[0]
    scheme = address.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise CheckpointError(
            f"{source}: addresses begin with {', '.join(f'{name}://' for name in SCHEMES)}"
        )
    url = _hugging_face(address) if scheme == "hf" else address
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    check_file_name(name, source)
    if digest := stated_hash(source):
        return RemoteFile(url, digest, f"{digest[:16]}-{name}")
    in_name = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    if not in_name:
        raise CheckpointError(
            f"{source} is not fetched, because nothing says which file it should be: add #sha256= "
            "and the file's "
            "SHA-256 to the address (sha256sum prints it), or download the file yourself and give "
            "its path"
        )
    return RemoteFile(url, in_name[1], name)


def stated_hash(source: str) -> str | None:
    """Return the SHA-256 that an address states, `…#sha256=<64 digits>`; None if it states none.

    Raises:
        CheckpointError: what follows the # is something else.
    """
    _, mark, fragment = source.partition("#")
    if not mark:
        return None
    match = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if not match:
        raise CheckpointError(
            f"{source}: the part after # must be sha256= and the 64 digits of the file's SHA-256"
        )
    return match[1].lower()


def check_file_name(name: str, source: str) -> None:
    """Raise `CheckpointError` unless a name is that of a checkpoint, and of nothing beyond a
    folder.
    """
    if Path(name).suffix not in SUFFIXES or not re.fullmatch(r"[\w.+-]+", name):
        raise CheckpointError(
            f"{source}: an address must end in a file name such as {DEFAULT_FILE}, not {name!r}"
        )


def split_hub_address(source: str) -> tuple[str, str, str]:
    """Split `hf://owner/name[/file][@revision]` into repository, file and revision.

    Raises:
        CheckpointError: it names no repository.
    """
    address = source.partition("#")[0]
    path, _, revision = address.partition("://")[2].partition("@")
    parts = [part for part in path.split("/") if part]
    if len(parts) < 2:
        raise CheckpointError(
            f"{address}: write hf://owner/name, with /file and @revision if needed"
        )
    return "/".join(parts[:2]), "/".join(parts[2:]) or DEFAULT_FILE, revision or "main"


def _hugging_face(address: str) -> str:
    """Return the address of the file for `hf://owner/name[/file][@revision]`. The environment
    variable HF_ENDPOINT names a mirror.
    """
    repository, file, revision = split_hub_address(address)
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{endpoint}/{quote(repository)}/resolve/{quote(revision, safe='')}/{quote(file)}"


def find_in_folder(folder: Path) -> Path:
    """Return the checkpoint that a folder holds, of a run the best one; `CheckpointError` if it is
    not plain which.
    """
    if (folder / DEFAULT_FILE).is_file():
        return folder / DEFAULT_FILE
    if of_run := checkpoint_of_run(folder):
        return of_run
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if len(found) == 1:
        return found[0]
    state = (
        f"it holds {', '.join(path.name for path in found)}: name one"
        if found
        else "it holds no checkpoint"
    )
    raise CheckpointError(f"{folder} has no {DEFAULT_FILE} and no checkpoint of a run, and {state}")


def fetch(file: RemoteFile, cache: Path) -> Path:
    """Return the file in the cache, fetched if it is not there yet and checked in either case.

    Raises `CheckpointError` if it cannot be fetched, saying where to put it, and if it is not the
    file it should be.
    """
    path = cache / file.name
    if not path.exists():
        _download(file, path)
    elif not sha256(path).startswith(file.sha256):
        raise CheckpointError(
            f"{path} is damaged: its SHA-256 begins with {sha256(path)[:8]}, not "
            f"{file.sha256[:8]}. Delete it"
        )
    return path


def _download(file: RemoteFile, path: Path) -> None:
    """Fetch to a file beside, hash on the way, and move it into place only if it is right and
    whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("fetching %s", file.url)
    try:
        with replacing(path) as partial:
            actual = _receive(file.url, partial)
            if not actual.startswith(file.sha256):
                raise CheckpointError(
                    f"{file.url} is not the expected file: its SHA-256 is {actual}, not "
                    f"{file.sha256}. "
                    "Nothing was kept"
                )
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{file.name} could not be fetched from {file.url} ({ascii(str(error))[1:-1][:300]}). "
            f"Offline, put the file at {path}; its SHA-256 must begin with {file.sha256}"
        ) from error


def _receive(url: str, path: Path) -> str:
    """Write what a URL answers to a file; return its SHA-256. `OSError` if it breaks off."""
    digest, received = hashlib.sha256(), 0
    request = urllib.request.Request(url, headers={"User-Agent": "strhub"})
    began, line = time.monotonic(), ProgressLine()
    with open_address(request) as answer, path.open("wb") as target, closing_line(line):
        announced = answer.headers.get("Content-Length")
        if announced is not None and int(announced) > LARGEST:
            raise OSError(
                f"it is {int(announced) >> 20} MiB large, more than the {LARGEST >> 20} that are "
                "fetched"
            )
        while block := answer.read1(_BLOCK):
            target.write(block)
            digest.update(block)
            received += len(block)
            line.amount(received, None if announced is None else int(announced))
            if received > LARGEST:
                raise OSError(f"it is larger than the {LARGEST >> 20} MiB that are fetched")
            seconds = time.monotonic() - began
            if seconds > _PATIENCE and received < _SLOWEST * seconds:
                raise OSError(f"only {received} bytes arrived in {seconds:.0f} seconds")
    if announced is not None and received != int(announced):
        raise OSError(f"the connection broke off after {received} of {announced} bytes")
    return digest.hexdigest()


class _WebRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another web address, and to nothing else: not to FTP, and not from https
    to http.
    """

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """Return the request for the new address; `OSError` for one that is not followed."""
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or urlsplit(req.full_url).scheme == "https"):
            raise OSError(
                f"the server redirects to a URL that is not followed: {ascii(newurl)[1:-1][:200]}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_address(request: urllib.request.Request) -> Any:
    """Open an http or https address, through the proxy of the environment if it names one; no other
    scheme.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        _WebRedirects,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    answer = opener.open(request, timeout=_TIMEOUT)
    if answer is None:
        raise OSError("it is not an http(s) URL")
    return answer


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
