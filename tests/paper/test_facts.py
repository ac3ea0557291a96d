"""The paper's data: what is read, what is refused."""

import shutil
from decimal import Decimal

import pytest

from mkd.errors import UserError
from mkd.paper import facts

PAPER = facts.load()


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(facts.FOLDER, tmp_path / "paper")


def edit(path, old, new):
    text = path.read_text()
    assert old in text, f"{path.name} no longer has {old!r}"
    path.write_text(text.replace(old, new, 1))


def test_every_table_has_its_rows():
    assert [len(PAPER.table(number)) for number in facts.TABLES] == [26, 5, 2, 8, 8]


@pytest.mark.parametrize(
    ("run", "metric", "printed"),
    [
        ("tiny-mkd", "AP", "41.8"),
        ("l-mgd", "AP50", "69.0"),
        ("ins-tiny-mkd", "AP_L", "55.2"),
        ("tiny-mkd-teacher-l", "AP75", "43.8"),
        ("s-mkd-no-fdmd", "AP_S", "23.0"),
        ("s-mkd-alpha5", "AP", "43.5"),
        ("l-baseline", "latency_ms", "2.40"),
    ],
)
def test_lookup_gives_the_cell_as_printed(run, metric, printed):
    rows = [row for row in PAPER.rows if row.run == run and metric in row.cells]
    assert {str(row.cells[metric]) for row in rows} == {printed}


def test_what_is_not_printed_is_absent():
    assert all("AP_S" not in row.cells for row in PAPER.rows if row.run == "tiny-baseline")
    assert "AP50" not in PAPER.row(1, "YOLOv7").cells
    assert PAPER.row(1, "YOLOv6-tiny") is None


def test_a_label_of_two_rows_is_not_guessed():
    with pytest.raises(UserError, match="2 rows"):
        PAPER.row(4, "no L_FAD")


def test_baseline_is_of_the_same_table_if_it_has_one():
    assert PAPER.baseline(PAPER.row(2, "FGD")).label == "Rtmdet-Tiny (S)"
    assert PAPER.baseline(PAPER.row(3, "Rtmdet-L")).run == "tiny-baseline"
    assert PAPER.baseline(PAPER.row(1, "YOLOv7")) is None


def test_trailing_zeros_are_kept_and_do_not_count():
    quote = next(q for q in PAPER.quotes if str(q.value) == "41.40")
    assert quote.value == Decimal("41.4")


def test_every_item_of_the_audit_stands_there_in_order():
    assert [note.id for note in PAPER.notes] == list(range(1, 48))
    for note in PAPER.notes:
        assert note.findings or (note.paper and note.default), note.id


def test_published_results_name_their_source():
    assert all(entry.source and entry.locator for entry in PAPER.published)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("table1.csv", "41.1,57.9", "41.1,-", "line 3: '-' is not a number"),
        ("table1.csv", "41.1,57.9", "nan,57.9", "not finite"),
        ("table2.csv", "AP_S", "APS", "unknown column APS"),
        ("table3.csv", "row,arch", "label,arch", "missing column row"),
        ("table4.csv", "41.1,57.0", "57.0", "line 3: expected 11 fields"),
        ("table5.csv", "KD Loss Weight=0.1", "", "must not be empty"),
        ("text.csv", "difference", "ratio", "kind 'ratio'"),
        ("text.csv", "cell,1,", "cell,,", "a quantity has no table"),
        ("published.csv", ",source,", ",src,", "missing column source"),
        ("notes.yaml", "id: 2\n", "id: 1\n", "stands there twice"),
        ("notes.yaml", "default:", "defaults:", "does not fit"),
        ("notes.yaml", 'findings: ["arithmetic', 'findings: "arithmetic', "not valid YAML"),
        ("statements.yaml", "metrics: [AP, AP50]", "metrics: AP", "wrong type"),
    ],
)
def test_malformed_files_are_refused_in_one_sentence(folder, name, old, new, message):
    edit(folder / name, old, new)
    with pytest.raises(UserError, match=message) as caught:
        facts.load(folder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["table1.csv", "text.csv", "published.csv", "notes.yaml"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} (is missing|does not exist)"):
        facts.load(folder)
