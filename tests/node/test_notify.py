"""Events by MQTT: a real broker, killed, restarted and unwilling; a real outbox behind it."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from config.model import Mqtt
from config.shapes import Secret
from examples.peers import mosquitto, process
from node import notify
from node.notify import Notifier
from storage.ledger.events import Event, NewEvent
from storage.ledger.ledger import Ledger

pytestmark = pytest.mark.skipif(
    mosquitto.find() is None, reason="needs a broker: Debian package mosquitto"
)

Subscribe = Callable[..., "Subscriber"]


class Subscriber:
    """A real MQTT 5 client that keeps what it hears, and subscribes again after a loss."""

    def __init__(self, port: int, qos: int = 1, **options: str) -> None:
        self.heard: list[mqtt.MQTTMessage] = []
        self.listening = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        if options:
            self.client.username_pw_set(options["username"], options["password"])
        self.client.reconnect_delay_set(0.05, 0.1)
        self.client.on_connect = lambda client, *_: client.subscribe("penumbra/#", qos=qos)
        self.client.on_subscribe = lambda *_: self.listening.set()
        self.client.on_message = lambda _client, _data, message: self.heard.append(message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.listening.wait(5)

    def events(self) -> list[mqtt.MQTTMessage]:
        return [each for each in self.heard if "/events/" in each.topic]

    def numbers(self) -> list[int]:
        """The numbers that the events carry, in the order heard, each at its first coming."""
        return list(dict.fromkeys(json.loads(each.payload)["n"] for each in self.events()))

    def status(self) -> list[str]:
        return [each.payload.decode() for each in self.heard if each.topic == "penumbra/status"]

    def wait(self, satisfied: Callable[[], bool], what: str) -> None:
        process.wait_until(satisfied, 20, what)


@pytest.fixture
def subscribe() -> Iterator[Subscribe]:
    made: list[Subscriber] = []

    def connect(port: int, **options: Any) -> Subscriber:
        made.append(Subscriber(port, **options))
        return made[-1]

    yield connect
    for each in made:
        each.client.disconnect()
        each.client.loop_stop()


class GatedOutbox:
    """The ledger's outbox, with a gate before it, and a record of what was marked when."""

    def __init__(self, ledger: Ledger) -> None:
        self.outbox = ledger.outbox
        self.gate = threading.Event()
        self.gate.set()
        self.marked: list[int] = []

    def unpublished(self, limit: int) -> list[Event]:
        return self.outbox.unpublished(limit) if self.gate.is_set() else []

    def mark_published(self, ids: Sequence[int]) -> None:
        self.marked.extend(ids)
        self.outbox.mark_published(ids)

    def wait(self, timeout_s: float) -> bool:
        return self.outbox.wait(min(timeout_s, 0.05))

    def rest(self) -> None:
        self.outbox.rest()

    def add(self, count: int, start: int = 0, **data: object) -> None:
        self.outbox.record(
            [
                NewEvent("penumbra.series.settled", f"1.2.{n}", {"n": n, **data})
                for n in range(start, start + count)
            ],
            1_700_000_000.25,
        )


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[GatedOutbox]:
    ledger = Ledger.open(tmp_path / "var")
    yield GatedOutbox(ledger)
    ledger.close()


@pytest.fixture
def notifier(outbox: GatedOutbox) -> Iterator[Callable[[Mqtt], Notifier]]:
    made: list[Notifier] = []

    def start(settings: Mqtt) -> Notifier:
        made.append(Notifier(settings, outbox, "NODE 1"))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop(5)
        assert not each.is_alive()


def test_events_arrive_as_cloudevents(tmp_path, outbox, notifier, subscribe):
    """An event has the attributes of CloudEvents 1.0 (MQTT 5, binary mode), and JSON facts."""
    outbox.add(1, instances=3)
    with mosquitto.running(tmp_path / "broker") as broker:
        subscriber = subscribe(broker.port)
        notifier(Mqtt(url=broker.url))
        subscriber.wait(subscriber.events, "the event")
    (event,) = subscriber.events()
    assert event.topic == "penumbra/events/penumbra.series.settled"
    assert event.qos == 1
    assert not event.retain
    assert json.loads(event.payload) == {"n": 0, "instances": 3}
    assert event.properties.ContentType == "application/json"
    assert dict(event.properties.UserProperty) == {
        "specversion": "1.0",
        "id": "1-1700000000250",
        "source": "/penumbra/NODE%201",
        "type": "penumbra.series.settled",
        "subject": "1.2.0",
        "time": "2023-11-14T22:13:20.250Z",
    }


@pytest.mark.p3
def test_no_event_is_lost_when_the_broker_is_killed(tmp_path, outbox, notifier, subscribe):
    """With the broker killed and restarted in the middle, every event arrives, in order."""
    count = 600
    outbox.add(count)
    with mosquitto.running(tmp_path / "one") as broker:
        # With QoS 0 the broker passes an event on before it acknowledges it; with QoS 1 it may
        # still hold it, and take it along when it dies.
        subscriber = subscribe(broker.port, qos=0)
        one = notifier(Mqtt(url=broker.url))
        subscriber.wait(lambda: len(subscriber.events()) > count // 3, "a third of the events")
        outbox.gate.clear()
        subscriber.listening.clear()
        broker.process.kill()
        broker.process.wait(5)
        subscriber.wait(lambda: not one.connected, "the loss of the broker")
    marked = set(outbox.marked)
    subscriber.wait(lambda: marked <= {n + 1 for n in subscriber.numbers()}, "all that is marked")
    assert len(outbox.outbox.unpublished(count)) == count - len(marked) > 0
    with mosquitto.running(tmp_path / "two", port=broker.port):
        assert subscriber.listening.wait(10)
        outbox.gate.set()
        subscriber.wait(lambda: len(subscriber.numbers()) == count, "every event")
        subscriber.wait(lambda: not outbox.outbox.unpublished(1), "every event to be marked")
    assert subscriber.numbers() == list(range(count))
    assert sorted(outbox.marked) == list(range(1, count + 1)), "each marked once"


def test_events_wait_for_a_broker_that_is_not_there(tmp_path, outbox, notifier, subscribe):
    """Without a broker nothing is marked; when one appears, events old and new flow in order."""
    port = process.free_port()
    outbox.add(3)
    one = notifier(Mqtt(url=f"mqtt://127.0.0.1:{port}"))
    process.wait_until(lambda: bool(one.trouble), 10, "the notifier to say what is wrong")
    assert not one.connected
    assert not outbox.marked
    with mosquitto.running(tmp_path / "broker", port=port):
        outbox.gate.clear()
        subscriber = subscribe(port)
        outbox.gate.set()
        outbox.add(3, start=3)
        subscriber.wait(lambda: len(subscriber.numbers()) == 6, "six events")
        assert subscriber.numbers() == list(range(6))
        subscriber.wait(lambda: one.connected and not one.trouble, "all to be well")


def test_the_nodes_state_is_retained(tmp_path, outbox, notifier, subscribe):
    """Whoever comes later hears "online", then "offline" when the node stops."""
    with mosquitto.running(tmp_path / "broker") as broker:
        one = notifier(Mqtt(url=broker.url))
        process.wait_until(lambda: one.connected, 10, "the connection")
        subscriber = subscribe(broker.port)
        subscriber.wait(lambda: subscriber.status() == ["online"], "the retained state")
        assert subscriber.heard[0].retain
        one.stop(5)
        subscriber.wait(lambda: subscriber.status() == ["online", "offline"], "the goodbye")


NODE = """
import sys, threading
from pathlib import Path
from config.model import Mqtt
from node.notify import Notifier
from storage.ledger.ledger import Ledger
outbox = Ledger.open(Path(sys.argv[1])).outbox
Notifier(Mqtt(url=sys.argv[2]), outbox, "NODE").start()
threading.Event().wait()
"""


def test_a_killed_node_is_told_as_offline(tmp_path, subscribe):
    """The broker itself says "offline" when the node's process dies without a word."""
    import sys

    with mosquitto.running(tmp_path / "broker") as broker:
        subscriber = subscribe(broker.port)
        command = [sys.executable, "-c", NODE, tmp_path / "var", broker.url]
        with process.running(
            command, ready=lambda: "online" in subscriber.status(), log=tmp_path / "node.log"
        ) as node:
            node.kill()
            subscriber.wait(lambda: subscriber.status()[-1] == "offline", "the last will")


@pytest.fixture
def unwilling(tmp_path: Path) -> Iterator[mosquitto.Mosquitto]:
    """A broker with passwords, on which the node may publish its status alone."""
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("needs mosquitto_passwd: Debian package mosquitto")
    folder = tmp_path / "unwilling"
    folder.mkdir()
    passwords, rights = folder / "passwords", folder / "rights"
    for flags, user in ((["-b", "-c"], "node"), (["-b"], "reader")):
        subprocess.run(["mosquitto_passwd", *flags, passwords, user, "secret"], check=True)
    rights.write_text(
        "user node\ntopic write penumbra/status\nuser reader\ntopic read penumbra/#\n"
    )
    for file in (passwords, rights):
        file.chmod(0o644)
    port = process.free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\nuser root\n"
        f"password_file {passwords}\nacl_file {rights}\n"
    )
    log = folder / "log"
    with process.running(
        [mosquitto.find(), "-c", config], ready=lambda: process.answers(port), log=log
    ) as child:
        yield mosquitto.Mosquitto(port, log, child)


def _secret(folder: Path, word: str) -> Secret:
    file = folder / "password"
    file.write_text(f"{word}\n")
    file.chmod(0o600)
    return Secret(file=file)


def test_a_refused_event_is_not_marked(tmp_path, outbox, notifier, unwilling, subscribe):
    """A broker that acknowledges with a refusal has not got the event: it stays in the outbox."""
    outbox.add(2)
    subscriber = subscribe(unwilling.port, username="reader", password="secret")
    one = notifier(Mqtt(url=unwilling.url, username="node", password=_secret(tmp_path, "secret")))
    process.wait_until(lambda: "refuses" in one.trouble, 10, "the refusal")
    subscriber.wait(lambda: subscriber.status()[:2] == ["online", "offline"], "a goodbye")
    assert not outbox.marked
    assert not subscriber.events()


def test_a_wrong_password_is_told_and_tried_again(tmp_path, outbox, notifier, unwilling):
    """A broker that does not let the node in leaves the events waiting, with the reason."""
    one = notifier(Mqtt(url=unwilling.url, username="node", password=_secret(tmp_path, "hunter2")))
    process.wait_until(lambda: bool(one.trouble), 10, "the refusal")
    assert "authori" in one.trouble.lower()
    assert "hunter2" not in one.trouble
    assert one.is_alive()


def _openssl(folder: Path, *arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)


@pytest.mark.filterwarnings(
    # paho leaves the socket of a failed handshake to the garbage collector
    "ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
def test_events_flow_over_tls_to_a_broker_that_can_prove_itself(
    tmp_path, outbox, notifier, subscribe
):
    """With mqtts the broker's certificate is checked against ca_file; another's is refused."""
    if shutil.which("openssl") is None:
        pytest.skip("needs certificates: Debian package openssl")
    for name in ("ours", "other"):
        _openssl(
            tmp_path, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
            f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key.pem",
            "-out", f"{name}.pem",
        )  # fmt: skip
    secure, plain = process.free_port(), process.free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {secure} 127.0.0.1\ncertfile {tmp_path}/ours.pem\n"
        f"keyfile {tmp_path}/ours.key.pem\nlistener {plain} 127.0.0.1\n"
        "allow_anonymous true\nuser root\n"
    )
    outbox.add(1)
    url = f"mqtts://127.0.0.1:{secure}"
    with process.running(
        [mosquitto.find(), "-c", config],
        ready=lambda: process.answers(secure) and process.answers(plain),
        log=tmp_path / "log",
    ):
        subscriber = subscribe(plain)
        stranger = notifier(Mqtt(url=url, ca_file=tmp_path / "other.pem"))
        process.wait_until(lambda: bool(stranger.trouble), 10, "the refusal")
        assert not stranger.connected
        stranger.stop(5)
        assert not subscriber.heard
        notifier(Mqtt(url=url, ca_file=tmp_path / "ours.pem"))
        subscriber.wait(lambda: subscriber.numbers() == [0], "the event")


def test_a_ca_file_that_is_none_is_told(tmp_path, outbox, notifier):
    """A ca_file without a certificate in it is named as the trouble."""
    (tmp_path / "ca.pem").write_text("no certificate")
    one = notifier(Mqtt(url="mqtts://127.0.0.1:1", ca_file=tmp_path / "ca.pem"))
    process.wait_until(lambda: "ca_file" in one.trouble, 10, "the reason")


def test_stop_before_start_is_harmless(outbox):
    """A notifier that was never started can be stopped, twice."""
    one = Notifier(Mqtt(url="mqtt://127.0.0.1:1"), outbox, "NODE")
    one.stop(1)
    one.stop(1)


def test_topics_are_safe_whatever_the_type():
    """A type cannot smuggle wildcards or levels into a topic."""
    event = Event(1, "a/b#+ c", "", {}, 0.0)
    assert notify.topic_of(event, "site/penumbra") == "site/penumbra/events/a_b___c"
