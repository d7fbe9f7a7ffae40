"""The files under deploy/ hold together: linters take them, names meet, a hub takes its configuration."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentbus.hub.server.settings import parse_settings

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
SECRETS = {"DEMO_SECRET": "s" * 40}


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in manifests() if one["kind"] == kind]


def pods() -> list[dict[str, Any]]:
    return [one["spec"]["template"] for one in (*of_kind("StatefulSet"), *of_kind("Deployment"))]


@pytest.mark.parametrize("name", ["docker-compose.yml", "kubernetes.yaml"])
def test_the_linter_takes_it(name: str) -> None:
    command = [
        sys.executable,
        "-m",
        "yamllint",
        "--strict",
        "-c",
        str(DEPLOY / ".yamllint"),
        str(DEPLOY / name),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_hub_takes_the_configurations() -> None:
    [config] = of_kind("ConfigMap")
    for text in ((DEPLOY / "hub.toml").read_text(), config["data"]["hub.toml"]):
        settings = parse_settings(text, "hub.toml", DEPLOY, SECRETS)
        assert settings.server.host == "0.0.0.0"
        assert settings.warnings == ()


def test_kubernetes_selectors_find_their_pods_and_ports() -> None:
    for owner in (*of_kind("StatefulSet"), *of_kind("Deployment")):
        wanted = owner["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= owner["spec"]["template"]["metadata"]["labels"].items()
    for service in of_kind("Service"):
        selector = service["spec"]["selector"]
        [pod] = [pod for pod in pods() if selector.items() <= pod["metadata"]["labels"].items()]
        named = {port["name"] for box in pod["spec"]["containers"] for port in box["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named
    names = [service["metadata"]["name"] for service in of_kind("Service")]
    assert of_kind("StatefulSet")[0]["spec"]["serviceName"] in names
    assert of_kind("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"].items() <= (
        of_kind("StatefulSet")[0]["metadata"]["labels"].items()
    )


def test_kubernetes_probes_ask_what_the_hub_answers() -> None:
    [box] = of_kind("StatefulSet")[0]["spec"]["template"]["spec"]["containers"]
    assert box["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "ws"}
    assert box["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "ws"}
    [port] = [port["containerPort"] for port in box["ports"]]
    assert port == 7700
    environment = {one["name"]: one.get("value", "") for one in box["env"]}
    assert environment["AGENTBUS_BACKPLANE"].endswith("@agentbus-nats:4222")
    assert "DEMO_SECRET" in environment


def test_containers_run_with_no_more_rights_than_they_need() -> None:
    for pod in pods():
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        for box in pod["spec"]["containers"]:
            assert box["securityContext"]["readOnlyRootFilesystem"] is True
            assert box["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_compose_hubs_have_names_of_their_own_and_reach_nats() -> None:
    compose = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
    hubs = [service for name, service in compose["services"].items() if name.startswith("hub-")]
    assert len({hub["hostname"] for hub in hubs}) == len(hubs) == 2
    for hub in hubs:
        assert hub["environment"]["AGENTBUS_BACKPLANE"].endswith("@nats:4222")
        assert (DEPLOY / hub["build"]["context"] / hub["build"]["dockerfile"]).is_file()
        assert (DEPLOY / hub["volumes"][0].split(":")[0]).is_file()


def test_the_image_copies_what_there_is() -> None:
    words = [
        line.split() for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line.startswith("COPY")
    ]
    for _, *sources, _target in words:
        assert all((DEPLOY.parent / source).exists() for source in sources)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "agentbus-hub.service").read_text()
    unit = tmp_path / "agentbus-hub.service"
    unit.write_text(
        text.replace("/opt/agentbus/bin/agentbus", sys.executable).replace("User=agentbus", "User=root")
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    about_it = [line for line in done.stderr.splitlines() if "agentbus-hub" in line]
    assert about_it == []
    assert done.returncode == 0, done.stderr
