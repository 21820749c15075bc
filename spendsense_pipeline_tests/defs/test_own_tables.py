"""Tables that lie in a database or a lake are read where they are, and held to the same contracts."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import launch
from spendsense_pipeline.defs.resources import Clock
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import consent
from spendsense_pipeline.governance.database import open_or_create, reading
from spendsense_pipeline.settings import PROJECT_ROOT, Settings
from spendsense_pipeline_tests.conftest import DAY, NOON, Pipeline
from spendsense_pipeline_tests.governance.conftest import start_server

GUIDE = (PROJECT_ROOT / "docs" / "your-own-tables.md").read_text()
QUERIES = dict(re.findall(r"`(\w+\.sql)`.*?```sql\n(.*?)```", GUIDE, re.DOTALL))
BOOKINGS = """
INSERT INTO customers SELECT n, '2025-01-01' FROM generate_series(1, 3) n;
INSERT INTO accounts SELECT 'DE' || n, n, 'checking', 900.50, NULL, 'EUR', '2026-06-30' FROM generate_series(1, 3) n;
INSERT INTO bookings SELECT gen_random_uuid(), 'DE' || n, day::date, cents, payee, kind, false
  FROM generate_series(1, 3) n, generate_series(date '2026-01-05', '2026-06-30', interval '1 month') day,
    (VALUES (250000, 'Employer', 'INCOME_WAGES'), (-1299, 'Streaming', 'ENTERTAINMENT')) AS one (cents, payee, kind);
"""


def library() -> Path:
    """DuckDB's extension for PostgreSQL, as the test extra installs it."""
    found = find_spec("duckdb_extension_postgres_scanner")
    if found is None or found.origin is None:
        pytest.skip("DuckDB's postgres extension is on PyPI for Linux on x86-64 only")
    (extension,) = Path(found.origin).parent.rglob("*.duckdb_extension")
    return extension


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The guide's database on a real server: libpq's variables that lead to it."""
    folder = tmp_path_factory.mktemp("bank")
    server = start_server(folder)
    (tables,) = re.findall(r"-- in PostgreSQL\n(.*?)```", GUIDE, re.DOTALL)
    with psycopg.connect(server.get_uri()) as connection:
        connection.execute(tables + BOOKINGS)
    yield {"PGHOST": re.sub(r".*host=", "", server.get_uri()), "PGUSER": "postgres", "PGDATABASE": "postgres"}
    server.cleanup()


@pytest.fixture
def own(bank: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment whose tables are the guide's five queries."""
    for name, value in bank.items():
        monkeypatch.setenv(name, value)
    settings = Settings(data=tmp_path / "data", ingest=False)
    extension = library()
    for name, query in QUERIES.items():
        target = Path(settings.warehouse_root) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        query = query.replace("INSTALL postgres;\n", "").replace("LOAD postgres", f"LOAD '{extension}'")
        target.write_text(query.replace("data/products.json", str(PROJECT_ROOT / "data" / "products.json")))
    return settings


def ran(settings: Settings, only: set[str] | None = None, **how: object) -> launch.Ran:
    definitions = build_defs(settings, resources={"clock": Clock(fixed=NOON.isoformat())}, **how)
    with launch.opened_instance(settings) as instance:
        if only:
            return launch._run(definitions, instance, launch.REFRESH, DAY.isoformat(), {}, only=only)
        return launch.daily_refresh(definitions, instance, DAY)


def test_the_guide_has_a_query_for_each_table() -> None:
    assert set(QUERIES) == {
        f"{table}.sql" for table in ("users", "accounts", "transactions", "liabilities", "products")
    }


def test_a_postgresql_database_leads_to_personas_without_landing_anything(
    own: Settings, spendsense, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ran(own).metadata["features_30d"]["dagster/row_count"] == 3
    stored = {path.name for path in Path(own.warehouse_root).iterdir()}
    assert not {"transactions.parquet", "users.parquet", "raw_transactions"} & stored
    monkeypatch.setenv("SPENDSENSE_INGEST", "false")
    told = spendsense(Pipeline(own), "profile", "cus_1", "--as-of", DAY.isoformat())
    assert told["features"]["180"]["avg_monthly_income"] == pytest.approx(2500, rel=0.02)
    assert told["features"]["180"]["recurring_merchants"] == 1
    refused = spendsense(Pipeline(own), "ingest", str(PROJECT_ROOT / "data" / "examples" / "rejected"), code=1)
    assert refused["error"]["code"] == "nothing_lands"


def test_a_table_that_breaks_its_contract_stops_the_date_and_is_told_by_column(own: Settings) -> None:
    query = Path(own.warehouse_root) / "transactions.sql"
    query.write_text(query.read_text().replace("(b.cents / 100)::DOUBLE", "b.cents"))
    with pytest.raises(launch.RunFailed, match=r"transactions breaks its contract: amount.*float64"):
        ran(own)
    assert warehouse.partitions(own.warehouse_root, "features_30d") == []


def test_a_table_that_is_there_twice_is_refused(own: Settings) -> None:
    (Path(own.warehouse_root) / "users.parquet").touch()
    with pytest.raises(SpendSenseError, match=r"users is there twice"):
        warehouse.read(warehouse.connect(), own.warehouse_root, "users")


def test_parquet_of_ones_own_under_a_prefix_gives_the_same_day_as_the_ingest(copy: Pipeline) -> None:
    root = copy.settings.warehouse_root
    before = warehouse.load(root, "features_180d", [DAY.isoformat()]).sort_by("user_id")
    own = copy.settings.model_copy(update={"ingest": False})
    again = ran(own, key_prefix=["bank", "spendsense"])
    assert again.metadata["approval_queue"]["registered"] == 0
    assert warehouse.load(root, "features_180d", [DAY.isoformat()]).sort_by("user_id").equals(before)


def test_users_of_ones_own_bring_their_first_consents(copy: Pipeline, tmp_path: Path) -> None:
    own = Settings(data=copy.settings.data, ingest=False, database_url=f"sqlite:///{tmp_path / 'new.db'}")
    day = ran(own, only={"consent_records"})
    assert day.metadata["consent_records"]["periods_opened"] > 0
    with reading(open_or_create(own.governance_url)) as session:
        asked = consent.live_consents(session, NOON)[0].user_id
        assert {event["source"] for event in consent.history(session, asked)} == {"table users"}


def test_without_ingest_the_five_tables_are_external_and_a_prefix_stands_before_every_key() -> None:
    definitions = build_defs(Settings(ingest=False), key_prefix="spendsense")
    graph = definitions.resolve_asset_graph()
    assert {key.path[0] for key in graph.get_all_asset_keys()} == {"spendsense"}
    external = {key.path[-1] for key in graph.external_asset_keys}
    assert external == {"users", "accounts", "transactions", "liabilities", "products", "operator_decisions"}
    after = graph.get(dg.AssetKey(["spendsense", "recurring_streams"])).parent_keys
    assert after == {dg.AssetKey(["spendsense", name]) for name in ("transactions", "accounts", "users", "payees")}
    assert "landing_sensor" not in {sensor.name for sensor in definitions.sensors or []}
