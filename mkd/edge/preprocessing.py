"""From a camera's frame to a detector's input, with NumPy alone.

The geometry is that of mmdet's test pipeline: scaled to fit, aspect kept, padded with 114 on the
right and below. Scaling is bilinear with half-pixel centers and without antialiasing, as OpenCV's.
"""

import numpy as np
from numpy.typing import NDArray

from mkd.edge.metadata import Card

PAD = 114


def prepare(frame: NDArray[np.uint8], card: Card) -> NDArray[np.float32]:
    """A detector's input.

    Args:
        frame: H×W×3 pixels, channels B, G, R.
        card: Of the exported file: input size, mean, std, channel order.

    Returns:
        1×3×S×S with S the card's ``input_px``.
    """
    fitted = resize(frame, scale_to_fit(frame.shape[:2], card.input_px))
    canvas = np.full((card.input_px, card.input_px, 3), PAD, np.float32)
    canvas[: fitted.shape[0], : fitted.shape[1]] = fitted
    if card.rgb:
        canvas = canvas[:, :, ::-1]
    mean, std = np.array(card.mean, np.float32), np.array(card.std, np.float32)
    canvas -= mean
    canvas /= std
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])


def scale_to_fit(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width of a frame of ``size`` scaled to fit a square of that side, rounded."""
    factor = side / max(size)
    return min(side, int(size[0] * factor + 0.5)), min(side, int(size[1] * factor + 0.5))


def resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear scaling of H×W×C pixels to ``size``, rounded to whole pixel values."""
    if frame.shape[:2] == size:
        return frame.astype(np.float32)
    pixels = frame.astype(np.float32)
    for axis, length in enumerate(size):
        low, high, weight = _taps(frame.shape[axis], length)
        weight = weight.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        below = pixels.take(low, axis)
        pixels = below + (pixels.take(high, axis) - below) * weight
    return np.rint(pixels)


def _taps(source: int, length: int) -> tuple[NDArray[np.intp], ...]:
    """For each of ``length`` outputs its two neighbors in the source and the second's weight."""
    at = ((np.arange(length) + 0.5) * (source / length) - 0.5).clip(0, source - 1)
    low = at.astype(np.intp)
    return low, np.minimum(low + 1, source - 1), (at - low).astype(np.float32)
