"""The strategies of modAL, as they come.

Each scores the pool itself with the one model of all methods, which is never fitted again.
"""

from __future__ import annotations

import warnings
from typing import Any

from benchmarks.selection_methods import Desk, Scene

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # modAL imports parts of torch that announce their end
    from modAL.batch import uncertainty_batch_sampling
    from modAL.models import ActiveLearner
    from modAL.uncertainty import entropy_sampling, margin_sampling


def ask_modal_margin(scene: Scene, desk: Desk) -> None:
    """The smallest lead of the first class over the second.

    References
    ----------
    .. [1] Danka and Horvath, "modAL: A modular active learning framework for Python", 2018.
    """
    _ask_modal(margin_sampling, scene, desk)


def ask_modal_entropy(scene: Scene, desk: Desk) -> None:
    """The largest entropy."""
    _ask_modal(entropy_sampling, scene, desk)


def ask_modal_ranked(scene: Scene, desk: Desk) -> None:
    """Uncertain, and far from what is labeled or picked; time O(picks * U * (M + picks) * D).

    References
    ----------
    .. [1] Cardoso et al., "Ranked batch-mode active learning", Information Sciences 2017.
    """
    _ask_modal(uncertainty_batch_sampling, scene, desk)


def _ask_modal(strategy: Any, scene: Scene, desk: Desk) -> None:
    # Without training data ActiveLearner never calls fit; ranked batches look at it.
    learner = ActiveLearner(scene.model)
    learner.X_training = scene.features_nd[scene.labeled_rows_m]
    places, _ = strategy(learner, scene.features_nd[scene.open_rows_u], n_instances=desk.left)
    desk.ask(scene.open_rows_u[places])
