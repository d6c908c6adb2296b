"""The broker that tests and demo use is a real one."""

import asyncio

import aiomqtt
import pytest

from examples.peers import mosquitto
from examples.peers.process import answers

pytestmark = pytest.mark.skipif(
    mosquitto.find() is None, reason="needs mosquitto (Debian package mosquitto)"
)


async def exchange(port):
    """Publish one message by MQTT 5 and give back what a subscriber received."""
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("penumbra/#", qos=1)
        await client.publish("penumbra/events/test", b"hello", qos=1)
        async with asyncio.timeout(10):
            async for message in client.messages:
                return str(message.topic), message.payload, message.qos
    return None


def test_a_message_comes_through(tmp_path):
    """What is published at QoS 1 reaches a subscriber as it was sent."""
    with mosquitto.running(tmp_path) as broker:
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        got = asyncio.run(exchange(broker.port))
    assert got == ("penumbra/events/test", b"hello", 1)


def test_a_restarted_broker_keeps_its_port(tmp_path):
    """A broker ends with its block, and another one can take its place on the same port."""
    with mosquitto.running(tmp_path) as first:
        port = first.port
    assert not answers(port)
    with mosquitto.running(tmp_path, port=port) as second:
        assert second.port == port
        assert asyncio.run(exchange(port)) is not None


def test_an_absent_broker_is_named(tmp_path, monkeypatch):
    """Without mosquitto the error names the Debian package."""
    monkeypatch.setattr(mosquitto, "find", lambda: None)
    with pytest.raises(FileNotFoundError, match="Debian package mosquitto"):
        mosquitto.running(tmp_path).__enter__()
