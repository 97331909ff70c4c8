#!/usr/bin/env python3
"""See `./export.py --help`."""

from strhub.cli.export import main

if __name__ == "__main__":
    main()
