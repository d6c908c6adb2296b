"""Find the model that a command names."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded only when a command runs
    from config.models import Model


def chosen(config_file: Path, name: str) -> "Model":
    """Give [models.NAME] of a config file. Raises ConfigFault with the names that there are."""
    from config.load import load
    from config.words import unknown
    from dicom.errors import ConfigFault

    models = load(config_file, with_secrets=False).models
    if name not in models:
        raise ConfigFault([(f"models.{name}", unknown(name, list(models), "model"))])
    return models[name]
