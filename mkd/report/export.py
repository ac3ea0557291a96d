"""A figure written as SVG and PDF, and laid into the page in the page's own colors."""

import io
import re
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from mkd.files import atomic_path, write_atomic
from mkd.report.style import palette

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
FORMATS = ("svg", "pdf")


def save(figure: Figure, folder: Path, name: str, title: str) -> Markup:
    """Write ``<name>.svg`` and ``<name>.pdf`` and return the SVG for the page.

    The same figure gives the same bytes. Whatever was drawn with words says them in a ``<title>``
    of its own, and all together are the ``<desc>`` of the whole.

    Args:
        figure: Made within :func:`mkd.report.style.styled`, and saved within it.
        folder: Of both files.
        name: Unique on the page: its ids begin with it.
        title: Of the whole figure.

    Raises:
        UserError: The disk is full; nothing is left behind.
    """
    root = _svg(figure, name, title)
    written = _written(root)
    svg, pdf = (folder / f"{name}.{kind}" for kind in FORMATS)
    # Fonts make the PDF the dear half of a page that is often drawn anew.
    if not (svg.exists() and pdf.exists() and svg.read_text(encoding="utf-8") == written):
        with atomic_path(pdf) as path:
            figure.savefig(path, format="pdf", metadata={"Title": title, "CreationDate": None})
        write_atomic(svg, written)
    return _themed(root)


def inline(figure: Figure, name: str, title: str) -> Markup:
    """The SVG for the page alone, without files; arguments as of :func:`save`."""
    return _themed(_svg(figure, name, title))


def _svg(figure: Figure, name: str, title: str) -> ElementTree.Element:
    told = _told(figure)
    buffer = io.BytesIO()
    nobody = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nobody)
    # XML has no control characters; a name in a record may.
    root = ElementTree.fromstring(re.sub(rb"[\x00-\x08\x0b-\x1f]", b"", buffer.getvalue()))
    _describe(root, name, title, _description(figure), told)
    return root


def remove(folder: Path, name: str) -> None:
    """Delete what :func:`save` once wrote under that name."""
    for kind in FORMATS:
        (folder / f"{name}.{kind}").unlink(missing_ok=True)


def _told(figure: Figure) -> dict[str, str]:
    """Id → words of every line and mark that was drawn with some; gives them those ids."""
    told: dict[str, str] = {}
    for ax in figure.axes:
        for line in ax.lines:
            words = "".join(filter(str.isprintable, str(line.get_label())))
            # A label of matplotlib's own begins so.
            if not words.startswith("_"):
                line.set_gid(f"told-{len(told)}")
                told[f"told-{len(told)}"] = words
    return told


def _description(figure: Figure) -> str:
    """Every panel by its title, with all that was told in it."""
    said = []
    for ax in figure.axes:
        words = dict.fromkeys(
            label for line in ax.lines if not (label := str(line.get_label())).startswith("_")
        )
        title = ax.get_title("left")
        said.append(f"{title}: {'; '.join(words)}" if title else "; ".join(words))
    return "".join(filter(str.isprintable, ". ".join(filter(None, said)))) + "."


def _describe(
    root: ElementTree.Element, name: str, title: str, description: str, told: dict[str, str]
) -> None:
    """Titles where words were told, a title and a description of the whole, ids of its own."""
    used = set(re.findall(r"#([\w-]+)", ElementTree.tostring(root, "unicode")))
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in told:
            words = ElementTree.Element(f"{{{SVG}}}title")
            words.text = told[own]
            element.insert(0, words)
        if own in used:
            element.set("id", f"{name}-{own}")
        for key, value in element.attrib.items():
            element.set(key, re.sub(r"(^|url\()#", rf"\g<0>{name}-", value))
    for at, (kind, text) in enumerate((("title", title), ("desc", description))):
        whole = ElementTree.Element(f"{{{SVG}}}{kind}", id=f"{name}-{kind}")
        whole.text = text
        root.insert(at, whole)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title")
    root.set("aria-describedby", f"{name}-desc")


def _themed(root: ElementTree.Element) -> Markup:
    """The SVG for the page: colors by their names in its style sheet, text in its type."""
    names = {value: name for name, value in palette().items()}
    for parent in root.iter():
        for child in [c for c in parent if c.tag == f"{{{SVG}}}style"]:
            # It speaks of every element, those of the page as well.
            parent.remove(child)
    for element in root.iter():
        if found := element.get("style"):
            found = re.sub(
                r"#[0-9a-f]{6}", lambda m: f"var(--{names[m[0]]})" if m[0] in names else m[0], found
            )
            element.set("style", re.sub(r"('[\w ]+'|[\w-]+), .*sans-serif", "var(--sans)", found))
    inches = float(root.attrib.pop("width").removesuffix("pt")) / 72
    del root.attrib["height"]
    root.set("class", "plot")
    root.set("style", f"--inches:{inches:g}")
    return Markup(_written(root))


def _written(root: ElementTree.Element) -> str:
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, "unicode") + "\n"
