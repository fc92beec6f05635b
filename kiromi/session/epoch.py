"""Epochs: on an object-store root each writing session claims the next ``epoch/<n>`` by a create-only put.

The catalog lies elsewhere than the data, so a copy of it, or another one, could be opened on the same data. The
catalog first records the nonce that it is about to put, then puts it. If the newest epoch is not the one that the
catalog remembers, then another catalog has written since, and this one is refused.
"""

import json
import secrets
from typing import Any

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
    # A listing may lag behind, so the newest it shows is only where the look begins.
    newest = max([known, *listed])
    while blobs.read(_path(newest + 1)) is not None:
        newest += 1
    claim = _read(blobs, newest)
    if newest == known and newest and claim is None:
        _require_previous(blobs, catalog, known)
        # It was recorded, but the process died before the put: put the same, for another nonce would prove nothing.
        number, fresh = known, str(nonce)
    elif newest and (claim is None or claim.get("nonce") != nonce):
        raise Conflict(
            f"another catalog wrote to {blobs.root} (epoch {newest}, this catalog knows epoch {known}): use that one",
            epoch=newest,
            known=known,
        )
    else:
        number, fresh = newest + 1, secrets.token_hex(16)
        catalog.set_epoch(number, fresh)
    if claim is not None and claim.get("store_id") != meta.store_id:
        raise UnsupportedFormat(f"the data at {blobs.root} belongs to another store than the catalog")
    body = json.dumps({"store_id": meta.store_id, "catalog_id": meta.catalog_id, "nonce": fresh}).encode()
    # A driver that puts again after a lost answer finds its own object there.
    if not blobs.create(_path(number), body) and blobs.read(_path(number)) != body:
        raise Conflict(f"another catalog claimed epoch {number} of {blobs.root} just now", epoch=number)
    blobs.remove([_path(old) for old in listed if old < number - 1])


def _require_previous(blobs: ObjectBlobs, catalog: Catalog, known: int) -> None:
    """Refuse a root that lacks what sessions before left there: it is not the root that this catalog belongs to."""
    is_first = known == 1 and catalog.head().seq == 0 and not catalog.needs_recovery()
    if not is_first and _read(blobs, known - 1) is None:
        raise Conflict(
            f"{blobs.root} has no epoch {known} nor {known - 1}, which this catalog has claimed: the catalog belongs to"
            " another root or tenant",
            known=known,
        )


def _read(blobs: ObjectBlobs, number: int) -> dict[str, Any] | None:
    """Return what lies at an epoch, None if nothing does."""
    found = blobs.read(_path(number)) if number else None
    return None if found is None else dict(json.loads(found))


def _path(number: int) -> str:
    return f"epoch/{number:012}"
