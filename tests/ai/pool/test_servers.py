"""Several real Tritons are asked as if they were one that does not fail."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from ai.shared_memory import FOLDER
from config.serving import Shadow
from dicom.errors import BadAnswer, ModelUnavailable, Unsuitable
from examples.peers.process import free_port, wait_until

OK, SLEEP, DIE, RAISE, TOO_MANY_AXES = range(5)


def load(server, name, verb="load"):
    """Have a Triton load or unload a model, as an administrator does."""
    url = f"http://127.0.0.1:{server.http_port}/v2/repository/models/{name}/{verb}"
    urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=30).close()


def asked(server, name):
    """Ask a Triton how many requests for a model it has done."""
    url = f"http://127.0.0.1:{server.http_port}/v2/models/{name}/stats"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)["model_stats"][0]["inference_stats"]["success"]["count"]


def asked_in_all(server, name):
    """The same once it stands still: Triton counts a call a moment after it has answered."""
    seen = [asked(server, name)]

    def stands_still():
        seen.append(asked(server, name))
        return len(seen) > 5 and len(set(seen[-5:])) == 1

    wait_until(stands_still, 10, "Triton's statistics")
    return seen[-1]


def nobody():
    """An address where nobody answers."""
    return f"127.0.0.1:{free_port()}"


def test_slabs_are_spread_and_joined_in_order(loop, pair, model, rows):
    """Rows come back in the order of the requests, and both servers had their part."""
    settings = model(*(one.endpoint for one in pair))
    loop.infer(settings, rows([(SLEEP, 100)] * 8))  # a model's first request takes its time
    answer = loop.infer(settings, rows([(SLEEP, i % 7) for i in range(40)]))
    assert answer.arrays["y"].ravel().tolist() == [i % 7 for i in range(40)]
    assert answer.rows == {"y": (1,) * 40}
    assert set(answer.endpoints) == {one.endpoint for one in pair}
    assert min(answer.endpoints.values()) > 5
    assert (answer.batches, answer.tries, answer.version) == (40, 40, "1")


def test_no_more_are_under_way_than_the_config_says(loop, pair, model, rows):
    """in_flight bounds the requests of a worker over all endpoints."""
    under_way, most = 0, 0

    class Watched(rows):
        def tensors(self, batch):
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            return super().tensors(batch)

    settings = model(pair[0].endpoint, in_flight=3)
    group = loop.runner.run(_group(loop.servers, settings))
    infer = group.members[0].endpoint.infer

    async def counted(call):
        nonlocal under_way
        try:
            return await infer(call)
        finally:
            under_way -= 1

    group.members[0].endpoint.infer = counted
    loop.infer(settings, Watched([(SLEEP, 5)] * 12))
    assert most == 3


async def _group(servers, settings):
    return servers._group(settings)


def test_the_busy_server_is_spared(loop, pair, model, rows):
    """While one server sleeps over a request, the others go to its neighbour."""
    orders = [(SLEEP, 1000)] + [(SLEEP, 20)] * 12
    answer = loop.infer(model(*(one.endpoint for one in pair), in_flight=2), rows(orders))
    assert sorted(answer.endpoints.values()) == [1, 12]


def test_a_dead_endpoint_costs_nothing(loop, pair, model, values):
    """Of three endpoints one is not there: all is answered, nothing is tried there."""
    dead = nobody()
    answer = loop.infer(model(dead, *(one.endpoint for one in pair)), values(20))
    assert dead not in answer.endpoints
    assert answer.tries == 20


def test_a_server_killed_under_load_fails_nothing(*, loop, pair, doomed, model, rows, later):
    """kill -9 of one of two while requests are under way: each is answered once, by the other."""
    server, _ = doomed
    settings = model(server.endpoint, pair[0].endpoint, in_flight=8)
    orders = rows([(SLEEP, 20)] * 60)

    def kill():
        wait_until(lambda: orders.asked > 12, 20, "requests")
        os.kill(server.pid, signal.SIGKILL)

    later(kill)
    answer = loop.infer(settings, orders)
    assert answer.arrays["y"].ravel().tolist() == [20] * 60
    assert sum(answer.endpoints.values()) == 60
    assert answer.tries > 60
    again = loop.infer(settings, rows([(OK, 7)] * 20))
    assert set(again.endpoints) == {pair[0].endpoint}


def test_a_full_queue_is_waited_for(loop, pair, model, rows):
    """More requests than a queue takes: all are answered in the end, and nobody is blamed."""
    settings = model(pair[0].endpoint, model="narrow", in_flight=8)
    answer = loop.infer(settings, rows([(SLEEP, 15)] * 16))
    assert len(answer.arrays["y"]) == 16
    assert answer.tries > 16
    assert answer.waited_s > 0
    (member,) = loop.servers._group(settings).members
    assert member.standing.breaker.failures == 0


def test_a_queue_that_stays_full_ends_with_the_time(loop, pair, model, rows):
    """Back-pressure is borne until the job's time is over, and not longer."""
    settings = model(pair[0].endpoint, model="narrow", in_flight=8, timeout_s=0.5)
    began = time.monotonic()
    with pytest.raises(ModelUnavailable):
        loop.infer(settings, rows([(SLEEP, 200)] * 16))
    assert time.monotonic() - began < 2


def test_urgent_requests_overtake(loop, pair, model, rows):
    """Of two Series that wait for the same places, the urgent one is answered first."""
    settings = model(pair[0].endpoint, in_flight=1)
    order = []

    async def both():
        async def one(name, count, *, urgent):
            await loop.servers.infer(settings, lambda _: rows([(SLEEP, 20)] * count), urgent=urgent)
            order.append(name)

        await loop.servers.describe(settings)
        batch = asyncio.create_task(one("batch", 8, urgent=False))
        await asyncio.sleep(0)
        await asyncio.gather(batch, one("urgent", 3, urgent=True))

    loop.run(both())
    assert order == ["urgent", "batch"]


def test_a_hanging_server_leaves_time_for_another(loop, pair, model, rows):
    """A server that is stopped costs its share of the time; another answers within the job's."""
    server = pair[1]
    settings = model(server.endpoint, pair[0].endpoint, timeout_s=2)
    loop.run(loop.servers.describe(settings))
    group = loop.servers._group(settings)
    group._turn = 0
    os.kill(server.pid, signal.SIGSTOP)
    try:
        answer = loop.infer(settings, rows([(OK, 9)]))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert answer.arrays["y"].item() == 9
    assert answer.endpoint == pair[0].endpoint
    assert answer.tries == 2


def test_a_wrong_answer_is_not_asked_for_again(loop, pair, model, rows):
    """What the model refuses, or declares otherwise, is told at once."""
    settings = model(*(one.endpoint for one in pair))
    with pytest.raises(BadAnswer, match=r"output y came as FP32 \(1, 1, 1\), not FP32 \(-1, 1\)"):
        loop.infer(settings, rows([(TOO_MANY_AXES, 0)]))
    wide = rows([(OK, 0)])
    wide.tensors = lambda _: {"x": np.zeros((65, 2), np.int16)}
    with pytest.raises(Unsuitable, match="65 rows, and the server takes 64"):
        loop.infer(settings, wide)
    wide.tensors = lambda _: {"x": np.zeros((2, 2), np.float32)}
    with pytest.raises(Unsuitable, match=r"prepared as FP32 \(2, 2\), and the server takes INT16"):
        loop.infer(settings, wide)


def test_a_sequence_goes_to_one_server(loop, pair, model, rows):
    """Its requests come in order, and the last answer counts."""
    settings = model(*(one.endpoint for one in pair), model="serial")
    sequence = rows([(OK, i) for i in range(10)], is_sequence=True)
    answer = loop.infer(settings, sequence)
    assert answer.arrays["y"].tolist() == [[45]]
    assert list(answer.endpoints.values()) == [10]


def test_sequences_side_by_side_are_kept_apart(loop, pair, model, rows):
    """Two Series that are asked of one server at a time have ids of their own."""
    settings = model(pair[0].endpoint, model="serial")

    async def both():
        wholes = (rows([(OK, value)] * 10, is_sequence=True) for value in (1, 100))
        return await asyncio.gather(
            *(loop.servers.infer(settings, lambda _, one=one: one) for one in wholes)
        )

    assert [one.arrays["y"].item() for one in loop.run(both())] == [10, 1000]


def test_a_broken_sequence_begins_anew_elsewhere(loop, pair, model, rows):
    """A server that forgets a sequence under way is left: the whole is asked of another."""
    settings = model(*(one.endpoint for one in pair), model="serial", timeout_s=20)
    loop.run(loop.servers.describe(settings))
    loop.servers._group(settings)._turn = 0

    class Forgotten(rows):
        def tensors(self, batch):
            if self.asked == 5:
                load(pair[0], "serial")  # a new process, without what it was told
            return super().tensors(batch)

    shutil.copy(
        pair[0].log.parent / "models/serial/1/model.py",
        pair[0].log.parent / "models/serial/1/other.py",
    )  # without a change Triton keeps the old process
    answer = loop.infer(settings, Forgotten([(OK, i) for i in range(10)], is_sequence=True))
    assert answer.arrays["y"].tolist() == [[45]]
    assert answer.tries > 10


def test_a_shadow_is_asked_and_never_fails(loop, pair, model, rows):
    """Its answer comes apart from the live one's; without one, or one that serves, it is None."""
    settings = model(pair[0].endpoint, shadow=Shadow(model="narrow"))
    before = asked(pair[0], "narrow")
    answer = loop.run(loop.servers.shadow(settings, lambda _: rows([(OK, 5)])))
    assert (answer.served.model, answer.arrays["y"].item()) == ("narrow", 5)
    wait_until(lambda: asked(pair[0], "narrow") == before + 1, 5, "the count")
    absent = settings.model_copy(update={"shadow": Shadow(model="nothing")})
    assert loop.run(loop.servers.shadow(absent, lambda _: rows([(OK, 5)]))) is None
    without = settings.model_copy(update={"shadow": None})
    assert loop.run(loop.servers.shadow(without, lambda _: rows([(OK, 5)]))) is None


def test_a_series_that_is_asked_about_again_costs_no_call(loop, pair, model, values):
    """With cache_mb, the same Series and version is answered from what was kept."""
    settings = model(pair[0].endpoint, cache_mb=1)
    first = loop.infer(settings, values(5))
    before = asked_in_all(pair[0], "puppet")
    again = loop.infer(settings, values(5))
    assert (first.is_cached, again.is_cached) == (False, True)
    assert np.array_equal(first.arrays["y"], again.arrays["y"])
    assert asked_in_all(pair[0], "puppet") == before
    assert not loop.infer(settings, values(6)).is_cached


def test_shared_memory_is_used_where_it_pays(loop, pair, model, rows):
    """A large tensor goes by shared memory to a server on this host; off means off."""
    settings = model(pair[0].endpoint)
    large = rows([(OK, i) for i in range(8)], columns=100_000)
    answer = loop.infer(settings, large)
    assert answer.by_shared_memory
    assert answer.arrays["y"].ravel().tolist() == list(range(8))
    off = settings.model_copy(update={"shared_memory": "off"})
    plain = loop.infer(off, large)
    assert not plain.by_shared_memory
    assert np.array_equal(plain.arrays["y"], answer.arrays["y"])
    assert not loop.infer(settings, rows([(OK, 1)])).by_shared_memory


def regions(server):
    """Ask a Triton which regions of shared memory it reads."""
    url = f"http://127.0.0.1:{server.http_port}/v2/systemsharedmemory/status"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return {row["name"] for row in json.load(answer)}


def told(url):
    """Whether a server does what is asked of it by POST."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=5).close()
    except urllib.error.HTTPError:
        return False
    return True


def test_a_server_that_forgot_its_regions_is_told_again(loop, pair, model, rows):
    """After a restart a server knows of no region: the Series is answered, and memory is used."""
    settings, large = model(pair[0].endpoint), rows([(OK, 3)] * 4, columns=100_000)
    assert loop.infer(settings, large).by_shared_memory
    url = f"http://127.0.0.1:{pair[0].http_port}/v2/systemsharedmemory/unregister"
    # Triton lets go of a region a moment after it has answered; until then it says 500.
    wait_until(lambda: told(url), 10, "Triton to forget its regions")
    assert loop.infer(settings, large).arrays["y"].ravel().tolist() == [3] * 4
    assert loop.infer(settings, large).by_shared_memory


def test_a_killed_worker_leaves_nothing_for_long(loop, pair, model, rows):
    """What a killed worker left in /dev/shm, and in the server, goes when the next one asks."""
    code = (
        "import asyncio, os, signal, sys, numpy\n"
        "from ai.pool import Servers\n"
        "from config.models import Model\n"
        "asked = Servers().infer(Model(endpoints=(sys.argv[1],), model='puppet'),\n"
        "    lambda _: {'x': numpy.zeros((1, 100_000), 'int16')})\n"
        "answer = asyncio.run(asked)\n"
        "print(answer.by_shared_memory, os.getpid(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, pair[0].endpoint]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    used, pid = said.split()
    assert used == "True"
    mark = f"penumbra_ai_{pid}_"
    assert [one for one in regions(pair[0]) if one.startswith(mark)]
    assert loop.infer(model(pair[0].endpoint), rows([(OK, 3)], columns=100_000)).by_shared_memory
    assert not [one for one in regions(pair[0]) if one.startswith(mark)]
    assert not list(FOLDER.glob(f"{mark}*"))
    loop.run(loop.servers.close())
    mine = f"penumbra_ai_{os.getpid()}_"
    assert not [one for one in regions(pair[0]) if one.startswith(mine)]
    assert not list(FOLDER.glob(f"{mine}*"))


def test_nobody_there_says_who_was_asked(loop, model, values):
    """All endpoints dead: the fault names each, at once."""
    dead = nobody(), nobody()
    began = time.monotonic()
    with pytest.raises(ModelUnavailable) as fault:
        loop.infer(model(*dead), values(3))
    assert all(address in str(fault.value) for address in dead)
    assert time.monotonic() - began < 2


def test_a_hot_series_is_asked_without_probes(loop, pair, model, values):
    """A Series right behind another costs its own calls alone."""
    settings = model(pair[0].endpoint)
    loop.infer(settings, values(1))
    (member,) = loop.servers._group(settings).members
    probes, describe = [], member.endpoint.describe

    async def counted(*what):
        probes.append(what)
        return await describe(*what)

    member.endpoint.describe = counted
    assert loop.infer(settings, values(1)).tries == 1
    assert not probes
    loop.run(loop.servers._group(settings).describe("", 0))
    assert len(probes) == 1


def test_the_breaker_spares_a_model_that_fails(loop, pair, model, rows):
    """After failures in a row one request at a time is tried, and a good one ends that."""
    settings = model(pair[0].endpoint)
    (member,) = loop.runner.run(_group(loop.servers, settings)).members
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="the model fell over"):
            loop.infer(settings, rows([(RAISE, 0)]))
    assert member.standing.breaker.state == "open"
    assert len(loop.infer(settings, rows([(OK, 1)] * 10)).arrays["y"]) == 10
    assert member.standing.breaker.state == "closed"
