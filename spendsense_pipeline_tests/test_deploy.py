"""The deployment's files, as far as they can be held against the programs that read them without a container engine."""

import io
import logging
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.monitoring.run_monitoring import check_run_timeout
from dotenv import dotenv_values

from spendsense_pipeline.governance.database import connect
from spendsense_pipeline.settings import PROJECT_ROOT, Settings

DEPLOY = PROJECT_ROOT / "deploy"


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def test_every_service_says_whether_it_is_well_or_ends_by_itself() -> None:
    services = read("compose.yaml")["services"]
    assert set(services) == {"postgres", "schema", "code", "webserver", "service", "daemon"}
    for name, service in services.items():
        assert ("healthcheck" in service) != (service.get("restart") == "no"), name
        for other, wanted in service.get("depends_on", {}).items():
            ends = services[other].get("restart") == "no"
            assert wanted["condition"] == ("service_completed_successfully" if ends else "service_healthy")


def test_nothing_is_open_to_the_network_and_no_secret_has_a_default() -> None:
    for service in read("compose.yaml")["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert re.search(r"^POSTGRES_PASSWORD=$", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert "${POSTGRES_PASSWORD:?}" in (DEPLOY / "compose.yaml").read_text()


def test_pages_ask_for_a_login_behind_their_filter_and_an_override_for_a_second_person() -> None:
    commands = [service.get("command", []) for service in read("compose.yaml")["services"].values()]
    assert ["python", "-m", "spendsense_pipeline.webserver"] in [command[:3] for command in commands]
    assert not any("dagster-webserver" in command or "dagster_webserver" in command for command in commands)
    told = dotenv_values(DEPLOY / "env.example")
    settings = Settings(dagster_login=told["SPENDSENSE_DAGSTER_LOGIN"], four_eyes=told["SPENDSENSE_FOUR_EYES"])
    assert (settings.dagster_login, settings.four_eyes) == (True, True)


def test_the_webserver_sees_the_logs_that_the_code_location_writes() -> None:
    """And each process the locks of the others, for which the folder must lie in the volume that all mount."""
    told, services = read("dagster.yaml"), read("compose.yaml")["services"]
    folders = [told[part]["config"]["base_dir"] for part in ("local_artifact_storage", "compute_logs")]
    for name in ("code", "webserver", "daemon", "service"):
        mounted = [volume.split(":")[1] for volume in services[name]["volumes"]]
        assert all(any(folder.startswith(f"{one}/") for one in mounted) for folder in folders), name


def test_the_proxys_example_leads_to_what_the_services_publish_and_its_settings_exist() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    published = {
        port.rpartition(":")[0]
        for service in read("compose.yaml")["services"].values()
        for port in service.get("ports", [])
    }
    assert {f"http://{one}" for one in published} == set(re.findall(r"proxy_pass (\S+);", text))
    assert text.count("proxy_set_header Host $http_host;") == text.count("proxy_pass"), "the origin is held against it"
    said = dict(re.findall(r"SPENDSENSE_(\w+)=(\S+)", text))
    assert set(said) == {"PUBLIC_URL", "DAGSTER_URL", "DAGSTER_HOSTS"}
    Settings(**{name.lower(): value for name, value in said.items()})


STAND_INS = {
    "docker": """#!/bin/sh
echo "$COMPOSE_PROJECT_NAME: docker $*" >> "$SAID"
case "$*" in
  *"operator add"*) echo "password: $(cat)" >> "$SAID" ;;
  *Health*) echo healthy ;;
  *ExitCode*) echo 0 ;;
  *"ps --all"*) echo container ;;
esac
""",
    "curl": """#!/bin/sh
for last in "$@"; do :; done
case "$last $*" in
  *Host:*) printf 403 ;;
  *graphql*) printf 405 ;;
  */runs*) printf "$RUNS" ;;
  *) printf 200 ;;
esac
""",
}


def checked(folder: Path, runs: str) -> tuple[int, list[str]]:
    """Exit code of `deploy/check` in a copy, and what it told stand-ins of Docker and curl."""
    (folder / "docs").mkdir(parents=True)
    (folder / "bin").mkdir()
    shutil.copytree(DEPLOY, folder / "deploy", ignore=shutil.ignore_patterns(".env"))
    shutil.copy(PROJECT_ROOT / "docs" / "production.md", folder / "docs")
    for name, script in STAND_INS.items():
        (folder / "bin" / name).write_text(script)
        (folder / "bin" / name).chmod(0o755)
    said = folder / "said.txt"
    told = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SAID": str(said), "RUNS": runs}
    code = subprocess.run([folder / "deploy" / "check"], env=told, capture_output=True).returncode
    assert not (folder / "deploy" / ".env").exists()
    return code, said.read_text().splitlines()


def test_the_check_of_the_image_says_the_documents_words_and_takes_everything_away(tmp_path: Path) -> None:
    """No engine is needed for this, and nothing is built."""
    code, said = checked(tmp_path / "well", "401")
    assert code == 0
    assert {line.partition(": ")[0] for line in said} == {"spendsense-check", "password"}
    words = [
        line for line in (PROJECT_ROOT / "docs" / "production.md").read_text().splitlines() if "compose -f" in line
    ]
    assert [line for line in said if line.partition(": ")[2] in words] == [f"spendsense-check: {one}" for one in words]
    assert said[-1] == "spendsense-check: docker compose -f deploy/compose.yaml down --volumes"
    code, said = checked(tmp_path / "open", "200")
    assert code == 1, "pages that ask for no login"
    assert said[-1].endswith("down --volumes")


def test_the_check_leaves_a_deployment_that_is_there_alone(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    (tmp_path / "deploy" / ".env").write_text("ours")
    assert subprocess.run([tmp_path / "deploy" / "check"], capture_output=True).returncode == 1
    assert (tmp_path / "deploy" / ".env").read_text() == "ours"


def test_the_code_is_served_where_webserver_and_daemon_look_for_it() -> None:
    (location,) = read("workspace.yaml")["load_from"]
    command = read("compose.yaml")["services"]["code"]["command"]
    assert location["grpc_server"]["host"] == "code"
    assert str(location["grpc_server"]["port"]) == command[command.index("-p") + 1]


def test_dagster_takes_its_configuration() -> None:
    told = validate_config(dagster_instance_config_schema(), read("dagster.yaml"))
    assert told.success, told.errors


def written(password: str) -> str:
    """A password as env.example says to write it."""
    return "'" + password.replace("'", "\\'") + "'"


def environments(password: str) -> dict[str, dict[str, str]]:
    """What each service finds in its environment with this password in deploy/.env, as Compose puts it together: the
    file's values, then those of the service, whose variables are filled in once the YAML is read."""
    text = (DEPLOY / "env.example").read_text()
    assert "\nPOSTGRES_PASSWORD=\n" in text
    text = text.replace("POSTGRES_PASSWORD=", f"POSTGRES_PASSWORD={written(password)}")
    told = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text), interpolate=False).items()}

    def filled(value: Any) -> str:
        return re.sub(r"\$\{(\w+):\?\}", lambda found: told[found[1]], str(value))

    return {
        name: (told if service.get("env_file") == ".env" else {})
        | {one: filled(value) for one, value in service.get("environment", {}).items()}
        for name, service in read("compose.yaml")["services"].items()
    }


@pytest.mark.parametrize("password", ["plain", "p@ss:w/rd#%2F?&$HOME ${X} \"'\\ ä"])
def test_any_password_reaches_every_program_as_it_is_and_stands_in_no_address(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = environments(password)
    assert found["postgres"]["POSTGRES_PASSWORD"] == password
    for name in ("schema", "code", "webserver", "service", "daemon"):
        ours = found[name]
        assert ours["PGPASSWORD"] == ours["DAGSTER_PG_PASSWORD"] == password
        assert ours["PGUSER"] == ours["DAGSTER_PG_USER"] == found["postgres"]["POSTGRES_USER"]
        for variable, value in ours.items():
            monkeypatch.setenv(variable, value)
        settings = Settings()
        assert password not in settings.governance_url
        engine = connect(settings.governance_url)
        _, given = engine.dialect.create_connect_args(engine.url)
        given.pop("context")
        assert given == {"host": "postgres", "dbname": "spendsense"}, "the rest is the driver's to find"
    libpq = {option.keyword.decode(): option.envvar for option in psycopg.pq.Conninfo.get_defaults()}
    assert (libpq["user"], libpq["password"]) == (b"PGUSER", b"PGPASSWORD")


def test_every_setting_of_the_example_exists_and_its_values_are_ones() -> None:
    text = (DEPLOY / "env.example").read_text()
    named = re.findall(r"^(?:# )?SPENDSENSE_(\w+)=(\S*)$", text, re.MULTILINE)
    assert named
    assert {name.lower() for name, _ in named} <= set(Settings.model_fields)
    Settings(**{name.lower(): value for name, value in named if value and name not in ("WAREHOUSE", "EXPORTS")})


def test_the_image_has_what_its_commands_import() -> None:
    """`spendsense serve` needs the extra service, PostgreSQL its driver."""
    (extras,) = re.findall(r"pip install .*\.\[([a-z0-9,]+)\]", (DEPLOY / "Dockerfile").read_text())
    commands = [service.get("command", []) for service in read("compose.yaml")["services"].values()]
    assert ["spendsense", "serve"] in [command[:2] for command in commands]
    assert {"service", "postgres"} <= set(extras.split(","))


def test_a_run_that_lasts_longer_than_the_longest_time_is_ended_and_marked_failed(tmp_path: Path) -> None:
    configured = read("dagster.yaml")["run_monitoring"]
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"run_monitoring": configured}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        longest = float(instance.run_monitoring_max_runtime_seconds)
        assert longest == configured["max_runtime_seconds"]
        for beyond, status in ((-60.0, dg.DagsterRunStatus.STARTED), (60.0, dg.DagsterRunStatus.FAILURE)):
            run = create_run_for_test(instance, job_name="daily_refresh", status=dg.DagsterRunStatus.STARTED)
            (record,) = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
            began = record._replace(start_time=time.time() - longest - beyond)
            check_run_timeout(instance, began, logging.getLogger(), longest)
            assert instance.get_run_by_id(run.run_id).status == status


def test_what_the_image_copies_is_there() -> None:
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            for source in line.split()[1:-1]:
                assert (PROJECT_ROOT / source).exists(), source


def test_the_image_compiles_the_kernels_into_a_folder_that_no_volume_hides() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    compiling = lines.index("RUN spendsense compile")
    before = "\n".join(lines[:compiling])
    folder = re.search(r"SPENDSENSE_KERNELS=(\S+)", before)
    assert folder is not None
    assert "NUMBA_CPU_NAME=generic" in before
    assert re.search(rf"chown -R spendsense .*{folder[1]}\b", before)
    for service in read("compose.yaml")["services"].values():
        for volume in service.get("volumes", []):
            assert not folder[1].startswith(volume.split(":")[1] + "/")
