"""`train.py`: compose the configuration, train, print the metrics."""

from __future__ import annotations

import logging
import sys

from strhub.cli.arguments import replace_mappings
from strhub.cli.extras import needs
from strhub.configs import CONFIG_DIR

with needs("train"):
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

log = logging.getLogger("strhub")

STOPPED = 75  # exit status of a run that a signal ended with its state saved: to be run again (EX_TEMPFAIL)


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="main")
def _compose_and_train(config: DictConfig) -> None:
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from strhub.last_checkpoint import Stopped
    from strhub.training import adopt_pretrained, train

    try:
        adopt_pretrained(config, list(HydraConfig.get().overrides.task))
        metrics = train(config)
    except Stopped as stop:
        if HydraConfig.get().job.name.startswith("train_ddp_process"):
            sys.exit()  # started by Lightning, which kills the others when one of them ends with another status
        print(f"train: {stop}; go on with ckpt_path={stop.path}", file=sys.stderr)
        sys.exit(STOPPED)
    except (ValueError, MisconfigurationException, OSError) as error:
        log.debug("cause", exc_info=True)
        raise SystemExit(f"train: {error}") from error
    for name, value in sorted(metrics.items()):
        print(f"{name}: {value:.4f}")


def main() -> None:
    """Train as the command line says; see `--help`."""
    sys.argv[1:] = replace_mappings(sys.argv[1:])
    try:
        _compose_and_train()
    except KeyboardInterrupt:
        sys.exit("\ntrain: stopped; go on with ckpt_path=<run>/checkpoints/last.ckpt")
