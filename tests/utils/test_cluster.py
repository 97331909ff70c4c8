"""What Ray's own troubles become; without Ray."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from strhub.utils.cluster import ray_session


def failing(error: Exception) -> Any:
    def init(**options: Any) -> None:
        raise error

    return SimpleNamespace(is_initialized=lambda: False, init=init)


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        (
            None,
            Exception("The node timed out"),
            "Ray could not be started or joined on this machine: The node timed out",
        ),
        (
            "ray://head:80",
            RuntimeError("other version"),
            "started or joined on ray://head:80: other version",
        ),
        ("head", ConnectionError("nobody"), "tune.address: there is no Ray cluster at head"),
    ],
)
def test_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, address: str | None, error: Exception, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", failing(error))
    monkeypatch.setattr(
        "socket.create_connection", lambda *_, **__: SimpleNamespace(close=lambda: None)
    )
    with pytest.raises(ValueError, match=message), ray_session(address, option="tune.address"):
        pass
