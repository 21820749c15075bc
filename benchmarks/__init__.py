"""Ours and its peers, measured side by side in one run: ``python -m benchmarks --help``.

What belongs here: ways of doing the same work, and the measuring. What does not: tests, and any limit that a slow
machine could break; figures are read by people, and ratios of one run are what counts.
"""
