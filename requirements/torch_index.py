"""Write a layer's pins with the address of one PyTorch platform's wheels on top.

Usage: python torch_index.py INDEX PLATFORM PINS OUTPUT      (`make torch-<platform>` calls it)

pip asks every extra index for every package, six times over when it doesn't answer. The address is
therefore asked once, here, and left out, with a message, where nothing answers: pip's own
configuration then says where torch is from. STRHUB_TORCH_INDEX=always keeps the address without
asking (pip reaches it through a proxy of its own, say), and STRHUB_TORCH_INDEX=never leaves it out.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
import threading
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote
from urllib.request import urlopen

SECONDS = 5.0


def fetch(address: str) -> str | None:
    """Return the page, or None if there is none that we can read although something answers there.

    Raises:
        ConnectionError: the name is unknown, the connection failed, or SECONDS went by (looking a
            name up included).
    """
    answer: list[str | None] = []
    problem: list[str] = ["no answer in time"]

    def ask() -> None:
        try:
            with urlopen(address, timeout=SECONDS) as reply:
                answer.append(reply.read().decode("utf-8", "replace"))
        except HTTPError as error:
            if error.code >= 500:
                problem[0] = str(error)
            else:
                answer.append("" if error.code in (403, 404, 410) else None)
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(
                reason, ssl.SSLCertVerificationError
            ):  # pip may know a certificate that Python doesn't
                answer.append(None)
            elif isinstance(reason, socket.gaierror):
                problem[0] = "unknown host"
            else:
                problem[0] = str(reason)

    asking = threading.Thread(
        target=ask, daemon=True
    )  # a thread, since looking a name up takes no time-out
    asking.start()
    asking.join(SECONDS)
    if not answer:
        raise ConnectionError(problem[0])
    return answer[0]


def pinned_torch(pins: str) -> str:
    """Return the version in the line ``torch==<version>``."""
    found = re.search(r"^torch==([^\s;]+)", pins, re.MULTILINE)
    if found is None:
        raise SystemExit("torch_index: the pins have no line that starts with torch==")
    return found[1]


def index_line(index: str, platform: str, version: str) -> str:
    """Return the line to put on top of the pins: the address as pip's option, or a comment that
    says why not.
    """
    address = f"{index.rstrip('/')}/{platform}"
    wanted = os.environ.get("STRHUB_TORCH_INDEX", "ask")
    if wanted not in ("ask", "always", "never"):
        raise SystemExit(
            f"torch_index: STRHUB_TORCH_INDEX is {wanted!r}; it can be ask, always or never"
        )
    if wanted == "always":
        return f"--extra-index-url {address}"
    if wanted == "never":
        return f"# {address} left out: STRHUB_TORCH_INDEX=never"
    try:
        page = fetch(f"{address}/torch/")
    except ConnectionError as problem:
        print(
            f"{address}: {problem}; left out, so torch {version} comes from where pip is "
            "configured to look"
        )
        return f"# {address} left out: it did not answer when this file was written"
    if page is not None and f"torch-{version}" not in unquote(page):
        known = {
            tuple(map(int, v.split(".")))
            for v in re.findall(r"torch-(\d+(?:\.\d+)+)", unquote(page))
        }
        newest = (
            f"; the newest there is {'.'.join(map(str, max(known)))}"
            if known
            else ": is its name right?"
        )
        raise SystemExit(f"torch_index: {address} holds no torch {version}{newest}")
    return f"--extra-index-url {address}"


def main() -> None:
    index, platform, pins, output = sys.argv[1:]
    text = Path(pins).read_text(encoding="utf-8")
    line = index_line(index, platform, pinned_torch(text))
    new = (
        f"# Written by `make torch-{platform}` from {Path(pins).name}; not to be "
        f"edited.\n{line}\n{text}"
    )
    target = Path(output)
    if target.exists() and target.read_text(encoding="utf-8") == new:
        return  # left as old as it was, so that nothing is installed anew
    partial = target.with_suffix(".partial")
    partial.write_text(new, encoding="utf-8")
    partial.replace(target)


if __name__ == "__main__":
    main()
