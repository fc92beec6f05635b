"""Whether the golden files are to be written anew."""

import os

import pytest


@pytest.fixture(scope="session")
def is_updating() -> bool:
    return bool(os.environ.get("KIROMI_UPDATE_DOCS"))
