#!/usr/bin/env python3
"""Which type llama-quantize gives each tensor, for tests/mixes_test.c.

    tests/mixes.py PATH/llama-quantize > tests/data/mixes.txt

Makes GGUF files of the shapes below, whose weights are holes, and asks `llama-quantize --dry-run` for every mix, without
and with an importance matrix. Lines of the output:

    model NAME ARCHITECTURE LAYERS HEADS KV_HEADS EXPERTS
    tensor NAME FIRST LAST ROWS COLS EXPERTS         in blocks FIRST to LAST; -1: outside of them; EXPERTS 0: one matrix
    mix MODEL MIX without|with|any TYPE [TENSOR[@BLOCKS]=TYPE]...  an importance; TYPE is that of all other tensors;
                                                     refused: blocks do not divide rows, and no type takes their place
"""
import collections
import os
import re
import struct
import subprocess
import sys
import tempfile

MIXES = """iq1_s iq1_m iq2_xxs iq2_xs iq2_s iq2_m q2_k_s q2_k iq3_xxs iq3_xs iq3_s iq3_m q3_k_s q3_k_m q3_k_l iq4_xs iq4_nl
q4_0 q4_1 q4_k_s q4_k_m q5_0 q5_1 q5_k_s q5_k_m q6_k q8_0 mxfp4_moe tq1_0 tq2_0 q1_0 q2_0 q3_k q4_k q5_k""".split()


def attention(last, dim, heads, kv, size):
    return [("attn_q", 0, last, heads * size, dim, 0), ("attn_k", 0, last, kv * size, dim, 0),
            ("attn_v", 0, last, kv * size, dim, 0), ("attn_output", 0, last, dim, heads * size, 0)]


def dense(first, last, dim, hidden):
    return [("ffn_gate", first, last, hidden, dim, 0), ("ffn_up", first, last, hidden, dim, 0),
            ("ffn_down", first, last, dim, hidden, 0)]


def mixture(first, last, dim, hidden, experts, shared=0):
    names = [("ffn_gate", hidden, dim), ("ffn_up", hidden, dim), ("ffn_down", dim, hidden)]
    own = [("ffn_gate_inp", first, last, experts, dim, 0)]
    own += [(n + "_exps", first, last, r, c, experts) for n, r, c in names]
    names = [("ffn_gate", shared, dim), ("ffn_up", shared, dim), ("ffn_down", dim, shared)]
    return own + ([(n + "_shexp", first, last, r, c, 0) for n, r, c in names] if shared else [])


def table(name, vocab, dim):
    return [(name, -1, -1, vocab, dim, 0)]


def llama(layers, dim, heads, kv, size, hidden, vocab, tied):
    head = [] if tied else table("output", vocab, dim)
    return table("token_embd", vocab, dim) + attention(layers - 1, dim, heads, kv, size) + dense(
        0, layers - 1, dim, hidden) + head


def moe(layers, first, dim, heads, kv, size, hidden, experts, shared, vocab):
    before = dense(0, first - 1, dim, 4 * hidden) if first else []
    return table("token_embd", vocab, dim) + attention(layers - 1, dim, heads, kv, size) + before + mixture(
        first, layers - 1, dim, hidden, experts, shared) + table("output", vocab, dim)


def fused(layers, dim, rows, hidden, vocab, head):
    return table("token_embd", vocab, dim) + [
        ("attn_qkv", 0, layers - 1, rows, dim, 0), ("attn_output", 0, layers - 1, dim, dim, 0),
        ("ffn_up", 0, layers - 1, hidden, dim, 0), ("ffn_down", 0, layers - 1, dim, hidden, 0)] + (
            table("output", vocab, dim) if head else [])


# Name: architecture, layers, heads, heads of keys and values, experts, tensors, further keys.
MODELS = {
    "smol768": ("llama", 30, 9, 3, 0, llama(30, 768, 9, 3, 64, 1536, 512, False), {}),
    "smol135": ("llama", 30, 9, 3, 0, llama(30, 576, 9, 3, 64, 1536, 512, True), {}),
    "narrow": ("llama", 5, 4, 1, 0, llama(5, 80, 4, 1, 20, 272, 512, True), {}),
    "gemma270m": ("gemma3", 18, 4, 1, 0, llama(18, 640, 4, 1, 256, 2048, 512, True), {}),
    "llama7b": ("llama", 32, 32, 32, 0, llama(32, 4096, 32, 32, 128, 11008, 512, False), {}),
    "llama70b": ("llama", 80, 64, 8, 0, llama(80, 8192, 64, 8, 128, 28672, 512, False), {}),
    "llama65b": ("llama", 80, 64, 64, 0, llama(80, 8192, 64, 64, 128, 22016, 512, False), {}),
    "qwen72b": ("qwen2", 80, 6, 2, 0, llama(80, 1536, 6, 2, 256, 4096, 512, False), {}),
    "mixtral": ("llama", 32, 32, 8, 8, moe(32, 0, 4096, 32, 8, 128, 14336, 8, 0, 512), {}),
    "two_experts": ("llama", 16, 8, 4, 2, moe(16, 0, 512, 8, 4, 64, 768, 2, 0, 512), {}),
    "qwen30b": ("qwen3moe", 48, 32, 4, 128, moe(48, 0, 2048, 32, 4, 128, 768, 128, 0, 512), {}),
    "shared": ("qwen2moe", 24, 16, 16, 60, moe(24, 0, 2048, 16, 16, 128, 1408, 60, 5632, 512), {}),
    "dense_first": ("dots1", 18, 8, 8, 16, moe(18, 2, 512, 8, 8, 64, 256, 16, 512, 512), {"expert_shared_count": 1}),
    "falcon7b": ("falcon", 32, 71, 1, 0, fused(32, 4544, 73 * 64, 4 * 4544, 512, True), {}),
    "falcon40b": ("falcon", 60, 128, 8, 0, fused(60, 8192, 144 * 64, 4 * 8192, 512, False), {}),
    "gpt2": ("gpt2", 12, 12, 12, 0, fused(12, 768, 3 * 768, 3072, 512, True) + table("position_embd", 128, 768), {}),
}


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def value(v):
    if isinstance(v, str):
        return struct.pack("<I", 8) + text(v)
    return struct.pack("<If", 6, v) if isinstance(v, float) else struct.pack("<II", 4, v)


def names_of(tensors):
    """Every tensor with its shape in GGUF's order, and the norms that the file must have."""
    for name, first, last, rows, cols, experts in tensors:
        shape = [cols, rows] + ([experts] if experts else [])
        for block in range(first, last + 1):
            yield (f"blk.{block}.{name}.weight" if block >= 0 else f"{name}.weight"), shape


def write_gguf(path, arch, layers, heads, kv, experts, tensors, more):
    """fp32 tensors whose bytes are a hole at the file's end."""
    dim = tensors[0][4]
    size = next((t[3] // heads for t in tensors if t[0] == "attn_q"), dim // heads)
    keys = {"context_length": 512, "embedding_length": dim, "block_count": layers, "feed_forward_length": 4 * dim,
            "attention.head_count": heads, "attention.head_count_kv": kv, "attention.key_length": size,
            "attention.value_length": size, "attention.layer_norm_rms_epsilon": 1e-5,
            "attention.layer_norm_epsilon": 1e-5, "vocab_size": 512, "rope.dimension_count": size, **more}
    if experts:
        keys |= {"expert_count": experts, "expert_used_count": 2, "expert_feed_forward_length": 256}
    pairs = {"general.architecture": arch, **{f"{arch}.{k}": v for k, v in keys.items()}}
    infos, at = b"", 0
    listed = list(names_of(tensors))
    for name, shape in listed:
        infos += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        infos += struct.pack("<IQ", 0, at)
        count = 1
        for n in shape:
            count *= n
        at += (4 * count + 31) // 32 * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(listed), len(pairs))
    head += b"".join(text(k) + value(v) for k, v in pairs.items()) + infos
    head += bytes(-len(head) % 32)
    with open(path, "wb") as f:
        f.write(head)
        f.truncate(len(head) + at)


def write_importance(path):
    """In the older format: one entry."""
    name = b"blk.0.ffn_down.weight"
    with open(path, "wb") as f:
        f.write(struct.pack("<ii", 1, len(name)) + name + struct.pack("<ii4f", 1, 4, 1, 1, 1, 1))
        f.write(struct.pack("<ii", 1, 1) + b"x")


LINE = re.compile(r"^\[ *\d+/ *\d+\] +(\S+) +- \[[ 0-9,]*\], type = +f32, size = .*?(?:\((\w+)\))?$")


def types_of(quantize, path, mix, importance):
    command = [quantize, *(["--imatrix", importance] if importance else []), "--dry-run", path, mix.upper()]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = {}
    for line in done.stdout.splitlines():
        m = LINE.match(line)
        if m:
            found[m[1]] = (m[2] or "copy").lower()
    if "no tensor type fallback is defined" in done.stdout:
        return None
    if done.returncode or not found:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-2000:]}")
    return found


def ranges(blocks):
    parts, blocks = [], sorted(blocks)
    while blocks:
        n = 1
        while n < len(blocks) and blocks[n] == blocks[0] + n:
            n += 1
        parts.append(f"{blocks[0]}-{blocks[n - 1]}" if n > 1 else str(blocks[0]))
        blocks = blocks[n:]
    return ",".join(parts)


def summary(types, tensors):
    if types is None:
        return "refused"
    usual = collections.Counter(sorted(types.values())).most_common(1)[0][0]
    words = [usual]
    for name, first, last, *_ in tensors:
        by_type = collections.defaultdict(list)
        for block in range(first, last + 1):
            by_type[types[f"blk.{block}.{name}.weight" if block >= 0 else f"{name}.weight"]].append(block)
        for kind, blocks in by_type.items():
            whole = len(blocks) == last - first + 1
            if kind != usual:
                words.append(f"{name}{'' if whole else '@' + ranges(blocks)}={kind}")
    return " ".join(words)


def main():
    quantize = sys.argv[1]
    version = sys.argv[2] if len(sys.argv) > 2 else "llama-quantize"
    print(f"# By tests/mixes.py, of {version}: which type each tensor gets.")
    with tempfile.TemporaryDirectory() as folder:
        path, importance = os.path.join(folder, "m.gguf"), os.path.join(folder, "imatrix.dat")
        write_importance(importance)
        for name, (arch, layers, heads, kv, experts, tensors, more) in MODELS.items():
            write_gguf(path, arch, layers, heads, kv, experts, tensors, more)
            print(f"model {name} {arch} {layers} {heads} {kv} {experts}")
            for t in tensors:
                print("tensor", *t)
            for mix in MIXES:
                plain = summary(types_of(quantize, path, mix, None), tensors)
                weighed = summary(types_of(quantize, path, mix, importance), tensors)
                if plain == weighed:
                    print(f"mix {name} {mix} any {plain}")
                else:
                    print(f"mix {name} {mix} without {plain}\nmix {name} {mix} with {weighed}")


main()
