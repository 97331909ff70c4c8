"""`bench.py`: what a model costs, by its configuration."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strhub.cli.bench_checks import (
    RANGE_PLOT,
    _configured,
    _formats,
    _list,
    check,
    check_surroundings,
)
from strhub.cli.entry import end_with
from strhub.cli.hydra_command import run_with_hydra
from strhub.cli.interrupted import end_interrupted
from strhub.cli.program import program
from strhub.utils.progress import progress, working

if TYPE_CHECKING:
    import torch
    from omegaconf import DictConfig

    from strhub.checkpoint.scene_text_model import SceneTextModel

PURPOSE = """Measure a model's parameters, multiply-adds and latency, and, if asked, the speed of
training steps and of the training data.

examples:
  ./bench.py model=parseq model.decode_ar=false model.refine_iters=3
  ./bench.py pretrained=strhub-tiny formats=[torch,onnx] batch_size=[1,32] images=demo_images
  ./bench.py dataset=rendered training=true pipeline=true"""


def _compose_and_measure(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    end_with(program("bench"), lambda: report(config, list(HydraConfig.get().overrides.task)))


def report(config: DictConfig, overrides: Sequence[str] = ()) -> str:
    """Measure what the configuration asks for; a table of it. Writes the JSON and the plot that it
    names.

    overrides: the command line's, such as `model.decode_ar=false`; they say what of a trained model
        is to be changed.

    Raises:
        ValueError: for options that cannot be, or that would have no effect together.
        OSError: if the JSON or the plot cannot be written.
    """
    import torch

    from strhub.benchmark import measure as benchmark
    from strhub.benchmark import report as benchmark_report
    from strhub.inference.torch_engine import choose_device
    from strhub.training.adopting import adopt_pretrained

    check(config)
    check_surroundings(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    name, model, accuracy = _configured(config, overrides)
    if config.training or config.pipeline:
        adopt_pretrained(config, list(overrides))
    results: dict[str, Any] = {
        "model": name,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "precision": _precisions(config, device),
    }
    parts = _costs(config, model, results)
    if config.get("range"):
        parts.append(_range(config, name, model, device, results))
    else:
        parts.append(_compare(config, name, model, accuracy, device, results))
    if config.training:
        results["training_step"] = step = _training_step(config, device)
        results["training_precision"] = "float32"
        parts.append(f"training step, {config.training_batch} words, float32: {_spread(step)} ms")
    if config.pipeline:
        results["pipeline_words_per_second"] = speed = _pipeline(config)
        parts.append(
            f"training data: {speed:.0f} words a second, {config.data.num_workers} workers"
        )
    results["peak_memory_mib"] = peak = benchmark.peak_memory(device)
    parts.append(f"peak memory of the process: {peak:.0f} MiB")
    if config.json:
        benchmark_report.write_json(results, Path(config.json))
    return "\n".join(parts)


def _costs(config: DictConfig, model: SceneTextModel, results: dict[str, Any]) -> list[str]:
    """Return what the model costs, whole and by module, wherever it runs."""
    import torch

    from strhub.benchmark import measure as benchmark
    from strhub.benchmark import report as benchmark_report
    from strhub.benchmark.subjects import image_size

    height, width = image_size(model.hparams)
    images, longest = torch.randn(1, 3, height, width), int(model.hparams["max_label_length"])
    costs = benchmark.costs(model.model, images, longest, depth=config.depth)
    results["costs"] = {module or "whole": cost._asdict() for module, cost in costs.items()}
    whole = costs[""]
    return [
        f"{results['model']}, {height} x {width} pixels, {results['device']}, {results['threads']} "
        "threads, "
        f"{', '.join(results['precision'])}",
        f"parameters {whole.parameters / 1e6:.2f} M, multiply-adds {whole.multiply_adds / 1e9:.3f} "
        "G, "
        f"activations {whole.activations / 1e6:.2f} M; by module:",
        benchmark_report.cost_table(costs),
    ]


def _range(
    config: DictConfig,
    name: str,
    model: SceneTextModel,
    device: torch.device,
    results: dict[str, Any],
) -> str:
    """Measure latency against label length, the lengths in turn, and plot it."""
    import torch

    from strhub.benchmark import measure as benchmark
    from strhub.benchmark import report as benchmark_report
    from strhub.benchmark.subjects import image_size
    from strhub.utils.precision import choose_precision, precision_name

    model = model.to(device)
    asked, batch = str(_list(config.precision)[0]), int(_list(config.batch_size)[0])
    model.set_precision(choose_precision(asked, device))
    if "compiled" in _formats(config):
        model.compile_network()
    images = torch.randn(batch, 3, *image_size(model.hparams), device=device)
    lengths = range(1, int(model.hparams["max_label_length"]) + 1)
    with torch.inference_mode():
        calls = {str(length): partial(model, images, length) for length in lengths}
        times = benchmark.time_in_turn(
            calls, repeats=config.repeats, warm_up=config.warm_up, device=device
        )
    latencies = {int(length): benchmark.summarize(values) for length, values in times.items()}
    path = Path(config.plot or RANGE_PLOT)
    benchmark_report.plot_range(
        latencies, f"{name}, batches of {batch}, {precision_name(asked, device)}, {device}", path
    )
    results["range"] = {str(length): list(latency) for length, latency in latencies.items()}
    lines = [
        f"latency  {_spread(latency)} ms for labels of {length}"
        for length, latency in latencies.items()
    ]
    return "\n".join([*lines, f"plot: {path}"])


def _compare(
    config: DictConfig,
    name: str,
    model: SceneTextModel,
    accuracy: float | None,
    device: torch.device,
    results: dict[str, Any],
) -> str:
    """Measure all subjects in turn, and plot them."""
    from strhub.benchmark import measure as benchmark
    from strhub.benchmark import report as benchmark_report
    from strhub.benchmark.subjects import Settings, accuracy_of, find_model, subjects

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            device=device,
            batch_sizes=[int(size) for size in _list(config.batch_size)],
            formats=_formats(config),
            precisions=[str(precision) for precision in _list(config.precision)],
            images=config.images,
            folder=Path(folder),
        )
        with working("preparing what is compared"):
            chosen = [*subjects(name, model, settings, accuracy)]
            for source in map(str, _list(config.models)):
                title = f"{source} (2)" if source == name else source
                chosen += subjects(title, find_model(source), settings, accuracy_of(source))
        chosen = list(
            {subject.name: subject for subject in chosen}.values()
        )  # `auto` may be float32 once more
        calls = {subject.name: subject.read for subject in chosen}
        times = benchmark.time_in_turn(
            calls, repeats=config.repeats, warm_up=config.warm_up, device=device
        )
    against = benchmark.ratios(times, chosen[0].name)
    rows = [
        {
            "name": subject.name,
            "model": subject.model,
            "format": subject.format,
            "precision": subject.precision,
            "batch_size": subject.batch_size,
            "accuracy": subject.accuracy,
            "milliseconds": list(latency := benchmark.summarize(times[subject.name])),
            "words_per_second": 1000 * subject.batch_size / latency.median,
            "ratio": list(against[subject.name]),
        }
        for subject in chosen
    ]
    results["subjects"] = rows
    if config.plot:
        known = [row for row in rows if row["accuracy"] is not None]
        draw = benchmark_report.plot_accuracy if known else benchmark_report.plot_latency
        draw(known or rows, Path(config.plot))
    return benchmark_report.latency_table(rows)


def _training_step(config: DictConfig, device: torch.device) -> Any:
    """Time a forward pass, a backward pass and an AdamW update in float32."""
    import torch

    from strhub.benchmark import measure as benchmark
    from strhub.benchmark.subjects import image_size
    from strhub.training.run import model_from_config

    system = model_from_config(config).to(device).train()
    if config.compile:
        system.compile_network()
    optimizer = torch.optim.AdamW(system.parameters(), lr=1e-4)
    images = torch.randn(config.training_batch, 3, *image_size(system.hparams), device=device)
    characters, length = (
        str(system.hparams["charset_train"]),
        min(10, int(config.model.max_label_length)),
    )
    labels = [
        "".join(characters[(7 * row + index) % len(characters)] for index in range(length))
        for row in range(config.training_batch)
    ]

    def step() -> None:
        optimizer.zero_grad()
        system.training_loss(images, labels).backward()
        optimizer.step()

    return benchmark.time_calls(step, repeats=config.repeats, warm_up=config.warm_up, device=device)


def _pipeline(config: DictConfig) -> float:
    """Measure the words per second of the configured training data, without the first batch."""
    from strhub.training.run import data_from_config, model_from_config

    data = data_from_config(config, model_from_config(config).hparams)
    batches = iter(data.train_dataloader())
    next(batches)
    begin = time.perf_counter()
    counted = progress(islice(batches, config.pipeline_batches), "batches of training data")
    words = sum(len(batch.labels) for batch in counted)
    if not words:
        raise ValueError("the training data is only one batch: lower model.batch_size to time it")
    return words / (time.perf_counter() - begin)


def _precisions(config: DictConfig, device: torch.device) -> list[str]:
    """Return the names of what is computed in, each once: "auto" resolved, exported files' own."""
    from strhub.benchmark.subjects import ONNX_PRECISIONS
    from strhub.utils.precision import precision_name

    formats = _formats(config)
    of_torch = _list(config.precision) if {*formats} - {*ONNX_PRECISIONS} else []
    names = [precision_name(str(name), device) for name in of_torch]
    return list(
        dict.fromkeys(
            [*names, *(ONNX_PRECISIONS[kind] for kind in formats if kind in ONNX_PRECISIONS)]
        )
    )


def _spread(latency: Any) -> str:
    return f"{latency.median:.2f} (quartiles {latency.lower:.2f} to {latency.upper:.2f})"


def main() -> None:
    """Measure as the command line says; see `--help`."""
    try:
        run_with_hydra("bench", "bench", PURPOSE, _compose_and_measure, sys.argv[1:])
    except KeyboardInterrupt:
        end_interrupted(program("bench"))


if __name__ == "__main__":
    main()
