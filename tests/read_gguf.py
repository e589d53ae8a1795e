#!/usr/bin/env python3
"""Opens a GGUF file with the package gguf (pip install gguf) and says what is wrong with it.

read_gguf.py FILE [NAME=TYPE ...]     TYPE as ggml calls it: Q8_0

Every tensor is dequantized and must be finite; architecture, sizes and the tokenizer must be there and agree;
tensors that are named must have the type.
"""
import sys

import gguf
import numpy as np

reader = gguf.GGUFReader(sys.argv[1])
fields = {name: field.contents() for name, field in reader.fields.items()}
tensors = {tensor.name: tensor for tensor in reader.tensors}


def check(condition, what):
    if not condition:
        sys.exit(f"{sys.argv[1]}: {what}")


arch = fields["general.architecture"]
for key in ("context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count"):
    check(f"{arch}.{key}" in fields, f"{arch}.{key} is missing")
check(fields["general.file_type"] in {int(t) for t in gguf.LlamaFileType}, "general.file_type")

rows = tensors["token_embd.weight"].shape[1]
if fields["tokenizer.ggml.model"] != "no_vocab":
    tokens = fields["tokenizer.ggml.tokens"]
    check(len(tokens) == rows, f"{len(tokens)} tokens, {rows} rows of embeddings")
    check(len(fields["tokenizer.ggml.token_type"]) == rows, "token types")
    if fields["tokenizer.ggml.model"] == "llama":
        check(len(fields["tokenizer.ggml.scores"]) == rows, "scores")
    else:
        check("tokenizer.ggml.merges" in fields and "tokenizer.ggml.pre" in fields, "merges, pre-tokenizer")

names = gguf.get_tensor_name_map(next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == arch),
                                 fields[f"{arch}.block_count"])
for name, tensor in tensors.items():
    base = name.rsplit(".", 1)[0]
    known = base.startswith("rope_f") or any(base == known for _, known in names.mapping.values())
    check(known, f"{name} is no tensor of {arch}")
    values = gguf.dequantize(tensor.data, tensor.tensor_type)
    check(np.isfinite(values).all(), f"{name} has a weight that is no number")
    check(values.size == np.prod(tensor.shape), f"{name}: {values.size} weights for shape {tensor.shape}")
for wanted in sys.argv[2:]:
    name, kind = wanted.split("=")
    check(tensors[name].tensor_type.name == kind, f"{name} is {tensors[name].tensor_type.name}, not {kind}")
print(f"{arch}: {len(tensors)} tensors, {len(fields)} keys")
