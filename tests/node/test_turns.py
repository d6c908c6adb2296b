"""Work that grows with what a node holds takes no more than a share of its time."""

from node.turns import Turns


def test_who_worked_long_rests_long():
    """It is due at once at first, then after so many times what it took, or what is the least."""
    now = [100.0]
    turns = Turns(20, lambda: now[0])
    assert turns.is_due()
    turns.took(0.5)
    for now[0], due in ((109.9, False), (110.0, True)):
        assert turns.is_due() is due
    turns.took(0.5, least_s=600)
    for now[0], due in ((709.9, False), (710.0, True)):
        assert turns.is_due() is due
