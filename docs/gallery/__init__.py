"""Writes `docs/gallery.md`: the examples run, with pictures of their answers and dataflows, and how long they are.

Here lives what only the page needs. Nothing of the product imports it.
"""
