"""A vault's store in a folder of its own."""

import pytest

from storage.vault.store import VaultStore


@pytest.fixture
def store(tmp_path):
    opened = VaultStore.open(tmp_path)
    yield opened
    opened.close()
