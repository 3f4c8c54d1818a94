"""Models of several rounds that answer together.

Shape suffixes: n images, c members (of images: channels), h rows, w columns, d embedding
dimensions, k classes, j classes an older member knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from holdfast.model.network import PREFIX, Network, filled_network, restore_network
from holdfast.model.spec import NetworkConfig

# Names of the weights of earlier models among the tensors of a learner state: `member.0.`
# is the oldest. The newest is the network itself.
MEMBER = "member."


class Ensemble(nn.Module):
    """Networks whose probabilities are averaged; the newest knows every class.

    An older member that has not met all classes only has a say on those it knows: it
    divides what the newest gives to all of them together.

    Parameters
    ----------
    members : sequence of Network
        Oldest first. The classes of each are the first ones of the next.

    Raises
    ------
    ValueError
        If there is no member, or the classes do not follow each other.

    References
    ----------
    .. [1] Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation
       using Deep Ensembles", NeurIPS 2017.
    .. [2] Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", ICLR 2017 (models
       from one course of training).
    """

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble should have at least one member")
        self.class_ids = members[-1].class_ids
        for member in members:
            if member.class_ids != self.class_ids[: len(member.class_ids)]:
                raise ValueError(
                    f"a member knows classes {member.class_ids}, which are not the first ones of "
                    f"{self.class_ids}"
                )
        self.members = nn.ModuleList(members)

    @property
    def newest(self) -> Network:
        """The member of the latest round."""
        member: Network = self.members[-1]  # type: ignore[assignment]  # a list of modules
        return member

    @property
    def num_features(self) -> int:
        """Embedding dimensions of the newest member."""
        return self.newest.num_features

    def embed(self, images_nchw: Tensor) -> Tensor:
        """Return embeddings of the newest member, shape (N, D)."""
        return self.newest.embed(images_nchw)

    def opinions(self, images_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """Return each member's probabilities, shape (C, N, K), oldest first, and embeddings."""
        logits, embeddings = self.newest.answer(images_nchw)
        newest_nk = torch.softmax(logits.float(), dim=1)
        probs = []
        for member in list(self.members)[:-1]:
            old_nj = torch.softmax(member(images_nchw).float(), dim=1)
            num_known = old_nj.shape[1]
            known_n1 = newest_nk[:, :num_known].sum(dim=1, keepdim=True)
            probs.append(torch.cat([old_nj * known_n1, newest_nk[:, num_known:]], dim=1))
        return torch.stack([*probs, newest_nk]), embeddings

    def answer(self, images_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """Return logarithms of probabilities, shape (N, K), and embeddings, shape (N, D)."""
        probs_cnk, embeddings = self.opinions(images_nchw)
        tiny = torch.finfo(probs_cnk.dtype).tiny
        return torch.log(probs_cnk.mean(dim=0).clamp(min=tiny)), embeddings

    def forward(self, images_nchw: Tensor) -> Tensor:
        """Return logarithms of probabilities, shape (N, K), in the order of `class_ids`."""
        return self.answer(images_nchw)[0]


def restore_model(
    tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any], config: NetworkConfig
) -> Network | Ensemble:
    """Return what answers for a learner state: its network, with earlier ones where it has them.

    Parameters
    ----------
    tensors, header : mapping
        As for `restore_network`, which gives the network to go on learning with. The header
        may hold `members`: the number of classes of each earlier model, oldest first; their
        weights start with `member.0.`, `member.1.` and so on.

    Raises
    ------
    ConfigError, CheckpointMismatchError
        As `restore_network`.
    """
    network = restore_network(tensors, header, config)
    counts: Sequence[int] = header.get("members", ())
    if not counts:
        return network
    earlier = [
        filled_network(tensors, f"{MEMBER}{i}.", header, header["class_ids"][:count], config)
        for i, count in enumerate(counts)
    ]
    return Ensemble([*earlier, network])


def earlier_members(
    tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any], num: int
) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """Return the tensors and class counts of a state's last models, for the state after it.

    Parameters
    ----------
    tensors, header : mapping
        The state before.
    num : int
        Models wanted, 0 or more, its own network included; fewer come back where it has
        fewer.

    Returns
    -------
    tensors : dict of str to ndarray
        Named `member.0.` and so on, oldest first.
    counts : list of int
        What `members` in the header should be.
    """
    counts = [*header.get("members", ()), len(header["class_ids"])]
    prefixes = [f"{MEMBER}{i}." for i in range(len(counts) - 1)] + [PREFIX]
    first = max(len(counts) - num, 0)
    kept = {
        f"{MEMBER}{i}.{key[len(prefix) :]}": value
        for i, prefix in enumerate(prefixes[first:])
        for key, value in tensors.items()
        if key.startswith(prefix)
    }
    return kept, counts[first:]
