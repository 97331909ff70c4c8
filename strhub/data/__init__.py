"""Data sets, drawn words and their loading."""
