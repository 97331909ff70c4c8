"""The spline that straightens images: exact to single precision, and made of a file's own
matrices.
"""

import pytest
import torch

from strhub.models.layers.spatial_transformer import GridGenerator

pytestmark = pytest.mark.numeric


def generator() -> GridGenerator:
    return GridGenerator(num_fiducial=20, img_size=(8, 32))


def test_places_are_exact_although_the_coefficients_cancel() -> None:
    grid = generator()
    points = torch.randn(3, 20, 2, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(points.double(), (0, 0, 0, 3))
    exact = (grid.P_hat.double() @ (grid.inv_delta_C.double() @ padded)).unflatten(1, (8, 32))
    assert grid.inv_delta_C.abs().max() * grid.P_hat.abs().max() > 10, (
        "nothing cancels: this shows nothing"
    )
    torch.testing.assert_close(grid(points).double(), exact, rtol=0, atol=3e-6)
    single = (grid.P_hat @ (grid.inv_delta_C @ padded.float())).unflatten(1, (8, 32))
    assert (single - exact).abs().max() > 3 * (grid(points) - exact).abs().max()


def test_points_on_the_edges_leave_the_image_as_it_is() -> None:
    grid = generator()
    across = torch.linspace(-1, 1, 10)
    points = torch.cat(
        [torch.stack([across, torch.full_like(across, side)], 1) for side in (-1.0, 1.0)]
    )
    positions = grid(points[None])[0]  # (8, 32, 2)
    torch.testing.assert_close(
        positions[0, :, 0], (2 * torch.arange(32) + 1) / 32 - 1, rtol=0, atol=1e-4
    )
    torch.testing.assert_close(
        positions[:, 0, 1], (2 * torch.arange(8) + 1) / 8 - 1, rtol=0, atol=1e-4
    )


def test_a_files_own_matrices_are_used() -> None:
    grid, points = generator(), torch.rand(1, 20, 2)
    state = grid.state_dict()
    assert set(state) == {"inv_delta_C", "P_hat"}, "the published names and no others"
    before = grid(points)
    grid.load_state_dict({"inv_delta_C": state["inv_delta_C"], "P_hat": 2 * state["P_hat"]})
    torch.testing.assert_close(grid(points), 2 * before)
