"""Imports go down only, and no two modules import each other."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

MAY_IMPORT = {
    "dicom": set(),
    "config": {"dicom"},
    "routing": {"config", "dicom"},
    "deid": {"config", "dicom"},
    "ai": {"config", "dicom"},
    "storage": {"routing", "config", "dicom"},
    "node": {"storage", "routing", "deid", "ai", "config", "dicom"},
}
"""What each package may import beside itself (docs/decisions/0001). Tests and examples import
what they like; nothing of the product imports them."""

OURS = {*MAY_IMPORT, "bench", "examples", "tests"}


def imported(tree, package):
    """List the modules that a file names in its imports, with line numbers, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def package_of(source):
    """Name the package that a file's relative imports start from."""
    return source.module if source.path.name == "__init__.py" else source.module.rpartition(".")[0]


def faults(source):
    """Say which imports of a file go up or aside."""
    layer = source.path.parts[0]
    found = {}
    for name, line in imported(source.tree, package_of(source)):
        other = name.partition(".")[0]
        if other in OURS and other != layer and other not in MAY_IMPORT[layer]:
            found[line] = (
                f"{source.path}:{line} imports {other}, which {layer} may not:"
                " move the code down, or hand it in as an argument from above"
            )
    return list(found.values())


def cycle(sources):
    """Give modules that import each other in a ring, or an empty list."""
    known = {source.module for source in sources}
    graph = {}
    for source in sources:
        names = {name for name, _ in imported(source.tree, package_of(source))}
        # `from a import b` needs a.b where that is a module, and the package a otherwise.
        needed = {name for name in names & known if not _is_package_of(name, names & known)}
        graph[source.module] = needed - {source.module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return list(found.args[1])
    return []


def _is_package_of(name, names):
    return any(other.startswith(f"{name}.") for other in names)


def test_imports_go_down_only(product):
    """No file of the product imports from a layer above or beside its own."""
    found = [fault for source in product for fault in faults(source)]
    assert not found, "\n".join(found)


def test_no_ring_of_imports(product):
    """No module of the product needs, even by way of others, a module that needs it."""
    assert cycle(product) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("dicom/uid.py", "import config.model"),
        ("dicom/uid.py", "def f():\n    from node import run"),
        ("storage/lake.py", "from deid.apply import deidentify"),
        ("storage/lake.py", "from ai import pool"),
        ("ai/pool.py", "import deid"),
        ("deid/walk.py", "from routing.job import Job"),
        ("routing/plan.py", "from ai.contract import Contract"),
        ("node/run.py", "from examples.peers import process"),
        ("config/load.py", "from ..storage import keys"),
    ],
)
def test_the_check_of_layers_can_fail(make_source, path, text):
    """An import that goes up or aside is found, wherever and however it is written."""
    assert len(faults(make_source(path, text))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("node/run.py", "import ai.pool, deid.apply\nfrom storage.spool import spool"),
        ("storage/lake.py", "from routing.job import Job\nfrom .keys import name"),
        ("config/load.py", "import json\nfrom dicom.errors import ConfigFault"),
    ],
)
def test_imports_downwards_pass(make_source, path, text):
    """An import of one's own layer or of one below is no fault."""
    assert faults(make_source(path, text)) == []


def test_the_check_of_rings_can_fail(make_source):
    """A ring over three modules is found; two modules of one package are no ring by themselves."""
    ring = [
        make_source("deid/__init__.py", ""),
        make_source("deid/walk.py", "from deid import text"),
        make_source("deid/text.py", "def f():\n    from .actions import Action"),
        make_source("deid/actions.py", "import deid.walk"),
    ]
    assert set(cycle(ring)) == {"deid.walk", "deid.text", "deid.actions"}
    assert cycle([*ring[:3], make_source("deid/actions.py", "")]) == []
