"""Losses per sample over soft targets."""

import pytest
import torch
from torch.nn import functional

from holdfast.learning import losses
from holdfast.learning.losses import build_loss, cross_entropy, soft_targets
from holdfast.learning.settings import LOSSES, ImbalanceConfig

LOGITS = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
POSITIONS = torch.arange(16) % 5
COUNTS = torch.tensor([500.0, 100.0, 40.0, 8.0, 1.0])
NATURAL = COUNTS / COUNTS.sum()
EQUAL = torch.full((5,), 0.2)
SMOOTH = soft_targets(POSITIONS, 5, 0.1)
MIXED = 0.3 * SMOOTH + 0.7 * SMOOTH.flip(0)
WEIGHING = ("class_weighted", "effective_number", "ldam")
FOLLOWING = (*WEIGHING, "balanced_softmax", "logit_adjustment")


def _build(name, counts=COUNTS, shares=NATURAL, gamma=2.0):
    config = ImbalanceConfig(loss=name, focal_gamma=gamma, class_balance=0.5)
    return build_loss(config, counts, shares)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_equals_torch(smoothing):
    torch.testing.assert_close(
        cross_entropy(LOGITS, soft_targets(POSITIONS, 5, smoothing)),
        functional.cross_entropy(LOGITS, POSITIONS, label_smoothing=smoothing, reduction="none"),
    )


def test_cross_entropy_of_a_class_left_out_is_that_of_the_others():
    left_out = LOGITS.clone()
    left_out[:, 4] = -torch.inf
    targets = soft_targets(POSITIONS % 4, 5, 0.0)
    torch.testing.assert_close(
        cross_entropy(left_out, targets), cross_entropy(LOGITS[:, :4], targets[:, :4])
    )


def test_build_loss_knows_every_name_of_the_settings():
    assert set(losses._LOSSES) == set(LOSSES)


@pytest.mark.parametrize("targets", [SMOOTH, MIXED, soft_targets(POSITIONS, 5, 0.0)])
@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"focal", "ldam"}))
def test_loss_of_classes_alike_is_cross_entropy(name, targets):
    loss = _build(name, counts=torch.full((5,), 30.0), shares=EQUAL)
    # Balanced softmax adds the same to all logits.
    torch.testing.assert_close(loss(LOGITS, targets, 0.0), cross_entropy(LOGITS, targets))


@pytest.mark.parametrize("name", ["class_weighted", "balanced_softmax", "logit_adjustment"])
def test_loss_of_classes_drawn_equally_often_needs_no_correction(name):
    loss = _build(name, shares=EQUAL)
    torch.testing.assert_close(loss(LOGITS, SMOOTH, 0.0), cross_entropy(LOGITS, SMOOTH))


@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_permuted_classes_and_samples_is_permuted(name):
    turn = torch.tensor([3, 0, 4, 1, 2])
    one = _build(name)(LOGITS, MIXED, 0.9)
    other = _build(name, counts=COUNTS[turn], shares=NATURAL[turn])
    torch.testing.assert_close(
        other(LOGITS[:, turn].flip(0), MIXED[:, turn].flip(0), 0.9), one.flip(0)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_extreme_logits_stays_finite_with_its_gradient(name):
    loss = _build(name, gamma=0.5)
    extreme = torch.tensor([[1e4, -1e4, 0, 0, 3.0], [-1e4, 1e4, 0, 0, 3.0], [0.0] * 5])
    logits = torch.cat([extreme, extreme]).requires_grad_()
    targets = torch.cat([soft_targets(torch.zeros(3).long(), 5, s) for s in (0.0, 0.1)])
    for done in (0.0, 0.95):
        found = loss(logits, targets, done)
        (gradient,) = torch.autograd.grad(found.sum(), logits)
        assert torch.isfinite(found).all()
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", FOLLOWING)
def test_loss_of_a_class_never_drawn_leaves_its_logit_alone(name):
    counts, shares = (torch.cat([values, torch.zeros(2)]) for values in (COUNTS, NATURAL))
    logits = torch.randn(16, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
    targets = soft_targets(POSITIONS, 7, 0.1)
    for done in (0.0, 0.9):
        found = _build(name, counts, shares)(logits, targets, done)
        (gradient,) = torch.autograd.grad(found.sum(), logits)
        assert torch.isfinite(gradient).all()
        assert (gradient[:, 5:] == 0).all()
        assert (gradient[:, :5] != 0).any()


@pytest.mark.parametrize("name", LOSSES)
def test_loss_after_the_head_has_grown_says_the_same_of_old_classes(name):
    old = _build(name)(LOGITS, soft_targets(POSITIONS, 5, 0.0), 0.9)
    counts, shares = (torch.cat([values, torch.zeros(1)]) for values in (COUNTS, NATURAL))
    grown = torch.cat([LOGITS, torch.full((16, 1), -1e6)], dim=1)
    new = _build(name, counts, shares)(grown, soft_targets(POSITIONS, 6, 0.0), 0.9)
    torch.testing.assert_close(new, old)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_has_the_gradient_of_finite_differences(name):
    loss = _build(name)
    logits = LOGITS[:6].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, MIXED[:6].double(), 0.5), logits)


@pytest.mark.parametrize("name", ["class_weighted", "effective_number"])
def test_weights_over_what_is_drawn_have_a_mean_of_one(name):
    for shares in (NATURAL, EQUAL):
        even = torch.zeros(5, 5)
        weighed = _build(name, shares=shares)(even, torch.eye(5), 0.0)
        plain = cross_entropy(even, torch.eye(5))
        torch.testing.assert_close((shares * weighed / plain).sum(), torch.tensor(1.0))


def test_class_weighted_equals_torch_with_weights():
    weights = 1 / (5 * NATURAL)
    torch.testing.assert_close(
        _build("class_weighted")(LOGITS, soft_targets(POSITIONS, 5, 0.0), 0.0),
        functional.cross_entropy(LOGITS, POSITIONS, weight=weights, reduction="none"),
    )


def test_effective_number_follows_its_formula_and_lies_between_none_and_inverse():
    beta = 1 - 1 / COUNTS.max().double()
    wanted = (1 - beta) / (1 - beta ** COUNTS.double())
    even, rows = torch.zeros(5, 5), torch.eye(5)
    weights = _build("effective_number")(even, rows, 0.0).double()
    torch.testing.assert_close(weights / weights[0], wanted / wanted[0], rtol=1e-4, atol=0)
    inverse = _build("class_weighted")(even, rows, 0.0)
    assert 1 < weights[4] / weights[0] < inverse[4] / inverse[0]


def test_effective_number_sums_the_same_whatever_is_drawn():
    even, rows = torch.zeros(5, 5), torch.eye(5)
    masses = [
        shares * _build("effective_number", shares=shares)(even, rows, 0.0)
        for shares in (NATURAL, EQUAL)
    ]
    torch.testing.assert_close(masses[0], masses[1])


def test_focal_without_gamma_is_cross_entropy():
    torch.testing.assert_close(
        _build("focal", gamma=1e-9)(LOGITS, MIXED, 0.0), cross_entropy(LOGITS, MIXED)
    )


def test_focal_of_one_label_is_the_published_formula():
    probs = torch.softmax(LOGITS, dim=1)[torch.arange(16), POSITIONS]
    torch.testing.assert_close(
        _build("focal")(LOGITS, soft_targets(POSITIONS, 5, 0.0), 0.0),
        -((1 - probs) ** 2) * torch.log(probs),
    )


def test_focal_of_a_mixed_target_that_is_met_is_zero():
    found = _build("focal")(torch.log(MIXED), MIXED, 0.0)
    torch.testing.assert_close(found, torch.zeros(16), atol=1e-6, rtol=0)


def test_balanced_softmax_asks_more_of_rare_classes():
    even = _build("balanced_softmax")(torch.zeros(5, 5), torch.eye(5), 0.0)
    assert (even.diff() > 0).all()


def test_logit_adjustment_is_balanced_softmax():
    one, two = (_build(name)(LOGITS, MIXED, 0.0) for name in FOLLOWING[-2:])
    torch.testing.assert_close(one, two)


def test_ldam_margins_fall_with_the_fourth_root_of_the_count():
    found = _build("ldam")(torch.zeros(5, 5), torch.eye(5), 0.0)
    # With all logits 0 the loss is log(1 + 4 exp(margin)).
    margins = torch.log(torch.expm1(found) / 4)
    wanted = losses.MARGIN_SCALE * losses.LARGEST_MARGIN * COUNTS**-0.25
    torch.testing.assert_close(margins, wanted)


def test_ldam_weighs_classes_in_the_last_fifth_only():
    early, late = (_build("ldam")(torch.zeros(5, 5), torch.eye(5), done) for done in (0.79, 0.8))
    even = torch.zeros(5, 5)
    weights = _build("effective_number")(even, torch.eye(5), 0.0) / cross_entropy(
        even, torch.eye(5)
    )
    torch.testing.assert_close(late, early * weights)


def test_build_loss_without_any_class_to_learn_is_an_error():
    with pytest.raises(ValueError, match="nothing to learn"):
        _build("focal", counts=torch.tensor([1.0, 0.0]), shares=torch.tensor([0.0, 1.0]))
