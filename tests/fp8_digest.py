#!/usr/bin/env python3
"""Prints the digests of fp8 casts that dtype_test.c holds the encoders against.

The casts are those of ml_dtypes (float8_e4m3fn, float8_e5m2), a separate implementation:

    python3 -m venv venv && venv/bin/pip install numpy ml_dtypes && venv/bin/python fp8_digest.py

Two streams of inputs a format, both inside its finite range, where saturating and overflowing casts
agree: every finite fp16 value in the order of its codes, and 1,000,000 fp32 values whose sign,
exponent and mantissa come from SplitMix64 (see make_input in dtype_test.c). A digest is the FNV-1a
64-bit hash of the bytes of the codes.
"""
import ml_dtypes
import numpy as np

from digests import SEED, fnv1a, splitmix64

COUNT = 1_000_000
FORMATS = [
    # name, dtype, largest finite value, lowest and highest exponent drawn
    ("fp8e4m3", ml_dtypes.float8_e4m3fn, 448.0, -14, 8),
    ("fp8e5m2", ml_dtypes.float8_e5m2, 57344.0, -21, 15),
]


def random_values(largest, low, high):
    """fp32 values of every exponent from low to high; those above the largest are halved."""
    z = splitmix64(SEED, COUNT)
    exponent = (z >> np.uint64(32) & np.uint64(0xFFFF)) % np.uint64(high - low + 1)
    bits = (z >> np.uint64(63) << np.uint64(31)) | (z & np.uint64(0x7FFFFF))
    bits |= (exponent + np.uint64(127 + low)) << np.uint64(23)
    values = bits.astype(np.uint32).view(np.float32)
    return np.where(np.abs(values) > largest, values / np.float32(2), values)


def fp16_values(largest):
    """Every fp16 value inside the range, in the order of the codes."""
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    return values[np.abs(values) <= largest]  # drops NaN too


def main():
    print(f"/* ml_dtypes {ml_dtypes.__version__}, numpy {np.__version__} */")
    for name, dtype, largest, low, high in FORMATS:
        digests = [
            fnv1a(values.astype(np.float32).astype(dtype).tobytes())
            for values in (fp16_values(largest), random_values(largest, low, high))
        ]
        print(f"{name}: fp16 0x{digests[0]:016x}, random 0x{digests[1]:016x}")


if __name__ == "__main__":
    np.seterr(over="ignore")
    main()
