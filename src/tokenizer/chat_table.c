/* The families of chat templates, the more particular ones first. What turns look like was read off the templates that
 * models are published with (tests/chat_vectors.py). A date that a template asks a clock for is a fixed one, of the
 * time that a model is from, so that a prompt is the same on every day; thinking is off where a template can turn it
 * off; long instructions that a template adds by itself, for safety or tools, are left out. */
#include "chat_family.h"

#define TOKENS(...) .tokens = {__VA_ARGS__}
#define MARKS(...)  .marks = {__VA_ARGS__}
#define ENDS(...)   .ends = {__VA_ARGS__}

/* ---- ChatML ---------------------------------------------------------------------------------- */

#define IM_TURN(behind_name, behind_text, answer_begins)                                                           \
    .system = "<|im_start|>system" behind_name, .between = behind_text "<|im_start|>user" behind_name,             \
    .alone = "<|im_start|>user" behind_name, .answer = behind_text "<|im_start|>assistant" behind_name answer_begins
#define CHATML(answer_begins)                                                                                      \
    TOKENS("<|im_start|>", "<|im_end|>"), IM_TURN("\n", "<|im_end|>\n", answer_begins), ENDS("<|im_end|>")

#define SMOLLM2   "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
#define QWEN2_5   "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
#define QWEN_MATH "Please reason step by step, and put your final answer within \\boxed{}."
#define HELPFUL   "You are a helpful assistant"

/* ---- Llama ----------------------------------------------------------------------------------- */

#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"
#define LLAMA3(preamble)                                                                                           \
    TOKENS("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), .system = HEADER("system") preamble,         \
    .between = "<|eot_id|>" HEADER("user"), .alone = HEADER("user"), .answer = "<|eot_id|>" HEADER("assistant"),   \
    ENDS("<|eot_id|>", "<|eom_id|>"), .trims = CHAT_TRIM_USER | CHAT_TRIM_SYSTEM
#define HEADER4(role) "<|header_start|>" role "<|header_end|>\n\n"

/* ---- Mistral: what stands before and behind the texts ---------------------------------------- */

#define INST(before, behind, joint)                                                                                \
    .system = before, .between = joint, .alone = before, .answer = behind
#define INST_TOKENS TOKENS("[INST]", "[/INST]")
#define MISTRAL7(space)                                                                                            \
    TOKENS("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"), .system = "[SYSTEM_PROMPT]" space,         \
    .between = "[/SYSTEM_PROMPT][INST]" space, .alone = "[INST]" space, .answer = "[/INST]"

/* ---- roles as <|user|> ------------------------------------------------------------------------ */

#define BARS(role) "<|" role "|>"
#define BAR_TURN(behind_role, behind_text, behind_last)                                                            \
    .system = BARS("system") behind_role, .between = behind_text BARS("user") behind_role,                         \
    .alone = BARS("user") behind_role, .answer = behind_text BARS("assistant") behind_last
#define GLM "[gMASK]<sop>"
#define GLM_TURN(behind_role, thinks_not, answer_begins)                                                           \
    TOKENS("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"),                                         \
    .system = GLM BARS("system") behind_role, .between = BARS("user") behind_role,                                 \
    .alone = GLM BARS("user") behind_role, .answer = thinks_not BARS("assistant") answer_begins,                   \
    ENDS("<|user|>", "<|observation|>")

/* ---- others ---------------------------------------------------------------------------------- */

#define ROLE(role)   "<|start_of_role|>" role "<|end_of_role|>"
#define GRANITE                                                                                                    \
    TOKENS("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"), .system = ROLE("system"),                   \
    .between = "<|end_of_text|>\n" ROLE("user"), .alone = ROLE("user"),                                            \
    .answer = "<|end_of_text|>\n" ROLE("assistant"), ENDS("<|end_of_text|>")
#define COHERE(role) "<|START_OF_TURN_TOKEN|><|" role "_TOKEN|>"
#define SEEK(behind_system, answer_begins)                                                                         \
    TOKENS("<｜User｜>", "<｜Assistant｜>"), .system = "", .between = behind_system "<｜User｜>",                      \
    .alone = "<｜User｜>", .answer = "<｜Assistant｜>" answer_begins
#define HARMONY                                                                                                    \
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"                       \
    "Knowledge cutoff: 2024-06\nCurrent date: 2025-08-05\n\nReasoning: medium\n\n"                                 \
    "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
#define DEEPSEEK_CODER                                                                                             \
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and " \
    "you only answer questions related to computer science. For politically sensitive questions, security and "    \
    "privacy issues, and other non-computer science questions, you will refuse to answer"
#define HY3(name) "<｜hy_" name ":opensource｜>"
#define MINIMAX(role) "]~b]" role "\n"

const struct chat_family chat_families[] = {
    {.name = "Phi 4", MARKS("<|im_start|>", "<|im_sep|>"), TOKENS("<|im_start|>", "<|im_sep|>", "<|im_end|>"),
     IM_TURN("<|im_sep|>", "<|im_end|>", ""), ENDS("<|im_end|>")},
    {.name = "SmolLM3", MARKS("<|im_start|>", "## Metadata\n\n", "Reasoning Mode: ", "## Custom Instructions"),
     TOKENS("<|im_start|>", "<|im_end|>"),
     .system = "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday Date: 08 July 2025\n"
               "Reasoning Mode: /no_think\n\n## Custom Instructions\n\n",
     .between = "\n\n<|im_end|>\n<|im_start|>user\n", .alone = "",
     .answer = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n",
     .otherwise = "You are a helpful AI assistant named SmolLM, trained by Hugging Face.", ENDS("<|im_end|>")},
    {.name = "Qwen 3.5", MARKS("<|im_start|>", "<think>\n\n</think>\n\n", ")|trim"), CHATML("<think>\n\n</think>\n\n"),
     .trims = CHAT_TRIM_USER | CHAT_TRIM_SYSTEM},
    {.name = "Qwen 3", MARKS("<|im_start|>", "<|im_end|>", "<think>\n\n</think>\n\n"),
     CHATML("<think>\n\n</think>\n\n")},
    {.name = "ChatML with thinking", MARKS("<|im_end|>", "<|im_start|>assistant\n<think>\n'"), CHATML("<think>\n")},
    {.name = "ChatML of SmolLM2", MARKS("<|im_start|>system\n" SMOLLM2), CHATML(""), .otherwise = SMOLLM2},
    {.name = "ChatML of Qwen 2.5", MARKS("<|im_start|>", QWEN2_5), CHATML(""), .otherwise = QWEN2_5},
    {.name = "ChatML of Qwen 2.5 Math", MARKS("<|im_start|>", "Please reason step by step, and put your final answer"),
     CHATML(""), .otherwise = QWEN_MATH},
    {.name = "ChatML of Qwen 2", MARKS("<|im_start|>system\n" HELPFUL ".<|im_end|>"), CHATML(""),
     .otherwise = HELPFUL "."},
    {.name = "ChatML of Qwen 1.5", MARKS("<|im_start|>system\n" HELPFUL "<|im_end|>"), CHATML(""),
     .otherwise = HELPFUL},
    {.name = "ChatML", MARKS("<|im_start|>", "<|im_end|>"), CHATML("")},

    {.name = "Llama 3.1", MARKS("<|start_header_id|>", "Cutting Knowledge Date: December 2023", "Today Date: "),
     LLAMA3("Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"), .otherwise = ""},
    {.name = "Llama 3", MARKS("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), LLAMA3("")},
    {.name = "Llama 4", MARKS("<|header_start|>", "<|header_end|>", "<|eot|>"),
     TOKENS("<|header_start|>", "<|header_end|>", "<|eot|>"), .system = HEADER4("system"),
     .between = "<|eot|>" HEADER4("user"), .alone = HEADER4("user"), .answer = "<|eot|>" HEADER4("assistant"),
     ENDS("<|eot|>", "<|eom|>"), .trims = CHAT_TRIM_USER | CHAT_TRIM_SYSTEM},

    {.name = "Mistral v7", MARKS("[INST] ", "[SYSTEM_PROMPT] "), MISTRAL7(" ")},
    {.name = "Mistral v7 (Tekken)", MARKS("[INST]", "[SYSTEM_PROMPT]"), MISTRAL7("")},
    {.name = "Llama 2", MARKS("[INST]", "<<SYS>>"), .system = "[INST] <<SYS>>\n", .between = "\n<</SYS>>\n\n",
     .alone = "[INST] ", .answer = " [/INST]", .trims = CHAT_TRIM_TURN},
    {.name = "Mistral v1", MARKS("' [INST] '", "' [/INST]'"), INST(" [INST] ", " [/INST]", "\n\n")},
    {.name = "Mistral v3", MARKS("[AVAILABLE_TOOLS]", "'[INST] '"), INST_TOKENS, INST("[INST] ", "[/INST]", "\n\n")},
    {.name = "Mistral v3 (Tekken)", MARKS("[AVAILABLE_TOOLS]", "'[INST]'"), INST_TOKENS,
     INST("[INST]", "[/INST]", "\n\n")},
    {.name = "Mistral", MARKS("'[INST] '", "' [/INST]'"), INST("[INST] ", " [/INST]", "\n\n")},

    {.name = "Phi 4 mini", MARKS("'|>' + message['content'] + '<|end|>'", "<|assistant|>"),
     TOKENS("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), BAR_TURN("", "<|end|>", ""), ENDS("<|end|>")},
    {.name = "Phi 3", MARKS("<|assistant|>", "<|end|>"), TOKENS("<|user|>", "<|assistant|>", "<|end|>"),
     BAR_TURN("\n", "<|end|>\n", "\n"), ENDS("<|end|>")},
    {.name = "GLM 4.5", MARKS(GLM, "/nothink"), GLM_TURN("\n", "/nothink", "\n<think></think>")},
    {.name = "GLM 4.7", MARKS(GLM, "<|user|>{{", "</think>"), GLM_TURN("", "", "</think>")},
    {.name = "GLM 4", MARKS(GLM, "<|assistant|>"), GLM_TURN("\n", "", "\n")},
    {.name = "GLM Edge", MARKS("<|user|>\n{{", "<|assistant|>"), TOKENS("<|system|>", "<|user|>", "<|assistant|>"),
     BAR_TURN("\n", "", ""), ENDS("<|user|>", "<|observation|>")},
    {.name = "Zephyr", MARKS("<|user|>\n' + message['content'] + eos_token", "<|assistant|>"),
     BAR_TURN("\n", CHAT_EOS "\n", "\n")},
    {.name = "Tulu", MARKS("<|user|>\n' + message['content'] + '\n'", "<|assistant|>"), BAR_TURN("\n", "\n", "\n")},
    {.name = "H2O Danube", MARKS("<|prompt|>", "<|answer|>", "eos_token"), .system = "<|system|>",
     .between = CHAT_EOS "<|prompt|>", .alone = "<|prompt|>", .answer = CHAT_EOS "<|answer|>"},

    {.name = "Gemma", MARKS("<start_of_turn>", "<end_of_turn>"), TOKENS("<start_of_turn>", "<end_of_turn>"),
     .system = "<start_of_turn>user\n", .between = "\n\n", .alone = "<start_of_turn>user\n",
     .answer = "<end_of_turn>\n<start_of_turn>model\n", ENDS("<end_of_turn>"), .trims = CHAT_TRIM_USER},
    {.name = "Gemma 4, large", MARKS("<|turn>", "<turn|>", "<|channel>thought\n<channel|>"),
     TOKENS("<|turn>", "<turn|>", "<|channel>", "<channel|>"), .system = "<|turn>system\n",
     .between = "<turn|>\n<|turn>user\n", .alone = "<|turn>user\n",
     .answer = "<turn|>\n<|turn>model\n<|channel>thought\n<channel|>", ENDS("<turn|>"),
     .trims = CHAT_TRIM_USER | CHAT_TRIM_SYSTEM},
    {.name = "Gemma 4", MARKS("<|turn>", "<turn|>"), TOKENS("<|turn>", "<turn|>"), .system = "<|turn>system\n",
     .between = "<turn|>\n<|turn>user\n", .alone = "<|turn>user\n", .answer = "<turn|>\n<|turn>model\n",
     ENDS("<turn|>"), .trims = CHAT_TRIM_USER | CHAT_TRIM_SYSTEM},

    {.name = "gpt-oss (harmony)", MARKS("<|start|>", "<|message|>", "<|channel|>", "developer"),
     TOKENS("<|start|>", "<|message|>", "<|end|>", "<|return|>"),
     .system = HARMONY "<|start|>developer<|message|># Instructions\n\n",
     .between = "\n\n<|end|><|start|>user<|message|>", .alone = HARMONY "<|start|>user<|message|>",
     .answer = "<|end|><|start|>assistant", ENDS("<|return|>", "<|call|>"), .inside = "<|end|>"},
    {.name = "Granite 4", MARKS("<|start_of_role|>", "Please ensure responses are professional"), GRANITE,
     .otherwise = HELPFUL ". Please ensure responses are professional, accurate, and safe."},
    {.name = "Granite 3.3", MARKS("<|start_of_role|>", "Knowledge Cutoff Date: April 2024."), GRANITE,
     .otherwise = "Knowledge Cutoff Date: April 2024. Today's Date: April 16, 2025. You are Granite, developed by IBM. "
                  "You are a helpful AI assistant."},
    {.name = "Granite", MARKS("<|start_of_role|>", "<|end_of_role|>"), GRANITE},
    {.name = "Command R", MARKS("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>"),
     TOKENS("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>",
            "<|CHATBOT_TOKEN|>"),
     .system = COHERE("SYSTEM"), .between = "<|END_OF_TURN_TOKEN|>" COHERE("USER"), .alone = COHERE("USER"),
     .answer = "<|END_OF_TURN_TOKEN|>" COHERE("CHATBOT"), ENDS("<|END_OF_TURN_TOKEN|>"), .trims = CHAT_TRIM_USER},
    {.name = "DeepSeek R1", MARKS("<｜User｜>", "<｜Assistant｜><think>\n"), SEEK("", "<think>\n")},
    {.name = "DeepSeek V3", MARKS("<｜User｜>", "<｜Assistant｜>"), SEEK("", "")},
    {.name = "DeepSeek Coder", MARKS("### Instruction:\n", "### Response:", "<|EOT|>"), .system = "",
     .between = "### Instruction:\n", .alone = DEEPSEEK_CODER "\n### Instruction:\n", .answer = "\n### Response:\n",
     ENDS("<|EOT|>")},
    {.name = "DeepSeek V2", MARKS("'User: ' + message['content'] + '\n\n'", "Assistant:"), .system = "",
     .between = "\n\nUser: ", .alone = "User: ", .answer = "\n\nAssistant:"},
    {.name = "EXAONE 4", MARKS("[|user|]", "[|endofturn|]", "role_indicators"),
     TOKENS("[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"), .system = "[|system|]\n",
     .between = "[|endofturn|]\n[|user|]\n", .alone = "[|user|]\n",
     .answer = "[|endofturn|]\n[|assistant|]\n<think>\n\n</think>\n\n", ENDS("[|endofturn|]")},
    {.name = "Apertus", MARKS("<|system_start|>", "<|user_start|>", "<|developer_start|>"),
     TOKENS("<|system_start|>", "<|system_end|>", "<|developer_start|>", "<|developer_end|>", "<|user_start|>",
            "<|user_end|>", "<|assistant_start|>", "<|assistant_end|>"),
     .system = "<|system_start|>",
     .between = "<|system_end|><|developer_start|>Deliberation: disabled\nTool Capabilities: disabled"
                "<|developer_end|><|user_start|>",
     .alone = "", .answer = "<|user_end|><|assistant_start|>",
     .otherwise = "You are Apertus, a helpful assistant created by the SwissAI initiative.\n"
                  "Knowledge cutoff: 2024-04\nCurrent date: 2025-09-02", ENDS("<|assistant_end|>")},
    {.name = "BitNet", MARKS("message['role'] | capitalize + ': '", "<|eot_id|>", "Assistant: "), TOKENS("<|eot_id|>"),
     .system = "System: ", .between = "<|eot_id|>User: ", .alone = "User: ", .answer = "<|eot_id|>Assistant: ",
     ENDS("<|eot_id|>"), .trims = CHAT_TRIM_USER | CHAT_TRIM_SYSTEM},
    {.name = "ERNIE 4.5", MARKS("cls_token", "'User: '", "'Assistant: '"), TOKENS("<|begin_of_sentence|>"),
     .system = "<|begin_of_sentence|>", .between = "\nUser: ", .alone = "<|begin_of_sentence|>User: ",
     .answer = "\nAssistant: "},
    {.name = "Hunyuan", MARKS("<｜hy_User｜>", "<｜hy_Assistant｜>"),
     TOKENS("<｜hy_begin▁of▁sentence｜>", "<｜hy_User｜>", "<｜hy_Assistant｜>", "<｜hy_place▁holder▁no▁3｜>"),
     .system = "<｜hy_begin▁of▁sentence｜>", .between = "<｜hy_place▁holder▁no▁3｜><｜hy_User｜>",
     .alone = "<｜hy_begin▁of▁sentence｜><｜hy_User｜>", .answer = "<｜hy_Assistant｜>",
     ENDS("<｜hy_place▁holder▁no▁2｜>")},
    {.name = "Hy3", MARKS("<｜hy_User{}｜>", ":opensource"),
     TOKENS(HY3("begin_of_sentence"), HY3("User"), HY3("Assistant"), "<｜reasoning_mode:opensource｜>"),
     .system = HY3("begin_of_sentence"),
     .between = "<｜reasoning_mode:opensource｜>reasoning_effort:no_think" HY3("User"),
     .alone = HY3("begin_of_sentence") "<｜reasoning_mode:opensource｜>reasoning_effort:no_think" HY3("User"),
     .answer = HY3("Assistant") "<think:opensource></think:opensource>", ENDS(HY3("eos"))},
    {.name = "MiniMax M2", MARKS("]~!b[", "]~b]"), TOKENS("]~!b[", "]~b]", "[e~["), .system = "]~!b[" MINIMAX("system"),
     .between = "[e~[\n" MINIMAX("user"), .alone = "", .answer = "[e~[\n" MINIMAX("ai") "<think>\n",
     .otherwise = HELPFUL ".", ENDS("[e~[")},
    {.name = "Seed-OSS", MARKS("<seed:bos>"), TOKENS("<seed:bos>", "<seed:eos>"), .system = "<seed:bos>system\n",
     .between = "<seed:eos><seed:bos>user\n", .alone = "<seed:bos>user\n",
     .answer = "<seed:eos><seed:bos>assistant\n", ENDS("<seed:eos>")},
    {.name = "dots.llm1", MARKS("<|userprompt|>", "<|endofuserprompt|>"),
     TOKENS("<|system|>", "<|endofsystem|>", "<|userprompt|>", "<|endofuserprompt|>", "<|response|>"),
     .system = "<|system|>", .between = "<|endofsystem|><|userprompt|>", .alone = "<|userprompt|>",
     .answer = "<|endofuserprompt|><|response|>", ENDS("<|endofresponse|>")},
    {.name = "OpenChat", MARKS("GPT4 Correct ", "<|end_of_turn|>"), TOKENS("<|end_of_turn|>"),
     .system = "GPT4 Correct System: ", .between = "<|end_of_turn|>GPT4 Correct User: ",
     .alone = "GPT4 Correct User: ", .answer = "<|end_of_turn|>GPT4 Correct Assistant:", ENDS("<|end_of_turn|>")},
    {.name = "Vicuna", MARKS("USER: ", "ASSISTANT:"), .system = "", .between = "\n\nUSER: ", .alone = "USER: ",
     .answer = "\nASSISTANT:"},
    {.name = "SOLAR", MARKS("### User:\n", "### Assistant:\n", "### System:\n"), .system = "### System:\n",
     .between = "\n\n### User:\n", .alone = "### User:\n", .answer = "\n\n### Assistant:\n"},
    {.name = "MiniCPM", MARKS("<用户>", "<AI>"), .system = "", .between = "<用户>", .alone = "<用户>", .answer = "<AI>",
     .trims = CHAT_TRIM_USER | CHAT_TRIM_SYSTEM},
    {.name = "Megrez", MARKS("<|role_start|>", "<|turn_end|>"),
     TOKENS("<|role_start|>", "<|role_end|>", "<|turn_end|>"),
     .system = "<|role_start|>system<|role_end|>", .between = "<|turn_end|><|role_start|>user<|role_end|>",
     .alone = "", .answer = "<|turn_end|><|role_start|>assistant<|role_end|>",
     .otherwise = "你是Megrez-3B-Instruct，将针对用户的问题给出详细的、积极的回答。", ENDS("<|turn_end|>")},
    {.name = "Monarch", MARKS("bos_token + message['role'] + '\n'", "eos_token"), .system = CHAT_BOS "system\n",
     .between = CHAT_EOS "\n" CHAT_BOS "user\n", .alone = CHAT_BOS "user\n",
     .answer = CHAT_EOS "\n" CHAT_BOS "assistant\n"},
    {0},
};
