"""The detections picture: ground truth and each detector on the same photographs."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from mkd.report.svg import swatch, tag, titled

WORDS = {"hit": "found", "false": "false", "miss": "missed"}


def detections(qualitative: Mapping[str, Any]) -> Markup:
    """Photographs with their boxes, one row an image, one column a detector.

    Each photograph is embedded once and used by every column; boxes stay vectors with the
    category and score in their title.

    Args:
        qualitative: What :func:`mkd.report.qualitative.make` wrote.
    """
    photos = Markup("").join(
        tag(
            "image",
            id=f"photo-{at}",
            href=image["photo"],
            width=image["width"],
            height=image["height"],
            preserveAspectRatio="none",
        )
        for at, image in enumerate(qualitative["images"])
    )
    tiles = []
    for at, image in enumerate(qualitative["images"]):
        tiles.append(_tile(at, image, "ground truth", {"truth": image["truth"]}))
        tiles += [_tile(at, image, name, judged) for name, judged in image["found"].items()]
    columns = 1 + max((len(i["found"]) for i in qualitative["images"]), default=0)
    grid = tag("ol", Markup("").join(tiles), style=f"--columns:{columns}")
    return (
        tag("svg", tag("defs", photos), class_="hidden-defs", aria_hidden="true")
        + _legend()
        + tag(
            "div",
            grid,
            class_="shots",
            role="region",
            tabindex=0,
            aria_label="Detections, scrollable",
        )
    )


def _tile(
    at: int, image: Mapping[str, Any], name: str, kinds: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Markup:
    unit = max(image["width"], image["height"]) / 42
    boxes = Markup("").join(_box(k, box, unit) for k, found in kinds.items() for box in found)
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


def _box(kind: str, box: Mapping[str, Any], unit: float) -> Markup:
    x, y, width, height = box["bbox"]
    place = {"x": x, "y": y, "width": width, "height": height}
    score = f", score {box['score']:.2f}" if "score" in box else ""
    words = f"{WORDS.get(kind, 'object')}: {box['category']}{score}{', small' * box['small']}"
    drawn = tag("rect", class_="halo", **place) + tag("rect", class_=f"box b-{kind}", **place)
    if box["small"]:
        drawn += tag(
            "text",
            "s",
            class_="size",
            x=x + width,
            y=y,
            dx=unit / 8,
            style=f"font-size:{unit:.1f}px",
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
        items.append(tag("li", swatch(key) + escape(words)))
    return tag("ul", Markup("").join(items), class_="legend")
