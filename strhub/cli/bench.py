"""`bench.py`: what a model costs, by its configuration."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strhub.cli.extras import needs
from strhub.cli.interrupted import end_interrupted
from strhub.configs import CONFIG_DIR

with needs("train"):
    import hydra
    from omegaconf import DictConfig

if TYPE_CHECKING:
    import torch

    from strhub.scene_text_model import SceneTextModel
    from strhub.subjects import Subject


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="bench")
def _compose_and_measure(config: DictConfig) -> None:
    try:
        print(report(config))
    except ValueError as error:
        raise SystemExit(f"bench: {error}") from error


def report(config: DictConfig) -> str:
    """Measure what the configuration asks for; a table of it. Writes the JSON and the plot that it names."""
    import torch

    from strhub import benchmark, benchmark_report
    from strhub.torch_engine import choose_device

    if config.threads:
        torch.set_num_threads(config.threads)
    if config.plot or config.get("range"):
        with needs("bench"):
            import matplotlib  # noqa: F401 (before minutes of measuring)
    device = choose_device(config.device)
    name, model = _configured(config)
    height, width = model.hparams["img_size"]
    images = torch.randn(1, 3, height, width)
    longest = int(model.hparams["max_label_length"])
    costs = benchmark.costs(model.model, images, longest, depth=config.depth)
    whole = costs[""]
    parts = [
        f"{name}, {height} x {width} pixels, {device}, {torch.get_num_threads()} threads",
        f"parameters {whole.parameters / 1e6:.2f} M, multiply-adds {whole.multiply_adds / 1e9:.3f} G, "
        f"activations {whole.activations / 1e6:.2f} M; by module:",
        benchmark_report.cost_table(costs),
    ]
    results: dict[str, Any] = {
        "model": name,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "costs": {module or "whole": cost._asdict() for module, cost in costs.items()},
    }
    if config.get("range"):
        parts.append(_range(config, name, model, device, results))
    else:
        parts.append(_compare(config, name, model, device, results))
    if config.training:
        results["training_step"] = step = _training_step(config, device)
        parts.append(f"training step, {config.training_batch} words: {_spread(step)} ms")
    if config.pipeline:
        results["pipeline_words_per_second"] = speed = _pipeline(config)
        parts.append(f"training data: {speed:.0f} words a second, {config.data.num_workers} workers")
    results["peak_memory_mib"] = peak = benchmark.peak_memory(device)
    parts.append(f"peak memory of the process: {peak:.0f} MiB")
    if config.json:
        benchmark_report.write_json(results, Path(config.json))
    return "\n".join(parts)


def _configured(config: DictConfig) -> tuple[str, SceneTextModel]:
    """The model of `pretrained` if there is one, else the configured one with fresh weights."""
    from strhub.scene_text_model import SceneTextModel
    from strhub.subjects import find_model
    from strhub.training import model_from_config

    if config.pretrained is not None:
        return str(config.pretrained), find_model(str(config.pretrained))
    system = model_from_config(config)
    model = SceneTextModel(system.hparams).eval()
    model.model.load_state_dict(system.model.state_dict())
    return str(config.model.name), model


def _range(config: DictConfig, name: str, model: SceneTextModel, device: torch.device, results: dict[str, Any]) -> str:
    """Latency against label length, the lengths in turn, and its plot."""
    import torch

    from strhub import benchmark, benchmark_report
    from strhub.precision import choose_precision

    model = model.to(device)
    precision, batch = _list(config.precision)[0], int(_list(config.batch_size)[0])
    model.set_precision(choose_precision(str(precision), device))
    images = torch.randn(batch, 3, *model.hparams["img_size"], device=device)
    lengths = range(1, int(model.hparams["max_label_length"]) + 1)
    with torch.inference_mode():
        calls = {str(length): partial(model, images, length) for length in lengths}
        times = benchmark.time_in_turn(calls, repeats=config.repeats, warm_up=config.warm_up, device=device)
    latencies = {int(length): benchmark.summarise(values) for length, values in times.items()}
    path = Path(config.plot or "bench-range.png")
    benchmark_report.plot_range(latencies, f"{name}, batches of {batch}, {precision}, {device}", path)
    results["range"] = {str(length): list(latency) for length, latency in latencies.items()}
    lines = [f"latency  {_spread(latency)} ms for labels of {length}" for length, latency in latencies.items()]
    return "\n".join([*lines, f"plot: {path}"])


def _compare(
    config: DictConfig, name: str, model: SceneTextModel, device: torch.device, results: dict[str, Any]
) -> str:
    """All subjects in turn, and their plot."""
    from strhub import benchmark, benchmark_report
    from strhub.subjects import Settings, accuracy_of, find_model, subjects

    chosen: list[Subject] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            device=device,
            batch_sizes=[int(size) for size in _list(config.batch_size)],
            formats=[str(kind) for kind in _list(config.formats)],
            precisions=[str(precision) for precision in _list(config.precision)],
            pictures=config.pictures,
            length=int(model.hparams["max_label_length"]),
            folder=Path(folder),
        )
        for title, one in [(name, model), *((str(source), find_model(str(source))) for source in config.models)]:
            trained = title != name or config.pretrained is not None
            chosen += subjects(title, one, settings, accuracy_of(title) if trained else None)
        calls = {subject.name: subject.read for subject in chosen}
        times = benchmark.time_in_turn(calls, repeats=config.repeats, warm_up=config.warm_up, device=device)
    against = benchmark.ratios(times, chosen[0].name)
    rows = [
        {
            "name": subject.name,
            "model": subject.model,
            "format": subject.format,
            "precision": subject.precision,
            "batch_size": subject.batch_size,
            "accuracy": subject.accuracy,
            "milliseconds": list(latency := benchmark.summarise(times[subject.name])),
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
    """Forward, backward and an AdamW update."""
    import torch

    from strhub import benchmark
    from strhub.training import model_from_config

    system = model_from_config(config).to(device).train()
    optimiser = torch.optim.AdamW(system.parameters(), lr=1e-4)
    images = torch.randn(config.training_batch, 3, *config.model.img_size, device=device)
    characters, length = str(system.hparams["charset_train"]), min(10, int(config.model.max_label_length))
    labels = ["".join(characters[(7 * row + place) % len(characters)] for place in range(length))
              for row in range(config.training_batch)]  # fmt: skip

    def step() -> None:
        optimiser.zero_grad()
        system.training_loss(images, labels).backward()
        optimiser.step()

    return benchmark.time_calls(step, repeats=config.repeats, warm_up=config.warm_up, device=device)


def _pipeline(config: DictConfig) -> float:
    """Words a second of the configured training data, the first batch not counted."""
    from hydra.utils import instantiate

    data = instantiate(config.data)
    batches = iter(data.train_dataloader())
    next(batches)
    begin = time.perf_counter()
    words = sum(len(batch.labels) for batch in islice(batches, config.pipeline_batches))
    if not words:
        raise ValueError("the training data is but one batch: lower model.batch_size to time it")
    return words / (time.perf_counter() - begin)


def _list(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, str | int) else list(value)


def _spread(latency: Any) -> str:
    return f"{latency.median:.2f} (quartiles {latency.lower:.2f} to {latency.upper:.2f})"


def main() -> None:
    """Measure as the command line says; see `--help`."""
    try:
        _compose_and_measure()
    except KeyboardInterrupt:
        end_interrupted("bench")
