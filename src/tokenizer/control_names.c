/* Tokens that llama.cpp takes for control tokens by their names, whatever type a file gives them. */
#include "vocabulary.h"

#include <string.h>

#define KEY(name) "tokenizer.ggml." name "_token_id"

/* Names between spaces, and the key with which a file says which token it is, so that names do not count. */
static const struct {
    const char *key, *names;
} groups[] = {
    {"", " <|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> <|endoftext|> </s> "
         "<|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|> <|tool_response> "
         "<｜end▁of▁sentence｜> [e~[ "},
    {KEY("fim_pre"),
     " <|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> <|code_prefix|> <|prefix|> "},
    {KEY("fim_suf"),
     " <|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> <|code_suffix|> <|suffix|> "},
    {KEY("fim_mid"),
     " <|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> <|code_middle|> <|middle|> "},
    {KEY("fim_pad"), " <|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD] "},
    {KEY("fim_rep"), " <|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame> "},
    {KEY("fim_sep"), " <|file_sep|> "},
};

const char *vocabulary_control_key(const char *text, size_t size)
{
    char name[40];
    if (size == 0 || size > sizeof name - 3 || memchr(text, ' ', size) || memchr(text, 0, size))
        return NULL;
    name[0] = name[size + 1] = ' ';
    memcpy(name + 1, text, size);
    name[size + 2] = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strstr(groups[i].names, name))
            return groups[i].key;
    return NULL;
}
