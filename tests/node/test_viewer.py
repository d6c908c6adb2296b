"""The viewer's files: the page for whoever has a token, nothing outside of the folder."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from config.api import Token
from node.web.server import Server
from node.web.tokens import Tokens, digest_of
from node.web.viewer import app_config, viewer_routes

SECRET = "pnb_" + "s" * 43


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Serve a folder, and ask as a browser that knows the password."""
    folder = tmp_path_factory.mktemp("ohif") / "viewer"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<html>page</html>")
    (folder / "app-config.js").write_text("theirs")
    (folder / "assets" / "code.wasm").write_bytes(b"wasm")
    (folder.parent / "secret.txt").write_text("secret")
    (folder / "leads-out").symlink_to(folder.parent / "secret.txt")
    known = Tokens({"viewer": Token(digest=digest_of(SECRET))})
    server = Server.on_port(Starlette(routes=viewer_routes(known, folder)), "127.0.0.1", 0)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", auth=("viewer", SECRET),
                      timeout=5, trust_env=False) as one:  # fmt: skip
        yield one
    server.stop()


@pytest.mark.parametrize(
    "path", ["/ohif/", "/ohif/index.html", "/ohif/viewer?Study=1", "/ohif/x/y"]
)
def test_the_page(client, path):
    """Every place within the viewer is its page, isolated, for whoever has a token."""
    found = client.get(path)
    assert (found.status_code, found.text) == (200, "<html>page</html>")
    assert found.headers["cross-origin-opener-policy"] == "same-origin"
    assert found.headers["cross-origin-embedder-policy"] == "require-corp"
    assert "default-src 'self'" in found.headers["content-security-policy"]
    assert client.get(path, auth=("viewer", "wrong")).status_code == 401


def test_the_configuration_is_the_nodes(client):
    """The viewer is told of this node, whatever its own file says; it keeps its notice."""
    found = client.get("/ohif/app-config.js")
    assert found.text == app_config()
    assert '"/dicom-web"' in found.text
    assert '"investigationalUseDialog": {"option": "always"}' in found.text


def test_files(client):
    """A file is served with its type, to anybody: it is what npm gives to anybody."""
    found = client.get("/ohif/assets/code.wasm", auth=("", ""))
    assert (found.content, found.headers["content-type"]) == (b"wasm", "application/wasm")
    assert client.get("/ohif").headers["location"] == "/ohif/"


@pytest.mark.parametrize(
    "path", ["/ohif/../secret.txt", "/ohif/%2e%2e/secret.txt", "/ohif/..%2fsecret.txt",
             "/ohif/leads-out", "/ohif//etc/hostname", "/ohif/missing.js", "/ohif/a%00.js"],
)  # fmt: skip
def test_nothing_else(client, path):
    """What is not in the folder is never given."""
    found = client.get(path)
    assert "secret" not in found.text
    assert found.status_code == 404 or found.text == "<html>page</html>"


def test_without_a_folder_there_is_no_viewer():
    """No [http] viewer, no routes."""
    assert viewer_routes(Tokens({}), None) == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    """The script that fetches the viewer does not empty a folder that holds something else."""
    (tmp_path / "theirs").write_text("x")
    script = Path(__file__).parents[2] / "deploy" / "setup-viewer.sh"
    done = subprocess.run(
        ["sh", script, tmp_path], env={**os.environ, "NO_NPM": "1"}, capture_output=True,
        text=True, check=True, timeout=20,
    )  # fmt: skip
    assert "holds something else" in done.stdout
    assert (tmp_path / "theirs").read_text() == "x"
