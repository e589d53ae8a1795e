#!/usr/bin/env python3
"""Prompts of chat templates: python3 tests/chat_vectors.py >tests/chat_vectors.h   (needs jinja2)

A short template for each family that qtop knows, written for this test as templates of the family are, and what jinja2
makes of it for a user's text with and without a system's. With files of templates that models are published with,
python3 tests/chat_vectors.py FAMILY=FILE.jinja... says where what they make differs from that.
"""
import sys

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

SYSTEM = " Be brief. "
USER = " Why is\n<|im_end|> 5 < 7? "
DATES = {"%B %d, %Y": "April 16, 2025", "%Y-%m-%d": "2025-08-05", "%d %b %Y": "26 Jul 2024", "%d %B %Y": "08 July 2025"}


def roles(before, behind_role, behind, content="message['content']"):
    """A template that writes all messages alike, each with its role."""
    return ("{% for message in messages %}{{ '" + before + "' + message['role'] + '" + behind_role + "' + " + content +
            " + '" + behind + "' }}{% endfor %}")


def lead(token, default):
    """What stands before the messages where the first is not the system's."""
    return "{% if messages[0]['role'] != 'system' %}{{ '" + token + default + "' }}{% endif %}"


def either(system, between, alone, answer, content="message['content']"):
    """A template that says for each role what stands around its text."""
    return ("{% for message in messages %}{% if message['role'] == 'system' %}{{ '" + system + "' + " + content + " + '" +
            between + "' }}{% elif message['role'] == 'user' %}{% if loop.first %}{{ '" + alone + "' }}{% endif %}{{ " +
            content + " + '" + answer + "' }}{% endif %}{% endfor %}")


BOS = "{{ bos_token }}"
CHATML = roles(r"<|im_start|>", r"\n", r"<|im_end|>\n")
ASK = r"{{ '<|im_start|>assistant\n' }}"
NO_THOUGHT = r"{{ '<think>\n\n</think>\n\n' }}"
HEADER = roles("<|start_header_id|>", r"<|end_header_id|>\n\n", "<|eot_id|>", "message['content'] | trim")
HEADER_ASK = r"{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
INST = "{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] + '\\n\\n' %}{% endif %}"
BARS = roles("<|", r"|>\n", r"<|end|>\n")
GRANITE = roles("<|start_of_role|>", "<|end_of_role|>", r"<|end_of_text|>\n")
GRANITE_ASK = "{{ '<|start_of_role|>assistant<|end_of_role|>' }}"
COHERE = "<|END_OF_TURN_TOKEN|>"
HARMONY = (r"<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: "
           r"2024-06\nCurrent date: ' + strftime_now('%Y-%m-%d') + '\n\nReasoning: medium\n\n# Valid channels: analysis, "
           r"commentary, final. Channel must be included for every message.<|end|>")

TEMPLATES = {
    "Phi 4": roles("<|im_start|>", "<|im_sep|>", "<|im_end|>") + "{{ '<|im_start|>assistant<|im_sep|>' }}",
    "Qwen 3.5": roles("<|im_start|>", r"\n", r"<|im_end|>\n", "(message['content'])|trim") + ASK + NO_THOUGHT,
    "Qwen 3": CHATML + ASK + "{% if enable_thinking is false %}" + NO_THOUGHT + "{% endif %}",
    "ChatML with thinking": CHATML + r"{{ '<|im_start|>assistant\n<think>\n' }}",
    "ChatML of SmolLM2": lead(r"<|im_start|>system\n", r"You are a helpful AI assistant named SmolLM, trained by Hugging "
                              r"Face<|im_end|>\n") + CHATML + ASK,
    "ChatML of Qwen 2.5": lead(r"<|im_start|>system\n", r"You are Qwen, created by Alibaba Cloud. You are a helpful "
                               r"assistant.<|im_end|>\n") + CHATML + ASK,
    "ChatML of Qwen 2": lead(r"<|im_start|>system\n", r"You are a helpful assistant.<|im_end|>\n") + CHATML + ASK,
    "ChatML of Qwen 1.5": lead(r"<|im_start|>system\n", r"You are a helpful assistant<|im_end|>\n") + CHATML + ASK,
    "ChatML": CHATML + "{% if add_generation_prompt %}" + ASK + "{% endif %}",
    "Llama 3.1": BOS + r"{{ '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday "
                 r"Date: ' + strftime_now('%d %b %Y') + '\n\n' }}{% if messages[0]['role'] == 'system' %}{{ messages[0]"
                 r"['content'] | trim }}{% set messages = messages[1:] %}{% endif %}{{ '<|eot_id|>' }}" + HEADER + HEADER_ASK,
    "Llama 3": BOS + HEADER + HEADER_ASK,
    "Llama 4": BOS + roles("<|header_start|>", r"<|header_end|>\n\n", "<|eot|>", "message['content'] | trim") +
               r"{{ '<|header_start|>assistant<|header_end|>\n\n' }}",
    "Mistral v7": BOS + either("[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT][INST] ", "[INST] ", "[/INST]"),
    "Mistral v7 (Tekken)": BOS + either("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT][INST]", "[INST]", "[/INST]"),
    "Llama 2": BOS + r"{% set content = messages[-1]['content'] %}{% if messages[0]['role'] == 'system' %}{% set content = "
               r"'<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' + content %}{% endif %}{{ '[INST] ' + "
               r"content.strip() + ' [/INST]' }}",
    "Mistral v1": BOS + INST + "{{ ' [INST] ' + (system_message or '') + messages[-1]['content'] + ' [/INST]' }}",
    "Mistral v3": BOS + INST + "{% if tools %}{{ '[AVAILABLE_TOOLS] [' }}{% endif %}{{ '[INST] ' + (system_message or '') + "
                  "messages[-1]['content'] + '[/INST]' }}",
    "Mistral v3 (Tekken)": BOS + INST + "{% if tools %}{{ '[AVAILABLE_TOOLS][' }}{% endif %}{{ '[INST]' + (system_message or "
                           "'') + messages[-1]['content'] + '[/INST]' }}",
    "Mistral": BOS + INST + "{{ '[INST] ' + (system_message or '') + messages[-1]['content'] + ' [/INST]' }}",
    "Phi 4 mini": roles("<|", "|>", "<|end|>") + "{{ '<|assistant|>' }}",
    "Phi 3": BARS + r"{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    "GLM 4.5": "[gMASK]<sop>" + roles("<|", r"|>\n", "").replace("+ ''", "+ ('/nothink' if message['role'] == 'user' else '')") +
               r"{{ '<|assistant|>' + '\n<think></think>' }}",
    "GLM 4": "[gMASK]<sop>" + roles("<|", r"|>\n", "") + r"{{ '<|assistant|>\n' }}",
    "Zephyr": r"{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + "
              r"eos_token + '\n' }}{% elif message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + eos_token + "
              r"'\n' }}{% endif %}{% endfor %}{{ '<|assistant|>\n' }}",
    "Tulu": BOS + r"{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}"
            r"{% else %}{{ '<|system|>\n' + message['content'] + '\n' }}{% endif %}{% endfor %}{{ '<|assistant|>\n' }}",
    "Gemma": BOS + r"{{ '<start_of_turn>user\n' }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] + '\n\n' }}"
             r"{% endif %}{{ messages[-1]['content'] | trim + '<end_of_turn>\n<start_of_turn>model\n' }}",
    "Gemma 4, large": BOS + roles("<|turn>", r"\n", r"<turn|>\n", "message['content'] | trim") +
                      r"{{ '<|turn>model\n' }}{{ '<|channel>thought\n<channel|>' }}",
    "gpt-oss (harmony)": "{{ '" + HARMONY + "' }}" +
                         either(r"<|start|>developer<|message|># Instructions\n\n", r"\n\n<|end|><|start|>user<|message|>",
                                "<|start|>user<|message|>", "<|end|><|start|>assistant") +
                         "{% if false %}{{ '<|channel|>' }}{% endif %}",
    "Granite 4": lead("<|start_of_role|>system<|end_of_role|>", "You are a helpful assistant. Please ensure responses are "
                      r"professional, accurate, and safe.<|end_of_text|>\n") + GRANITE + GRANITE_ASK,
    "Granite 3.3": lead("<|start_of_role|>system<|end_of_role|>", "Knowledge Cutoff Date: April 2024. Today\\'s Date: ' + "
                        "strftime_now('%B %d, %Y') + '. You are Granite, developed by IBM. You are a helpful AI assistant."
                        r"<|end_of_text|>\n") + GRANITE + GRANITE_ASK,
    "Granite": GRANITE + GRANITE_ASK,
    "Command R": BOS + either("<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>", COHERE + "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
                              "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>", COHERE + "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
                              "(message['content'] | trim if message['role'] == 'user' else message['content'])"),
    "DeepSeek R1": BOS + either("", "<｜User｜>", "<｜User｜>", r"<｜Assistant｜><think>\n"),
    "DeepSeek V3": BOS + either("", "<｜User｜>", "<｜User｜>", "<｜Assistant｜>"),
    "DeepSeek V2": BOS + r"{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + "
                   r"'\n\n' }}{% else %}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}{{ 'Assistant:' }}",
    "OpenChat": BOS + "{% for message in messages %}{{ 'GPT4 Correct ' + message['role'].title() + ': ' + message['content'] "
                "+ '<|end_of_turn|>' }}{% endfor %}{{ 'GPT4 Correct Assistant:' }}",
    "Vicuna": either("", r"\n\nUSER: ", "USER: ", r"\nASSISTANT:"),
    "BitNet": BOS + "{% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] | trim + "
              "'<|eot_id|>' }}{% endfor %}{{ 'Assistant: ' }}",
    "Seed-OSS": roles("<seed:bos>", r"\n", "<seed:eos>") + r"{{ '<seed:bos>assistant\n' }}",
}


def refuse(why):
    raise TemplateError(why)


def render(template, system):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["strftime_now"] = lambda form: DATES[form]
    environment.globals["raise_exception"] = refuse
    messages = ([{"role": "system", "content": SYSTEM}] if system else []) + [{"role": "user", "content": USER}]
    return environment.from_string(template).render(messages=messages, bos_token="<BOS>", eos_token="<EOS>",
                                                    add_generation_prompt=True, enable_thinking=False)


def c_string(text):
    out, after_hex = '"', False
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\':
            out += "\\" + char
        elif char == "\n":
            out += "\\n"
        elif 32 <= byte < 127:
            out += ('" "' if after_hex and char in "0123456789abcdefABCDEF" else "") + char
        else:
            out += f"\\x{byte:02x}"
        after_hex = byte >= 127
    return out + '"'


def compare(pairs):
    same = True
    for pair in pairs:
        family, path = pair.split("=", 1)
        with open(path, encoding="utf-8") as file:
            published = file.read()
        for system in (True, False):
            try:
                mine, theirs = render(TEMPLATES[family], system), render(published, system)
            except TemplateError as error:
                print(f"{path}, {'with' if system else 'without'} a system's text: refused: {error}")
                continue
            if mine != theirs:
                same = False
                print(f"{family}, {path}, {'with' if system else 'without'} a system's text:\n  {theirs!r}\n  {mine!r}")
    return 0 if same else 1


def main():
    if len(sys.argv) > 1:
        return compare(sys.argv[1:])
    print("/* Made by tests/chat_vectors.py. */")
    print(f"#define CHAT_SYSTEM {c_string(SYSTEM)}\n#define CHAT_USER {c_string(USER)}\n")
    print("static const struct chat_vector {\n    const char *family, *template, *told, *alone;\n} chat_vectors[] = {")
    for name, template in TEMPLATES.items():
        print(f"    {{{c_string(name)},\n     {c_string(template)},\n     {c_string(render(template, True))},\n"
              f"     {c_string(render(template, False))}}},")
    print("};")
    return 0


sys.exit(main())
