#!/usr/bin/env python3
"""Prints the table of gptq_vectors.h: output errors and scales of GPTQ, which methods_test.c holds qtop against.

Algorithm 1 of the paper (Frantar et al. 2022) in float64, as it stands there: columns one after the other, the
error spread by the rows of the Cholesky factor of the inverse Hessian.

    python3 -m venv venv && venv/bin/pip install numpy && venv/bin/python gptq_vectors.py > gptq_vectors.h

Weights and inputs are made from SplitMix64 by additions and multiplications of float32 alone, so that the test
makes the same; the real ones are the built-in model's: the rows of its embedding as inputs of its matrices.
"""
from pathlib import Path

import numpy as np

from digests import fnv1a

GOLDEN = 0x9E3779B97F4A7C15


def uniform(seed, count):
    """float32 in [-0.5, 0.5): the upper 24 bits of SplitMix64's outputs."""
    steps = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + steps * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(40)).astype(np.float64) / 2**24 - 0.5).astype(np.float32)


def made(rows, cols, tokens):
    """Weights, and inputs in which neighbouring columns are alike and every eighth is large."""
    w = uniform(1, rows * cols).reshape(rows, cols)
    x = uniform(2, tokens * cols).reshape(tokens, cols)
    for c in range(1, cols):
        x[:, c] = x[:, c] * np.float32(0.5) + x[:, c - 1]
    x[:, ::8] *= np.float32(4)
    return w, x


def stories(layer, tokens):
    """A matrix of the built-in model's first block, and rows of its embedding."""
    data = np.fromfile(Path(__file__).parent / "../data/stories.bin", np.float32)[64:]
    dim, hidden, layers, vocab, kv = 256, 384, 4, 512, 64
    at = dim * (2 * layers + 1)
    embedding = data[at:at + vocab * dim].reshape(vocab, dim)
    at += vocab * dim
    if layer == "ffn_gate":
        at += layers * dim * (2 * dim + 2 * kv)
        return data[at:at + hidden * dim].reshape(hidden, dim), embedding[:tokens]
    return data[at:at + dim * dim].reshape(dim, dim), embedding[:tokens]


def grids(w, bits, asym, group):
    """float32 scales and zero points (codes counted from the lowest) of each row and group."""
    rows, cols = w.shape
    scales, zeros = [], []
    for begin in range(0, cols, group):
        part = w[:, begin:begin + group].astype(np.float64)
        low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
        scale = (high - low) / (2**bits - 1) if asym else np.maximum(-low, high) / (2**(bits - 1) - 1)
        scale = scale.astype(np.float32)
        if group < cols or group == 128:
            half = scale.astype(np.float16)
            if asym:
                up = np.nextafter(half, np.float16(np.inf))
                half = np.where(half.astype(np.float32) < scale, up, half)
            scale = half.astype(np.float32)
        zero = np.rint(-low / scale.astype(np.float64)) if asym else np.full(rows, 2**(bits - 1))
        scales.append(scale)
        zeros.append(zero)
    return np.array(scales).T, np.array(zeros).T


def gptq(w, x, bits, asym, group, damp, act_order):
    rows, cols = w.shape
    group = min(group, cols)
    scales, zeros = grids(w, bits, asym, group)
    lowest, highest = (0 if asym else 1), 2**bits - 1
    w = w.astype(np.float64)
    h = 2 * x.astype(np.float64).T @ x.astype(np.float64)
    dead = np.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    order = np.argsort(-np.diag(h), kind="stable") if act_order else np.arange(cols)
    h += damp * np.mean(np.diag(h)) * np.eye(cols)
    inverse = np.linalg.cholesky(np.linalg.inv(h[order][:, order])).T
    left, quantized = w[:, order].copy(), np.zeros_like(w)

    def rounded(column, c):
        scale, zero = scales[:, c // group].astype(np.float64), zeros[:, c // group]
        return (np.clip(np.rint(column / scale) + zero, lowest, highest) - zero) * scale

    for i, c in enumerate(order):
        quantized[:, c] = rounded(left[:, i], c)
        error = (left[:, i] - quantized[:, c]) / inverse[i, i]
        left[:, i:] -= np.outer(error, inverse[i, i:])
    nearest = np.array([rounded(w[:, c], c) for c in range(cols)]).T

    def output_error(other):
        return float(np.sum(((other - w) @ x.astype(np.float64).T) ** 2))

    return output_error(quantized), output_error(nearest), scales


CASES = [  # scheme, bits, asym, group, damp, act order; source
    ("int4:channel:gptq(actorder=0)", 4, False, 10**9, 0.01, False, "made", 48, 200, 300),
    ("int4:channel:gptq", 4, False, 10**9, 0.01, True, "made", 48, 200, 300),
    ("int4:channel:asym:gptq", 4, True, 10**9, 0.01, True, "made", 48, 200, 300),
    ("int4:g32:gptq(damp=0.1)", 4, False, 32, 0.1, True, "made", 37, 150, 100),
    ("int4:g32:asym:gptq(actorder=0)", 4, True, 32, 0.01, False, "made", 37, 150, 100),
    ("int8:gptq", 8, False, 10**9, 0.01, True, "made", 33, 260, 400),
    ("int8:asym:gptq", 8, True, 10**9, 0.01, True, "made", 33, 260, 400),
    ("int4:channel:gptq", 4, False, 10**9, 0.01, True, "attn_q", 256, 256, 512),
    ("int4:g64:asym:gptq", 4, True, 64, 0.01, True, "attn_q", 256, 256, 512),
    ("int4:channel:gptq(actorder=0)", 4, False, 10**9, 0.01, False, "ffn_gate", 384, 256, 512),
    ("int8:gptq", 8, False, 10**9, 0.01, True, "ffn_gate", 384, 256, 512),
]

print("/* Made by gptq_vectors.py with numpy " + np.__version__ + ": GPTQ in float64. */")
for scheme, bits, asym, group, damp, act_order, source, rows, cols, tokens in CASES:
    w, x = made(rows, cols, tokens) if source == "made" else stories(source, tokens)
    error, nearest, scales = gptq(w, x, bits, asym, group, damp, act_order)
    print(f'{{"{scheme}", "{source}", {rows}, {cols}, {tokens}, {error:.12g}, {nearest:.12g}, '
          f"{fnv1a(scales.astype('<f4').tobytes()):#018x}}},")
