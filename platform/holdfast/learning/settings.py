"""How a network is taught: the settings of the learning station, by subject.

The defaults were settled on long-tailed handwritten digits with a fifth of the labels wrong
(8×8 pixels, about 70 to 450 labels).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from holdfast.data.augment_settings import AugmentationConfig
from holdfast.data.synthetic_settings import SyntheticConfig
from holdfast.errors import ConfigError
from holdfast.learning.combinations import check_strategy
from holdfast.model.spec import NetworkConfig


def _require(holds: bool, prefix: str, name: str, wanted: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"{prefix}.{name} should be {wanted}, not {value!r}")


def _at_least(config: Any, prefix: str, **least: float) -> None:
    for name, bound in least.items():
        value = getattr(config, name)
        _require(value >= bound, prefix, name, f"{bound} or more", value)


def _share(config: Any, prefix: str, *names: str, closed: bool = True) -> None:
    wanted = "between 0 and 1" if closed else "at least 0 and below 1"
    for name in names:
        value = getattr(config, name)
        _require(0 <= value < 1 or (closed and value == 1), prefix, name, wanted, value)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """How weights move.

    Attributes
    ----------
    name : str
        `adamw`, or `sgd` with Nesterov momentum of 0.9.
    learning_rate : float or None
        Highest rate, above 0; None takes what suits the network: .006 for `small_residual`,
        .002 for `mlp`, .001 for timm models.
    weight_decay : float
        0 or more.
    schedule : str
        `cosine` warms up over the first tenth of an update and falls to nearly 0;
        `constant` stays; `samples_seen` starts from 0.7 of the rate and takes 0.95 of it
        after each 1,000 samples, over all updates.
    averaging : float
        Decay per step of the moving average of weights, in [0, 1), that becomes the
        candidate; 0 keeps the last weights.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float | None = None
    weight_decay: float = 0.05
    schedule: Literal["cosine", "constant", "samples_seen"] = "cosine"
    averaging: float = 0.99

    def __post_init__(self) -> None:
        prefix = "learning.optimizer"
        rate = self.learning_rate
        _require(rate is None or rate > 0, prefix, "learning_rate", "above 0", rate)
        _at_least(self, prefix, weight_decay=0)
        _share(self, prefix, "averaging", closed=False)

    @property
    def highest_rate(self) -> float:
        """The learning rate, which a learner settles before it is used."""
        if self.learning_rate is None:
            raise ValueError("the learning rate is not settled; use settle(config, network)")
        return self.learning_rate


@dataclass(frozen=True, kw_only=True, slots=True)
class BufferConfig:
    """Which past samples are kept for replay.

    Attributes
    ----------
    capacity : int
        Exemplars kept, 0 or more. Each costs the bytes of its pixels.
    megabytes : float
        The same as memory in MiB, 0 or more: 0 leaves it to `capacity`, otherwise the
        smaller of both holds.
    policy : str
        Which samples of a class stay: `class_balanced`, a uniform draw per class, classes
        alike; `reservoir`, a uniform draw of all, classes as frequent as they are;
        `herding`, those whose mean embedding is closest to the class's; `loss_aware`, a
        draw that favors samples the network finds hard.
    """

    capacity: int = 2000
    megabytes: float = 0.0
    policy: Literal["class_balanced", "reservoir", "herding", "loss_aware"] = "class_balanced"

    def __post_init__(self) -> None:
        _at_least(self, "learning.buffer", capacity=0, megabytes=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsolidationConfig:
    """How strongly important weights are held (`ewc`, `si`, `mas`), old answers (`lwf`, `der`).

    Attributes
    ----------
    strength : float
        Pull towards the champion's weights, by their importance, above 0.
    samples : int
        Samples from which `ewc` and `mas` estimate importance after each update, 1 or more.
    distillation : float
        Weight of the loss that keeps old answers, above 0.
    """

    strength: float = 1.0
    samples: int = 64
    distillation: float = 1.0

    def __post_init__(self) -> None:
        prefix = "learning.consolidation"
        _require(self.strength > 0, prefix, "strength", "above 0", self.strength)
        _require(self.distillation > 0, prefix, "distillation", "above 0", self.distillation)
        _at_least(self, prefix, samples=1)


LossName = Literal[
    "cross_entropy",
    "class_weighted",
    "effective_number",
    "focal",
    "balanced_softmax",
    "logit_adjustment",
    "ldam",
]
LOSSES: tuple[str, ...] = get_args(LossName)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImbalanceConfig:
    """What is done for classes that have few samples.

    Attributes
    ----------
    loss : str
        `cross_entropy`; `class_weighted`, by inverse frequency; `effective_number`;
        `focal`; `balanced_softmax`; `logit_adjustment`; `ldam`, margins with re-weighting
        deferred to the last fifth of an update.
    focal_gamma : float
        How much `focal` looks away from easy samples, above 0. It may be combined with
        `mixup` and `cutmix`.
    sampling : str
        `systematic` keeps the class shares of each batch exact; `weighted` draws every
        sample alone; `progressive` moves from natural shares to balanced ones over the
        update.
    class_balance : float or None
        In [0, 1]: 0 draws classes as frequent as they are, 1 all equally often. None leaves it
        open: 1, unless `balance.act` is on; then 0 until the classes become uneven.
    two_stage : float
        Last share of the steps, in [0, 1), in which only the head is trained, on classes
        drawn equally often; the steps before draw them as frequent as they are. 0 is off.
    logit_scale : bool
        Whether each class has a learned factor on its logit.
    difficulty : float
        Weight of a second head that learns to predict each sample's loss, 0 or more. It
        shapes the features only; 0 is off.
    early_stopping : bool
        Whether the candidate is the state with the best recall of rare classes on a part
        of the training samples, a fifth of each class, that is set aside.
    ensemble : int
        Models of the last rounds that answer together, 1 to 10; 1 is one model.
    prototypes : int
        Classes with fewer samples than this are answered by the nearest class mean of
        embeddings; 0 is off.
    """

    loss: LossName = "cross_entropy"
    focal_gamma: float = 2.0
    sampling: Literal["systematic", "weighted", "progressive"] = "systematic"
    class_balance: float | None = None
    two_stage: float = 0.0
    logit_scale: bool = False
    difficulty: float = 0.0
    early_stopping: bool = False
    ensemble: int = 1
    prototypes: int = 0

    def __post_init__(self) -> None:
        prefix = "learning.imbalance"
        _require(self.loss in LOSSES, prefix, "loss", f"one of {', '.join(LOSSES)}", self.loss)
        _require(self.focal_gamma > 0, prefix, "focal_gamma", "above 0", self.focal_gamma)
        if self.class_balance is not None:
            _share(self, prefix, "class_balance")
        _share(self, prefix, "two_stage", closed=False)
        _at_least(self, prefix, difficulty=0, prototypes=0)
        _require(1 <= self.ensemble <= 10, prefix, "ensemble", "between 1 and 10", self.ensemble)
        if self.sampling == "progressive" and self.class_balance == 0:
            raise ConfigError(
                f"{prefix}.sampling progressive has no effect where class_balance is 0; "
                "set it above 0: it is where the update ends"
            )

    @property
    def settled_balance(self) -> float:
        """How equally often classes are drawn, where nothing else has settled what was open."""
        return 1.0 if self.class_balance is None else self.class_balance


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseConfig:
    """What is done about labels that may be wrong, beyond trusting doubted ones less.

    Attributes
    ----------
    label_smoothing : float
        Share of each target spread over all classes, in [0, 1).
    small_loss : float
        Largest share of a batch, in [0, 1), that is left out for having the largest
        losses; it grows from 0 over the first half of an update. 0 is off.
    soft_labels : float
        How far the target of a fully doubted label moves to what the network itself
        believes, in [0, 1]; trusted labels stay. 0 is off.
    """

    label_smoothing: float = 0.1
    small_loss: float = 0.0
    soft_labels: float = 0.0

    def __post_init__(self) -> None:
        _share(self, "learning.noise", "label_smoothing", "small_loss", closed=False)
        _share(self, "learning.noise", "soft_labels")


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningConfig:
    """How the champion is taught an experience.

    Attributes
    ----------
    strategy : str
        One way of rehearsing, and any number of ways of holding on, joined by `+`. See
        `holdfast.learning.combinations`.
    steps : int
        Optimization steps an update has at least, however small the experience: a few new
        labels must not mean a few steps, or nothing old would be rehearsed.
    passes : int
        How often each new sample is seen at least, 1 or more: a large experience gets more
        than `steps`.
    batch_size : int
        Samples per step, 2 or more, new ones and exemplars together.
    replay_share : float
        Share of a batch that comes from the buffer, in [0, 1); new samples then take turns,
        each as often as the others. 0 draws both together, by class and by trust.
    rehearsal : float
        Last share of the steps, in [0, 1), that is taken on exemplars alone, every class
        alike: what the many new samples of a large experience pushed aside comes back. The
        passes over new samples are made before it, so a large experience gets more steps.
        A stream does not wait for its end: there, as many exemplars join each batch.
    stream : bool
        Whether new samples are taken in the order they come, each once, and offered to the
        buffer as they pass. Needs a `replay_share` above 0.
    checkpoint_every : int
        Steps between checkpoints inside an update, 1 or more.
    memory_mib : int
        Largest experience, 0 or more, that is held in memory: MiB of its decoded images, a
        byte per pixel and channel; teaching it takes twice as much. The images of a larger one
        are read from the store, the next batches while one trains. The candidate is the same,
        bit for bit.
    """

    strategy: str = "ewc"
    steps: int = 200
    passes: int = 1
    batch_size: int = 64
    replay_share: float = 0.0
    rehearsal: float = 0.0
    stream: bool = False
    checkpoint_every: int = 500
    memory_mib: int = 4096
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    buffer: BufferConfig = field(default_factory=BufferConfig)
    consolidation: ConsolidationConfig = field(default_factory=ConsolidationConfig)
    imbalance: ImbalanceConfig = field(default_factory=ImbalanceConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)

    def __post_init__(self) -> None:
        # A batch of one has no variance to normalize by.
        _at_least(
            self, "learning", steps=1, passes=1, batch_size=2, checkpoint_every=1, memory_mib=0
        )
        _share(self, "learning", "replay_share", "rehearsal", closed=False)
        if self.stream and not self.replay_share:
            raise ConfigError(
                "learning.stream needs samples from the buffer beside those that pass; "
                "set learning.replay_share above 0, 0.5 is usual"
            )
        if self.stream and self.synthetic.per_class:
            raise ConfigError(
                "learning.stream offers whatever passes to the buffer, which keeps no synthetic "
                "images; set learning.synthetic.per_class to 0, or stream to false"
            )
        check_strategy(self)


def settle(config: LearningConfig, network_config: NetworkConfig) -> LearningConfig:
    """Return the settings with what they leave to the network."""
    if config.optimizer.learning_rate is not None:
        return config
    optimizer = replace(config.optimizer, learning_rate=network_config.suited_rate)
    return replace(config, optimizer=optimizer)


def parts_of_batch(config: LearningConfig) -> tuple[int, int]:
    """Return how many new samples and how many exemplars a batch has where they are apart."""
    replayed = round(config.batch_size * config.replay_share)
    new = config.batch_size - replayed
    if config.stream:
        replayed += round(config.batch_size * config.rehearsal / (1 - config.rehearsal))
    return new, replayed
