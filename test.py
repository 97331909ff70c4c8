#!/usr/bin/env python3
"""See `./test.py --help`."""

from strhub.cli.test import main

if __name__ == "__main__":
    main()
