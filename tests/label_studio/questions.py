"""Questions for a Label Studio, and people who answer them over its API."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.annotation.label_studio import LabelStudioOracle
from holdfast.annotation.label_studio_client import LabelStudioClient
from holdfast.annotation.oracle import Card, Collected, Sent
from holdfast.records import Query, QueryItem

CLASSES = ("cat", "dog")
# Sample ids from here on are none of the ledger's.
UNKNOWN = 5000


def uid_of(sample_id: int) -> str:
    return f"{sample_id:064x}"


def query_about(sample_ids: Sequence[int], round_number: int = 1, batch: int = 1) -> Query:
    items = tuple(QueryItem(sample_id=one, reason="random", score=0.0) for one in sample_ids)
    return Query(round_number=round_number, batch=batch, items=items)


def cards_of(sample_ids: Sequence[int], **fields: Any) -> list[Card]:
    shown = {"reason": "random", "guess": "cat", "confidence": 0.75, "model": "m1", **fields}
    return [Card(sample_id=one, uid=uid_of(one), **shown) for one in sample_ids]


def choice(label: str, control: str = "label") -> dict[str, object]:
    return {
        "from_name": control,
        "to_name": "image",
        "type": "choices",
        "value": {"choices": [label]},
    }


def say(
    client: LabelStudioClient, task: int | str, label: str | None, **fields: object
) -> dict[str, Any]:
    """Answer a task as the client's user; without a label, skip it."""
    result = fields.pop("result", [] if label is None else [choice(label)])
    body = {"result": result, "was_cancelled": label is None, "lead_time": 2.5, **fields}
    made: dict[str, Any] = client.request("POST", f"/api/tasks/{task}/annotations/", json=body)
    return made


class Asking:
    """An oracle built anew for each call from the state it returned last, as the loop does."""

    def __init__(
        self,
        client: LabelStudioClient,
        *,
        classes: Sequence[str] = CLASSES,
        adopt: int = 0,
        batch_size: int = 100,
        title: str = "oracle",
    ) -> None:
        self.client = client
        self.classes = classes
        self.adopt = adopt
        self.batch_size = batch_size
        self.title = title
        self.state: Mapping[str, Any] = {"marker": f"test-{uuid.uuid4().hex}"}

    @property
    def oracle(self) -> LabelStudioOracle:
        return LabelStudioOracle(
            self.client,
            state=self.state,
            title=self.title,
            class_names=self.classes,
            read_ids=lambda uids: {one: int(one, 16) for one in uids if int(one, 16) < UNKNOWN},
            link_images=lambda cards: [f"http://127.0.0.1:9/{card.uid}.png" for card in cards],
            batch_size=self.batch_size,
            adopt=self.adopt,
        )

    def send(self, query: Query, cards: Sequence[Card] | None = None) -> Sent:
        if cards is None:
            cards = cards_of([item.sample_id for item in query.items])
        sent = self.oracle.send(query, cards)
        self.state = sent.state or self.state
        return sent

    def collect(self, query: Query) -> Collected:
        collected = self.oracle.collect(query)
        self.state = collected.state or self.state
        return collected

    @property
    def project(self) -> int:
        return int(self.state["project"])

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks there are, in full."""
        fields = {"project": self.project, "fields": "all", "page_size": 1000}
        return list(self.client.request("GET", "/api/tasks", params=fields)["tasks"])
