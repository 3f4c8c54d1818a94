"""Synthetic images in a round: what is drawn for its augmented version, what its learner gets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from holdfast.data.stream import decode
from holdfast.failpoints import reach
from holdfast.phases import scoring
from holdfast.phases.synthesis import Synthesis, synthesize
from holdfast.phases.tiers import doubts_of
from holdfast.phases.turn import Turn
from holdfast.project import Project
from holdfast.records import LabelTable, SyntheticImage, SyntheticMaterial
from holdfast.store import labels, models
from holdfast.store.held_labels import Moment
from holdfast.store.label_rule import Scope


def drawn_for(turn: Turn, scope: Scope, moment: Moment, num_classes: int) -> Synthesis | None:
    """Return what a generator drew for a round; None where the recipe has it off."""
    project = turn.project
    config = project.config.learning.synthetic
    if not config.per_class:
        return None
    with project.ledger.read() as connection:
        table = labels.resolve(connection, scope, "train")
        doubts = doubts_of(connection, turn.round_number)
        current = models.champion(connection)
        known = None if current is None else models.version_learned(connection, current.champion)
    if known is not None and known.version.digest == moment.digest:
        # The learn phase will find the same, and learn nothing.
        return Synthesis(config=config, reason="no label changed since the champion learned")
    made = synthesize(
        scoring.champion_state(project),
        table,
        doubts,
        num_classes,
        lambda sample_ids: scoring.read_images(project, sample_ids),
        config,
        project.config.network,
        turn.rng("synthetic"),
        turn.progress,
    )
    # Before the ledger names them: a crash in between leaves images that nothing points to, and
    # the phase, done again, draws the same ones.
    project.synthetic.add([one.uid for one in made.admitted], made.payloads)
    reach("snapshot:drawn")
    return made


def material_of(
    project: Project, admitted: Sequence[SyntheticImage], after: LabelTable
) -> SyntheticMaterial | None:
    """Return admitted images as a learner takes them; those of classes that have samples."""
    with_samples = set(after.class_ids_n.tolist())
    kept = [one for one in admitted if one.class_id in with_samples]
    if not kept:
        return None
    data = project.config.data
    payloads = project.synthetic.read([one.uid for one in kept])
    return SyntheticMaterial(
        images_mchw=decode(payloads, data.image_size, data.channels),
        labels_m=np.array([one.class_id for one in kept], np.int64),
        share=project.config.learning.synthetic.share,
    )
