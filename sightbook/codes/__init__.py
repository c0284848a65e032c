"""Codes: packed on disk, scored through look-up tables, searched exactly and fast. Knows nothing of pictures.

`oracle` is the truth, `engine` is the same answer thousands of times faster.
"""
