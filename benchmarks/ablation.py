"""What ablation studies of several arms and seeds have in common: runs that are not repeated, and a
table of means with intervals.

Results are JSON lines in <folder>/results.jsonl, one per run, so a study can be stopped and the
same command resumes it.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict

from strhub import Recognizer
from strhub.configs import CONFIG_DIR
from strhub.data.sources.dataset import UnreadableRecord
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.text import CHARSET_36, CharsetAdapter, LabelPreparation

Result = dict[str, Any]

# Two-sided 95 % quantiles of Student's t, by degrees of freedom.
STUDENT = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    6: 2.447,
    7: 2.365,
    8: 2.306,
    9: 2.262,
}


def slug(arm: str) -> str:
    """Return an arm's name as a folder's."""
    return "".join(letter if letter.isalnum() else "_" for letter in arm)


def short_run(overrides: Sequence[str], output: Path, *, steps: int, seed: int) -> DictConfig:
    """Return the configuration of a run of so many steps on a CPU, with few callbacks and without
    validation.
    """
    common = [
        "trainer.accelerator=cpu",
        "trainer.devices=1",
        f"trainer.max_steps={steps}",
        "trainer.max_epochs=-1",
        "trainer.limit_val_batches=0",
        "trainer.gradient_clip_val=5",
        "trainer.log_every_n_steps=10",
        "+trainer.enable_progress_bar=false",
        *(f"callbacks.{name}=null" for name in ("summary", "best", "rate", "samples", "report")),
        f"seed={seed}",
        f"output_dir={output}",
    ]
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        config = compose("main", overrides=[*overrides, *common])
    with open_dict(config):
        config.model.seed = seed
    return config


def stored(folder: Path) -> list[tuple[Any, str]]:
    """Yield images and labels of all sets below a folder."""
    prepare = LabelPreparation(CHARSET_36, max_length=None, strict=False)
    found = []
    for path in find_lmdbs(folder):
        words = LmdbWords(path, prepare_label=prepare)
        for index in range(len(words)):
            try:
                found.append(words.read(index))
            except UnreadableRecord as error:
                print(error)
    return found


def accuracy(recognizer: Recognizer, words: Sequence[tuple[Any, str]]) -> float:
    """Return the percentage of words read right, in digits and lower case."""
    adapter = CharsetAdapter(CHARSET_36)
    readings = recognizer([image for image, _ in words])
    right = sum(
        adapter(reading.text) == adapter(label)
        for reading, (_, label) in zip(readings, words, strict=True)
    )
    return 100 * right / len(words)


def results_of(folder: Path) -> list[Result]:
    """Return the runs that are done; the last line may be cut off."""
    path = folder / "results.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def run_all(
    folder: Path, wanted: Iterable[tuple[str, int, int]], run: Callable[[str, int, int], Result]
) -> None:
    """Run those of (arm, seed, steps) that have not been, one after the other, and keep what they
    give.
    """
    done = {(result["arm"], result["seed"], result["steps"]) for result in results_of(folder)}
    for each in wanted:
        if each not in done:
            result = run(*each)
            with (folder / "results.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(result) + "\n")
            print(json.dumps(result), flush=True)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return `mean ± half`, with half the width of the 95 % interval of the mean over seeds
    (Student's t).
    """
    if len(values) < 2:
        return f"{mean(values):.{digits}f}" if values else "–"
    half = STUDENT[len(values) - 1] * stdev(values) / math.sqrt(len(values))
    return f"{mean(values):.{digits}f} ± {half:.{digits}f}"


def table(results: Sequence[Result], arms: Sequence[str], measures: dict[str, int]) -> str:
    """Return means with intervals, and the mean difference from the first arm, seed by seed.

    measures: names in the results, and how many decimals of each are shown.
    """
    there = [name for name in measures if any(name in result for result in results)]
    lines = [
        "| arm | seeds | " + " | ".join(f"{m} | less first arm" for m in there) + " | CPU s |",
        "| --- | --- |" + " --- | --- |" * len(there) + " --- |",
    ]
    first = {result["seed"]: result for result in results if result["arm"] == arms[0]}
    for arm in arms:
        runs = [result for result in results if result["arm"] == arm]
        if not runs:
            continue
        cells = [arm, str(len(runs))]
        for measure in there:
            cells.append(
                spread([run[measure] for run in runs if measure in run], measures[measure])
            )
            paired = [
                run[measure] - first[run["seed"]][measure] for run in runs if run["seed"] in first
            ]
            cells.append(spread(paired, measures[measure]) if arm != arms[0] else "")
        cells.append(f"{mean(run['seconds'] for run in runs):.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
