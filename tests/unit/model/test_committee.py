import numpy as np
import pytest
import torch

from holdfast.errors import ConfigError
from holdfast.model.committee import predict_committee, reduced
from holdfast.model.ensemble import Ensemble
from holdfast.model.inference import predict
from holdfast.model.network import Network, build_network
from holdfast.model.spec import NetworkConfig

CONFIG = NetworkConfig(name="mlp", width=12, dropout=0.4, device="cpu", batch_size=4)
IMAGES = np.random.default_rng(0).integers(0, 256, (11, 1, 8, 8), np.uint8)


def _network(config=CONFIG, classes=(4, 2, 7), seed=1) -> Network:
    network = build_network(config, channels=1, image_size=8, class_ids=classes, seed=seed)
    # As surely as a trained one.
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(seed))
    return network


def _ask(network, images=IMAGES, config=CONFIG, seed=3, **options):
    rng = np.random.default_rng(seed)
    return predict_committee(network, images, config=config, rng=rng, **options)


def _entropy(probs):
    return -(probs * np.log(np.maximum(probs, 1e-30))).sum(-1)


def test_reduced_equals_the_formulas_over_all_members():
    probs = torch.softmax(2 * torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0)), 2)
    mean, votes, entropy, max_kl = (one.numpy() for one in reduced(probs))
    members = probs.numpy()
    np.testing.assert_allclose(mean, members.mean(0), rtol=1e-6)
    choices = members.argmax(2)
    np.testing.assert_array_equal(votes, (choices[..., None] == np.arange(3)).sum(0))
    np.testing.assert_allclose(entropy, _entropy(members).mean(0), rtol=1e-5)
    apart = (members * np.log(members / members.mean(0))).sum(2)
    np.testing.assert_allclose(max_kl, apart.max(0), atol=1e-6)
    # What is known of the mean and not of the members is what they disagree about.
    np.testing.assert_allclose(_entropy(mean) - entropy, apart.mean(0), atol=1e-6)


def test_committee_of_equal_members_disagrees_about_nothing():
    said = _ask(Ensemble([_network()] * 3))
    np.testing.assert_allclose(said.max_kl_n, 0, atol=1e-5)
    assert sorted(np.unique(said.votes_nk).tolist()) == [0, 3]


def test_committee_of_an_ensemble_predicts_as_the_ensemble():
    ensemble = Ensemble([_network(classes=(4, 2), seed=1), _network(seed=2)])
    said = _ask(ensemble)
    plain = predict(ensemble, IMAGES, config=CONFIG)
    np.testing.assert_allclose(said.predictions.pred_probs_nk, plain.pred_probs_nk, atol=1e-6)
    np.testing.assert_allclose(said.mean_probs_nk, plain.pred_probs_nk, atol=1e-6)
    np.testing.assert_allclose(said.predictions.embeddings_nd, plain.embeddings_nd, atol=1e-6)
    assert (said.votes_nk.sum(axis=1) == 2).all()


def test_committee_of_passes_predicts_as_the_network_without_dropout():
    said, plain = _ask(_network()), predict(_network(), IMAGES, config=CONFIG)
    np.testing.assert_allclose(said.predictions.pred_probs_nk, plain.pred_probs_nk, atol=1e-6)
    assert (said.votes_nk.sum(axis=1) == 20).all()
    assert (said.max_kl_n > 0).all()


def test_committee_of_many_passes_means_what_dropout_means():
    said = _ask(_network(), passes=255)
    network = _network().train()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        images = torch.from_numpy(IMAGES)
        mean = torch.stack([torch.softmax(network(images), 1) for _ in range(2000)]).mean(0)
    np.testing.assert_allclose(said.mean_probs_nk, mean.numpy(), atol=0.08)


def test_committee_says_the_same_about_an_image_in_whatever_company():
    order = np.random.default_rng(1).permutation(len(IMAGES))
    all_together, shuffled = _ask(_network()), _ask(_network(), IMAGES[order])
    np.testing.assert_allclose(shuffled.max_kl_n, all_together.max_kl_n[order], atol=1e-6)
    np.testing.assert_array_equal(shuffled.votes_nk, all_together.votes_nk[order])


def test_committee_other_seed_leaves_out_other_parts():
    one, other = _ask(_network(), seed=3), _ask(_network(), seed=4)
    assert not np.allclose(one.mean_probs_nk, other.mean_probs_nk)


def test_committee_of_no_images_is_empty():
    said = _ask(_network(), IMAGES[:0])
    assert said.votes_nk.shape == said.mean_probs_nk.shape == (0, 3)


def test_committee_of_one_network_without_dropout_never_disagrees():
    config = NetworkConfig(name="mlp", width=12, device="cpu")
    said = _ask(_network(config), config=config)
    np.testing.assert_allclose(said.mean_probs_nk, said.predictions.pred_probs_nk, atol=1e-6)
    np.testing.assert_array_equal(said.votes_nk.sum(axis=1), 1)
    np.testing.assert_allclose(said.max_kl_n, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("passes", "said"), [(1, "at least 2, not 1"), (256, "at most 255 members, not 256")]
)
def test_committee_of_too_few_or_many_passes_is_refused(passes, said):
    with pytest.raises(ValueError, match=said):
        _ask(_network(), passes=passes)


def test_dropout_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"network\.dropout should be between 0 and 0\.9, not 1"):
        NetworkConfig(dropout=1.0)


def test_dropout_leaves_weights_and_answers_as_they_are():
    config = NetworkConfig(name="mlp", width=12, device="cpu")
    one, other = _network(), _network(config)
    assert one.state_dict().keys() == other.state_dict().keys()
    images = torch.from_numpy(IMAGES)
    torch.testing.assert_close(one.eval()(images), other.eval()(images))
