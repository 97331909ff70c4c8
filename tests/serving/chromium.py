"""Chromium by its debugging protocol over a pipe: pages opened, clicked and pasted into."""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
# Nothing is looked up or fetched; no sandbox, since root has none.
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --disable-extensions "
    "--hide-scrollbars --remote-debugging-pipe --use-fake-ui-for-media-stream "
    "--use-fake-device-for-media-stream"
)


class Tab:
    """A page. Errors of its scripts, and addresses that it asked for, are kept."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, os.fdopen(answers, "rb", closefd=False)
        self._number = 0
        self._session: str | None = None
        self.errors: list[str] = []
        self.asked: list[str] = []

    def open(self, url: str) -> None:
        """Open a page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reported = json.loads(self._read())
            self._note(reported)
            if reported.get("id") == self._number:
                assert "error" not in reported, (method, reported["error"])
                result: dict[str, Any] = reported["result"]
                return result

    def run(self, script: str) -> Any:
        """Return the value of an expression, awaited if it is a promise."""
        reported = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in reported, reported["exceptionDetails"]
        return reported["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"!!({script})"):
            assert time.monotonic() < end, (
                script,
                self.errors,
                self.run("document.body.innerText"),
            )
            time.sleep(0.1)

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Put files into a field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def look(self, path: Path, width: int, height: int, *, dark: bool = False) -> None:
        """Take a screenshot."""
        self.size(width, height, dark=dark)
        time.sleep(0.6)
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=False)["data"]
        path.write_bytes(base64.b64decode(shot))

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the page, and which colors its user likes."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        value = "dark" if dark else "light"
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": value}],
        )

    def _read(self) -> bytes:
        content = bytearray()
        while (byte := self._answers.read(1)) not in (b"\0", b""):
            content += byte
        assert content, "Chromium has ended"
        return bytes(content)

    def _note(self, reported: dict[str, Any]) -> None:
        method, params = reported.get("method"), reported.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])


@contextmanager
def chromium(folder: Path, seen: Image.Image | None = None) -> Iterator[Tab]:
    """Start Chromium. seen: what its camera sees."""
    extra = ""
    if seen is not None:
        write_video(folder / "camera.y4m", seen)
        extra = f"--use-file-for-fake-video-capture={folder / 'camera.y4m'}"
    reads, commands = os.pipe()
    answers, writes = os.pipe()
    assert BROWSER is not None
    line = f"exec {shlex.quote(BROWSER)} {FLAGS} {extra} --user-data-dir={folder / 'profile'}"
    running = subprocess.Popen(
        ["/bin/bash", "-c", f"{line} 3<&{reads} 4>&{writes}"],
        pass_fds=(reads, writes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(reads)
    os.close(writes)
    try:
        yield Tab(commands, answers)
    finally:
        running.terminate()
        running.wait(20)
        os.close(commands)
        os.close(answers)


def write_video(path: Path, image: Image.Image) -> None:
    """Write an image as a video of a few frames, for a camera to see; its sides must be even."""
    planes = image.convert("YCbCr").split()
    half = (image.width // 2, image.height // 2)
    content = [planes[0].tobytes(), *(plane.resize(half).tobytes() for plane in planes[1:])]
    head = f"YUV4MPEG2 W{image.width} H{image.height} F10:1 Ip A1:1 C420jpeg\n".encode()
    path.write_bytes(head + 10 * (b"FRAME\n" + b"".join(content)))


def as_array(path: Path) -> np.ndarray[Any, Any]:
    """Return a screenshot (H, W, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
