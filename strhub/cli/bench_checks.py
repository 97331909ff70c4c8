"""Checks of what a benchmark is asked for, before anything is measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strhub.cli.extras import needs

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from strhub.checkpoint.scene_text_model import SceneTextModel


RANGE_PLOT = "bench-range.png"


def check(config: DictConfig) -> None:
    """Raise `ValueError` for options that are impossible, or would have no effect, together."""
    least = {"repeats": 2, "warm_up": 0, "depth": 1, "training_batch": 1, "pipeline_batches": 1}
    numbers = [(name, config[name], lowest) for name, lowest in least.items()]
    numbers += [("batch_size", size, 1) for size in _list(config.batch_size)]
    for name, value, lowest in [
        *numbers,
        *([] if config.threads is None else [("threads", config.threads, 1)]),
    ]:
        if not isinstance(value, int) or value < lowest:
            raise ValueError(f"{name} is {value}: it must be an integer of at least {lowest}")
    for name in ("batch_size", "precision", "formats"):
        if not _list(config[name]):
            raise ValueError(f"{name} is empty: name at least one")
    if config.get("range"):
        several = [
            name for name in ("batch_size", "precision", "formats") if len(_list(config[name])) > 1
        ]
        exported = [kind for kind in _formats(config) if kind not in ("torch", "compiled")]
        if several or exported or config.models or config.images:
            raise ValueError(
                "latency against label length is measured on noise, of one model by PyTorch, in "
                "one precision and "
                "batches of one size: range does not go with models, images, exported formats or "
                "several of anything"
            )


def check_surroundings(config: DictConfig) -> None:
    """Check that everything needed is installed, and that the JSON and the plot can be written,
    before minutes of measuring.
    """
    from strhub.benchmark.report import check_plot

    if {*_formats(config)} - {"torch", "compiled"}:
        with needs("export"):
            import onnx  # noqa: F401
    plot = config.plot or (RANGE_PLOT if config.get("range") else None)
    if plot:
        with needs("bench"):
            check_plot(Path(plot))
    for path in (Path(str(name)) for name in (plot, config.json) if name):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror}") from error
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ValueError(
                f"{path} cannot be written: it is a folder, or you may not write there"
            )


def _configured(
    config: DictConfig, overrides: Sequence[str]
) -> tuple[str, SceneTextModel, float | None]:
    """Return the model of `pretrained` if there is one, else the configured one with fresh weights:
    its name, and its accuracy where that is known, which is so for the decoding that it comes with.
    """
    from strhub.benchmark.subjects import accuracy_of, find_model
    from strhub.checkpoint.scene_text_model import SceneTextModel
    from strhub.training.run import model_from_config
    from strhub.utils.options import check_options, keyword_names

    if config.pretrained is None:
        system = model_from_config(config)
        model = SceneTextModel(system.hparams).eval()
        model.model.load_state_dict(system.model.state_dict())
        return str(config.model.name), model, None
    names = [override.partition("=")[0].lstrip("+~") for override in overrides]
    if "pretrained" in names and {"model", "experiment"} & {*names}:
        raise ValueError(
            "pretrained is measured in place of a configured model: leave out one, or list it in "
            "models"
        )
    model = find_model(str(config.pretrained))
    of_network = {*keyword_names(type(model.model)), *model.model.decoding_options}
    changed = [
        name for name in (name.removeprefix("model.") for name in names) if name in of_network
    ]
    check_options(changed, model.model.decoding_options, f"the decoding of {config.pretrained}")
    model.set_decoding(**{name: config.model[name] for name in changed})
    return str(config.pretrained), model, None if changed else accuracy_of(str(config.pretrained))


def _formats(config: DictConfig) -> list[str]:
    return [
        "compiled" if config.compile and kind == "torch" else str(kind)
        for kind in _list(config.formats)
    ]


def _list(value: Any) -> list[Any]:
    from omegaconf import ListConfig

    return list(value) if isinstance(value, list | ListConfig) else [value]
