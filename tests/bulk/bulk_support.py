"""A reader that sleeps instead of computing, for workers as well; as a script, it reads an input
with it.
"""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from strhub.inference.reading import Reading


class SleepyReader:
    """Reads an image's color, as a number, `seconds` for each. kill_once: a file; who sees it
    removes it and dies.
    """

    batch_size = 16

    def __init__(self, *, seconds: float = 0.0, kill_once: str | None = None) -> None:
        self.seconds, self.kill_once = seconds, kill_once

    def __call__(self, images: Any) -> list[Reading]:
        if self.kill_once and Path(self.kill_once).exists():
            Path(self.kill_once).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds * len(images))
        texts = [
            str(image.getpixel((0, 0))[0] * 256 + image.getpixel((0, 0))[1]) for image in images
        ]
        return [Reading(text, 0.5, (0.5,) * len(text)) for text in texts]


def make_sleepy(**options: Any) -> Any:
    """Something that makes such a reader, in any process."""
    return partial(SleepyReader, **options)


if __name__ == "__main__":
    from strhub.bulk import read_all

    inputs, output, engine = sys.argv[1:]
    resources = {"workers": 2, "cpus": 0.5} if engine == "ray" else {}
    read_all(
        [inputs],
        output,
        engine=engine,
        per_part=40,
        recognizer=make_sleepy(seconds=0.005),
        **resources,
    )
