"""Those of `penumbra model` that are about versions, from `list` to `agreement`."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.options import config_option
from node.tables import print_table

if TYPE_CHECKING:  # their modules are loaded only when a command runs
    from node.models import Models, Watched
    from storage.ledger.models import Decision, Version

STAGES: Final = ("candidate", "shadow", "live", "retired")
"""storage.ledger.models.Stage's, without what it takes to import that."""
name_argument = click.argument("name", metavar="NAME")
reason_option = click.option("--reason", required=True, help="Why; it is kept on record.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")


@click.command("list")
@config_option
@click.argument("name", metavar="[NAME]", required=False, default="")
@json_option
def list_versions(config_file: Path, name: str, *, as_json: bool) -> None:
    """List the registered versions of the model NAME, or of all models.

    A model of which no version is registered is asked for the version that [models.NAME] names, or
    for its server's newest. Once one is live here, that one is asked, and shadows beside it.

    \b
    Example:
      penumbra model list lungs -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    with _models(config_file) as models:
        versions = models.versions(name)
    if as_json:
        from node.models import plain_version

        _print_json([plain_version(one) for one in versions])
        return
    _print_rows(
        ("model", "version", "stage", "sha256", "added", "source"), [_row(one) for one in versions]
    )


@click.command()
@config_option
@name_argument
@click.argument("version")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The model's file, such as model.onnx: its SHA-256 is kept.",
)
@click.option("--source", default="by hand", help="Where it comes from, in words.")
def register(config_file: Path, name: str, version: str, *, file: Path | None, source: str) -> None:
    """Note that the model NAME has VERSION, as a candidate: nothing asks it yet.

    A version's number stands for one file for ever: another file under the same number is refused.

    \b
    Example:
      penumbra model register lungs 3 --file models/ct_lungs/3/model.onnx -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    with _models(config_file) as models:
        is_new = models.register(_candidate(name, version, file, source))
    click.echo(f"{name} version {version} is {'a candidate' if is_new else 'registered already'}.")


@click.command("import")
@config_option
@name_argument
@click.argument("version")
@click.option("--mlflow", "server", required=True, help="MLflow's tracking server, as a URL.")
@click.option("--registered", required=True, help="The model's name in MLflow's registry.")
@click.option(
    "--repository",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The model's folder in Triton's repository; it gets VERSION/model.onnx.",
)
def import_version(
    config_file: Path, name: str, version: str, *, server: str, registered: str, repository: Path
) -> None:
    """Take VERSION of a model out of MLflow's registry, and register it as a candidate of NAME.

    Needs MLflow: pip install "penumbra-node[mlflow]".

    \b
    Example:
      penumbra model import lungs 3 --mlflow https://mlflow.example.org --registered ct-lungs \\
        --repository models/ct_lungs -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from node.imported_models import fetch

    with _models(config_file) as models:
        models.versions(name)  # a name that the config does not have is told before any work
        imported = fetch(server, registered, version, repository / version)
        is_new = models.register(_candidate(name, version, imported.file, imported.source))
    click.echo(f"{imported.file} is {'a candidate' if is_new else 'registered already'}.")


@click.command()
@config_option
@name_argument
@click.argument("version")
@click.option(
    "--to",
    "stage",
    type=click.Choice(STAGES),
    default="live",
    show_default=True,
    help="A shadow is asked beside the live version, and its answers go nowhere.",
)
@reason_option
def promote(config_file: Path, name: str, version: str, *, stage: str, reason: str) -> None:
    """Make VERSION of the model NAME the one that is asked, or bring it to another stage.

    The version that was live before is retired. It counts from the next job on, in every worker.

    \b
    Examples:
      penumbra model promote lungs 3 --to shadow --reason "new training data" -c node.toml
      penumbra model promote lungs 3 --reason "agrees over 500 scans" -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from storage.ledger.models import Stage

    with _models(config_file) as models:
        made = models.move(name, version, Stage(stage), _decision(reason))
    click.echo(f"{name} version {made.version} is {made.stage}.")


@click.command()
@config_option
@name_argument
@reason_option
def rollback(config_file: Path, name: str, *, reason: str) -> None:
    """Bring back the version of the model NAME that was live before.

    \b
    Example:
      penumbra model rollback lungs --reason "misses small nodules" -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    with _models(config_file) as models:
        made = models.rollback(name, _decision(reason))
    click.echo(f"{name} version {made.version} is {made.stage}.")


@click.command()
@config_option
@name_argument
@json_option
def history(config_file: Path, name: str, *, as_json: bool) -> None:
    """Say who brought which version of the model NAME to which stage, when and why.

    \b
    Example:
      penumbra model history lungs -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from node.moments import utc

    with _models(config_file) as models:
        moves = models.moves(name)
    if as_json:
        from node.models import plain_move

        _print_json([plain_move(one) for one in moves])
        return
    rows = [
        (utc(one.at), one.version, one.before or "-", one.after, one.by, one.reason)
        for one in moves
    ]
    _print_rows(("when", "version", "from", "to", "by", "why"), rows)


@click.command()
@config_option
@name_argument
@json_option
def drift(config_file: Path, name: str, *, as_json: bool) -> None:
    """Say whether what the model NAME is given, or says, has moved, for each scanner's protocol.

    The newest 100 inferences of a version are held against its first 200, by the population
    stability index (PSI): below 0.1 nothing has moved, above 0.25 look into it. Such an alarm is
    also an event, penumbra.model.drifted.

    \b
    Example:
      penumbra model drift lungs -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    with _models(config_file) as models:
        groups = models.drifts(name)
    if as_json:
        from node.models import plain_watched

        _print_json([plain_watched(one) for one in groups])
        return
    heads = ("version", "scanner", "protocol", "newer", "moved most", "PSI", "then", "now")
    _print_rows(heads, [_moved(one) for one in groups])


@click.command()
@config_option
@name_argument
@json_option
def agreement(config_file: Path, name: str, *, as_json: bool) -> None:
    """Say how far shadow versions of the model NAME agree with the live one beside them.

    Of each number: the mean of shadow less live, and the limits of agreement (Bland and Altman).

    \b
    Example:
      penumbra model agreement lungs -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from dataclasses import asdict

    with _models(config_file) as models:
        found = models.agreements(name)
    if as_json:
        _print_json({version: [asdict(one) for one in rows] for version, rows in found.items()})
        return
    rows = [
        (version, one.output, one.pairs, f"{one.bias:.4g}", f"{one.low:.4g} to {one.high:.4g}")
        for version, each in found.items()
        for one in each
    ]
    _print_rows(("shadow", "output", "pairs", "bias", "95 % limits"), rows)


COMMANDS: Final = (
    list_versions,
    register,
    import_version,
    promote,
    rollback,
    history,
    drift,
    agreement,
)


@contextmanager
def _models(config_file: Path) -> Iterator["Models"]:
    from config.load import load
    from node.ledger import open_ledger
    from node.models import Models

    settings = load(config_file, with_secrets=False)
    with closing(open_ledger(settings)) as ledger:
        yield Models(settings, ledger)


def _candidate(name: str, version: str, file: Path | None, source: str) -> "Version":
    import time

    from node import person
    from node.models import digest_of
    from storage.ledger.models import Stage, Version

    digest, who = digest_of(file) if file else "", person.running_this()
    return Version(name, version, digest, Stage.CANDIDATE, "", source, time.time(), who)


def _decision(reason: str) -> "Decision":
    import time

    from node import person
    from storage.ledger.models import Decision

    return Decision(person.running_this(), reason, time.time())


def _row(one: "Version") -> tuple[object, ...]:
    from node.moments import utc

    added = utc(one.added_at)
    return one.model, one.version, one.stage, one.digest[:12] or "-", added, one.source


def _moved(one: "Watched") -> tuple[object, ...]:
    who = (one.group.version, one.group.scanner or "-", one.group.protocol or "-", one.newer)
    if not one.drifts:
        return (*who, "too few to say", "-", "-", "-")
    worst = one.drifts[0]
    return (*who, worst.name, f"{worst.psi:.2f}", f"{worst.then:.4g}", f"{worst.now:.4g}")


def _print_rows(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        print_table(titles, rows)
    else:
        click.echo("none")


def _print_json(said: Any) -> None:
    import json

    click.echo(json.dumps(said))
