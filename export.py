#!/usr/bin/env python3
"""See `./export.py --help`."""

from strhub.cli.entry import start

if __name__ == "__main__":
    start("export")
