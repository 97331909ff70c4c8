"""Read whole photographs: find lines of text, read their words, put them in order, show and write
them.
"""
