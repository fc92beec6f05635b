"""Epochs: on an object-store root each writing session claims the next ``epoch/<n>`` by a create-only put.

The catalog lies elsewhere than the data, so a copy of it, or another one, could be opened on the same data. The
catalog first records the nonce that it is about to put, then puts it. If the newest epoch is not the one that the
catalog remembers, then another catalog has written since, and this one is refused.
"""

import json
import secrets

from kiromi.blobs.objects import ObjectBlobs
from kiromi.catalog.database import Catalog, Meta
from kiromi.errors import Conflict, UnsupportedFormat


def claim_epoch(blobs: ObjectBlobs, catalog: Catalog, meta: Meta) -> None:
    """Claim the next epoch for this session.

    Raises:
        Conflict: the data's newest epoch belongs to another catalog, or to a later state of this one.
    """
    known, nonce = catalog.epoch()
    listed = [int(name) for path, _ in blobs.walk("epoch") if (name := path.rpartition("/")[2]).isdecimal()]
    newest = max(listed, default=0)
    # A listing may lag behind, so the newest it shows is only where the look begins.
    newest = max(newest, known)
    while (claim := blobs.read(_path(newest + 1))) is not None:
        newest += 1
    claim = blobs.read(_path(newest)) if newest else None
    if newest and claim is None and newest == known:
        newest -= 1  # the nonce was recorded but the process died before the put
        claim = blobs.read(_path(newest)) if newest else None
    elif newest and (claim is None or json.loads(claim).get("nonce") != nonce):
        raise Conflict(
            f"another catalog wrote to {blobs.root} (epoch {newest}, this catalog knows epoch {known}): use that one",
            epoch=newest,
            known=known,
        )
    if claim is not None and json.loads(claim).get("store_id") != meta.store_id:
        raise UnsupportedFormat(f"the data at {blobs.root} belongs to another store than the catalog")
    fresh = secrets.token_hex(16)
    catalog.set_epoch(newest + 1, fresh)
    body = json.dumps({"store_id": meta.store_id, "catalog_id": meta.catalog_id, "nonce": fresh}).encode()
    # A driver that puts again after a lost answer finds its own object there.
    if not blobs.create(_path(newest + 1), body) and blobs.read(_path(newest + 1)) != body:
        raise Conflict(f"another catalog claimed epoch {newest + 1} of {blobs.root} just now", epoch=newest + 1)
    blobs.remove([_path(number) for number in listed if number < newest])


def _path(number: int) -> str:
    return f"epoch/{number:012}"
