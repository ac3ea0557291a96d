"""The attention picture: where each detector looks on the same photographs, and how alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from mkd.report.markup import tag
from mkd.report.pictures import grid, outline, photographs
from mkd.results.formats import half, number
from mkd.results.statistics import interval


def attention(data: Mapping[str, Any]) -> Markup:
    """Maps over the photographs, one row an image, and the measures of all images below.

    Args:
        data: What :func:`mkd.evaluation.attention.make` wrote.
    """
    tiles = []
    for at, image in enumerate(data["images"]):
        small = sum(box["small"] for box in image["truth"])
        tiles.append(
            _tile(at, image, "image", f"{len(image['truth'])} objects, {small} small", None)
        )
        for detector in data["detectors"]:
            look = image["maps"][detector["name"]]
            words = f"{100 * look['inside']:.0f}\N{NO-BREAK SPACE}% in boxes"
            if detector is not data["detectors"][-1] and look["agreement"] is not None:
                words += f", r = {number(look['agreement'], 2)}"
            tiles.append(_tile(at, image, detector["name"], words, look["map"]))
    return (
        photographs(data["images"], "scene")
        + _scale(data)
        + grid(tiles, 1 + len(data["detectors"]), "Attention")
        + _table(data)
    )


def _tile(at: int, image: Mapping[str, Any], name: str, words: str, over: str | None) -> Markup:
    place = {"width": image["width"], "height": image["height"]}
    drawn = tag("use", href=f"#scene-{at}", class_="ground" if over else None)
    if over:
        drawn += tag("image", href=over, class_="heat", preserveAspectRatio="none", **place)
    drawn += Markup("").join(outline("truth", box, image) for box in image["truth"])
    picture = tag(
        "svg",
        drawn,
        viewBox=f"0 0 {image['width']} {image['height']}",
        role="img",
        aria_label=f"Image {image['id']}, {name}: {words}",
        class_="looks" if over else None,
    )
    return tag("li", picture + tag("strong", escape(name)) + tag("div", escape(words)))


def _scale(data: Mapping[str, Any]) -> Markup:
    """The color scale under the maps' own opacity, over middle gray."""
    width, height = 160, 12
    bar = tag("rect", width=width, height=height, class_="gray") + tag(
        "image",
        href=data["colors"],
        width=width,
        height=height,
        preserveAspectRatio="none",
        class_="heat",
    )
    even = width / data["top"]
    bar += tag("line", x1=even, x2=even, y1=0, y2=height, class_="even")
    drawn = tag("svg", bar, width=width, height=height, aria_hidden="true", class_="ramp")
    words = f"attention, 0 to {number(data['top'])} or more; the line is 1, the mean of every map"
    return tag("div", drawn + escape(words), class_="legend")


def _table(data: Mapping[str, Any]) -> Markup:
    strides = [level["stride"] for level in data["detectors"][0]["levels"]]
    groups = (
        ("Share of the attention in ground-truth boxes, %", "inside", 100, 1),
        ("Correlation with the teacher’s map", "agreement", 1, 2),
    )
    top = tag("th", "Detector", scope="col", rowspan=2, class_="stub")
    top += Markup("").join(
        tag("th", title, scope="colgroup", colspan=len(strides)) for title, *_ in groups
    )
    below = Markup("").join(tag("th", f"stride {s}", scope="col") for _ in groups for s in strides)
    rows = [
        _row("evenly spread", [number(100 * a) for a in data["area"]] + ["–"] * len(strides)),
    ]
    for detector in data["detectors"]:
        teacher = detector is data["detectors"][-1]
        cells = [
            "–" if teacher and name == "agreement" else _cell(level[name], factor, digits)
            for _, name, factor, digits in groups
            for level in detector["levels"]
        ]
        rows.append(_row(detector["name"], cells))
    head = tag("thead", tag("tr", top) + tag("tr", below))
    return tag(
        "div",
        tag("table", head + tag("tbody", Markup("").join(rows))),
        class_="wide",
        role="region",
        tabindex=0,
        aria_label="Measures of attention, scrollable",
    )


def _row(name: str, cells: Sequence[str]) -> Markup:
    head = tag("th", escape(name), scope="row")
    return tag("tr", head + Markup("").join(tag("td", cell) for cell in cells))


def _cell(seeds: Sequence[float | None], factor: float, digits: int) -> str:
    kept = [factor * value for value in seeds if value is not None]
    if not kept:
        return "–"
    made = interval(kept)
    return f"{number(made.mean, digits)} {half(made, digits)}"
