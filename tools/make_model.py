#!/usr/bin/env python3
"""Make a model by a recipe: train, label, train further, average, save, calibrate, evaluate.

tools/make_model.py tools/recipes/strhub-tiny.yaml --data_root data       # all of it
tools/make_model.py tools/recipes/strhub-small.yaml --data_root data --minutes 10    # a leg
tools/make_model.py tools/recipes/strhub-tiny.yaml +hardware=gpu model.lr=2.5e-3

Further arguments are options of train.py, for all stages. Each stage is done once: stopped at any
point, by --minutes, Ctrl-C or a power cut, the same command resumes from the last checkpoint. Exit
status: 0 when the model is made, 75 when there is more to do.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
MORE_TO_DO = 75  # sysexits.h: EX_TEMPFAIL
KINDS = ("train", "label", "average")
MADE = ("rendered", "lines")  # names in a mixture of what is no folder
GRACE = 60  # seconds that a stopped program has to save what it has

Stage = dict[str, Any]


class TimeIsUp(Exception):
    """The leg's minutes are over."""


class Maker:
    """Runs the stages of a recipe.

    recipe: as read from its file; data_root: holds train/, test/ and images without labels; out:
    where everything goes; overrides: options of train.py for every training stage; deadline: in
    seconds of `time.monotonic`, or None.
    """

    def __init__(
        self,
        recipe: Stage,
        *,
        data_root: Path,
        out: Path,
        overrides: Sequence[str],
        deadline: float | None,
    ) -> None:
        self.recipe, self.data_root, self.out = recipe, data_root.resolve(), out.resolve()
        self.overrides, self.deadline = list(overrides), deadline

    def make(self) -> Path:
        """Run what is not done yet; return the path of the weights. Raises `TimeIsUp` at the
        deadline.
        """
        kinds = {"train": self._train, "label": self._label, "average": self._average}
        for stage in self.recipe["stages"]:
            kind, name = kind_and_name(stage)
            self._once(name, partial(kinds[kind], stage))
        weights = self.out / self.recipe["weights"]
        last = [
            name for kind, name in map(kind_and_name, self.recipe["stages"]) if kind != "label"
        ][-1]
        sets = self._test_sets()
        chosen = ["--data_root", str(self.data_root), *(["--sets", *sets] if sets else [])]
        precision = ["--precision", self.recipe["precision"]]
        self._once(
            "save",
            lambda: self._run(
                "tools/embed_weights.py", self._model(last), "--out", weights, *precision
            ),
        )
        self._once(
            "calibrate",
            lambda: self._run("tools/calibrate.py", weights, *chosen, *self.recipe["calibrate"]),
        )
        table = self.out / "reading.md"
        self._once(
            "evaluate",
            lambda: self._run(
                "benchmarks/reading.py", weights, *chosen, *self.recipe["evaluate"], output=table
            ),
        )
        print(table.read_text("utf-8"))
        return weights

    def _once(self, name: str, work: Callable[[], None]) -> None:
        done = self.out / f"{name}.done"
        if not done.exists():
            print(f"== {name}", flush=True)
            work()
            done.touch()

    def _train(self, stage: Stage) -> None:
        folder = self.out / stage["train"]
        checkpoint = folder / "checkpoints" / "last.ckpt"
        if checkpoint.exists():
            beginning = [f"ckpt_path={checkpoint}"]
        else:
            beginning = [f"pretrained={self._model(stage['from'])}"] if "from" in stage else []
        fractions = {
            self._folder(name): fraction
            for name, fraction in stage["mixture"].items()
            if self._is_there(name)
        }
        mixture = ", ".join(f"{name}: {fraction}" for name, fraction in fractions.items())
        validation = [] if (self.data_root / "val").is_dir() else ["data.render.validation=1000"]
        self._run(
            "train.py", *stage["overrides"], *beginning, f"data.root_dir={self.data_root}",
                f"hydra.run.dir={folder}",
            "~data.mixture", f"+data.mixture={{{mixture}}}", *validation, *self.overrides,
        )  # fmt: skip

    def _label(self, stage: Stage) -> None:
        images = self.data_root / stage["pictures"]
        if not images.is_dir():
            print(f"left out: there is no folder {images}")
            return
        self._run(
            "tools/label.py", images, self.out / stage["label"], "--model",
                self._model(stage["model"]),
            "--min_confidence", str(stage["min_confidence"]),
        )  # fmt: skip

    def _average(self, stage: Stage) -> None:
        parts = [f"{fraction}:{self._model(name)}" for name, fraction in stage["of"].items()]
        folder = self.out / stage["average"]
        folder.mkdir(exist_ok=True)
        self._run("tools/average_weights.py", self._model(stage["average"]), *parts)

    def _model(self, name: str) -> str:
        """Return the model of an earlier stage; what is no stage's name is a model's id or path."""
        kinds = {stage: kind for kind, stage in map(kind_and_name, self.recipe["stages"])}
        if name not in kinds:
            return name
        file = "checkpoints/last.ckpt" if kinds[name] == "train" else "averaged.safetensors"
        return str(self.out / name / file)

    def _folder(self, name: str) -> str:
        labeled = {stage["label"] for stage in self.recipe["stages"] if "label" in stage}
        return str(self.out / name) if name in labeled else name

    def _is_there(self, name: str) -> bool:
        there = name in MADE or (self.data_root / "train" / self._folder(name)).is_dir()
        if not there:
            print(f"left out of the mixture: {name}, which is not in {self.data_root / 'train'}")
        return there

    def _test_sets(self) -> list[str]:
        folder = self.data_root / "test"
        return (
            sorted(path.name for path in folder.iterdir() if path.is_dir())
            if folder.is_dir()
            else []
        )

    def _run(self, program: str, *arguments: str | Path, output: Path | None = None) -> None:
        """Run one of the repository's programs until it ends, or stop it at the deadline."""
        command = [sys.executable, str(ROOT / program), *map(str, arguments)]
        unfinished = output.with_suffix(".part") if output else None
        with (
            unfinished.open("w")
            if unfinished
            else open(sys.stdout.fileno(), "w", closefd=False) as stream
        ):
            process = subprocess.Popen(command, stdout=stream, cwd=ROOT)
            try:
                status = process.wait(
                    None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
                )
            except subprocess.TimeoutExpired:
                raise TimeIsUp from None
            finally:
                end(process)
        if status:
            raise SystemExit(
                f"make_model: {program} failed with status {status}; mended, the same command "
                "resumes"
            )
        if output and unfinished:
            unfinished.replace(output)


def kind_and_name(stage: Stage) -> tuple[str, str]:
    """Return what a stage does, "train", "label" or "average", and the name it goes by."""
    kind = next(kind for kind in KINDS if kind in stage)
    return kind, str(stage[kind])


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a program that still runs: ask first, so that it can save, then make it."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def read_recipe(path: Path) -> Stage:
    """The recipe in a YAML file; exits with what is wrong with it."""
    try:
        recipe = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SystemExit(f"make_model: {path} cannot be read: {error}") from error
    if isinstance(recipe, dict):
        for number, stage in enumerate(recipe.get("stages") or (), 1):
            if not isinstance(stage, dict) or len(set(KINDS) & set(stage)) != 1:
                raise SystemExit(
                    f"make_model: {path}: stage {number} must have one of {', '.join(KINDS)}"
                )
    needed = {"weights", "precision", "stages", "calibrate", "evaluate"}
    if not isinstance(recipe, dict) or needed - set(recipe):
        missing = ", ".join(sorted(needed - set(recipe if isinstance(recipe, dict) else ())))
        raise SystemExit(f"make_model: {path} is no recipe: it lacks {missing}; see tools/recipes")
    return recipe


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "recipe", type=Path, help="YAML file, such as tools/recipes/strhub-tiny.yaml"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="name=value", help="options of train.py, for every stage"
    )
    parser.add_argument(
        "--data_root", type=Path, default=Path("data"), help="holds train/, val/, test/"
    )
    parser.add_argument(
        "--out", type=Path, help="folder for everything; by default outputs/<the recipe's name>"
    )
    parser.add_argument(
        "--minutes", type=float, help="stop after so many; the same command resumes"
    )
    args = parser.parse_intermixed_args()
    out = args.out or Path("outputs") / args.recipe.stem
    out.mkdir(parents=True, exist_ok=True)
    deadline = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    maker = Maker(
        read_recipe(args.recipe),
        data_root=args.data_root,
        out=out,
        overrides=args.overrides,
        deadline=deadline,
    )
    try:
        print(
            f"{maker.make()} is made; into the package: tools/embed_weights.py "
            f"{out / maker.recipe['weights']}"
        )
    except TimeIsUp:
        print(f"stopped after {args.minutes:g} minutes; the same command resumes")
        sys.exit(MORE_TO_DO)
    except KeyboardInterrupt:
        sys.exit("\nmake_model: stopped; the same command resumes")


if __name__ == "__main__":
    main()
