"""What is vouched for: the judgement of one Instance, fact by fact."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.commitment import FailureReason
from routing.commitment import COMMITTED, Debt, Kept, Terms, Verdict, judge

CT = "1.2.840.10008.5.1.4.1.1.2"
HERE = Kept(frozenset({CT}), is_filed=True, in_doubt=False, is_settled=True)
FRESH = Terms("delivered", unknown_is_final=False, is_over=False)
LATE = replace(FRESH, unknown_is_final=True)
OVER = replace(FRESH, is_over=True)
FAILED = Verdict(FailureReason.PROCESSING_FAILURE)
UNKNOWN = Verdict(FailureReason.NO_SUCH_INSTANCE)


@pytest.mark.p1
@pytest.mark.parametrize(
    ("kept", "terms", "verdict"),
    [
        (None, FRESH, None),
        (None, LATE, UNKNOWN),
        (None, OVER, UNKNOWN),
        (HERE, FRESH, COMMITTED),
        (replace(HERE, is_settled=False), FRESH, None),
        (replace(HERE, is_settled=False), OVER, FAILED),
        (replace(HERE, is_settled=False), replace(FRESH, when="received"), COMMITTED),
        (replace(HERE, debts=(Debt.PAID, Debt.PAID)), FRESH, COMMITTED),
        (replace(HERE, debts=(Debt.PAID, Debt.OWED)), FRESH, None),
        (replace(HERE, debts=(Debt.PAID, Debt.OWED)), OVER, FAILED),
        (replace(HERE, debts=(Debt.OWED,)), replace(FRESH, when="received"), COMMITTED),
        (replace(HERE, debts=(Debt.OWED, Debt.STUCK)), FRESH, FAILED),
        (replace(HERE, is_filed=False), FRESH, FAILED),
        (replace(HERE, is_filed=False), replace(FRESH, when="received"), FAILED),
        (replace(HERE, in_doubt=True), FRESH, FAILED),
        (replace(HERE, in_doubt=True), replace(FRESH, when="received"), FAILED),
        (replace(HERE, is_here=False), FRESH, UNKNOWN),
        (replace(HERE, is_here=False), replace(FRESH, when="received"), UNKNOWN),
        (replace(HERE, is_here=False, debts=(Debt.PAID,)), FRESH, COMMITTED),
        (replace(HERE, sop_class_uids=frozenset({"1.2"})), FRESH,
         Verdict(FailureReason.CLASS_CONFLICT)),
    ],
)  # fmt: skip
def test_each_fact_leads_to_its_verdict(
    kept: Kept | None, terms: Terms, verdict: Verdict | None
) -> None:
    """Committed, failed with the reason of PS3.3 C.14.1.1, or not yet, as the facts say."""
    assert judge(CT, kept, terms, is_storage=True) == verdict


def test_a_class_that_is_no_storage_class_is_not_waited_for() -> None:
    """An Instance that the node would never take is refused at once (0x0122)."""
    assert judge("1.2", None, FRESH, is_storage=False) == Verdict(FailureReason.CLASS_NOT_SUPPORTED)


facts = st.builds(
    Kept,
    st.frozensets(st.sampled_from([CT, "1.2"])),
    is_filed=st.booleans(),
    in_doubt=st.booleans(),
    is_settled=st.booleans(),
    debts=st.lists(st.sampled_from(Debt), max_size=3).map(tuple),
    is_here=st.booleans(),
)


@pytest.mark.p1
@given(st.none() | facts, st.booleans(), st.booleans(), st.booleans())
def test_nothing_is_vouched_for_that_is_not_held_where_it_must_be(
    kept: Kept | None, final: bool, over: bool, storage: bool
) -> None:
    """Committed means filed, beyond doubt, settled and paid; and no request waits for ever."""
    terms = Terms("delivered", unknown_is_final=final, is_over=over)
    verdict = judge(CT, kept, terms, is_storage=storage)
    if verdict == COMMITTED:
        assert kept is not None
        assert kept.is_filed
        assert kept.is_settled
        assert not kept.in_doubt
        assert set(kept.debts) <= {Debt.PAID}
        assert kept.is_here or kept.debts
    assert verdict is not None or not over
