/* The pre-tokenizers that GGUF files know by name. The expressions are those of the models' own
 * tokenizer files; where a model applies several, each cuts what the one before it left. */
#include "splitter.h"

#include <stdio.h>
#include <string.h>

/* ---- parts that many share ------------------------------------------------------------------- */

#define ENGLISH "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define MARKS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(ending) \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" ending "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" ending
#define ASCII_MARK "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define HAN_AND_KANA "[一-龥぀-ゟ゠-ヿ]+"
#define NO_HAN(class) "(?:(?!\\p{Han})" class ")"

#define GPT2 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 ENGLISH "|" WORD "|\\p{N}{1,3}|" MARKS SPACES
#define QWEN2 ENGLISH "|" WORD "|\\p{N}|" MARKS SPACES
#define DEEPSEEK3 \
    ASCII_MARK "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" SPACES
#define LETTERS_OF_DEEPSEEK \
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώ" \
    "ᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗ" \
    "Ａ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct pretokenizer table[] = {
    {" default ", LIST("[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"), false, false},
    {" gpt-2 gpt2 phi-2 jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code roberta-bpe gigachat "
     "a.x-4.0 mellum modern-bert exaone4 mpt olmo jais trillion granite-docling ",
     LIST(GPT2), false, false},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ", LIST(LLAMA3),
     true, true},
    {" dbrx smaug-bpe glm4 chatglm-bpe ", LIST(LLAMA3), false, false},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2 ", LIST(QWEN2),
     false, false},
    {" qwen35 ",
     LIST(ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" SPACES),
     false, false},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 ",
     LIST(CASED(ENGLISH "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES), false, false},
    {" tekken ", LIST(CASED("") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES), true, true},
    {" starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ", LIST("\\p{N}", GPT2),
     false, false},
    {" falcon ", LIST("[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"), false, false},
    {" deepseek-llm ",
     LIST("[\\r\\n]", "\\s?[" LETTERS_OF_DEEPSEEK "]+", "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$",
          "[一-龥ࠀ-一가-퟿]+", "\\p{N}+"),
     false, false},
    {" deepseek-coder ",
     LIST("[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"), false, false},
    {" deepseek-v3 hunyuan-dense joyai-llm hy_v4 ", LIST("\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK3), false,
     false},
    {" bloom poro-chat gpt3-finnish ", LIST(" ?[^(\\s|.,!?…。，、।۔،)]+"), false, false},
    {" viking ", LIST(" ?[^(\\s|.,!?…。，、।۔،)]+", "\\p{N}"), false, false},
    {" chameleon ",
     LIST("<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
          "[\\p{P}!-/:-@\\[-`{-~]", GPT2),
     false, true},
    {" bailingmoe bailingmoe2 llada-moe ",
     LIST("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*"
          "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"),
     false, false},
    {" seed-coder ", LIST(ENGLISH "|" WORD "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" SPACES), false, false},
    {" exaone-moe ",
     LIST(ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}"
          "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"),
     false, false},
    {" tiny_aya cohere2moe ",
     LIST("\\d{1,3}(?=(?:\\d{3})*\\b)",
          CASED(ENGLISH "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES),
     false, false},
    {" superbpe ", LIST("\\p{N}+", "(?=(\\d{3})+(?!\\d))"), false, false},
    {" minicpm5 ", LIST("\\p{N}{1,3}", ENGLISH "|" WORD "|\\p{N}+|" MARKS SPACES), true, false},
    {" laguna ", LIST("[^\\n]+|[\\n]+", QWEN2), false, false},
    {" kimi-k2 ",
     LIST("\\p{Han}+|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(UPPER) "*" NO_HAN(LOWER) "+" ENGLISH
          "?|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(UPPER) "+" NO_HAN(LOWER) "*" ENGLISH "?|\\p{N}{1,3}|" MARKS SPACES),
     false, false},
};
enum { KNOWN = sizeof table / sizeof *table };

/* Whether a list of names between spaces has this one. */
static bool has_name(const char *names, const char *name, size_t size)
{
    if (size == 0 || memchr(name, ' ', size))
        return false;
    for (const char *at = names + 1; *at; at += strcspn(at, " ") + 1)
        if (strcspn(at, " ") == size && memcmp(at, name, size) == 0)
            return true;
    return false;
}

const struct pretokenizer *pretokenizer_find(const char *name, size_t size, struct error *error)
{
    char known[400] = "";
    for (size_t i = 0, used = 0; i < KNOWN; i++) {
        if (has_name(table[i].names, name, size))
            return &table[i];
        size_t first = strcspn(table[i].names + 1, " ");
        if (used + first + 2 < sizeof known)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%.*s", i ? ", " : "", (int)first,
                                     table[i].names + 1);
    }
    error_set(error, "pre-tokenizer '%.*s' is unknown; expected one of %s or a synonym",
              (int)(size < 64 ? size : 64), name, known);
    return NULL;
}
