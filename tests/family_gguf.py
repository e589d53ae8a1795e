#!/usr/bin/env python3
"""GGUF files of tiny models, as llama.cpp's converter writes them: family_gguf.py [NAME ...]

Writes tests/data/families/NAME/NAME.gguf from config.json and model.safetensors beside it (family_models.py), of all in
the table below or those named: where the layout has something that others have not. Matrices are fp16, experts of
gpt-oss MXFP4. Needs numpy, safetensors and ggml's gguf, whose tables name the tensors."""
import json
import pathlib
import sys

import gguf
import numpy as np
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent / "data" / "families"

# Of each: general.architecture, whether rotary pairs become neighbours, whether 1 is added to norms, and keys of its own
# as pairs of a name in config.json and one in GGUF.
MODELS = {
    "apertus": ("apertus", False, False, {}),
    "cohere": ("command-r", False, False, {"logit_scale": "logit_scale"}),
    "falcon-11b": ("falcon", False, False, {}),
    "olmo": ("olmo", True, False, {"clip_qkv": "attention.clamp_kqv"}),
    "olmo2": ("olmo2", False, False, {}),
    "phi": ("phi2", False, False, {}),
    "arcee": ("arcee", True, False, {}),
    "glm": ("chatglm", False, False, {}),
    "glm4": ("glm4", False, False, {}),
    "gpt_oss-mxfp4": ("gpt-oss", False, False, {}),
    "granite": ("granite", True, False, {"embedding_multiplier": "embedding_scale", "logits_scaling": "logit_scale",
                                         "residual_multiplier": "residual_scale",
                                         "attention_multiplier": "attention.scale"}),
    "ministral3": ("mistral3", True, False, {"mscale_all_dim": "rope.scaling.yarn_log_multiplier",
                                             "llama_4_scaling_beta": "attention.temperature_scale"}),
    "nemotron": ("nemotron", False, True, {}),
    "seed_oss": ("seed_oss", False, False, {}),
    "smollm3": ("smollm3", True, False, {}),
}


def to_neighbours(rows, heads):
    """Rows i and i + half of each head become rows 2i and 2i + 1."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def llama3_factors(rope, head):
    """By what Llama 3's scaling divides the frequencies of long waves and of those in between."""
    waves = 2 * np.pi * rope["rope_theta"] ** (np.arange(0, head, 2) / head)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    smooth = np.clip((rope["original_max_position_embeddings"] / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / rope["factor"] + smooth)).astype(np.float32)


def by_kind(rows, heads, kv_heads):
    """Queries, keys and values of each head of keys and values become all queries, all keys and all values."""
    shared = heads // kv_heads
    size = rows.shape[0] // (heads + 2 * kv_heads)
    groups = rows.reshape(kv_heads, shared + 2, size, *rows.shape[1:])
    parts = groups[:, :shared], groups[:, shared], groups[:, shared + 1]
    return np.concatenate([part.reshape(-1, *rows.shape[1:]) for part in parts])


def put_rotary(writer, rope, head):
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(head * rope.get("partial_rotary_factor", 1)))
    if rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(rope, head))
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])


def kv_heads(config):
    return config.get("num_kv_heads", config["num_key_value_heads"])


def put_metadata(writer, config, own):
    rope = config["rope_parameters"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config.get("ffn_hidden_size", config["intermediate_size"]))
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(kv_heads(config))
    head = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    layer_norm = {"norm_eps", "layer_norm_eps", "layer_norm_epsilon"} & set(config)
    if config["model_type"] == "olmo":
        writer.add_layer_norm_eps(1e-5)
    elif layer_norm:
        writer.add_layer_norm_eps(config[layer_norm.pop()])
    else:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    put_rotary(writer, rope, head)
    for key, name in own.items():
        writer.add_float32(f"{writer.arch}.{name}", {**rope, **config}[key])


def put_activations(writer, weights):
    """The numbers of xIELU are keys of the file, one value a layer."""
    for number in ("alpha_p", "alpha_n", "beta", "eps"):
        names = sorted(name for name in weights if name.endswith(f".act_fn.{number}"))
        if names:
            writer.add_array(f"xielu.{number}", [float(weights[name].reshape(-1)[0]) for name in names])


def join_attention(weights):
    """Queries, keys and values of a block in one matrix and one bias, as ChatGLM's files have them."""
    for first in [name for name in weights if ".q_proj." in name]:
        weights[first.replace("q_proj", "query_key_value")] = np.concatenate(
            [weights.pop(first.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")])


def put_experts(writer, config):
    writer.add_expert_count(config["num_local_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_sliding_window(config["sliding_window"])


def put_of_experts(writer, names, tensor, values):
    bias = tensor.endswith("_bias")
    name = names.get_name(tensor.removesuffix("_bias")) + (".bias" if bias else ".weight")
    mxfp4 = gguf.GGMLQuantizationType.MXFP4
    if bias:
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(values), mxfp4), raw_dtype=mxfp4)


def split_experts(weights):
    """Gates and ups, column by column in one matrix, become two; all experts hold the weights of an output in a row."""
    for name in [name for name in weights if ".experts.gate_up_proj" in name]:
        both = weights.pop(name)
        for part, first in ("gate_proj", 0), ("up_proj", 1):
            weights[name.replace("gate_up_proj", part)] = both[..., first::2]
    for name in [name for name in weights if ".experts." in name and not name.endswith("_bias")]:
        weights[name] = weights[name].swapaxes(1, 2)


def make(name):
    arch, neighbours, from_one, own = MODELS[name]
    config = json.loads((ROOT / name / "config.json").read_text())
    weights = load_file(ROOT / name / "model.safetensors")
    writer = gguf.GGUFWriter(ROOT / name / f"{name}.gguf", arch)
    put_metadata(writer, config, own)
    put_activations(writer, weights)
    if arch == "gpt-oss":
        put_experts(writer, config)
        split_experts(weights)
    if arch == "chatglm":
        join_attention(weights)
    kinds = {text: kind for kind, text in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(kinds[arch], config["num_hidden_layers"])
    for tensor in sorted(weights):
        values = weights[tensor].astype(np.float32)
        if ".act_fn." in tensor:
            continue
        if neighbours and (".q_proj." in tensor or ".k_proj." in tensor):
            values = to_neighbours(values, config["num_attention_heads" if ".q_" in tensor else "num_key_value_heads"])
        if ".self_attention.query_key_value." in tensor:
            values = by_kind(values, config["num_attention_heads"], kv_heads(config))
        if from_one and tensor.endswith("norm.weight"):
            values = values + 1
        known = tensor.replace("self_attn.query_key_value", "self_attn.qkv_proj").replace(".sinks", ".sinks.weight")
        if ".experts." in tensor:
            put_of_experts(writer, names, tensor, values)
            continue
        writer.add_tensor(names.get_name(known, try_suffixes=(".weight", ".bias")),
                          values.astype(np.float16) if values.ndim > 1 and "norm" not in tensor else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{name:20} {(ROOT / name / f'{name}.gguf').stat().st_size:7} bytes")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or MODELS:
        make(chosen)
