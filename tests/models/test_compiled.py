"""Training with a compiled network computes the same numbers."""

import pytest
import torch
from small_runs import Compose

from strhub.training.run import model_from_config
from strhub.training.systems.parseq import PARSeq


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning"
)  # the compiler's own
def test_compiled_losses_and_gradients_are_the_plain_ones(compose_main: Compose) -> None:
    """Labels of several lengths: the second compiles for any length, further ones compile
    nothing.
    """
    config = compose_main("charset=36_lowercase", "model.dropout=0")
    plain, compiled = (model_from_config(config) for _ in range(2))
    assert isinstance(plain, PARSeq)
    compiled.load_state_dict(plain.state_dict())
    compiled.compile_network()
    assert list(compiled.state_dict()) == list(plain.state_dict())
    images = torch.randn(4, 3, 32, 128, generator=torch.Generator().manual_seed(0))
    for length in (5, 7, 9):
        losses = [model.training_loss(images, ["a" * length] * 4) for model in (plain, compiled)]
        for loss in losses:
            loss.backward()
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6)
