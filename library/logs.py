"""Messages of libraries that say nothing to a user."""

from typing import Any

from absl import logging


def hide_orbax() -> None:
    """Hides Orbax's warnings of its own actions, such as opening a checkpoint to read it."""
    logging.get_absl_logger().addFilter(_is_not_of_orbax)


def _is_not_of_orbax(record: Any) -> bool:
    return "orbax" not in record.pathname
