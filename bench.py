#!/usr/bin/env python3
"""See `./bench.py --help`."""

from strhub.cli.bench import main

if __name__ == "__main__":
    main()
