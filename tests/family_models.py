#!/usr/bin/env python3
"""Tiny random models of architectures with the logits of transformers: family_models.py [NAME ...]

Writes tests/data/families/NAME: config.json, model.safetensors (fp16), tokens.txt (ids) and logits.f32 (float32, one
row a token), all of the table below or those named; the same bytes each time on one machine. Needs torch, transformers,
safetensors and numpy. Every model is as small as it can be and still show what its architecture has of its own."""
import inspect
import json
import pathlib
import sys
import warnings

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent / "data" / "families"
TOKENS = 8

COMMON = dict(vocab_size=24, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, head_dim=4, max_position_embeddings=64, rms_norm_eps=1e-5,
              bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False)
EXPERTS = dict(num_experts=4, num_local_experts=4, num_experts_per_tok=2, moe_intermediate_size=8)


def rotary(kind, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 100.0, **more}}


# Of each: its model_type and what differs from COMMON; a value of None leaves the key out.
MODELS = {
    "apertus": ("apertus", dict(**rotary("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                         original_max_position_embeddings=16))),
    "arcee": ("arcee", dict(mlp_bias=True)),
    "exaone4": ("exaone4", dict(num_hidden_layers=4, sliding_window=3)),
    "gemma3": ("gemma3_text", dict(num_hidden_layers=6, sliding_window=4, query_pre_attn_scalar=6,
                                   tie_word_embeddings=True)),
    "llama_dynamic": ("llama", dict(max_position_embeddings=4, **rotary("dynamic", factor=2.0))),
    "llama_longrope": ("llama", dict(head_dim=8, max_position_embeddings=16, **rotary(
        "longrope", short_factor=[1.0, 1.1, 1.5, 2.0], long_factor=[2.0, 2.5, 3.0, 4.0],
        original_max_position_embeddings=4))),
    "llama_mlpbias": ("llama", dict(mlp_bias=True)),
    "glm": ("glm", dict(head_dim=8)),
    "glm4": ("glm4", dict(head_dim=8)),
    "granite": ("granite", dict(embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.7,
                                logits_scaling=1.5)),
    "helium": ("helium", dict()),
    "gpt2_relu": ("gpt2", dict(activation_function="relu", head_dim=None, intermediate_size=None)),
    "llama_yarn": ("llama", dict(head_dim=16, **rotary("yarn", factor=4.0, beta_fast=2.0, beta_slow=0.5, truncate=False,
                                                       attention_factor=1.25, original_max_position_embeddings=16))),
    "ministral": ("ministral", dict(sliding_window=3, layer_types=["sliding_attention", "full_attention"])),
    "ministral3": ("ministral3", dict(head_dim=8, **rotary(
        "yarn", factor=4.0, beta_fast=2.0, beta_slow=0.5, mscale=1.0, mscale_all_dim=0.5, llama_4_scaling_beta=0.5,
        original_max_position_embeddings=3))),
    "mixtral": ("mixtral", dict(sliding_window=None, **EXPERTS)),
    "nemotron": ("nemotron", dict(head_dim=8, norm_eps=0.1)),
    "olmo": ("olmo", dict(clip_qkv=0.5, num_hidden_layers=1)),
    "olmo2": ("olmo2", dict()),
    "olmo3": ("olmo3", dict(num_hidden_layers=4, sliding_window=3)),
    "qwen3_moe": ("qwen3_moe", dict(mlp_only_layers=[1], **EXPERTS)),
    "seed_oss": ("seed_oss", dict(attention_out_bias=True)),
    "smollm3": ("smollm3", dict(num_hidden_layers=4, intermediate_size=8)),
}


def configuration(kind, changes):
    values = {key: value for key, value in {**COMMON, **changes}.items() if value is not None}
    known = inspect.signature(type(AutoConfig.for_model(kind)).__init__).parameters
    config = AutoConfig.for_model(kind, **{key: value for key, value in values.items()
                                           if key in known or "kwargs" in known or key in COMMON or key in changes})
    config._attn_implementation = "eager"
    return config


def fill(model, seed):
    """Weights that let every part count: matrices keep lengths, norms scatter around one, biases around zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(list(model.named_parameters()) + list(model.named_buffers())):
            if not p.is_floating_point() or "inv_freq" in name:
                continue
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() >= 2:
                p.copy_(noise * (1.5 / p.shape[-1] ** 0.5))
            elif "norm" in name and "bias" not in name:
                p.copy_(p + 0.2 * noise)
            else:
                p.copy_(0.3 * noise)


def make(name):
    kind, changes = MODELS[name]
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(configuration(kind, changes)).float().eval()
    fill(model, 1 + sorted(MODELS).index(name))
    model.half().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = np.random.default_rng(7).integers(3, COMMON["vocab_size"], TOKENS)
    with torch.no_grad():
        logits = model(torch.tensor(tokens)[None], use_cache=False).logits[0].float().numpy()
    (folder / "tokens.txt").write_text(" ".join(map(str, tokens)) + "\n")
    logits.astype("<f4").tofile(folder / "logits.f32")
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name:20} {size:7} bytes  largest logit {np.abs(logits).max():.3g}  deviation {logits.std():.3g}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or MODELS:
        make(chosen)
