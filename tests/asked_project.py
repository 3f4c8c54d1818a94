"""A project whose samples were asked about, and champions nobody had to train."""

from __future__ import annotations

from holdfast.model.network import build_network, describe, weights_of
from holdfast.project import Project
from holdfast.records import DatasetVersion, ModelRecord, Promotion, Query, QueryItem
from holdfast.store import checkpoints, labels, models, queries, questions, rounds, samples


def ask(project: Project, num: int) -> list[str]:
    """Open a round that asks about the first samples of the pool; their uids."""
    with project.ledger.write() as connection:
        number = rounds.start(connection, "0" * 64)
        labeled = set(labels.resolve(connection, labels.open_scope(connection)).sample_ids_n)
        usable = samples.usable_ids(connection, "train")
        asked = [int(one) for one in usable if one not in labeled][:num]
        items = tuple(QueryItem(sample_id=one, reason="random", score=0.0) for one in asked)
        query = Query(round_number=number, batch=1, items=items)
        queries.add_query(connection, query)
        questions.open_questions(connection, query)
        return samples.uids_of(connection, usable[[list(usable).index(one) for one in asked]])


def crown(project: Project, seed: int) -> str:
    """Make a network with random weights the champion; its sha256."""
    config = project.config
    with project.ledger.read() as connection:
        class_ids = list(range(len(labels.class_names(connection))))
        before = models.champion(connection)
    network = build_network(
        config.network,
        channels=config.data.channels,
        image_size=config.data.image_size,
        class_ids=class_ids,
        seed=seed,
    )
    header = {
        "class_ids": class_ids,
        "network": describe(config.network),
        "channels": config.data.channels,
        "image_size": config.data.image_size,
    }
    sha256 = checkpoints.save(project.models, weights_of(network), header)
    with project.ledger.write() as connection:
        version = models.add_version(
            connection,
            DatasetVersion(
                round_number=1,
                parent=None,
                watermark=0,
                excluded=(),
                digest="0" * 64,
                num_labels=0,
                tier="training",
            ),
        )
        models.add_model(
            connection,
            ModelRecord(sha256=sha256, round_number=1, parent=None, dataset_version=version),
        )
        models.promote(
            connection,
            Promotion(
                round_number=1,
                expected=before.champion if before else None,
                champion=sha256,
                dataset_version=version,
                kind="promote",
                verdict={"reason": "a test says so"},
                who="test",
            ),
        )
    return sha256
