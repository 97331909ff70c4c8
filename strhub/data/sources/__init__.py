"""Where words and their labels come from: LMDB, folders, tar shards, rendered words, mixtures."""
