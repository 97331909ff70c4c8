"""The command lines: parse or compose, call strhub, print. No logic of their own."""
