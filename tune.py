#!/usr/bin/env python3
"""See `./tune.py --help`."""

from strhub.cli.tune import main

if __name__ == "__main__":
    main()
