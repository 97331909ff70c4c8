"""What the networks share that shrink an image to one row of columns by convolutions."""

from torch import Tensor, nn

MINIMUM_HEIGHT = 32  # pixels: less leaves no row of features


def initialize_convolutions(network: nn.Module) -> None:
    """Initialize weights that keep the size of gradients through ReLUs (He et al. 2015, section
    2.2).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_height(height: int) -> None:
    """Raise `ValueError` for images that would lose all their rows."""
    if height < MINIMUM_HEIGHT:
        raise ValueError(
            f"images are {height} pixels high: this architecture needs at least {MINIMUM_HEIGHT}"
        )


def check_image_size(images: Tensor, img_size: tuple[int, int]) -> None:
    """Raise `ValueError` for images that are not (B, 3, *img_size)."""
    if tuple(images.shape[1:]) != (3, *img_size):
        raise ValueError(
            f"the model takes images of shape (B, 3, {img_size[0]}, {img_size[1]}), "
            f"not {tuple(images.shape)}: use get_transform(model.hparams.img_size)"
        )
