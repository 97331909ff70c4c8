"""A thin-plate-spline spatial transformer: straightens curved and tilted text.

Shi et al. 2016, "Robust Scene Text Recognition with Automatic Rectification" (RARE), section 3.1;
the spline is Bookstein's of 1989. Images are in coordinates from -1 (left, top) to 1 (right,
bottom), x before y. The parameters are named as in the published recognizers.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LocalizationNetwork(nn.Module):
    """Where the text's fiducial points lie in the image (section 3.1.1): half along its upper edge,
    half below.

    channels: of the last convolution, a multiple of 8; the first layers have fractions of it.
    """

    def __init__(self, *, num_fiducial: int, channels: int) -> None:
        super().__init__()
        widths = (3, channels // 8, channels // 4, channels // 2, channels)
        layers: list[nn.Module] = []
        for source, target in pairwise(widths):
            layers += [
                nn.Conv2d(source, target, 3, padding=1, bias=False),
                nn.BatchNorm2d(target),
                nn.ReLU(),
            ]
            layers += [nn.MaxPool2d(2)]
        self.conv = nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1))
        self.localization_fc1 = nn.Sequential(nn.Linear(channels, channels // 2), nn.ReLU())
        self.localization_fc2 = nn.Linear(channels // 2, 2 * num_fiducial)
        self._start_from(_slanted_edges(num_fiducial))

    def _start_from(self, points: Tensor) -> None:
        """Predict these points (F, 2) whatever the image shows, until training changes it."""
        nn.init.zeros_(self.localization_fc2.weight)
        with torch.no_grad():
            self.localization_fc2.bias.copy_(points.flatten())

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to points (B, F, 2)."""
        features = self.conv(images).flatten(1)  # (B, channels, 1, 1) -> (B, channels)
        return self.localization_fc2(self.localization_fc1(features)).unflatten(1, (-1, 2))


class GridGenerator(nn.Module):
    """The spline that takes the straight image's edges to the fiducial points (section 3.1.2).

    It is linear in the points, so all that depends on the image's size alone is kept:
    `inv_delta_C`, from points to the spline's coefficients, and `P_hat`, from coefficients to where
    each pixel comes from. H * W pixels, F points.

    The coefficients are large and cancel: in single precision, pixels would be misplaced by 2e-5,
    differently by every library. So both are multiplied first, in double precision, to `influence`:
    weights that add up to 1 for each pixel.
    """

    inv_delta_C: Tensor  # noqa: N815 (published name)  (F + 3, F + 3)
    P_hat: Tensor  # (H * W, F + 3)
    influence: Tensor  # of each point on each pixel, (H * W, F)

    def __init__(self, *, num_fiducial: int, img_size: tuple[int, int]) -> None:
        super().__init__()
        self.img_size = img_size
        straight = _straight_edges(num_fiducial)
        self.register_buffer("inv_delta_C", torch.linalg.inv(_spline_system(straight)).float())
        self.register_buffer("P_hat", _spline_basis(_pixel_centers(img_size), straight).float())
        self.register_buffer("influence", self._multiplied(), persistent=False)
        self.register_load_state_dict_post_hook(_multiply_again)  # type: ignore[no-untyped-call]

    def forward(self, points: Tensor) -> Tensor:
        """Map fiducial points (B, F, 2) to the position in the image of each rectified pixel, (B,
        H, W, 2).
        """
        return (self.influence @ points).unflatten(
            1, self.img_size
        )  # (B, H * W, 2) -> (B, H, W, 2)

    def _multiplied(self) -> Tensor:
        """Multiply on the CPU, since not every device has double precision."""
        if self.P_hat.is_meta:  # a network without numbers, of which only the shapes are asked
            return self.P_hat.new_empty(len(self.P_hat), len(self.inv_delta_C) - 3)
        spline, pixels = self.inv_delta_C.cpu().double(), self.P_hat.cpu().double()
        return (pixels @ spline)[:, :-3].float()  # the spline's side conditions are that it meets 0


def _multiply_again(generator: GridGenerator, _: object) -> None:
    """Multiply the matrices again after a file of weights has brought its own."""
    generator.influence.copy_(generator._multiplied())


class SpatialTransformer(nn.Module):
    """Find the text's edges and sample an image in which they are straight (RARE's Figure 2).

    num_fiducial: points on both edges together, even; img_size: height and width in pixels, in and
        out;
    localization_channel: of the network that finds them, a multiple of 8.
    """

    def __init__(
        self, *, num_fiducial: int, img_size: tuple[int, int], localization_channel: int
    ) -> None:
        super().__init__()
        if num_fiducial % 2 or num_fiducial < 4:
            raise ValueError(
                f"num_fiducial is {num_fiducial}: it must be even, at least 4, half for each edge"
            )
        self.LocalizationNetwork = LocalizationNetwork(
            num_fiducial=num_fiducial, channels=localization_channel
        )
        self.GridGenerator = GridGenerator(num_fiducial=num_fiducial, img_size=img_size)

    def forward(self, images: Tensor) -> Tensor:
        """Rectify images (B, 3, H, W)."""
        points = self.LocalizationNetwork(images)
        with torch.autocast(images.device.type, enabled=False):  # 16 bits would misplace pixels
            grid = self.GridGenerator(points.float()).to(images.dtype)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=True)


def _straight_edges(num_fiducial: int) -> Tensor:
    """Return points evenly along the top, left to right, then along the bottom, (F, 2)."""
    across = torch.linspace(-1, 1, num_fiducial // 2, dtype=torch.float64)
    top, bottom = (
        torch.stack([across, -torch.ones_like(across)], 1),
        torch.stack([across, torch.ones_like(across)], 1),
    )
    return torch.cat([top, bottom])


def _slanted_edges(num_fiducial: int) -> Tensor:
    """Return the same of a band that rises by half the image's height, where training begins
    (RARE's Figure 6 a).
    """
    straight = _straight_edges(num_fiducial)
    across, down = straight.unbind(1)
    return torch.stack([across, (down - across) / 2], dim=1)


def _pixel_centers(img_size: tuple[int, int]) -> Tensor:
    """Return the centers of the pixels (H * W, 2), row by row."""
    height, width = img_size
    down, across = (
        ((2 * torch.arange(side, dtype=torch.float64) + 1) / side - 1) for side in (height, width)
    )
    return torch.cartesian_prod(down, across).flip(1)


def _bending(distance: Tensor) -> Tensor:
    """Return the spline's radial function, r^2 ln r, 0 at 0."""
    return distance.square() * distance.clamp_min(1e-12).log()


def _spline_basis(positions: Tensor, centers: Tensor) -> Tensor:
    """Map positions (N, 2) to the weights of the spline's coefficients there, (N, F + 3): 1, x, y
    and bending about each.
    """
    return torch.cat(
        [torch.ones(len(positions), 1), positions, _bending(torch.cdist(positions, centers))], dim=1
    )


def _spline_system(centers: Tensor) -> Tensor:
    """Return the matrix Delta_C (equation 3), (F + 3, F + 3): the basis at the centers, and side
    conditions below it.
    """
    basis = _spline_basis(centers, centers)
    conditions = torch.cat([centers.new_zeros(3, 3), basis[:, [1, 2, 0]].T], dim=1)
    return torch.cat([basis, conditions])
