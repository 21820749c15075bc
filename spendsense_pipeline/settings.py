"""The one reader of the environment. Importing it, or making ``Settings()``, touches no file and no network.

What does not belong here: opening a database, an engine or a Dagster instance (``launcher.py``, ``defs/``).
"""

import datetime as dt
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Where data lies and how the pipeline behaves; every field is an environment variable.

    Paths are made absolute against the working directory of the process that reads them, so that a run
    launched by Dagster and a command typed beside it mean the same folder.
    """

    model_config = SettingsConfigDict(env_prefix="SPENDSENSE_", extra="ignore", populate_by_name=True)

    data: Path = Field(default=Path("data"), description="everything a run writes")
    warehouse: str | None = Field(default=None, description="path or fsspec URI of the Parquet tables")
    database_url: str | None = Field(default=None, description="SQLAlchemy URL of the governance database")
    engine: Literal["duckdb"] = Field(default="duckdb", description="where table expressions run")
    generator: Literal["library"] = Field(default="library", description="who writes the education")
    first_date: dt.date = Field(default=dt.date(2026, 1, 1), description="first daily partition")
    timezone: str = Field(default="UTC", description="timezone of the daily schedule")
    consent_days: int = Field(default=0, ge=0, description="life of a consent period in days, 0 = no limit")
    four_eyes: bool = Field(default=False, description="the author of an override may not be its approver")
    dagster_home: Path | None = Field(default=None, validation_alias="DAGSTER_HOME")

    @field_validator("data", "dagster_home")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        ZoneInfo(name)
        return name

    @property
    def landing(self) -> Path:
        """Batches as they arrived."""
        return self.data / "landing"

    @property
    def warehouse_root(self) -> str:
        """Root of the Parquet tables: an absolute path or a URI."""
        return self.warehouse or str(self.data / "warehouse")

    @property
    def governance_url(self) -> str:
        """SQLAlchemy URL of the governance database."""
        return self.database_url or f"sqlite:///{self.data / 'spendsense.db'}"

    @property
    def home(self) -> Path:
        """Dagster's home."""
        return self.dagster_home or self.data / "dagster"

    @property
    def brings_own_home(self) -> bool:
        """True where the user's own Dagster instance is used; we then configure nothing in it."""
        return self.dagster_home is not None

    @property
    def prompts(self) -> Path:
        """Persona prompts and the library of pieces that ship with the project."""
        return PROJECT_ROOT / "prompts"

    @property
    def catalogue(self) -> Path:
        """The product catalogue that ships with the project."""
        return PROJECT_ROOT / "data" / "products.json"
