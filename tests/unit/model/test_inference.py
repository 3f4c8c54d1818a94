import threading

import numpy as np
import pytest
import torch

from holdfast.model import inference
from holdfast.model.inference import predict
from holdfast.model.network import build_network
from holdfast.model.spec import NetworkConfig

CONFIG = NetworkConfig(name="mlp", width=8, device="cpu", batch_size=4)
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 1, 8, 8), np.uint8)


class _ReadRows:
    """Rows that are read when they are asked for."""

    def __init__(self, images, broken_at=None):
        self.shape, self._images, self._broken_at = images.shape, images, broken_at
        self.reads, self.threads = [], set()

    def __len__(self):
        return len(self._images)

    def __getitem__(self, rows):
        self.threads.add(threading.current_thread().name)
        images = self._images[rows]
        self.reads.append(len(images))
        if self._broken_at in range(rows.start, rows.stop):
            raise OSError("no such image")
        return images


def _network():
    network = build_network(CONFIG, channels=1, image_size=8, class_ids=(3, 1, 2), seed=0)
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(0))
    return network


def test_predict_answers_as_the_network_does():
    network = _network().eval()
    said = predict(network, IMAGES, config=CONFIG)
    with torch.no_grad():
        logits, embeddings = network.answer(torch.from_numpy(IMAGES))
    np.testing.assert_allclose(said.pred_probs_nk, torch.softmax(logits, 1).numpy(), atol=1e-6)
    np.testing.assert_allclose(said.embeddings_nd, embeddings.numpy(), atol=1e-5)
    assert said.guesses_n.tolist() == np.array([3, 1, 2])[logits.argmax(1)].tolist()


def test_predict_reads_each_row_once_and_ahead(monkeypatch):
    monkeypatch.setattr(inference, "_CHUNK", 10)
    rows = _ReadRows(IMAGES)
    said = predict(_network(), rows, config=CONFIG)
    expected = predict(_network(), IMAGES, config=CONFIG)
    np.testing.assert_allclose(said.pred_probs_nk, expected.pred_probs_nk, atol=1e-6)
    assert [num for num in rows.reads if num] == [10, 10, 3]
    assert threading.current_thread().name not in rows.threads


def test_predict_row_that_cannot_be_read_raises_its_error(monkeypatch):
    monkeypatch.setattr(inference, "_CHUNK", 10)
    with pytest.raises(OSError, match="no such image"):
        predict(_network(), _ReadRows(IMAGES, broken_at=15), config=CONFIG)


def test_predict_into_other_arrays_fills_them_all():
    made = []

    def allocate(shape, dtype):
        made.append(np.full(shape, np.nan, dtype))
        return made[-1]

    said = predict(_network(), IMAGES, config=CONFIG, allocate=allocate)
    assert said.pred_probs_nk is made[0]
    assert all(np.isfinite(array).all() for array in made)


def test_predict_without_embeddings_keeps_none():
    said = predict(_network(), IMAGES, config=CONFIG, keep_embeddings=False)
    assert said.embeddings_nd.shape == (23, 0)
    expected = predict(_network(), IMAGES, config=CONFIG)
    np.testing.assert_array_equal(said.pred_probs_nk, expected.pred_probs_nk)


def test_predict_tells_how_far_it_is():
    told = []
    predict(_network(), IMAGES, config=CONFIG, told=lambda done, total: told.append((done, total)))
    assert told == [(4, 23), (8, 23), (12, 23), (16, 23), (20, 23), (23, 23)]


def test_predict_no_images_returns_no_rows():
    said = predict(_network(), IMAGES[:0], config=CONFIG)
    assert (said.pred_probs_nk.shape, said.embeddings_nd.shape) == ((0, 3), (0, 8))


def test_predict_in_half_precision_says_nearly_the_same():
    half = NetworkConfig(name="mlp", width=8, device="cpu", precision="bfloat16")
    said = predict(_network(), IMAGES, config=half)
    expected = predict(_network(), IMAGES, config=CONFIG)
    assert said.pred_probs_nk.dtype == np.float32
    np.testing.assert_allclose(said.pred_probs_nk, expected.pred_probs_nk, atol=0.05)
