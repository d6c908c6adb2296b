"""Seals: what was sealed opens, in its place, with its key, and in no other way."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid.vault.sealing import DataKey, NoVaultKey, VaultKey, VaultKeys, VaultTampered

SECRET = bytes(range(32))
KEY = VaultKey(SECRET)
DATA = DataKey("heart", "P1", bytes(reversed(range(32))))


@given(st.text(), st.text(), st.text())
def test_an_original_comes_back_as_it_was(kind, pseudonym, value):
    """Whatever text was sealed, in whatever place, opens to the same text."""
    row = DATA.seal_original(kind, pseudonym, value)
    assert DATA.open_original(row) == value
    assert not value or len(value) < 4 or value.encode() not in row.sealed


def test_an_original_that_is_no_unicode_comes_back():
    """Bytes that no character set knows, carried as surrogates, survive the vault."""
    odd = b"\xff\xfe7".decode("utf-8", "surrogateescape")
    assert DATA.open_original(DATA.seal_original("patient", "P1", odd)) == odd


@given(st.binary(max_size=200))
def test_a_snapshot_comes_back_as_it_was(snapshot):
    """Whatever was sealed of a study opens to the same bytes."""
    assert DATA.open_study(DATA.seal_study("2.25.1", snapshot)) == snapshot


@pytest.mark.parametrize(
    "other", [{"kind": "issuer"}, {"pseudonym": "2.25.2"}, {"kind": "ui", "pseudonym": "d2.25.1"}]
)
def test_a_row_opens_in_its_own_place_alone(other):
    """A row that was copied over another one, of another kind or pseudonym, does not open."""
    row = DATA.seal_original("uid", "2.25.1", "1.2.3")
    with pytest.raises(VaultTampered):
        DATA.open_original(replace(row, **other))


def test_a_row_opens_for_its_own_patient_alone():
    """The same data key under another patient's or project's name opens nothing."""
    row = DATA.seal_original("uid", "2.25.1", "1.2.3")
    for project, patient in (("heart", "P2"), ("lung", "P1")):
        with pytest.raises(VaultTampered):
            DataKey(project, patient, DATA.secret).open_original(row)


def test_an_original_is_no_snapshot():
    """Rows of one table do not open in the other."""
    row = DATA.seal_study("2.25.1", b"x")
    swapped = replace(DATA.seal_original("uid", "2.25.1", "x"), sealed=row.sealed)
    with pytest.raises(VaultTampered):
        DATA.open_original(swapped)


@given(st.integers(0, 1000), st.integers(1, 255))
def test_a_changed_byte_is_found(place, flip):
    """No byte of a row can be changed."""
    row = DATA.seal_original("uid", "2.25.1", "1.2.840.99")
    changed = bytearray(row.sealed)
    changed[place % len(changed)] ^= flip
    with pytest.raises(VaultTampered):
        DATA.open_original(replace(row, sealed=bytes(changed)))


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27])
def test_a_cut_row_is_found(length):
    """A row that was cut, also to nothing, does not open."""
    row = DATA.seal_original("uid", "2.25.1", "1.2.840.99")
    with pytest.raises(VaultTampered):
        DATA.open_original(replace(row, sealed=row.sealed[:length]))


def test_the_same_value_is_sealed_differently_each_time():
    """Nobody sees that two rows hold the same value."""
    one, two = (DATA.seal_original("uid", "2.25.1", "1.2.3") for _ in range(2))
    assert one.sealed != two.sealed


def test_a_data_key_comes_back_under_its_own_name_alone():
    """A wrapped key opens for its patient, and not when it is copied to another."""
    row = KEY.wrap(DATA)
    assert KEY.unwrap(row).secret == DATA.secret
    for other in ({"patient": "P2"}, {"project": "lung"}):
        with pytest.raises(VaultTampered):
            KEY.unwrap(replace(row, **other))


def test_a_wrong_key_opens_nothing():
    """Another vault key does not open a wrapped key, even where the row claims its id."""
    other = VaultKey(bytes(range(1, 33)))
    with pytest.raises(VaultTampered):
        other.unwrap(replace(KEY.wrap(DATA), key_id=other.id))


def test_a_missing_key_is_named_with_its_setting():
    """Whoever lacks a key hears its id and where to put it."""
    other = VaultKey(bytes(range(1, 33)))
    with pytest.raises(NoVaultKey, match=rf"{KEY.id}.*\[vault\] old_keys"):
        VaultKeys(other).unwrap(KEY.wrap(DATA))
    assert VaultKeys(other, [KEY]).unwrap(KEY.wrap(DATA)).secret == DATA.secret


def test_a_key_shows_its_id_alone():
    """Neither the id nor what is printed of a key tells anything of the secret."""
    assert VaultKey(SECRET).id == KEY.id != VaultKey(bytes(range(1, 33))).id
    assert repr(KEY) == f"VaultKey({KEY.id})"
    assert SECRET.hex() not in repr(KEY)
    with pytest.raises(ValueError, match="32 random bytes"):
        VaultKey(b"short")
