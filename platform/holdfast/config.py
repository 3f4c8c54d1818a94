"""One run as a frozen tree, read from `holdfast.toml`."""

from __future__ import annotations

import collections.abc
import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from holdfast.annotation.settings import AnnotationConfig, WebConfig
from holdfast.catalog import check, check_strategy, suggestion
from holdfast.data.splits import DataConfig
from holdfast.data.synthetic_settings import check_side
from holdfast.data.triggers import BalanceConfig
from holdfast.errors import ConfigError
from holdfast.evaluation.gate import GateConfig
from holdfast.learning.settings import LearningConfig
from holdfast.model.spec import NetworkConfig
from holdfast.quality.agreement import AgreementConfig
from holdfast.quality.settings import AuditConfig
from holdfast.query.budget import QueryConfig

FILE_NAME = "holdfast.toml"
# Settings that are gone -> what says the same now.
_REPLACED = {
    "learning.augment": 'policy = "slight" or "none" under [learning.augmentation]',
    "learning.imbalance.mixing": 'policy = "mixup" or "cutmix" under [learning.augmentation]',
    "learning.imbalance.mixing_strength": "strength under [learning.augmentation.mixing]",
    "learning.imbalance.rare_augment": 'classes = "rare_more" under [learning.augmentation]',
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LedgerConfig:
    """Where the ledger is.

    Attributes
    ----------
    url : str
        Database URL, for example `postgresql+psycopg://user@host/name`. Empty: SQLite in
        the project's own folder.
    """

    url: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Everything that decides what a run does; each part is documented where it works.

    Attributes
    ----------
    seed : int
        Seed of every random draw, 0 or more.
    """

    seed: int = 0
    ledger: LedgerConfig = dataclasses.field(default_factory=LedgerConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    balance: BalanceConfig = dataclasses.field(default_factory=BalanceConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    audit: AuditConfig = dataclasses.field(default_factory=AuditConfig)
    query: QueryConfig = dataclasses.field(default_factory=QueryConfig)
    annotation: AnnotationConfig = dataclasses.field(default_factory=AnnotationConfig)
    web: WebConfig = dataclasses.field(default_factory=WebConfig)
    agreement: AgreementConfig = dataclasses.field(default_factory=AgreementConfig)
    learning: LearningConfig = dataclasses.field(default_factory=LearningConfig)
    gate: GateConfig = dataclasses.field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed should be 0 or more, not {self.seed}")
        check("annotation.oracle", self.annotation.oracle)
        wanted = sum(self.query.at_least.values())
        if wanted > self.query.budget:
            raise ConfigError(
                f"query.at_least wants {wanted} samples but query.budget is {self.query.budget}; "
                "lower the one or raise the other"
            )
        if self.learning.synthetic.per_class:
            check_side(self.data.image_size)
        formula = check_strategy(self.query.strategy)
        alone = self.learning.imbalance.ensemble < 2 and not self.network.dropout
        if formula.needs_committee and alone:
            raise ConfigError(
                f"query.strategy is {self.query.strategy!r}, which compares several models; set "
                "learning.imbalance.ensemble to 2 or more, or network.dropout above 0"
            )

    def digest(self) -> str:
        """Return a sha256 of all settings but addresses: where things are decides nothing."""
        settings = dataclasses.asdict(self)
        for section in ("ledger", "web"):
            del settings[section]
        for name in ("url", "token_file"):
            del settings["annotation"]["label_studio"][name]
        text = json.dumps(settings, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> Config:
    """Read a config file.

    Parameters
    ----------
    path : Path
        The file, or the folder that holds `holdfast.toml`.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or holds an unknown key, a value of another
        type or out of range, or a setting that would have no effect.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{file} is missing; run `holdfast init DIR` and work in that folder, "
            "or name the file with --config"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}); check the file") from error
    return parse(text, str(file))


def parse(text: str, where: str = FILE_NAME) -> Config:
    """Read a config from TOML text; `where` names it in errors."""
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML ({error}); correct that line") from error
    config: Config = _build(Config, settings, "", where)
    return config


def _build(cls: type[Any], settings: dict[str, Any], prefix: str, where: str) -> Any:
    kinds = typing.get_type_hints(cls)
    values = {}
    for key, value in settings.items():
        if f"{prefix}{key}" in _REPLACED:
            raise ConfigError(
                f"{where}: {prefix}{key} is no setting any more; remove the line and, unless you "
                f"want the default, write {_REPLACED[prefix + key]}"
            )
        if key not in kinds:
            raise ConfigError(f"{where}: unknown key {prefix}{key}; {suggestion(key, kinds)}")
        values[key] = _convert(kinds[key], value, f"{prefix}{key}", where)
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(kind: Any, value: Any, key: str, where: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: {key} is a section; write [{key}] above its settings")
        return _build(kind, value, f"{key}.", where)
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: {key} should be a list, not {value!r}")
        item = typing.get_args(kind)[0]
        return tuple(_convert(item, one, key, where) for one in value)
    if origin is collections.abc.Mapping:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: {key} should be a table, not {value!r}")
        item = typing.get_args(kind)[1]
        return {name: _convert(item, one, f"{key}.{name}", where) for name, one in value.items()}
    if origin is typing.Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise ConfigError(
                f"{where}: {key} is {value!r}; {suggestion(str(value), map(str, choices))}"
            )
        return value
    if origin in (typing.Union, types.UnionType):
        kinds = [one for one in typing.get_args(kind) if one is not type(None)]
        return _convert(kinds[0], value, key, where)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where}: {key} should be {_NAMES[kind]}, not {value!r}")
    return value


_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    bool: "true or false",
}
