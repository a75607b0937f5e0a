"""Parallel streams, for models that carry a state from batch to batch."""

from library.data import pipeline
from library.data.pipeline import Order


def streams() -> Order:
    """Reads parallel streams: each place of a batch continues with the next row at the next step.

    See `pipeline.stream_rows`.
    """
    return pipeline.stream_rows
