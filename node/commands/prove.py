"""`penumbra prove`: ask destinations afresh whether they hold what they were sent."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from node import moments
from node.options import config_option

if TYPE_CHECKING:  # their modules are loaded only when the command runs
    from node.proving import Proven
    from storage.ledger.paid import Owed

EXIT_MISSING: Final = 3
EXIT_UNKNOWN: Final = 1
_VERDICTS: Final = {True: "holds", False: "missing", None: "unknown"}


@click.command()
@click.argument("study", metavar="STUDY")
@config_option
@click.option("--each", is_flag=True, help="A line for each object, with digests.")
@click.option("--json", "as_json", is_flag=True, help="A JSON line for each object and debt.")
def command(study: str, config_file: Path, *, each: bool, as_json: bool) -> None:
    """Show where a study's objects came from and went, and ask there whether they still are.

    STUDY is a Study Instance UID, the original one or a new one. Folders and object stores are
    read again, byte for byte; a PACS is asked by C-FIND, a DICOMweb server by QIDO-RS. Nothing is
    sent. What is still owed is listed with its reason.

    Exit status 0: everything that was sent is there, and nothing is owed. 3: something is missing
    or has other bytes; send it again from the spool. 1: nothing is missing, but some destinations
    could not be asked, or jobs are not done.

    \b
    Examples:
      penumbra prove 1.2.840.99.1 -c node.toml
      penumbra prove 1.2.840.99.1 --json -c node.toml | jq 'select(.verdict != "holds")'
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from config.load import load
    from dicom.errors import DoesNotMatch
    from node.ledger import open_ledger
    from node.proving import prove

    settings = load(config_file, with_secrets=False)
    ledger = open_ledger(settings)
    try:
        payments = ledger.payments.of_study(study)
        owed = ledger.payments.owed(study)
        revisions = ledger.revisions.of_study(study)
    finally:
        ledger.close()
    if not payments and not owed:
        raise DoesNotMatch(f"nothing of study {study} was delivered or is owed here")
    proven = list(prove(payments, settings))
    if as_json:
        _print_json(proven, owed)
    else:
        click.echo(f"Study {study}")
        _print(proven, each=each)
        for uid, made in revisions.items():
            what = f"Series {uid}" if uid else "the Study"
            why = f"revision {made[-1].revision}, {made[-1].completion.words}"
            click.echo(f"complete: {what}, {why}")
        _print_verdict(proven, owed)
    verdicts = {one.proof.holds for one in proven}
    if False in verdicts:
        raise SystemExit(EXIT_MISSING)
    if None in verdicts or owed:
        raise SystemExit(EXIT_UNKNOWN)


def _facts(one: "Proven") -> dict[str, object]:
    paid, receipt = one.paid, one.paid.delivered.receipt
    return {
        "verdict": _VERDICTS[one.proof.holds],
        "words": one.proof.words,
        "destination": receipt.destination,
        "location": receipt.location,
        "sop_instance_uid": receipt.sop_instance_uid,
        "received_as": paid.sop_instance_uid,
        "calling_ae": paid.calling_ae,
        "association": paid.association,
        "received_at": moments.utc(paid.received_at),
        "sha256_received": receipt.source_digest,
        "rule": paid.rule,
        "profile": paid.profile,
        "job": paid.job,
        "attempt": paid.attempt,
        "attempts": paid.attempts,
        "size_bytes": receipt.size_bytes,
        "sha256_sent": receipt.digest_sent,
        "sha256_read_back": receipt.digest_read_back,
        "etag": receipt.etag,
        "proof": receipt.proof,
        "delivered_at": moments.utc(receipt.delivered_at),
        "sha256_now": one.proof.digest,
    }


def _print_json(proven: "Sequence[Proven]", owed: "Sequence[Owed]") -> None:
    import json
    from dataclasses import asdict

    for one in proven:
        click.echo(json.dumps(_facts(one)))
    for debt in owed:
        click.echo(json.dumps({"verdict": "owed", **asdict(debt)}))


def _print(proven: "Sequence[Proven]", *, each: bool) -> None:
    for (came, went, receipt, now), count in Counter(map(_chain, proven)).items():
        click.echo(
            f"  {count} object{'s' * (count != 1)} from {came}\n"
            f"    sent     to {went}\n"
            f"    receipt  {receipt}\n"
            f"    now      {now}"
        )
    for line in _lines(proven) if each else ():
        click.echo(line)


def _print_verdict(proven: "Sequence[Proven]", owed: "Sequence[Owed]") -> None:
    for debt in owed:
        words = f": {debt.words}" if debt.words else ""
        click.echo(f"owed: job {debt.job} ({debt.kind} to {debt.target}) is {debt.state}{words}")
    there = sum(one.proof.holds is True for one in proven)
    rest = f"{len(owed)} job{'s' * (len(owed) != 1)} owed" if owed else "nothing is owed"
    click.echo(f"{there} of {len(proven)} that were sent are there now; {rest}.")


def _chain(one: "Proven") -> tuple[str, str, str, str]:
    """Say how an object came, how it went, what was proven then, and what is there now."""
    paid, receipt = one.paid, one.paid.delivered.receipt
    profile = f", profile {paid.profile[:8]}" if paid.profile else ", as it is"
    came = f"{paid.calling_ae}, association {paid.association}"
    went = f"{receipt.destination} by rule '{paid.rule}', job {paid.job}{profile}"
    return came, went, receipt.proof, f"{_VERDICTS[one.proof.holds]}: {one.proof.words}"


def _lines(proven: "Sequence[Proven]") -> Iterator[str]:
    for one in proven:
        facts = _facts(one)
        profile = f", profile {facts['profile']}" if facts["profile"] else ", as it is"
        etag = f", ETag {facts['etag']}" if facts["etag"] else ""
        yield (
            f"{facts['verdict']:<8}{facts['location']}\n"
            f"  received  {facts['received_at']} from {facts['calling_ae']}, association"
            f" {facts['association']}, as {facts['received_as']}\n"
            f"            sha256 {facts['sha256_received']}\n"
            f"  sent      {facts['delivered_at']} as {facts['sop_instance_uid']}, rule"
            f" {facts['rule']}, job {facts['job']}, attempt {facts['attempt'] or 'unknown'}"
            f"{profile}\n"
            f"            sha256 {facts['sha256_sent']}\n"
            f"  receipt   {facts['proof']}{etag}\n"
            f"            sha256 {facts['sha256_read_back'] or 'not read back'}\n"
            f"  now       {facts['words']}\n"
            f"            sha256 {facts['sha256_now'] or 'not read'}"
        )
