"""Heads that grow, with and without factors on their logits."""

import pytest
import torch

from holdfast.model import heads

EMBEDDINGS = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


def _head(scaled):
    head = heads.new_head(4, 3)
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.normal_(head.bias, generator=torch.Generator().manual_seed(2))
    if scaled:
        head = heads.scaled(head)
        torch.nn.init.uniform_(head.scale, 0.5, 2, generator=torch.Generator().manual_seed(3))
    return head


@pytest.mark.parametrize("scaled", [False, True])
def test_grown_head_keeps_its_logits_and_kind(scaled):
    head = _head(scaled)
    more = heads.grown(head, 2, torch.Generator().manual_seed(0))
    assert type(more) is type(head)
    torch.testing.assert_close(more(EMBEDDINGS)[:, :3], head(EMBEDDINGS))
    assert more(EMBEDDINGS)[:, 3:].abs().max() < 0.2
    assert all(weight.requires_grad for weight in more.parameters())
    if scaled:
        assert more.scale[3:].tolist() == [1, 1]


def test_scaled_head_says_the_same_at_first_and_then_learns_its_factors():
    head = _head(False)
    scaled = heads.scaled(head)
    assert torch.equal(scaled(EMBEDDINGS), head(EMBEDDINGS))
    assert heads.scaled(scaled) is scaled
    scaled(EMBEDDINGS)[:, 1].sum().backward()
    assert scaled.scale.grad[1] == head(EMBEDDINGS)[:, 1].sum()
    assert scaled.scale.grad[[0, 2]].tolist() == [0, 0]


def test_unscaled_head_says_the_same_without_factors():
    head = _head(True)
    plain = heads.unscaled(head)
    assert set(plain.state_dict()) == {"weight", "bias"}
    torch.testing.assert_close(plain(EMBEDDINGS), head(EMBEDDINGS))
    assert heads.unscaled(plain) is plain
