"""The deployment's files, as far as they can be held against the programs that read them without a container engine."""

import re
from typing import Any

import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

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


def test_the_code_is_served_where_webserver_and_daemon_look_for_it() -> None:
    (location,) = read("workspace.yaml")["load_from"]
    command = read("compose.yaml")["services"]["code"]["command"]
    assert location["grpc_server"]["host"] == "code"
    assert str(location["grpc_server"]["port"]) == command[command.index("-p") + 1]


def test_dagster_takes_its_configuration() -> None:
    told = validate_config(dagster_instance_config_schema(), read("dagster.yaml"))
    assert told.success, told.errors


def test_every_setting_of_the_example_exists() -> None:
    named = re.findall(r"^(?:# )?SPENDSENSE_(\w+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


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
