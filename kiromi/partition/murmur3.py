"""Murmur3 (x86, 32 bit, seed 0), the hash of Iceberg's bucket transform, in plain Python: it costs no dependency.

Source: https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp, ``MurmurHash3_x86_32``.
"""

_MASK = 0xFFFFFFFF


def murmur3(data: bytes) -> int:
    """Return the hash of ``data`` as an unsigned number below 2**32."""
    state = 0
    body = len(data) & ~3
    for start in range(0, body, 4):
        state ^= _scramble(int.from_bytes(data[start : start + 4], "little"))
        state = ((state << 13 | state >> 19) & _MASK) * 5 + 0xE6546B64 & _MASK
    state ^= _scramble(int.from_bytes(data[body:], "little"))
    state ^= len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & _MASK
    state = (state ^ state >> 13) * 0xC2B2AE35 & _MASK
    return state ^ state >> 16


def _scramble(block: int) -> int:
    block = block * 0xCC9E2D51 & _MASK
    return (block << 15 | block >> 17) * 0x1B873593 & _MASK
