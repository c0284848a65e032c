"""A writer is always somewhere between two steps of a reader."""


class MovedOn(Exception):
    """What was read is of no state any more, or of another model's: it is read again."""
