"""An update put down in the middle, and taken up again as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.learning.batches import Batches
from holdfast.learning.learner import LearnerState
from holdfast.learning.parts import Part, Update
from holdfast.learning.settings import LearningConfig
from holdfast.model.spec import NetworkConfig
from holdfast.records import Experience


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """All that changes while an update runs, copied.

    Attributes
    ----------
    tensors : mapping of str to ndarray
        Weights, optimizer, parts, batches and torch generators.
    header : mapping of str to JSON
        Steps done, the state of the numpy generator, and the factor on the learning rate.
    """

    tensors: Mapping[str, NDArray[Any]]
    header: Mapping[str, Any]


def capture(
    update: Update, parts: Sequence[Part], batches: Batches, rate_factor: float
) -> Position:
    """Return where an update stands, between two steps."""
    held: dict[str, torch.Tensor] = {
        f"network.{key}": value for key, value in update.network.state_dict().items()
    }
    for place, state in update.optimizer.state_dict()["state"].items():
        held |= {f"optimizer.{place}.{key}": torch.as_tensor(v) for key, v in state.items()}
    for part in parts:
        held |= {f"part.{part.name}.{key}": value for key, value in part.tensors().items()}
        for index, weight in enumerate(part.parameters()):
            held[f"weight.{part.name}.{index}"] = weight
    held["generator.augmentation"] = update.generator.get_state()
    held["generator.layers"] = torch.get_rng_state()
    if update.device.type == "cuda":
        held["generator.device"] = torch.cuda.get_rng_state(update.device)
    # A copy: the next step changes these tensors in place.
    tensors = {key: value.detach().cpu().numpy().copy() for key, value in held.items()}
    tensors |= {f"batches.{key}": np.array(value) for key, value in batches.tensors().items()}
    return Position(
        tensors=tensors,
        header={
            "done": update.done,
            "rng": update.rng.bit_generator.state,
            "rate_factor": rate_factor,
        },
    )


def restore(update: Update, parts: Sequence[Part], batches: Batches, position: Position) -> float:
    """Put an update back to a position; return the factor on its learning rate."""
    network = {key: torch.from_numpy(v) for key, v in _under(position, "network.").items()}
    update.network.load_state_dict(network)
    states: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in _under(position, "optimizer.").items():
        index, _, name = key.partition(".")
        states.setdefault(int(index), {})[name] = torch.from_numpy(value.copy())
    update.optimizer.load_state_dict(
        {"state": states, "param_groups": update.optimizer.state_dict()["param_groups"]}
    )
    for part in parts:
        part.restore(
            {
                key: torch.from_numpy(value.copy()).to(update.device)
                for key, value in _under(position, f"part.{part.name}.").items()
            }
        )
        for place, weight in enumerate(part.parameters()):
            with torch.no_grad():
                weight.copy_(torch.from_numpy(position.tensors[f"weight.{part.name}.{place}"]))
    batches.restore(_under(position, "batches."))
    update.generator.set_state(torch.from_numpy(position.tensors["generator.augmentation"]))
    torch.set_rng_state(torch.from_numpy(position.tensors["generator.layers"]))
    if update.device.type == "cuda":
        kept = torch.from_numpy(position.tensors["generator.device"])
        torch.cuda.set_rng_state(kept, update.device)
    update.rng.bit_generator.state = position.header["rng"]
    update.done = int(position.header["done"])
    return float(position.header["rate_factor"])


def fingerprint(
    state: LearnerState | None,
    experience: Experience,
    rng: np.random.Generator,
    learning_config: LearningConfig,
    network_config: NetworkConfig,
) -> str:
    """Return a sha256 of all that decides the outcome of an update.

    Exemplars stand in by their ids and labels, images by their ids: samples are immutable.
    """
    known: dict[str, Any] = {
        "learning": asdict(learning_config),
        "network": asdict(network_config),
        "header": None if state is None else dict(state.header),
        "rng": rng.bit_generator.state,
        "experience": experience.number,
    }
    # Where checkpoints fall, and images are, changes nothing in the outcome.
    del known["learning"]["checkpoint_every"], known["learning"]["memory_mib"]
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    for array in (
        experience.sample_ids_n,
        experience.labels_n,
        experience.weights_n,
        experience.withdrawn_ids,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    if experience.synthetic is not None:
        drawn = experience.synthetic
        digest.update(repr(drawn.share).encode() + drawn.labels_m.tobytes())
        digest.update(np.ascontiguousarray(drawn.images_mchw).tobytes())
    tensors = {} if state is None else state.tensors
    for key in sorted(tensors):
        if not key.endswith("images_nchw"):
            digest.update(np.ascontiguousarray(tensors[key]).tobytes())
    return digest.hexdigest()


def _under(position: Position, prefix: str) -> dict[str, NDArray[Any]]:
    return {
        key[len(prefix) :]: value
        for key, value in position.tensors.items()
        if key.startswith(prefix)
    }
