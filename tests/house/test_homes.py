"""Each outside package has a home: the few files that know it and its exceptions."""

import ast
import re
import sys
import tomllib
from fnmatch import fnmatchcase

import pytest

ANYWHERE = ["*"]
HOMES = {
    "PIL": [
        "ai/phantom_slide*.py",
        "ai/picture*.py",
        "deid/pixels/jpeg.py",
        "node/sources/picture.py",
        "node/web/dicomweb/picture.py",
    ],
    "aiomqtt": ["node/notify.py"],
    "anyio": ["node/web/*"],
    "botocore": ["ai/identity.py"],
    "cel_expr_python": ["config/expressions.py"],
    "click": ["node/cli.py", "node/options.py", "node/tls_options.py", "node/commands/*"],
    "cryptography": [
        "config/certificates.py",
        "deid/evidence/*",
        "deid/pseudonym.py",
        "deid/vault/*",
        "storage/spool/sealing.py",
    ],
    "duckdb": ["storage/index/*"],
    "gdcm": ["deid/pixels/gdcm_encoder.py"],
    "google": ["ai/identity.py"],
    "grpc": ["ai/triton.py"],
    "h11": ["node/web/server.py"],
    "highdicom": ["ai/report/*"],
    "httpx": ["node/control_client.py", "storage/destinations/web.py", "ai/http_calls.py"],
    "numpy": [
        "ai/*",
        "deid/overlays.py",
        "deid/pixels/*",
        "deid/scan/pixels.py",
        "node/web/dicomweb/picture.py",
        "node/web/dicomweb/pixels.py",
        "node/web/dicomweb/rendering.py",
    ],
    "obstore": [
        "storage/destinations/bucket*.py",
        "storage/destinations/object_store.py",
        "storage/bucket_source.py",
    ],
    "psycopg": [
        "storage/ledger/database.py",
        "storage/ledger/news.py",
        "storage/ledger/postgres.py",
    ],
    "prometheus_client": ["node/metrics.py"],
    "onnx": ["ai/conversion/*", "ai/training/labelling.py"],
    "paho": ["node/notify.py"],
    "pyarrow": ["storage/index/*", "storage/lake/*"],
    "pydantic": ["config/*", "node/sources/sidecar.py", "node/web/*"],
    "pydantic_core": ["config/*"],
    "pydicom": ANYWHERE,
    "pynetdicom": [
        "dicom/commitment_wire.py",
        "dicom/context.py",
        "dicom/scu.py",
        "dicom/store_scu.py",
        "dicom/wire.py",
        "node/acceptor.py",
        "node/calling.py",
        "node/doors.py",
        "node/exchange.py",
        "node/lane.py",
        "node/listener.py",
        "node/negotiation.py",
        "node/prompt.py",
        "node/reception.py",
        "node/requester.py",
        "node/services/*",
    ],
    "mlflow": ["node/imported_models.py"],
    "rapidocr_onnxruntime": ["deid/pixels/ocr.py", "deid/scan/pixels.py"],
    "rich": ["node/tables.py", "node/commands/*"],
    "sqlalchemy": ["storage/evidence/*", "storage/ledger/*", "storage/vault/*"],
    "starlette": ["node/web/*"],
    "structlog": ANYWHERE,
    "torch": ["ai/training/*"],
    "tritonclient": ["ai/triton.py", "ai/triton_memory.py", "ai/triton_wire.py"],
    "uvicorn": ["node/web/*"],
    "xxhash": ["storage/spool/record.py"],
}
"""Where each outside package may be imported. A new package: a row here, a line in
pyproject.toml, and a row with the reason in docs/decisions/0005."""

BROUGHT_ALONG = {
    "anyio": "starlette",
    "grpc": "tritonclient",
    "h11": "uvicorn",
    "paho": "aiomqtt",
    "pydantic_core": "pydantic",
}
"""Packages that show through the one that cannot do without them."""

FOR_TYPES_ONLY = {"_typeshed"}
IMPORTED_AS = {
    "google-auth": "google",
    "mlflow-skinny": "mlflow",
    "pillow": "PIL",
    "cel-expr-python": "cel_expr_python",
    "prometheus-client": "prometheus_client",
    "python-gdcm": "gdcm",
    "rapidocr-onnxruntime": "rapidocr_onnxruntime",
}
FOUND_BY_PYDICOM = {"pylibjpeg", "pylibjpeg-openjpeg"}
"""Codecs that are never imported here: pydicom looks for them when it meets their syntax."""
FOUND_BY_TORCH = {"onnxscript"}
"""What torch writes ONNX with; nobody else here imports it."""
LOADED_BY_TRITON = "ai/serving/*"
"""Files that run in the server's environment, with its own packages."""


def outside(source, ours):
    """List the outside packages that a file imports, with line numbers."""
    for node in ast.walk(source.tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        for name in names:
            package = name.partition(".")[0]
            if package not in ours | sys.stdlib_module_names | FOR_TYPES_ONLY:
                yield package, node.lineno


def faults(source, ours):
    """Say which outside packages a file imports away from their homes."""
    for package, line in outside(source, ours):
        homes = HOMES.get(package, [])
        if not any(fnmatchcase(str(source.path), home) for home in homes):
            yield (
                f"{source.path}:{line} imports {package}, whose home is"
                f" {', '.join(homes) or 'nowhere yet'}: use what the home offers, or add to HOMES"
            )


def dependencies(pyproject):
    """List the packages that an installation with all extras brings, as they are imported."""
    project = tomllib.loads(pyproject)["project"]
    extras = project.get("optional-dependencies", {})
    brought = [each for name in extras if name != "test" for each in extras[name]]
    for requirement in [*project["dependencies"], *brought]:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)[0]
        yield IMPORTED_AS.get(name, name)


@pytest.fixture(scope="module")
def ours(product):
    return {source.path.parts[0] for source in product}


@pytest.fixture(scope="module")
def checked(product):
    return [source for source in product if not fnmatchcase(str(source.path), LOADED_BY_TRITON)]


def test_outside_packages_stay_at_home(checked, ours):
    """Every import of an outside package stands in one of that package's homes."""
    found = [fault for source in checked for fault in faults(source, ours)]
    assert not found, "\n".join(found)


def test_every_dependency_is_used(checked, ours, root):
    """What pyproject.toml makes everybody install is imported somewhere."""
    used = {package for source in checked for package, _ in outside(source, ours)}
    unused = set(dependencies((root / "pyproject.toml").read_text())) - used
    unused -= FOUND_BY_PYDICOM | FOUND_BY_TORCH
    assert not unused, f"no file imports {', '.join(sorted(unused))}: drop it from pyproject.toml"


def test_codecs_are_found_by_pydicom():
    """What nobody imports is really found by pydicom, and is all that it has for its syntax."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import HTJ2KLossless

    assert get_decoder(HTJ2KLossless).available_plugins == ("pylibjpeg",)


def test_every_import_is_a_dependency(root):
    """What has a home is also installed: by name, or by a dependency that cannot do without it."""
    listed = set(dependencies((root / "pyproject.toml").read_text()))
    missing = {BROUGHT_ALONG.get(package, package) for package in HOMES} - listed
    assert not missing, f"pyproject.toml does not name {', '.join(sorted(missing))}"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("node/run.py", "import duckdb"),
        ("deid/walk.py", "def f():\n    from obstore.store import S3Store"),
        ("ai/pool.py", "import requests"),
    ],
)
def test_the_check_of_homes_can_fail(make_source, path, text):
    """An import away from home, or of a package that has none, is found."""
    assert len(list(faults(make_source(path, text), {"ai", "deid", "node"}))) == 1


def test_the_check_of_dependencies_reads_names():
    """A requirement's extras, bounds and spelling do not hide its import name."""
    text = '[project]\ndependencies = ["tritonclient[grpc]>=2.60", "prometheus-client>=0.2,<1"]'
    assert list(dependencies(text)) == ["tritonclient", "prometheus_client"]
