"""Facts of a study that went through a profile: two clean objects, one quarantined."""

import pytest

from deid.evidence.facts import Account, Delivery, Study, Treated

ORIGINAL = "1.2.840.77777.1"
PLAIN = Account(
    (
        ("(0010,0010)", "P"),
        ("(0010,1010)", "X"),
        ("(0008,0020)", "S"),
        ("(0008,1030)", "C"),
        ("(0008,1140)/(0008,1155)", "U"),
        ("(0008,0060)", "K"),
        ("(0019,100A)", "X"),
        ("(0028,0301)", "remark: burned-in text was not looked for"),
    ),
    ("modified-dates",),
    ("(0020,000D) is no valid UID",),
)
OTHER = Account((("(0010,0010)", "P"), ("(0008,0050)", "Z"), ("(0008,0060)", "Q")))
SENT = Delivery("lake", "s3://lake/2.25.9/1.dcm", "a" * 64, "a" * 64, "read-back", 120.0)


def treated(number: int, account: str = "", **facts: object) -> Treated:
    original = {"study_instance_uid": ORIGINAL, "sop_instance_uid": f"{ORIGINAL}.{number}"}
    return Treated(number, original, account, "all", 3, "0.1.0", 100.0 + number, **facts)


def clean(number: int, account: str, *deliveries: Delivery) -> Treated:
    return treated(
        number, account, series_instance_uid="2.25.9.1", sop_instance_uid=f"2.25.9.1.{number}",
        patient_pseudonym="PABCDEF", deliveries=deliveries,
    )  # fmt: skip


@pytest.fixture
def make_study():
    """Make the facts, some of them otherwise."""

    def make(**facts: object) -> Study:
        plain = {
            "study_instance_uid": "2.25.9",
            "original_study_instance_uid": ORIGINAL,
            "profile": "f" * 64,
            "description": {
                "name": "research",
                "base": "research",
                "options": ["modified-dates", "retain-device"],
                "option_reasons": {"modified-dates": "for follow-up"},
                "exceptions": [{"tag": "PatientSex", "action": "keep", "reason": "dose <models>"}],
                "departures": [{"tag": "(0010,0010)", "action": "P", "reason": "a pseudonym"}],
                "edition": "PS3.15 2026c",
                "reversible": False,
            },
            "accounts": {"plain": PLAIN, "other": OTHER, "none": Account(())},
            "objects": (
                clean(1, "plain", SENT),
                clean(2, "plain"),
                treated(3, "none", code="not-clean", reason="self-check: (0008,0070) holds a name"),
                clean(4, "other", SENT),
            ),
            "overruled": (treated(1, "none", code="deid", reason="breaks off"),),
        }
        return Study(**{**plain, **facts})

    return make
