"""An MQTT subscriber beside the node: what a dashboard or an automation would receive."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties


@dataclass
class Heard:
    """The ids of the CloudEvents that came, each once however often it was delivered."""

    ids: set[str] = field(default_factory=set)
    payloads: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def listening(port: int, topic: str = "penumbra/events/#") -> Iterator[Heard]:
    """Subscribe until the block ends; returns once the broker has acknowledged."""
    heard, subscribed = Heard(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, protocol=5)

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        properties = message.properties or Properties(3)
        heard.ids |= {value for key, value in properties.UserProperty if key == "id"}
        heard.payloads.append(message.payload)

    client.on_message = on_message
    client.on_connect = lambda *_: client.subscribe(topic, qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        if not subscribed.wait(10):
            raise TimeoutError("the MQTT broker did not acknowledge the subscription")
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()
