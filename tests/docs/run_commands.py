"""Run documented commands in this process, one after the other, in a folder that has what they
name.

Called by test_commands.py: `run_commands.py FOLDER`, where commands.json has a list of words for
each. Writes a line of JSON for each to results.jsonl: its status, and what it printed at the end.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import sys
import tarfile
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
    dataset=rendered data.render.words=8 data.render.validation=4 data.render.style=simple
    data.num_workers=0 trainer.max_epochs=1 trainer.accelerator=cpu callbacks.summary=null
    model.batch_size=4 model.embed_dim=32 model.enc_num_heads=1 model.dec_num_heads=2
    model.enc_depth=1 model.patch_size=[16,16] hydra.run.dir=outputs/parseq/run
"""


def furnish() -> None:
    """Make what the documents name, in the current folder."""
    from strhub.data.sources.lmdb import write_lmdb
    from strhub.data.synth import RenderedWords
    from strhub.text import CHARSET_62

    words = RenderedWords(charset=CHARSET_62, max_length=10, seed=3, difficulty=0.0)
    for first, name in enumerate(("train/real/a", "train/real/b", "val/a", "test/IIIT5k")):
        Path("data", name).parent.mkdir(parents=True, exist_ok=True)
        write_lmdb(
            Path("data", name),
            [words.render(index) for index in range(20 * first, 20 * first + 12)],
        )
    images = sorted((ROOT / "demo_images").glob("*.png"))
    shutil.copytree(ROOT / "demo_images", "demo_images")
    for folder in ("words", "images", "photos", "images/of/words", "shards", "path/to"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        for image in images if folder not in ("shards", "path/to") else ():
            shutil.copy(image, folder)
    Path("fonts").mkdir()
    shutil.copy(ROOT / "strhub/data/synth/fonts/Anton-Regular.ttf", "fonts")
    for folder in ("images", "photos"):
        rows = [
            "filename,words",
            *(f"{image.name},word{index}" for index, image in enumerate(images)),
        ]
        Path(folder, "labels.csv").write_text("\n".join(rows) + "\n", "utf-8")
    with tarfile.open("shards/a.tar", "w") as tar:
        tar.add(images[0], "0.png")
    Path("words.txt").write_text(
        "\n".join(f"word{chr(97 + index)}" for index in range(20)) + "\n", "utf-8"
    )
    assert run(["./train.py", *SMALL.split()]) == 0
    last = "outputs/parseq/run/checkpoints/last.ckpt"
    for target in ("path/to/last.ckpt", "last.ckpt", "outputs/parseq/last.ckpt"):
        shutil.copy(last, target)
    found = Path("outputs/tune/parseq/time/experiment/best.yaml")
    found.parent.mkdir(parents=True)
    found.write_text("# @package _global_\nmodel:\n  lr: 1.0e-3\n", "utf-8")


def run(words: list[str]) -> int:
    """Run a command; return its status."""
    from hydra.core.global_hydra import GlobalHydra

    program = re.sub(r"^\./|\.py$|^strhub-", "", words[0])
    expanded = [
        one for word in words[1:] for one in (sorted(glob.glob(word)) if "*" in word else [word])
    ]
    sys.argv = [str(ROOT / f"{program}.py"), *expanded]
    GlobalHydra.instance().clear()
    try:
        import_module(f"strhub.cli.{program}").main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def main() -> None:
    """Run all of them, each's output in a file of its own."""
    os.chdir(sys.argv[1])
    commands = json.loads(Path("commands.json").read_text("utf-8"))
    furnish()
    with open("results.jsonl", "w", encoding="utf-8") as results:
        for words in commands:
            sys.stdout.flush()
            with open("printed.txt", "wb") as printed:
                for descriptor in (1, 2):
                    os.dup2(printed.fileno(), descriptor)
                try:
                    status = run(words)
                except Exception as error:
                    status, words = 1, [*words, repr(error)]
                sys.stdout.flush()
                sys.stderr.flush()
            printed = Path("printed.txt").read_text("utf-8", "replace")[-1500:]
            results.write(json.dumps({"words": words, "status": status, "printed": printed}) + "\n")
            results.flush()


if __name__ == "__main__":
    main()
