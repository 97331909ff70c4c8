"""What the package weighs: an index takes larger wheels, people on slow lines do not."""

import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST = 16 << 20  # bytes


def test_the_wheel_stays_under_16_mib() -> None:
    """By its files, compressed as a wheel compresses them; its index is a few kilobytes besides."""
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = [*settings["tool"]["setuptools"]["package-data"]["strhub"], "**/*.py"]
    files = {
        path.resolve()
        for pattern in patterns
        for path in (ROOT / "strhub").glob(pattern)
        if path.is_file()
    }
    sizes = {path: len(zlib.compress(path.read_bytes(), 6)) for path in files}
    heaviest = sorted(sizes, key=lambda path: -sizes[path])[:5]
    reported = ", ".join(f"{path.name} {sizes[path] / 2**20:.2f}" for path in heaviest)
    assert sum(sizes.values()) < MOST - (256 << 10), (
        f"{sum(sizes.values()) / 2**20:.2f} MiB: {reported}"
    )
