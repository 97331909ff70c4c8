"""`python -m strhub.data <command>`, the same as `strhub-data <command>`."""

from importlib import import_module

if __name__ == "__main__":
    import_module("strhub.cli.data").main()
