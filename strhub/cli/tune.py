"""`tune.py`: search for the learning rate and more, print the trials and how to train with the best one."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from strhub.cli.arguments import replace_mappings
from strhub.cli.extras import needs
from strhub.cli.interrupted import end_interrupted
from strhub.configs import CONFIG_DIR

with needs("train"):
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

if TYPE_CHECKING:
    from strhub.training.tuning_results import Search

log = logging.getLogger("strhub")


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="tune")
def _compose_and_tune(config: DictConfig) -> None:
    from strhub.errors import MissingExtra
    from strhub.training.run import adopt_pretrained
    from strhub.training.tuning import tune

    overrides = list(HydraConfig.get().overrides.task)
    try:
        adopt_pretrained(config, overrides)
        search = tune(config)
    except (ValueError, MissingExtra) as error:
        log.debug("cause", exc_info=True)
        raise SystemExit(f"tune: {error}") from error
    print(table(search))
    print(advice(search, overrides))
    if not search.complete:
        sys.exit(f"tune: stopped; go on with the same command and tune.resume_dir={shlex.quote(str(search.folder))}")


def table(search: Search) -> str:
    """The trials, best first."""
    from strhub.training.tuning_results import METRICS

    others = [f"  {name:>20}" for name in search.others]
    lines = ["".join(f"{name:>14}" for name in ("lr", *METRICS, "progress %", "seconds")) + "".join(others)]
    for trial in search.trials:
        values = [f"{trial.metrics[name]:.4f}" if name in trial.metrics else "-" for name in METRICS]
        cells = [f"{trial.lr:.2e}", *values, f"{trial.progress:.0f}", f"{trial.seconds:.0f}"]
        line = "".join(f"{cell:>14}" for cell in cells) + "".join(f"  {value!s:>20}" for value in trial.others.values())
        lines.append(line + (f"  {trial.error}" if trial.error else ""))
    return "\n".join(lines)


def advice(search: Search, overrides: Sequence[str]) -> str:
    """How to train with the best values. overrides: those of this search's command line."""
    if search.best is None:
        return f"no trial was validated; see {search.folder}"
    found = [f"{name}={value}" for name, value in search.best.values.items()]
    replaced = ("tune.", *(f"{name}=" for name in search.best.values))
    others = [item for item in overrides if not item.lstrip("+~").startswith(replaced)]
    command = shlex.join(["./train.py", *others, *found])
    return f"{search.folder / 'trials.csv'}\nTrain with the best: {command}"


def main() -> None:
    """Search as the command line says; see `--help`."""
    sys.argv[1:] = replace_mappings(sys.argv[1:])
    try:
        _compose_and_tune()
    except KeyboardInterrupt:
        end_interrupted("tune")
