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


def test_restore_network_with_factors_on_its_logits_gives_them_back():
    network = _build()
    network.scale_logits(True)
    network.grow([11], torch.Generator().manual_seed(0))
    torch.nn.init.uniform_(network.head.scale, generator=torch.Generator().manual_seed(0))
    again = restore_network(weights_of(network), _header(SMALL, network), SMALL)
    assert torch.equal(again.head.scale, network.head.scale)
    images = torch.from_numpy(_images(4))
    assert torch.equal(again.eval()(images), network.eval()(images))


def test_scale_logits_on_and_off_leaves_the_answers_and_no_trace():
    network, images = _build().eval(), torch.from_numpy(_images(4))
    before, keys = network(images), set(network.state_dict())
    network.scale_logits(True)
    assert set(network.state_dict()) == keys | {"head.scale"}
    assert torch.equal(network(images), before)
    network.scale_logits(False)
    assert set(network.state_dict()) == keys
    assert torch.equal(network(images), before)


def test_answer_is_what_the_head_says_of_the_embeddings():
    network, images = _build().eval(), torch.from_numpy(_images(4))
    logits, embeddings = network.answer(images)
    assert torch.equal(logits, network(images))
    assert torch.equal(embeddings, network.embed(images))


@pytest.mark.parametrize(("channels", "shape"), [(1, (28, 28)), (3, (8, 20))])
def test_mlp_takes_images_of_any_shape(channels, shape):
    config = NetworkConfig(name="mlp", device="cpu")
    network = _build(config, channels, shape)
    network.grow([9], torch.Generator().manual_seed(0))
    images = np.random.default_rng(0).integers(0, 256, (3, channels, *shape), np.uint8)
    said = predict(network, images, config=config)
    assert said.pred_probs_nk.shape == (3, 4)
    assert said.embeddings_nd.shape == (3, 400)
    again = restore_network(
        weights_of(network), _header(config, network, channels, list(shape)), config
    )
    np.testing.assert_array_equal(
        predict(again, images, config=config).pred_probs_nk, said.pred_probs_nk
    )


def test_mlp_is_two_hidden_layers_on_flat_pixels():
    network = _build(NetworkConfig(name="mlp", width=12, device="cpu"))
    shapes = [tuple(value.shape) for value in network.parameters()]
    assert shapes == [(12, 64), (12,), (12, 12), (12,), (3, 12), (3,)]


def test_predict_with_channels_last_says_the_same():
    other = NetworkConfig(width=8, channels_last=True, device="cpu")
    images = _images(5, 3, 32)
    one, two = (
        predict(_build(channels=3, side=32), images, config=config) for config in (SMALL, other)
    )
    np.testing.assert_allclose(one.pred_probs_nk, two.pred_probs_nk, atol=1e-5)


def test_weights_with_channels_last_are_restored_bit_for_bit():
    network = _build()
    before = weights_of(network)
    after = weights_of(network.to(memory_format=torch.channels_last))
    for key, value in before.items():
        assert after[key].flags.c_contiguous
        np.testing.assert_array_equal(value, after[key])


def test_predict_compiled_uses_what_torch_makes_of_the_network(monkeypatch):
    compiled = []

    def stand_in(function):  # the compiler takes minutes
        compiled.append(function)
        return lambda images: function(images.flip(0))

    monkeypatch.setattr(torch, "compile", stand_in)
    network, images = _build(), _images(5)
    two = predict(network, images, config=NetworkConfig(width=8, compile=True, device="cpu"))
    assert compiled == [network.answer]
    one = predict(network, images[::-1], config=SMALL)
    np.testing.assert_array_equal(one.pred_probs_nk, two.pred_probs_nk)


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
        ({"name": "mlp", "width": 0}, "1 or more"),
        ({"name": "mlp", "pretrained": True}, "no pretrained weights"),
        ({"name": "mlp", "channels_last": True}, "no effect"),
        ({"name": "resnet10t", "width": 8}, "no effect"),
        ({"name": ""}, "empty"),
        ({"precision": "float16"}, "precision"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_network_config_that_cannot_be_is_an_error(settings, message):
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(**settings)
