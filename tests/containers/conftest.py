import pytest

from tests.containers.compose import ROOT
from tests.containers.dockerfile import Dockerfile


@pytest.fixture(scope="session")
def dockerfile() -> Dockerfile:
    return Dockerfile(ROOT / "Dockerfile")
