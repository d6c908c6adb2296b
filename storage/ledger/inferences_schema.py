"""The tables of what models were asked, and of which versions there are, part of the ledger."""

from typing import Final

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, String, Table

from storage.ledger.schema import Number, metadata

inferences: Final = Table(
    "inference",
    metadata,
    Column("id", Number, primary_key=True),
    Column("job", Number, nullable=False),
    Column("node", String, nullable=False, server_default=""),
    # The model by its name in the config, then what the server calls it.
    Column("model", String, nullable=False),
    Column("served_model", String, nullable=False),
    Column("version", String, nullable=False),
    # SHA-256 of the model as it was registered or as it declares itself; empty where nobody says.
    Column("digest", String(64), nullable=False),
    # Live, or a shadow; and the id of the live inference beside which a shadow was asked.
    Column("stage", String, nullable=False),
    Column("beside", Number),
    Column("server", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("study_instance_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("rule", String, nullable=False),
    # Found, nothing, refused or failed; and why.
    Column("outcome", String, nullable=False),
    Column("words", String, nullable=False),
    Column("images", Integer, nullable=False),
    Column("is_cached", Boolean, nullable=False),
    # SHA-256 of what the model was given.
    Column("input_digest", String(64), nullable=False),
    # What made the images, and how: what drift is watched by.
    Column("scanner", String, nullable=False),
    Column("protocol", String, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("read_s", Float, nullable=False),
    Column("model_s", Float, nullable=False),
    Column("report_s", Float, nullable=False),
    # Numbers by the names of outputs: {"lung_volume_ml": 5123.4}.
    Column("outputs", JSON, nullable=False),
    # Numbers that say what the input was like: {"mean": -512.0}; those of an embedding too.
    Column("features", JSON, nullable=False),
    # SOP Instance UIDs of what was made, by kind: {"sr": ["1.2..."]}.
    Column("results", JSON, nullable=False),
    Index("inference_by_model", "model", "version", "id"),
    Index("inference_by_series", "study_instance_uid", "series_instance_uid"),
)

model_versions: Final = Table(
    "model_version",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("stage", String, nullable=False),
    Column("algorithm", String, nullable=False),
    # Where it came from, in words: a file, an MLflow run, first seen on a server.
    Column("source", String, nullable=False),
    Column("added_at", Float, nullable=False),
    Column("added_by", String, nullable=False),
)

model_moves: Final = Table(
    "model_move",
    metadata,
    Column("id", Number, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    # Empty for one that is new.
    Column("before", String, nullable=False),
    Column("after", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Float, nullable=False),
    Index("model_move_by_model", "model", "id"),
)
