"""A patient always gets the same version, and versions get their shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ai.assignment import choose_version, version_of
from config.models import Model
from config.shapes import Secret

KEY = b"k" * 32
PATIENTS = [f"P{i:05}" for i in range(1500)]


def settings(split, **keys):
    key = Secret(env="SPLIT_KEY") if split else None
    return Model(
        endpoints=("h:1",), model=keys.pop("model", "m"), version="1", split=split, split_key=key
    )


SPLITS = st.dictionaries(st.text(max_size=3), st.floats(0.01, 0.2), max_size=5)


@given(st.text(), st.binary(min_size=1), SPLITS)
def test_the_choice_is_stable(patient, key, split):
    """Whatever the patient and the key, a second look gives the same, and one that was offered."""
    table = settings(split)
    chosen = choose_version(table, patient, key)
    assert chosen == choose_version(table, patient, key)
    assert chosen in {"1", *split}


@given(st.floats(0.05, 0.95))
def test_shares_are_kept(share):
    """Over many patients a version gets its share, and the rest goes to the live one."""
    table = settings({"2": share})
    found = [choose_version(table, patient, KEY) for patient in PATIENTS]
    assert found.count("2") / len(PATIENTS) == pytest.approx(share, abs=0.06)
    assert set(found) <= {"1", "2"}


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_a_share_that_grows_keeps_its_patients(before, more):
    """Nobody falls back to the old version when the new one is asked more often."""
    small, large = settings({"2": before}), settings({"2": before + more})
    for patient in PATIENTS[:300]:
        if choose_version(small, patient, KEY) == "2":
            assert choose_version(large, patient, KEY) == "2"


def test_another_key_or_model_deals_otherwise():
    """Who gets which version cannot be told without the key, nor from another model."""
    table = settings({"2": 0.5})
    ours = [choose_version(table, patient, KEY) for patient in PATIENTS]
    for others in (
        [choose_version(table, patient, b"other") for patient in PATIENTS],
        [choose_version(settings({"2": 0.5}, model="n"), patient, KEY) for patient in PATIENTS],
    ):
        agreeing = sum(a == b for a, b in zip(ours, others, strict=True))
        assert agreeing / len(PATIENTS) == pytest.approx(0.5, abs=0.06)


def test_the_key_comes_from_the_config(monkeypatch):
    """The key is a secret; without a split none is read."""
    monkeypatch.setenv("SPLIT_KEY", KEY.decode())
    table = settings({"2": 0.5})
    assert version_of(table, "P1") == choose_version(table, "P1", KEY)
    monkeypatch.delenv("SPLIT_KEY")
    assert version_of(settings({}), "P1") == "1"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"split": {"2": 0.6, "3": 0.5}, "split_key": {"env": "K"}}, "more than 1 together"),
        ({"split": {"2": 0.5}}, "go together"),
        ({"split_key": {"env": "K"}}, "go together"),
        ({"split": {"2": 0}, "split_key": {"env": "K"}}, "greater than 0"),
        ({"headers": {"X-Key": {"env": "K"}}}, "is no header"),
        ({"headers": {"grpc-timeout": {"env": "K"}}}, "is no header"),
    ],
)
def test_what_makes_no_sense_is_refused(keys, words):
    """Shares over the whole, a split without a key, and headers that gRPC cannot send."""
    with pytest.raises(ValidationError, match=words):
        Model(endpoints=("h:1",), model="m", **keys)
