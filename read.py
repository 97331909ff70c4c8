#!/usr/bin/env python3
"""See `./read.py --help`."""

from strhub.cli.entry import start

if __name__ == "__main__":
    start("read")
