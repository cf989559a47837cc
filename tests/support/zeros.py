"""Zeros by the hundred megabytes, packed by zlib, gzip and bare deflate in no time: one piece of them repeats."""

import functools
import struct
import zlib

MIB = 1 << 20


@functools.cache
def packed_zeros(mebibytes, kind="zlib"):
    """So many MiB of zeros as a "zlib" (RFC 1950), "gzip" (RFC 1952) or bare "deflate" (RFC 1951) stream."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)  # what comes after it knows nothing of it
    body = piece * mebibytes + packer.flush()
    if kind == "deflate":
        return body
    if kind == "zlib":
        return b"\x78\xda" + body + struct.pack(">I", (mebibytes * MIB % 65_521) << 16 | 1)  # Adler-32 of zeros
    check = 0
    for _ in range(mebibytes):
        check = zlib.crc32(bytes(MIB), check)
    return b"\x1f\x8b\x08\0\0\0\0\0\2\xff" + body + struct.pack("<II", check, mebibytes * MIB & 0xFFFFFFFF)
