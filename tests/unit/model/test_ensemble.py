"""Models of several rounds that answer together."""

import numpy as np
import pytest
import torch

from holdfast.errors import CheckpointMismatchError
from holdfast.model.ensemble import Ensemble, earlier_members, restore_model
from holdfast.model.inference import predict
from holdfast.model.network import Network, build_network, describe, weights_of
from holdfast.model.spec import NetworkConfig

CONFIG = NetworkConfig(name="mlp", width=8, device="cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 1, 8, 8), np.uint8)


def _network(classes, seed):
    network = build_network(CONFIG, channels=1, image_size=8, class_ids=classes, seed=seed)
    # As surely as a trained one.
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(seed))
    return network.eval()


def _probs(network):
    return torch.softmax(network(torch.from_numpy(IMAGES)), dim=1).detach()


def _state(network, earlier=(), counts=()):
    tensors = weights_of(network) | dict(earlier)
    header = {
        "network": describe(CONFIG),
        "channels": 1,
        "image_size": [8, 8],
        "class_ids": list(network.class_ids),
        "members": list(counts),
    }
    return tensors, header


def test_ensemble_of_one_answers_as_its_member():
    network = _network((4, 2, 7), 1)
    torch.testing.assert_close(
        torch.exp(Ensemble([network])(torch.from_numpy(IMAGES))), _probs(network)
    )


def test_ensemble_of_equal_members_answers_as_one():
    network = _network((4, 2), 1)
    torch.testing.assert_close(
        torch.exp(Ensemble([network] * 3)(torch.from_numpy(IMAGES))), _probs(network)
    )


def test_ensemble_averages_members_that_know_the_same():
    members = [_network((4, 2, 7), seed) for seed in (1, 2)]
    torch.testing.assert_close(
        torch.exp(Ensemble(members)(torch.from_numpy(IMAGES))),
        (_probs(members[0]) + _probs(members[1])) / 2,
    )


def test_older_member_only_divides_what_the_newest_gives_to_its_classes():
    old, new = _network((4, 2), 1), _network((4, 2, 7), 2)
    ensemble = Ensemble([old, new])
    probs = torch.exp(ensemble(torch.from_numpy(IMAGES)))
    assert ensemble.class_ids == (4, 2, 7)
    torch.testing.assert_close(probs.sum(dim=1), torch.ones(7))
    torch.testing.assert_close(probs[:, 2], _probs(new)[:, 2])
    known = 1 - _probs(new)[:, 2:]
    torch.testing.assert_close(probs[:, :2], (_probs(old) * known + _probs(new)[:, :2]) / 2)


def test_ensemble_embeds_as_its_newest_member():
    ensemble = Ensemble([_network((4,), 1), _network((4, 2), 2)])
    images = torch.from_numpy(IMAGES)
    assert torch.equal(ensemble.embed(images), ensemble.newest.embed(images))
    said = predict(ensemble, IMAGES, config=CONFIG)
    np.testing.assert_allclose(said.embeddings_nd, ensemble.embed(images).detach(), atol=1e-6)
    np.testing.assert_allclose(said.pred_probs_nk, torch.exp(ensemble(images)).detach(), atol=1e-6)
    assert said.class_ids_k.tolist() == [4, 2]


@pytest.mark.parametrize("classes", [((2, 4), (4, 2, 7)), ((4, 2, 7), (4, 2)), ()])
def test_ensemble_of_members_that_do_not_follow_each_other_is_an_error(classes):
    with pytest.raises(ValueError, match=r"member"):
        Ensemble([_network(ids, 1) for ids in classes])


def test_restore_model_without_earlier_members_is_the_network():
    network = _network((4, 2), 1)
    again = restore_model(*_state(network), CONFIG).eval()
    assert isinstance(again, Network)
    assert torch.equal(_probs(again), _probs(network))


def test_restore_model_gives_the_last_models_of_many_rounds():
    rounds = [_network(ids, seed) for seed, ids in enumerate([(4,), (4, 2), (4, 2), (4, 2, 7)])]
    rounds[1].scale_logits(True)  # members need not be of one kind
    tensors, header = _state(rounds[0])
    for network in rounds[1:]:
        tensors, header = _state(network, *earlier_members(tensors, header, 2))
    assert header["members"] == [2, 2]
    again = restore_model(tensors, header, CONFIG).eval()
    images = torch.from_numpy(IMAGES)
    assert torch.equal(again(images), Ensemble(rounds[1:])(images))


def test_earlier_members_of_none_are_none():
    tensors, header = _state(_network((4,), 1))
    assert earlier_members(tensors, header, 0) == ({}, [])


def test_restore_model_with_a_weight_missing_names_it():
    tensors, header = _state(_network((4,), 1))
    tensors, header = _state(_network((4, 2), 2), *earlier_members(tensors, header, 1))
    del tensors["member.0.head.bias"]
    with pytest.raises(CheckpointMismatchError, match=r"member.0.head.bias"):
        restore_model(tensors, header, CONFIG)
