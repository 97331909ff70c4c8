"""What libraries say while they train that tells a user nothing, each with the reason."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_noise"]

# Beginnings of messages, by the logger that has them.
MESSAGES: dict[str, tuple[str, ...]] = {
    "pytorch_lightning.utilities.rank_zero": (
        "💡 Tip",  # adverts of other products
        "Trainer already configured with model summary callbacks",  # it is, in configs/callbacks
        "TPU available",
        "`Trainer(limit_",  # the defaults, repeated
        "`Trainer(val_check_interval=1.0)`",
        "Restored all states",  # said when it begins, too
    ),
    "pytorch_lightning.trainer.connectors.checkpoint_connector": ("`weights_only` was not set",),
    "lightning_fabric.utilities.rank_zero": ("💡 Tip",),
}
WARNINGS = (
    r".isinstance.treespec, LeafSpec.. is deprecated",  # Lightning under a newer torch
    # losses of such a run are few, as asked
    r"The number of training batches .* is smaller than the logging interval",
    r"The dirpath has changed from",  # a resumed run in a new folder keeps its own best ones
    r"Checkpoint directory .* exists and is not empty",  # that of a resumed run
    r"Experiment logs directory .* exists",
)


@contextmanager
def without_noise() -> Iterator[None]:
    """Leave these messages out in here; all others come through."""
    listening = [(logging.getLogger(name), _Without(starts)) for name, starts in MESSAGES.items()]
    for logger, without in listening:
        logger.addFilter(without)
    try:
        with warnings.catch_warnings():
            for message in WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, without in listening:
            logger.removeFilter(without)


class _Without(logging.Filter):
    """Passes what begins with none of some texts."""

    def __init__(self, starts: tuple[str, ...]) -> None:
        super().__init__()
        self.starts = starts

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.starts)
