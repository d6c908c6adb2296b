"""The table of worklist entries, part of the ledger's database.

It names patients: what is about to be done for whom. Nothing else in the ledger does.
"""

from sqlalchemy import JSON, Column, Float, Index, String, Table

from storage.ledger.schema import metadata

entries = Table(
    "worklist_entry",
    metadata,
    Column("id", String(64), primary_key=True),
    # "rest", "hl7" or "folder"; a folder is one of a node's.
    Column("source", String, nullable=False),
    Column("node", String, nullable=False, server_default=""),
    # Of a folder: SHA-256 of the file's name, and the state of the file that was read.
    Column("file", String(64), nullable=False, server_default=""),
    Column("mark", String, nullable=False, server_default=""),
    # Of an order: the numbers that placer and filler gave it.
    Column("placer", String, nullable=False, server_default=""),
    Column("filler", String, nullable=False, server_default=""),
    # What is asked for most, out of `item`.
    Column("step_id", String, nullable=False),
    Column("study_instance_uid", String(64), nullable=False),
    Column("patient_id", String, nullable=False),
    Column("accession_number", String, nullable=False),
    Column("start_date", String(8), nullable=False),
    Column("modality", String(16), nullable=False),
    # One AE title, or several with a backslash between them.
    Column("stations", String, nullable=False),
    Column("state", String(16), nullable=False),
    # SOP Instance UID of the performed procedure step that was last heard of.
    Column("performed_step", String(64), nullable=False, server_default=""),
    # Text and items by keyword, as dicom/worklist.py has them.
    Column("item", JSON, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    Index("worklist_by_day", "state", "start_date", "id"),
    Index("worklist_by_study", "study_instance_uid"),
    Index("worklist_by_patient", "patient_id"),
    Index("worklist_by_file", "source", "node", "file"),
    Index("worklist_by_placer", "placer"),
    Index("worklist_by_filler", "filler"),
    Index("worklist_by_step", "performed_step"),
)
