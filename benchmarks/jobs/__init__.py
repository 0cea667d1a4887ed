"""Our side of the comparisons: job files that `limnad run` runs as they are."""
