"""The detections picture: ground truth and each detector on the same photographs."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from mkd.report.markup import tag

WORDS = {"hit": "found", "false": "false", "miss": "missed"}
OPEN = 2
"""Images of the rule that are shown; the others are behind a fold."""


def detections(qualitative: Mapping[str, Any]) -> Markup:
    """Photographs with their boxes, one row an image, one column a detector.

    Each photograph is embedded once and used by every column; boxes stay vectors with the
    category and score beside them. First come images of a rule that knows no outcome, then those
    where two detectors differ most; the rest of both is behind a fold.

    Args:
        qualitative: What :func:`mkd.evaluation.examples.make` wrote.
    """
    images, other = qualitative["images"], qualitative.get("differing") or {"images": []}
    differing = other["images"]
    shown = _rows(images[:OPEN], 0, "Detections")
    if differing:
        words = f"Not chosen blindly: {other['rule']}."
        shown += tag("p", escape(words), class_="small") + _rows(
            differing[:1], len(images), "Detections that differ most"
        )
    more = Markup("")
    if images[OPEN:]:
        more += tag("p", "Chosen by the rule, continued:", class_="small")
        more += _rows(images[OPEN:], OPEN, "More detections")
    if differing[1:]:
        more += tag("p", "Where they differ most, continued:", class_="small")
        more += _rows(differing[1:], len(images) + 1, "More detections that differ most")
    if more:
        count = len(images[OPEN:]) + len(differing[1:])
        more = tag("details", tag("summary", f"{count} more images") + more)
    return photographs([*images, *differing], "photo") + _legend() + shown + more


def _rows(images: Sequence[Mapping[str, Any]], first: int, name: str) -> Markup:
    """Rows of tiles; ``first`` is the number of the first photograph."""
    tiles = []
    for at, image in enumerate(images, start=first):
        tiles.append(_tile(at, image, "ground truth", {"truth": image["truth"]}))
        tiles += [_tile(at, image, name, judged) for name, judged in image["found"].items()]
    columns = 1 + max((len(i["found"]) for i in images), default=0)
    return grid(tiles, columns, name)


def photographs(images: Sequence[Mapping[str, Any]], name: str) -> Markup:
    """The photographs, for ``#<name>-0``, ``#<name>-1`` … to use."""
    placed = (
        tag(
            "image",
            id=f"{name}-{at}",
            href=image["photo"],
            width=image["width"],
            height=image["height"],
            preserveAspectRatio="none",
        )
        for at, image in enumerate(images)
    )
    inside = tag("defs", Markup("").join(placed))
    return tag("svg", inside, class_="hidden-defs", aria_hidden="true")


def grid(tiles: Sequence[Markup], columns: int, name: str) -> Markup:
    """Tiles row by row in a region that scrolls where it is narrow."""
    rows = tag("ol", Markup("").join(tiles), style=f"--columns:{columns}")
    return tag(
        "div", rows, class_="shots", role="region", tabindex=0, aria_label=f"{name}, scrollable"
    )


def _tile(
    at: int, image: Mapping[str, Any], name: str, kinds: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Markup:
    placed = [(kind, box) for kind, found in kinds.items() for box in found]
    boxes = Markup("").join(outline(kind, box, image) for kind, box in placed)
    # Of false detections often many lie on one object.
    boxes += names([(kind, box) for kind, box in placed if kind != "false"], image)
    truth = kinds.get("truth")
    counts = (
        f"{len(truth)} objects, {sum(b['small'] for b in truth)} small"
        if truth is not None
        else ", ".join(f"{len(kinds[kind])} {words}" for kind, words in WORDS.items())
    )
    picture = tag(
        "svg",
        tag("use", href=f"#photo-{at}") + boxes,
        viewBox=f"0 0 {image['width']} {image['height']}",
        role="img",
        aria_label=f"Image {image['id']}, {name}: {counts}",
    )
    return tag("li", picture + tag("strong", escape(name)) + tag("div", escape(counts)))


def outline(kind: str, box: Mapping[str, Any], image: Mapping[str, Any]) -> Markup:
    """A box of an image, a filled corner on a small one, its words as the title.

    Args:
        kind: ``truth``, or one of :data:`WORDS`.
        box: The box.
        image: Its image.
    """
    x, y, width, height = box["bbox"]
    place = {"x": x, "y": y, "width": width, "height": height}
    score = f", score {box['score']:.2f}" if "score" in box else ""
    words = f"{WORDS.get(kind, 'object')}: {box['category']}{score}{', small' * box['small']}"
    drawn = tag("rect", class_="halo", **place) + tag("rect", class_=f"box b-{kind}", **place)
    if box["small"]:
        side = min(_letter(image) * 0.6, width, height)
        corner = {"x": x + width - side, "y": y, "width": side, "height": side}
        drawn += tag("rect", class_=f"corner b-{kind}", **corner)
    return tag("g", tag("title", words) + drawn)


def names(placed: Sequence[tuple[str, Mapping[str, Any]]], image: Mapping[str, Any]) -> Markup:
    """Category and score at the boxes of an image, where no name before is covered.

    One that has no room is left out: the title of its box says the same.

    Args:
        placed: The kind of each box, as for :func:`outline`, and the box.
        image: Their image.
    """
    letter = _letter(image)
    taken: list[tuple[float, float, float]] = []
    drawn = Markup("")
    for kind, box in placed:
        said = f"{box['category']} {box['score']:.2f}" if "score" in box else box["category"]
        # A bold letter is about 0.6 times as wide as it is high.
        long = 0.62 * letter * len(said)
        if long > image["width"]:
            continue
        x, y, _, height = box["bbox"]
        left = max(0.0, min(x, image["width"] - long))
        # Above the box, below it, then inside.
        lines = (y - letter / 4, y + height + letter, y + letter, y + height - letter / 4)
        for line in lines:
            inside = letter <= line < image["height"]
            if inside and not any(
                abs(line - other) < letter and left < end and begin < left + long
                for begin, end, other in taken
            ):
                taken.append((left, left + long, line))
                look = f"font-size:{letter:.1f}px"
                drawn += tag(
                    "text", escape(said), class_=f"name b-{kind}", style=look, x=left, y=line
                )
                break
    return drawn


def _letter(image: Mapping[str, Any]) -> float:
    """Height of a name's letters."""
    return float(max(image["width"], image["height"]) / 26)


def _legend() -> Markup:
    entries = [
        ("truth", "ground truth"),
        ("hit", "found (IoU ≥ 0.5, right class)"),
        ("false", "false detection"),
        ("miss", "missed object"),
        ("small", "small object: filled corner"),
    ]
    place: dict[str, Any] = {"x": -9, "y": -5, "width": 18, "height": 10}
    items = []
    for kind, words in entries:
        key = tag("rect", class_="halo", **place)
        if kind == "small":
            key += tag("rect", class_="box b-truth", **place)
            key += tag("rect", class_="corner b-truth", x=4, y=-5, width=5, height=5)
        else:
            key += tag("rect", class_=f"box b-{kind}", **place)
        swatch = tag(
            "svg",
            key,
            class_="key",
            viewBox="-13 -8 26 16",
            width=26,
            height=16,
            aria_hidden="true",
        )
        items.append(tag("li", swatch + escape(words)))
    return tag("ul", Markup("").join(items), class_="legend")
