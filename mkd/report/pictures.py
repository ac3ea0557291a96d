"""The detections picture: ground truth and each detector on the same photographs."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from mkd.report.markup import tag, titled

WORDS = {"hit": "found", "false": "false", "miss": "missed"}


def detections(qualitative: Mapping[str, Any]) -> Markup:
    """Photographs with their boxes, one row an image, one column a detector.

    Each photograph is embedded once and used by every column; boxes stay vectors with the
    category and score in their title.

    Args:
        qualitative: What :func:`mkd.evaluation.examples.make` wrote.
    """
    tiles = []
    for at, image in enumerate(qualitative["images"]):
        tiles.append(_tile(at, image, "ground truth", {"truth": image["truth"]}))
        tiles += [_tile(at, image, name, judged) for name, judged in image["found"].items()]
    columns = 1 + max((len(i["found"]) for i in qualitative["images"]), default=0)
    return (
        photographs(qualitative["images"], "photo") + _legend() + grid(tiles, columns, "Detections")
    )


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
    boxes = Markup("").join(outline(k, box, image) for k, found in kinds.items() for box in found)
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
    """A box of an image with its words as the title, and an “s” beside a small one."""
    x, y, width, height = box["bbox"]
    place = {"x": x, "y": y, "width": width, "height": height}
    score = f", score {box['score']:.2f}" if "score" in box else ""
    words = f"{WORDS.get(kind, 'object')}: {box['category']}{score}{', small' * box['small']}"
    drawn = tag("rect", class_="halo", **place) + tag("rect", class_=f"box b-{kind}", **place)
    if box["small"]:
        letter = max(image["width"], image["height"]) / 18
        fits = x + width + letter < image["width"]
        drawn += tag(
            "text",
            "s",
            class_="size",
            x=x + width + letter / 6 if fits else x - letter / 6,
            y=max(y + letter / 3, letter),
            text_anchor=None if fits else "end",
            style=f"font-size:{letter:.1f}px",
        )
    return tag("g", titled(words) + drawn)


def _legend() -> Markup:
    entries = [
        ("truth", "ground truth"),
        ("hit", "found (IoU ≥ 0.5, right class)"),
        ("false", "false detection"),
        ("miss", "missed object"),
    ]
    place: dict[str, Any] = {"x": -9, "y": -5, "width": 18, "height": 10}
    items = []
    for kind, words in entries:
        key = tag("rect", class_="halo", **place) + tag("rect", class_=f"box b-{kind}", **place)
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
