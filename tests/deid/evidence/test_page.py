"""The page shows the report and nothing else: escaped, without scripts, in one file."""

import html.parser
import re

import pytest

from deid.evidence.facts import Account
from deid.evidence.page import render
from deid.evidence.report import build
from deid.evidence.signature import canonical

MADE = {"made_at": 0.0, "software": "0.1.0", "node": "PENUMBRA"}
VOID = {"meta"}


class Structure(html.parser.HTMLParser):
    """Tells whether tags close in order, and collects them with the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID | {"br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def page_of(study, **more):
    report = build(study, **MADE, **more)
    return render(report, canonical(report), "k" * 32)


def read(page: str) -> Structure:
    structure = Structure()
    structure.feed(page)
    assert structure.open == []
    return structure


def test_the_page_is_whole_and_fetches_nothing(make_study):
    """Every tag is closed; there is no script, no link, no image, no address to fetch."""
    page = page_of(make_study())
    found = read(page)
    assert not found.tags & {"script", "link", "img", "iframe", "object", "form", "a"}
    assert not found.attributes & {"src", "href", "onclick", "style"}
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.parametrize(
    "words",
    [
        "Quarantined: 1 of 4 objects.", "Removed (2)", "Shifted (1)", "Kept (1)",
        "Referenced Image Sequence > Referenced SOP Instance UID", "modified-dates",
        "for follow-up", "dose <models>", "self-check: (0008,0070) holds a name",
        "s3://lake/2.25.9/1.dcm", "not delivered", "burned-in text was not looked for",
        "(0020,000D) is no valid UID", "What this does not prove", "k" * 32, "f" * 64,
        "Earlier outcomes",
    ],
)  # fmt: skip
def test_the_page_says_what_the_report_does(make_study, words):
    """Counts, actions, reasons, quarantine, deliveries, limits and the key are on the page."""
    text = " ".join(read(page_of(make_study())).words)
    assert words in text


def test_a_study_without_quarantine_says_so(make_study):
    """Where every object passed, the verdict is good."""
    study = make_study()
    page = page_of(make_study(objects=study.objects[:2]))
    assert "All 2 objects passed the self-check." in page
    assert 'class="verdict bad"' not in page


def test_private_elements_of_a_group_share_a_line(make_study):
    """Dozens of private elements are one line with their number; the report holds each."""
    account = Account(tuple((f"(0019,10{number:02X})", "X") for number in range(40)))
    study = make_study(accounts={"plain": account, "none": Account(()), "other": account})
    page = page_of(study)
    assert "private elements: 40" in page
    assert page.count("(0019,") == 1


EVIL = "</td><script>alert('x')</script>&\"$body"


def test_everything_is_escaped(make_study):
    """Words of sites, peers and objects never become markup or placeholders."""
    study = make_study()
    first, _, bad, _ = study.objects
    from dataclasses import replace

    evil = make_study(
        study_instance_uid=EVIL,
        description={
            **study.description,
            "name": EVIL,
            "base": EVIL,
            "options": [EVIL],
            "exceptions": [{"tag": EVIL, "action": EVIL, "reason": EVIL}],
        },
        accounts={"plain": Account(((EVIL, "X"), (EVIL, f"remark: {EVIL}")), (EVIL,), (EVIL,))},
        objects=(
            replace(
                first,
                sop_instance_uid=EVIL,
                patient_pseudonym=EVIL,
                rule=EVIL,
                deliveries=(replace(first.deliveries[0], destination=EVIL, location=EVIL),),
            ),
            replace(bad, account="plain", reason=EVIL, rule=EVIL),
        ),
        overruled=(replace(bad, account="plain", reason=EVIL),),
    )
    for more in ({}, {"with_originals": True}):
        page = page_of(evil, **more)
        assert "<script" not in page
        assert "script" not in read(page).tags
        assert page.count("<body>") == 1


@pytest.mark.p6
def test_original_uids_are_shown_only_when_asked_for(make_study):
    """The page of a report for outside holds no original UID."""
    assert "1.2.840.77777" not in page_of(make_study())
    inside = page_of(make_study(), with_originals=True)
    assert "1.2.840.77777.1.3" in inside
    assert re.search(r'class="verdict note">This report\s+holds original UIDs', inside)
