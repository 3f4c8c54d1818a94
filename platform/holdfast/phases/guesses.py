"""What the champion says of single samples, now."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.project import Project
from holdfast.store import labels, models, samples
from holdfast.store.images import ImageStore

if TYPE_CHECKING:
    from holdfast.model.ensemble import Ensemble
    from holdfast.model.network import Network

# As much of a model's sha256 as people see.
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Guess:
    """What a model believes of one sample.

    Attributes
    ----------
    class_name : str
    probability : float
        In [0, 1].
    model : str
        The first 12 characters of the model's sha256.
    """

    class_name: str
    probability: float
    model: str


class Guesser:
    """Keeps the champion in memory, and asks it; several threads may call.

    The first guess imports torch and loads the model; a new champion is loaded at the first
    guess after its promotion.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        # One of its own: a store must not be read by two threads at once.
        self._images = ImageStore(project.images.path)
        self._lock = threading.Lock()
        self._loaded: tuple[str, Network | Ensemble] | None = None

    def champion(self) -> str | None:
        """Return the short name of the champion, None before the first promotion."""
        with self._project.ledger.read() as connection:
            current = models.champion(connection)
        return None if current is None else current.champion[:_SHORT]

    def guess(self, uids: Sequence[str]) -> Mapping[str, Guess]:
        """Return the champion's guess for each sample the ledger knows and can use.

        Empty before the first promotion. Cost: one decode and one forward pass a sample.

        Raises
        ------
        CheckpointMismatchError
            If the champion's file is missing or is not the one the ledger names.
        LedgerError
            If an image is not in the store.
        """
        with self._project.ledger.read() as connection:
            current = models.champion(connection)
            usable = sorted(samples.usable_uids(connection, uids))
            names = labels.class_names(connection)
        if current is None or not usable:
            return {}
        # Torch takes seconds to import: whoever asks for no guess does not wait for it.
        from holdfast.data.stream import StoredImages
        from holdfast.model.inference import predict

        data = self._project.config.data
        with self._lock:
            said = predict(
                self._network(current.champion),
                StoredImages(self._images, usable, data.image_size, data.channels),
                config=self._project.config.network,
                keep_embeddings=False,
            )
        return {
            uid: Guess(names[class_id], float(probs_k.max()), current.champion[:_SHORT])
            for uid, class_id, probs_k in zip(
                usable, said.guesses_n.tolist(), said.pred_probs_nk, strict=True
            )
        }

    def _network(self, sha256: str) -> Network | Ensemble:
        from holdfast.model.ensemble import restore_model
        from holdfast.phases.scoring import load_state

        if self._loaded is None or self._loaded[0] != sha256:
            state = load_state(self._project, sha256)
            network = restore_model(state.tensors, state.header, self._project.config.network)
            self._loaded = sha256, network
        return self._loaded[1]
