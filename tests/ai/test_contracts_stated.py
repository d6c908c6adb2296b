"""Every contract that this project shows is one: reference models, test models, docs/models.md."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from ai import declared
from ai.contract import InputKind, OutputKind, Served, Tensor
from ai.statement import Statement
from config import contracts
from config.models import Model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "models.md").read_text("utf-8")
CONFIGS = sorted(
    [
        *(ROOT / "ai" / "serving" / "repository").glob("*/config.pbtxt"),
        *(ROOT / "tests" / "ai" / "repository").glob("*/config.pbtxt"),
    ]
)
BARE = Model(endpoints=("h:1",), model="m")


def served(pbtxt):
    """What a Triton server would say of a model with this config."""
    config = text_format.Parse(pbtxt, model_config_pb2.ModelConfig())
    batch = (-1,) if config.max_batch_size else ()
    tensors = [
        tuple(
            Tensor(
                each.name,
                model_config_pb2.DataType.Name(each.data_type)
                .removeprefix("TYPE_")
                .replace("STRING", "BYTES"),
                (*batch, *each.dims),
            )
            for each in rows
        )
        for rows in (config.input, config.output)
    ]
    return Served(
        model=config.name,
        version="1",
        server="triton",
        inputs=tensors[0],
        outputs=tensors[1],
        parameters={key: each.string_value for key, each in config.parameters.items()},
        max_batch_size=config.max_batch_size,
    )


def blocks(language, text=PAGE):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def sections():
    """Each kind's section of the page: its heading, and its text."""
    for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        if blocks("pbtxt", text):
            yield pytest.param(text, id=heading)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.parent.name)
def test_every_model_of_the_repositories_has_a_contract(file):
    """A model that comes with Penumbra states a contract that its tensors fit."""
    contract = declared.read(served(file.read_text("utf-8")), BARE)
    assert contract.algorithm
    assert contract.outputs


def test_the_whole_example_of_the_page_is_a_contract():
    """Who copies the page's config.pbtxt has a model that `penumbra model check` takes."""
    (whole,) = (each for each in blocks("pbtxt") if "max_batch_size" in each)
    contract = declared.read(served(whole), BARE)
    assert contract.inputs[0].kind is InputKind.IMAGES


@pytest.mark.parametrize("text", list(sections()))
def test_each_kind_of_the_page_reads_the_same_in_both_files(text):
    """The lines of config.pbtxt and those of node.toml that stand for them say the same."""
    (pbtxt,), (toml,) = blocks("pbtxt", text), blocks("toml", text)
    lines = f"parameters [ {','.join(pbtxt.strip().splitlines())} ]"
    parameters = {
        key: each.string_value
        for key, each in text_format.Parse(lines, model_config_pb2.ModelConfig()).parameters.items()
    }
    (table,) = tomllib.loads(toml)["models"].values()
    model = Model.model_validate_json(json.dumps({"endpoints": ["h:1"], "model": "m", **table}))
    own, over = Statement("m", parameters, BARE), Statement("m", {}, model)
    for key in parameters:
        group, _, name = key.removeprefix("penumbra.").partition(".")
        if group in {"input", "output"}:
            stated = (getattr(each, group)(name) for each in (own, over))
        else:
            stated = (getattr(each, group)() for each in (own, over))
        first, second = map(contracts.row, stated)
        assert first == second


def test_the_page_explains_every_kind():
    """Each kind of input and output has a section of its own with an example."""
    shown = {
        kind
        for text in (each.values[0] for each in sections())
        for kind in re.findall(r'kind = "(\w+)"', text)
    }
    assert shown >= set(InputKind) | set(OutputKind)


@pytest.mark.parametrize("table", ["Wants", "Input", "Output", "Trust"])
def test_the_page_names_every_key(table):
    """No key of a contract is left out of the page."""
    for key in getattr(contracts, table).model_fields:
        assert f"`{key}`" in PAGE, key
