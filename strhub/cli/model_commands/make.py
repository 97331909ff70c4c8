"""Make a model by a recipe: render, train, label, train further, average, save, calibrate, measure.

A recipe is a YAML file, or the name of one that comes with strhub. Further arguments are options of
train.py for all stages. Each stage is done once: if it is stopped, by --minutes, Ctrl-C or a power
cut, the same command resumes from the last checkpoint. The exit status is 0 when the model is
finished, and 75 when there is more to do.

examples:
  strhub-model make strhub-tiny --data_root data                 all of it
  strhub-model make strhub-small --data_root data --minutes 10   a leg
  strhub-model make mine.yaml +hardware=gpu model.lr=2.5e-3
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

from strhub.cli.model_commands.calibrate import store
from strhub.cli.model_commands.recipe import (
    MODELS,
    Stage,
    find_recipe,
    kind_and_name,
    read_recipe,
)
from strhub.cli.program import program
from strhub.utils.files import replacing
from strhub.utils.terminal import printable

MORE_TO_DO = 75  # sysexits.h: EX_TEMPFAIL
MADE = ("rendered", "lines")  # names in a mixture that are not folders
GRACE = 60  # seconds that a stopped program has to save what it has


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
        kinds = {
            "train": self._train,
            "label": self._label,
            "render": self._render,
            "average": self._average,
        }
        for stage in self.recipe["stages"]:
            kind, name = kind_and_name(stage)
            self._once(name, partial(kinds[kind], stage))
        weights = self.out / self.recipe["weights"]
        last = [name for kind, name in map(kind_and_name, self.recipe["stages"]) if kind in MODELS][
            -1
        ]
        sets = self._test_sets()
        chosen = ["--data_root", str(self.data_root), *(["--sets", *sets] if sets else [])]
        precision = ["--precision", self.recipe["precision"]]
        self._once("save", partial(self._save, last, weights, precision))
        self._once(
            "calibrate",
            lambda: self._run("model", "calibrate", weights, *chosen, *self.recipe["calibrate"]),
        )
        table = self.out / "reading.md"
        self._once(
            "evaluate",
            lambda: self._run(
                "model", "measure", weights, *chosen, *self.recipe["evaluate"], output=table
            ),
        )
        print(table.read_text("utf-8"))
        return weights

    def _save(self, last: str, weights: Path, precision: Sequence[str]) -> None:
        """Write the model of the last stage, with how it is to read, by names of its file's
        hyper-parameters.
        """
        self._run("export", self._model(last), weights, *precision)
        if reading := self.recipe.get("reading"):
            store(weights, reading, {})

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
            "train", *stage["overrides"], *beginning, f"data.root_dir={self.data_root}",
                f"hydra.run.dir={folder}",
            "~data.mixture", f"+data.mixture={{{mixture}}}", *validation, *self.overrides,
        )  # fmt: skip

    def _label(self, stage: Stage) -> None:
        images = self.data_root / self._folder(stage["images"])
        if not images.is_dir():
            print(f"left out: there is no folder {images}")
            return
        self._run(
            "model",
            "label",
            images,
            self.out / stage["label"],
            "--model",
            self._model(stage["model"]),
            "--min_confidence",
            str(stage["min_confidence"]),
            "--readings",
            str(stage.get("readings", 1)),
            *(["--keep_labels"] if stage.get("keep_labels") else []),
        )

    def _render(self, stage: Stage) -> None:
        self._run("data", "render", self.out / stage["render"], *stage["arguments"])

    def _average(self, stage: Stage) -> None:
        parts = [f"{fraction}:{self._model(name)}" for name, fraction in stage["of"].items()]
        folder = self.out / stage["average"]
        folder.mkdir(exist_ok=True)
        self._run("model", "average", self._model(stage["average"]), *parts)

    def _model(self, name: str) -> str:
        """Return the model of an earlier stage; what is no stage's name is a model's id or path."""
        kinds = {stage: kind for kind, stage in map(kind_and_name, self.recipe["stages"])}
        if name not in kinds:
            return name
        file = "checkpoints/last.ckpt" if kinds[name] == "train" else "averaged.safetensors"
        return str(self.out / name / file)

    def _folder(self, name: str) -> str:
        """Return where the words of a name are: an absolute path if a stage makes them."""
        made = {stage.get("label", stage.get("render")) for stage in self.recipe["stages"]}
        return str(self.out / name) if name in made else name

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

    def _run(self, command: str, *arguments: str | Path, output: Path | None = None) -> None:
        """Run one of strhub's commands until it ends, or stop it at the deadline. Its standard
        output is this one's, or a file that is put in place when it is done.
        """
        called = [sys.executable, "-m", "strhub", command, *map(str, arguments)]
        sys.stdout.flush()
        if output is None:
            self._wait(subprocess.Popen(called), command)
            return
        with replacing(output) as partial, partial.open("wb") as stream:
            self._wait(subprocess.Popen(called, stdout=stream), command)

    def _wait(self, process: subprocess.Popen[bytes], command: str) -> None:
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        try:
            status = process.wait(left)
        except subprocess.TimeoutExpired:
            raise TimeIsUp from None
        finally:
            end(process)
        if status:
            raise ValueError(
                f"{program(command)} failed with status {status}; once that is mended, the same "
                "command resumes"
            )


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of make."""
    parser.add_argument("recipe", help="YAML file, strhub-tiny or strhub-small")
    parser.add_argument(
        "overrides", nargs="*", metavar="name=value", help="options of train.py for all stages"
    )
    parser.add_argument(
        "--data_root",
        type=Path,
        default=Path("data"),
        help="folder that contains train/, val/ and test/",
    )
    parser.add_argument(
        "--out", type=Path, help="folder for all output; by default outputs/<name of the recipe>"
    )
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="stop after N minutes; the same command resumes"
    )


def run(args: argparse.Namespace) -> None:
    """Make the model, or a part of it. Raises `ValueError` for a recipe that cannot be used or a
    stage that failed.
    """
    path = find_recipe(args.recipe)
    recipe = read_recipe(path)
    if args.minutes is not None and not args.minutes > 0:
        raise ValueError(f"--minutes is {args.minutes:g}: it must be over 0")
    out = args.out or Path("outputs") / path.stem
    out.mkdir(parents=True, exist_ok=True)
    maker = Maker(
        recipe,
        data_root=args.data_root,
        out=out,
        overrides=args.overrides,
        deadline=None if args.minutes is None else time.monotonic() + 60 * args.minutes,
    )
    try:
        print(printable(f"{maker.make()} is made"))
    except TimeIsUp:
        print(f"stopped after {args.minutes:g} minutes; the same command resumes")
        sys.exit(MORE_TO_DO)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("stopped; the same command resumes") from error
