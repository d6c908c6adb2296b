"""A real Triton whose model dies, or is replaced by a newer version, in the middle of a Series."""

import shutil
import urllib.request

import pytest

from dicom.errors import ModelUnavailable

OK, SLEEP, DIE = range(3)


def load(server, name, verb="load"):
    """Have a Triton load or unload a model, as an administrator does."""
    url = f"http://127.0.0.1:{server.http_port}/v2/repository/models/{name}/{verb}"
    urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=30).close()


def test_a_dead_process_is_healed(loop, doomed, model, rows):
    """A model whose process died is loaded anew, once in a while; never against the config."""
    server, _ = doomed
    alone = model(server.endpoint, heal=False)
    with pytest.raises(ModelUnavailable, match="INTERNAL: Stub process 'puppet_0_0' is not heal"):
        loop.infer(alone, rows([(DIE, 0)]))
    with pytest.raises(ModelUnavailable, match="is not healthy"):
        loop.infer(alone, rows([(OK, 3)]))
    answer = loop.infer(model(server.endpoint), rows([(OK, 3)]))
    assert answer.arrays["y"].item() == 3
    assert answer.healed == 1
    with pytest.raises(ModelUnavailable, match="is not healthy"):
        loop.infer(model(server.endpoint), rows([(DIE, 0)]))


def test_a_version_under_way_is_not_mixed(loop, doomed, model, rows):
    """While a newer version takes over, a Series is answered by one of them alone."""
    server, repository = doomed
    settings = model(server.endpoint)
    folder = repository / "puppet"
    prepared = []

    class Replaced(rows):
        def tensors(self, batch):
            if self.asked == 10:
                shutil.copytree(folder / "1", folder / "2")
                load(server, "puppet")
            return super().tensors(batch)

    orders = Replaced([(SLEEP, 5)] * 30)

    def prepare(served):
        prepared.append(served.version)
        return orders

    answer = loop.run(loop.servers.infer(settings, prepare))
    assert prepared == ["1", "2"]
    assert answer.version == "2"
    assert len(answer.arrays["y"]) == 30
    with pytest.raises(ModelUnavailable):
        loop.infer(settings, rows([(OK, 0)]), version="1")
