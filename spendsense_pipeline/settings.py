"""The one reader of the environment. Importing it, or making ``Settings()``, touches no file and no network.

What does not belong here: opening a database, an engine or a Dagster instance (``governance/``, ``defs/``).
"""

import base64
import datetime as dt
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from spendsense_pipeline.durations import LONGEST
from spendsense_pipeline.errors import SpendSenseError

THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
PROJECT_ROOT = Path(__file__).resolve().parent.parent
SHORTEST_SECRET = 32
"""Characters; what `openssl rand -hex 16` prints."""
SHORTEST_KEPT = 90
"""Days; drift is judged by fourteen dates, an experiment runs for weeks."""
UNREPEATED = (
    *("database_url", "webhook_urls", "oidc_issuer", "token", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    *("alert_smtp", "alert_password", "alert_webhook_urls"),
)
"""Settings that may hold a password: an error does not repeat them."""


class InvalidSettings(SpendSenseError):
    """A setting means nothing here; the message names the variable, its value and what would be right."""

    code = "invalid_settings"


def is_safe_address(url: str) -> bool:
    """Whether nobody between can listen in: https, or http on this machine.

    >>> is_safe_address("https://login.example.org"), is_safe_address("http://[::1]:9"), is_safe_address("http://a.org")
    (True, True, False)
    """
    if not _has_host(url):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in THIS_MACHINE)


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False


def _has_key(secret: SecretStr) -> bool:
    return 24 <= len(base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)) <= 64


def _must(hold: Callable[[Any], object], said: str) -> AfterValidator:
    """What a setting has to be, where it is set, and what is said where it is not, or cannot be looked at."""

    def checked(value: Any) -> Any:
        try:
            held = not value or hold(value)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            held = False
        if not held:
            raise ValueError(said)
        return value

    return AfterValidator(checked)


def _split(listed: Any) -> Any:
    return [one.strip() for one in listed.split(",") if one.strip()] if isinstance(listed, str) else listed or ()


def _absolute_file(url: str) -> str:
    """The address of a database, an SQLite file's from the root of the disk: from another folder it is the same one."""
    file = re.fullmatch(r"(sqlite(?:\+pysqlite)?:///)(?!/|:memory:|file:)([^?]+)(.*)", url)
    return f"{file[1]}{Path(file[2]).absolute()}{file[3]}" if file else url


SERVICE = "needs the extra: pip install 'spendsense-pipeline[service]'"
Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A text with commas."""
Place = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
Url = Annotated[
    str,
    _must(
        lambda url: re.match(r"https?://[^/\s]+", url) and _has_host(url),
        "should begin with https:// or http://, e.g. http://127.0.0.1:8000/v1",
    ),
]
SafeUrl = Annotated[Url, _must(is_safe_address, "should begin with https://; only on this machine http will do")]
Addresses = Annotated[
    Listed,
    _must(
        lambda listed: all(re.match(r"https?://[^/\s*]+", one) and _has_host(one) for one in listed),
        "should be addresses with commas between them, e.g. https://app.example.org",
    ),
]
Origins = Annotated[
    Listed,
    _must(
        lambda listed: all(re.fullmatch(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d+)?/?", one) for one in listed),
        "should be origins with commas between them, e.g. https://app.example.org, no path",
    ),
    AfterValidator(lambda listed: tuple(one.rstrip("/") for one in listed)),
]
Mailboxes = Annotated[
    Listed,
    _must(
        lambda listed: all(re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", one) for one in listed),
        "should be e-mail addresses with commas between them",
    ),
]
DatabaseUrl = Annotated[
    str,
    _must(
        re.compile(r"(sqlite(\+pysqlite)?|postgres|postgresql(\+psycopg)?)://").match,
        "should begin with sqlite:/// or postgresql://",
    ),
    AfterValidator(_absolute_file),
]
Engine = Annotated[
    Literal["duckdb", "spark"],
    _must(
        lambda engine: engine != "spark" or find_spec("pyspark"),
        "needs the extra: pip install 'spendsense-pipeline[spark]'",
    ),
]
KeptDays = Annotated[
    int,
    _must(
        lambda days: not 0 < days < SHORTEST_KEPT,
        f"should be 0 or at least {SHORTEST_KEPT}: checks and experiments look back",
    ),
]
MailPassword = Annotated[
    SecretStr,
    _must(
        lambda password: password.get_secret_value().isascii(), "should be ASCII: mail servers agree on nothing else"
    ),
]
Key = Annotated[SecretStr, _must(_has_key, "should be whsec_ and 24 to 64 random bytes in Base64")]
Secret = Annotated[
    SecretStr,
    _must(
        lambda secret: len(secret.get_secret_value()) >= SHORTEST_SECRET,
        f"should be {SHORTEST_SECRET} random characters or more: it signs all sessions",
    ),
]
Prices = Annotated[
    str,
    _must(
        re.compile(r"\d+(\.\d+)?,\d+(\.\d+)?").fullmatch,
        "should be two numbers with a comma between them, e.g. 0.15,0.60",
    ),
]
Timezone = Annotated[str, _must(ZoneInfo, "should name a timezone, e.g. UTC or Europe/Berlin")]


class Settings(BaseSettings):
    """Where data lies and how the pipeline behaves; every field is an environment variable.

    Paths are made absolute against the working directory of the process that reads them, so that a run
    launched by Dagster and a command typed beside it mean the same folder. A variable that is set to nothing counts
    as not set. Raises ``InvalidSettings``.

    >>> Settings().data, Settings(data="elsewhere").warehouse_root
    """

    model_config = SettingsConfigDict(
        env_prefix="SPENDSENSE_", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    data: Place = Field(default=Path("data"), description="everything a run writes")
    warehouse: str | None = Field(default=None, description="path or fsspec URI of the Parquet tables")
    exports: str | None = Field(default=None, description="path or fsspec URI that analysts read the exports from")
    database_url: DatabaseUrl | None = Field(default=None, description="SQLAlchemy URL of the governance database")
    engine: Engine = Field(
        default="duckdb", description="who computes the features of a date: processes of this machine, or spark"
    )
    workers: int | None = Field(
        default=None, ge=1, description="processes that compute features at the same time; default the machine's cores"
    )
    compile: Literal["auto", "always", "never"] = Field(
        default="auto", description="whether the kernels of the features are compiled; auto: where it is quicker"
    )
    kernels: Place | None = Field(
        default=None,
        description="where is kept what is made once per version, as compiled kernels; default in the data folder",
    )
    spark_master: str = Field(default="local[*]", description="master URL of the Spark engine")
    generator: Literal["library", "openai"] = Field(default="library", description="who writes the education")
    payees: Place | None = Field(default=None, description="the house's own file of payees, TOML")
    payee_model: Literal["none", "openai"] = Field(
        default="none", description="who is asked about payees that nothing else knows"
    )
    memory: str | None = Field(
        default=None,
        pattern=r"^[0-9]+(\.[0-9]+)?[MGT]B$",
        description="what the engine may hold before it spills to disk, e.g. 4GB; default half of the machine's",
    )
    ingest: bool = Field(default=True, description="false: the canonical tables are the user's own, nothing lands")
    stale_days: int = Field(
        default=7,
        ge=0,
        le=LONGEST,
        description="age of a customer's newest row, in days, beyond which nothing is drafted for them",
    )
    late_days: int = Field(
        default=4,
        ge=0,
        le=LONGEST,
        description="days without a newer transaction or batch after which the data is late",
    )
    keep_days: KeptDays = Field(
        default=0,
        ge=0,
        le=LONGEST,
        description="days that runs, daily partitions, pages and former transactions are kept, 90 or more; "
        "0 = for ever, former transactions until the next merge",
    )
    first_date: dt.date = Field(default=dt.date(2026, 1, 1), description="first daily partition")
    timezone: Timezone = Field(default="UTC", description="timezone of the daily schedule")
    consent_days: int = Field(default=0, ge=0, le=LONGEST, description="life of a consent period in days, 0 = no limit")
    four_eyes: bool = Field(default=False, description="the author of an override may not be its approver")
    audit_key: Place | None = Field(
        default=None, description="PEM file of the Ed25519 key that heads of the audit chain are signed with"
    )
    weekly_cap: int = Field(default=3, ge=0, description="texts that one customer gets in seven days, 0 = no limit")
    release_days: int = Field(default=30, ge=1, le=365, description="days that a released text stays in the feed")
    trust_local: bool = Field(
        default=True, description="whoever is on this machine decides under a typed name; false: only with a token"
    )
    token: SecretStr | None = Field(default=None, description="token that a decision by command or job is made with")
    secret: Secret | None = Field(
        default=None, description="what sessions and links are signed with; default a file in the data folder"
    )
    public_url: Url | None = Field(default=None, description="address under which people reach the service")
    cors_origins: Origins = Field(default=(), description="origins of web apps that may call it, with commas")
    rate_limit: int = Field(default=300, ge=1, description="requests a second that one token or address may make")
    oidc_issuer: SafeUrl | None = Field(default=None, description="OpenID Connect issuer that people log in with")
    oidc_client_id: str | None = Field(default=None, description="this service's name at the issuer")
    oidc_client_secret: SecretStr | None = Field(default=None, description="its secret there")
    webhook_urls: Addresses = Field(default=(), description="addresses that hear of releases, with commas")
    webhook_secret: Key | None = Field(default=None, description="what messages to them are signed with, whsec_…")
    alert_to: Mailboxes = Field(default=(), description="who is mailed about failures and lateness, with commas")
    alert_from: Mailboxes = Field(default=(), description="sender of these mails; default the first of them")
    alert_user: str | None = Field(default=None, description="login at the mail server")
    alert_password: MailPassword | None = Field(default=None, description="its password there")
    alert_smtp: str | None = Field(default=None, description="mail server: smtp:// (STARTTLS) or smtps://, host, port")
    alert_webhook_urls: Annotated[Addresses, _must(lambda _: find_spec("standardwebhooks"), SERVICE)] = Field(
        default=(), description="addresses that hear of failures and lateness, with commas; extra service"
    )
    dagster_url: Url = Field(
        default="http://127.0.0.1:3000", description="address under which people reach Dagster's pages, for links"
    )
    dagster_hosts: Listed = Field(
        default=(), description="names of Dagster's pages besides this machine's own, with commas"
    )
    dagster_login: bool = Field(
        default=False, description="Dagster's pages are for who is logged in at the service as an admin"
    )
    dagster_home: Place | None = Field(default=None, validation_alias="DAGSTER_HOME")
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: Url | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    openai_model: str = Field(default="gpt-4o-mini", description="model that is asked")
    openai_in_flight: int = Field(default=16, ge=1, le=256, description="requests at the same time")
    openai_timeout: float = Field(default=60.0, gt=0, description="seconds that one request may take")
    openai_max_requests: int = Field(default=1_000, ge=0, description="requests in one run, repeated ones too")
    model_budget_requests: int | None = Field(
        default=None, ge=1, description="requests in one run of a model whose price is not known"
    )
    openai_max_tokens: int = Field(default=3_000_000, ge=0, description="tokens in one run, sent and received")
    openai_max_cost: float = Field(default=2.0, ge=0, description="US dollars in one run, where prices are known")
    openai_prices: Prices | None = Field(default=None, description="US dollars a million tokens: sent,received")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidSettings("; ".join(_fault_line(one) for one in error.errors())) from None

    @field_validator("warehouse", "exports")
    @classmethod
    def _absolute_or_uri(cls, root: str | None) -> str | None:
        if root is None or "://" not in root:
            return str(Path(root).expanduser().absolute()) if root else None
        from fsspec.registry import get_filesystem_class  # only those who store elsewhere wait for it

        try:
            get_filesystem_class(root.partition("://")[0])
        except ImportError as error:
            raise ValueError(str(error)) from None
        return root

    @field_validator("alert_smtp")
    @classmethod
    def _mail_server(cls, url: str | None, known: ValidationInfo) -> str | None:
        if url and not (re.fullmatch(r"smtps?://[^/@\s]+", url) and _has_host(url)):
            raise ValueError(
                "should be smtp://HOST:PORT or smtps://HOST:PORT; login and password are settings of their own"
            )
        if url and not known.data.get("alert_to"):
            raise ValueError("needs SPENDSENSE_ALERT_TO: somebody to write to")
        return url

    @property
    def landing(self) -> Path:
        """Batches as they arrived."""
        return self.data / "landing"

    @property
    def kernels_folder(self) -> Path:
        """Where is kept what is made once per version: kernels, the SQL of merges, whether the library is fit."""
        return self.kernels or self.data / "kernels"

    @property
    def reports(self) -> Path:
        """One page for each date that was run."""
        return self.data / "reports"

    @property
    def scratch(self) -> Path:
        """Where the engine puts what outgrows memory, while a run lasts."""
        return self.data / "scratch"

    @property
    def warehouse_root(self) -> str:
        """Root of the Parquet tables: an absolute path or a URI."""
        return self.warehouse or str(self.data / "warehouse")

    @property
    def experiments(self) -> Path:
        """Experiments, a TOML file each."""
        return self.data / "experiments"

    @property
    def exports_root(self) -> str:
        """Where the day's exports go: an absolute path or a URI."""
        return self.exports or str(self.data / "exports")

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
    def prices(self) -> tuple[float, float] | None:
        """US dollars for a million tokens sent and received, where they were set."""
        if not self.openai_prices:
            return None
        sent, _, received = self.openai_prices.partition(",")
        return float(sent), float(received)

    @property
    def prompts(self) -> Path:
        """Persona prompts and the library of pieces that ship with the project."""
        return PROJECT_ROOT / "prompts"

    @property
    def catalogue(self) -> Path:
        """The product catalogue that ships with the project."""
        return PROJECT_ROOT / "data" / "products.json"


def _fault_line(fault: Any) -> str:
    """One of pydantic's faults as a sentence; an address may hold a password and is not repeated."""
    field = str(fault["loc"][0]) if fault["loc"] else "settings"
    variable = field if field.isupper() else f"SPENDSENSE_{field.upper()}"
    value = "" if field in UNREPEATED or "secret" in field else f" is {fault['input']!r}:"
    said = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if fault["type"] == "literal_error":
        said = f"this version has only {fault['ctx']['expected']}"
    return f"{variable}{value} {said}"
