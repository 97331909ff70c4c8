"""Open images of any kind, bring them to a size, normalize and pad them: NumPy and Pillow only."""
