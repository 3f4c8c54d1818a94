"""Synthetic images among the rows of an update."""

import numpy as np
import pytest
import torch

from holdfast.learning.material import Material
from holdfast.learning.replay import Buffer
from holdfast.records import SyntheticMaterial

CPU = torch.device("cpu")
LABELS = np.array([5] * 30 + [9] * 6)


def _material(num, share=0.5, label=9, trust=None):
    count = len(LABELS)
    weights = np.ones(count, np.float32) if trust is None else np.float32(trust)
    merged = Buffer(
        sample_ids_n=np.arange(count) + 100,
        labels_n=LABELS,
        images_nchw=np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2), "u1"),
        trust_n=weights,
        weights_n=weights,
        keys_n=np.linspace(0.1, 0.9, count),
        logits_nk=np.zeros((count, 0), np.float32),
    )
    drawn = SyntheticMaterial(
        images_mchw=np.full((num, 1, 2, 2), 200, np.uint8)
        + np.arange(num, dtype=np.uint8)[:, None, None, None],
        labels_m=np.full(num, label),
        share=share,
    )
    return Material(merged, np.arange(100, 110), [5, 9], CPU, drawn)


def test_synthetic_rows_come_last_and_count_for_no_class():
    material = _material(12)
    assert (len(material), material.num_samples) == (48, 36)
    assert material.counts_k.tolist() == [30, 6]
    assert material.positions_n[36:].tolist() == [1] * 12
    assert material.new_n[36:].all()
    assert material.memory_rows.max() < 36


@pytest.mark.parametrize("share", [0.2, 0.5, 0.6])
def test_synthetic_images_make_up_their_share_of_their_class(share):
    material = _material(12, share)
    of_class = material.trust_n[material.positions_n == 1]
    assert of_class[6:].sum() / of_class.sum() == pytest.approx(share)


def test_few_synthetic_images_are_drawn_no_more_often_than_samples():
    assert _material(2, 0.9).trust_n[36:].tolist() == [1, 1]


def test_synthetic_images_of_a_class_nobody_trusts_are_never_drawn():
    trust = np.r_[np.ones(30), np.zeros(6)]
    assert _material(3, trust=trust).trust_n[36:].tolist() == [0, 0, 0]


def test_images_of_both_kinds_come_in_the_order_they_are_asked_for():
    rows = torch.tensor([36, 3, 38, 0, 36])
    assert _material(4).images(rows)[:, 0, 0, 0].tolist() == [200, 3, 202, 0, 200]


def test_logits_of_synthetic_rows_are_none():
    assert torch.isnan(_material(4).logits_nk[36:]).all()
