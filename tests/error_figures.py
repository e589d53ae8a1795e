#!/usr/bin/env python3
"""Prints the error figures that error_stats_test.c holds qtop against.

They are computed in float64 from the weights of data/stories.bin and from what qtop-schemes(7) says of
schemes (SCHEMES, Arithmetic) and qtop(1) of figures (NUMBERS), without qtop:

    python3 -m venv venv && venv/bin/pip install numpy && venv/bin/python error_figures.py ../data/stories.bin

Only scales are rounded to what holds them: fp32 for a tensor or a channel, fp16 for a group, upward where
there is a zero point.
"""
import struct
import sys

import numpy as np

TENSORS = ["token_embd", "blk.0.attn_q", "blk.2.attn_k", "blk.1.ffn_down", "blk.3.ffn_up"]
SCHEMES = [
    # weight, columns a scale (0: tensor, None: row), zero point
    ("int8", None, False),
    ("int8:tensor", 0, False),
    ("int8:asym", None, True),
    ("int8:tensor:asym", 0, True),
    ("int8:g96", 96, False),
    ("int8:g100:asym", 100, True),
    ("int4", 128, False),
    ("int4:channel", None, False),
    ("int4:g32", 32, False),
    ("int4:g64:asym", 64, True),
    ("int4:tensor:asym", 0, True),
    ("fp8e4m3", None, False),
    ("fp8e4m3:tensor", 0, False),
    ("fp8e4m3:g32", 32, False),
    ("fp8e5m2", None, False),
    ("fp16", None, False),
    ("bf16", None, False),
]
# bits of the mantissa, exponent of the smallest normal number, largest value
FLOATS = {
    "fp8e4m3": (3, -6, 448.0),
    "fp8e5m2": (2, -14, 57344.0),
    "fp16": (10, -14, 65504.0),
    "bf16": (7, -126, float.fromhex("0x1.fep127")),
}


def read_tensors(path):
    """The matrices of a llama2.c checkpoint of version 1 by name, in float64."""
    data = open(path, "rb").read()
    magic, version, dim, hidden, layers, heads, kv_heads, vocab, _, shared = struct.unpack_from(
        "<IIiiiiiiiB", data
    )
    assert magic == 0x616B3432 and version == 1 and shared == 1
    kv = dim // heads * kv_heads
    at = 256 + 4 * dim * (2 * layers + 1)  # behind the header and the norms
    tensors = {}

    def take(name, rows, cols):
        nonlocal at
        values = np.frombuffer(data, "<f4", rows * cols, at).astype(np.float64)
        tensors[name] = values.reshape(rows, cols)
        at += 4 * rows * cols

    take("token_embd", vocab, dim)
    for name, rows, cols in (
        ("attn_q", dim, dim),
        ("attn_k", kv, dim),
        ("attn_v", kv, dim),
        ("attn_output", dim, dim),
        ("ffn_gate", hidden, dim),
        ("ffn_down", dim, hidden),
        ("ffn_up", hidden, dim),
    ):
        for layer in range(layers):
            take(f"blk.{layer}.{name}", rows, cols)
    assert at == len(data)
    return tensors


def round_float(x, mantissa, least, largest):
    """To the nearest number of a binary format, halves to even, saturating."""
    exponent = np.maximum(np.frexp(x)[1] - 1, least)
    step = np.ldexp(1.0, exponent - mantissa)
    return np.clip(np.rint(x / step) * step, -largest, largest)


def store_scale(scale, grouped, up):
    """What is kept of a scale."""
    if not grouped:
        return float(np.float32(scale))
    kept = np.float16(np.float32(scale))
    if up and float(kept) < float(np.float32(scale)):
        kept = np.nextafter(kept, np.float16(np.inf))
    return float(kept)


def quantize(block, kind, grouped, asym):
    """A block of weights that share a scale, and that scale."""
    if kind in FLOATS:
        scale = 1.0
        if kind.startswith("fp8"):
            scale = store_scale(np.abs(block).max() / FLOATS[kind][2], grouped, False)
        return round_float(block / scale, *FLOATS[kind]) * scale, scale
    bits = int(kind[3:])
    if not asym:
        most = 2 ** (bits - 1) - 1
        scale = store_scale(np.abs(block).max() / most, grouped, False)
        return np.clip(np.rint(block / scale), -most, most) * scale, scale
    most = 2**bits - 1
    low, high = min(block.min(), 0.0), max(block.max(), 0.0)
    scale = store_scale((high - low) / most, grouped, True)
    zero = min(np.rint(-low / scale), most)
    return (np.clip(np.rint(block / scale) + zero, 0, most) - zero) * scale, scale


def figures(w, kind, group, asym):
    """Everything that the test compares."""
    v, scales, clipped = np.empty_like(w), [], 0
    rows, cols = w.shape
    grouped = bool(group) and group < cols
    for r in [slice(None)] if group == 0 else range(rows):
        for c in range(0, cols, group if grouped else cols):
            place = (r, slice(c, c + (group if grouped else cols)))
            v[place], scale = quantize(w[place], kind, bool(group), asym)
            clipped += int((np.abs(v[place] - w[place]) > 0.5005 * scale).sum())
            scales.append(scale)
    e = v - w
    worst = np.unravel_index(np.abs(e).argmax(), e.shape)
    return {
        "sqnr": 10 * np.log10((w * w).sum() / (e * e).sum()),
        "mse": (e * e).mean(),
        "cosine": (w * v).sum() / np.sqrt((w * w).sum() * (v * v).sum()),
        "clipped": clipped,
        "largest": np.abs(e).max(),
        "row": worst[0],
        "col": worst[1],
        "scale_min": min(scales),
        "scale_max": max(scales),
        "scale_mean": np.mean(scales),
    }


def main():
    tensors = read_tensors(sys.argv[1])
    print(f"/* numpy {np.__version__} */")
    for name in TENSORS:
        for scheme, group, asym in SCHEMES:
            kind = scheme.split(":")[0]
            f = figures(tensors[name], kind, group, asym)
            if kind in ("fp16", "bf16"):  # they have no scales
                f["scale_min"] = f["scale_max"] = f["scale_mean"] = 0.0
            print(
                f'{{"{name}", "{scheme}", {f["sqnr"]:.9f}, {f["mse"]:.12e}, {1 - f["cosine"]:.9e},\n'
                f' {f["clipped"] if kind.startswith("int") else -1}, {f["largest"]:.9e}, '
                f'{f["row"]}, {f["col"]}, {f["scale_min"]:.9e}, {f["scale_max"]:.9e}, {f["scale_mean"]:.9e}}},'
            )


if __name__ == "__main__":
    main()
