"""What the book tells of associations is what was true at one moment."""

import pytest

from node.admission import AssociationFacts
from node.associations import KEPT, AssociationBook
from node.conversation import Ending, Outcome


def close(book: AssociationBook, name: str, outcome: Outcome) -> None:
    facts = AssociationFacts(name, "CT1", "PENUMBRA", "127.0.0.1", 0.0)
    book.on_closed(facts, Ending(outcome, "", {}, 0, 0.0))


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_release_counts(outcome: Outcome):
    """An aborted or lost association is no sign of completeness, nor is one that is open."""
    book = AssociationBook()
    close(book, "a", outcome)
    assert book.closed().was_released("a") == (outcome is Outcome.RELEASED)
    assert not book.closed().was_released("still open, or of another life")


def test_a_view_does_not_show_what_ended_later():
    """The last Instances of an association that ended after the view may not be filed yet."""
    book = AssociationBook()
    before = book.closed()
    close(book, "a", Outcome.RELEASED)
    assert not before.was_released("a")
    assert book.closed().was_released("a")


def test_the_oldest_are_forgotten():
    """The book stays small; what it forgot settles by quiet time."""
    book = AssociationBook()
    for number in range(KEPT + 1):
        close(book, str(number), Outcome.RELEASED)
    assert not book.closed().was_released("0")
    assert book.closed().was_released(str(KEPT))
