"""What Holdfast is compared with: plain fine-tuning, Avalanche's replay, and all the truth.

Every arm has the same network, optimiser, batch size and steps per update.

Shape suffixes: n samples, c channels, h rows, w columns.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any, Protocol

import numpy as np
import torch

from benchmarks.stock_data import quiet, stock_dataset
from holdfast.learning.settings import LearningConfig, settle
from holdfast.learning.teaching import ContinualLearner
from holdfast.model.ensemble import restore_model
from holdfast.model.inference import Predictions, predict
from holdfast.model.network import Network, build_network, resolve_device
from holdfast.model.spec import NetworkConfig
from holdfast.model.threads import threads_for
from holdfast.records import Experience, Ids, Images
from holdfast.seeds import generator, integer_seed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from avalanche.benchmarks.scenarios import DatasetExperience
    from avalanche.core import SupervisedPlugin
    from avalanche.training.plugins import EvaluationPlugin, ReplayPlugin
    from avalanche.training.storage_policy import ClassBalancedBuffer
    from avalanche.training.supervised import Naive

REFERENCES = ("naive", "stock", "upper-bound")


class Reference(Protocol):
    """One arm of a comparison."""

    def learn(self, images_nchw: Images, labels_n: Ids) -> None:
        """Update on the samples of a round; labels are taken as they are."""
        ...

    def predict(self, images_nchw: Images) -> Predictions:
        """Return what the arm says about images."""
        ...


def build_reference(
    name: str, network_config: NetworkConfig, learning_config: LearningConfig, *, seed: int
) -> Reference:
    """Return an arm that has learned nothing yet.

    Parameters
    ----------
    name : str
        `naive`: plain fine-tuning on the samples of each round. `stock`: the same with
        Avalanche's ReplayPlugin and ClassBalancedBuffer, of our buffer's capacity. Both
        learn samples that are new in a round, with the labels they came with.
        `upper-bound`: our own recipe on all samples that have arrived, joined, which is
        handed everything, with true labels, each round.
    """
    if name == "upper-bound":
        return _Joint(network_config, learning_config, seed)
    if name in ("naive", "stock"):
        return _FineTuned(network_config, learning_config, seed, replay=name == "stock")
    raise ValueError(f"no reference {name!r}; there are {', '.join(REFERENCES)}")


class _FineTuned:
    """Avalanche's Naive strategy, as its documentation builds it."""

    def __init__(
        self,
        network_config: NetworkConfig,
        learning_config: LearningConfig,
        seed: int,
        *,
        replay: bool,
    ) -> None:
        self._network_config = network_config
        self._config = settle(learning_config, network_config)
        self._rng = generator(seed, "reference", "stock" if replay else "naive")
        self._network: Network | None = None
        self._num_learned = 0
        self._plugins: list[Any] = [_StepBudget(learning_config.steps)]
        if replay:
            capacity = learning_config.buffer.capacity
            buffer = ClassBalancedBuffer(max_size=capacity)
            self._plugins.append(ReplayPlugin(mem_size=capacity, storage_policy=buffer))
        self._strategy: Any = None

    def learn(self, images_nchw: Images, labels_n: Ids) -> None:
        """Fine-tune on the samples of one round."""
        if not len(images_nchw):
            return
        # Avalanche shuffles with the global generator.
        with threads_for(images_nchw.shape[-1]), torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(self._rng))
            self._learn(images_nchw, labels_n)

    def _learn(self, images_nchw: Images, labels_n: Ids) -> None:
        network = self._grown(images_nchw, labels_n)
        place = {class_id: k for k, class_id in enumerate(network.class_ids)}
        targets = torch.tensor([place[int(label)] for label in labels_n])
        dataset = stock_dataset(torch.from_numpy(images_nchw).float() / 255, targets)
        with quiet():
            if self._strategy is None:
                self._strategy = self._build(network)
            self._strategy.train(
                DatasetExperience(dataset=dataset, current_experience=self._num_learned),
                eval_streams=[],
            )
        self._num_learned += 1

    def _build(self, network: Network) -> Any:
        config = self._config
        return Naive(
            model=network,
            optimizer=torch.optim.AdamW(
                network.parameters(),
                lr=config.optimizer.highest_rate,
                weight_decay=config.optimizer.weight_decay,
            ),
            criterion=torch.nn.CrossEntropyLoss(),
            train_mb_size=config.batch_size,
            train_epochs=config.steps,  # at least one step each; the budget ends it earlier
            device=resolve_device(self._network_config.device),
            plugins=self._plugins,
            evaluator=EvaluationPlugin(),
        )

    def _grown(self, images_nchw: Images, labels_n: Ids) -> Network:
        class_ids = np.unique(labels_n).tolist()
        if self._network is None:
            self._network = build_network(
                self._network_config,
                channels=images_nchw.shape[1],
                image_size=images_nchw.shape[2:],
                class_ids=class_ids,
                seed=integer_seed(self._rng),
            )
        draws = torch.Generator().manual_seed(integer_seed(self._rng))
        self._network.grow(class_ids, draws)
        return self._network

    def predict(self, images_nchw: Images) -> Predictions:
        """Return what the network says about images."""
        if self._network is None:
            raise RuntimeError("the arm has learned nothing yet")
        return predict(copy.deepcopy(self._network), images_nchw, config=self._network_config)


class _Joint:
    """Our learner, fed everything at once."""

    def __init__(
        self, network_config: NetworkConfig, learning_config: LearningConfig, seed: int
    ) -> None:
        self._network_config = network_config
        self._learner = ContinualLearner(network_config, learning_config)
        self._rng = generator(seed, "reference", "upper-bound")
        self._state: Any = None
        self._num_learned = 0

    def learn(self, images_nchw: Images, labels_n: Ids) -> None:
        """Go on with everything that has arrived, in the same order each time."""
        self._num_learned += 1
        self._state = self._learner.learn(
            self._state,
            Experience(
                number=self._num_learned,
                sample_ids_n=np.arange(len(labels_n)),
                images_nchw=images_nchw,
                labels_n=labels_n,
                weights_n=np.ones(len(labels_n), np.float32),
                withdrawn_ids=np.zeros(0, np.int64),
            ),
            self._rng,
        )

    def predict(self, images_nchw: Images) -> Predictions:
        """Return what the network says about images."""
        if self._state is None:
            raise RuntimeError("the arm has learned nothing yet")
        network = restore_model(self._state.tensors, self._state.header, self._network_config)
        return predict(network, images_nchw, config=self._network_config)


class _StepBudget(SupervisedPlugin):  # type: ignore[misc]  # avalanche is untyped
    """Ends an update after a number of steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        if strategy.clock.train_exp_iterations + 1 >= self._steps:
            strategy.stop_training()
