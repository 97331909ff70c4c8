#!/usr/bin/env python3
"""See `./read.py --help`."""

from strhub.cli.read import main

if __name__ == "__main__":
    main()
