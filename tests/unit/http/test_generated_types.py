"""The types of the TypeScript client are those of the OpenAPI documents, whichever Python makes these."""

import importlib.util
from importlib.machinery import SourceFileLoader
from types import ModuleType

import pytest

from tests.releases import ROOT


def documents() -> ModuleType:
    loader = SourceFileLoader("openapi_documents", str(ROOT / "scripts" / "openapi_documents"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["ava", "avala", "agh"])
def test_the_types_are_those_of_todays_documents(name: str) -> None:
    generated = (ROOT / "clients" / "typescript" / "src" / "generated" / f"{name}.ts").read_text()
    assert documents().digest_of(name) in generated, "run `make client` and commit what it writes"
