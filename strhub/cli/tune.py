"""`tune.py`: search for the learning rate and more, print the trials and how to train with the best
one.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from strhub.cli.hydra_command import run_with_hydra
from strhub.cli.interrupted import end_interrupted
from strhub.cli.program import program, typed

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from strhub.training.tuning_results import Search

log = logging.getLogger("strhub")

PURPOSE = """Search for the best learning rate, and for other options named in tune.space; print the
trials and the command that trains with the best values.

examples:
  ./tune.py tune.num_samples=20
  ./tune.py +experiment=parseq-tiny 'tune.space={model.dropout: {uniform: [0.0, 0.3]}}'
  ./tune.py tune.resume_dir=outputs/tune/parseq/<time>"""


def _compose_and_tune(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    from strhub.training.adopting import adopt_pretrained
    from strhub.training.tuning import tune

    overrides = list(HydraConfig.get().overrides.task)
    try:
        adopt_pretrained(config, overrides)
        search = tune(config)
    except (ValueError, ImportError) as error:
        log.debug("cause", exc_info=True)
        raise SystemExit(f"{program('tune')}: {error}") from error
    print(table(search))
    print(advice(search, overrides))
    if not search.complete:
        resume = f"tune.resume_dir={shlex.quote(str(search.folder))}"
        sys.exit(f"{program('tune')}: stopped; resume with the same command and {resume}")


def table(search: Search) -> str:
    """Return the trials, best first."""
    from strhub.training.tuning_results import METRICS

    others = [f"  {name:>20}" for name in search.others]
    lines = [
        "".join(f"{name:>14}" for name in ("lr", *METRICS, "progress %", "seconds"))
        + "".join(others)
    ]
    for trial in search.trials:
        values = [
            f"{trial.metrics[name]:.4f}" if name in trial.metrics else "-" for name in METRICS
        ]
        cells = [f"{trial.lr:.2e}", *values, f"{trial.progress:.0f}", f"{trial.seconds:.0f}"]
        line = "".join(f"{cell:>14}" for cell in cells) + "".join(
            f"  {value!s:>20}" for value in trial.others.values()
        )
        lines.append(line + (f"  {trial.error}" if trial.error else ""))
    return "\n".join(lines)


def advice(search: Search, overrides: Sequence[str]) -> str:
    """Return how to train with the best values. overrides: those of this search's command line."""
    if search.best is None:
        return f"no trial was validated; see {search.folder}"
    found = [f"{name}={value}" for name, value in search.best.values.items()]
    replaced = ("tune.", *(f"{name}=" for name in search.best.values))
    others = [item for item in overrides if not item.lstrip("+~").startswith(replaced)]
    command = shlex.join([*typed("train").split(), *others, *found])
    return f"{search.folder / 'trials.csv'}\nTrain with the best: {command}"


def main() -> None:
    """Search as the command line says; see `--help`."""
    try:
        run_with_hydra("tune", "tune", PURPOSE, _compose_and_tune, sys.argv[1:])
    except KeyboardInterrupt:
        end_interrupted(program("tune"))


if __name__ == "__main__":
    main()
