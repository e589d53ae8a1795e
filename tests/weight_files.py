#!/usr/bin/env python3
"""Writes the weight files in tests/data/weights/ with the libraries that people write theirs with.

    pip install torch safetensors numpy && python3 tests/weight_files.py tests/data/weights

Element i of the tensor NAME is ((7 i + len(NAME)) mod 8 - 4) / 4, which every floating-point type of
the files holds exactly; tests/weightcheck.c computes the same.
"""
import json
import os
import struct
import sys
from collections import OrderedDict

import torch
from safetensors.torch import save_file

TYPES = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8e4m3": torch.float8_e4m3fn,
    "fp8e5m2": torch.float8_e5m2,
}


def values(name, *shape, dtype=torch.float32):
    count = 1
    for n in shape:
        count *= n
    flat = [((7 * i + len(name)) % 8 - 4) / 4 for i in range(count)]
    return torch.tensor(flat).reshape(shape).to(dtype)


def gpt2_buffers(prefix):
    """What old files carry along: masks and positions, which readers leave out."""
    mask = torch.tril(torch.ones(4, 4)).view(1, 1, 4, 4)
    return {
        prefix + "h.0.attn.bias": mask.to(torch.uint8),
        prefix + "h.0.attn.masked_bias": torch.tensor(-1e4),
        prefix + "layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2),
        prefix + "embeddings.position_ids": torch.arange(4).view(1, 4),
    }


def write_safetensors():
    tensors = {"weight." + name: values("weight." + name, 3, 5, dtype=t) for name, t in TYPES.items()}
    tensors["scalar"] = values("scalar")
    tensors["four"] = values("four", 2, 1, 3, 2)
    tensors["naïve/名"] = values("naïve/名".encode().decode("latin-1"), 2)
    tensors.update(gpt2_buffers("model."))
    save_file(tensors, "types.safetensors", metadata={"format": "pt"})
    save_file({"ids": torch.arange(3)}, "integers.safetensors")


def write_parts(folder, save, pattern, index):
    """A model in two files, with the index that the transformers library writes."""
    os.makedirs(folder, exist_ok=True)
    parts = [["a.weight", "b.weight"], ["c.weight"]]
    weight_map = {}
    for i, names in enumerate(parts):
        part = pattern % (i + 1, len(parts))
        save({name: values(name, 2, 3) for name in names}, os.path.join(folder, part))
        weight_map.update({name: part for name in names})
    with open(os.path.join(folder, index), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": 72}, "weight_map": weight_map}, f, indent=2)
        f.write("\n")


class Tiny(torch.nn.Module):
    """Three datatypes, a tied head, nested modules: a state dictionary as models have it."""

    def __init__(self):
        super().__init__()
        self.wte = torch.nn.Embedding(4, 3)
        self.norm = torch.nn.LayerNorm(3, dtype=torch.float16)
        self.up = torch.nn.Linear(3, 2, dtype=torch.bfloat16)
        self.lm_head = torch.nn.Linear(3, 4, bias=False)
        for name, p in self.named_parameters():
            p.data = values(name, *p.shape, dtype=p.dtype)
        self.lm_head.weight = self.wte.weight


def write_torch():
    state = Tiny().state_dict()
    torch.save(state, "state.pt")
    torch.save(state, "legacy.pt", _use_new_zipfile_serialization=False)

    # Parameters, a view into a larger storage, buffers, in a dict.
    base = torch.cat([torch.full((5,), 9.0), values("view", 6)])
    plain = {
        "parameter": torch.nn.Parameter(values("parameter", 2, 2)),
        "view": base[5:].view(2, 3),
        "one.row": values("one.row", 1, 3),
        "scalar": values("scalar"),
    }
    plain.update(gpt2_buffers(""))
    torch.save(plain, "plain.pt")

    torch.save({"wide": values("wide", 2, dtype=torch.float64)}, "double.pt")

    # Each of these must be refused.
    torch.save({"turned": values("turned", 2, 3).t()}, "transposed.pt")
    torch.save({"model": OrderedDict(w=values("w", 2)), "step": 3}, "nested.pt")
    torch.save({"w": values("w", 2), "rate": 0.5}, "fraction.pt")
    torch.save({"eight": values("eight", 2, dtype=torch.float8_e4m3fn)}, "fp8.pt")
    torch.save(torch.nn.Linear(1, 1), "module.pt")
    torch.save([values("w", 2)], "list.pt")


def write_llmc():
    """A GPT-2 of one block in the layout of llm.c: padded vocabulary, bf16."""
    context, vocab, layers, heads, channels, padded = 3, 5, 2, 2, 4, 8
    order = [("wte.weight", padded * channels), ("wpe.weight", context * channels)]
    c = channels
    block = [("ln_1.weight", c), ("ln_1.bias", c), ("attn.c_attn.weight", 3 * c * c),
             ("attn.c_attn.bias", 3 * c), ("attn.c_proj.weight", c * c), ("attn.c_proj.bias", c),
             ("ln_2.weight", c), ("ln_2.bias", c), ("mlp.c_fc.weight", 4 * c * c),
             ("mlp.c_fc.bias", 4 * c), ("mlp.c_proj.weight", 4 * c * c), ("mlp.c_proj.bias", c)]
    order += [("h.%d.%s" % (i, name), n) for name, n in block for i in range(layers)]
    order += [("ln_f.weight", c), ("ln_f.bias", c)]
    header = [20240326, 5, context, vocab, layers, heads, channels, padded]
    with open("gpt2_bf16.bin", "wb") as f:
        f.write(struct.pack("<256i", *header, *[0] * (256 - len(header))))
        for name, n in order:
            f.write(values(name, n, dtype=torch.bfloat16).view(torch.int16).numpy().tobytes())


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    write_safetensors()
    write_parts("parts", save_file, "model-%05d-of-%05d.safetensors", "model.safetensors.index.json")
    write_parts("torch_parts", torch.save, "pytorch_model-%05d-of-%05d.bin",
                "pytorch_model.bin.index.json")
    write_torch()
    write_llmc()


if __name__ == "__main__":
    main()
