"""A configuration's loaders, against the parts of it that are trained with.

The suite makes the data loaders itself, of a configuration's ``train_pipeline``, ``test_pipeline``
and sampler. What a configuration says in another place would be left out without a word.
"""

from typing import Any

from mkd.detectors import models  # before mmdet
from mkd.detectors.architectures import Architecture
from mkd.errors import UserError


def check(arch: Architecture) -> None:
    """Refuse a configuration whose loaders have pipelines of their own, or no sampler.

    Args:
        arch: Any architecture; those of the suite's own families are left alone.

    Raises:
        UserError: It has.
    """
    if not arch.generic:
        return
    config = models.official_config(arch)
    loaders = {"train_dataloader": "train_pipeline"}
    if arch.digest is not None:
        # Some of mmdet's own are scored on videos.
        loaders["val_dataloader"] = "test_pipeline"
    for loader, name in loaders.items():
        said = config.get(loader)
        own = _pipeline((said or {}).get("dataset"))
        if own is not None and _unscoped(own) != _unscoped(config.get(name)):
            raise UserError(
                f"{arch.config}: {loader} has another pipeline than {name}, by which the suite "
                f"makes its loaders: make the two one"
            )
    if "sampler" not in (config.get("train_dataloader") or {}):
        raise UserError(
            f"{arch.config}: train_dataloader names no sampler: add "
            "sampler=dict(type='DefaultSampler', shuffle=True)"
        )


def _pipeline(dataset: Any) -> Any:
    """That of the outermost data set that has one: one that mixes images holds another."""
    while isinstance(dataset, dict):
        if "pipeline" in dataset:
            return dataset["pipeline"]
        dataset = dataset.get("dataset")
    return None


def _unscoped(value: Any) -> Any:
    """Steps without the name of the library that mmengine writes into those of its own files."""
    if isinstance(value, dict):
        return {key: _unscoped(item) for key, item in value.items() if key != "_scope_"}
    if isinstance(value, list | tuple):
        return [_unscoped(item) for item in value]
    return value
