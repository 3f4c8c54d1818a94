"""A project's Label Studio: who speaks to it, and what its tasks show."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from holdfast.annotation import image_links
from holdfast.annotation.image_links import ImageLinks
from holdfast.annotation.label_studio import LabelStudioOracle
from holdfast.annotation.label_studio_client import LabelStudioClient, connect
from holdfast.annotation.label_studio_hooks import register
from holdfast.annotation.oracle import Card
from holdfast.annotation.task_images import LocalFolder, inline
from holdfast.errors import ConfigError
from holdfast.project import Project
from holdfast.records import Query
from holdfast.store import labels, questions, samples

NAME = LabelStudioOracle.name
TOKEN_VARIABLE = "LABEL_STUDIO_API_KEY"  # noqa: S105  (the name of a variable)
_IMAGES = {
    "links": "by link from {base}: keep `holdfast web` running while people answer",
    "inline": "small copies inside the tasks",
    "local-files": "files that Label Studio serves",
}

_Link = Callable[[Sequence[Card]], Sequence[str]]
_Prepare = Callable[[LabelStudioClient, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """What `join` left in Label Studio, for people.

    Attributes
    ----------
    project : int
        Its id in Label Studio.
    images, guesses : str
        Where images come from, and whether the champion's live guesses are shown.
    """

    project: int
    url: str
    class_names: tuple[str, ...]
    images: str
    guesses: str


def open_label_studio(project: Project) -> LabelStudioOracle:
    """Return the oracle that asks in the project's Label Studio.

    Raises
    ------
    ConfigError
        If there is no access token, or the server does not take it.
    TransientError
        If the server does not answer.
    """
    settings = project.config.annotation.label_studio
    with project.ledger.read() as connection:
        # The marker tells this project's tasks from those of another one with its name.
        state = {"marker": _marker(project)} | questions.remembered(connection, NAME)
    link, prepare = _images(project)
    return LabelStudioOracle(
        open_client(project),
        state=state,
        title=project.root.name,
        class_names=_offered_classes(project),
        read_ids=partial(_read_ids, project),
        link_images=link,
        batch_size=settings.batch_size,
        adopt=settings.project,
        prepare=prepare,
    )


def join(project: Project, *, hooks: bool) -> Joined:
    """Make or adopt the project in Label Studio; tell it where guesses and hints are.

    Parameters
    ----------
    hooks : bool
        Register `holdfast web`, which must be running: Label Studio calls it.

    Raises
    ------
    ConfigError
        If the config names another oracle, or fewer than two classes; if the token is
        refused; or if Label Studio cannot call `holdfast web`.
    TransientError
        If Label Studio does not answer.
    """
    config = project.config
    if config.annotation.oracle != NAME:
        raise ConfigError(
            f'annotation.oracle is "{config.annotation.oracle}"; set it to "{NAME}" to answer in '
            "Label Studio"
        )
    with project.ledger.write() as connection:
        labels.add_classes(connection, config.data.classes)
    names = _offered_classes(project)
    if len(names) < 2:
        raise ConfigError(
            "Label Studio needs two classes or more to choose from; list them in data.classes or "
            "ingest labeled images"
        )
    oracle = open_label_studio(project)
    nothing = Query(round_number=0, batch=1, items=())
    state = oracle.send(nothing, ()).state or {}
    with project.ledger.write() as connection:
        questions.remember(connection, NAME, state)
    number = int(str(state["project"]))
    if hooks:
        register(open_client(project), number, config.web.base, _key(project))
    return Joined(
        project=number,
        url=open_label_studio(project).where(nothing),
        class_names=tuple(names),
        images=_IMAGES[config.annotation.label_studio.images].format(base=config.web.base),
        guesses=f"from {config.web.base}" if hooks else "those made when a question is sent",
    )


def open_client(project: Project) -> LabelStudioClient:
    """Return a client of the project's Label Studio, with its token.

    Raises
    ------
    ConfigError
        If there is no access token, or the server does not take it.
    TransientError
        If the server does not answer.
    """
    settings = project.config.annotation.label_studio
    return connect(settings.url, _token(project), settings.timeout)


def open_links(project: Project) -> ImageLinks:
    """Return the maker of image links, with the key that is this project's own."""
    return ImageLinks(_key(project), project.config.web.base)


def _offered_classes(project: Project) -> list[str]:
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
    names += [name for name in project.config.data.classes if name not in names]
    return [name for name in names if name not in project.config.data.retired]


def _images(project: Project) -> tuple[_Link, _Prepare | None]:
    """Return what makes the image addresses of tasks, and what must be done once before."""
    settings = project.config.annotation.label_studio

    def read(cards: Sequence[Card]) -> list[bytes]:
        return list(project.images.read([card.uid for card in cards]))

    if settings.images == "inline":
        return (lambda cards: inline(read(cards))), None
    if settings.images == "local-files":
        folder = LocalFolder(project.root / Path(settings.local_files).expanduser())
        return (lambda cards: folder.put([card.uid for card in cards], read(cards))), folder.open_to
    links = open_links(project)
    return (lambda cards: [links.task_link(card.uid) for card in cards]), None


def _marker(project: Project) -> str:
    return hashlib.sha256(b"marker" + _key(project)).hexdigest()[:16]


def _key(project: Project) -> bytes:
    return image_links.load_key(project.web_key)


def _read_ids(project: Project, uids: Sequence[str]) -> Mapping[str, int]:
    with project.ledger.read() as connection:
        return samples.ids_of(connection, list(uids))


def _token(project: Project) -> str:
    named = project.config.annotation.label_studio.token_file
    token = os.environ.get(TOKEN_VARIABLE, "") if not named else _read_token(project.root / named)
    if not token.strip():
        where = f"{named} is empty" if named else f"{TOKEN_VARIABLE} is not set"
        raise ConfigError(
            f"no access token for Label Studio: {where}; copy the token from its page "
            "Account & Settings, then set the variable or annotation.label_studio.token_file"
        )
    return token.strip()


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"annotation.label_studio.token_file {path} cannot be read ({error}); name a file "
            "that holds the token and nothing else"
        ) from error
