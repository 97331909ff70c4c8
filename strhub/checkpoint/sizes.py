"""Whether weights fit a network: names, shapes and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from strhub.checkpoint.fitting import differences, mismatch_table
from strhub.checkpoint.formats import (
    CheckpointError,
)
from strhub.checkpoint.released import RELEASED_FILES as RELEASED_FILES
from strhub.checkpoint.scene_text_model import (
    build_network,
    complete_options,
)
from strhub.weights import EMBEDDED as EMBEDDED

# parameters that a file may lack, such as those of a new part
_SPARE_NUMBERS = 20_000_000

STATISTICS = (
    "running_mean",
    "running_var",
    "num_batches_tracked",
)  # of norms: in the file, but not learned


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a network; `CheckpointError` lists what is missing, left over or of another
    shape.
    """
    _refuse(differences(network, weights), source)
    network.load_state_dict(weights)


def check_sizes(
    hparams: Mapping[str, Any], weights: Mapping[str, Tensor], source: str, *, whole: bool = True
) -> None:
    """Hold weights against what a network of these hyper-parameters would have, before memory is
    taken for one.

    whole: every parameter must be there and fit; else those that are there must, and make up most
        of it.
    Raises `CheckpointError` with a table of what does not fit, or saying why there can be no such
    network.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            network: nn.Module = build_network(complete_options(hparams))
    except ImportError:  # of a package that this architecture needs
        raise
    except Exception as error:  # from sizes that do not match, in whatever layer they meet
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{source}: no {hparams['architecture']} can be made of its hyper-parameters: {reason}"
        ) from error
    problems = differences(network, weights)
    if not whole:
        problems = [problem for problem in problems if "nothing" not in problem[1:]]
        numbers = [
            sum(tensor.numel() for tensor in tensors.values())
            for tensors in (network.state_dict(), weights)
        ]
        if numbers[0] > 2 * numbers[1] + _SPARE_NUMBERS:
            problems.append(("all of them", f"{numbers[1]} numbers", f"{numbers[0]} numbers"))
    _refuse(problems, source)


def _refuse(problems: Sequence[tuple[str, str, str]], source: str) -> None:
    if problems:
        raise CheckpointError(
            f"the weights of {source} do not fit the model:\n{mismatch_table(problems)}\n"
            "To start training another model from them: ./train.py pretrained=<id or path>"
        )
