"""An encrypted index: written where DuckDB can, refused with words where it cannot."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from dicom.errors import ConfigFault, StorageFault
from storage.index import encrypting
from storage.index.database import Entry, Index
from storage.index.encrypting import IndexKeys

Make = Callable[..., Entry]
KEY, OTHER = "11" * 32, "22" * 32


def can_encrypt() -> bool:
    with duckdb.connect() as connection:
        try:
            encrypting.load(connection)
        except ConfigFault:
            return False
    return True


needs_httpfs = pytest.mark.skipif(
    not can_encrypt(), reason="DuckDB's extension httpfs is missing: duckdb-extension-httpfs"
)


def test_a_machine_that_cannot_encrypt_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """No file is written in the clear where an encrypted one was asked for."""
    monkeypatch.setattr(encrypting, "_files", list)
    monkeypatch.setenv("HOME", str(tmp_path))
    if can_encrypt():
        pytest.skip("this machine has the extension where DuckDB looks for it")
    with pytest.raises(ConfigFault, match=r"duckdb-extension-httpfs==.*encrypted disk"):
        Index.open(tmp_path / "index.duckdb", IndexKeys(KEY))
    assert not (tmp_path / "index.duckdb").exists()


def test_keys_are_not_told():
    """Whatever is logged of them holds no secret (P6)."""
    assert KEY not in repr(IndexKeys(KEY, (OTHER,)))


@needs_httpfs
def test_nothing_can_be_read_in_an_encrypted_file(tmp_path: Path, entry: Make):
    """Names are in the index, and not in its files, also while it is open."""
    path = tmp_path / "index.duckdb"
    index = Index.open(path, IndexKeys(KEY))
    index.add([entry(1, PatientName="FINDME^NOW")], {"seg": 10})
    found = index.sql("SELECT PatientName FROM study", timeout_s=5, max_rows=1)
    assert found.rows == (("FINDME^NOW",),)
    assert not any(b"FINDME" in file.read_bytes() for file in tmp_path.iterdir())
    index.close()
    assert not any(b"FINDME" in file.read_bytes() for file in tmp_path.iterdir())
    again = Index.open(path, IndexKeys(KEY))
    assert again.position() == {"seg": 10}
    again.close()


@needs_httpfs
@pytest.mark.parametrize(
    ("former", "then"),
    [
        (IndexKeys(), IndexKeys(KEY)),
        (IndexKeys(OTHER), IndexKeys(KEY, (KEY, OTHER))),
        (IndexKeys(KEY), IndexKeys("", (KEY,))),
    ],
    ids=["encrypted now", "another key", "in the clear now"],
)
def test_an_index_changes_its_key(tmp_path: Path, entry: Make, former: IndexKeys, then: IndexKeys):
    """Its rows are copied into a file as the config wants it."""
    path = tmp_path / "index.duckdb"
    index = Index.open(path, former)
    index.add([entry(1, PatientName="FINDME^NOW")], {"seg": 10})
    index.close()
    again = Index.open(path, then)
    assert again.count() == 1
    again.close()
    clear = any(b"FINDME" in file.read_bytes() for file in tmp_path.iterdir())
    assert clear == (not then.current)


@needs_httpfs
@pytest.mark.parametrize("keys", [IndexKeys(), IndexKeys(OTHER)])
def test_an_index_without_its_key_is_left_alone(tmp_path: Path, entry: Make, keys: IndexKeys):
    """A missing key is a fault to mend, and no reason to set the file aside."""
    path = tmp_path / "index.duckdb"
    index = Index.open(path, IndexKeys(KEY))
    index.add([entry(1)], {"seg": 10})
    index.close()
    with pytest.raises(StorageFault, match="no key that is given opens it"):
        Index.open(path, keys)
    again = Index.open(path, IndexKeys(KEY))
    assert again.count() == 1
    again.close()
