"""Packing of codes: M codebooks of K codewords take M·log2 K bits, rounded up to whole bytes.

K = 16: two codes a byte, the low nibble first (the order of faiss); an odd M leaves the last high nibble 0.
K = 256: one byte a code, nothing to do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import ConfigError

Codes = NDArray[np.uint8]


def bits(M: int, K: int) -> int:
    """Bits of one code, M·log2 K. Raises ConfigError when M < 1 or K is neither 16 nor 256."""
    if K not in (16, 256):
        raise ConfigError(f"K = {K} codewords per codebook cannot be packed: choose K = 16 or K = 256")
    if M < 1:
        raise ConfigError(f"M = {M} codebooks make no code: choose M of at least 1")
    return M * (4 if K == 16 else 8)


def code_bytes(M: int, K: int) -> int:
    """Bytes of one packed code. Raises ConfigError as `bits` does."""
    return (bits(M, K) + 7) // 8


def pack(codes: Codes, K: int) -> Codes:
    """Codes (N, M) uint8 → packed (N, code_bytes) uint8, C-contiguous; a copy also at K = 256.

    Raises ConfigError when the array is not two-dimensional uint8 or holds a value of K or more.
    """
    if codes.ndim != 2 or codes.dtype != np.uint8:
        raise ConfigError(f"codes must be an (N, M) uint8 array, not {codes.dtype} of shape {codes.shape}")
    M = codes.shape[1]
    packed = np.zeros((len(codes), code_bytes(M, K)), dtype=np.uint8)
    if K == 256:
        packed[:] = codes
        return packed
    if codes.size and int(codes.max()) >= K:
        raise ConfigError(f"a code of {int(codes.max())} does not fit codebooks of K = {K} codewords")
    packed[:] = codes[:, 0::2]
    packed[:, : M // 2] |= codes[:, 1::2] << 4
    return packed


def unpack(packed: Codes, M: int, K: int) -> Codes:
    """Packed (N, code_bytes) uint8 → codes (N, M) uint8, C-contiguous; the inverse of `pack`.

    Raises ConfigError when the width does not belong to M codebooks of K codewords.
    """
    check_packed(packed, M, K)
    codes = np.empty((len(packed), M), dtype=np.uint8)
    if K == 256:
        codes[:] = packed
        return codes
    np.bitwise_and(packed, 15, out=codes[:, 0::2])
    np.right_shift(packed[:, : M // 2], 4, out=codes[:, 1::2])
    return codes


def check_packed(packed: Codes, M: int, K: int) -> None:
    """Refuses what is no packed array of M codebooks of K codewords, by a ConfigError that says what was expected."""
    width = code_bytes(M, K)
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != width:
        raise ConfigError(
            f"packed codes of M = {M}, K = {K} must be an (N, {width}) uint8 array, "
            f"not {packed.dtype} of shape {packed.shape}"
        )
    if K == 16 and M % 2 and (packed[:, -1] >> 4).any():
        raise ConfigError(
            f"packed codes of M = {M}, K = 16 must leave their last high nibble 0: they are damaged"
        )
