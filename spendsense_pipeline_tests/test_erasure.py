"""One customer leaves a whole deployment, every file, table, page and row; nothing brings them back."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline.contracts import CONTRACTS, is_frame
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.defs import launch, runs
from spendsense_pipeline.erasure import erased_tables, everywhere
from spendsense_pipeline.erasure.erased import Erased
from spendsense_pipeline.erasure.erased_rows import remembered
from spendsense_pipeline.erasure.erased_tables import Holdings, empty_exports, empty_warehouse
from spendsense_pipeline.evaluation import export
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import consent, operators, queue, release
from spendsense_pipeline.governance.audit import verify
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.tombstones import digest
from spendsense_pipeline.ingest import landing
from spendsense_pipeline_tests.conftest import BATCH, DAY, NOON, Pipeline
from spendsense_pipeline_tests.governance import verdicts

REASON = "request 17"


@pytest.fixture
def served(copy: Pipeline) -> tuple[Pipeline, str]:
    """A pipeline in which a customer was shown something and others wait, and who that customer is."""
    with writing(copy.engine) as session:
        operators.add(session, "op", NOON)
    with reading(copy.engine) as session:
        first = queue.queue(session, NOON, limit=1)["queue"][0]
    verdicts.approve(copy.engine, [f"{first['recommendation_id']}@{first['content_hash']}"], "op", NOON)
    # The commands read the real clock, and the day of these figures is long past.
    assert release.run_gate(copy.engine, NOON, release_days=36_500).released
    return copy, first["user_id"]


def tables(pipeline: Pipeline) -> dict[str, pd.DataFrame]:
    """Every stored table, and every exported one, by path."""
    data = pipeline.settings.data
    return {str(path.relative_to(data)): pq.read_table(path).to_pandas() for path in sorted(data.rglob("*.parquet"))}


def accounts_of(pipeline: Pipeline, user_id: str) -> set[str]:
    accounts = pq.read_table(pipeline.settings.data / "warehouse" / "accounts.parquet").to_pandas()
    return set(accounts.loc[accounts["user_id"] == user_id, "account_id"])


def texts(table: pd.DataFrame) -> Iterator[str]:
    """The names of the columns, and what stands in each that can hold a text."""
    yield "\n".join(table.columns)
    for _, column in table.items():
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)):
            yield "\n".join(map(str, column.unique()))


def naming(pipeline: Pipeline, *names: str) -> set[str]:
    """Files of the data folder, read as what they are, that hold one of the names."""
    pattern = re.compile("|".join(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])" for name in names))

    def names_them(text: str) -> bool:
        return any(name in text for name in names) and pattern.search(text) is not None

    found = {name for name, table in tables(pipeline).items() if any(map(names_them, texts(table)))}
    for path in pipeline.settings.data.rglob("*"):
        if path.is_file() and path.suffix != ".parquet":
            with fsspec.open(str(path), "rb", compression="infer") as stream:
                if names_them(stream.read().decode("latin-1")):
                    found.add(str(path.relative_to(pipeline.settings.data)))
    return found


def without(frame: pd.DataFrame, user_id: str, accounts: set[str]) -> pd.DataFrame:
    kept = pd.Series(True, index=frame.index)
    for column, names in {"user_id": {user_id}, "account_id": accounts}.items():
        if column in frame:
            kept &= ~frame[column].isin(names)
    return frame[kept].reset_index(drop=True)


def test_nothing_in_the_data_folder_names_the_customer_and_nobody_else_lost_a_row(
    served: tuple[Pipeline, str], spendsense: Callable[..., Any]
) -> None:
    pipeline, user_id = served
    assert not any(name.startswith("dagster/") for name in naming(pipeline, user_id)), "Dagster holds nothing personal"
    launched(pipeline, user_id)
    assert any(name.startswith("dagster/") for name in naming(pipeline, user_id)), "but the config that somebody typed"
    accounts, before = accounts_of(pipeline, user_id), tables(pipeline)
    names = [row["recommendation_id"] for row in spendsense(pipeline, "released", "--user", user_id)["released"]]
    older = pipeline.settings.reports / "2026-01-01.html"
    older.write_text(f"<td>{user_id}</td>")  # as earlier versions wrote pages
    assert len(naming(pipeline, user_id)) > 20
    left = pipeline.settings.scratch / "aside-of-a-killed-run" / "rows.parquet"
    left.parent.mkdir(parents=True)
    pq.write_table(pa.table({"user_id": [user_id]}), left)
    done = spendsense(pipeline, "erase", user_id, "--operator", "op", "--reason", REASON)
    assert naming(pipeline, user_id, *accounts) == set()
    assert done["erased"]["runs"] == 1
    assert done["erased"]["reports"] == [older.name]
    assert (older.parent / f"{DAY}.html").is_file(), "the day's page named no customer"
    assert done["erased"]["warehouse"]["raw_transactions"] == done["erased"]["warehouse"]["transactions"] > 0
    assert [one for one in done["remains"] if str(pipeline.settings.data) in one["what"]] == []
    for name, table in tables(pipeline).items():
        pd.testing.assert_frame_equal(table, without(before[name], user_id, accounts), obj=name)
        contract = CONTRACTS.get(name.split("/")[1].removesuffix(".parquet"))
        if contract is not None and is_frame(contract) and name.startswith("warehouse/"):
            assert failures(contract, to_frame(pq.read_table(pipeline.settings.data / name))).empty, name
    manifest = json.loads((pipeline.settings.data / "exports" / str(DAY) / "manifest.json").read_text())
    for table in manifest["tables"].values():
        content = (pipeline.settings.data / "exports" / str(DAY) / table["file"]).read_bytes()
        assert table["sha256"] == hashlib.sha256(content).hexdigest()
    assert spendsense(pipeline, "released", "--user", user_id)["released"] == []
    assert spendsense(pipeline, "why", names[0], code=1)["error"]["code"] == "unknown_recommendation"
    assert spendsense(pipeline, "profile", user_id, code=1)["error"]["code"] == "unknown_user"
    assert spendsense(pipeline, "audit", "verify")["ok"]
    again = spendsense(pipeline, "erase", user_id, "--operator", "op", "--reason", REASON)
    assert again["erasure_id"] is None


def launched(pipeline: Pipeline, user_id: str) -> None:
    """Renew the customer's consent from the Launchpad, whose config Dagster keeps."""
    with launch.opened_instance(pipeline.settings) as instance:
        config = {"ops": {"change_consent": {"config": {"user_id": user_id, "action": "grant", "actor": "op"}}}}
        job = pipeline.definitions.resolve_job_def("record_consent")
        assert job.execute_in_process(run_config=config, instance=instance).success


def test_the_same_files_bring_nobody_back_under_the_same_name_or_another(
    served: tuple[Pipeline, str], spendsense: Callable[..., Any], tmp_path: Path
) -> None:
    pipeline, user_id = served
    delivered = tmp_path / "delivered"
    delivered.mkdir()
    for landed in landing.discover(pipeline.settings.landing / BATCH):
        (delivered / landed.path.name).write_bytes(landed.path.read_bytes())
    accounts = accounts_of(pipeline, user_id)
    spendsense(pipeline, "erase", user_id, "--operator", "op", "--reason", REASON)
    after = {name: table for name, table in tables(pipeline).items() if name.startswith("warehouse/")}

    landing.land(delivered, pipeline.settings.landing, BATCH)
    pipeline.ingest()
    for name, table in tables(pipeline).items():
        if name in after and not name.startswith("warehouse/raw_") and "quarantined" not in name:
            key = list(table.columns)
            pd.testing.assert_frame_equal(
                table.sort_values(key, ignore_index=True), after[name].sort_values(key, ignore_index=True), obj=name
            )

    landing.land(delivered, pipeline.settings.landing, "again")
    pipeline.ingest("again")
    pipeline.refresh()
    assert naming(pipeline, user_id, *accounts) == set()
    people = tables(pipeline)["warehouse/users.parquet"]
    assert len(people) == len(after["warehouse/users.parquet"])
    with reading(pipeline.engine) as session:
        assert consent.history(session, user_id) == []
        assert verify(session).ok


STEPS = ["accounts_of", "_landing", "empty_warehouse", "empty_exports", "_reports", "reclaim"]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_leaves_nothing_visible_and_the_same_command_goes_on(
    served: tuple[Pipeline, str], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, user_id = served
    settings = pipeline.settings
    places = everywhere.Places(
        *(settings.data, settings.landing, settings.warehouse_root, settings.exports_root),
        *(settings.reports, settings.scratch),
    )
    accounts = accounts_of(pipeline, user_id)

    def erased() -> dict[str, Any]:
        return everywhere.erase(pipeline.engine, places, user_id, "op", REASON, NOON, forget_runs=lambda _: 0)

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(everywhere, step, power_cut)
        with pytest.raises(KeyboardInterrupt):
            erased()
    with reading(pipeline.engine) as session:
        seen = release.released(session, NOON)
        assert (seen == []) == (step != "accounts_of"), "nothing was begun, or nothing is visible"
        assert verify(session).ok
    erased()
    assert naming(pipeline, user_id, *accounts) == set()
    with reading(pipeline.engine) as session:
        assert verify(session).ok


def test_while_a_run_is_under_way_nothing_is_erased(
    served: tuple[Pipeline, str], spendsense: Callable[..., Any]
) -> None:
    from dagster._core.test_utils import create_run_for_test

    pipeline, user_id = served
    with launch.opened_instance(pipeline.settings) as instance:
        run = create_run_for_test(instance, job_name="daily_refresh", status=dg.DagsterRunStatus.STARTED)
    refused = spendsense(pipeline, "erase", user_id, "--operator", "op", "--reason", REASON, code=1)
    assert refused["error"]["code"] == "run_under_way"
    assert run.run_id in refused["error"]["message"]
    assert len(spendsense(pipeline, "released", "--user", user_id)["released"]) == 1


def test_a_run_whose_process_is_gone_keeps_nobody_from_being_erased(
    served: tuple[Pipeline, str], spendsense: Callable[..., Any]
) -> None:
    from dagster._core.test_utils import create_run_for_test

    pipeline, user_id = served
    with launch.opened_instance(pipeline.settings) as instance:
        lease = Path(instance.root_directory) / runs.LEASES
        lease.mkdir(exist_ok=True)
        dead = []
        for job in ("ingest_batch", "daily_refresh", "release", "record_consent", runs.UNNAMED):
            run = create_run_for_test(
                instance, job_name=job, status=dg.DagsterRunStatus.STARTED, tags=runs.lease_tags()
            )
            (lease / run.run_id).touch()  # which the kernel let go of with the process
            dead.append(run.run_id)
    spendsense(pipeline, "release")
    spendsense(pipeline, "erase", user_id, "--operator", "op", "--reason", REASON)
    assert spendsense(pipeline, "released", "--user", user_id)["released"] == []
    with launch.opened_instance(pipeline.settings) as instance:
        found = [instance.get_run_by_id(run_id) for run_id in dead]
    assert {one.status for one in found if one is not None} == {dg.DagsterRunStatus.FAILURE}


def test_whom_nobody_knows_is_refused_and_a_stranger_s_file_is_named(
    served: tuple[Pipeline, str], spendsense: Callable[..., Any]
) -> None:
    pipeline, user_id = served
    (pipeline.settings.data / "notes.txt").write_text(f"call {user_id} back")
    (pipeline.settings.landing / BATCH / "transactions.parquet").write_bytes(b"damaged")
    for name, code in (("nobody_at_all", "unknown_user"), ("op", "not_a_customer")):
        assert spendsense(pipeline, "erase", name, "--operator", "op", "--reason", "x", code=1)["error"]["code"] == code
    done = spendsense(pipeline, "erase", user_id, "--operator", "op", "--reason", REASON)
    named = {Path(one["what"]).name for one in done["remains"] if str(pipeline.settings.data) in one["what"]}
    assert named == {"notes.txt", "transactions.parquet"}


def test_a_warehouse_elsewhere_is_emptied_as_well() -> None:
    root = "memory://elsewhere/warehouse"
    frame = pd.DataFrame({"user_id": ["mia", "noah", "mia"], "figure": [1.0, 2.0, 3.0]})
    of_people = (
        "features_30d/2026-06-30",
        "transactions.parquet/2026-06.1",
        "transactions/former/2026-06.0",
        "metrics",
    )
    for path in (*(f"{path}.parquet" for path in of_people), "transactions.parquet/2026-06.1.parquet.tmp"):
        with fsspec.open(f"{root}/{path}", "wb") as out:
            (frame if path != "metrics.parquet" else frame[["figure"]]).to_parquet(out)
    erased = Erased("grain", [digest("grain", "user", "mia")])
    assert empty_warehouse(root, erased, set()) == {"features_30d": 2, "transactions": 4}
    assert not fsspec.filesystem("memory").glob("/elsewhere/warehouse/**/*.tmp"), "half-written by a killed run"
    with fsspec.open(f"{root}/features_30d/2026-06-30.parquet", "rb") as stored:
        assert pd.read_parquet(stored).to_dict("list") == {"user_id": ["noah"], "figure": [2.0]}
    assert empty_warehouse(root, erased, set()) == {}


@pytest.mark.parametrize(
    ("delivered_to", "named_by", "theirs"),
    [
        ([], ["mia"], True),
        ([], ["mia", None], True),
        ([], ["mia", "noah"], False),
        (["mia"], ["mia", "noah"], True),  # another customer's row on it is a mistake of the source
        (["mia", "noah"], ["mia"], False),
        (["noah"], ["mia"], False),
    ],
)
def test_an_account_is_a_customers_that_a_file_gave_them_or_that_nobody_elses_rows_name(
    delivered_to: list[str], named_by: list[str | None], theirs: bool, tmp_path: Path
) -> None:
    for table, users in {
        "raw_accounts/b1": delivered_to,
        "accounts": delivered_to,
        "raw_transactions/b1": named_by,
    }.items():
        (tmp_path / table).parent.mkdir(exist_ok=True)
        rows = pa.table(
            {"user_id": pa.array(users, pa.string()), "account_id": pa.array(["a1"] * len(users), pa.string())}
        )
        pq.write_table(rows, tmp_path / f"{table}.parquet")
    held = Holdings.read(str(tmp_path), "mia")
    assert ("a1" in held.accounts - held.of_others) is theirs


def test_an_account_is_also_of_somebody_whose_own_file_has_not_come_yet(tmp_path: Path) -> None:
    """Their row waits in quarantine, and an erasure of the other holder must not take it."""
    for table, users in {"raw_accounts/b1": ["mia", "noah"], "accounts": ["mia"]}.items():
        (tmp_path / table).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"user_id": users, "account_id": ["a1"] * len(users)}), tmp_path / f"{table}.parquet")
    held = Holdings.read(str(tmp_path), "mia")
    assert (held.accounts, held.delivered & held.of_others) == ({"a1"}, {"a1"})


def test_exports_elsewhere_are_emptied_as_well_and_their_manifests_follow() -> None:
    root = "memory://elsewhere/exports"
    content = pd.DataFrame({"user_id": ["mia", "noah"], "figure": [1.0, 2.0]}).to_parquet()
    manifest = {"customers": 2, "tables": {"features_30d": {"file": "features_30d.parquet", "rows": 2, "sha256": ""}}}
    for name, data in (("features_30d.parquet", content), ("manifest.json", json.dumps(manifest).encode())):
        with fsspec.open(f"{root}/2026-06-30/{name}", "wb") as out:
            out.write(data)
    erased = Erased("grain", [digest("grain", "user", "mia")])
    assert empty_exports(root, erased) == {"2026-06-30": 1}
    with fsspec.open(f"{root}/2026-06-30/manifest.json", "rb") as stored:
        told = json.loads(stored.read())
    assert (told["customers"], told["tables"]["features_30d"]["rows"]) == (1, 1)
    assert empty_exports(root, erased) == {}


@pytest.mark.parametrize("step", ["_without", "second _without", "_describe", "_exchange"])
def test_an_export_is_whole_wherever_an_erasure_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    day = tmp_path / "2026-06-30"
    content = pd.DataFrame({"user_id": ["mia", "noah"], "figure": [1.0, 2.0]}).to_parquet()
    table = {"rows": 2, "sha256": hashlib.sha256(content).hexdigest()}
    names = ("features_30d", "features_180d")
    manifest = {"customers": 2, "tables": {name: {"file": f"{name}.parquet", **table} for name in names}}
    for folder in (day, tmp_path / "2026-06-29.partial"):  # one that a killed export left
        folder.mkdir()
        for name in names:
            (folder / f"{name}.parquet").write_bytes(content)
        (folder / "manifest.json").write_text(json.dumps(manifest))
    erased = Erased("grain", [digest("grain", "user", "mia")])
    room, name = (export, step) if step in ("_describe", "_exchange") else (erased_tables, "_without")
    real, calls = getattr(room, name), iter(range(9))

    def dies(*arguments: Any) -> Any:
        if next(calls) == step.startswith("second"):
            raise OSError("no more")
        return real(*arguments)

    def figures() -> tuple[int, set[str]]:
        told = json.loads((day / "manifest.json").read_text())
        for one in told["tables"].values():
            assert hashlib.sha256((day / one["file"]).read_bytes()).hexdigest() == one["sha256"]
        return told["customers"], {path.name for path in tmp_path.iterdir()}

    with monkeypatch.context() as patch:
        patch.setattr(room, name, dies)
        with pytest.raises(OSError, match="no more"):
            empty_exports(str(tmp_path), erased)
    assert figures()[0] == 2
    assert empty_exports(str(tmp_path), erased) == {"2026-06-30": 2}
    assert figures() == (1, {"2026-06-30"})


def test_another_holder_of_an_account_keeps_every_row_of_it(
    served: tuple[Pipeline, str], spendsense: Callable[..., Any], tmp_path: Path
) -> None:
    pipeline, user_id = served
    people = tables(pipeline)["warehouse/accounts.parquet"]["user_id"]
    other = people[people != user_id].iloc[0]
    for name in ("first", "second"):
        (delivered := tmp_path / name).mkdir()
        held = [{"account_id": "joint", "user_id": one, "type": "checking"} for one in (user_id, other)]
        row = {"account_id": "joint", "date": str(DAY), "amount": -1.0, "merchant_name": "Kiosk"}
        moved = [{**row, "transaction_id": f"{name}-{n}", "user_id": one} for n, one in enumerate((user_id, other))]
        (delivered / "accounts.json").write_text(json.dumps(held))
        (delivered / "transactions.json").write_text(json.dumps(moved))

    def joint() -> dict[str, set[str]]:
        rows = tables(pipeline)["warehouse/transactions.parquet"].query("account_id == 'joint'")
        return {one: set(rows.loc[rows["user_id"] == one, "transaction_id"]) for one in rows["user_id"].unique()}

    spendsense(pipeline, "ingest", str(tmp_path / "first"), "--batch", "first")
    assert joint() == {one: {"first-0", "first-1"} for one in (user_id, other)}
    spendsense(pipeline, "erase", user_id, "--operator", "op", "--reason", REASON)
    assert naming(pipeline, user_id) == set()
    assert joint() == {other: {"first-0", "first-1"}}
    spendsense(pipeline, "ingest", str(tmp_path / "second"), "--batch", "second")
    assert naming(pipeline, user_id) == set()
    assert joint() == {other: {"first-0", "first-1", "second-0", "second-1"}}
    accounts = tables(pipeline)["warehouse/accounts.parquet"].query("account_id == 'joint'")
    assert accounts[["user_id", "holders"]].to_numpy().tolist() == [[other, 1]]


def test_an_account_that_is_somebody_else_s_by_now_stays_theirs(
    served: tuple[Pipeline, str], spendsense: Callable[..., Any]
) -> None:
    pipeline, user_id = served
    path = Path(pipeline.settings.warehouse_root) / "accounts.parquet"
    accounts = pd.read_parquet(path)
    moved = accounts["account_id"] == sorted(accounts_of(pipeline, user_id))[0]
    other = accounts.loc[accounts["user_id"] != user_id, "user_id"].iloc[0]
    accounts.assign(user_id=accounts["user_id"].mask(moved, other)).to_parquet(path)
    kept, theirs = accounts.loc[moved, "account_id"].iloc[0], tables(pipeline)["warehouse/transactions.parquet"]
    spendsense(pipeline, "erase", user_id, "--operator", "op", "--reason", REASON)
    assert accounts_of(pipeline, user_id) == set()
    assert kept in accounts_of(pipeline, other)
    with reading(pipeline.engine) as session:
        erased = remembered(session)
    assert not erased.holds("account", kept)
    others = set(theirs.loc[theirs["user_id"] == user_id, "account_id"]) - {kept}
    assert others
    assert all(erased.holds("account", one) for one in others)
