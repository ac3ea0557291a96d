"""What a file is fed while it is timed: a shape and values for each of its inputs."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mkd.edge.contents import Contents, Port, shape_text
from mkd.errors import UserError, meant

Shape = tuple[int, ...]
MOST_VALUES = 2**28
"""Values an input may have, a GiB in FP32."""
FEEDABLE = frozenset(
    ["float16", "float32", "float64", "bool"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


def parse(texts: Sequence[str]) -> dict[str, Shape]:
    """Shapes of the command line: ``1x3x288x512``, or ``NAME=1x3x288x512`` where there are several.

    Returns:
        Input → shape; one without a name stands under the empty name.

    Raises:
        UserError: A text is no shape, an input stands twice, or a shape is larger than
            :data:`MOST_VALUES`.
    """
    shapes: dict[str, Shape] = {}
    for text in texts:
        name, _, axes = text.rpartition("=")
        lengths = axes.lower().replace("×", "x").split("x")
        if not all(length.isascii() and length.isdigit() and int(length) for length in lengths):
            raise UserError(
                f"--shape {text} is no shape: write lengths of one or more with an x between, "
                "as in 1x3x288x512 or NAME=1x3x288x512"
            )
        shape = tuple(map(int, lengths))
        # Python's own product, which does not overflow.
        total = 1
        for length in shape:
            total *= length
        if total > MOST_VALUES:
            raise UserError(f"--shape {text} is {total} values: at most {MOST_VALUES} are taken")
        if name in shapes:
            raise UserError(f"--shape gives {name or 'the input'} twice: once is enough")
        shapes[name] = shape
    return shapes


def fix(contents: Contents, asked: Mapping[str, Shape], path: object) -> dict[str, Shape]:
    """The shape of every input.

    Args:
        contents: Of the file.
        asked: From :func:`parse`.
        path: Of the file, for the sentence.

    Raises:
        UserError: An input stays open, is asked for otherwise than the file fixes it, or holds
            what cannot be made up.
    """
    if not contents.inputs:
        raise UserError(f"{path} takes no input: there is nothing to time it on")
    has = f"{path} takes {', '.join(map(str, contents.inputs))}"
    names = [port.name for port in contents.inputs]
    named = {name: shape for name, shape in asked.items() if name}
    unknown = next((name for name in named if name not in names), None)
    if unknown is not None:
        raise UserError(f"{has}: --shape names '{unknown}'{meant(unknown, names)}")
    if "" in asked:
        free = [port for port in contents.inputs if port.name not in named]
        fitting = [port for port in free if len(free) == 1 or _fits(port, asked[""])]
        if len(fitting) != 1:
            example = f"{names[0]}={'x'.join(map(str, asked['']))}"
            raise UserError(f"{has}: name the one that is meant, as in --shape {example}")
        named[fitting[0].name] = asked[""]
    shapes: dict[str, Shape] = {}
    symbols: dict[str, int] = {}
    for port in contents.inputs:
        if port.type not in FEEDABLE:
            raise UserError(
                f"{has}: an input that is a tensor of floats, integers or booleans, of at most 64 "
                "bits, can be made up, and no other"
            )
        shape = named.get(port.name)
        if shape is None:
            if port.shape is None or not port.fixed:
                raise UserError(f"{has}: fix its open axes with --shape {_example(contents, port)}")
            shape = tuple(int(axis) for axis in port.shape)
        elif not _fits(port, shape):
            advice = (
                "export it at that shape"
                if port.fixed
                else f"only its open axes can be chosen, as in --shape {_example(contents, port)}"
            )
            raise UserError(f"{has} and --shape asks for {shape_text(shape)}: {advice}")
        for axis, length in zip(port.shape or (), shape, strict=False):
            if isinstance(axis, str) and axis != "?" and symbols.setdefault(axis, length) != length:
                raise UserError(
                    f"{has}: its axes named '{axis}' are one length, and --shape gives "
                    f"{symbols[axis]} and {length}"
                )
        shapes[port.name] = shape
    return shapes


def image_shape(shapes: Mapping[str, Shape]) -> Shape:
    """The shape that a file is known by: of its first input with four axes, or of its first."""
    return next((s for s in shapes.values() if len(s) == 4), next(iter(shapes.values())))


def _fits(port: Port, shape: Shape) -> bool:
    if port.shape is None:
        return True
    return len(port.shape) == len(shape) and all(
        isinstance(axis, str) or axis == length
        for axis, length in zip(port.shape, shape, strict=True)
    )


def _example(contents: Contents, port: Port) -> str:
    """What to write for an input; of an image the axes behind the channels are its sides."""
    axes = port.shape if port.shape is not None else (1, 3, "?", "?")
    lengths = [
        str(axis if isinstance(axis, int) else 640 if len(axes) == 4 and at > 1 else 1)
        for at, axis in enumerate(axes)
    ]
    return f"{port.name}=" * (len(contents.inputs) > 1) + "x".join(lengths)


def values(contents: Contents, shapes: Mapping[str, Shape]) -> dict[str, NDArray]:
    """Made-up values: seeded noise between 0 and 1 for an image, ones for anything else.

    Raises:
        UserError: They do not fit into memory.
    """
    random = np.random.default_rng(0)
    made: dict[str, NDArray] = {}
    try:
        for port in contents.inputs:
            shape, kind = shapes[port.name], np.dtype(port.type)
            if kind.kind == "f" and len(shape) == 4:
                made[port.name] = random.random(shape, np.float32).astype(kind)
            else:
                # A zero may be divided by.
                made[port.name] = np.ones(shape, kind)
    except MemoryError as error:
        raise UserError("there is no memory for inputs of that --shape: choose less") from error
    return made
