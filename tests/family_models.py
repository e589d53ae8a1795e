#!/usr/bin/env python3
"""Tiny random models of architectures with the logits of transformers: family_models.py [NAME ...]

Writes tests/data/families/NAME: config.json, model.safetensors (fp16), tokens.txt (ids) and logits.f32 (float32, one
row a token), all of the table below or those named; the same bytes each time on one machine. Needs torch, transformers,
safetensors, gguf and numpy. Every model is as small as it can be and still show what its architecture has of its
own."""
import inspect
import json
import pathlib
import sys
import warnings

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.integrations.bitnet import AutoBitLinear
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent / "data" / "families"
TOKENS = 8

COMMON = dict(vocab_size=24, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, head_dim=4, max_position_embeddings=64, rms_norm_eps=1e-5,
              bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False)
EXPERTS = dict(num_experts=4, num_local_experts=4, num_experts_per_tok=2, moe_intermediate_size=8)


def rotary(kind, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 100.0, **more}}


def around(text, vision):
    """A model that sees around one of text, whose tensors alone are read."""
    return dict(text_config={**COMMON, **text}, vision_config=vision, image_token_index=COMMON["vocab_size"] - 1,
                tie_word_embeddings=False)


# Of each: its model_type and what differs from COMMON; a value of None leaves the key out.
MODELS = {
    "apertus": ("apertus", dict(**rotary("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                         original_max_position_embeddings=16))),
    "bitnet-online": ("bitnet", dict(num_hidden_layers=1)),
    "bitnet": ("bitnet", dict(num_hidden_layers=1)),
    "cohere": ("cohere", dict(use_qk_norm=True, attention_bias=True, logit_scale=0.5, num_hidden_layers=1, head_dim=None,
                              tie_word_embeddings=True)),
    "cohere2": ("cohere2", dict(num_hidden_layers=4, sliding_window=3, tie_word_embeddings=True, head_dim=None)),
    "ernie4_5": ("ernie4_5", dict(num_hidden_layers=1, use_bias=True)),
    "dots1": ("dots1", dict(num_hidden_layers=3, first_k_dense_replace=1, n_routed_experts=4, n_shared_experts=1, n_group=2,
                            topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.7, sliding_window=4,
                            max_window_layers=2, **EXPERTS)),
    "ernie4_5_moe": ("ernie4_5_moe", dict(num_hidden_layers=3, moe_num_experts=4, moe_k=2, moe_num_shared_experts=2,
                                          moe_layer_interval=2, moe_intermediate_size=8)),
    "glm4_moe": ("glm4_moe", dict(first_k_dense_replace=1, n_routed_experts=4, n_shared_experts=1, use_qk_norm=True,
                                  attention_bias=True, routed_scaling_factor=1.5, **EXPERTS)),
    "gpt_oss": ("gpt_oss", dict(sliding_window=4, swiglu_limit=1.5, rope_parameters=dict(
        rope_type="yarn", rope_theta=150000.0, factor=8.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
        original_max_position_embeddings=16), **EXPERTS)),
    "gpt_oss_usual": ("gpt_oss", dict(num_hidden_layers=1, sliding_window=4, **EXPERTS)),
    "gpt_oss-mxfp4": ("gpt_oss", dict(num_hidden_layers=1, sliding_window=4, hidden_size=32, intermediate_size=32,
                                      rope_parameters=dict(
        rope_type="yarn", rope_theta=150000.0, factor=8.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
        original_max_position_embeddings=16), **EXPERTS)),
    "granitemoe": ("granitemoe", dict(embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.7,
                                      logits_scaling=1.5, head_dim=None, **EXPERTS)),
    "granitemoeshared": ("granitemoeshared", dict(shared_intermediate_size=12, num_hidden_layers=1, head_dim=None,
                                                  residual_multiplier=0.5, **EXPERTS)),
    "hunyuan_dense": ("hunyuan_v1_dense", dict(num_hidden_layers=1, rope_parameters=dict(
        rope_type="dynamic", rope_theta=100.0, factor=1.0, alpha=50.0))),
    "hunyuan_moe": ("hunyuan_v1_moe", dict(moe_topk=2, rope_parameters=dict(
        rope_type="dynamic", rope_theta=10000.0, factor=1.0, alpha=50.0), **EXPERTS)),
    "hy_v3": ("hy_v3", EXPERTS),
    "llama4": ("llama4_text", dict(num_hidden_layers=4, intermediate_size=8, intermediate_size_mlp=12,
                                   no_rope_layers=[1, 0, 1, 0], interleave_moe_layer_step=2, attention_chunk_size=3,
                                   floor_scale=2, attn_scale=0.5, **EXPERTS)),
    "minimax_m2": ("minimax_m2", dict(rotary_dim=2, **EXPERTS)),
    "olmoe": ("olmoe", dict(clip_qkv=0.6, **EXPERTS)),
    "phimoe": ("phimoe", dict(router_jitter_noise=0.3, lm_head_bias=True, attention_bias=True, head_dim=None,
                              rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.5, 2.0],
                                                   long_factor=[3.0, 4.0], short_mscale=1.2, long_mscale=1.2,
                                                   original_max_position_embeddings=32), **EXPERTS)),
    "phimoe_usual": ("phimoe", dict(num_hidden_layers=1, lm_head_bias=True, head_dim=None, **EXPERTS)),
    "qwen2_moe": ("qwen2_moe", dict(shared_expert_intermediate_size=12, mlp_only_layers=[1], **EXPERTS)),
    "arcee": ("arcee", dict(mlp_bias=True)),
    "exaone4": ("exaone4", dict(num_hidden_layers=4, sliding_window=3)),
    "falcon": ("falcon", dict(head_dim=None, num_hidden_layers=1, ffn_hidden_size=24)),
    "falcon-11b": ("falcon", dict(head_dim=None, num_hidden_layers=1, ffn_hidden_size=24,
                                  new_decoder_architecture=True, num_kv_heads=2,
                                  num_ln_in_parallel_attn=1, bias=True, activation="gelu_new")),
    "falcon-40b": ("falcon", dict(head_dim=None, num_hidden_layers=1, ffn_hidden_size=24,
                                  new_decoder_architecture=True, num_kv_heads=2)),
    "gemma3": ("gemma3_text", dict(num_hidden_layers=6, sliding_window=4, query_pre_attn_scalar=6,
                                   tie_word_embeddings=True)),
    "gpt_bigcode": ("gpt_bigcode", dict(num_hidden_layers=1, n_inner=24)),
    "gpt_neo": ("gpt_neo", dict(num_hidden_layers=3, attention_types=[[["global"], 1], [["local"], 2]], window_size=3,
                                tie_word_embeddings=True)),
    "gpt_neox": ("gpt_neox", dict(num_hidden_layers=1, head_dim=None, hidden_size=32)),
    "gpt_neox-serial": ("gpt_neox", dict(num_hidden_layers=1, head_dim=None, hidden_size=32, hidden_act="gelu_new",
                                         use_parallel_residual=False)),
    "gptj": ("gptj", dict(num_hidden_layers=1, n_inner=24, rotary_dim=2)),
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
    "gemma3_kinds": ("gemma3_text", dict(
        num_hidden_layers=3, sliding_window=4, query_pre_attn_scalar=6, tie_word_embeddings=True,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"], final_logit_softcapping=5.0,
        rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}})),
    "gemma4": ("gemma4_text", dict(
        num_hidden_layers=4, global_head_dim=8, sliding_window=4, hidden_size_per_layer_input=4, head_dim=4,
        vocab_size_per_layer_input=24, intermediate_size=8, num_kv_shared_layers=2, use_double_wide_mlp=True, tie_word_embeddings=True,
        layer_types=["sliding_attention", "full_attention"] * 2, final_logit_softcapping=5.0)),
    "gemma4_moe": ("gemma4_text", dict(
        num_hidden_layers=2, global_head_dim=8, sliding_window=4, hidden_size_per_layer_input=0, head_dim=4,
        layer_types=["sliding_attention", "full_attention"], attention_k_eq_v=True, num_global_key_value_heads=1,
        enable_moe_block=True, num_experts=3, top_k_experts=2, moe_intermediate_size=4, intermediate_size=4)),
    "mistral3": ("mistral3", around(
        dict(model_type="mistral", sliding_window=None, rope_parameters={"rope_type": "default", "rope_theta": 500.0}),
        dict(model_type="pixtral", hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
             head_dim=4, image_size=4, patch_size=2))),
    "qwen2_5_vl": ("qwen2_5_vl", dict(
        text_config={**{key: value for key, value in COMMON.items() if key != "head_dim"},
                     "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [1, 1, 0]}},
        vision_config=dict(depth=1, hidden_size=8, num_heads=2, patch_size=2, intermediate_size=8, out_hidden_size=16),
        image_token_id=20, video_token_id=21, vision_start_token_id=22, vision_end_token_id=23,
        tie_word_embeddings=False)),
    "mixtral": ("mixtral", dict(sliding_window=None, **EXPERTS)),
    "nemotron": ("nemotron", dict(head_dim=8, norm_eps=0.1)),
    "olmo": ("olmo", dict(clip_qkv=0.5, num_hidden_layers=1)),
    "olmo2": ("olmo2", dict()),
    "olmo3": ("olmo3", dict(num_hidden_layers=4, sliding_window=3)),
    "qwen3_moe": ("qwen3_moe", dict(mlp_only_layers=[1], norm_topk_prob=True, **EXPERTS)),
    "opt": ("opt", dict(num_hidden_layers=1, ffn_dim=24, word_embed_proj_dim=16)),
    "phi": ("phi", dict(num_hidden_layers=1, head_dim=None)),
    "stablelm": ("stablelm", dict(num_hidden_layers=1, use_qkv_bias=True, hidden_size=32, head_dim=None)),
    "stablelm-parallel": ("stablelm", dict(num_hidden_layers=1, use_parallel_residual=True, qk_layernorm=True,
                                           hidden_size=32, head_dim=None)),
    "starcoder2": ("starcoder2", dict(num_hidden_layers=1, sliding_window=3, head_dim=None)),
    "vaultgemma": ("vaultgemma", dict(sliding_window=3, query_pre_attn_scalar=6, tie_word_embeddings=True)),
    "seed_oss": ("seed_oss", dict(attention_out_bias=True)),
    "smollm3": ("smollm3", dict(num_hidden_layers=4, intermediate_size=8)),
}


def configuration(kind, changes):
    values = {key: value for key, value in {**COMMON, **changes}.items() if value is not None}
    if "text_config" in changes:
        return AutoConfig.for_model(kind, **changes)
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


# Of models whose matrices are rounded as they are used, to values of their own type (BitNet b1.58).
ONLINE = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}


def make_online(model):
    for name, layer in list(model.named_modules()):
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            rounded = AutoBitLinear(layer.in_features, layer.out_features, bias=False, online_quant=True)
            rounded.weight = layer.weight
            model.set_submodule(name, rounded)


def round_experts(model):
    """Experts become what blocks of MXFP4 hold, of 32 inputs each, as GGUF files of gpt-oss have them."""
    kind = gguf.GGMLQuantizationType.MXFP4
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
                rows = np.ascontiguousarray(p.transpose(1, 2).float().numpy())
                p.copy_(torch.from_numpy(gguf.dequantize(gguf.quantize(rows, kind), kind)).transpose(1, 2))


def make(name):
    kind, changes = MODELS[name]
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    model_class = AutoModelForImageTextToText if "text_config" in changes else AutoModelForCausalLM
    model = model_class.from_config(configuration(kind, changes)).float().eval()
    fill(model, 1 + sorted(MODELS).index(name))
    if name.endswith("-mxfp4"):
        round_experts(model)
    (model if name.endswith("-online") else model.half()).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    if name.endswith("-online"):
        make_online(model)
    tokens = np.random.default_rng(7).integers(3, COMMON["vocab_size"], TOKENS)
    with torch.no_grad():
        logits = model(torch.tensor(tokens)[None], use_cache=False).logits[0].float().numpy()
    (folder / "tokens.txt").write_text(" ".join(map(str, tokens)) + "\n")
    logits.astype("<f4").tofile(folder / "logits.f32")
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    if name.endswith("-online"):
        config["quantization_config"] = ONLINE
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name:20} {size:7} bytes  largest logit {np.abs(logits).max():.3g}  deviation {logits.std():.3g}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or MODELS:
        make(chosen)
