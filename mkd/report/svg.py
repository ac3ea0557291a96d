"""Small inline SVG panels whose colors and type come from the page's style sheet.

Nothing here knows a color: every mark carries a class, so that one figure reads in light, dark
and print, every value sits in a ``<title>`` for a pointer, and a panel's name, which a screen
reader reads, says them all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

# Unit shapes around the origin, drawn by series class so that color is never the only cue.
SHAPES = {
    "circle": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "square": "M-3.6,-3.6h7.2v7.2h-7.2z",
    "diamond": "M0,-5L5,0L0,5L-5,0z",
    "up": "M0,-4.8L4.6,3.4L-4.6,3.4z",
    "down": "M0,4.8L4.6,-3.4L-4.6,-3.4z",
    "cross": "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "pentagon": "M0,-4.8L4.6,-1.5L2.8,3.9L-2.8,3.9L-4.6,-1.5z",
    "hourglass": "M-4.2,-4.2h8.4l-8.4,8.4h8.4z",
}


def tag(_name: str, _content: str = "", **attributes: object) -> Markup:
    """One escaped element; ``class_`` becomes ``class`` and underscores become hyphens."""
    written = Markup("").join(
        Markup(' {}="{}"').format(
            key.rstrip("_").replace("_", "-") if key != "viewBox" else key,
            f"{value:.6g}" if isinstance(value, float) else value,
        )
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(_name, written, _content)


def titled(text: str | None) -> Markup:
    """A hover title, or nothing."""
    return tag("title", escape(text)) if text else Markup("")


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """At most about ``count`` round numbers within [low, high]."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


@dataclass
class Axis:
    """The range of one axis in data units, and how it is labelled."""

    low: float
    high: float
    label: str = ""
    log: bool = False
    at: Sequence[float] | None = None
    names: Sequence[str] | None = None
    show: bool = True

    @classmethod
    def around(
        cls,
        values: Sequence[float],
        label: str = "",
        *,
        log: bool = False,
        include: float | None = None,
    ) -> "Axis":
        """An axis that holds every finite value with a little air; ``include`` joins the range."""
        kept = [v for v in values if math.isfinite(v) and (not log or v > 0)]
        if include is not None:
            kept.append(include)
        low, high = (min(kept), max(kept)) if kept else (0.1, 1.0)
        if log:
            return cls(low / 1.25, high * 1.25, label, log=True)
        air = (high - low) * 0.06 or max(abs(high) * 0.06, 0.5)
        return cls(low - air, high + air, label)

    def fraction(self, value: float) -> float:
        """Where ``value`` lies between low (0) and high (1)."""
        if self.log:
            floor = max(value, self.low * 1e-3)
            return math.log(floor / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low or 1.0)

    def marks(self) -> list[tuple[float, str]]:
        """The ticks with their texts."""
        if self.at is not None:
            names = self.names or [f"{v:g}" for v in self.at]
            return list(zip(self.at, names, strict=True))
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            powers = [10.0**p for p in range(first, last + 1)]
            inside = [v for v in powers if self.low <= v <= self.high]
            if len(inside) < 2:
                inside = [
                    v * m for v in powers for m in (1, 2, 5) if self.low <= v * m <= self.high
                ]
            return [(v, f"{v:g}") for v in inside[:: max(1, -(-len(inside) // 6))]]
        return [(v, f"{v:g}".replace("-", "−")) for v in ticks(self.low, self.high)]


@dataclass
class Plot:
    """One panel, sizes in CSS pixels; marks are drawn in the order they are added."""

    x: Axis
    y: Axis
    width: int = 340
    height: int = 220
    left: int = 44
    right: int = 12
    top: int = 10
    bottom: int = 40
    grid: str = "y"
    parts: list[Markup] = field(default_factory=list)

    def px(self, value: float) -> float:
        """Data x → pixels."""
        return self.left + self.x.fraction(value) * (self.width - self.left - self.right)

    def py(self, value: float) -> float:
        """Data y → pixels (upwards)."""
        inner = self.height - self.top - self.bottom
        return self.top + (1 - self.y.fraction(value)) * inner

    def line(
        self, points: Sequence[tuple[float, float]], series: str, title: str | None = None
    ) -> None:
        """A polyline through the finite points."""
        kept = [
            f"{self.px(a):.1f},{self.py(b):.1f}"
            for a, b in points
            if math.isfinite(b) and (b > 0 or not self.y.log)
        ]
        if kept:
            self.parts.append(
                tag(
                    "g",
                    titled(title) + tag("path", class_="line", d="M" + "L".join(kept)),
                    class_=f"s-{series}",
                )
            )

    def rule(self, *, x: float | None = None, y: float | None = None) -> None:
        """A straight reference line across the panel, at ``x`` or at ``y``."""
        if x is not None:
            at = self.px(x)
            ends = (at, float(self.top), at, float(self.height - self.bottom))
        else:
            at = self.py(0.0 if y is None else y)
            ends = (float(self.left), at, float(self.width - self.right), at)
        self.parts.append(tag("line", class_="ref", x1=ends[0], y1=ends[1], x2=ends[2], y2=ends[3]))

    def span(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        series: str,
        title: str | None = None,
    ) -> None:
        """A straight stroke between two data points, such as an interval."""
        self.parts.append(
            tag(
                "g",
                titled(title)
                + tag(
                    "line",
                    class_="span",
                    x1=self.px(start[0]),
                    y1=self.py(start[1]),
                    x2=self.px(end[0]),
                    y2=self.py(end[1]),
                ),
                class_=f"s-{series}",
            )
        )

    def mark(
        self,
        x: float,
        y: float,
        series: str,
        *,
        shape: str = "circle",
        title: str | None = None,
        hollow: bool = False,
    ) -> None:
        """One point, filled or hollow."""
        place = f"translate({self.px(x):.1f},{self.py(y):.1f})"
        kind = "hollow" if hollow else "mark"
        path = tag("path", class_=kind, d=SHAPES[shape], transform=place)
        self.parts.append(tag("g", titled(title) + path, class_=f"s-{series}"))

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "start",
        dx: float = 0.0,
        dy: float = 4.0,
        kind: str = "note",
    ) -> None:
        """Words at a data point, nudged by (dx, dy) pixels."""
        self.parts.append(
            tag(
                "text",
                escape(words),
                class_=kind,
                text_anchor=anchor,
                x=self.px(x) + dx,
                y=self.py(y) + dy,
            )
        )

    def _frame(self) -> Markup:
        out = Markup("")
        foot, edge = self.height - self.bottom, self.width - self.right
        if self.x.show:
            for value, words in self.x.marks():
                at = self.px(value)
                if "x" in self.grid:
                    out += tag("line", class_="grid", x1=at, y1=self.top, x2=at, y2=foot)
                out += tag(
                    "text", escape(words), class_="tick", text_anchor="middle", x=at, y=foot + 15
                )
        if self.y.show:
            for value, words in self.y.marks():
                at = self.py(value)
                if "y" in self.grid:
                    out += tag("line", class_="grid", x1=self.left, y1=at, x2=edge, y2=at)
                out += tag(
                    "text",
                    escape(words),
                    class_="tick",
                    text_anchor="end",
                    x=self.left - 6,
                    y=at + 4,
                )
        out += tag("line", class_="axis", x1=self.left, y1=foot, x2=edge, y2=foot)
        if self.x.label:
            out += tag(
                "text",
                escape(self.x.label),
                class_="label",
                text_anchor="middle",
                x=(self.left + edge) / 2,
                y=self.height - 6,
            )
        if self.y.label:
            turn = f"translate(11,{(self.top + foot) / 2:.1f}) rotate(-90)"
            out += tag(
                "text", escape(self.y.label), class_="label", text_anchor="middle", transform=turn
            )
        return out

    def render(self, described: str) -> Markup:
        """The panel as an ``<svg role="img">`` whose name is ``described``."""
        return tag(
            "svg",
            self._frame() + Markup("").join(self.parts),
            class_="plot",
            viewBox=f"0 0 {self.width} {self.height}",
            width=self.width,
            height=self.height,
            role="img",
            aria_label=described,
        )


def legend(entries: Sequence[tuple[str, str, str]], kind: str = "mark") -> Markup:
    """An HTML legend of (series, shape, words); ``kind`` ``line`` draws a stroke instead."""
    items = []
    for series, shape, words in entries:
        path = tag("path", class_=kind, d="M-12,0H12" if kind == "line" else SHAPES[shape])
        items.append(tag("li", swatch(tag("g", path, class_=f"s-{series}")) + escape(words)))
    return tag("ul", Markup("").join(items), class_="legend")


def swatch(drawn: Markup) -> Markup:
    """A legend's key, 26 × 16 pixels around the origin."""
    return tag(
        "svg", drawn, class_="key", viewBox="-13 -8 26 16", width=26, height=16, aria_hidden="true"
    )
