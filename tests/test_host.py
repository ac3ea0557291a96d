"""The machine that a record names."""

from pathlib import Path

import pytest

from mkd import host


@pytest.mark.parametrize(
    ("board", "cpus", "name"),
    [
        (
            "NVIDIA Jetson AGX Orin\0",
            "model name\t: ARMv8 Processor rev 1 (v8l)\n",
            "NVIDIA Jetson",
        ),
        ("Raspberry Pi 5 Model B\0", "processor\t: 0\n", "Raspberry Pi 5 Model B"),
        (None, "processor : 0\nmodel name : Imaginary 9000\n", "Imaginary 9000"),
    ],
)
def test_a_board_is_named_before_its_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, board: str | None, cpus: str, name: str
) -> None:
    monkeypatch.setattr(host, "BOARD", tmp_path / "model")
    monkeypatch.setattr(host, "CPUS", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(cpus)
    if board is not None:
        (tmp_path / "model").write_text(board)
    found = host.describe([])["cpu"]
    assert found.startswith(name)
    assert "\0" not in found
