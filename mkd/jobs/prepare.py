"""What trainings read: a data set that is made or checked, and backbones pretrained on it."""

from pathlib import Path
from tempfile import TemporaryDirectory

from mkd.data import coco, fingerprint, making, overlap
from mkd.data.summary import DatasetSummary, check_classes, table
from mkd.errors import UserError
from mkd.experiment import config, paths, run_digests
from mkd.experiment.suite import Suite
from mkd.files import write_json
from mkd.jobs.around import hide_gpus


def prepare_data(suite: Suite, out: Path) -> None:
    """Make the embedded data set where the scale uses it, check the data, write its digest."""
    data, root = suite.settings.data, suite.data_root
    if not making.make(data, root) and not root.is_dir():
        where = (
            "put COCO 2017 there (annotations/, train2017/, val2017/) or name its folder under "
            "data.coco in config/config.yaml"
            if data.published_classes
            else f"name the right one under data.root in {suite.file}"
        )
        raise UserError(f"the data folder {root} does not exist: {where}")
    for run, path in paths.missing_pretrained(suite).items():
        raise UserError(
            f"the weights file {path} of run '{run}' is not there: put it there, or correct its "
            "name; `mkd weights` lists all that this scale reads"
        )
    missing = paths.missing_weights(suite)
    if missing:
        raise UserError(
            f"scale '{suite.scale}' starts from ImageNet weights that are not there: "
            f"{', '.join(map(str, missing))}; put the releases of these names there (cspnext: "
            "OpenMMLab's, resnet: torchvision's)"
        )
    splits = data.splits
    masks = any(run.architecture.has_masks for run in suite.runs.values())
    # First, so that what changes while it is looked at is found.
    stamp = fingerprint.stamp(root, *splits.values())
    summaries = {
        "train": coco.check(root, *splits["train"], masks=masks, first=data.first_images),
        "val": coco.check(root, *splits["val"], masks=masks, scored=True),
    }
    check_classes(summaries["train"], summaries["val"], root)
    overlap.check_apart(root, splits["train"], splits["val"])
    _check_size(suite, summaries["train"])
    _check_detections(suite, summaries["val"])
    _check_batches(suite, summaries["train"])
    print(table(summaries))
    digest, files = fingerprint.read_all(root, *splits.values())
    copies = overlap.copied(root, splits["train"], splits["val"], *files)
    if copies:
        print(copies)
    write_json(
        out,
        {
            "digest": digest,
            "stamp": stamp,
            "splits": {name: vars(summary) for name, summary in summaries.items()},
            **({config.OWNER: str(suite.file)} if suite.own else {}),
        },
    )


def _check_size(suite: Suite, train: DatasetSummary) -> None:
    wanted = suite.settings.data.first_images
    if wanted is not None and train.images < wanted:
        raise UserError(
            f"the train set in {suite.data_root} has {train.images} images, fewer than the "
            f"{wanted} of scale '{suite.scale}': complete it, or make data.train_images in the "
            "scale's file smaller"
        )


def _check_detections(suite: Suite, val: DatasetSummary) -> None:
    """Refuse images with more objects than detections that are kept: no AP could be right."""
    for run in filter(suite.scored, suite.runs):
        most = suite.evaluate(run).max_per_image
        if most is not None and val.densest > most:
            raise UserError(
                f"an image of the val set in {suite.data_root} has {val.densest} objects, and "
                f"scale '{suite.scale}' keeps {most} detections of an image: write "
                f"evaluate: {{max_per_image: {val.densest}}} or more in the scale's file"
            )


def _check_batches(suite: Suite, train: DatasetSummary) -> None:
    trained = [suite.train(run) for run in suite.runs if not suite.taken(run)]
    batch = max((recipe.batch_size * recipe.devices for recipe in trained), default=1)
    if train.usable < batch:
        raise UserError(
            f"{train.usable} images of the train set in {suite.data_root} can be learned from, "
            f"fewer than the {batch} of one batch of scale '{suite.scale}': add images, or make "
            "batch_size in the scale's file smaller"
        )
    starts, pretraining = suite.settings.train.pretrained, suite.settings.pretrain
    crops = pretraining.batch_size if pretraining is not None and starts == "crops" else 1
    if starts == "crops" and sum(map(bool, train.objects.values())) < 2:
        raise UserError(
            f"the train set in {suite.data_root} has objects of one class alone, and crops of one "
            "class teach a backbone nothing: write train.pretrained: none in the scale's file"
        )
    if train.instances < crops:
        raise UserError(
            f"the train set in {suite.data_root} has {train.instances} objects, fewer than the "
            f"{crops} of one batch of the pretraining on crops: add images, or make "
            "pretrain.batch_size in the scale's file smaller"
        )


def pretrain(suite: Suite, size: str, data: Path | None, out: Path) -> None:
    """Pretrain the backbone of one size on crops of the train set.

    Args:
        suite: The scale and its table of runs.
        size: The backbone's size.
        data: What :func:`prepare_data` wrote; None for the scale's own.
        out: The weights file.

    Raises:
        UserError: No run has that size, the scale pretrains nothing, or the data have changed.
    """
    settings, sizes = suite.settings, run_digests.backbones(suite)
    if size not in sizes or settings.pretrain is None:
        raise UserError(
            f"scale '{suite.scale}' pretrains no backbone '{size}': "
            f"{'its sizes are ' + ', '.join(sizes) if settings.pretrain else 'nor any other'}"
        )
    fingerprint.verify_data(suite, data)
    hide_gpus(suite)
    from mkd.training import pretraining, weights

    run = suite.run(sizes[size])
    with TemporaryDirectory() as folder:
        backbone, accuracy = pretraining.pretrain(
            run.architecture,
            suite.width(run.id),
            settings.pretrain,
            suite.data_root,
            settings.data,
            Path(folder),
        )
    weights.save(backbone, out, {"backbone": size, "accuracy": accuracy})
