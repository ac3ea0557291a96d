"""Elements of HTML and SVG, for what no template lays out: pictures with boxes and maps."""

from markupsafe import Markup


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
