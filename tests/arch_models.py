#!/usr/bin/env python3
"""Makes tests/data/arch: tiny random models of every architecture, with reference logits.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.24.0 \\
        safetensors==0.8.0 numpy==2.4.6 gguf==0.19.0 tokenizers==0.23.3 sentencepiece==0.2.3 \\
        protobuf==7.36.2
    venv/bin/python arch_models.py make data/arch      configurations, weights, tokens, logits
    venv/bin/python arch_models.py gguf data/arch DIR  GGUF files; DIR is llama.cpp's folder with
                                                       convert_hf_to_gguf.py, conversion, gguf-py
    venv/bin/python arch_models.py check data/arch     loads all again, compares, prints tables

The converter comes with the source package llama-cpp-python 0.3.36, in vendor/llama.cpp.

Weights come from NumPy's PCG64 with a seed a model and are rounded to the type they are stored in;
the logits are those of the rounded weights, computed in float32 by transformers with eager
attention on one thread. README.md in the folder describes the files.
"""
import argparse
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

TOKENS = 64
BF16, FP16 = "bfloat16", "float16"


class Tiny:
    """What is made of one architecture. `config` is config.json as it is written; `by_gguf` are the
    changes that turn the configuration into what a GGUF file of it can say, `changes` those that
    must show in the logits: of the configuration or, by a function, of the tensors."""

    def __init__(self, name, seed, dtype, vocabulary, config, by_gguf=None, bin_file=False,
                 changes=()):
        self.name, self.seed, self.dtype, self.vocabulary = name, seed, dtype, vocabulary
        self.config = dict(config, **({"torch_dtype": dtype} if "dtype" not in config else {}))
        self.by_gguf, self.bin_file, self.changes = by_gguf, bin_file, changes


def no_biases(tensors):
    return {n: t * 0 if n.endswith("bias") else t for n, t in tensors.items()}


def no_head_norms(tensors):
    return {n: t * 0 + 1 if n.endswith(("q_norm.weight", "k_norm.weight")) else t
            for n, t in tensors.items()}


def no_norm_offset(tensors):
    return {n: t - 1 if n.endswith("norm.weight") else t for n, t in tensors.items()}


def no_positions(tensors):
    return {n: t * 0 if n.endswith("wpe.weight") else t for n, t in tensors.items()}


DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "attention_bias": False, "mlp_bias": False, "vocab_size": 64, "hidden_size": 32,
    "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-3,
    "rope_theta": 10000.0, "rope_scaling": None, "tie_word_embeddings": False,
    "bos_token_id": 1, "eos_token_id": 2,
}

TINIES = [
    Tiny("llama", 101, FP16, "spm", LLAMA,
         changes=[("rope_theta 20000", {"rope_parameters": dict(DEFAULT_ROPE, rope_theta=20000.0)}),
                  ("rms_norm_eps 1e-5", {"rms_norm_eps": 1e-5})]),
    Tiny("llama3", 102, BF16, "llama-bpe", dict(
        LLAMA, intermediate_size=28, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=500000.0,
        tie_word_embeddings=True,
        rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                      "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
        bos_token_id=62, eos_token_id=63),
         changes=[("no rope scaling",
                   {"rope_parameters": dict(DEFAULT_ROPE, rope_theta=500000.0)})]),
    Tiny("llama-linear", 103, FP16, "spm", dict(
        LLAMA, intermediate_size=28, num_key_value_heads=4, rms_norm_eps=1e-5,
        rope_scaling={"type": "linear", "factor": 2.0}),
         changes=[("no rope scaling", {"rope_parameters": DEFAULT_ROPE})]),
    Tiny("mistral", 104, BF16, "spm", {
        "architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_act": "silu",
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 28, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "sliding_window": 16,
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
    }, by_gguf={"sliding_window": None},
         changes=[("no window", {"sliding_window": None}), ("window 15", {"sliding_window": 15}),
                  ("window 17", {"sliding_window": 17})]),
    Tiny("qwen2", 105, BF16, "qwen2", {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 28, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "use_sliding_window": False,
        "sliding_window": 16, "max_window_layers": 1, "tie_word_embeddings": True,
        "bos_token_id": 63, "eos_token_id": 63,
    }, bin_file=True,
         changes=[("no biases", no_biases),
                  ("use_sliding_window", {
                      "use_sliding_window": True, "sliding_window": 16,
                      "layer_types": ["full_attention", "sliding_attention"]})]),
    Tiny("qwen3", 106, BF16, "qwen2", {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu",
        "attention_bias": False, "vocab_size": 64, "hidden_size": 32, "intermediate_size": 28,
        "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 16,
        "max_position_embeddings": 256, "max_window_layers": 2, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
        "layer_types": ["full_attention", "full_attention"], "use_sliding_window": False,
        "sliding_window": None, "tie_word_embeddings": False, "dtype": BF16,
        "bos_token_id": 63, "eos_token_id": 63,
    }, changes=[("norms of heads all ones", no_head_norms)]),
    Tiny("gpt2", 107, FP16, "gpt-2", {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2",
        "activation_function": "gelu_new", "vocab_size": 64, "n_embd": 32, "n_layer": 2,
        "n_head": 4, "n_ctx": 128, "n_positions": 128, "n_inner": None, "layer_norm_epsilon": 1e-3,
        "tie_word_embeddings": True, "bos_token_id": 63, "eos_token_id": 63,
    }, bin_file=True,
         changes=[("no biases", no_biases), ("no positions", no_positions),
                  ("exact gelu", {"activation_function": "gelu"}),
                  ("layer_norm_epsilon 1e-5", {"layer_norm_epsilon": 1e-5})]),
    Tiny("phi3", 108, BF16, "spm", {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_act": "silu",
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 28, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "original_max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "rope_scaling": None, "sliding_window": None, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }, changes=[("window 16", {"sliding_window": 16})]),
    Tiny("phi3-long", 111, BF16, "spm", {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_act": "silu",
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 28, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
        "original_max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.25, 1.75, 3.0],
                         "long_factor": [1.5, 4.0, 12.0, 32.0]},
        "sliding_window": None, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }, changes=[("no scaling", {
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}})]),
    Tiny("gemma", 109, BF16, "gemma", {
        "architectures": ["GemmaForCausalLM"], "model_type": "gemma",
        "hidden_act": "gelu_pytorch_tanh", "attention_bias": False,
        "vocab_size": 112, "hidden_size": 32, "intermediate_size": 20,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-3, "rope_theta": 10000.0,
        "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0,
    }, changes=[("no norm offset", no_norm_offset), ("exact gelu", {"hidden_act": "gelu"}),
                ("rms_norm_eps 1e-6", {"rms_norm_eps": 1e-6})]),
    Tiny("gemma2", 110, BF16, "gemma", {
        "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2",
        "hidden_activation": "gelu_pytorch_tanh", "attention_bias": False, "vocab_size": 64,
        "hidden_size": 48, "intermediate_size": 20, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "query_pre_attn_scalar": 24,
        "attn_logit_softcapping": 5.0, "final_logit_softcapping": 8.0, "sliding_window": 16,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": True, "dtype": BF16,
        "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0,
    }, by_gguf={"query_pre_attn_scalar": 8},
         changes=[("no attention cap", {"attn_logit_softcapping": None}),
                  ("no final cap", {"final_logit_softcapping": None}),
                  ("no window", {"layer_types": ["full_attention"] * 3}),
                  ("windows everywhere", {"layer_types": ["sliding_attention"] * 3}),
                  ("windows the other way round",
                   {"layer_types": ["full_attention", "sliding_attention", "full_attention"]}),
                  ("window 15", {"sliding_window": 15}), ("window 17", {"sliding_window": 17}),
                  ("query_pre_attn_scalar 8", {"query_pre_attn_scalar": 8}),
                  ("no norm offset", no_norm_offset),
                  ("exact gelu", {"hidden_activation": "gelu"})]),
]

MIXTRAL = {
    "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_act": "silu",
    "vocab_size": 16, "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "num_local_experts": 4,
    "num_experts_per_tok": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
    "rope_theta": 1000000.0, "sliding_window": None, "tie_word_embeddings": False,
    "torch_dtype": FP16, "bos_token_id": 1, "eos_token_id": 2,
}

# What the tiny tokenizers are trained on.
TEXT = """A lantern hung over the narrow harbour, and its light fell on seven small boats.
The baker woke before the birds, mixed flour with water, and whistled an old tune.
Rain came down from the hills; the river rose, the mill wheel turned, and the miller was glad.
"Where are the other oars?" asked Tilda. "Under the bench," said her brother, "with the nets."
Nothing is as quiet as a field of snow in the hour after the storm has gone.
They counted 10 apples, 24 pears and 365 plums, then they ate the plums.
""" * 4


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- make

def deviation(name, shape):
    """Standard deviation of a tensor: signals keep their size, logits spread."""
    if name.endswith("bias"):
        return 0.3
    if name.endswith(("wpe.weight", "norm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight")):
        return 0.3
    if name.endswith(("embed_tokens.weight", "wte.weight", "lm_head.weight")):
        return 0.4
    transposed = ".c_" in name  # GPT-2 stores in x out
    gain = 1.6 if any(part in name for part in ("q_proj", "k_proj", "qkv", "c_attn")) else 1.2
    return gain / np.sqrt(shape[0] if transposed else shape[1])


def random_tensors(tiny, shapes):
    """float32 tensors that the stored type represents, by name."""
    import torch
    random = np.random.Generator(np.random.PCG64(tiny.seed))
    offset = 0.0 if tiny.config["model_type"].startswith("gemma") else 1.0
    tensors = {}
    for name in sorted(shapes):
        values = random.standard_normal(shapes[name]) * deviation(name, shapes[name])
        if name.endswith("norm.weight") or ".ln_" in name and name.endswith("weight"):
            values += offset
        tensors[name] = torch.tensor(values, dtype=torch.float32).to(getattr(torch, tiny.dtype))
    return tensors


def load_model(folder, **changes):
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", **changes).eval()


def logits_of(model, tokens):
    import torch
    with torch.inference_mode():
        return model(torch.tensor([tokens]), use_cache=False).logits[0].numpy().astype("<f4")


def write_bin(tiny, tensors, metadata, path):
    """The state dict as old checkpoints have it: once plain, once with torch's metadata."""
    import torch
    state = dict(tensors)
    if tiny.name == "gpt2":  # no prefix, and the masks are there; here they are one storage
        state = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
        size = tiny.config["n_positions"]
        mask = torch.tril(torch.ones(size, size, dtype=torch.uint8)).view(1, 1, size, size)
        for layer in range(tiny.config["n_layer"]):
            state[f"h.{layer}.attn.bias"] = mask
    elif tiny.config["tie_word_embeddings"]:  # two names of one storage
        state = collections.OrderedDict(state)
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
        state._metadata = metadata
    torch.save(state, path)


def make(root):
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM
    torch.set_num_threads(1)
    for tiny in TINIES:
        folder = root / tiny.name
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", tiny.config)
        config = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        if config.tie_word_embeddings:
            shapes.pop("lm_head.weight")
        tensors = random_tensors(tiny, shapes)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        if tiny.bin_file:
            write_bin(tiny, tensors, model.state_dict()._metadata, folder / "pytorch_model.bin")
        random = np.random.Generator(np.random.PCG64(tiny.seed + 1000))
        tokens = random.integers(0, config.vocab_size, TOKENS).tolist()
        (folder / "tokens.txt").write_text(" ".join(map(str, tokens)) + "\n")
        logits_of(load_model(folder), tokens).tofile(folder / "logits.f32")
        if tiny.by_gguf:
            logits_of(load_model(folder, **tiny.by_gguf), tokens).tofile(folder / "logits-gguf.f32")
    (root / "mixtral").mkdir(exist_ok=True)
    write_json(root / "mixtral" / "config.json", MIXTRAL)


# ---------------------------------------------------------------- gguf

def write_spm(tiny, folder):
    """A SentencePiece model whose special tokens have the model family's ids."""
    import sentencepiece
    ids = (dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3) if tiny.vocabulary == "gemma" else
           dict(unk_id=0, bos_id=1, eos_id=2))
    corpus = folder / "corpus.txt"
    corpus.write_text(TEXT, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.Train(
        input=str(corpus), model_prefix=str(folder / "tokenizer"), model_type="bpe",
        vocab_size=tiny.config["vocab_size"], character_coverage=1.0, num_threads=1,
        minloglevel=2, **ids)
    corpus.unlink()
    (folder / "tokenizer.vocab").unlink()
    name = "GemmaTokenizer" if tiny.vocabulary == "gemma" else "LlamaTokenizer"
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": name, "add_bos_token": True, "add_eos_token": False})


def write_bpe(tiny, folder):
    """A byte-level BPE tokenizer of the characters in TEXT; special tokens come last."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    special = {"llama-bpe": ["<|begin_of_text|>", "<|end_of_text|>"]}.get(
        tiny.vocabulary, ["<|endoftext|>"])
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=tiny.config["vocab_size"] - len(special), show_progress=False))
    tokenizer.add_special_tokens(special)
    assert tokenizer.get_vocab_size() == tiny.config["vocab_size"]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=special[0],
                            eos_token=special[-1]).save_pretrained(folder)


# Runs the converter. It knows byte-level BPE vocabularies by a hash of what they make of a text,
# and these are none that it has met, so it is told the name.
CONVERT = """
import runpy, sys
converter, pre = sys.argv[1], sys.argv[2]
sys.argv = sys.argv[2:]
sys.path.insert(0, converter)
sys.path.insert(1, converter + "/gguf-py")
from conversion import base
base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
runpy.run_path(converter + "/convert_hf_to_gguf.py", run_name="__main__")
"""


def convert(root, converter):
    for tiny in TINIES:
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            model = scratch / tiny.name
            model.mkdir()
            for name in ("config.json", "model.safetensors"):
                shutil.copy(root / tiny.name / name, model / name)
            (write_spm if tiny.vocabulary in ("spm", "gemma") else write_bpe)(tiny, model)
            subprocess.run(
                [sys.executable, "-c", CONVERT, str(converter.resolve()), tiny.vocabulary,
                 str(model), "--outfile", str(scratch / "out.gguf"),
                 "--model-name", "qtop-" + tiny.name,
                 "--outtype", "f16" if tiny.dtype == FP16 else "bf16"],
                check=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
            shutil.copyfile(scratch / "out.gguf", root / tiny.name / (tiny.name + ".gguf"))
    mixtral_gguf(root / "mixtral" / "mixtral.gguf")


def mixtral_gguf(path):
    """A mixture of experts as the converter names it; the weights are zeros."""
    import gguf
    c = MIXTRAL
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("qtop-mixtral")
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_expert_count(c["num_local_experts"])
    writer.add_expert_used_count(c["num_experts_per_tok"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(c["vocab_size"])
    writer.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"])
    width, kv = c["hidden_size"], c["hidden_size"] // 2
    experts, inner, vocab = c["num_local_experts"], c["intermediate_size"], c["vocab_size"]
    half = np.float16
    for name, shape, dtype in [
            ("token_embd", (vocab, width), half),
            ("blk.0.attn_norm", (width,), np.float32), ("blk.0.ffn_norm", (width,), np.float32),
            ("blk.0.attn_q", (width, width), half), ("blk.0.attn_k", (kv, width), half),
            ("blk.0.attn_v", (kv, width), half), ("blk.0.attn_output", (width, width), half),
            ("blk.0.ffn_gate_inp", (experts, width), np.float32),
            ("blk.0.ffn_gate_exps", (experts, inner, width), half),
            ("blk.0.ffn_down_exps", (experts, width, inner), half),
            ("blk.0.ffn_up_exps", (experts, inner, width), half),
            ("output_norm", (width,), np.float32), ("output", (vocab, width), half)]:
        writer.add_tensor(name + ".weight", np.zeros(shape, dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---------------------------------------------------------------- check

def check(root):
    import torch
    print("| model | max of logits | their standard deviation | changed to | max change |")
    print("|---|---|---|---|---|")
    for tiny in TINIES:
        folder = root / tiny.name
        tokens = list(map(int, (folder / "tokens.txt").read_text().split()))
        saved = np.fromfile(folder / "logits.f32", "<f4").reshape(TOKENS, -1)
        model = load_model(folder)
        assert len(tokens) == TOKENS and np.array_equal(saved, logits_of(model, tokens)), tiny.name
        assert np.isfinite(saved).all()
        if tiny.by_gguf:
            other = np.fromfile(folder / "logits-gguf.f32", "<f4").reshape(TOKENS, -1)
            assert np.array_equal(other, logits_of(load_model(folder, **tiny.by_gguf), tokens))
        if tiny.bin_file:
            state = torch.load(folder / "pytorch_model.bin", weights_only=True)
            held = model.state_dict()
            for name, tensor in state.items():
                if not name.endswith(".attn.bias"):
                    known = name if name in held else "transformer." + name
                    assert torch.equal(held[known], tensor.float()), name
        first = f"| {tiny.name} | {np.abs(saved).max():.2f} | {saved.std():.2f} |"
        for label, change in tiny.changes:
            if callable(change):
                changed = load_model(folder)
                changed.load_state_dict(change(changed.state_dict()))
            else:
                changed = load_model(folder, **change)
            difference = np.abs(logits_of(changed, tokens) - saved).max()
            print(first, label, f"| {difference:.3g} |")
            first = "| | | |"
    print()
    print("| file | bytes |")
    print("|---|---|")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in files:
        print(f"| {path.relative_to(root)} | {path.stat().st_size} |")
    print(f"| all | {sum(path.stat().st_size for path in files)} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["make", "gguf", "check"])
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("converter", type=pathlib.Path, nargs="?")
    arguments = parser.parse_args()
    if (arguments.what == "gguf") != (arguments.converter is not None):
        parser.error("gguf takes the converter's folder, the others do not")
    if arguments.what == "make":
        make(arguments.root)
    elif arguments.what == "gguf":
        convert(arguments.root, arguments.converter)
    else:
        check(arguments.root)


if __name__ == "__main__":
    main()
