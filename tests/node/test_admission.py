"""Admission: deny by default, with the reason of the standard and words that name the fix."""

import pytest

from node.admission import Accept, AssociationRequest, Reject, decide, may


def ask(calling="SCANNER", called="PENUMBRA", open_associations=0):
    return AssociationRequest(calling, called, "10.0.0.9", open_associations)


@pytest.mark.parametrize(
    ("request_", "node", "answer"),
    [
        (ask(), {}, None),
        (ask("  SCANNER  ", "PENUMBRA   "), {}, None),
        (ask("STRANGER"), {}, (1, 1, 3)),
        (ask("scanner"), {}, (1, 1, 3)),
        (ask(""), {}, (1, 1, 3)),
        (ask("STRANGER"), {"accept_unknown_callers": True}, None),
        (ask(called="OTHER"), {}, (1, 1, 7)),
        (ask("STRANGER", "OTHER"), {"accept_unknown_callers": True}, (1, 1, 7)),
        (ask("STRANGER", "OTHER"), {}, (1, 1, 3)),
        (ask(open_associations=99), {}, None),
        (ask(open_associations=100), {}, (2, 3, 2)),
        (ask(open_associations=1), {"max_associations": 1}, (2, 3, 2)),
        (ask("STRANGER", open_associations=100), {}, (1, 1, 3)),
    ],
)
def test_verdicts(make_settings, request_, node, answer):
    """Each request gets the result, source and reason of PS3.8 9.3.4."""
    verdict = decide(request_, make_settings(**node))
    if answer is None:
        assert verdict == Accept()
    else:
        assert isinstance(verdict, Reject)
        assert (verdict.result, verdict.source, verdict.reason) == answer


@pytest.mark.parametrize(
    ("request_", "in_words", "in_fix"),
    [
        (ask("STRANGER"), "STRANGER", "[peers.STRANGER]"),
        (ask(called="OTHER"), "OTHER", "ae_title"),
        (ask(open_associations=100), "100", "max_associations"),
    ],
)
def test_words_name_the_cause_and_the_setting_that_mends_it(
    make_settings, request_, in_words, in_fix
):
    """A rejection tells an administrator what to change."""
    verdict = decide(request_, make_settings())
    assert isinstance(verdict, Reject)
    assert in_words in verdict.words
    assert in_fix in verdict.fix


@pytest.mark.parametrize(
    ("calling", "permission", "unknown", "allowed"),
    [
        ("SCANNER", "store", False, True),
        ("SCANNER ", "find", False, True),
        ("SCANNER", "move", False, False),
        ("NOSTORE", "store", False, False),
        ("NOSTORE", "store", True, False),
        ("STRANGER", "store", False, False),
        ("STRANGER", "store", True, True),
        ("STRANGER", "find", True, False),
        ("STRANGER", "move", True, False),
        ("STRANGER", "get", True, False),
        ("STRANGER", "commit", True, False),
    ],
)
def test_permissions(make_settings, calling, permission, unknown, allowed):
    """A peer may what its table says; an unknown caller may store at most."""
    settings = make_settings(accept_unknown_callers=unknown)
    assert may(settings, calling, permission) is allowed
