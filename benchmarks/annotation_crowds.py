"""Simulated crowds: who answers what, how well, and with which model beside them.

Shape suffixes: n samples, j annotators, k classes, a answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ConfigError
from holdfast.records import Ids
from holdfast.seeds import generator

Probs = NDArray[np.float64]
# Share of a spammer's kinds: answers at random, one class always, the classes' own shares.
SPAM_KINDS = 3
CHUNK_ENTRIES = 1 << 23


@dataclass(frozen=True, slots=True)
class Regime:
    """How a crowd is drawn.

    Attributes
    ----------
    answers : tuple of int
        Fewest and most answers of a sample, evenly spread between.
    accuracy : tuple of float
        Mean share of right answers of those who try, and its deviation between them.
    spammers : float
        Share of annotators whose answers say nothing, in [0, 1).
    confusion : float
        Share of mistakes that go to the one class everybody takes it for, in [0, 1].
    own_confusion : float
        The same for classes that each annotator confuses in a way of their own.
    hard : float
        Share of samples that look like another class: most annotators name that one.
    imbalance : float
        Exponent of the classes' shares: 0 balanced, 1 like 1/rank.
    activity : float
        Exponent of the annotators' shares of answers: 0 even; from 1 on many answer once.
    model : str
        `none`, `good`, `bad`, `overconfident` or `fooled` (good, but by hard samples).
    """

    about: str
    samples: int = 2000
    annotators: int = 50
    classes: int = 5
    answers: tuple[int, int] = (3, 3)
    accuracy: tuple[float, float] = (0.75, 0.1)
    spammers: float = 0.0
    confusion: float = 0.0
    own_confusion: float = 0.0
    hard: float = 0.0
    imbalance: float = 0.0
    activity: float = 0.5
    model: str = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowd:
    """A drawn crowd.

    Attributes
    ----------
    votes_nj : ndarray of int16, shape (N, J)
        Class of each answer, -1 for none.
    true_n : ndarray of int64, shape (N,)
    probs_nk : ndarray of float, shape (N, K), or None
    """

    votes_nj: NDArray[np.int16]
    true_n: Ids
    probs_nk: Probs | None


REGIMES = {
    "plain": Regime("50 annotators, 5 classes, 3 answers"),
    "few": Regime("5 annotators, 2 to 5 answers", annotators=5, answers=(2, 5), samples=1000),
    "single": Regime("one answer each", answers=(1, 1), model="good"),
    "pairs": Regime("1 to 2 answers", answers=(1, 2), spammers=0.1),
    "many-answers": Regime("10 answers, weak annotators", answers=(10, 10), accuracy=(0.5, 0.15)),
    "spam": Regime("30 % spammers", spammers=0.3, answers=(1, 10), annotators=100),
    "spam-few": Regime(
        "30 % spammers of 10, 5 answers", spammers=0.3, annotators=10, answers=(5, 5)
    ),
    "two": Regime("2 classes, 20 % spammers", classes=2, spammers=0.2, answers=(1, 5)),
    "two-rare": Regime(
        "2 classes, one rare", classes=2, spammers=0.1, answers=(3, 5), imbalance=3.0
    ),
    "confused": Regime(
        "mistakes shared by all", confusion=0.7, answers=(2, 6), spammers=0.1, classes=8
    ),
    "own": Regime(
        "each annotator's own confusions",
        own_confusion=0.8,
        annotators=20,
        answers=(4, 6),
        accuracy=(0.6, 0.15),
        classes=6,
    ),
    "hard": Regime(
        "15 % of samples look like another class",
        hard=0.15,
        confusion=0.5,
        answers=(3, 7),
        spammers=0.1,
    ),
    "hundred": Regime(
        "100 classes, 200 annotators",
        classes=100,
        annotators=200,
        samples=5000,
        answers=(1, 6),
        spammers=0.15,
        confusion=0.5,
    ),
    "crowd": Regime(
        "500 annotators, most answered little",
        annotators=500,
        activity=1.3,
        answers=(1, 5),
        spammers=0.2,
        classes=10,
        imbalance=0.7,
    ),
    "rare": Regime(
        "long tail of 20 classes",
        classes=20,
        imbalance=1.2,
        confusion=0.4,
        answers=(2, 5),
        spammers=0.15,
        samples=4000,
    ),
}
# With a model beside them: name of the crowd, kind of model.
WITH_MODEL = (
    *(
        (name, model)
        for name in (
            "plain",
            "few",
            "pairs",
            "spam",
            "two-rare",
            "confused",
            "hard",
            "hundred",
            "rare",
        )
        for model in ("good", "bad", "overconfident")
    ),
    ("hard", "fooled"),
    ("crowd", "good"),
    ("single", "bad"),
    ("single", "overconfident"),
)


def find_regime(name: str) -> Regime:
    """Return a regime by name, ``crowd`` or ``crowd+model``; ConfigError when there is none."""
    crowd, _, model = name.partition("+")
    if crowd not in REGIMES or model not in ("", *MODELS):
        raise ConfigError(
            f"--regimes: no regime is called {name!r}; there are {', '.join(REGIMES)}, each with "
            f"+{', +'.join(MODELS)} or alone"
        )
    return replace(REGIMES[crowd], model=model) if model else REGIMES[crowd]


MODELS = {
    # Accuracy, sharpness of its probabilities beside what is right, whether hard fools it.
    "good": (0.85, 1.0, False),
    "bad": (0.35, 1.0, False),
    "overconfident": (0.7, 4.0, False),
    "fooled": (0.85, 1.0, True),
}


def draw(regime: Regime, seed: int) -> Crowd:
    """Draw a crowd; the same seed and regime give the same one."""
    rng = generator(seed, "crowd", regime.about, regime.model)
    num, num_j, num_k = regime.samples, regime.annotators, regime.classes
    share_k: Probs = np.exp(-regime.imbalance * np.log1p(np.arange(num_k)))
    share_k /= share_k.sum()
    true_n = rng.choice(num_k, num, p=share_k)
    # The class that each is taken for: one cycle through all, so never itself.
    cycle = rng.permutation(num_k)
    taken_for_k = np.empty(num_k, np.int64)
    taken_for_k[cycle] = np.roll(cycle, 1)
    hard_n = rng.random(num) < regime.hard
    seen_n = np.where(hard_n, taken_for_k[true_n], true_n)

    rows_a, who_a = _assign(regime, rng)
    said_a = _answers(regime, rng, true_n, seen_n, hard_n, taken_for_k, share_k, rows_a, who_a)
    votes_nj = np.full((num, num_j), -1, np.int16)
    votes_nj[rows_a, who_a] = said_a
    probs_nk = None
    if regime.model != "none":
        accuracy, sharpness, fooled = MODELS[regime.model]
        probs_nk = _model(rng, seen_n if fooled else true_n, share_k, accuracy, sharpness)
    return Crowd(votes_nj=votes_nj, true_n=true_n, probs_nk=probs_nk)


def _assign(regime: Regime, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Draw who answers about which sample: distinct people, by their activity."""
    log_activity_j = -regime.activity * np.log1p(rng.permutation(regime.annotators))
    low, high = regime.answers
    number_n = np.minimum(rng.integers(low, high + 1, regime.samples), regime.annotators)
    rows, people = [], []
    step = max(1, CHUNK_ENTRIES // regime.annotators)
    for start in range(0, regime.samples, step):
        number = number_n[start : start + step]
        # The Gumbel trick: the highest of these are a draw without replacement.
        keys = log_activity_j + rng.gumbel(size=(len(number), regime.annotators))
        order = np.argsort(-keys, axis=1)[:, : number.max()]
        kept = np.arange(order.shape[1]) < number[:, None]
        rows.append(start + np.repeat(np.arange(len(number)), number))
        people.append(order[kept])
    return np.concatenate(rows), np.concatenate(people)


def _answers(
    regime: Regime,
    rng: np.random.Generator,
    true_n: Ids,
    seen_n: Ids,
    hard_n: NDArray[np.bool_],
    taken_for_k: Ids,
    share_k: Probs,
    rows_a: Ids,
    who_a: Ids,
) -> Ids:
    num_j, num_k, num_a = regime.annotators, regime.classes, len(rows_a)
    mean, deviation = regime.accuracy
    accuracy_j = np.clip(rng.normal(mean, deviation, num_j), 1.0 / num_k + 0.05, 0.98)
    own_jk = (np.arange(num_k) + rng.integers(1, num_k, (num_j, num_k))) % num_k
    true_a = true_n[rows_a]
    said_a = np.where(hard_n[rows_a], seen_n[rows_a], true_a)
    wrong_a = rng.random(num_a) >= accuracy_j[who_a]
    kind_a = rng.random(num_a)
    anywhere_a = (true_a + rng.integers(1, num_k, num_a)) % num_k
    mistake_a = np.where(
        kind_a < regime.confusion,
        taken_for_k[true_a],
        np.where(
            kind_a < regime.confusion + regime.own_confusion, own_jk[who_a, true_a], anywhere_a
        ),
    )
    said_a = np.where(wrong_a, mistake_a, said_a)
    spam_j = rng.permutation(num_j) < round(regime.spammers * num_j)
    kind_j = rng.integers(SPAM_KINDS, size=num_j)
    always_j = rng.choice(num_k, num_j, p=share_k)
    spam_a = np.select(
        [kind_j[who_a] == 0, kind_j[who_a] == 1],
        [rng.integers(num_k, size=num_a), always_j[who_a]],
        rng.choice(num_k, num_a, p=share_k),
    )
    return np.where(spam_j[who_a], spam_a, said_a)


def _model(
    rng: np.random.Generator, seen_n: Ids, share_k: Probs, accuracy: float, sharpness: float
) -> Probs:
    """Return calibrated probabilities of about this accuracy, then made sharper."""
    num, num_k = len(seen_n), len(share_k)
    noise = rng.normal(size=(num, num_k))
    own = np.arange(num)
    low, high = 0.0, 40.0
    for _ in range(40):  # the signal at which it is right as often as wanted
        signal = (low + high) / 2
        logits = noise * np.sqrt(signal) + np.log(share_k)
        logits[own, seen_n] += signal
        right = float((logits.argmax(axis=1) == seen_n).mean())
        low, high = (signal, high) if right < accuracy else (low, signal)
    logits *= sharpness
    logits -= logits.max(axis=1, keepdims=True)
    probs = np.exp(logits)
    return np.asarray(probs / probs.sum(axis=1, keepdims=True))
