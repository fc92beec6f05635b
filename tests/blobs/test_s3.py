"""Blobs on S3, as moto plays it."""

import uuid
from typing import Any

import fsspec
import pytest

from kiromi.blobs.objects import ObjectBlobs
from tests.blobs.contract import BlobsContract
from tests.blobs.s3 import BUCKET, s3_options

__all__ = ["s3_options"]


class TestS3(BlobsContract):
    @pytest.fixture
    def blobs(self, s3_options: dict[str, Any]) -> ObjectBlobs:
        filesystem = fsspec.filesystem("s3", use_listings_cache=False, **s3_options)
        return ObjectBlobs(filesystem, f"{BUCKET}/{uuid.uuid4()}")

    def test_an_epoch_is_created_only_once(self, blobs: ObjectBlobs) -> None:
        assert blobs.create("epoch/1", b"mine")
        assert not blobs.create("epoch/1", b"yours")
        assert blobs.read("epoch/1") == b"mine"
