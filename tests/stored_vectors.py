#!/usr/bin/env python3
"""Prints the digests of decoded blocks that stored_test.c holds the stored types against.

The decoders are those of the gguf package, a separate implementation; for types that it lacks, three of this file:

    python3 -m venv venv && venv/bin/pip install numpy gguf && venv/bin/python stored_vectors.py

A type's blocks are COUNT blocks of pseudo-random bytes (SplitMix64, eight bytes a number, little-endian, the blocks one
after the other), whose fp16 fields have bit 14 cleared: finite, smaller than 2, subnormal now and then. There are so
many that every entry of a grid occurs. Scales that are a power of two (E8M0) are 112 .. 127, as the exponents of fp32, and bit 6 of
E4M3 is cleared. A digest is the FNV-1a 64-bit hash of the bytes of the fp32 weights. The last two are of every scale with every
code: of 256 blocks of MXFP4 and of 64 of NVFP4, in which byte i of a scale's codes is i in both nibbles, the high one
from 15 down.
"""
from importlib.metadata import version

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from digests import SEED, fnv1a, splitmix64

COUNT = 1024
HALVES = {  # offsets of fp16 numbers in a block
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "TQ2_0": [64], "TQ1_0": [52],
    "IQ3_S": [0], "IQ3_XXS": [0], "IQ2_S": [0], "IQ2_XS": [0], "IQ2_XXS": [0],
    "IQ1_S": [0], "IQ1_M": [54], "NVFP4": [], "Q1_0": [0], "Q2_0": [0], "NF4": [],
}
EXPONENTS = {"MXFP4": [0]}  # offsets of scales that are a power of two
FLOATS = {"NF4": [0]}  # of fp32 scales
EIGHTS = {"NVFP4": [0, 1, 2, 3]}  # of scales of E4M3
NF4 = np.array([  # of the QLoRA paper (Dettmers et al. 2023, appendix E)
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0], dtype=np.float32)


def q1_0(blocks):
    """128 bits, 1 or -1, behind the scale."""
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    return np.where(np.unpackbits(blocks[:, 2:], axis=1, bitorder="little"), scale, -scale)


def q2_0(blocks):
    """64 codes of two bits, -1 to 2, behind the scale."""
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    codes = blocks[:, 2:, np.newaxis] >> np.array([0, 2, 4, 6], dtype=np.uint8) & 3
    return scale * (codes.reshape(len(blocks), -1).astype(np.float32) - 1)


def nf4(blocks):
    """64 codes of four bits, the high nibble first, behind an fp32 scale: bitsandbytes.functional.dequantize_nf4."""
    scale = blocks[:, :4].copy().view(np.float32)
    codes = np.stack([blocks[:, 4:] >> 4, blocks[:, 4:] & 15], axis=2)
    return NF4[codes].reshape(len(blocks), -1) * scale


OWN = {"Q1_0": (18, q1_0), "Q2_0": (18, q2_0), "NF4": (36, nf4)}  # types that the package lacks, with the bytes of a block


def main():
    print(f"/* gguf {version('gguf')}, numpy {np.__version__} */")
    for name, halves in HALVES.items():
        size, decode = OWN.get(name, (0, None))
        if not decode:
            kind = GGMLQuantizationType[name]
            size, decode = GGML_QUANT_SIZES[kind][1], lambda blocks: dequantize(blocks, kind)
        stream = splitmix64(SEED, (COUNT * size + 7) // 8).view(np.uint8)
        blocks = stream[:COUNT * size].reshape(COUNT, size).copy()
        for at in halves:
            blocks[:, at + 1] &= 0xBF
        for at in EXPONENTS.get(name, []):
            blocks[:, at] = blocks[:, at] & 15 | 0x70
        for at in FLOATS.get(name, []):
            blocks[:, at + 3] = blocks[:, at + 3] & 0x87 | 0x38
        for at in EIGHTS.get(name, []):
            blocks[:, at] &= 0xBF
        weights = decode(blocks).astype(np.float32)
        print(f"    {{DTYPE_{name}, 0x{fnv1a(weights.tobytes()):016x}u}},")
    codes = np.arange(16, dtype=np.uint8)
    codes |= 15 - codes << 4
    scales = np.arange(256, dtype=np.uint8)
    every = {
        "MXFP4": np.hstack([scales.reshape(256, 1), np.tile(codes, (256, 1))]),
        "NVFP4": np.hstack([scales.reshape(64, 4), np.tile(codes[:8], (64, 4))]),
    }
    for name, blocks in every.items():
        with np.errstate(over="ignore"):
            weights = dequantize(blocks, GGMLQuantizationType[name]).astype(np.float32)
        print(f"every {name}: 0x{fnv1a(weights.tobytes()):016x}u")


if __name__ == "__main__":
    main()
