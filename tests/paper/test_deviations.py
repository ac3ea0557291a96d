"""Deviations: well-formed, and each scale has its own."""

from pathlib import Path

import pytest
import yaml

from mkd import ROOT
from mkd.errors import UserError
from mkd.experiment import scale_file
from mkd.paper import deviations, facts

SCALES = scale_file.names(ROOT / "config/scales")


def test_every_scale_named_is_a_scale_and_every_item_an_item() -> None:
    items = {note.id for note in facts.load().notes}
    for entry in yaml.safe_load(deviations.FILE.read_text()):
        assert set(entry.get("scales", ())) <= set(SCALES), entry["id"]
        assert set(entry.get("items", ())) <= items, entry["id"]


@pytest.mark.parametrize("scale", SCALES)
def test_a_topic_is_settled_once_at_a_scale(scale: str) -> None:
    topics = [item.topic for item in deviations.load(scale)]
    assert len(topics) == len(set(topics))
    assert {"Teacher", "Number of seeds", "Start of the backbone"} - set(topics) <= (
        {"Number of seeds"} if scale == "smoke" else set()
    )


def test_a_scale_has_what_speaks_of_all_and_of_itself_alone() -> None:
    ids = {scale: {item.id for item in deviations.load(scale)} for scale in ("desk", "paper")}
    assert "teacher-seed" in ids["desk"] & ids["paper"]
    assert "summed-losses" in ids["desk"] - ids["paper"]
    assert "batch" in ids["paper"] - ids["desk"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {id: a, topic: b, taken: c}", "why"),
        ("- &a {id: a, topic: b, taken: c, why: d}\n- *a", "'a' stands there twice"),
        ("- {id: a, topic: b, taken: c, why: d, because: e}", "because"),
        ("- {", "not valid YAML"),
    ],
)
def test_a_malformed_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "deviations.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        deviations.load("desk", path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"deviations\.yaml does not exist"):
        deviations.load("desk", tmp_path / "deviations.yaml")
