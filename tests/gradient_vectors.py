#!/usr/bin/env python3
"""Makes tests/gradient_vectors.h: gradients of the tiny models in tests/data/arch, and steps of AdamW, by PyTorch.

    python3 -m venv venv && venv/bin/pip install torch transformers safetensors numpy
    venv/bin/python gradient_vectors.py data/arch >gradient_vectors.h

The loss is that of train_test.c: over two windows of 32 tokens, half the KL divergence from teacher(i) and half
the cross entropy with the next token. Of every tensor's gradient the header has its norm and its products with
three vectors of cosines.
"""
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
import transformers

WINDOWS, LENGTH = 2, 32
MODELS = ["llama", "llama3", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gpt2"]
LLAMA = {
    "self_attn.q_proj.weight": "attn_q", "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.weight": "attn_k", "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.weight": "attn_v", "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.q_norm.weight": "attn_q_norm", "self_attn.k_norm.weight": "attn_k_norm",
    "self_attn.o_proj.weight": "attn_output", "self_attn.qkv_proj.weight": "attn_qkv",
    "mlp.gate_up_proj.weight": "ffn_gate_up", "mlp.gate_proj.weight": "ffn_gate",
    "mlp.up_proj.weight": "ffn_up", "mlp.down_proj.weight": "ffn_down",
    "input_layernorm.weight": "attn_norm", "post_attention_layernorm.weight": "ffn_norm",
}
GEMMA2 = dict(LLAMA, **{
    "post_attention_layernorm.weight": "post_attention_norm",
    "pre_feedforward_layernorm.weight": "ffn_norm", "post_feedforward_layernorm.weight": "post_ffw_norm",
})
GPT2 = {
    "ln_1.weight": "attn_norm", "ln_1.bias": "attn_norm.bias", "attn.c_attn.weight": "attn_qkv",
    "attn.c_attn.bias": "attn_qkv.bias", "attn.c_proj.weight": "attn_output",
    "attn.c_proj.bias": "attn_output.bias", "ln_2.weight": "ffn_norm", "ln_2.bias": "ffn_norm.bias",
    "mlp.c_fc.weight": "ffn_up", "mlp.c_fc.bias": "ffn_up.bias", "mlp.c_proj.weight": "ffn_down",
    "mlp.c_proj.bias": "ffn_down.bias",
}
OUTSIDE = {
    "model.embed_tokens.weight": "token_embd", "model.norm.weight": "output_norm", "lm_head.weight": "output",
    "transformer.wte.weight": "token_embd", "transformer.wpe.weight": "position_embd",
    "transformer.ln_f.weight": "output_norm", "transformer.ln_f.bias": "output_norm.bias",
}


def canonical(model, name):
    if name in OUTSIDE:
        return OUTSIDE[name]
    names = {"gemma2": GEMMA2, "gpt2": GPT2}.get(model, LLAMA)
    parts = name.split(".", 3)  # model.layers.N.REST, transformer.h.N.REST
    return f"blk.{parts[2]}.{names[parts[3]]}"


def teacher(vocab):
    i = np.arange(WINDOWS * LENGTH * vocab, dtype=np.float64)
    return torch.tensor((2 * np.cos(0.37 * i)).astype(np.float32)).reshape(WINDOWS, LENGTH, vocab).double()


def gradients(root, name):
    folder = root / name
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64,
                                                              attn_implementation="eager").eval()
    model.get_input_embeddings().padding_idx = None  # whose row would have no gradient
    ids = torch.tensor([int(t) for t in (folder / "tokens.txt").read_text().split()][:WINDOWS * LENGTH])
    ids = ids.reshape(WINDOWS, LENGTH)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].double()
    log_q = F.log_softmax(logits, -1)
    p = F.softmax(teacher(logits.shape[-1])[:, :-1], -1)
    kl = (p * (p.log() - log_q)).sum(-1).mean()
    entropy = F.nll_loss(log_q.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
    loss = 0.5 * kl + 0.5 * entropy
    loss.backward()
    yield name, "loss", loss.item(), [0, 0, 0]
    for key, w in model.named_parameters():
        g = w.grad.double()
        if name == "gpt2" and ".c_" in key and key.endswith("weight"):
            g = g.T
        g = g.contiguous().numpy().ravel()
        j = np.arange(g.size, dtype=np.float64)
        yield (name, canonical(name, key), float(np.sqrt((g * g).sum())),
               [float((g * np.cos(0.7 * (k + 1) * j + k)).sum()) for k in range(3)])


def adamw():
    """Ten steps from w_i = cos(i) with gradients cos(0.3 i step)."""
    w = torch.nn.Parameter(torch.cos(torch.arange(16, dtype=torch.float64)))
    o = torch.optim.AdamW([w], lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    for step in range(1, 11):
        w.grad = torch.cos(0.3 * torch.arange(16, dtype=torch.float64) * step)
        o.step()
    return w.detach().tolist()


def main():
    root = pathlib.Path(sys.argv[1])
    print("/* Made by gradient_vectors.py with PyTorch", torch.__version__.split("+")[0] + ". */")
    print("static const struct {\n    const char *model, *tensor;\n    double norm, products[3];\n} torch_gradients[] = {")
    for name in MODELS:
        for model, tensor, norm, products in gradients(root, name):
            print(f'    {{"{model}", "{tensor}", {norm:.9g}, {{' + ", ".join(f"{p:.9g}" for p in products) + "}},")
    print("};\n\nstatic const double torch_adamw[] = {" + ", ".join(f"{x:.12g}" for x in adamw()) + "};")


main()
