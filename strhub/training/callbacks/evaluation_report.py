"""A report at the end of a run: every validation word, and a page of what is read wrong."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.utils.telemetry import switch_off_telemetry

if TYPE_CHECKING:
    from strhub.evaluation.scoring import Evaluation, WordSet
    from strhub.training.systems.base import System

__all__ = ["EvaluationReport"]

log = logging.getLogger(__name__)

SET = "validation"


class EvaluationReport(Callback):
    """Read all words of validation with the model as it is at the end, and write a report.

    write: whether to. folder: for samples.tsv, results.json, report.html and suspects.html; loggers
    get the page and the scores. On several devices each reads its part of the words.
    """

    def __init__(self, *, folder: str, write: bool = True, batch_size: int = 64) -> None:
        if batch_size < 1:
            raise ValueError(f"report: batch_size is {batch_size}: it must be at least 1")
        self.folder, self.write, self.batch_size = Path(folder), write, batch_size

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the report, unless the run does without validation."""
        if not self.write or trainer.fast_dev_run or trainer.limit_val_batches == 0:  # type: ignore[attr-defined]
            return
        from strhub.evaluation.scoring import from_dataset

        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        sets = [from_dataset(SET, data.val_dataset)]
        found = self._scored(trainer, pl_module, data, sets)
        if found is not None:
            from strhub.evaluation.report.writing import write_pages

            page = write_pages(found, sets, self.folder)
            log.info("what the model reads wrong: %s", page)
            for logger in trainer.loggers:
                log_report(logger, found, page, trainer.global_step)

    def _scored(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, data: Any, sets: list[WordSet]
    ) -> Evaluation | None:
        """Return the results on the first device, None on others."""
        from strhub.evaluation.readers import network_reader
        from strhub.evaluation.scoring import merge_parts, score

        model = reading_model(cast("System", pl_module))
        name = str(pl_module.hparams.get("name", "model"))
        description = {"name": name, "kind": "network in training", "step": trainer.global_step}
        reader = network_reader(model, data, description, self.batch_size, pl_module.device)
        charset = str(pl_module.hparams["charset_test"])
        if trainer.world_size == 1:
            return score(reader, sets, charset=charset, output=self.folder)
        part = (trainer.global_rank, trainer.world_size)
        score(reader, sets, charset=charset, output=self.folder, part=part)
        trainer.strategy.barrier("report")
        if not trainer.is_global_zero:
            return None
        return merge_parts(
            self.folder, trainer.world_size, [SET], charset=charset, reader=description
        )


def reading_model(system: System) -> SceneTextModel:
    """Return a model that reads with the network of a system in training, which it shares."""
    model = SceneTextModel(system.hparams)
    model.model = system.model
    return model


def log_report(logger: Any, found: Evaluation, page: Path, step: int) -> None:
    """Give a logger the page, or what it can take of it, by what the logger is."""
    from strhub.evaluation.report import format_table

    result = found.combined
    scores = {
        "report/accuracy": 100 * result.accuracy,
        "report/cer": 100 * result.cer.value,
        **({} if result.ece is None else {"report/ece": 100 * result.ece}),
    }
    kind = type(logger).__name__
    if kind == "TensorBoardLogger":
        logger.experiment.add_text("report", f"{format_table(dict(found))}\n\n{page}", step)
        for name, value in scores.items():
            logger.experiment.add_scalar(name, value, step)
    elif kind == "WandbLogger":
        switch_off_telemetry()
        html = import_module("wandb").Html
        logger.experiment.log({"report": html(str(page)), **scores})
    elif kind == "MLFlowLogger":
        logger.experiment.log_artifact(logger.run_id, str(page), "report")
        for name, value in scores.items():
            logger.experiment.log_metric(logger.run_id, name.replace("/", "_"), value, step=step)
