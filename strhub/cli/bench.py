"""`bench.py`: what a model costs, by its configuration."""

from __future__ import annotations

import sys
from functools import partial

from strhub.cli.extras import needs
from strhub.configs import CONFIG_DIR

with needs("train"):
    import hydra
    from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="bench")
def _compose_and_measure(config: DictConfig) -> None:
    try:
        print(report(config))
    except ValueError as error:
        raise SystemExit(f"bench: {error}") from error


def report(config: DictConfig) -> str:
    """Measure the configured model and return a table."""
    import torch

    from strhub import benchmark
    from strhub.recognizer import choose_device
    from strhub.training import model_from_config

    if config.threads:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    network = model_from_config(config).model.eval().to(device)
    images = torch.randn(config.batch_size, 3, *config.model.img_size, device=device)
    longest = config.model.max_label_length
    lines = [
        f"model          {config.model.name}, {config.batch_size} x {list(config.model.img_size)}, {device}, "
        f"{torch.get_num_threads()} threads",
        f"parameters     {benchmark.count_parameters(network) / 1e6:.2f} M",
        f"multiply-adds  {benchmark.count_multiply_adds(network, images, longest) / 1e9:.3f} G",
        f"activations    {benchmark.count_activations(network, images, longest) / 1e6:.2f} M",
    ]
    for length in range(1, longest + 1) if config.get("range") else [longest]:
        with torch.inference_mode():
            latency = benchmark.time_calls(
                partial(network, images, length),
                repeats=config.repeats,
                warm_up=config.warm_up,
                device=device,
            )
        lines.append(
            f"latency        {latency.median:.2f} ms for labels of {length} "
            f"(quartiles {latency.lower:.2f} to {latency.upper:.2f})"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure as the command line says; see `--help`."""
    try:
        _compose_and_measure()
    except KeyboardInterrupt:
        sys.exit("\nbench: stopped")
