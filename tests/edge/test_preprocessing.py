"""The device's own preparation of a frame against the training environment's."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest

from mkd.edge import metadata as cards
from mkd.edge import preprocessing


@pytest.mark.parametrize("size", [(480, 640), (640, 427), (97, 31), (64, 64), (333, 500)])
@pytest.mark.parametrize("side", [64, 128, 640])
def test_a_frame_is_fitted_to_the_size_mmcv_fits_it_to(size: tuple[int, int], side: int) -> None:
    width, height = mmcv.rescale_size(size[::-1], (side, side))
    assert preprocessing.scale_to_fit(size, side) == (height, width)


@pytest.mark.parametrize("size", [(20, 30), (97, 45), (48, 64), (120, 200)])
def test_scaling_is_opencvs_bilinear_to_one_pixel_value(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    ours = preprocessing.resize(pixels, size)
    theirs = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    assert np.abs(ours - theirs).max() <= 1
    assert np.abs(ours - theirs).mean() < 0.15


def test_the_picture_stands_top_left_on_gray_normalized_in_the_cards_channel_order() -> None:
    card = cards.Card("m", input_px=8, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))
    pixels = np.zeros((4, 8, 3), np.uint8) + np.array([12, 24, 35], np.uint8)
    bgr = preprocessing.prepare(pixels, card)
    assert bgr.shape == (1, 3, 8, 8)
    assert bgr.dtype == np.float32
    np.testing.assert_allclose(bgr[0, :, 0, 0], [1, 1, 1])
    np.testing.assert_allclose(bgr[0, :, 7, 7], [(114 - 10) / 2, (114 - 20) / 4, (114 - 30) / 5])
    rgb = preprocessing.prepare(pixels, replace(card, rgb=True))
    np.testing.assert_allclose(rgb[0, :, 0, 0], [(35 - 10) / 2, 1, (12 - 30) / 5])


def test_a_card_survives_the_file_and_a_newer_card_is_still_read() -> None:
    card = cards.Card("tiny-mkd", "rtmdet-tiny", 0.5, 0, "trained", "int8", 128)
    assert cards.loads(card.dumps(), Path("x.onnx")) == card
    newer = json.dumps({**json.loads(card.dumps()), "invented": 1})
    assert cards.loads(newer, Path("x.onnx")) == card
    assert cards.loads(None, Path("yours.onnx")).model == "yours"
