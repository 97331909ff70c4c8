"""Ray, on this machine or in a cluster: for `strhub.training.tuning` and `strhub.bulk`."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from strhub.utils.telemetry import switch_off_telemetry

__all__ = ["ray_session"]


@contextmanager
def ray_session(address: str | None, *, option: str) -> Iterator[Mapping[str, float]]:
    """Provide Ray's resources, amounts by name, in a session that ends with the context unless the
    caller already has one.

    address: of a cluster; None starts Ray on this machine. option: what the caller calls the
        address.

    Raises:
        ValueError: if there is no cluster at the address, or Ray cannot be started.
    """
    switch_off_telemetry()
    import ray

    if ray.is_initialized():
        yield ray.cluster_resources()
        return
    own = {} if address else {"include_dashboard": False}
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():  # Ray itself would retry for many minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.WARNING, **own
        )
    except OSError as error:
        raise ValueError(f"{option}: there is no Ray cluster at {address}") from error
    except Exception as error:
        # Ray has no class for it: on a busy machine it gives up after a while
        where = address or "this machine"
        raise ValueError(f"Ray could not be started or joined on {where}: {error}") from error
    try:
        yield ray.cluster_resources()
    finally:
        ray.shutdown()
