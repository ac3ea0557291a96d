"""Files of a figure: the same bytes again, all it says in words, the page's colors on the page."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from mkd import ROOT
from mkd.experiment import config
from mkd.experiment.methods import METHODS
from mkd.report import export, legend, style

ODD = 'a <b> & "c" $x_1$ \x07\x00'


def drawn(words: str = "MKD: 3") -> Figure:
    figure, ((left,), (right,)) = style.facets(
        [f"first {words}", "second"], [1.5, 1.5], legend=legend.method_keys(["mkd", "cwd", words])
    )
    style.point(left, 1.0, 3.0, "mkd", words)
    right.plot([1, 2], [3, 4], color=style.color("cwd"), label="CWD: up")
    style.zero(right)
    style.logarithmic(left, "x", "y")
    return figure


def saved(folder: Path, words: str = "MKD: 3") -> str:
    with style.styled():
        return export.save(drawn(words), folder, "one", "The first")


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        saved(tmp_path / folder)
    for kind in export.FORMATS:
        first, second = ((tmp_path / f / f"one.{kind}").read_bytes() for f in ("a", "b"))
        assert first == second
    assert first.startswith(b"%PDF")


def test_the_pdf_has_fonts_that_publishers_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "STYLE", ROOT / "report/mkd.mplstyle")
    saved(tmp_path)
    written = (tmp_path / "one.pdf").read_bytes()
    assert b"/FontFile2" in written
    assert b"/Type3" not in written


def test_what_changed_is_written_anew_and_what_is_gone_is_removed(tmp_path: Path) -> None:
    saved(tmp_path)
    before = {kind: (tmp_path / f"one.{kind}").read_bytes() for kind in export.FORMATS}
    saved(tmp_path, "MKD: 4")
    for kind in export.FORMATS:
        assert (tmp_path / f"one.{kind}").read_bytes() != before[kind]
    export.remove(tmp_path, "one")
    assert list(tmp_path.iterdir()) == []
    export.remove(tmp_path, "one")


def test_words_are_titles_of_their_marks_and_the_description_of_the_whole(tmp_path: Path) -> None:
    saved(tmp_path)
    root = ElementTree.parse(tmp_path / "one.svg").getroot()
    tag = f"{{{export.SVG}}}"
    assert [root[0].tag, root[0].text] == [f"{tag}title", "The first"]
    assert root[1].text == "first MKD: 3: MKD: 3. second: CWD: up."
    assert root.get("aria-labelledby") == root[0].get("id")
    assert root.get("aria-describedby") == root[1].get("id")
    assert root.get("role") == "img"
    groups = {group.findtext(f"{tag}title"): group for group in root.iter(f"{tag}g")}
    assert groups["MKD: 3"].find(f".//{tag}use") is not None
    assert groups["CWD: up"].find(f"{tag}path") is not None
    texts = ["".join(text.itertext()) for text in root.iter(f"{tag}text")]
    assert {"second", "no distillation"} & set(texts) == {"second"}
    assert {"MKD", "CWD"} <= set(texts)


def test_every_id_is_the_figures_own_and_is_referred_to(tmp_path: Path) -> None:
    svg = saved(tmp_path)
    ids = re.findall(r' id="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("one-") for name in ids)
    assert set(re.findall(r"#(one-[\w-]+)", svg)) <= set(ids)


@pytest.mark.parametrize("words", [ODD, "$", "\\frac{", "名前 ±", "x" * 300])
def test_any_name_of_a_record_is_drawn_as_it_is(words: str, tmp_path: Path) -> None:
    svg = saved(tmp_path, words)
    plain = "".join(filter(str.isprintable, words))
    root = ElementTree.fromstring(svg)
    assert plain in (root[1].text or "")
    assert plain.upper() in "".join(root.itertext())
    assert (tmp_path / "one.pdf").stat().st_size > 1000


def test_the_page_has_its_own_colors_and_type_and_the_file_needs_no_page(tmp_path: Path) -> None:
    svg = str(saved(tmp_path))
    assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
    assert set(re.findall(r"var\(--([\w-]+)\)", svg)) >= {"s-mkd", "s-cwd", "ink", "rule", "sans"}
    assert "<style" not in svg
    alone = (tmp_path / "one.svg").read_text()
    assert "var(" not in alone
    assert style.color("mkd") in alone


def test_every_color_of_the_style_is_one_of_the_pages_in_light_and_in_dark() -> None:
    used = set(re.findall(r": ([0-9a-f]{6})$", style.STYLE.read_text(), re.MULTILINE))
    assert used
    assert {f"#{color}" for color in used} <= set(style.palette().values())
    # One name a color, or the page could not tell them apart in dark.
    assert len(set(style.palette().values())) == len(style.palette())
    dark = style.SHEET.read_text().partition("prefers-color-scheme: dark")[2].partition("}")[0]
    assert set(style.palette()) == set(re.findall(r"--([\w-]+): #", dark))


def test_every_method_of_the_suites_tables_has_a_look() -> None:
    for scale in ("smoke", "desk", "paper"):
        used = {run.method for run in config.load({"scale": scale}).runs.values()}
        assert used <= set(style.METHODS) <= set(METHODS)
    assert style.name("freekd-unprompted") == "FreeKD without prompts"


def test_a_users_own_style_changes_nothing(tmp_path: Path) -> None:
    import matplotlib

    plain = saved(tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "red"}):
        assert saved(tmp_path / "odd") == plain
