"""Hold a model's contract against what each of its servers says, one by one."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ai import connections, declared
from ai.contract import Contract, Output, OutputKind, Served
from ai.endpoint import Endpoint
from ai.pool import shadow_of
from config.models import Model
from dicom.errors import InferenceFault

_LIVE, _SHADOW = "live", "shadow"


@dataclass(frozen=True, slots=True)
class Checked:
    """One version of the model on one endpoint."""

    endpoint: str
    role: str
    """"live", "shadow", or which part of a split it is."""
    version: str
    """The wanted one; "" for the newest."""
    served: Served | None
    """None where the endpoint did not say what it serves."""
    contract: Contract | None
    """None where there is no usable one."""
    fault: str = ""
    """Why not, in words that say what to do."""


def check(settings: Model) -> tuple[Checked, ...]:
    """Ask every endpoint about every version that is asked in service. Nothing is inferred.

    Raises ConfigFault for a secret or a TLS file that cannot be used.
    """
    return asyncio.run(_check(settings))


def warnings(settings: Model, found: Sequence[Checked]) -> list[str]:
    """Say what works and is not wise all the same."""
    said = []
    for role in dict.fromkeys(each.role for each in found):
        versions = {
            each.served.version for each in found if each.served is not None and each.role == role
        }
        if len(versions) > 1:
            listed = ", ".join(sorted(versions))
            words = "each Series is asked of those with the newest alone"
            said.append(f"the endpoints serve versions {listed} as {role}: {words}")
    contract = next((each.contract for each in found if each.contract), None)
    if contract is not None:
        said += _unknown_modality(contract.wants.modality)
        said += [words for output in contract.outputs if (words := _unwise(output))]
        if not any(output.kind is OutputKind.REFUSAL for output in contract.outputs):
            words = "the model cannot refuse what it is not made for"
            said.append(f"no output is a refusal: {words}, so let [rules] and wants be strict")
    if len(settings.endpoints) == 1:
        said.append("there is one endpoint: while it is down, jobs wait")
    return said


def _unknown_modality(modality: str) -> list[str]:
    from pydicom.sr.codedict import codes  # it brings the whole terminology along

    if modality in {code.value for code in codes.cid29.concepts.values()}:
        return []
    return [f"wants.modality is {modality}, and the standard has no such modality (CID 29)"]


def _unwise(output: Output) -> str:
    limits = (output.quantity.low, output.quantity.high) if output.quantity else ()
    if output.kind is OutputKind.MEASUREMENT and all(map(math.isinf, limits)):
        return f"output {output.name} has no low and high: any number would be reported"
    return ""


async def _check(settings: Model) -> tuple[Checked, ...]:
    asked = [(_LIVE, settings, settings.version)]
    asked += [(f"split {version}", settings, version) for version in settings.split]
    if settings.shadow is not None:
        asked.append((_SHADOW, shadow_of(settings), settings.shadow.version))
    endpoints = [connections.connect(key) for key in connections.keys(settings)]
    try:
        return tuple(
            await asyncio.gather(
                *(
                    _one(endpoint, role, its, version)
                    for role, its, version in asked
                    for endpoint in endpoints
                )
            )
        )
    finally:
        for endpoint in endpoints:
            await endpoint.close()


async def _one(endpoint: Endpoint, role: str, settings: Model, version: str) -> Checked:
    address = endpoint.address
    try:
        served = await endpoint.describe(settings.model, version)
    except InferenceFault as fault:
        return Checked(address, role, version, None, None, str(fault))
    try:
        contract = declared.read(served, settings)
    except InferenceFault as fault:
        return Checked(address, role, version, served, None, str(fault))
    return Checked(address, role, version, served, contract)
