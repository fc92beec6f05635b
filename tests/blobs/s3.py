"""An S3 server on loopback for tests: moto in this process, on a free port."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

BUCKET = "kiromi-test"


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, Any]]:
    """Start a server; give the storage options that reach it."""
    server_of = pytest.importorskip("moto.server").ThreadedMotoServer
    s3fs = pytest.importorskip("s3fs")
    patch = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        patch.setenv(name, value)
    server = server_of(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "test", "secret": "test", "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
    s3fs.S3FileSystem(**options).makedirs(BUCKET, exist_ok=True)
    yield options
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
    patch.undo()
