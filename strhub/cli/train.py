"""`train.py`: compose the configuration, train, print the metrics."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from strhub.cli.hydra_command import run_with_hydra
from strhub.cli.interrupted import INTERRUPTED
from strhub.cli.program import program
from strhub.cli.stored_run import STORED
from strhub.training.signals import StoppedEarly, stopping_early
from strhub.utils.terminal import printable, printable_lines

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("strhub")

PURPOSE = """Train or fine-tune a recognizer, and print the scores of its last validation.

examples:
  ./train.py +experiment=parseq-tiny                     run a preconfigured experiment
  ./train.py dataset=rendered                            train on rendered words, without data files
  ./train.py pretrained=strhub-tiny                      fine-tune a model, with its sizes
  ./train.py ckpt_path=outputs/<run>/last                resume a run, with its options
  ./train.py hydra.run.dir=outputs/mine ckpt_path=last   start a run, or resume it if it exists
  ./train.py debug=one_step                              check that all works; or debug=overfit"""
# exit status of a run that a signal stopped and that should be started again (EX_TEMPFAIL)
STOPPED = 75


def _train(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig
    from lightning_fabric.utilities.exceptions import MisconfigurationException
    from pytorch_lightning.utilities import rank_zero_only

    from strhub.training.adopting import adopt_pretrained
    from strhub.training.callbacks.last_checkpoint import Stopped
    from strhub.training.run import resumed_without_options, train

    try:
        overrides = list(HydraConfig.get().overrides.task)
        adopt_pretrained(config, overrides)
        if alone := resumed_without_options(config):
            adopt_pretrained(config, overrides, alone)
        metrics = train(config)
    except Stopped as stop:
        _end_stopped(f"{stop}; resume with ckpt_path={stop.path}", STOPPED)
    except (ValueError, MisconfigurationException, OSError) as error:
        log.debug("cause", exc_info=True)
        remove_unused_run(Path(str(config.output_dir)))
        raise SystemExit(f"{program('train')}: {printable_lines(error)}") from error
    except RuntimeError as error:
        if "Connection closed by peer" not in str(error):  # Gloo's words
            raise
        raise SystemExit(
            f"{program('train')}: the process of another device has ended, so this one cannot "
            "continue"
        ) from error
    if getattr(rank_zero_only, "rank", 0) == 0:  # the other devices have the same
        for name, value in sorted(metrics.items()):
            print(f"{printable(name)}: {value:.4f}")


def remove_unused_run(folder: Path) -> None:
    """Remove the folder of a run that has not begun: nothing is in it but its configuration."""
    logging.shutdown()  # so that its log can be removed everywhere
    with suppress(OSError):
        if {item.name for item in folder.iterdir()} <= {STORED, "train.log"}:
            shutil.rmtree(folder)
            folder.parent.rmdir()  # that of its day, if there is no other run


def _end_stopped(message: str, status: int) -> NoReturn:
    if any(argument.startswith("hydra.job.name=train_ddp_process") for argument in sys.argv):
        # started by Lightning, which kills the others when one of them ends with another status
        sys.exit()
    print(f"{program('train')}: {printable_lines(message)}", file=sys.stderr)
    sys.exit(status)


def main() -> None:
    """Train as the command line says; see `--help`."""
    try:
        with stopping_early():
            run_with_hydra("train", "main", PURPOSE, _train, sys.argv[1:])
    except StoppedEarly as stop:
        _end_stopped(str(stop), INTERRUPTED if stop.number == signal.SIGINT else STOPPED)
    except KeyboardInterrupt:
        _end_stopped("stopped; resume with ckpt_path=<run>/last", INTERRUPTED)


if __name__ == "__main__":
    main()
