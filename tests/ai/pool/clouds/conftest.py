"""A machine without credentials of any cloud, and questions whose answer is known."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from config.models import Model
from examples.peers import predict_server
from examples.peers.predict_server import MEANS, PREDICT, Images


@pytest.fixture(autouse=True)
def _nobody(monkeypatch, tmp_path):
    """This machine has no credentials of its own, and asks nobody outside for any."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setattr("google.auth.compute_engine._metadata._NO_GCE_CHECK", True)


@pytest.fixture
def settings(model) -> Callable[..., Model]:
    """The settings of a model that gives each image's mean."""
    return lambda url, **keys: model(url, predict=PREDICT, **keys)


@pytest.fixture
def ask_at_once(loop) -> Callable[..., None]:
    """Ask about three images under each of several settings, all at the same time."""

    def asked(*several: Model) -> None:
        async def all_of_them() -> list[Any]:
            calls = (loop.servers.infer(each, lambda _: Images()) for each in several)
            return await asyncio.gather(*calls)

        answers = [each.arrays["mean"].tolist() for each in loop.run(all_of_them())]
        assert answers == [MEANS] * len(several)

    return asked


@pytest.fixture
def ask(ask_at_once, settings) -> Callable[..., None]:
    """Ask about three images; the answer must be right."""
    return lambda url, **keys: ask_at_once(settings(url, **keys))


@pytest.fixture
def stops_nobody(loop, settings) -> Callable[..., None]:
    """Ask while whoever gives credentials is silent, and another server meanwhile."""

    async def both(its: Model, plain: str, giver: Any) -> list[Any]:
        slow = asyncio.create_task(loop.servers.infer(its, lambda _: Images()))
        quick = await loop.servers.infer(settings(plain), lambda _: Images())
        assert not slow.done()
        giver.may_go_on.set()
        return [quick, await slow]

    def asked(its: Model, giver: Any) -> None:
        giver.may_go_on.clear()
        with predict_server.serving() as other:
            answers = loop.run(both(its, other.url, giver))
        assert [each.arrays["mean"].tolist() for each in answers] == [MEANS, MEANS]

    return asked
