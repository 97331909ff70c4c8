#!/usr/bin/env python3
"""See `./train.py --help`."""

from strhub.cli.train import main

if __name__ == "__main__":
    main()
