"""Run the Python of one document, block after block, in a folder that has what it names.

Called by test_python.py: `run_python.py FOLDER FILE`. The file is JSON: a list of blocks, which
share one namespace. Prints what fails, status 1.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def furnish() -> None:
    """Make what the documents name, in the current folder."""
    for name in ("demo_images", "docs/figures", "strhub/data/synth/fonts"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).symlink_to(ROOT / name)
    for name in ("train.py", "hubconf.py"):
        shutil.copy(ROOT / name, name)
    words = sorted((ROOT / "demo_images").glob("*.png"))
    for name, image in (("a.png", words[0]), ("b.jpg", words[1]), ("sign.png", words[2])):
        shutil.copy(image, name)
    Path("words").mkdir()
    shutil.copy(words[0], "words")
    shutil.copy(ROOT / "docs" / "figures" / "street.jpg", "street.jpg")
    from PIL import Image

    Image.open("street.jpg").save("scan.pdf")
    from strhub import load
    from strhub.data.sources.lmdb import write_lmdb
    from strhub.export import export

    export(load("strhub-tiny"), "words.onnx")
    Path("data/val").mkdir(parents=True)
    write_lmdb(Path("data/val/IC15"), [(Image.open(words[0]).convert("RGB"), "clock")])


def main() -> None:
    """Run the blocks; show those that fail."""
    blocks = json.loads(Path(sys.argv[2]).read_text("utf-8"))
    os.chdir(sys.argv[1])
    furnish()
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        try:
            exec(compile(block, "block", "exec"), namespace)
        except Exception:
            print(block, traceback.format_exc(), file=sys.stderr)
            sys.exit(1)


if __name__ == "__main__":
    main()
