"""Files and functions stay small, are named for one concern, and say what they are for."""

import ast
import re

import pytest

FILE_LINES = 400
FUNCTION_LINES = 60
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "core", "misc", "manager"}
SENTENCE = re.compile(r"\S.*[.:;]")


def size_faults(source):
    """Name a file and its functions that are longer than a reader can hold."""
    lines = source.text.count("\n")
    if lines > FILE_LINES:
        yield f"{source.path} has {lines} lines, {FILE_LINES} are allowed: split it by concern"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES:
                yield (
                    f"{source.path}:{node.lineno} {node.name} has {length} lines,"
                    f" {FUNCTION_LINES} are allowed: give its steps names"
                )


def name_faults(source):
    """Name a file or folder that is called after no concern."""
    bad = FORBIDDEN & set(source.path.with_suffix("").parts)
    if bad:
        yield f"{source.path}: {', '.join(bad)} names no concern: say what it is for"


def docstring_faults(source):
    """Say when a module does not open with one sentence on one line."""
    text = ast.get_docstring(source.tree)
    if text is None:
        yield f"{source.path}: open it with a sentence that says what it is for"
    elif not SENTENCE.fullmatch(text.partition("\n")[0]):
        yield f"{source.path}: the docstring's first line is no whole sentence"


def handler_faults(source):
    """Find a bare `except`, which swallows even Ctrl-C."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{source.path}:{node.lineno} bare except: name what you expect"


def print_faults(source):
    """Find a `print`: output belongs to the commands, which use click and rich."""
    for node in ast.walk(source.tree):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if is_call and node.func.id == "print":
            yield f"{source.path}:{node.lineno} print: log it, or return it to a command"


def test_files_and_functions_are_small(everything):
    """No file passes 400 lines and no function 60, tests and examples included."""
    found = [fault for source in everything for fault in size_faults(source)]
    assert not found, "\n".join(found)


def test_names_say_a_concern(everything):
    """No file or folder is called utils, helpers, common, core, misc or manager."""
    found = [fault for source in everything for fault in name_faults(source)]
    assert not found, "\n".join(found)


def test_every_module_opens_with_a_sentence(everything):
    """Every file says on its first line what it is for."""
    found = [fault for source in everything for fault in docstring_faults(source)]
    assert not found, "\n".join(found)


def test_no_bare_except(everything):
    """Nobody swallows what they did not expect."""
    found = [fault for source in everything for fault in handler_faults(source)]
    assert not found, "\n".join(found)


def test_only_commands_print(product):
    """Nothing below the commands writes to standard output by itself."""
    checked = [source for source in product if source.path.parts[:2] != ("node", "commands")]
    found = [fault for source in checked for fault in print_faults(source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("check", "path", "text"),
    [
        (size_faults, "ai/long.py", "x = 1\n" * 401),
        (size_faults, "ai/long.py", "async def f():\n" + "    x = 1\n" * 60),
        (name_faults, "ai/utils.py", ""),
        (name_faults, "storage/common/keys.py", ""),
        (docstring_faults, "ai/pool.py", "import json"),
        (docstring_faults, "ai/pool.py", '"""A sentence that goes on\nbelow."""'),
        (handler_faults, "ai/pool.py", "try:\n    f()\nexcept:\n    pass"),
        (print_faults, "ai/pool.py", "def f():\n    print(1)"),
    ],
)
def test_each_check_can_fail(make_source, check, path, text):
    """Every rule finds the fault that it is there for."""
    assert len(list(check(make_source(path, text)))) == 1


def test_what_is_allowed_passes(make_source):
    """A file at the limits, with a sentence, passes every rule."""
    text = '"""Says what it is for: this."""\ndef f():\n' + "    x = 1\n" * 59
    good = make_source("ai/short.py", text + "\n" * (400 - 61))
    for check in (size_faults, name_faults, docstring_faults, handler_faults, print_faults):
        assert list(check(good)) == []
