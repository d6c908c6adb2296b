"""Open the vault that the config file names, with its keys, and say who asks it."""

from config import secrets
from config.model import Settings
from config.shapes import Secret
from deid.pseudonym import read_key
from deid.vault.audit import LONGEST_PURPOSE, Asker
from deid.vault.sealing import VaultKey, VaultKeys
from deid.vault.vault import Vault
from dicom.errors import ConfigFault
from node import person
from node.ledger import server
from storage.vault.store import VaultStore


def open_vault(settings: Settings, *, existing: bool = False) -> Vault:
    """Open the vault, in the data directory or on a server; make it unless it must exist.

    Raises ConfigFault without a [vault] or a usable key, StorageFault or Corrupt for the file.
    """
    keys = vault_keys(settings)
    opening = VaultStore.open_existing if existing else VaultStore.open
    assert settings.vault is not None  # it has keys
    there = server("vault", settings.vault.url, settings.vault.password)
    store = opening(settings.node.data_dir, there)
    return Vault(store.rows, store.trail, keys)


def vault_keys(settings: Settings) -> VaultKeys:
    """Read the keys that [vault] names. Raises ConfigFault with the faults of all of them."""
    if settings.vault is None:
        words = "is not in the config file: make a key with `penumbra key new vault.key`, and name"
        raise ConfigFault([("vault", words + ' it as [vault] key = { file = "vault.key" }')])
    problems: list[tuple[str, str]] = []
    current = _read("vault.key", settings.vault.key, problems)
    older = [
        _read(f"vault.old_keys[{i}]", secret, problems)
        for i, secret in enumerate(settings.vault.old_keys)
    ]
    for name, profile in settings.profiles.items():
        if profile.key == settings.vault.key or (current and _key_id(profile.key) == current.id):
            words = f"is also the key of the profile {name}: make one of its own, so that who links"
            problems.append(("vault.key", words + " pseudonyms cannot open the vault"))
    if problems or current is None:
        raise ConfigFault(problems)
    return VaultKeys(current, [key for key in older if key is not None])


def this_user(purpose: str) -> Asker:
    """Name who runs this process: its user, and behind sudo who logged in."""
    return Asker(person.running_this(), purpose)


def this_job(job_id: int, rule: str) -> Asker:
    """Name a worker's job that asks because a rule says so."""
    purpose = "".join(c if c.isprintable() else "?" for c in f"rule {rule}")
    return Asker(f"job {job_id}", purpose[:LONGEST_PURPOSE])


def _read(place: str, secret: Secret, problems: list[tuple[str, str]]) -> VaultKey | None:
    try:
        return VaultKey(read_key(secrets.read(secret)))
    except ConfigFault as fault:
        problems += [(place, words) for _, words in fault.problems]
    except ValueError as fault:
        problems.append((place, str(fault)))
    return None


def _key_id(secret: Secret) -> str:
    """Name another secret as if it were a vault key; "" where this user cannot read it."""
    key = _read("", secret, [])
    return "" if key is None else key.id
