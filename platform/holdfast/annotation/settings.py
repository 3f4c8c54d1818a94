"""Where answers come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from holdfast.errors import ConfigError

IMAGE_MODES = ("links", "inline", "local-files")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelStudioConfig:
    """The Label Studio server that people answer in, with `annotation.oracle = "label-studio"`.

    Attributes
    ----------
    url : str
        Where the server is, as annotators open it in their browsers.
    project : int
        Id of a project to adopt; 0 makes one, named after this folder.
    token_file : str
        File with the access token, relative to this project; a legacy token and a personal
        access token both do. Empty: the environment variable LABEL_STUDIO_API_KEY.
    images : str
        `links`: browsers fetch images from `holdfast web` by signed links; `inline`: small
        copies travel inside the tasks; `local-files`: Label Studio reads them from a folder.
    local_files : str
        For `local-files`: the folder that Label Studio serves, its
        LOCAL_FILES_DOCUMENT_ROOT or a folder in it, as this machine sees it.
    batch_size : int
        Tasks sent in one request, 1 to 5,000.
    timeout : float
        Seconds until a request counts as lost, at least 1.
    """

    url: str = "http://127.0.0.1:8080"
    project: int = 0
    token_file: str = ""
    images: str = "links"
    local_files: str = ""
    batch_size: int = 250
    timeout: float = 60.0

    def __post_init__(self) -> None:
        _check_url("annotation.label_studio.url", self.url)
        if self.project < 0:
            raise ConfigError(
                f"annotation.label_studio.project should be 0 or a project's id, not {self.project}"
            )
        if self.images not in IMAGE_MODES:
            raise ConfigError(
                f'annotation.label_studio.images is "{self.images}"; choose one of: '
                f"{', '.join(IMAGE_MODES)}"
            )
        if (self.images == "local-files") != bool(self.local_files):
            raise ConfigError(
                "annotation.label_studio.local_files names the folder that Label Studio serves: "
                'set it together with annotation.label_studio.images = "local-files", and only then'
            )
        if not 1 <= self.batch_size <= 5000:
            raise ConfigError(
                "annotation.label_studio.batch_size should lie between 1 and 5,000, not "
                f"{self.batch_size}"
            )
        if not self.timeout >= 1.0:
            raise ConfigError(
                f"annotation.label_studio.timeout should be 1 or more, not {self.timeout}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotationConfig:
    """Who is asked, and how many answers make a round go on.

    Attributes
    ----------
    oracle : str
        `csv` asks people through files, `label-studio` in a labeling server; `simulated`
        answers from known labels.
    enough : float
        Share of a query that must be answered before the round goes on, in (0, 1].
    truth : str
        For `simulated`: CSV file with the columns uid, label and, where several people's
        votes are known, votes (class names separated by `|`, empty for none). Relative
        to the project.
    answer_noise : float
        For `simulated`: share of wrong answers, in [0, 1).
    num_annotators : int
        For `simulated`: how many people there are to ask.
    """

    oracle: str = "csv"
    enough: float = 1.0
    truth: str = ""
    answer_noise: float = 0.0
    num_annotators: int = 3
    label_studio: LabelStudioConfig = field(default_factory=LabelStudioConfig)

    def __post_init__(self) -> None:
        if not 0 < self.enough <= 1:
            raise ConfigError(f"annotation.enough should lie in (0, 1], not {self.enough}")
        if not 0 <= self.answer_noise < 1:
            raise ConfigError(
                f"annotation.answer_noise should lie in [0, 1), not {self.answer_noise}"
            )
        if self.num_annotators < 1:
            raise ConfigError(
                f"annotation.num_annotators should be 1 or more, not {self.num_annotators}"
            )
        if self.oracle == "simulated" and not self.truth:
            raise ConfigError(
                "annotation.truth is empty; name the CSV file the simulated oracle answers from"
            )
        if self.oracle != "simulated" and (self.truth or self.answer_noise):
            raise ConfigError(
                "annotation.truth and annotation.answer_noise have no effect unless "
                f'annotation.oracle is "simulated" (it is "{self.oracle}"); remove them'
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class WebConfig:
    """Where `holdfast web` listens: images and guesses for Label Studio, and its hints.

    Attributes
    ----------
    host : str
        Address to listen on; `0.0.0.0` lets other machines in.
    port : int
        Port to listen on, 1 to 65,535.
    url : str
        How annotators' browsers and Label Studio reach it. Empty: `http://HOST:PORT`.
    link_minutes : int
        How long a link to an image works, 1 to 10,080. Tasks hold links that are made anew
        each time somebody looks, so a short time interrupts nobody.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    url: str = ""
    link_minutes: int = 10

    def __post_init__(self) -> None:
        if not self.host:
            raise ConfigError("web.host is empty; use 127.0.0.1, or 0.0.0.0 for all addresses")
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"web.port should lie between 1 and 65,535, not {self.port}")
        if self.url:
            _check_url("web.url", self.url)
        elif self.host in ("0.0.0.0", "::"):  # noqa: S104  (refused, not bound)
            raise ConfigError(
                f'web.host = "{self.host}" listens on every address, and no browser can open that; '
                "say in web.url how others reach this machine"
            )
        if not 1 <= self.link_minutes <= 10_080:
            raise ConfigError(
                f"web.link_minutes should lie between 1 and 10,080, not {self.link_minutes}"
            )

    @property
    def base(self) -> str:
        """Return the URL that others reach it by, without a slash at its end."""
        return (self.url or f"http://{self.host}:{self.port}").rstrip("/")


def _check_url(setting: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f'{setting} is "{url}"; expected a URL as http://127.0.0.1:8080')
