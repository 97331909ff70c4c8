"""Attention in half precision on a CPU: by which operators, and that it is the same."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from strhub.models.layers.attention import attend_all
from strhub.models.layers.vision_transformer import SelfAttention

pytestmark = pytest.mark.numeric


def heads(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Return query, key and value, (2, 3, 20, 16) each, of which gradients are asked for."""
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 20, 16, generator=rng).to(dtype).requires_grad_() for _ in range(3)]


def test_products_give_the_kernel_s_attention_and_its_gradients() -> None:
    found: dict[Any, list[Tensor]] = {}
    for name, dtype, attend in (
        ("exact", torch.float32, F.scaled_dot_product_attention),
        ("kernel", torch.bfloat16, F.scaled_dot_product_attention),
        ("products", torch.bfloat16, attend_all),
    ):
        parts = heads(torch.bfloat16)
        mixed = attend(*(part.to(dtype) for part in parts))
        assert mixed.dtype == dtype
        mixed.float().square().sum().backward()
        found[name] = [
            mixed.float(),
            *(part.grad.float() for part in parts if part.grad is not None),
        ]
    assert len(found["products"]) == 4
    for exact, kernel, products in zip(*found.values(), strict=True):
        allowed = 2 * (kernel - exact).abs().max() + 0.01 * exact.abs().max()
        assert (products - exact).abs().max() < allowed


@pytest.mark.parametrize(
    ("dtype", "grad", "products"),
    [
        (torch.float32, True, False),
        (torch.bfloat16, True, True),
        (torch.float16, True, True),
        (torch.bfloat16, False, False),
    ],
)
def test_products_stand_in_only_where_the_kernel_is_slow(
    dtype: torch.dtype, grad: bool, products: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def kernel(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        calls.append(query.dtype)
        return value

    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    with torch.set_grad_enabled(grad):
        attend_all(*heads(dtype))
    assert bool(calls) is not products


def test_an_encoder_trained_in_mixed_precision_takes_the_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kernel(*args: Any, **options: Any) -> Tensor:
        raise AssertionError("the kernel is slow here")

    torch.manual_seed(0)
    layer, tokens = SelfAttention(embed_dim=48, num_heads=3), torch.randn(2, 10, 48)
    exact = layer(tokens)
    exact.square().sum().backward()
    gradient = layer.qkv.weight.grad
    assert gradient is not None
    layer.zero_grad()
    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(tokens)
    mixed.float().square().sum().backward()
    assert layer.qkv.weight.grad is not None
    torch.testing.assert_close(mixed.float(), exact, rtol=0.05, atol=0.02)
    close = F.cosine_similarity(layer.qkv.weight.grad.flatten(), gradient.flatten(), dim=0)
    assert close > 0.999
