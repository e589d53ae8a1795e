#!/usr/bin/env python3
"""Prints the digest of nf4 blocks that encode_test.c holds codes against, as bitsandbytes makes them:

    python3 -m venv venv && venv/bin/pip install numpy torch bitsandbytes && venv/bin/python nf4_digest.py

A value is the sum of the four 16-bit parts of a pseudo-random number (SplitMix64) less 131070, times the power of two
of its block: 2^-40 .. 2^23, in turns. A block is an fp32 absmax, then 32 bytes of codes. The digest is the FNV-1a
64-bit hash of all of them.
"""
import numpy as np
import torch
from bitsandbytes.functional import quantize_nf4

COLUMNS, BLOCK, SEED = 256 * 64, 64, 20240601


def splitmix64(seed, count):
    """The first `count` outputs of SplitMix64."""
    steps = np.arange(1, count + 1, dtype=np.uint64)
    z = np.uint64(seed) + steps * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fnv1a(data):
    """FNV-1a, 64 bits."""
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return digest


def main():
    parts = splitmix64(SEED, COLUMNS).view(np.uint16).reshape(COLUMNS, 4).astype(np.int64)
    exponents = np.arange(COLUMNS) // BLOCK % 64 - 40
    values = np.ldexp(parts.sum(axis=1) - 131070.0, exponents).astype(np.float32)
    codes, state = quantize_nf4(torch.from_numpy(values), blocksize=BLOCK)
    scales = state.absmax.numpy().astype(np.float32).reshape(-1, 1).view(np.uint8)
    blocks = np.hstack([scales, codes.numpy().reshape(-1, BLOCK // 2)])
    print(f"0x{fnv1a(blocks.tobytes()):016x}")


if __name__ == "__main__":
    main()
