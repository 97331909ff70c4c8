"""A resumed run that is to be another than it was: what can be changed is, and what cannot is said
in one line.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from strhub.checkpoint.scene_text_model import network_class
from strhub.errors import ConfigError
from strhub.training.fused import WAYS
from strhub.utils.options import keyword_names

if TYPE_CHECKING:
    from strhub.training.systems.base import System

__all__ = ["ResumedPlan", "check_resumable"]

log = logging.getLogger(__name__)

_SHOWN = 5
_OF_STEPS = (
    "lr",
    "initial_lr",
    "max_lr",
    "min_lr",
    "base_momentum",
    "max_momentum",
)  # the schedule's own
# A resumed run keeps the kernel of its first steps: so it takes the same steps after an update, or
# with another precision, and its state is on the device where that kernel wants it.
_KEPT = (*_OF_STEPS, *WAYS)


def check_resumable(system: System, state: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless the state of a run, as Lightning saves it, is one of this
    system's.
    """
    own, weights = system.state_dict(), state["state_dict"]
    unfit = [
        name
        for name, tensor in own.items()
        if name not in weights or weights[name].shape != tensor.shape
    ]
    unfit += [name for name in weights if name not in own]
    had, has = state.get("hyper_parameters", {}), system.hparams
    optimizers = [
        str((one.get("optimizer") or {}).get("_target_", "")).rpartition(".")[2]
        for one in (had, has)
    ]
    same_letters = had.get("charset_train", has["charset_train"]) == has["charset_train"]
    if not unfit and same_letters and (not optimizers[0] or optimizers[0] == optimizers[1]):
        return
    names = (
        ["architecture", "charset_train", *keyword_names(network_class(str(has["architecture"])))]
        if unfit
        else []
    )
    names += [] if same_letters or unfit else ["charset_train"]
    changed = [
        f"model.{name}={has[name]} (it has {had[name]})"
        for name in names
        if name in had and name in has and had[name] != has[name]
    ]
    if optimizers[0] != optimizers[1] and not unfit:
        changed.append(f"optimizer={optimizers[1]} (it has {optimizers[0]})")
    what = ", ".join(changed[:_SHOWN]) or f"a model whose {unfit[0]} is another"
    raise ConfigError(
        f"ckpt_path: a run cannot be resumed with {what}. Leave that out; or begin a new run from "
        "its weights, with "
        "pretrained=<the run> instead of ckpt_path"
    )


class ResumedPlan(Callback):
    """Plan the rest of a resumed run anew where its length, rate or weight decay have been changed.

    A schedule is saved with the state: without this, a run that has more epochs now would learn on
    at its old schedule's end, and another `model.lr` would do nothing.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare what was restored with what is configured."""
        system = cast("System", pl_module)
        if trainer.global_step == 0 or not trainer.lr_scheduler_configs:
            return
        optimizer, schedule = trainer.optimizers[0], trainer.lr_scheduler_configs[0].scheduler
        planned, groups = system.planned_groups, optimizer.param_groups
        had: Any = getattr(schedule, "total_steps", None)
        if had is None or len(planned) != len(groups):
            return
        if not getattr(schedule, "cycle_momentum", False):
            for group, options in zip(groups, planned, strict=True):
                group.update({name: value for name, value in options.items() if name not in _KEPT})
        total = system.total_steps()
        total = had if total == had else trainer.global_step + system.remaining_steps()
        rates: list[float] = [one["lr"] for one in planned]
        had_rates: list[float] = [one.get("max_lr", math.nan) for one in groups]
        same_warmup = _warmup(schedule, had) in (None, round(system.hparams["warmup_pct"], 9))
        if ((total, rates) == (had, had_rates) and same_warmup) or total <= trainer.global_step:
            return
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        again = _at_step(system.make_schedule(optimizer, total), trainer.global_step)
        trainer.lr_scheduler_configs[0].scheduler = again
        if trainer.is_global_zero:
            log.warning(
                "step %d: the schedule is recomputed, for %d steps in all (it was made for %d) "
                "and a highest rate of "
                "%.3g (%.3g); the rate is %.3g now. To begin a new schedule from these weights: "
                "pretrained=<the run> "
                "instead of ckpt_path",
                trainer.global_step,
                total,
                had,
                max(rates),
                max(had_rates),
                groups[0]["lr"],
            )


def _warmup(schedule: Any, total: int) -> float | None:
    """Return the fraction of the steps in which the rate rises, rounded as OneCycleLR's is; None
    for other schedules.
    """
    phases = getattr(schedule, "_schedule_phases", None)
    return round((phases[0]["end_step"] + 1) / total, 9) if phases else None


def _at_step(schedule: Any, step: int) -> Any:
    """Return a new schedule, and its optimizer's rates, as they are after so many steps."""
    state = schedule.state_dict()
    schedule.load_state_dict({**state, "last_epoch": step - 1, "_step_count": max(2, step)})
    schedule.step()
    return schedule
