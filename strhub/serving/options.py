"""The options of the service, in one place: their defaults, what they mean, and their command
line.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final

from strhub.errors import ConfigError
from strhub.images.limits import MAX_PIXELS
from strhub.inference.batches import available_processors
from strhub.inference.recognizer import EMBEDDED

__all__ = ["KEY_VARIABLE", "ServeOptions"]

KEY_VARIABLE: Final = "STRHUB_API_KEY"  # of the environment

_MIB = 1 << 20


def _option(default: Any, text: str, **more: Any) -> Any:
    """Return a field with what its argument needs: a help text, the smallest value, and
    `metavar`.
    """
    return field(default=default, metadata={"help": text, **more})


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How the service reads, and how much it takes upon itself.

    Every limit has a status that says so: 413 for bodies, 422 for pixels and numbers of images, 408
    for slow bodies, 429 for a full queue, 503 for what takes too long or comes on top of too much.

    Raises:
        ConfigError: for a number that is out of range.
    """

    models: tuple[str, ...] = (EMBEDDED,)
    device: str | None = None
    threads: int | None = _option(
        None, "CPU threads to use; by default as many as there are cores", least=1
    )
    wait_ms: float = _option(
        4.0,
        "longest time, in milliseconds, that an image waits for others to form a batch",
        least=0,
    )
    batch_size: int = _option(32, "largest number of images in a batch", least=1)
    max_mib: int = _option(32, "largest body of a request, in MiB [413]", least=1)
    max_pixels: int = _option(40_000_000, "largest image, in pixels [422]", least=1)
    max_images: int = _option(64, "most word images in a request [422]", least=1)
    max_photos: int = _option(8, "most photographs in a request [422]", least=1)
    max_queue: int = _option(
        512, "most word images that wait in the queue; photographs: an eighth of it [429]", least=1
    )
    max_requests: int = _option(256, "most requests handled at the same time [503]", least=1)
    max_connections: int = _option(1024, "most connections open at the same time", least=1)
    max_held_mib: int = _option(512, "memory for the bodies of all requests, in MiB [503]", least=1)
    timeout: float = _option(
        30.0, "seconds to answer a request once its body has arrived [503]", least=0.1
    )
    body_timeout: float = _option(20.0, "seconds for a request's body to arrive [408]", least=0.1)
    header_timeout: float = _option(10.0, "seconds for a request's headers to arrive", least=0.1)
    drain_timeout: float = _option(
        30.0, "seconds to finish pending requests when the service is stopped", least=0
    )
    allow_urls: bool = False
    cors_origins: tuple[str, ...] = ()
    keys: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        if not self.models:
            raise ConfigError("there is no model to serve: name at least one")
        for one in fields(self):
            value, least = getattr(self, one.name), one.metadata.get("least")
            if least is not None and value is not None and not value >= least:
                raise ConfigError(f"{one.name} is {value}: it must be at least {least}")
        if self.max_pixels > MAX_PIXELS:
            raise ConfigError(
                f"max_pixels is {self.max_pixels}: no image over {MAX_PIXELS} is read anyway"
            )
        if self.max_images > self.max_queue or self.max_photos > self.max_queued_photos:
            raise ConfigError(
                f"max_queue is {self.max_queue}: it must hold the images of one request, "
                f"{self.max_images}, and an eighth of it its photographs, {self.max_photos}"
            )
        if any(not key.isascii() or not key.strip() for key in self.keys):
            raise ConfigError("an API key must be a text of ASCII characters, and not empty")

    @property
    def max_bytes(self) -> int:
        """Return the largest body, in bytes."""
        return self.max_mib * _MIB

    @property
    def max_held_bytes(self) -> int:
        """Return how many bytes all bodies may have together."""
        return max(self.max_held_mib * _MIB, self.max_bytes)

    @property
    def max_queued_photos(self) -> int:
        """Return how many photographs may wait."""
        return max(1, self.max_queue // 8)

    @property
    def processors(self) -> int:
        """Return how many processors are computed with."""
        return self.threads or available_processors()
