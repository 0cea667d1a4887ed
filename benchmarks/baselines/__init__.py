"""The other side of the comparisons: each file is a program of its own, as good as we could write it."""
