"""What may leave the spool: each reason to stay, and that nothing leaves without a proof."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.job import Kind, State
from routing.retention import (
    Debt,
    Holding,
    Policy,
    Proof,
    Standing,
    Verdict,
    judge,
    needs,
)

NOW = 100_000.0
DAY = 86_400.0
SENT = Debt(Kind.FORWARD, State.DONE, is_latest=True, target="a", profile="", created_at=10)
PROVEN = Proof("a", "", delivered_at=20.0, proven_at=20.0)
ONE = Holding(1, "1.2", "d", 100, received_at=5.0, conflict=False, proofs=(PROVEN,))
SERIES = Standing(False, 1, pinned=False, legal_hold=False, debts=(SENT,), holdings=(ONE,))
AT_ONCE = Policy(keep_s=0.0)


def verdict(series: Standing = SERIES, policy: Policy = AT_ONCE, **options: bool) -> Verdict:
    return judge(series, policy, NOW, **options)[1]


def holding(**changes: object) -> Standing:
    return replace(SERIES, holdings=(replace(ONE, **changes),))


def debts(*owed: Debt) -> Standing:
    return replace(SERIES, debts=owed)


@pytest.mark.p2
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (SERIES, Verdict.LEAVES),
        (replace(SERIES, legal_hold=True), Verdict.HOLD),
        (replace(SERIES, pinned=True), Verdict.PINNED),
        (replace(SERIES, open=True), Verdict.OPEN),
        (replace(SERIES, revision=0), Verdict.OPEN),
        (replace(SERIES, unplanned=True), Verdict.UNPLANNED),
        (debts(replace(SENT, state=State.WAITING)), Verdict.OWED),
        (debts(replace(SENT, state=State.RUNNING)), Verdict.OWED),
        (debts(replace(SENT, state=State.HELD)), Verdict.OWED),
        (debts(SENT, replace(SENT, kind=Kind.INFER, state=State.HELD)), Verdict.OWED),
        (debts(SENT, replace(SENT, kind="unheard of", state=State.WAITING)), Verdict.OWED),
        (debts(SENT, replace(SENT, target="b", state=State.DROPPED)), Verdict.LEAVES),
        (debts(SENT, replace(SENT, target="b")), Verdict.UNPROVEN),
        (debts(SENT, replace(SENT, profile="research")), Verdict.UNPROVEN),
        (debts(SENT, replace(SENT, kind=Kind.INFER, target="model")), Verdict.LEAVES),
        (debts(SENT, replace(SENT, is_latest=False, target="b")), Verdict.UNPROVEN),
        (debts(SENT, Debt(Kind.FORWARD, State.DONE, False, "b", "", 4.0)), Verdict.LEAVES),
        (debts(replace(SENT, state=State.DROPPED)), Verdict.UNSENT),
        (debts(replace(SENT, kind=Kind.INFER)), Verdict.UNSENT),
        (debts(), Verdict.UNSENT),
        (holding(proofs=()), Verdict.UNPROVEN),
        (holding(conflict=True, intake=State.HELD), Verdict.HELD),
        (holding(conflict=True), Verdict.HELD),
        (holding(conflict=True, intake=State.DROPPED), Verdict.UNSENT),
        (holding(intake=State.RUNNING), Verdict.HELD),
        (holding(intake=State.DONE), Verdict.LEAVES),
    ],
)
def test_reasons_to_stay(series: Standing, expected: Verdict):
    """Only what each job that sends it has proven leaves; everything else has its reason."""
    assert verdict(series) is expected
    assert verdict(series, for_room=True) is expected


@pytest.mark.p2
@pytest.mark.parametrize(
    ("policy", "for_room", "expected"),
    [
        (Policy(), False, Verdict.YOUNG),
        (Policy(), True, Verdict.LEAVES),
        (Policy(keep_s=NOW - 20), False, Verdict.LEAVES),
        (Policy(keep_s=NOW - 19), False, Verdict.YOUNG),
        (Policy(keep_s=NOW - 19), True, Verdict.LEAVES),
        (Policy(keep_s=0, proof_s=NOW - 20), False, Verdict.LEAVES),
        (Policy(keep_s=0, proof_s=NOW - 21), False, Verdict.ASK),
        (Policy(proof_s=10), True, Verdict.ASK),
        (Policy(proof_s=10, trusted=frozenset({"a"})), True, Verdict.LEAVES),
        (Policy(proof_s=10, trusted=frozenset({"b"})), True, Verdict.ASK),
    ],
)
def test_when_it_is_time(policy: Policy, for_room: bool, expected: Verdict):
    """Age and room let go of what is proven; an old proof is asked for again first."""
    assert verdict(policy=policy, for_room=for_room) is expected


@pytest.mark.p2
@pytest.mark.parametrize(
    ("unsent_s", "expected"),
    [(None, Verdict.UNSENT), (NOW - 5, Verdict.LEAVES), (NOW, Verdict.YOUNG)],
)
def test_what_nothing_sends(unsent_s: float | None, expected: Verdict):
    """What no rule sends stays for good, unless an age is set for exactly that."""
    policy = Policy(keep_s=0, unsent_s=unsent_s)
    assert verdict(debts(), policy) is expected
    assert verdict(debts(), policy, for_room=True) is expected


@pytest.mark.p2
def test_a_word_is_no_proof():
    """Where nothing was read back at delivery, and nobody asked since, the destination is asked."""
    word = replace(PROVEN, proven_at=None)
    series = holding(proofs=(word,))
    assert verdict(series, Policy(keep_s=0, proof_s=1e9)) is Verdict.ASK
    assert verdict(series, Policy(keep_s=0)) is Verdict.LEAVES
    ahead = holding(proofs=(replace(PROVEN, proven_at=NOW + 60),))
    assert verdict(ahead, Policy(keep_s=0, proof_s=1e9)) is Verdict.ASK


STATES = st.sampled_from([*map(str, State)])
TARGETS = st.sampled_from(["a", "b"])
MADE_DEBTS = st.builds(
    Debt, st.sampled_from([*map(str, Kind)]), STATES, st.booleans(), TARGETS, st.just(""),
    st.floats(0, 20),
)  # fmt: skip
PROOFS = st.builds(Proof, TARGETS, st.just(""), st.floats(0, NOW), st.none() | st.floats(0, NOW))
HOLDINGS = st.builds(
    Holding, st.just(1), st.just("1.2"), st.just("d"), st.just(1), st.floats(0, 20),
    st.booleans(), st.just("") | STATES, st.lists(PROOFS),
)  # fmt: skip
STANDINGS = st.builds(
    Standing, st.booleans(), st.integers(0, 2), st.booleans(), st.booleans(),
    st.lists(MADE_DEBTS, max_size=4), st.tuples(HOLDINGS), st.booleans(),
)  # fmt: skip
TIMES = st.none() | st.floats(0, NOW)
POLICIES = st.builds(Policy, TIMES, st.none(), TIMES)


@pytest.mark.p2
@given(STANDINGS, POLICIES, st.booleans())
def test_nothing_leaves_unproven(series: Standing, policy: Policy, for_room: bool):
    """Whatever the books say: who leaves is kept by nobody, owed by nobody, and proven for each."""
    (one,) = series.holdings
    if judge(series, policy, NOW, for_room=for_room)[1] is not Verdict.LEAVES:
        return
    assert not any([series.open, series.pinned, series.legal_hold, series.unplanned])
    assert not one.conflict
    assert {debt.state for debt in series.debts} <= {State.DONE, State.DROPPED}
    assert one.intake in {"", State.DONE, State.DROPPED}
    wanted = needs(one, series)
    assert wanted
    for target, profile in wanted:
        proofs = [each for each in one.proofs if (each.target, each.profile) == (target, profile)]
        assert proofs
        if policy.proof_s is not None:
            newest = max(each.proven_at or 0 for each in proofs)
            assert newest >= NOW - policy.proof_s
