"""`penumbra model check`: hold a model's contract against what its servers say."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.options import config_option
from node.tables import print_table

if TYPE_CHECKING:  # their modules are loaded only when the command runs
    from ai.checkup import Checked
    from ai.contract import Contract


@click.command("check")
@config_option
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each endpoint.")
def command(config_file: Path, name: str, *, as_json: bool) -> None:
    """Hold the contract of the model [models.NAME] against each of its servers.

    Asked is each endpoint, for the version in service and for those of shadow and split: whether
    it answers, whether the model is ready, and whether its tensors fit what config.pbtxt and
    node.toml say about them, with codes and units that the standard knows. Nothing is inferred.
    The exit status is 1 when any of it is not so; warnings leave it at 0.

    \b
    Examples:
      penumbra model check emphysema -c node.toml
      penumbra model check emphysema --json | jq .fault
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import sys

    from ai import checkup
    from node import logs
    from node.commands.of_model.chosen import chosen

    logs.configure("warning")
    settings = chosen(config_file, name)
    found = checkup.check(settings)
    if as_json:
        _print_json(found)
    else:
        _print(found, checkup.warnings(settings, found))
    if any(each.fault for each in found):
        sys.exit(1)


def _print_json(found: Sequence["Checked"]) -> None:
    import json

    for each in found:
        row = {
            "endpoint": each.endpoint,
            "role": each.role,
            "version": each.served.version if each.served else each.version,
            "server": each.served.server if each.served else "",
            "algorithm": each.contract.algorithm if each.contract else "",
            "fault": each.fault,
        }
        click.echo(json.dumps(row))


def _print(found: Sequence["Checked"], warnings: Sequence[str]) -> None:
    print_table(
        ("endpoint", "asked as", "version", "server", "contract"),
        [
            (
                each.endpoint,
                each.role,
                each.served.version if each.served else each.version or "newest",
                each.served.server if each.served else "-",
                "fits" if each.contract else "-" if each.served is None else "does not fit",
            )
            for each in found
        ],
    )
    contract = next((each.contract for each in found if each.contract), None)
    if contract is not None:
        _print_contract(contract)
    for each in found:
        if each.fault:
            click.echo(f"FAULT {each.endpoint}, {each.role}: {each.fault}")
    for words in warnings:
        click.echo(f"warning: {words}")


def _print_contract(contract: "Contract") -> None:
    procedure = contract.procedure
    click.echo(f"{contract.algorithm} {contract.algorithm_version}; reports {procedure.meaning}")
    click.echo(f"wants {', '.join(_wishes(contract))}")
    print_table(("tensor", "kind", "what"), _tensors(contract))


def _wishes(contract: "Contract") -> Iterator[str]:
    import math

    from ai.declared import STACKS

    wants = contract.wants
    yield wants.modality
    if any(each.kind in STACKS for each in contract.inputs):
        yield str(wants.orientation)
    yield f"{wants.min_slices} image{'' if wants.min_slices == 1 else 's'} or more"
    if math.isfinite(wants.max_spacing_mm):
        yield f"at most {wants.max_spacing_mm:g} mm apart"
    if wants.min_thickness_mm > 0 or math.isfinite(wants.max_thickness_mm):
        yield f"{wants.min_thickness_mm:g} to {wants.max_thickness_mm:g} mm thick"
    if wants.contrast != "any":
        yield f"contrast agent {wants.contrast}"
    if wants.kvp:
        yield f"{wants.kvp[0]:g} to {wants.kvp[1]:g} kV"
    if wants.body_parts:
        yield f"body part {' or '.join(wants.body_parts)}"
    if wants.views:
        yield f"view {' or '.join(wants.views)}"


def _tensors(contract: "Contract") -> Iterator[tuple[str, str, str]]:
    import math

    for each in contract.inputs:
        how = each.preparation
        words = [f"{each.datatype} {list(each.shape)}"]
        if each.keyword:
            words.append(each.keyword)
        words += [f'layout "{how.layout}"'] if how.layout else []
        words += [f"{list(how.spacing_mm)} mm"] if how.spacing_mm else []
        words += [f"size {list(how.size)}, {how.fit}"] if how.size else []
        words += [f"window {how.window[0]:g} to {how.window[1]:g}"] if how.window else []
        words += [f"normalise {how.normalise}"] if how.normalise != "none" else []
        yield each.name, f"in: {each.kind}", ", ".join(words)
    for output in contract.outputs:
        words = [
            each.name.meaning + ("" if output.kind == "mask" else f" from {each.threshold:g}")
            for each in output.classes
        ]
        words += ["exclusive"] if output.exclusive else []
        quantity = output.quantity
        if quantity is not None:
            bounded = math.isfinite(quantity.low) or math.isfinite(quantity.high)
            limits = f"{quantity.low:g} to {quantity.high:g}" if bounded else "no limits"
            words.append(f"{quantity.name.meaning} in {quantity.unit.value}, {limits}")
        elif output.title is not None:
            words.append(output.title.meaning)
        if output.aggregate != "each":
            words.append(f"{output.aggregate} of all items")
        yield output.name, f"out: {output.kind}", ", ".join(words)
