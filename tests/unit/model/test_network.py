"""Networks: what goes in, what comes out, and how they are rebuilt."""

import numpy as np
import pytest
import torch

from holdfast.errors import CheckpointMismatchError, ConfigError
from holdfast.model.inference import predict
from holdfast.model.network import (
    build_network,
    describe,
    resolve_device,
    restore_network,
    weights_of,
)
from holdfast.model.spec import NetworkConfig

SMALL = NetworkConfig(width=8, device="cpu")


def _images(n, channels=1, side=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, channels, side, side), np.uint8)


def _build(config=SMALL, channels=1, side=8, classes=(4, 2, 7), seed=1):
    return build_network(config, channels=channels, image_size=side, class_ids=classes, seed=seed)


def _header(config, network, channels=1, side=8):
    return {
        "network": describe(config),
        "channels": channels,
        "image_size": side,
        "class_ids": list(network.class_ids),
    }


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (1, 28), (3, 32), (3, 48), (3, 96)])
def test_predict_for_every_image_size_gives_probabilities(channels, side):
    said = predict(_build(channels=channels, side=side), _images(5, channels, side), config=SMALL)
    assert said.pred_probs_nk.shape == (5, 3)
    assert said.embeddings_nd.shape == (5, 16)
    assert said.class_ids_k.tolist() == [4, 2, 7]
    np.testing.assert_allclose(said.pred_probs_nk.sum(axis=1), 1, rtol=1e-5)
    assert set(said.guesses_n.tolist()) <= {2, 4, 7}


def test_predict_of_no_images_gives_empty_arrays():
    said = predict(_build(), _images(0), config=SMALL)
    assert said.pred_probs_nk.shape == (0, 3)
    assert said.embeddings_nd.shape == (0, 16)


def test_predict_in_other_batches_and_order_says_the_same():
    network, images = _build(), _images(13)
    small = NetworkConfig(width=8, batch_size=3, device="cpu")
    one = predict(network, images, config=SMALL)
    other = predict(network, images[::-1], config=small)
    np.testing.assert_allclose(one.pred_probs_nk, other.pred_probs_nk[::-1], atol=1e-6)
    np.testing.assert_allclose(one.embeddings_nd, other.embeddings_nd[::-1], atol=1e-5)


def test_predict_in_bfloat16_stays_close():
    reduced = NetworkConfig(width=8, precision="bfloat16", device="cpu")
    network, images = _build(), _images(13)
    full, half = (predict(network, images, config=config) for config in (SMALL, reduced))
    assert half.pred_probs_nk.dtype == np.float32
    np.testing.assert_allclose(full.pred_probs_nk, half.pred_probs_nk, atol=0.02)


def test_build_from_one_seed_is_the_same_and_touches_no_global_state():
    before = torch.get_rng_state()
    one, two, other = _build(seed=5), _build(seed=5), _build(seed=6)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.encoder.stem.weight, two.encoder.stem.weight)
    assert not torch.equal(one.encoder.stem.weight, other.encoder.stem.weight)


def test_grow_appends_and_leaves_known_logits_alone():
    network = _build().eval()
    images = torch.from_numpy(_images(4))
    before = network(images)
    network.grow([2, 9, 0], torch.Generator().manual_seed(0))
    assert network.class_ids == (4, 2, 7, 9, 0)
    torch.testing.assert_close(network(images)[:, :3], before)


def test_restore_network_gives_every_bit_back():
    network = _build()
    network.grow([11], torch.Generator().manual_seed(0))
    again = restore_network(weights_of(network), _header(SMALL, network), SMALL)
    for key, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert again.class_ids == network.class_ids


def test_restore_network_of_another_width_says_which_setting():
    network = _build()
    with pytest.raises(ConfigError, match=r"network.width is 16 .* with 8"):
        restore_network(weights_of(network), _header(SMALL, network), NetworkConfig(width=16))


def test_restore_network_with_a_weight_missing_names_it():
    network = _build()
    weights = weights_of(network)
    del weights["network.head.bias"]
    with pytest.raises(CheckpointMismatchError, match=r"network.head.bias .*\(3,\).* absent"):
        restore_network(weights, _header(SMALL, network), SMALL)


def test_timm_model_by_name_is_built_grown_and_restored():
    config = NetworkConfig(name="resnet10t", device="cpu")
    network = _build(config, channels=1, side=32)
    network.grow([9], torch.Generator().manual_seed(0))
    images = _images(3, 1, 32)
    again = restore_network(weights_of(network), _header(config, network, side=32), config)
    one, two = (predict(net, images, config=config) for net in (network, again))
    assert one.pred_probs_nk.shape == (3, 4)
    np.testing.assert_array_equal(one.pred_probs_nk, two.pred_probs_nk)


def test_timm_model_that_needs_a_size_gets_it():
    config = NetworkConfig(name="vit_tiny_patch16_224", device="cpu")
    network = _build(config, channels=3, side=32)
    assert predict(network, _images(2, 3, 32), config=config).pred_probs_nk.shape == (2, 3)


def test_timm_model_nobody_knows_is_a_config_error():
    with pytest.raises(ConfigError, match="resnet999"):
        _build(NetworkConfig(name="resnet999"))


def test_pretrained_weights_that_are_not_here_are_a_config_error(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="not on this machine"):
        _build(NetworkConfig(name="resnet10t", pretrained=True), channels=3, side=32)


def test_resolve_device_that_is_not_here_is_a_config_error():
    with pytest.raises(ConfigError, match=r"network.device 'cuda:99'"):
        resolve_device("cuda:99")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pretrained": True}, "no pretrained weights"),
        ({"width": 6}, "multiple of 4"),
        ({"name": "resnet10t", "width": 8}, "no effect"),
        ({"name": ""}, "empty"),
        ({"precision": "float16"}, "precision"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_network_config_that_cannot_be_is_an_error(settings, message):
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(**settings)
