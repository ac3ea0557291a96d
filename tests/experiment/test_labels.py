"""What runs are called: in the field's words, and no two alike."""

import pytest

from mkd.experiment import config, labels
from mkd.experiment.runs import Run


def test_a_run_is_called_by_what_sets_it_apart_and_no_two_alike() -> None:
    runs = config.load({"scale": "desk"}).runs
    names = {run.id: labels.run_name(run, runs) for run in runs.values()}
    assert names["tiny-baseline"] == "RTMDet-tiny, undistilled"
    assert names["s-teacher"] == "RTMDet-s, teacher"
    assert names["tiny-mkd"] == "RTMDet-tiny + MKD"
    assert names["tiny-mkd-teacher-l"] == "RTMDet-tiny + MKD, taught by RTMDet-l"
    assert names["s-mkd-no-fdmd"] == "RTMDet-s + MKD without frequency mask"
    assert names["tiny-mkd-only-fdmd"] == "RTMDet-tiny + MKD, frequency mask alone"
    assert names["tiny-mkd-alpha0.1"] == "RTMDet-tiny + MKD, α = 0.1"
    assert names["tiny-mkd-zeta0.3"] == "RTMDet-tiny + MKD, ζ = 0.3"
    assert names["tiny-mkd-hermitian"] == "RTMDet-tiny + MKD, Hermitian mask"
    shown = [name for run, name in names.items() if run not in ("tiny-stem", "tiny-random")]
    assert len(shown) == len(set(shown))
    assert not any("=" in name.replace(" = ", "") for name in shown)


def test_an_option_that_is_a_list_is_named_as_it_is_written() -> None:
    options = {"multiscale.scales": [1, 2], "fdmd.mask": "hermitian"}
    run = Run("a", "rtmdet-tiny", "s-baseline", "mkd", options, (4,))
    assert labels.method_name(run) == "MKD, multiscale scales = [1, 2], Hermitian mask"


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("Rtmdet-L", "MKD, taught by RTMDet-l"),
        ("Ours no L_Multiscale", "MKD no multi-scale"),
        ("no L_FDMD", "no frequency mask"),
        ("CWD", "CWD"),
    ],
)
def test_a_row_of_the_paper_has_the_names_of_the_other_figures(printed: str, name: str) -> None:
    assert labels.row_name(printed) == name
