"""Write reports of de-identification: signed JSON for programs, a page for people."""

import os
import time
from collections.abc import Collection, Iterable, Iterator
from importlib import metadata
from pathlib import Path

from config.model import Node
from deid.evidence import page, report, signature
from deid.evidence.facts import Study


def write_reports(
    studies: Iterable[Study],
    node: Node,
    out: Path,
    kinds: Collection[str],
    *,
    with_originals: bool = False,
) -> Iterator[Path]:
    """Write each study's report as "json", "html" or both, and name the files as they are written.

    Signed with the node's key. Raises OSError where they cannot be written.
    """
    key = node_key(node)
    out.mkdir(parents=True, exist_ok=True)
    for study in studies:
        made = report.build(
            study,
            made_at=time.time(),
            software=metadata.version("penumbra-node"),
            node=node.ae_title,
            with_originals=with_originals,
        )
        signed = signature.sign(made, key)
        contents = {"json": signed}
        if "html" in kinds:
            shown = page.render(made, signed, signature.key_id(key.public_key()))
            contents["html"] = shown.encode()
        for kind in kinds:
            file = out / f"evidence-{_name(study)}.{kind}"
            _save(file, contents[kind])
            yield file


def node_key(node: Node) -> signature.PrivateKey:
    """Give the key that signs the node's reports; made on first use."""
    node.data_dir.mkdir(parents=True, exist_ok=True)
    return signature.private_key(node.data_dir)


def _name(study: Study) -> str:
    """Name a report's files by what may travel: the new UID, or a number of the ledger."""
    uid = study.study_instance_uid or f"quarantined-{study.objects[0].number}"
    return f"{uid}-{study.profile[:8]}"


def _save(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
