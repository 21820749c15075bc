"""Batches through the graph: what each run tells, what a refused one leaves, what arrives at the same time."""

import datetime as dt
import errno
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from sqlalchemy import select

from spendsense_pipeline import warehouse
from spendsense_pipeline.cli.table_commands import appoint_named
from spendsense_pipeline.defs import ingest as room
from spendsense_pipeline.defs import launch, runs, sensors
from spendsense_pipeline.governance import batches, consent
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import Operator
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.settings import PROJECT_ROOT, Settings
from spendsense_pipeline_tests.conftest import NOON, Pipeline

Row = dict[str, Any]
USERS = [{"user_id": "u1", "full_name": "Ada Example"}]
ACCOUNTS = [{"account_id": "a1", "user_id": "u1", "type": "checking"}]

OPERATOR = {"user_type": "operator"}


def bought(*names: str, **more: Any) -> list[Row]:
    return [{"transaction_id": n, "account_id": "a1", "date": "2026-06-01", "amount": -5, **more} for n in names]


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(Settings(data=tmp_path / "data"))


@pytest.fixture
def instance(pipeline: Pipeline) -> Any:
    with launch.opened_instance(pipeline.settings) as opened:
        yield opened


def folder(root: Path, name: str, **tables: list[Row] | str) -> Path:
    made = root / name
    made.mkdir(parents=True)
    for table, rows in tables.items():
        (made / f"{table}.json").write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return made


def ingested(pipeline: Pipeline, instance: dg.DagsterInstance, source: Path, **how: Any) -> launch.Ran:
    _, ran = launch.ingest_folder(pipeline.definitions, instance, pipeline.settings, source, source.name, **how)
    return ran


def known(pipeline: Pipeline) -> set[str]:
    rows = warehouse.read(warehouse.connect(), pipeline.settings.warehouse_root, "transactions")
    return set(rows.transaction_id.to_pyarrow().to_pylist())


def test_what_dagster_keeps_of_saved_responses_names_no_customer(
    pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    source = tmp_path / "pulled"
    for customer in ("plaid_ada", "plaid_eve"):
        shutil.copytree(PROJECT_ROOT / "data" / "examples" / "plaid" / "plaid_ada", source / customer)
    _, ran = launch.ingest_folder(pipeline.definitions, instance, pipeline.settings, source, "pulled", responses=True)
    assert {row["file"] for row in ran.metadata["users"]["tally"]} == {"*/accounts_get.json"}
    assert launch.tallies(ran)["users"]["accepted"] == 2
    told = " ".join(dg.serialize_value(entry) for entry in instance.all_logs(ran.run_id))
    assert "tally" in told, "the metadata are among it"
    assert not any(name in told for name in ("plaid_ada", "plaid_eve"))


def counted(arrival: int, rejected: int) -> Row:
    return {"batch": f"b{arrival}", "arrival": arrival, "file": "f", "read": 100, "rejected": rejected}


def test_a_batch_rejected_far_more_than_the_ones_before_it_warns() -> None:
    tallies = {"users": [], "transactions": [counted(n, 1 + n % 3) for n in range(1, 9)] + [counted(9, 40)]}
    usual, odd = room._rejection_rate(tallies, "b8"), room._rejection_rate(tallies, "b9")
    assert (usual.passed, usual.description) == (True, "b8: 3.00% rejected, usually 2.00% ± 1.00%")
    assert (odd.passed, odd.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert odd.description == "b9: 40.00% rejected, usually 2.00% ± 1.00%"
    assert room._rejection_rate(tallies, None).description == odd.description, "the newest, where no batch is named"
    assert room._rejection_rate({"users": []}, None).passed, "nothing has arrived"


def test_a_refused_batch_leaves_nothing_and_mended_it_tells_what_was_read_and_rejected_by_reason(
    pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    broken = folder(tmp_path, "b1", users=USERS, accounts=ACCOUNTS, transactions='[{"transaction_id": ')
    with pytest.raises(launch.RunFailed, match=r"transactions.json: cannot be read as json, damaged at byte 20"):
        ingested(pipeline, instance, broken)
    assert list(pipeline.settings.landing.iterdir()) == []
    assert list(instance.get_dynamic_partitions("batch")) == []
    with reading(pipeline.engine) as session:
        assert batches.registered(session) == {}
    rows = [*bought("t1", "t2"), *bought("t2"), *bought("t3", "t4", amount="ten"), *bought("t5", date="2026-02-30")]
    (broken / "transactions.json").write_text(json.dumps(rows))
    told = ingested(pipeline, instance, broken)
    assert known(pipeline) == {"t1", "t2"}
    assert told.metadata["transactions"]["tally"] == [
        {"file": "transactions.json", "read": 6, "accepted": 2, "duplicate": 1, "rejected": 3, "superseded": 0}
    ]
    assert [(row["reason"], row["rejected"]) for row in told.metadata["transactions"]["rejected_by_reason"]] == [
        ("not_a_number", 2),
        ("not_a_date", 1),
    ]
    assert launch.tallies(told)["transactions"] == {
        "read": 6,
        "accepted": 2,
        "duplicate": 1,
        "rejected": 3,
        "superseded": 0,
    }


def failed_run(instance: dg.DagsterInstance) -> tuple[dg.DagsterRun, Any]:
    """The newest run and how its first failed step failed."""
    run = instance.get_runs(limit=1)[0]
    events = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    return run, events[0].event_log_entry.get_dagster_event().step_failure_data


def test_what_a_batch_is_refused_for_comes_first_and_is_final(
    pipeline: Pipeline, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure_of, said = dg.Failure, list[dict[str, Any]]()
    monkeypatch.setattr(dg, "Failure", lambda *words, **how: said.append(how) or failure_of(*words, **how))
    broken = folder(pipeline.settings.landing, "b1", transactions="{}")
    with pytest.raises(launch.RunFailed, match=r"transactions\.json: begins with '{'"):
        ingested(pipeline, instance, broken)
    assert said == [{"allow_retries": False}], "whatever retries a deployment sets"
    run, failure = failed_run(instance)
    assert failure.user_failure_data.description.startswith("transactions.json: begins with '{'")
    assert "an array" in failure.user_failure_data.description
    assert failure.error.message.startswith("dagster._core.definitions.events.Failure: transactions.json: begins with")
    assert run.tags[room.REFUSED] == str(landing.last_change(broken))
    assert broken.is_dir(), "it lay in the landing zone and stays there"


@pytest.mark.parametrize(
    "whole", [OSError(errno.EIO, "Input/output error"), duckdb.IOException("No space left on device")]
)
def test_a_fault_of_the_disk_condemns_no_batch(
    pipeline: Pipeline, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, whole: Exception
) -> None:
    def fails(*_: Any) -> None:
        raise whole

    monkeypatch.setattr(landing, "_survey_json", fails)
    with pytest.raises(launch.RunFailed):
        ingested(pipeline, instance, folder(pipeline.settings.landing, "b1", users=USERS))
    run, _ = failed_run(instance)
    assert room.REFUSED not in run.tags


def test_a_file_that_grows_is_refused_for_now_and_other_content_than_is_stored_for_ever(
    pipeline: Pipeline, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = {"users": USERS, "accounts": ACCOUNTS}
    growing = folder(pipeline.settings.landing, "b1", transactions=bought("t1"), **people) / "transactions.json"

    def and_meanwhile(*known: Any) -> batches.Arrival:
        growing.write_text(json.dumps(bought("t1", "t2")))
        return batches.register_batch(*known)

    monkeypatch.setattr(room, "register_batch", and_meanwhile)
    with pytest.raises(launch.RunFailed, match=r"transactions\.json: changed while the batch was read"):
        launch.ingest_batch(pipeline.definitions, instance, "b1")
    assert room.REFUSED not in failed_run(instance)[0].tags, "it may be whole at the next look"
    for table in room.RAW:
        assert warehouse.partitions(pipeline.settings.warehouse_root, f"raw_{table}") == []
    with reading(pipeline.engine) as session:
        assert batches.registered(session) == {}
    monkeypatch.undo()
    launch.ingest_batch(pipeline.definitions, instance, "b1")
    assert known(pipeline) == {"t1", "t2"}
    growing.write_text("[]")
    with pytest.raises(launch.RunFailed, match="with other content"):
        launch.ingest_batch(pipeline.definitions, instance, "b1")
    assert room.REFUSED in failed_run(instance)[0].tags
    assert known(pipeline) == {"t1", "t2"}


def test_a_batch_stored_while_another_merges_is_in_the_tables_that_come_of_it(
    pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run's rows arrive after ours were loaded: as from a sensor's run beside a command's."""
    other = folder(pipeline.settings.landing, "b2", transactions=bought("t2"))
    full = room.merge.full

    def and_meanwhile(*given: Any) -> Any:
        for table in landing.TABLES:
            rows = landing.read_raw(warehouse.connect(), other, table, batch_id="b2", arrival=2, arrived_on=NOON.date())
            path = Path(warehouse.path(pipeline.settings.warehouse_root, f"raw_{table}", "b2"))
            path.parent.mkdir(parents=True, exist_ok=True)
            rows.to_parquet(path)
        return full(*given)

    monkeypatch.setattr(room.merge, "full", and_meanwhile)
    ingested(pipeline, instance, folder(tmp_path, "b1", users=USERS, accounts=ACCOUNTS, transactions=bought("t1")))
    assert known(pipeline) == {"t1", "t2"}


def merged(pipeline: Pipeline) -> dict[str, list[Row]]:
    root = pipeline.settings.warehouse_root
    return {
        table: sorted(warehouse.load(root, table).to_pylist(), key=lambda row: json.dumps(row, default=str))
        for table in room.TABLES
    }


def test_a_further_batch_is_merged_into_what_is_stored_as_long_as_nothing_else_changed(
    pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "JUDGED_WHOLE", 0)
    monkeypatch.setattr(room, "NEW_SHARE", 0)
    monkeypatch.setattr(warehouse, "BY_MONTH_FROM", 0)
    went_on: list[bool] = []
    further = room.merge.further

    def counting(*given: Any) -> Any:
        went_on.append(True)
        return further(*given)

    monkeypatch.setattr(room.merge, "further", counting)
    first = [*bought("t1", "t2", "bad", "pending"), *bought("waiting", account_id="a2")]
    first[2]["amount"] = "much"
    ingested(pipeline, instance, folder(tmp_path, "b1", users=USERS, accounts=ACCOUNTS, transactions=first))
    assert not went_on
    second = [*bought("t1", amount=-6), {"transaction_id": "t2", "removed": True}, *bought("t3")]
    second += bought("posted", pending_transaction_id="pending")
    accounts = [{**ACCOUNTS[0], "account_id": "a2"}]
    ran = ingested(pipeline, instance, folder(tmp_path, "b2", accounts=accounts, transactions=second))
    assert len(went_on) == 1
    assert known(pipeline) == {"t1", "t3", "waiting", "posted"}
    told = launch.tallies(ran)["transactions"]
    assert (told["accepted"], told["superseded"]) == (4, 2), "what it takes away is counted beside what it brings"
    notes = {warehouse.note(pipeline.settings.warehouse_root, table) for table in room.NOTED}
    of_further = merged(pipeline)
    again = launch.ingest_batch(pipeline.definitions, instance, "b2")
    assert len(went_on) == 1, "raw rows that were merged are stored anew: all are judged again"
    assert launch.tallies(again)["transactions"] == told
    assert merged(pipeline) == of_further
    assert len(notes) == 1
    (raw,) = Path(pipeline.settings.warehouse_root).glob("raw_accounts/b1.parquet")
    raw.touch()
    ingested(pipeline, instance, folder(tmp_path, "b3", transactions=bought("t4")))
    assert len(went_on) == 1, "an erasure rewrites raw rows"
    ingested(pipeline, instance, folder(tmp_path, "b4", transactions=bought("t5")), full=True)
    assert len(went_on) == 1, "all rows are asked for"
    assert known(pipeline) == {"t1", "t3", "waiting", "posted", "t4", "t5"}


@pytest.mark.verify
def test_a_lost_dagster_home_loses_no_batch(pipeline: Pipeline, tmp_path: Path) -> None:
    people = {"users": USERS, "accounts": ACCOUNTS}
    for name in ("b1", "b2"):
        with launch.opened_instance(pipeline.settings) as instance:
            ingested(pipeline, instance, folder(tmp_path, name, transactions=bought(f"of {name}"), **people))
        shutil.rmtree(pipeline.settings.home)
    assert known(pipeline) == {"of b1", "of b2"}


def test_files_open_a_first_consent_once_and_never_grant_again_nor_appoint_a_second_operator(
    pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    dated = {"user_id": "dated", "consent_status": True, "consent_granted_at": "2026-01-05T08:00:00Z"}
    undated = {"user_id": "undated", "consent_status": True}
    first = [dated, undated, {"user_id": "op_1", **OPERATOR}]
    told = ingested(pipeline, instance, folder(tmp_path, "b1", users=first)).metadata["consent_records"]
    assert (told["periods_opened"], told["operators_registered"]) == (4, 1)
    with writing(pipeline.engine) as session:
        for user_id, date in (("dated", dt.datetime(2026, 1, 5, 8, tzinfo=dt.UTC)), ("undated", None)):
            for event in consent.history(session, user_id):
                assert (event["action"], event["source"], event["granted_at"]) == ("opened", "batch b1", date)
        consent.revoke(session, "dated", NOON, actor="dated", source="phone")
    again = [{**dated, "consent_granted_at": "2026-06-30T08:00:00Z"}, undated, {"user_id": "op_2", **OPERATOR}]
    told = ingested(pipeline, instance, folder(tmp_path, "b2", users=again)).metadata["consent_records"]
    assert (told["periods_opened"], told["operators_registered"], told["customers_with_consent"]) == (0, 0, 1)
    appoint_named(pipeline.settings, "batch b2")
    with reading(pipeline.engine) as session:
        assert set(session.scalars(select(Operator.operator_id))) == {"op_1", "op_2"}, "all that the files ever named"
    node = pipeline.definitions.resolve_job_def(room.JOB).get_node_named("consent_records")
    assert node.definition.config_schema.config_type.kind.name == "ANY", "no field that a Launchpad could fill"


def command(pipeline: Pipeline, source: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": str(Path(sys.executable).parent), "SPENDSENSE_DATA": str(pipeline.settings.data)}
    return subprocess.Popen(
        [sys.executable, "-m", "spendsense_pipeline.cli", "ingest", str(source), "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.verify
@pytest.mark.parametrize("sensor_first", [True, False])
def test_a_sensor_beside_commands_for_the_same_and_for_another_folder_brings_each_once(
    pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path, sensor_first: bool
) -> None:
    people = {"users": USERS, "accounts": ACCOUNTS}
    pipeline.now = dt.datetime.now(dt.UTC)  # a command's clock is the real one
    same = folder(pipeline.settings.landing, "same", transactions=bought("of same"), **people)
    other = folder(tmp_path, "other", transactions=bought("of other"), **people)
    (same / "_SUCCESS").touch()
    definitions = pipeline.definitions
    commands: list[subprocess.Popen[bytes]] = []
    taken: list[str] = []
    while not commands or any(one.poll() is None for one in commands):
        context = dg.build_sensor_context(instance=instance, definitions=definitions)
        if not commands and not sensor_first:
            commands = [command(pipeline, same), command(pipeline, other)]
        with context:
            files, clock = definitions.resources["files"], definitions.resources["clock"]
            answer = sensors.landing_sensor(context, files=files, clock=clock)
        if not commands:
            commands = [command(pipeline, same), command(pipeline, other)]
        for request in answer.run_requests or [] if isinstance(answer, dg.SensorResult) else []:
            instance.add_dynamic_partitions("batch", [request.partition_key])
            job = definitions.resolve_job_def(room.JOB)
            assert job.execute_in_process(instance=instance, partition_key=request.partition_key).success
            taken.append(request.partition_key)
        time.sleep(0.1)
    for one in commands:
        out, err = one.communicate()
        assert one.returncode == 0, err
        assert json.loads(out)["tables"]["transactions"]["accepted"] == 1
    assert set(taken) <= {"same"}, "what a command brings is the command's"
    assert known(pipeline) == {"of same", "of other"}
    stored = warehouse.partitions(pipeline.settings.warehouse_root, room.LAST)
    with reading(pipeline.engine) as session:
        assert sorted(batches.registered(session)) == stored
        assert [one.arrival for one in batches.registered(session).values()] == [1, 2]
    assert all(run.is_success for run in instance.get_runs())


@pytest.mark.verify
def test_two_commands_at_once_both_arrive(pipeline: Pipeline, tmp_path: Path) -> None:
    people = {"users": USERS, "accounts": ACCOUNTS}
    sources = [folder(tmp_path, f"b{n}", transactions=bought(f"t{n}"), **people) for n in range(2)]
    with launch.opened_instance(pipeline.settings):
        pass
    commands = [command(pipeline, source) for source in sources]
    for one in commands:
        out, err = one.communicate(timeout=300)
        assert one.returncode == 0, err
        assert json.loads(out)["tables"]["transactions"]["accepted"] == 1
    assert known(pipeline) == {"t0", "t1"}
    with reading(pipeline.engine) as session:
        assert [one.arrival for one in batches.registered(session).values()] == [1, 2]


def killed(pipeline: Pipeline, source: Path, after: float) -> None:
    """An ingest by command that is killed so many seconds after its run began, if it lasts as long."""
    leases = pipeline.settings.home / runs.LEASES
    with command(pipeline, source) as process:
        try:
            while process.poll() is None and not (leases.is_dir() and any(leases.iterdir())):
                time.sleep(0.01)
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()


def heals(pipeline: Pipeline, moment: float) -> None:
    """Whatever an ingest was killed at, the next one, of another folder, goes at once and brings both."""
    root = pipeline.settings.data.parent
    first = folder(root, "first", users=USERS, accounts=ACCOUNTS, transactions=bought("t1"))
    second = folder(root, "second", transactions=bought("t2"))
    killed(pipeline, first, moment)
    with launch.opened_instance(pipeline.settings) as instance:
        before = instance.get_runs()
        began = time.time()
        ingested(pipeline, instance, second)
        for run in before:
            ended = instance.get_run_by_id(run.run_id)
            assert ended is not None
            assert ended.is_finished, moment
            if not ended.is_success:
                found = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
                assert run.run_id in found[0].event_log_entry.message, "named"
                assert found[0].event_log_entry.timestamp - began < runs.EXPIRES
    assert known(pipeline) == {"t1", "t2"}, moment
    assert sorted(one.name.partition("-")[0] for one in pipeline.settings.landing.glob("[!.]*")) == ["first", "second"]
    assert list(pipeline.settings.scratch.glob("*")) == []
    with reading(pipeline.engine) as session:
        assert [one.arrival for one in batches.registered(session).values()] == [1, 2]


def test_an_ingest_that_is_killed_is_named_and_the_next_one_brings_its_batch_too(pipeline: Pipeline) -> None:
    pipeline.now = dt.datetime.now(dt.UTC)  # a command's clock is the real one
    heals(pipeline, random.uniform(0, 2))


def test_a_batch_whose_command_was_killed_before_its_run_was_recorded_comes_with_the_next(
    pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: Any) -> None:
        raise KeyboardInterrupt

    first = folder(tmp_path, "b1", users=USERS, accounts=ACCOUNTS, transactions=bought("t1"))
    monkeypatch.setattr(launch, "_run", ends)
    with pytest.raises(KeyboardInterrupt):
        ingested(pipeline, instance, first)
    monkeypatch.undo()
    ingested(pipeline, instance, folder(tmp_path, "b2", transactions=bought("t2")))
    assert known(pipeline) == {"t1", "t2"}


@pytest.mark.verify
def test_forty_ingests_killed_at_any_moment(tmp_path: Path) -> None:
    for number in range(40):
        heals(
            Pipeline(Settings(data=tmp_path / str(number) / "data"), now=dt.datetime.now(dt.UTC)), random.uniform(0, 6)
        )


def test_a_run_gives_way_to_an_earlier_one_of_the_same_batch(pipeline: Pipeline, instance: dg.DagsterInstance) -> None:
    """As where a sensor had answered and its run began after a command had looked for one."""
    from dagster._core.test_utils import create_run_for_test

    landing.land(folder(pipeline.settings.data.parent, "first", users=USERS), pipeline.settings.landing, "first")
    instance.add_dynamic_partitions(str(room.BATCHES.name), ["first"])
    job = pipeline.definitions.resolve_job_def(room.JOB)
    tags = {"dagster/partition": "first"}
    create_run_for_test(instance, job_name="another", status=dg.DagsterRunStatus.STARTED, tags=tags)
    create_run_for_test(instance, job_name=room.JOB, status=dg.DagsterRunStatus.SUCCESS, tags=tags)
    assert job.execute_in_process(instance=instance, partition_key="first").success, "neither holds the batch"
    held = create_run_for_test(instance, job_name=room.JOB, status=dg.DagsterRunStatus.STARTED, tags=tags)
    with pytest.raises(landing.BatchRefused, match=held.run_id):
        job.execute_in_process(instance=instance, partition_key="first")
