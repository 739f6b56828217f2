"""What is in infra/deploy fits together: files, names of settings, programs, numbers of processes."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import prefect.settings
import pytest
import yaml
from prefect.context import SettingsContext
from prefect.settings import Profile
from prefect.settings.legacy import _get_valid_setting_names
from prefect_redis.cleanup_queue import RedisWorkerCleanupQueueSettings
from prefect_redis.client import RedisMessagingSettings

from flows.prefect_server import described, here
from infra.settings import DELIMITER, describe
from infra.topology import IN_MEMORY, judge_prefect

DEPLOY = Path(__file__).resolve().parents[2] / "infra" / "deploy"
ENV_FILES = sorted(path.name for path in DEPLOY.glob("*.env*"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
PREFECT_NAMES = _get_valid_setting_names(prefect.settings.Settings)
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
VALUES = yaml.safe_load((DEPLOY / "prefect-values.yaml").read_text(encoding="utf-8"))
PASSWORD = "sanyi:k3Zr-9bQx_T0vJ5w"


def pairs(file: str) -> dict[str, str]:
    lines = (DEPLOY / file).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def known(name: str) -> bool:
    """Whether Prefect, its Redis library or we have a setting of this name."""
    if name.startswith("SANYI_"):
        return name in describe() or any(name.startswith(group) for group in describe() if group.endswith(DELIMITER))
    redis = {"PREFECT_REDIS_MESSAGING_": RedisMessagingSettings,
             "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_": RedisWorkerCleanupQueueSettings}
    for prefix, model in redis.items():
        if name.startswith(prefix):
            return name.removeprefix(prefix).lower() in model.model_fields
    # A logger of Prefect's logging.yml is set by its path; the arenas are glibc's.
    return name in ("DO_NOT_TRACK", "MALLOC_ARENA_MAX") or name.startswith("PREFECT_LOGGING_LOGGERS_") or name in PREFECT_NAMES


def modules(words: list[Any]) -> Iterator[str]:
    """`gateway` of `python -m gateway --port 8000`."""
    texts = [str(word) for word in words]
    yield from (after for before, after in pairwise(texts) if before == "-m")


def exists(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("file", ENV_FILES)
def test_every_name_in_an_environment_file_is_a_setting(file: str) -> None:
    assert [name for name in pairs(file) if not known(name)] == []


def test_a_name_nobody_has_would_be_found() -> None:
    assert not known("PREFECT_SERVER_DATABASE_MIGRATE_AT_START")
    assert not known("SANYI_PREFECT_SERVER")
    assert not known("PREFECT_REDIS_MESSAGING_ADDRESS")


def test_the_list_of_what_prefect_keeps_in_memory_is_complete_for_this_prefect() -> None:
    """A new release may keep one more thing in one process; this finds it."""
    defaults = prefect.settings.Settings().to_environment_variables(include_secrets=False)
    in_memory = {name for name, value in defaults.items() if value and re.search(r"(\.memory|^memory://)$", value)}
    assert {name for name in in_memory if "TESTING" not in name} == set(IN_MEMORY)


def test_a_prefect_server_as_it_comes_is_refused_as_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in IN_MEMORY:
        monkeypatch.delenv(name, raising=False)
    found = judge_prefect(here(2))
    assert {one.path for one in found if one.code == "prefect_memory"} == set(IN_MEMORY)


def test_with_the_file_for_several_processes_it_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = {"PREFECT_SERVER_API_AUTH_STRING": PASSWORD}
    for name, value in (pairs("prefect-ha.env") | pairs("prefect-database.env.example") | filled).items():
        monkeypatch.setenv(name, value)
    settings = prefect.settings.Settings()
    with SettingsContext(profile=Profile(name="deployed", settings={}), settings=settings):
        ours = here(3)
        told = described(ours.server, settings.model_dump(mode="json")["server"], 3)
    assert judge_prefect(ours) == judge_prefect(told) == []
    assert set(ours.shared) == set(told.shared) == set(IN_MEMORY)
    # What a server publishes of itself masks the address of its database.
    assert (ours.database, told.database) == ("postgresql", "")


@pytest.mark.parametrize("password", ["", "sanyi:", "sanyi:change-me", "admin:pass", "a" * 40])
def test_a_prefect_server_without_a_password_worth_the_name_is_refused(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    for name, value in (pairs("prefect-database.env.example") | {"PREFECT_SERVER_API_AUTH_STRING": password}).items():
        monkeypatch.setenv(name, value)
    with SettingsContext(profile=Profile(name="deployed", settings={}), settings=prefect.settings.Settings()):
        assert [one.code for one in judge_prefect(here(1))] == ["prefect_open"]


def test_no_example_of_ours_holds_a_secret_that_would_be_taken() -> None:
    for file in [*DEPLOY.glob("*.example"), DEPLOY.parents[1] / ".env.example"]:
        lines = [line.lstrip("# ") for line in file.read_text(encoding="utf-8").splitlines()]
        names = r"(SANYI_(PHARMACISTS|OPERATORS|PARTNER_SECRETS)__\w+|\w*(TOKEN|_KEY|AUTH_STRING))=(.*)"
        values = [given[4] for line in lines if (given := re.fullmatch(names, line))]
        assert not any(values), file


def test_both_sides_of_prefects_password_have_their_line_and_its_pages_may_call_its_api() -> None:
    server, ours = pairs("prefect-database.env.example"), pairs("sanyi.env.example")
    assert "PREFECT_SERVER_API_AUTH_STRING" in server
    assert "PREFECT_API_AUTH_STRING" in ours
    assert server["PREFECT_SERVER_UI_API_URL"].removesuffix("/api") in server["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",")


@pytest.mark.parametrize("name", [value for value in pairs("prefect-ha.env").values() if value.startswith("prefect_")])
def test_the_modules_of_prefects_redis_library_are_there(name: str) -> None:
    assert importlib.import_module(name)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_compose_service_uses_files_settings_and_programs_that_exist(name: str) -> None:
    service = COMPOSE["services"][name]
    for file in service.get("env_file", []):
        assert (DEPLOY / file).exists() or (DEPLOY / f"{file}.example").exists(), file
    assert [key for key in service.get("environment", {}) if not key.startswith(("POSTGRES", "REDISCLI")) and not known(key)] == []
    assert all(exists(module) for module in modules(service.get("command", [])))
    assert set(service.get("depends_on", [])) <= set(COMPOSE["services"])


def test_the_two_halves_of_prefect_have_the_same_environment_in_compose() -> None:
    api, services, migrate = (COMPOSE["services"][f"prefect-{part}"] for part in ("api", "services", "migrate"))
    for other in (services, migrate):
        assert (other["env_file"], other["environment"]) == (api["env_file"], api["environment"])
    assert "prefect-ha.env" in api["env_file"]


def test_the_number_of_prefect_processes_we_are_told_is_the_number_there_are() -> None:
    told = int(pairs("sanyi.env.example")["SANYI_PREFECT_SERVERS"])
    assert told == COMPOSE["services"]["prefect-api"]["deploy"]["replicas"] + 1
    assert told == VALUES["server"]["replicaCount"] + VALUES["backgroundServices"]["runAsSeparateDeployment"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_systemd_unit_uses_files_settings_and_programs_that_exist(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    for file in re.findall(r"^EnvironmentFile=/etc/sanyi/(.+)$", text, re.M):
        assert (DEPLOY / file).exists() or (DEPLOY / f"{file}.example").exists(), file
    assert all(known(name) or name == "PREFECT_HOME" for name in re.findall(r"\b([A-Z_]{5,})=", text))
    (command,) = re.findall(r"^ExecStart=(.+)$", text, re.M)
    assert [exists(module) for module in modules(command.split())] == [True]
    for other in re.findall(r"^Requires=(.+)$", text, re.M):
        assert (DEPLOY / "systemd" / other).exists()


def test_what_runs_on_kubernetes_exists_and_takes_its_settings_from_the_same_files() -> None:
    assert [exists(module) for pod in pods().values() for module in modules(pod["args"])] == [True] * len(pods())
    sources = {source[kind]["name"] for pod in pods().values() for source in pod["envFrom"] for kind in source}
    assert sources == {"prefect-client", "sanyi", "sanyi-owner"}
    assert [name for name, pod in pods().items() if {"secretRef": {"name": "sanyi-owner"}} in pod["envFrom"]] == ["migrate"]
    for half in (VALUES["server"], VALUES["backgroundServices"]):
        assert (half["extraEnvVarsCM"], half["extraEnvVarsSecret"]) == ("prefect-server", "prefect-database")
        assert exists(next(modules(half["command"])))


def pods() -> dict[str, dict[str, Any]]:
    """Containers on Kubernetes by name."""
    containers = (one["spec"]["template"]["spec"]["containers"][0] for one in KUBERNETES if "template" in one["spec"])
    return {one["name"]: one for one in containers}


def test_every_process_of_ours_is_told_where_prefects_api_is() -> None:
    """The gateway looks whether Prefect answers; the address people type leads nowhere inside a container."""
    for name in ("gateway", "worker", "operations"):
        api = COMPOSE["services"][name]["environment"]["PREFECT_API_URL"]
        assert api.startswith("http://prefect-api:"), name
        assert "PREFECT_API_URL" in {one["name"] for one in pods()[name]["env"]}, name
        unit = next(unit for unit in UNITS if unit.name.startswith(f"sanyi-{name}")).read_text(encoding="utf-8")
        assert "EnvironmentFile=/etc/sanyi/sanyi.env" in unit
    assert "PREFECT_API_URL" in pairs("sanyi.env.example")


def test_every_worker_has_a_page_of_figures_on_a_port_of_its_own() -> None:
    # In containers each has an address of its own; systemd lets a file win over Environment=, so it must not be there.
    assert "SANYI_METRICS_TOKEN" in pairs("sanyi.env.example")
    assert "SANYI_METRICS_PORT" not in pairs("sanyi.env.example")
    unit = next(unit for unit in UNITS if unit.name == "sanyi-worker@.service").read_text(encoding="utf-8")
    assert re.search(r"^Environment=.*SANYI_METRICS_PORT=940%i$", unit, re.M)
    told = COMPOSE["services"]["worker"]["environment"]
    assert (told["SANYI_METRICS_HOST"], told["SANYI_METRICS_PORT"]) == ("0.0.0.0", 9400)
    given = {one["name"]: one.get("value") for one in pods()["worker"]["env"]}
    assert (given["SANYI_METRICS_HOST"], given["SANYI_METRICS_PORT"]) == ("0.0.0.0", "9400")
    (service,) = [one for one in KUBERNETES if one["kind"] == "Service" and one["metadata"]["name"] == "sanyi-worker"]
    assert service["spec"]["ports"][0]["port"] == pods()["worker"]["ports"][0]["containerPort"] == 9400


def test_prefects_pages_can_be_opened_in_compose_where_its_settings_say() -> None:
    (published,) = COMPOSE["services"]["prefect-api"]["ports"]
    assert published == "127.0.0.1:4200-4201:4200"
    assert pairs("prefect-database.env.example")["PREFECT_SERVER_UI_API_URL"] == "http://127.0.0.1:4200/api"


def test_the_image_has_every_package_of_the_product() -> None:
    copied = set(re.findall(r"^COPY (\w+) ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.M))
    assert copied == {"adapters", "cities", "domain", "fhir_profiles", "flows", "gateway", "infra", "tasks"}


# --- what is hardened ---


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_has_no_more_rights_and_no_more_of_the_machine_than_it_needs(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"pids_limit", "mem_limit", "cpus"} <= set(service)
    assert service["networks"]
    # A foreign image is whatever its tag means that day: it is asked for by digest.
    assert service["image"].startswith("${SANYI_IMAGE") or re.fullmatch(r"\$\{\w+_IMAGE:\?.+@sha256:.+\}", service["image"])


def test_every_role_of_the_databases_has_a_password_of_its_own_and_nobody_has_the_superusers() -> None:
    variables = [re.findall(r"\$\{(\w+):\?", value) for value in COMPOSE["services"]["postgres"]["environment"].values()]
    assert sorted(len(found) for found in variables) == [1, 1, 1, 1]
    assert len({found[0] for found in variables}) == 4
    addresses = [pairs(file).get(name, "") for file, name in (
        ("sanyi.env.example", "SANYI_DATABASE_URL"), ("sanyi-owner.env.example", "SANYI_MIGRATION_URL"),
        ("prefect-database.env.example", "PREFECT_SERVER_DATABASE_CONNECTION_URL"))]
    assert [re.findall(r"//(\w+):PASSWORD@", address) for address in addresses] == [["sanyi"], ["sanyi_owner"], ["prefect"]]
    assert all("postgres:" not in address.partition("//")[2].partition("@")[0] for address in addresses)


def test_redis_asks_for_a_password_and_whoever_uses_it_has_it() -> None:
    command = COMPOSE["services"]["redis"]["command"]
    assert "${REDIS_PASSWORD" in command[command.index("--requirepass") + 1]
    given = COMPOSE["services"]["prefect-api"]["environment"]
    assert all("${REDIS_PASSWORD}@" in value for value in given.values() if value.startswith("redis:"))


def test_only_prefects_processes_reach_redis_and_only_the_migration_is_the_owner() -> None:
    services = COMPOSE["services"]
    redis = set(services["redis"]["networks"])
    assert {name for name, one in services.items() if redis & set(one["networks"])} == {
        "redis", "postgres", "prefect-migrate", "prefect-api", "prefect-services"}
    assert [name for name, one in services.items() if "sanyi-owner.env" in one.get("env_file", [])] == ["migrate"]
    for name in ("gateway", "worker", "operations", "deploy"):
        assert "migrate" in services[name]["depends_on"] or services[name]["depends_on"] == ["operations"], name


def test_a_pod_runs_as_nobody_in_particular_within_limits_and_without_a_token_of_the_cluster() -> None:
    for one in KUBERNETES:
        if "template" not in one["spec"]:
            continue
        pod = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
    uid = str(pod["securityContext"]["runAsUser"])
    assert f"--uid {uid} " in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def test_nobody_reaches_a_pod_but_by_a_policy() -> None:
    apps = {one["spec"]["template"]["metadata"]["labels"]["app"] for one in KUBERNETES if "template" in one["spec"]}
    policies = {one["metadata"]["name"]: one["spec"] for one in KUBERNETES if one["kind"] == "NetworkPolicy"}
    (closed,) = policies["sanyi-nobody"]["podSelector"]["matchExpressions"]
    assert set(closed["values"]) == apps
    assert "ingress" not in policies["sanyi-nobody"]
    assert policies["sanyi-gateway"]["ingress"][0]["ports"] == [{"port": 8000}]
    (prefect_api,) = policies["prefect-server"]["ingress"]
    assert prefect_api["ports"] == [{"port": 4200}]
    assert all("podSelector" in source or "namespaceSelector" in source for source in prefect_api["from"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_may_write_where_it_must_and_gain_nothing(unit: Path) -> None:
    told = dict(line.split("=", 1) for line in unit.read_text(encoding="utf-8").splitlines() if "=" in line)
    hardened = {"UMask": "0077", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
                "PrivateDevices": "yes", "ReadWritePaths": "/var/lib/sanyi", "CapabilityBoundingSet": ""}
    assert hardened.items() <= told.items()
    assert told["User"] == "sanyi"
