"""Look through, filter, merge, split and write data sets."""
