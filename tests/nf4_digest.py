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

from digests import SEED, fnv1a, splitmix64

COLUMNS, BLOCK = 256 * 64, 64


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
