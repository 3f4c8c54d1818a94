"""Training batches: drawn by class and trust, gathered and augmented whole.

Shape suffixes: n samples, b samples of a batch, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.data.augment import change, class_strength, join
from holdfast.learning.losses import build_loss, soft_targets
from holdfast.learning.material import Material
from holdfast.learning.memory import MemoryStream
from holdfast.learning.memory_sampling import MemorySampler
from holdfast.learning.parts import Batch, Part, Update
from holdfast.learning.sampling import BatchSampler, Turns
from holdfast.learning.settings import LearningConfig, parts_of_batch
from holdfast.learning.two_stage import in_second_stage
from holdfast.records import Ids

# Batches that are read while one trains, where images are streamed: one, and one that evens
# out how long reading takes.
_AHEAD = 2


def num_steps(config: LearningConfig, material: Material) -> tuple[int, int]:
    """Return the steps of an update with new samples, and the steps in all.

    The budget is divided between both kinds, and grows where the samples could not pass in it.
    Where the buffer holds all there is and all is drawn as one, rehearsal is nothing else.
    """
    new, replayed = parts_of_batch(config)
    drawable_n = material.trust_n > 0
    waiting = drawable_n & material.new_n if replayed else drawable_n
    passing = math.ceil(config.passes * int(waiting.sum()) / new)
    one = config.stream or (not replayed and len(material.memory_rows) == len(material))
    rehearsal = 0.0 if one else config.rehearsal
    first = max(round(config.steps * (1 - rehearsal)), passing, 1)
    return first, round(first / (1 - rehearsal))


class Batches:
    """As many batches as an update has steps left; an iterator for Avalanche.

    Parameters
    ----------
    update : Update
        Each batch is left in `update.batch` as well, and its loss in `update.loss`, which
        follows the shares that classes have in the batches.
    parts : sequence of Part
        May choose what is replayed.

    Notes
    -----
    Each batch is a list of images, floats in [0, 1] of shape (B, C, H, W), and target
    probabilities, shape (B, K). No sample is touched alone: a step costs the same however
    many samples there are.
    """

    def __init__(self, update: Update, parts: Sequence[Part]) -> None:
        config, material = update.config, update.material
        self._update, self._parts, self._config = update, parts, config
        choosers = [part for part in parts if type(part).recall is not Part.recall]
        self._chooser = choosers[0] if choosers else None
        self._num_new, self._replayed = parts_of_batch(config)
        self._turns: Turns | None = None
        self._stream: MemoryStream | None = None
        if self._replayed:
            self._turns = self._take_turns(self._usable(np.flatnonzero(material.new_n)))
            if config.stream:
                self._stream = MemoryStream(
                    material.positions_n,
                    material.trust_n,
                    material.keys_m,
                    config.buffer.capacity,
                    material.memory_rows,
                )
        self._new_k: NDArray[Any] = np.zeros(material.num_classes)
        if self._turns is not None and not config.stream:
            self._count(np.flatnonzero(material.new_n))
        self._samplers: dict[float, BatchSampler] = {}
        # A stream changes what is drawn from at almost every step.
        self._moving: dict[float, MemorySampler] = {}
        self._open_source()
        self._strength_k = class_strength(material.counts_k, config.augmentation)

    def __len__(self) -> int:
        return self._update.steps - self._update.done

    def __iter__(self) -> Iterator[list[Tensor]]:
        update = self._update
        while update.done < update.steps:
            for part in self._parts:
                part.prepare(update)
            if update.rehearses != self._rehearses:
                self._open_source()
            turns = None if self._rehearses else self._turns
            if self._shares_move():
                self._follow_shares()
            batch = self._together() if turns is None else self._apart(turns)
            if update.material.streams:
                update.material.expect(self._next_rows())
            update.batch = self._mixed(batch)
            yield [update.batch.images_bchw, update.batch.targets_bk]

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """Return what `restore` needs to go on drawing from here."""
        kept: dict[str, NDArray[Any]] = {}
        for name, one in (("turns", self._turns), ("stream", self._stream)):
            if one is not None:
                kept |= {f"{name}.{key}": value for key, value in one.tensors().items()}
        return kept | {"new_k": self._new_k}

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `tensors` returned."""
        for name, one in (("turns", self._turns), ("stream", self._stream)):
            if one is not None:
                start = f"{name}."
                one.restore({k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)})
        self._new_k = tensors["new_k"].copy()
        self._open_source()

    def _take_turns(self, rows: Ids) -> Turns:
        """Return turns for as many passes as the steps need: those of the settings, or more."""
        places = self._update.rehearses_from * self._num_new
        passes = max(self._config.passes, places // max(len(rows), 1))
        return Turns(rows, passes, shuffled=not self._config.stream)

    def _count(self, rows: Ids) -> None:
        """Take note of the classes of new samples that take their turns."""
        material = self._update.material
        self._new_k += np.bincount(
            material.positions_n[rows], material.trust_n[rows], material.num_classes
        )

    def _usable(self, rows: Ids) -> Ids:
        usable: Ids = rows[self._update.material.trust_n[rows] > 0]
        return usable

    def _open_source(self) -> None:
        """Draw whatever is not taking turns from what is drawn from at this step."""
        self._rehearses = self._update.rehearses
        together = self._turns is None and not self._rehearses
        material = self._update.material
        if self._stream is not None:
            material.memory_rows = self._stream.rows
            material.hold(material.memory_rows)
        rows = np.arange(len(material)) if together else material.memory_rows
        self._drawn = self._usable(rows)
        if self._stream is None:
            self._samplers = {}
        for sampler in self._moving.values():
            sampler.hold(self._drawn)
        self._follow_shares()

    def _shares_move(self) -> bool:
        imbalance = self._config.imbalance
        return imbalance.sampling == "progressive" or imbalance.two_stage > 0

    def _follow_shares(self) -> None:
        """Tell the loss how often each class is drawn now."""
        material = self._update.material
        drawn_k = np.bincount(
            material.positions_n[self._drawn],
            material.trust_n[self._drawn],
            material.num_classes,
        )
        shares_k: NDArray[Any] = np.zeros(material.num_classes)
        if len(self._drawn):
            share = self._update.share_done
            shares_k = self._sampler(self._balance(share)).shares_k(share)
        counts_k = drawn_k
        if self._turns is not None and not self._rehearses and self._new_k.any():
            size = self._num_new + self._replayed
            part = self._replayed / size if len(self._drawn) else 0.0
            shares_k = part * shares_k + (1 - part) * self._new_k / self._new_k.sum()
            counts_k = np.maximum(drawn_k, self._new_k)
        if shares_k.any():
            tensors = (torch.from_numpy(one).to(material.device) for one in (counts_k, shares_k))
            self._update.loss = build_loss(self._config.imbalance, *tensors)

    def _sampler(self, balance: float) -> BatchSampler | MemorySampler:
        material, settings = self._update.material, self._config.imbalance
        known: dict[str, Any] = {"num_classes": material.num_classes, "balance": balance}
        known |= {"sampling": settings.sampling}
        if self._stream is not None:
            if balance not in self._moving:
                sampler = MemorySampler(material.positions_n, material.trust_n, **known)
                sampler.hold(self._drawn)
                self._moving[balance] = sampler
            return self._moving[balance]
        if balance not in self._samplers:
            self._samplers[balance] = BatchSampler(
                material.positions_n[self._drawn], material.trust_n[self._drawn], **known
            )
        return self._samplers[balance]

    def _balance(self, share_done: float) -> float:
        if self._rehearses:
            return 1.0
        imbalance = self._config.imbalance
        if imbalance.two_stage:
            return float(in_second_stage(imbalance, share_done))
        return imbalance.settled_balance

    def _together(self) -> Batch:
        """Draw new samples and exemplars as one; once it rehearses, all are exemplars."""
        rows = self._draw(self._config.batch_size)
        new = self._update.material.new_n[rows] & (not self._rehearses)
        rows = np.concatenate([rows[new], rows[~new]])
        return self._gather(rows, int(new.sum()), torch.ones(len(rows)))

    def _apart(self, turns: Turns) -> Batch:
        """Let new samples take their turns, and put exemplars beside them."""
        update = self._update
        new_rows = turns.draw(self._num_new, update.rng)
        trust_b = torch.from_numpy(update.material.trust_n[new_rows])
        # Where nothing new is left to see, exemplars fill the batch.
        replayed = self._replayed if len(new_rows) else self._num_new + self._replayed
        if self._chooser is not None and len(new_rows) and len(self._drawn):
            new = self._gather(new_rows, len(new_rows), trust_b)
            chosen = self._chooser.recall(update, new, replayed)
            rows = self._draw(replayed) if chosen is None else chosen.cpu().numpy()
            batch = _joined(new, self._gather(rows, 0, torch.ones(len(rows))))
        else:
            rows = self._draw(replayed) if len(self._drawn) else self._drawn
            trust_b = torch.cat([trust_b, torch.ones(len(rows))])
            batch = self._gather(np.concatenate([new_rows, rows]), len(new_rows), trust_b)
        if self._stream is not None:
            self._count(new_rows)
            if self._stream.offer(new_rows):
                self._open_source()
        return batch

    def _draw(self, size: int) -> Ids:
        return self._drawn_at(self._update.share_done, size, self._update.rng)

    def _drawn_at(self, share_done: float, size: int, rng: np.random.Generator) -> Ids:
        drawn = self._sampler(self._balance(share_done)).draw(size, rng, share_done)
        return drawn if self._stream is not None else self._drawn[drawn]

    def _next_rows(self) -> list[Ids]:
        """Return the new samples of the next steps, and what is drawn with them, probably.

        It draws as those steps will, from copies, as long as no part draws between them.
        """
        update = self._update
        rng, turns = copy.deepcopy(update.rng), copy.copy(self._turns)
        batches: list[Ids] = []
        for step in range(update.done + 1, min(update.done + 1 + _AHEAD, update.rehearses_from)):
            share = step / update.steps
            if turns is None:
                batches.append(self._drawn_at(share, self._config.batch_size, rng))
                continue
            batches.append(turns.draw(self._num_new, rng))
            if len(self._drawn):
                self._drawn_at(share, self._replayed, rng)
        return batches

    def _gather(self, rows: Ids, num_new: int, trust_b: Tensor) -> Batch:
        material, config = self._update.material, self._config
        # Before the rows go to the device: there, streaming would have to wait for them.
        images = material.pixels(torch.from_numpy(rows))
        rows_b = torch.from_numpy(rows).to(material.device)
        positions_b = material.columns(rows_b)
        if config.augmentation.changes:
            strength_b = self._strength_of(positions_b)
            images = change(images, config.augmentation, self._update.generator, strength_b)
        smoothing = config.noise.label_smoothing
        return Batch(
            rows_b=rows_b,
            images_bchw=images,
            targets_bk=soft_targets(positions_b, material.num_classes, smoothing),
            positions_b=positions_b,
            trust_b=trust_b.to(material.device),
            num_new=num_new,
        )

    def _mixed(self, batch: Batch) -> Batch:
        if self._config.augmentation.join is None:
            return batch
        images, targets = join(
            batch.images_bchw,
            batch.targets_bk,
            self._config.augmentation,
            self._update.generator,
            self._strength_of(batch.positions_b),
        )
        return dataclasses.replace(batch, images_bchw=images, targets_bk=targets)

    def _strength_of(self, positions_b: Tensor) -> Tensor | None:
        return None if self._strength_k is None else self._strength_k[positions_b]


def _joined(first: Batch, second: Batch) -> Batch:
    names = ("rows_b", "images_bchw", "targets_bk", "positions_b", "trust_b")
    parts = {name: torch.cat([getattr(first, name), getattr(second, name)]) for name in names}
    return Batch(num_new=first.num_new, **parts)
