"""A spool behind the routes of STOW-RS, on a port of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from config.api import Token
from dicom.errors import SpoolFull
from examples.peers.stow import CT
from node.web.dicomweb.routes import store_routes
from node.web.dicomweb.stow import Store, StoreParts, titles_of
from node.web.server import Server
from node.web.tokens import Tokens, digest_of
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

SECRET = "pnb_" + "s" * 43


class House:
    """The spool behind the door, the disk's state, and what was heard of each request."""

    def __init__(self, root: Path) -> None:
        self.spool = Spool.open(root, segment_bytes=1 << 26, reserve_bytes=0)
        self.reader = SpoolReader(root)
        self.pause_s, self.words = 0.0, ""
        self.full_after: int | None = None
        self.opened: list[Any] = []
        self.stored: list[tuple[int, int]] = []
        self.endings: list[Any] = []
        self.positions: dict[str, int] = {}

    def begin(self, arrival: Any) -> Any:
        """Begin a recording, unless the disk is full."""
        if self.full_after is not None:
            self.full_after -= 1
            if self.full_after < 0:
                raise SpoolFull("no room")
        return self.spool.begin(arrival)

    def trouble(self) -> str:
        """What keeps the disk from taking more."""
        return self.words

    def on_opened(self, facts: Any) -> None:
        """Note that a request began."""
        self.opened.append(facts)

    def on_stored(self, facts: Any, status: int, size_bytes: int) -> None:
        """Note one object of a request."""
        self.stored.append((status, size_bytes))

    def on_closed(self, facts: Any, ending: Any) -> None:
        """Note how a request ended."""
        self.endings.append((facts, ending))

    def new(self) -> list[Any]:
        """What came to disk since the last look, as the ledger's follower would find it."""
        records = list(self.spool.records(self.positions))
        self.positions |= {one.location.segment: one.end for one in records}
        return [self.reader.identify(one) for one in records]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[str, House]]:
    """One port for all tests."""
    house = House(tmp_path_factory.mktemp("spool"))
    known = {
        "ward 7": Token(digest=digest_of(SECRET), may=("store",)),
        "reader": Token(digest=digest_of("pnb_r"), may=("query",)),
    }
    parts = StoreParts(house, house, [house], frozenset({CT}), "PENUMBRA", titles_of(known),
                       tmp_path_factory.mktemp("scratch"))  # fmt: skip
    routes = store_routes(Tokens(known), Store(parts), lambda name, used: None)
    server = Server.on_port(Starlette(routes=routes), "127.0.0.1", 0)
    server.start()
    yield f"http://127.0.0.1:{server.port}", house
    server.stop()
    house.spool.close()


@pytest.fixture
def house(served) -> House:
    """The spool, with nothing in the way and nothing new in it."""
    _, one = served
    one.pause_s, one.words, one.full_after = 0.0, "", None
    one.new()
    one.opened.clear()
    one.stored.clear()
    one.endings.clear()
    return one


@pytest.fixture
def client(served) -> Iterator[httpx.Client]:
    """Whoever may store."""
    base, bearer = served[0] + "/dicom-web", {"Authorization": f"Bearer {SECRET}"}
    with httpx.Client(base_url=base, headers=bearer, timeout=20, trust_env=False) as one:
        yield one
