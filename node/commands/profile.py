"""`penumbra profile`: say in words what a de-identification profile does."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.options import config_option

if TYPE_CHECKING:
    from config.profiles import Profile as ProfileSettings


@click.group()
def command() -> None:
    """Show what happens to each attribute under a profile, and why.

    For whoever has to sign a profile: nothing is read but the config file, no key is needed, and
    no object is touched.
    """


@command.command()
@click.argument("name")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text for people, JSON for comparing and keeping.",
)
@click.option(
    "--changed",
    is_flag=True,
    help="Only attributes where an option, the profile or the site departs from the table.",
)
@config_option
def show(name: str, form: str, *, changed: bool, config_file: Path) -> None:
    """Show a profile: options with their reasons, then every attribute by what happens to it.

    NAME is a profile of the config file, or one that is shipped: basic, teaching, trial,
    research. The config file is not needed for a shipped one.

    \b
    Example:
      penumbra profile show research --changed
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import json

    from deid import explain
    from deid.profile import rules_and_digest

    settings, title = find(name, config_file)
    rules, digest = rules_and_digest(title, settings)
    found = list(explain.lines(rules, changed=changed))
    head = explain.head(title, rules, settings, digest)
    if form == "json":
        data = {
            **head,
            "attributes": explain.as_data(found),
            "unlisted": [{"what": what, "words": words} for what, words in explain.unlisted(rules)],
        }
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    for key, value in head.items():
        if key == "options" and isinstance(value, list):
            click.echo("options:" if value else "options: none")
            for option in value:
                click.echo(f"  {option['name']} ({option['code']}): {option['reason']}")
        elif value not in ("", [], False):
            shown = ", ".join(value) if isinstance(value, list) else value
            click.echo(f"{key.replace('_', ' ')}: {shown}")
    for heading, inside in explain.sections(found):
        click.echo(f"\n{heading} ({len(inside)})")
        for line in inside:
            click.echo(f"  {line.tag} {line.name}: {line.words}")
            if line.reason:
                click.echo(f"      {line.by}: {line.reason}")
    click.echo("\nEverything else")
    for what, words in explain.unlisted(rules):
        click.echo(f"  {what}: {words}")


@command.command()
@click.argument("first")
@click.argument("second")
@config_option
def diff(first: str, second: str, config_file: Path) -> None:
    """Show each attribute that two profiles treat otherwise.

    FIRST and SECOND are profiles of the config file or shipped ones. The exit status is 0 when
    they treat every attribute alike, 1 when they do not.

    \b
    Example:
      penumbra profile diff basic research
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from deid import explain
    from deid.profile import rules_and_digest

    one, two = (
        rules_and_digest(title, settings)
        for settings, title in (find(name, config_file) for name in (first, second))
    )
    lost = sorted(set(one[0].options) - set(two[0].options))
    won = sorted(set(two[0].options) - set(one[0].options))
    found = list(explain.differences(one[0], two[0]))
    for option in lost:
        click.echo(f"- {option}")
    for option in won:
        click.echo(f"+ {option}")
    for each in found:
        click.echo(f"{each.tag} {each.name}\n  - {each.first}\n  + {each.second}")
    if one[1] == two[1]:
        click.echo("no difference")
        return
    click.echo(f"{len(found)} attributes differ")
    raise SystemExit(1)


def find(name: str, config_file: Path) -> "tuple[ProfileSettings, str]":
    """Find a profile's settings in the config file, or among the shipped ones.

    Raises ConfigFault when there is none of this name.
    """
    from config.load import load
    from config.profiles import Profile
    from config.shapes import Secret
    from deid.bases import names
    from dicom.errors import ConfigFault

    known: list[str] = []
    if config_file.exists() or name not in names():
        profiles = load(config_file, with_secrets=False).profiles
        known = sorted(profiles)
        if name in profiles:
            return profiles[name], name
    if name in names():
        settings = {"base": name, "key": Secret(env="UNUSED")}
        return Profile.model_validate(settings), name
    words = f"there is no profile of this name; there are: {', '.join([*known, *names()])}"
    raise ConfigFault([(f"profiles.{name}", words)])
