"""The audit: every check finds what is there, and no longer finds it once it is planted away."""

import re
import shutil
from fnmatch import fnmatchcase

import pytest

from mkd.errors import UserError
from mkd.paper import audit, facts

PAPER = facts.load()
FINDINGS = {finding.id: finding for finding in audit.findings(PAPER)}

# finding, files, a regular expression, and the replacement that would make the finding disappear
PLANTED = [
    ("text-vs-text-training-images", "text.csv", "training images,120000",
     "training images,118000"),
    ("text-vs-table-t3-rtmdet-s-ap", "text.csv", "41.40\n", "41.80\n"),
    ("text-vs-table-t3-rtmdet-l-ap", "table3.csv", "40.8,57.6", "40.7,57.6"),
    ("quoted-but-absent-t1-yolov6-m", "table1.csv", "YOLOX-m,yolox-m,,,,640×640,25.3,36.9,1.68",
     "YOLOv6-m,yolov6-m,,,,640×640,34.3,40.7,1.21,48.5,\nYOLOX-m,yolox-m,,,,640×640,25.3,36.9,1.68"),
    ("best-t4-complete-method-rtmdet-tiny-ap50", "table4.csv", "41.8,58.4", "41.8,61.0"),
    ("best-t5-optimal-balance-rtmdet-tiny-ap50", "table5.csv", "41.2,58.4", "41.2,58.3"),
    ("best-t5-all-scales-rtmdet-tiny-ap-s", "table5.csv", "43.3,23.3", "43.3,21.3"),
    ("larger-drop-t4-no-fdmd-ap", "table4.csv", "41.5,60.9", "40.5,60.9"),
    ("lower-cost-t1-params-m", "table1.csv", "-baseline,640×640,", "-baseline,640×640,9"),
    ("lower-cost-t1-latency-ms", "table1.csv", r"(-baseline.*),(.*,.*,.*)$", r"\1,9\2"),
    ("most-t3-most-rtmdet-tiny", "table3.csv", "44.7,58.5", "44.7,60.5"),
    ("label-t2-baseline", "*.csv", r"Rtmdet-Tiny \(S\)", "Mask RCNN-R50"),
    ("removal-raises-t4-rtmdet-tiny-no-fad", "table4.csv", "23.3,44.0", "21.3,44.0"),
    ("removal-raises-t5-rtmdet-tiny-alpha5", "table5.csv", "23.3,44.0", "21.3,44.0"),
    ("below-baseline-t2-rtmdet-ins-tiny-fgd", "table2.csv", "37.8,17.1", "37.8,19.2"),
    ("below-baseline-t3-rtmdet-tiny-teacher-l", "table3.csv", "40.8,57.6", "41.2,58.0"),
    ("below-baseline-t4-rtmdet-s-no-fad", "table4.csv", "44.2,60.4", "44.7,62.0"),
    ("below-baseline-t5-rtmdet-s-alpha5", "table5.csv", "43.5,62.5", "44.7,62.5"),
    ("repeated-cells-t4-no-fad-rtmdet-tiny-rtmdet-s", "table4.csv", "46.3,23.3", "46.3,23.4"),
    ("constant-difference-t4-ap75-rtmdet-tiny-rtmdet-s", "table4.csv", "46.3,23.3", "46.4,23.3"),
    ("near-duplicate-t4-tiny-mkd-no-fad-t5-tiny-mkd-alpha5", "table5.csv", "41.2,58.4",
     "41.3,58.4"),
    ("dominated-t1-rtmdet-tiny-ours-yolov6-s", "table1.csv", "22.1,0.92", "22.1,0.99"),
    ("differs-from-published-t1-rtmdet-s-params-m", "table1.csv", "s-baseline,640×640,8.99",
     "s-baseline,640×640,8.89"),
    ("differs-from-published-t1-rtmdet-l-latency-ms", "published.csv", "80.23,2.44",
     "80.23,2.404"),
    ("equals-published-t1-rtmdet-tiny-ours-rtmdet-tiny-cwd", "published.csv", ",41.8,", ",41.9,"),
    ("equals-published-t2-mgd-mask-r-cnn-r-50-mgd-mgd", "table2.csv", "38.1,17.1", "38.2,17.1"),
]  # fmt: skip

# finding, files, a regular expression, and the replacement that would make it appear
UNPLANTED = [
    ("arithmetic-t2-ours-fkd-ap", "table2.csv", "37.4,19.7", "37.5,19.7"),
    ("same-run-differs-t1-tiny-mkd-t3-rtmdet-s", "table3.csv", "41.8,58.4", "41.8,58.5"),
    ("best-t1-highest-rtmdet-l-ap50", "table1.csv", "51.8,69.0", "51.8,69.9"),
    ("text-vs-table-t1-yolox-m-ap", "table1.csv", "46.9,65.6", "46.8,65.6"),
    ("text-vs-text-validation-images", "text.csv", r"(val2017.*),5000", r"\1,4952"),
    ("removal-raises-t3-rtmdet-tiny-teacher-l", "table3.csv", "44.7,58.5", "44.7,60.5"),
    # 35.4 is the published figure of the row's own model too.
    (
        "equals-published-t2-rtmdet-tiny-s-mask-r-cnn-r-50-fpn-2x-baseline",
        "published.csv",
        "40.5,35.4",
        "40.5,35.3",
    ),
]


def found_after(tmp_path, files, pattern, new):
    """Ids of the findings once a regular expression is replaced in the files of a copy."""
    folder = shutil.copytree(facts.FOLDER, tmp_path / "paper")
    replaced = 0
    for path in folder.glob(files):
        text, count = re.subn(pattern, new, path.read_text(), flags=re.MULTILINE)
        path.write_text(text)
        replaced += count
    assert replaced
    return {finding.id for finding in audit.findings(facts.load(folder))}


@pytest.mark.parametrize(("finding", "files", "pattern", "new"), PLANTED, ids=lambda v: v[:40])
def test_a_planted_change_takes_the_finding_away(tmp_path, finding, files, pattern, new):
    assert finding in FINDINGS
    assert finding not in found_after(tmp_path, files, pattern, new)


@pytest.mark.parametrize(("finding", "files", "pattern", "new"), UNPLANTED, ids=lambda v: v[:40])
def test_a_planted_error_is_found(tmp_path, finding, files, pattern, new):
    assert finding not in FINDINGS
    assert finding in found_after(tmp_path, files, pattern, new)


def test_every_kind_of_finding_is_planted_away_once():
    def kind(finding):
        return finding.split("-t", 1)[0] if "-vs-" not in finding else finding[:12]

    assert {kind(f) for f in FINDINGS} <= {kind(row[0]) for row in PLANTED}


def test_ids_are_unique_and_fit_for_an_anchor():
    found = audit.findings(PAPER)
    assert len({finding.id for finding in found}) == len(found)
    assert all(re.fullmatch(r"[a-z0-9.-]+", finding.id) for finding in found)


def test_every_finding_belongs_to_one_item_and_every_item_finds_something():
    assert all(len(finding.items) == 1 for finding in FINDINGS.values())
    for note in PAPER.notes:
        for pattern in note.findings:
            # The paper's stated margins are those of its cells.
            if not pattern.startswith("arithmetic"):
                assert any(fnmatchcase(f, pattern) for f in FINDINGS), f"{note.id}: {pattern}"


def test_both_sides_are_quoted():
    finding = FINDINGS["text-vs-table-t3-rtmdet-s-ap"]
    assert "41.40" in finding.left
    assert "41.8" in finding.right
    assert finding.locators == (
        "§4.2, Analysis for different Teacher",
        "Table 3, rtmdet-tiny, row 'Rtmdet-S'",
    )
    assert all(f.left and f.right and all(f.locators) for f in FINDINGS.values())


def test_an_ablation_lists_every_change():
    finding = FINDINGS["removal-raises-t4-rtmdet-tiny-no-fdmd"]
    assert finding.right == "AP -0.3, AP50 +2.5, AP75 -1.5, AP_S +1.3, AP_M -1.7, AP_L -5.7"


@pytest.mark.parametrize(
    ("files", "pattern", "new", "message"),
    [
        ("statements.yaml", "check: most", "check: mostly", "unknown check 'mostly'"),
        ("statements.yaml", "contender: no-fdmd", "contender: no-such", "no row of Table 4"),
        ("statements.yaml", "over: teacher-l", "over: teacher-m", "needs 'teacher-m'"),
        ("statements.yaml", r"metrics: \[AP_S, AP_M\]", "metrics: [AP75]", "prints no AP75"),
        ("text.csv", "Ours,FKD", "Ours,FKT", "names 'FKT'"),
    ],
)
def test_text_that_no_check_can_resolve_is_refused(tmp_path, files, pattern, new, message):
    with pytest.raises(UserError, match=message):
        found_after(tmp_path, files, pattern, new)
