"""An S3 server in a process of its own, which outlives the processes that are killed.

Its clients are forked, so nothing here starts a thread: boto3 is used by the children only.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

BUCKET = "kiromi-kills"
_SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel("ERROR")
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@contextlib.contextmanager
def server() -> Iterator[None]:
    """Run a server; this process and its children reach it by what is in the environment."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        os.environ.update(_ENVIRONMENT, AWS_ENDPOINT_URL=f"http://127.0.0.1:{int(process.stdout.readline())}")
        try:
            yield
        finally:
            process.stdin.close()  # ends it


def load(objects: dict[str, bytes]) -> None:
    """Make those all that there is."""
    client = _client()
    client.create_bucket(Bucket=BUCKET)
    for path in _paths(client):
        client.delete_object(Bucket=BUCKET, Key=path)
    for path, data in objects.items():
        client.put_object(Bucket=BUCKET, Key=path, Body=data)


def objects() -> dict[str, bytes]:
    """Return all that there is."""
    client = _client()
    return {path: client.get_object(Bucket=BUCKET, Key=path)["Body"].read() for path in _paths(client)}


def _client() -> Any:
    import boto3

    return boto3.client("s3")


def _paths(client: Any) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [found["Key"] for page in pages for found in page.get("Contents", ())]
