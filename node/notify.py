"""Publish the events of the outbox by MQTT, in order, each until acknowledged; home of aiomqtt.

An event is marked as published after the broker has acknowledged it (QoS 1), so none is lost; one
may come twice, under the same CloudEvents id. Topics hold no data about a patient (P6).
"""

import asyncio
import json
import re
import ssl
import threading
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

import aiomqtt
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from config import secrets
from config.model import Mqtt
from dicom.errors import ConfigFault, Fault, Refused, Unreachable

BATCH: Final = 100
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 10.0
LOOK_EVERY_S: Final = 0.5
"""How often the outbox is looked at for what other processes wrote."""
ANSWER_S: Final = 10.0
KEEPALIVE_S: Final = 15
ONLINE: Final = "online"
OFFLINE: Final = "offline"

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")

log = structlog.get_logger()


class Event(Protocol):
    """One thing that happened: storage.ledger.events.Event is one."""

    @property
    def id(self) -> int:
        """Its number; numbers grow with time."""

    @property
    def type(self) -> str:
        """Its CloudEvents type, such as "penumbra.series.settled"."""

    @property
    def subject(self) -> str:
        """What it is about: a UID or a name."""

    @property
    def data(self) -> Mapping[str, object]:
        """Plain facts, none of them about a patient."""

    @property
    def at(self) -> float:
        """When: seconds since the epoch, UTC."""


class Outbox(Protocol):
    """Where events wait: storage.ledger.events.Outbox is one. Its methods may block."""

    def unpublished(self, limit: int) -> Sequence[Event]:
        """Give events that no broker has acknowledged, oldest first."""

    def mark_published(self, ids: Sequence[int]) -> None:
        """Note that the broker has these events."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for news; False when there was none."""

    def rest(self) -> None:
        """Let another node that shares the outbox publish meanwhile."""


def attributes(event: Event, node_name: str) -> dict[str, str]:
    """Give an event's attributes as CloudEvents 1.0 names them, all but `datacontenttype`.

    The id stays the same when an event is published again, and differs between a ledger and its
    rebuilt successor, which counts from one again.
    """
    at = datetime.fromtimestamp(event.at, UTC)
    return {
        "specversion": "1.0",
        "id": f"{event.id}-{int(event.at * 1000)}",
        "source": f"/penumbra/{quote(node_name, safe='')}",
        "type": event.type,
        "subject": event.subject,
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def topic_of(event: Event, prefix: str) -> str:
    """Give the topic of an event: PREFIX/events/TYPE."""
    return f"{prefix}/events/{_UNSAFE.sub('_', event.type)}"


class Notifier:
    """A thread that publishes whenever a broker is there."""

    def __init__(self, settings: Mqtt, outbox: Outbox, node_name: str) -> None:
        self._settings = settings
        self._outbox = outbox
        self._node_name = node_name
        self._status_topic = f"{settings.topic}/status"
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        self._moved = False
        self.connected = False
        """Whether a broker listens at the moment."""
        self.trouble = ""
        """Why nothing is published at the moment; "" when all is well."""

    def start(self) -> None:
        """Start the thread; it connects by itself, now and after each loss."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Say "offline" and end; what is unpublished stays in the outbox. Safe before start."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout_s)
        elif not self._loop.is_closed():
            self._loop.close()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._publish_for_ever())

    async def _publish_for_ever(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._moved = False
            try:
                await self._session()
            except Fault as fault:
                if str(fault) != self.trouble:
                    log.warning("events wait", fault=fault.code, words=str(fault))
                self.trouble = str(fault)
            self.connected = False
            await asyncio.to_thread(self._outbox.rest)
            # A broker that lets us in and takes nothing shall not be asked in haste.
            pause_s = FIRST_PAUSE_S if self._moved else min(pause_s * 2, LONGEST_PAUSE_S)
            await _either(self._stopping.wait(), asyncio.sleep(pause_s))

    async def _session(self) -> None:
        """Connect, publish until the connection is lost or we stop. Raises a Fault."""
        url = urlsplit(self._settings.url)
        broker = f"{url.hostname}:{url.port or _PORTS[url.scheme]}"
        try:
            async with self._client() as client:
                await client.publish(self._status_topic, ONLINE, qos=1, retain=True)
                self.connected = True
                log.info("broker found", broker=broker)
                try:
                    await _either(client.loss(), self._drain(client))
                except Fault:  # ours, or a refusal: the broker still listens
                    await client.publish(self._status_topic, OFFLINE, qos=1, retain=True)
                    raise
                await client.publish(self._status_topic, OFFLINE, qos=1, retain=True)
        except aiomqtt.MqttError as fault:
            raise Unreachable(f"the broker {broker}: {fault}") from fault
        except (OSError, ValueError) as fault:  # also a host that is no name
            raise Unreachable(f"the broker {broker}: {type(fault).__name__}") from fault

    def _client(self) -> "_Client":
        url, password = urlsplit(self._settings.url), self._settings.password
        return _Client(
            url.hostname or "",
            url.port or _PORTS[url.scheme],
            username=self._settings.username,
            password=secrets.read(password).decode(errors="replace") if password else None,
            identifier=f"penumbra-{_UNSAFE.sub('_', self._node_name)}",
            protocol=aiomqtt.ProtocolVersion.V5,
            will=aiomqtt.Will(self._status_topic, OFFLINE, qos=1, retain=True),
            tls_context=_tls(self._settings),
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
        )

    async def _drain(self, client: "_Client") -> None:
        while not self._stopping.is_set():
            events = await asyncio.to_thread(self._outbox.unpublished, BATCH)
            if events:
                await self._publish(client, events)
            else:
                self.trouble = ""
                await asyncio.to_thread(self._outbox.wait, LOOK_EVERY_S)

    async def _publish(self, client: "_Client", events: Sequence[Event]) -> None:
        acknowledged: list[int] = []
        try:
            for event in events:
                if self._stopping.is_set():
                    return
                await client.publish_acknowledged(
                    topic_of(event, self._settings.topic),
                    json.dumps(dict(event.data), ensure_ascii=False).encode(),
                    _properties(event, self._node_name),
                )
                acknowledged.append(event.id)
                self._moved, self.trouble = True, ""
        finally:
            if acknowledged:
                await _to_the_end(asyncio.to_thread(self._outbox.mark_published, acknowledged))


class _Client(aiomqtt.Client):
    """Minds what aiomqtt passes over: a refusal in the PUBACK, and a loss while one waits."""

    _refusal = ""

    async def publish_acknowledged(
        self, topic: str, payload: bytes, properties: Properties
    ) -> None:
        """Publish with QoS 1. Returns when the broker has it; raises Refused when it says no."""
        self._refusal = ""
        await self.publish(topic, payload, qos=1, properties=properties)
        if self._refusal:
            raise Refused(f"the broker refuses {topic}: {self._refusal}")

    async def loss(self) -> None:
        """Wait until the connection is lost; raises MqttError then."""
        async for _ in self.messages:
            pass

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any
    ) -> None:
        if reason_code.is_failure:
            self._refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)


def _properties(event: Event, node_name: str) -> Properties:
    """Make the properties of CloudEvents' binary mode for MQTT 5."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    properties.ContentType = "application/json"
    properties.PayloadFormatIndicator = 1
    properties.UserProperty = list(attributes(event, node_name).items())
    return properties


def _tls(settings: Mqtt) -> ssl.SSLContext | None:
    if urlsplit(settings.url).scheme != "mqtts":
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as fault:
        words = f"{settings.ca_file} is no certificate file (PEM)"
        raise ConfigFault([("mqtt.ca_file", words)]) from fault


async def _either(*alternatives: Any) -> None:
    """Run until the first of them ends, end the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(each) for each in alternatives]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for it even when cancelled: what the broker has is noted before anything else."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as asked:
            cancelled = asked
    task.result()
    if cancelled is not None:
        raise cancelled
