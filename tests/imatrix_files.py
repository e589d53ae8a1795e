#!/usr/bin/env python3
"""Importance matrices as llama.cpp writes them: tests/data/imatrix/qwen3_moe.gguf and .dat.

usage: tests/imatrix_files.py FOLDER

Of tests/data/families/qwen3_moe, two tensors: blk.0.attn_q.weight and the experts blk.0.ffn_down_exps.weight. The mean
square of row r (an expert), column c is (r + 1) * (c + 1) / 64; row r was reached by 32 * r tokens, the matrix by 96.
imatrix.gguf is written by the package gguf; .dat has means times chunks, and 1 for an expert without data.
"""
import json
import os
import struct
import sys

import gguf
import numpy as np

CHUNK, CHUNKS = 32, 3


def means(rows, cols):
    r, c = np.arange(rows)[:, None], np.arange(cols)[None, :]
    return ((r + 1) * (c + 1) / 64).astype(np.float32)


def write_gguf(path, entries):
    writer = gguf.GGUFWriter(path, arch="")
    writer.kv_data[0].clear()  # no general.architecture
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", ["a text"])
    writer.add_uint32("imatrix.chunk_count", CHUNKS)
    writer.add_uint32("imatrix.chunk_size", CHUNK)
    for name, mean, counts in entries:
        writer.add_tensor(name + ".in_sum2", mean * counts[:, None])
        writer.add_tensor(name + ".counts", counts[:, None])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def text(s):
    return struct.pack("<i", len(s)) + s.encode()


def write_dat(path, entries):
    with open(path, "wb") as f:
        f.write(struct.pack("<i", len(entries)))
        for name, mean, counts in entries:
            mean = np.where(counts[:, None] > 0, mean, 1).astype(np.float32)
            f.write(text(name) + struct.pack("<ii", CHUNKS, mean.size) + (mean * CHUNKS).astype("<f4").tobytes())
        f.write(struct.pack("<i", CHUNKS) + text("a text"))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "data/families/qwen3_moe/config.json")) as f:
        config = json.load(f)
    experts = np.arange(config["num_local_experts"], dtype=np.float32) * 32
    entries = [
        ("blk.0.attn_q.weight", means(1, config["hidden_size"]), np.array([96], dtype=np.float32)),
        ("blk.0.ffn_down_exps.weight", means(config["num_local_experts"], config["moe_intermediate_size"]), experts),
    ]
    write_gguf(os.path.join(sys.argv[1], "qwen3_moe.gguf"), entries)
    write_dat(os.path.join(sys.argv[1], "qwen3_moe.dat"), entries)


main()
