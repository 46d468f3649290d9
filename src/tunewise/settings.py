"""Settings from the environment and `tunewise.toml`, and where the shipped folders lie."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, HttpUrl, PrivateAttr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tunewise.errors import SettingsError

SETTINGS_FILE = "tunewise.toml"


def default_cache() -> Path:
    """Folder for models, prefixes and index: `$XDG_CACHE_HOME/tunewise` or `~/.cache/tunewise`.

    Raises:
        SettingsError: No home folder is known, as for a user without an entry in the system's list.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(root) if root else Path.home() / ".cache") / "tunewise"
    except RuntimeError:
        raise SettingsError("No home folder is known to keep a cache in.", "Set TUNEWISE_CACHE.") from None


class Settings(BaseSettings):
    """What a user may set, by `TUNEWISE_<NAME>` or as `<name>` in `tunewise.toml` of the working folder.

    The environment wins over the file. Only the faces read settings; everything below gets plain values.
    """

    model_config = SettingsConfigDict(
        env_prefix="TUNEWISE_",
        toml_file=SETTINGS_FILE,
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
    )

    model: str = "qwen2.5-coder-1.5b"
    """Name in the catalogue (`tunewise models list`) or path of a GGUF file."""
    engine: str | None = None
    """A chat model elsewhere instead of the local one, as `provider:model` of LangChain; what is asked goes there."""
    engine_url: str | None = None
    """Address of an OpenAI-compatible server for `engine`, such as http://127.0.0.1:8000/v1."""
    knowledge: Path | None = None
    """Knowledge folder; the shipped one where unset."""
    chroma: HttpUrl | None = None
    """A Chroma server that holds the vectors instead of the cache, such as http://127.0.0.1:8000;
    no text goes there."""
    prompts: Path | None = None
    """Folder of prompts; the shipped one where unset."""
    cache: Path = Field(default_factory=default_cache)
    """Folder for models, prefixes and index."""
    context: Annotated[int, Field(ge=2048, le=131072)] = 8192
    """Context window in tokens, shared by instructions, situation and answer."""
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Threads of the model; the number of physical cores where unset."""
    reasons: Annotated[int, Field(ge=1, le=5)] = 3
    """Reasons an answer gives."""
    offline: bool = False
    """Never fetch anything; a missing model is then an error."""
    verbose: bool = False
    """Write a JSON line for every answer to stderr: timings, tokens, hashes, verdict."""
    log: Path | None = None
    """File that gets the same lines."""
    log_text: bool = False
    """Put into the lines what was asked; without it they hold its hash and length only."""
    _filed: dict[str, Path] = PrivateAttr(default_factory=dict)

    @field_validator("knowledge", "prompts", "cache", "log")
    @classmethod
    def _at_home(cls, value: Path | None) -> Path | None:
        """A shell expands `~`; a settings file does not."""
        return _expanded(value) if value else None

    @field_validator("model")
    @classmethod
    def _at_some_home(cls, value: str) -> str:
        """A path of a model is expanded where it is opened."""
        _expanded(Path(value))
        return value

    @property
    def chroma_server(self) -> str | None:
        """Address of the Chroma server; None where the index lies in the cache."""
        return str(self.chroma).rstrip("/") if self.chroma else None

    def filed(self, name: str) -> Path | None:
        """The settings file, if a setting comes out of it: the working folder, and so the file, may be a stranger's."""
        return self._filed.get(name)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))

    @classmethod
    def load(cls, **overrides: object) -> "Settings":
        """Read the settings.

        Args:
            overrides: Values that win over environment and file.

        Raises:
            SettingsError: A value is unusable, a name unknown, or the file is not TOML.
        """
        try:
            made = cls(**overrides)  # type: ignore[arg-type]
            filed = TomlConfigSettingsSource(cls)().keys() - EnvSettingsSource(cls)().keys() - overrides.keys()
            made._filed = dict.fromkeys(filed, Path(SETTINGS_FILE).absolute())
            return made
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise SettingsError(
                f"The setting '{name}' cannot be used: {first['msg'].lower()}.",
                f"Look at TUNEWISE_{name.upper()} and {SETTINGS_FILE}.",
            ) from None
        except (ValueError, RecursionError, OSError) as error:
            raise SettingsError(f"{SETTINGS_FILE} is not valid TOML: {error}.") from None


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise PydanticCustomError("home", "no home folder is known for '{user}'", {"user": path.parts[0]}) from None


def resource(name: str) -> Path:
    """A folder that ships with Tunewise: `knowledge` or `prompts`.

    A checkout's own folder wins over the installed copy, so that edits take effect at once.

    Raises:
        SettingsError: The installation has lost the folder.
    """
    package = Path(__file__).resolve().parent
    checkout = package.parent.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    shipped = package / "_data" / name
    if shipped.is_dir():
        return shipped
    raise SettingsError(f"The folder '{name}' is missing from this installation.", "Install Tunewise again.")
