"""What a training says of itself, from what mmengine logged."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from mkd.training import history


class Loader:
    """Two steps an epoch, of eight images each."""

    batch_sampler = SimpleNamespace(batch_size=8)

    def __len__(self) -> int:
        return 2


def test_a_summary_counts_its_own_steps_and_the_images_of_all_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = MessageHub("summary")
    logged = {
        "time": (10.0, 10.0, 1.0, 3.0),
        "data_time": (1.0, 1.0, 0.5, 0.5),
        "loss": (4.0, 4.0, 4.0, 4.0),
        "distill.loss_fad_0": (1.0, 1.0, 1.0, 1.0),
        "distill.loss_fad_1": (2.0, 2.0, 2.0, 2.0),
    }
    for key, values in logged.items():
        for value in values:
            hub.update_scalar(f"train/{key}", value)
    monkeypatch.setattr(history.MessageHub, "get_current_instance", lambda: hub)
    runner = SimpleNamespace(
        train_dataloader=Loader(),
        world_size=2,
        max_iters=4,
        max_epochs=2,
        model=torch.nn.Linear(1, 1),
    )
    found = history.summary(runner, 9.0, resumed=1)
    # The second epoch is this process's; the median of all four steps is 6.5 s.
    assert (found.step_s, found.images_per_s) == (3.0, round(16 / 6.5, 2))
    assert found.curve[0] == {"iter": 1, "epoch": 0.5, "loss": 4.0, "loss_fad": 3.0}
