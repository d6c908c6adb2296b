"""`make demo`: start real servers and the node, send real objects, prove what became of them."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ai.phantom import Truth
from ai.phantom import write as write_phantom
from examples.demo import asked, checks, specialised
from examples.demo.material import Sent, gather
from examples.demo.subscriber import Heard, listening
from examples.peers import mosquitto, pacs, seaweed, triton
from examples.peers.node import Node, new_key, penumbra, running_node
from examples.peers.process import debian
from examples.pipelines import answers
from examples.pipelines.specialty import repository, tables
from node.web.tokens import PREFIX, digest_of
from routing.job import State
from storage.ledger.events import Event
from storage.ledger.ledger import Ledger

SCRATCH = Path(os.environ.get("DEMO_DIR", ".demo"))
SLICES = 60
TIMEOUT_S = 90

PROPOSE = {
    "1.2.840.10008.1.2.1.99": "--propose-deflated",
    "1.2.840.10008.1.2.4.50": "--propose-jpeg8",
    "1.2.840.10008.1.2.4.51": "--propose-jpeg12",
    "1.2.840.10008.1.2.4.70": "--propose-lossless",
    "1.2.840.10008.1.2.4.80": "--propose-jls-lossless",
    "1.2.840.10008.1.2.4.81": "--propose-jls-lossy",
    "1.2.840.10008.1.2.4.90": "--propose-j2k-lossless",
    "1.2.840.10008.1.2.4.91": "--propose-j2k-lossy",
    "1.2.840.10008.1.2.5": "--propose-rle",
}
"""What DCMTK's storescu must be told per transfer syntax; uncompressed ones go without."""

console = Console(highlight=False)

TABLES = """
[peers.SCANNER]
may = ["store"]
[peers.WORKSTATION]
may = ["find", "get"]
[tokens.viewer]
digest = "{digest}"
may = ["query", "retrieve"]
[peers.{pacs.aet}]
host = "{pacs.host}"
port = {pacs.port}
may = ["store", "find"]
[destinations.lake]
kind = "object-store"
url = "s3://{bucket.bucket}/demo"
endpoint = "{bucket.endpoint}"
access_key = {{ file = "access.key" }}
secret_key = {{ file = "secret.key" }}
[destinations.pacs]
kind = "dicom"
peer = "{pacs.aet}"
[profiles.research]
key = {{ file = "{key}" }}
[models.emphysema]
endpoints = ["{triton.endpoint}"]
model = "ct_emphysema"
[[rules]]
name = "everything to the lake"
profile = "research"
send = ["lake"]
[[rules]]
name = "lungs"
priority = 2
when = {{ Modality = ["CT"], BodyPartExamined = ["CHEST"] }}
send = ["pacs"]
infer = ["emphysema"]
results_to = ["pacs"]
"""


@dataclass(frozen=True, slots=True)
class Material:
    """What is sent."""

    sent: Sequence[Sent]
    truth: Truth
    folders: tuple[Path, ...]
    shown: Sequence[specialised.Shown]


@dataclass(frozen=True, slots=True)
class Servers:
    """The real servers around the node."""

    bucket: seaweed.Seaweed
    triton: triton.Triton
    pacs: pacs.Pacs
    mqtt: str
    """The node's [mqtt] table; "" without a broker."""
    heard: Heard | None


def main() -> int:
    """Run the demo; the exit status says whether every row holds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # cleans up as Ctrl-C does
    begun = time.monotonic()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        with ThreadPoolExecutor(1) as aside:
            material = aside.submit(_material)
            servers = _servers(stack)
            made = material.result()
        token = PREFIX + secrets.token_urlsafe(32)
        node = stack.enter_context(_node(servers, digest_of(token)))
        say(f"node          {node.address}, signs of life on http://127.0.0.1:{node.http_port}")
        acknowledged = _send(node, made)
        ledger = node.ledger()
        stack.callback(ledger.close)
        with console.status("waiting for the node's events") if console.is_terminal else _quiet():
            _wait(node, ledger, expected=len(made.sent) + len(made.truth.files))
        run = checks.Run(node, ledger, servers.bucket, made.sent, made.truth, acknowledged, token)
        rows = _check(run, servers, made.shown)
        _print(rows, time.monotonic() - begun)
        if os.environ.get("KEEP"):
            _keep(run)
    return 0 if all(row.ok for row in rows) else 1


def say(words: str) -> None:
    """Print a line of progress."""
    console.print(words)


def _material() -> Material:
    shown = specialised.write(SCRATCH / "specialties")
    sent = [*gather(SCRATCH / "real"), *(one for each in shown for one in each.sent)]
    truth = write_phantom(SCRATCH / "phantom", slices=SLICES)
    folders = sorted({one.path.parent for one in sent})
    return Material(sent, truth, (SCRATCH / "phantom", *folders), shown)


def _servers(stack: contextlib.ExitStack) -> Servers:
    """Start everything around the node; free loopback ports, scratch folders of their own."""
    bucket = stack.enter_context(seaweed.running(SCRATCH / "seaweed"))
    say(f"object store  SeaweedFS, {bucket.endpoint}")
    served = repository(SCRATCH / "models", specialised.SPECIALTIES, "ct_emphysema")
    models = stack.enter_context(triton.running(SCRATCH / "triton", repository=served))
    say(f"inference     Triton, {models.endpoint}")
    where = stack.enter_context(pacs.running(SCRATCH / "pacs"))
    say(f"PACS          {where.name}, {where.aet}@{where.host}:{where.port}")
    if mosquitto.find() is None:
        say("MQTT          skipped: mosquitto is not installed")
        return Servers(bucket, models, where, "", None)
    broker = stack.enter_context(mosquitto.running(SCRATCH / "mosquitto"))
    say(f"MQTT          mosquitto, 127.0.0.1:{broker.port}")
    heard = stack.enter_context(listening(broker.port))
    return Servers(bucket, models, where, f'[mqtt]\nurl = "{broker.url}"\n', heard)


def _node(servers: Servers, digest: str) -> contextlib.AbstractContextManager[Node]:
    home = SCRATCH / "node"
    key = new_key(home)
    for name in ("access", "secret"):
        file = home / f"{name}.key"
        file.touch(mode=0o600)
        file.write_text(getattr(servers.bucket, f"{name}_key"))
    config = TABLES.format(
        pacs=servers.pacs,
        bucket=servers.bucket,
        triton=servers.triton,
        key=key.name,
        digest=digest,
    )
    more = tables(specialised.SPECIALTIES, servers.triton.endpoint)
    return running_node(home, config + more + servers.mqtt)


def _send(node: Node, material: Material) -> int:
    """Send as a scanner does; returns how many the node acknowledged."""
    begun = time.monotonic()
    storescu = debian("storescu")
    if storescu is None:
        name = "penumbra send"
        answer = penumbra(
            "send",
            node.address,
            *material.folders,
            "--aet",
            "SCANNER",
            "--called",
            "PENUMBRA",
            timeout_s=300,
        )
        output = answer.stdout + answer.stderr
        files = len(material.sent) + len(material.truth.files)
        acknowledged = files if answer.returncode == 0 else 0
    else:
        name, acknowledged, output = "storescu", 0, ""
        for folder in material.folders:
            option = [PROPOSE[folder.name]] if folder.name in PROPOSE else []
            answer = subprocess.run(
                [storescu, "-v", *option, "--no-halt", "+sd", "-aet", "SCANNER",
                 "-aec", "PENUMBRA", "127.0.0.1", str(node.port), str(folder)],
                capture_output=True, text=True, timeout=300, check=False,
                env={**os.environ, "TCP_NODELAY": "1"},
            )  # fmt: skip
            output += answer.stdout + answer.stderr
        acknowledged = output.count("Received Store Response (Success)")
    (SCRATCH / "send.log").write_text(output)
    seconds = time.monotonic() - begun
    say(f"sent          {acknowledged} objects by {name} in {seconds:.1f} s")
    return acknowledged


def _wait(node: Node, ledger: Ledger, expected: int) -> None:
    """Wait on the node's events until every Series is settled and every job has ended."""
    models = ["emphysema", *(model for one in specialised.SPECIALTIES for model in one.models)]

    def over(_: list[Event]) -> bool:
        # Results come in as received objects do, a moment after the job that made them ended.
        counts = ledger.jobs.counts()
        ended = counts[State.WAITING] + counts[State.RUNNING] == 0
        made, received = answers.made(ledger, models), ledger.summary()["received"]
        filed = received["instances"] >= expected + made
        return filed and ended and received["open_series"] == 0

    with contextlib.suppress(TimeoutError):  # the table then says what is missing
        node.wait_for(over, TIMEOUT_S, "the main job")


def _check(
    run: checks.Run, servers: Servers, shown: Sequence[specialised.Shown]
) -> list[checks.Row]:
    parts: list[Callable[[], Iterator[checks.Row]]] = [
        lambda: checks.received(run),
        lambda: checks.delivered(run),
        lambda: checks.reported(run, servers.pacs),
        lambda: specialised.reported(shown, servers.pacs),
        lambda: specialised.recorded(run, shown),
        lambda: checks.proven(run),
        lambda: asked.answered(run, SCRATCH / "got"),
        lambda: checks.settled(run),
        lambda: checks.discreet(run),
        lambda: checks.told(run, servers.heard) if servers.heard else iter(()),
    ]
    return [row for part in parts for row in part()]


def _print(rows: Sequence[checks.Row], seconds: float) -> None:
    table = Table("", "found", "expected", "", title="What became of them")
    for row in rows:
        mark = "[green]ok[/]" if row.ok else "[bold red]SHORT[/]"
        table.add_row(
            row.what, row.found, row.expected, mark + (f"  {row.note}" if row.note else "")
        )
    console.print(table)
    console.print(f"{seconds:.1f} s in all; logs and files lie in {SCRATCH}/")


def _keep(run: checks.Run) -> None:
    """Stay up until Ctrl-C, and say what to try."""
    node, study, config = run.node, run.truth.study_instance_uid, run.node.config
    console.print(
        "\nThe node stays up; Ctrl-C ends everything. Try, in another terminal:\n"
        f"  .venv/bin/penumbra status -c {config}\n"
        f"  .venv/bin/penumbra explain study {study} -c {config}\n"
        f"  .venv/bin/penumbra prove {study} -c {config}\n"
        f"  .venv/bin/penumbra sql 'SELECT * FROM series' -c {config}\n"
        f"  .venv/bin/penumbra query {node.address} --aet WORKSTATION --called PENUMBRA\n"
        f"  .venv/bin/penumbra send {node.address} {SCRATCH}/phantom --aet SCANNER"
        " --called PENUMBRA\n"
        f"  .venv/bin/penumbra held -c {config}\n"
        f"  curl http://127.0.0.1:{node.http_port}/metrics\n"
        f"  curl -u viewer:{run.token} http://127.0.0.1:{node.http_port}/dicom-web/studies\n",
        soft_wrap=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    yield


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
