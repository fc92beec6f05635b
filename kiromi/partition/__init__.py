"""Schemes and partitions: from a memory's values to the folder it lies in, and back; pure, no I/O."""

from kiromi.partition.assignments import Assignments
from kiromi.partition.encoding import check_name, decode, encode, tenant_folder
from kiromi.partition.pruning import Bound, may_match, pruner
from kiromi.partition.scheme import BUILT_INS, Partition, Scheme, Segment
from kiromi.partition.transforms import FieldValue, Transform, identity_text

__all__ = [
    "BUILT_INS",
    "Assignments",
    "Bound",
    "FieldValue",
    "Partition",
    "Scheme",
    "Segment",
    "Transform",
    "check_name",
    "decode",
    "encode",
    "identity_text",
    "may_match",
    "pruner",
    "tenant_folder",
]
