"""Hydra's configuration tree. It lies inside the package so that a wheel and a checkout are the
same.
"""

from pathlib import Path

CONFIG_DIR = Path(__file__).parent
