"""Every test is a promise in one sentence, and each of P1 to P7 is proven by at least one."""

import ast
import re
import tomllib

import pytest

MARK = re.compile(r"p\d+")


def marks(source):
    """List the promise markers that a file's tests carry, on a test, a class or the module."""
    for node in ast.walk(source.tree):
        of_mark = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
        if of_mark and node.value.attr == "mark" and MARK.fullmatch(node.attr):
            yield node.attr


def promises(pyproject):
    """List the markers p1, p2, ... that pyproject.toml declares."""
    options = tomllib.loads(pyproject)["tool"]["pytest"]["ini_options"]
    names = (line.partition(":")[0] for line in options["markers"])
    return [name for name in names if MARK.fullmatch(name)]


def silent_tests(source):
    """Name the tests without a docstring, or whose docstring is no sentence."""
    for node in ast.walk(source.tree):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function and node.name.startswith("test_"):
            sentence = (ast.get_docstring(node) or "").partition("\n\n")[0]
            if not sentence.endswith("."):
                yield f"{source.path}:{node.lineno} {node.name} promises nothing in words"


@pytest.fixture(scope="module")
def tests(everything):
    return [source for source in everything if source.path.parts[0] == "tests"]


def test_every_promise_has_a_test(tests, root):
    """P1 to P7 are each proven by at least one test that carries the marker."""
    kept = {mark for source in tests for mark in marks(source)}
    open_ones = set(promises((root / "pyproject.toml").read_text())) - kept
    assert not open_ones, f"no test carries {', '.join(sorted(open_ones))}"


def test_every_test_is_a_promise(tests):
    """Every test says in a sentence what holds when it passes."""
    found = [fault for source in tests for fault in silent_tests(source)]
    assert not found, "\n".join(found)


def test_the_check_of_marks_can_fail(make_source):
    """Markers are found on tests and modules; a mention in words is none."""
    text = '"""p3"""\npytestmark = pytest.mark.p1\n@pytest.mark.p2\ndef test_x(): mark.p4\n'
    assert list(marks(make_source("tests/test_x.py", text))) == ["p1", "p2"]


def test_the_check_of_docstrings_can_fail(make_source):
    """A test without a docstring, and one with half a sentence, are found; a helper is not."""
    text = 'def test_a(): pass\ndef test_b():\n    """Nothing"""\ndef helper(): pass\n'
    assert len(list(silent_tests(make_source("tests/test_x.py", text)))) == 2
