"""Numbers for Prometheus: requests, images, batches, queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

__all__ = ["TEXT_TYPE", "Metrics"]

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The counters of one service."""

    def __init__(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Waiting(waiting))
        self._requests = Counter(
            "strhub_requests", "Requests answered.", ("path", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "strhub_request_seconds",
            "Of a request, from its headers to the end of its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._images = Counter(
            "strhub_images", "Images read, or not.", ("kind", "outcome"), registry=self.registry
        )
        self._words = Counter("strhub_words", "Words read.", ("kind",), registry=self.registry)
        self._batches = Histogram(
            "strhub_batch_images",
            "Images that were read together.",
            ("kind",),
            buckets=_SIZES,
            registry=self.registry,
        )
        self._waited = Histogram(
            "strhub_queue_seconds",
            "That the first image of a batch waited.",
            ("kind",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "strhub_batch_seconds",
            "That a batch took to be read.",
            ("kind",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.active = Gauge(
            "strhub_active_requests", "Requests being worked on.", registry=self.registry
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request. path: one of the service's, or `other`."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, kind: str, size: int, waited: float, seconds: float) -> None:
        """Count a batch; see `strhub.serving.batching.Observer`."""
        self._batches.labels(kind).observe(size)
        self._waited.labels(kind).observe(waited)
        self._batch_seconds.labels(kind).observe(seconds)

    def images(self, kind: str, *, read: int, failed: int, words: int) -> None:
        """Count images that were read, that could not be, and the words in them."""
        self._images.labels(kind, "read").inc(read)
        self._images.labels(kind, "failed").inc(failed)
        self._words.labels(kind).inc(words)

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self.registry)


class _Waiting(Collector):
    """How many images wait, asked for when it is looked at."""

    def __init__(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        self._counts = waiting

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "strhub_waiting_images", "Images that wait to be read.", labels=("kind",)
        )
        for kind, count in self._counts().items():
            family.add_metric((kind,), count)
        yield family
