"""docs/operations.md tells of each fault in three parts, and a test survives each fault."""

import importlib
import re
import shlex

import click
import pytest

PAGE = "docs/operations.md"
PARTS = ["What happened.", "What the node did.", "What you do."]
HEADER = "| what happened | what the node did | what you do |"
SURVIVED = {
    "kill -9 of a worker": "tests/e2e/test_kill.py::test_workers_are_killed",
    "kill -9 of the front": "tests/e2e/test_kill.py::test_the_front_is_killed",
    "kill -9 of SeaweedFS": (
        "tests/e2e/test_moody_bucket.py::test_a_bucket_is_killed_in_mid_transfer"
    ),
    "kill -9 of PostgreSQL": (
        "tests/e2e/test_postgres.py::test_a_killed_server_costs_nobody_anything"
    ),
    "kill -9 of the PACS": "tests/e2e/test_pacs_dies.py::test_a_pacs_is_killed_in_mid_transfer",
    "a bucket: 403, 503, wrong checksums": (
        "tests/e2e/test_moody_bucket.py::test_a_moody_bucket_gets_everything_once"
    ),
    "a PACS: contexts, the 50th object": (
        "tests/e2e/test_pacs_dies.py::test_a_pacs_takes_no_contexts_and_then_aborts_at_the_50th"
    ),
    "a PACS: 0xA700, a hang": (
        "tests/e2e/test_moody_pacs.py::test_a_moody_pacs_gets_everything_once"
    ),
    "a network cut": ("tests/e2e/test_cut_network.py::test_the_network_is_cut_in_mid_transfer"),
    "the clock jumps": "tests/e2e/test_clock.py::test_the_clock_jumps_by_days",
    "two workers claim at once": (
        "tests/storage/ledger/test_jobs.py::test_two_workers_never_get_the_same_job"
    ),
    "a config change": (
        "tests/e2e/test_config_change.py::test_a_destination_is_renamed_while_a_job_waits_for_it"
    ),
    "the same study, and one object changed": (
        "tests/e2e/test_twice.py::test_a_study_sent_again_and_again_with_one_object_changed"
    ),
}
"""What nothing may be lost by, and nothing sent twice: each fault with the test that shows it."""


def sections(page):
    """Give the sections about faults by their headings."""
    chapter = page.split("\n## When something goes wrong\n")[1]
    first, *rest = re.split(r"^### ", chapter, flags=re.MULTILINE)
    return first, dict(part.split("\n", 1) for part in rest)


def anchor(heading):
    """Name a heading as links do."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def headings(document):
    """List the anchors of a document."""
    prose = re.sub(r"```.*?```", "", document, flags=re.DOTALL)
    return {anchor(one) for one in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


def is_whole(section):
    """Whether a section says what happened, what the node did, and what to do, in this order."""
    return re.findall(r"^\*\*([^*]+)\*\*", section, re.MULTILINE) == PARTS or HEADER in section


def shell_lines(document):
    """List the lines of a document's shell blocks that run `penumbra`."""
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("penumbra ")]


def unknown_words(line):
    """Parse a command line as far as its options go; raise click's error, or give what is over."""
    words = shlex.split(line, comments=True)[1:]
    words = words[: words.index("|")] if "|" in words else words
    command = importlib.import_module(f"node.commands.{words.pop(0)}").command
    if isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    return command.make_parser(click.Context(command)).parse_args(words)[1]


def test_each_fault_is_told_in_three_parts(documents):
    """What happened, what the node did, what you do: in prose or in a table, nothing left out."""
    _, found = sections(documents[PAGE])
    assert len(found) >= len(SURVIVED)
    assert [title for title, text in found.items() if not is_whole(text)] == []


def test_the_table_of_faults_names_every_section(documents):
    """Who looks for a fault finds its section from the top of the chapter."""
    table, found = sections(documents[PAGE])
    assert {anchor(title) for title in found} <= set(re.findall(r"\(#([\w-]+)\)", table))


def test_links_lead_to_headings(documents, root):
    """Every link to a part of a document leads to a heading that is there."""
    for path, text in documents.items():
        for target, fragment in re.findall(r"\]\(([\w./-]*\.md|)#([\w-]+)\)", text):
            there = ((root / path).parent / target).read_text() if target else text
            assert fragment in headings(there), f"{path} links to {target}#{fragment}"


def test_commands_of_shell_blocks_parse(documents):
    """Who copies a command line hears of no option that is not there."""
    lines = [(path, line) for path, text in documents.items() for line in shell_lines(text)]
    assert len(lines) > 5
    for path, line in lines:
        assert unknown_words(line) == [], f"{path}: {line}"


@pytest.mark.parametrize("fault", SURVIVED)
def test_each_fault_is_survived_by_a_test(root, fault):
    """The test that survives a fault is there by its name."""
    path, _, name = SURVIVED[fault].partition("::")
    assert f"def {name}(" in (root / path).read_text()


def test_the_readers_of_operations_can_fail():
    """Half a section, an option that is not there and a heading with marks are seen as such."""
    assert not is_whole("**What happened.** x\n\n**What you do.** y\n")
    assert anchor("A PACS refuses, or is `away`") == "a-pacs-refuses-or-is-away"
    assert shell_lines("```sh\npenumbra a \\\n  b\necho\n```\n") == ["penumbra a    b"]
    assert unknown_words("penumbra held --target lake | jq .x") == []
    with pytest.raises(click.NoSuchOption):
        unknown_words("penumbra held --nothing")
