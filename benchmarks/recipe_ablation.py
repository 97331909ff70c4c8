#!/usr/bin/env python3
"""Measure what each part of strhub-tiny's recipe is worth: short runs from one model, with one
thing changed in each.

python benchmarks/recipe_ablation.py outputs/recipe --start rendered-only.safetensors
--data_root data --seeds 0 1

python benchmarks/recipe_ablation.py outputs/shapes --data_root data --steps 400 --arms base
"depth 8" "64 tokens" --options model.lr=1.6e-2     # from scratch, as other shapes must be trained

python benchmarks/recipe_ablation.py outputs/recipe --table

A fifth of <data_root>/train/real is held out of training and read after each run; --start should
not have seen it, so it is best a model of rendered words alone. Other names in the mixture are
folders of <data_root>/train, too; every arm sees the same number of words. A head that --start
lacks, such as that of CTC, is best switched off (--options model.ctc_weight=0), or it would take up
most of so short a run. Each run adds a JSON line to <folder>/results.jsonl; runs that are already
there are not repeated, so the command can be stopped and called again.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ablation import Result, accuracy, results_of, run_all, slug, stored, table
from hydra import compose, initialize_config_dir

from strhub import Recognizer, load
from strhub.cli.overrides import prepare
from strhub.configs import CONFIG_DIR
from strhub.training.adopting import adopt_pretrained
from strhub.training.run import train

BATCH, RATE = (
    96,
    1e-3,
)  # the rate is that of 256 words a step, as everywhere; low, since the runs are short
ARMS: dict[str, list[str]] = {
    "base": [],
    "rate x 3": [f"model.lr={3 * RATE}"],
    "rate x 10": [f"model.lr={10 * RATE}"],
    "15 % rendered": ["data.mixture={rendered: 0.15, real: 0.50, pseudo: 0.26, print: 0.09}"],
    "75 % rendered": ["data.mixture={rendered: 0.75, real: 0.15, pseudo: 0.08, print: 0.02}"],
    "rendered: none steep": [
        "data.render.style={base: default, steps: {steep: null, rise: null, quarter_turn: null}}"
    ],
    "photographs as they are": ["data.augment=false"],
    "photographs: strong": ["data.augment=strong"],
    "batches of 48": ["model.batch_size=48"],
    "batches of 192": ["model.batch_size=192"],
    "last weights": ["averaging=none"],
    "rendered: easy, 0 to 0.4": ["data.render.difficulty=[0,0.4]"],
    "rendered: hard, 0.4 to 1": ["data.render.difficulty=[0.4,1]"],
    "without print": ["data.mixture={rendered: 0.45, real: 0.36, pseudo: 0.19}"],
    "2 permutations": ["model.perm_num=2"],
    "dropout 0.1": ["model.dropout=0.1"],
    "depth 8": ["model.enc_depth=8"],
    "64 tokens": ["model.patch_size=[16,4]"],
    "width 256": ["model.embed_dim=256", "model.enc_num_heads=8", "model.dec_num_heads=8"],
}
MEASURES = {"real": 1, "val_loss": 3, "drawn": 1}  # and how many decimals are shown


def split(data_root: Path, folder: Path) -> None:
    """Make <folder>/data: photographs in two parts, the rest by links."""
    parts = [folder / "data" / name for name in ("train/real", "val/real")]
    if not all((part / "data.mdb").exists() for part in parts):
        data_command(
            ["split", str(data_root / "train" / "real"), *map(str, parts), "--fraction", "0.8"]
        )
    for source in (data_root / "train").iterdir():
        link = folder / "data" / "train" / source.name
        if not link.exists():
            link.symlink_to(source.resolve())
    rendered = folder / "drawn"
    if not (rendered / "data.mdb").exists():
        data_command(
            ["render", str(rendered), "--count", "500", "--difficulty", "0:0.8", "--seed", "77"]
        )


def data_command(arguments: list[str]) -> None:
    """Run `strhub-data` with these arguments; it says itself what is wrong."""
    subprocess.run([sys.executable, "-m", "strhub.data", *arguments], check=True)


def run(
    folder: Path, start: str | None, options: list[str], arm: str, seed: int, steps: int
) -> Result:
    """Train one arm with one seed and measure it; options are those of all arms."""
    own = [
        f"model.lr={RATE}",
        f"data.mixture_size={steps * BATCH}",
        f"data.root_dir={folder / 'data'}",
        "data.num_workers=0",
        "trainer.accelerator=cpu",
        "trainer.devices=1",
        "trainer.max_epochs=1",
        "logger=csv",
        "callbacks.summary=null",
        "callbacks.best=null",
        "+trainer.enable_progress_bar=false",
        f"seed={seed}",
        f"output_dir={folder / 'runs' / f'{slug(arm)}-{seed}'}",
        *([f"pretrained={start}"] if start else []),
        *options,
        *prepare(ARMS[arm]),
    ]
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        config: Any = compose("main", overrides=["+experiment=strhub-tiny", *own])
    adopt_pretrained(config, own)
    begin = time.process_time()
    metrics = train(config)
    trained = time.process_time() - begin
    (checkpoint,) = Path(config.output_dir).rglob("last.ckpt")
    recognizer = Recognizer(load(checkpoint), device="cpu", reread_below=0)
    return {
        "arm": arm,
        "seed": seed,
        "steps": steps,
        "seconds": trained,
        "val_loss": metrics["val_loss"],
        "real": accuracy(recognizer, stored(folder / "data" / "val")),
        "drawn": accuracy(recognizer, stored(folder / "drawn")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--start", help="id or path of the model that all runs start from; by default from scratch"
    )
    parser.add_argument("--data_root", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS), metavar="ARM")
    parser.add_argument("--steps", type=int, default=250, help=f"steps of {BATCH} words")
    parser.add_argument(
        "--options",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="options of train.py, for all arms",
    )
    parser.add_argument(
        "--table", action="store_true", help="print the table of the results so far, then stop"
    )
    args = parser.parse_args()
    folder = args.folder.absolute()
    if not args.table:
        split(args.data_root, folder)
        wanted = [(arm, seed, args.steps) for seed in args.seeds for arm in args.arms]
        run_all(
            folder,
            wanted,
            lambda arm, seed, steps: run(folder, args.start, args.options, arm, seed, steps),
        )
    print(table(results_of(folder), list(ARMS), MEASURES))


if __name__ == "__main__":
    main()
