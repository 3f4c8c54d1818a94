"""The references in a world: random selection and trusted labels, or everything known."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.references import REFERENCES, Reference, build_reference
from benchmarks.scoreboard import Row, Scoreboard
from benchmarks.world import World, to_nchw
from holdfast.config import Config
from holdfast.records import Ids
from holdfast.seeds import generator

UPPER_BOUND = "upper-bound"


class Comparison:
    """One reference arm that lives through a world.

    Parameters
    ----------
    arm : str
        `naive` and `stock` pay the same number of answers a round as Holdfast, for samples
        drawn at random, and trust every label. `upper-bound` is given the true label of
        every sample that has arrived.
    config : Config
        Network, steps and batch size are those of the arm under test.
    """

    def __init__(self, arm: str, world: World, config: Config) -> None:
        self.world = world
        self.scoreboard = Scoreboard(arm, world)
        self._arm = arm
        self._reference: Reference = build_reference(
            arm, config.network, config.learning, seed=world.seed
        )
        self._images_nchw = to_nchw(world.source.train_images_n)
        self._rng = generator(world.seed, "reference", arm, "ask")
        self._labels_n = np.full(len(self._images_nchw), -1, np.int64)
        self._asked = np.zeros(len(self._images_nchw), bool)

    def play_round(self, number: int) -> Row:
        """Buy the round's labels, learn them, and measure."""
        started = time.perf_counter()
        fresh = self._everything(number) if self._arm == UPPER_BOUND else self._answered(number)
        self._reference.learn(self._images_nchw[fresh], self._labels_n[fresh])
        seconds = time.perf_counter() - started
        said = self._reference.predict(to_nchw(self.world.source.test_images_m))
        bought = int(((self.world.given_n >= 0) | self._asked).sum())
        return self.scoreboard.add(
            said.pred_probs_nk,
            said.class_ids_k,
            labels_n=self._labels_n,
            labels_used=len(fresh) if self._arm == UPPER_BOUND else bought,
            seconds=seconds,
        )

    def _everything(self, number: int) -> Ids:
        arrived = np.flatnonzero(self.world.arrival_n <= number)
        self._labels_n[arrived] = self.world.source.train_labels_n[arrived]
        return arrived

    def _answered(self, number: int) -> Ids:
        """Return what is new this round: labels on record that arrived, and answers."""
        world = self.world
        recorded = np.flatnonzero((world.arrival_n == number) & (world.given_n >= 0))
        self._labels_n[recorded] = world.given_n[recorded]
        open_pool = (world.arrival_n <= number) & (world.given_n < 0) & ~self._asked
        chosen = self._rng.permutation(np.flatnonzero(open_pool))[: world.budget]
        self._asked[chosen] = True
        self._labels_n[chosen] = world.answers(chosen, self._rng)
        new = np.union1d(recorded, chosen)
        return new[self._labels_n[new] >= 0]


def comparisons(world: World, config: Config) -> Iterator[Comparison]:
    """Give each reference arm."""
    for arm in REFERENCES:
        yield Comparison(arm, world, config)
