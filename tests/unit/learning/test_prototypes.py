"""Classes with few samples answered by the nearest mean."""

import pytest
import torch

from holdfast.learning.prototypes import prototype_rows, use_prototypes


def _exemplars(sizes, dimensions=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    positions = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    centers = 2 * torch.randn(len(sizes), dimensions, generator=generator)
    noise = torch.randn(len(positions), dimensions, generator=generator)
    return centers[positions] + noise, positions, torch.ones(len(positions))


def _means(embeddings, positions, num):
    return torch.stack([embeddings[positions == k].mean(dim=0) for k in range(num)])


def _nearest_mean_head(means, scale, shared_d, shared):
    return 2 * scale * means + shared_d, shared - scale * means.square().sum(dim=1)


def _random_head(num, dimensions=6):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(num, dimensions, generator=generator), torch.randn(num, generator=generator)


def test_prototypes_of_all_classes_are_the_nearest_class_mean():
    embeddings, positions, weights = _exemplars([4, 9, 3, 5])
    rare, rows, bias = prototype_rows(*_random_head(4), embeddings, positions, weights, 10)
    assert rare.all()
    nearest = torch.cdist(embeddings, _means(embeddings, positions, 4)).argmin(dim=1)
    assert torch.equal((embeddings @ rows.T + bias).argmax(dim=1), nearest)


@pytest.mark.parametrize("scale", [0.01, 0.4, 5.0])
def test_prototypes_beside_nearest_mean_rows_of_any_scale_are_the_missing_ones(scale):
    embeddings, positions, weights = _exemplars([40, 3, 50, 30, 2])
    means = _means(embeddings, positions, 5)
    shared = torch.linspace(-1, 1, 6), torch.tensor(0.7)
    truth, truth_bias = _nearest_mean_head(means, scale, *shared)
    spoiled, spoiled_bias = truth.clone(), truth_bias.clone()
    spoiled[[1, 4]], spoiled_bias[[1, 4]] = 9.0, -9.0
    rare, rows, bias = prototype_rows(
        spoiled, spoiled_bias, embeddings, positions, weights, fewest=10
    )
    assert rare.tolist() == [False, True, False, False, True]
    torch.testing.assert_close(rows, truth, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(bias, truth_bias, rtol=1e-4, atol=1e-4)


def test_prototypes_leave_learned_rows_and_classes_without_exemplars_alone():
    embeddings, positions, weights = _exemplars([40, 3, 50])
    positions[positions == 2] = 3  # class 2 has none
    head, head_bias = _random_head(4)
    rare, rows, bias = prototype_rows(head, head_bias, embeddings, positions, weights, 10)
    assert rare.tolist() == [False, True, False, False]
    assert torch.equal(rows[~rare], head[~rare])
    assert torch.equal(bias[~rare], head_bias[~rare])


def test_prototypes_with_nothing_rare_change_nothing():
    head, head_bias = _random_head(2)
    rare, rows, bias = prototype_rows(head, head_bias, *_exemplars([5, 5]), fewest=5)
    assert not rare.any()
    assert torch.equal(rows, head)
    assert torch.equal(bias, head_bias)


def test_prototypes_of_permuted_exemplars_are_the_same():
    embeddings, positions, weights = _exemplars([30, 4, 20])
    turn = torch.randperm(54, generator=torch.Generator().manual_seed(1))
    one = prototype_rows(*_random_head(3), embeddings, positions, weights, 5)
    two = prototype_rows(*_random_head(3), embeddings[turn], positions[turn], weights[turn], 5)
    torch.testing.assert_close(one, two)


def test_prototypes_follow_trust_and_do_not_count_what_has_none():
    embeddings, positions, weights = _exemplars([30, 6])
    weights[30:33] = 0
    dropped = weights > 0
    one = prototype_rows(*_random_head(2), embeddings, positions, weights, 4)
    two = prototype_rows(
        *_random_head(2), embeddings[dropped], positions[dropped], weights[dropped], 4
    )
    assert one[0].tolist() == [False, True]
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("sizes", [[30, 1], [1, 1], [1]])
def test_prototypes_of_single_samples_stay_finite(sizes):
    rare, rows, bias = prototype_rows(*_random_head(len(sizes)), *_exemplars(sizes), fewest=3)
    assert rare.any()
    assert torch.isfinite(rows).all()
    assert torch.isfinite(bias).all()


@pytest.mark.parametrize("scaled", [False, True])
def test_use_prototypes_changes_what_the_network_answers(small, scaled):
    network = small.network().eval()
    network.scale_logits(scaled)
    if scaled:
        torch.nn.init.uniform_(
            network.head.scale, 0.5, 2.0, generator=torch.Generator().manual_seed(0)
        )
    embeddings, positions, weights = _exemplars([20, 3, 30], dimensions=4)
    before = network.head(embeddings).detach()
    rare = use_prototypes(network, embeddings, positions, weights, fewest=10)
    after = network.head(embeddings).detach()
    assert rare.tolist() == [False, True, False]
    torch.testing.assert_close(after[:, [0, 2]], before[:, [0, 2]])
    assert (after[:, 1] - before[:, 1]).abs().max() > 0.01
    assert network.head.weight.requires_grad
