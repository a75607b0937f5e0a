"""Checks of clips that networks for video share."""

from jaxtyping import Array, Float


def check_clip(network: str, clip: Float[Array, "*clip"], frames: int, side: int) -> None:
    """Checks that clips are so long and so large that no feature map of a network is empty.

    Args:
      network: what the message calls the network.
      clip: clips.
      frames: fewest frames that the network takes.
      side: smallest height and width that the network takes.

    Raises:
      ValueError: the input is no clip, or is too short or too small.
    """
    if clip.ndim != 5:
        raise ValueError(f"{network} takes clips (b, t, h, w, c), got shape {clip.shape}")
    length, height, width = clip.shape[1:4]
    if length < frames or min(height, width) < side:
        raise ValueError(
            f"{network} takes clips of {frames} frames of {side}x{side} or larger, not {length} "
            f"frames of {height}x{width}; nearest: {max(length, frames)} frames of "
            f"{max(height, side)}x{max(width, side)}"
        )
