/* The pre-tokenizers that GGUF files know by name. The expressions are those of the models' own
 * tokenizer files; where a model applies several, each cuts what the one before it left. */
#include "vocabulary.h"

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
#define HALVED(...) "|\\s{" #__VA_ARGS__ "}(?!\\S)"
#define NO_HAN(class) "(?:(?!\\p{Han})" class ")"

#define GPT2 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 ENGLISH "|" WORD "|\\p{N}{1,3}|" MARKS SPACES
#define QWEN2 ENGLISH "|" WORD "|\\p{N}|" MARKS SPACES
#define DEEPSEEK3 \
    ASCII_MARK "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" SPACES
/* The cased letters, as code points: a name for them (\p{L&}) would follow the versions of Unicode. */
#define LETTERS_OF_DEEPSEEK \
    "A-Za-z" \
    "\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}" \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}" \
    "\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}" \
    "\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}" \
    "\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}" \
    "\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}" \
    "\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}" \
    "\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}" \
    "\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}" \
    "\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}" \
    "\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}" \
    "\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}" \
    "\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}" \
    "\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}" \
    "\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}" \
    "\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}" \
    "\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

#define BYTES SPELLED_BYTES
static const struct pretokenizer table[] = {
    {" default ", LIST("[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"), false, false, BYTES},
    {" gpt-2 gpt2 phi-2 jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code roberta-bpe gigachat "
     "a.x-4.0 mellum modern-bert exaone4 mpt olmo jais trillion granite-docling ",
     LIST(GPT2), false, false, BYTES},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ", LIST(LLAMA3),
     true, true, BYTES},
    {" dbrx smaug-bpe chatglm-bpe ", LIST(LLAMA3), false, false, BYTES},
    {" glm4 glm5 ", LIST(LLAMA3), true, false, BYTES},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2 ", LIST(QWEN2),
     false, false, BYTES},
    {" qwen35 ",
     LIST(ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" SPACES),
     false, false, BYTES},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 ",
     LIST(CASED(ENGLISH "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES), false, false, BYTES},
    {" granite-embed-multi-97m ", LIST(CASED(ENGLISH "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES),
     true, false, BYTES},
    {" tekken ", LIST(CASED("") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES), true, true, BYTES},
    {" starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ", LIST("\\p{N}", GPT2),
     false, false, BYTES},
    {" falcon ", LIST("[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"), false, false, BYTES},
    {" deepseek-llm ",
     LIST("[\\r\\n]", "\\s?[" LETTERS_OF_DEEPSEEK "]+", "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$",
          "[一-龥ࠀ-一가-퟿]+", "\\p{N}+"),
     false, false, BYTES},
    {" deepseek-coder ",
     LIST("[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"), false, false, BYTES},
    {" deepseek-v3 hunyuan-dense joyai-llm hy_v4 ", LIST("\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK3), false,
     false, BYTES},
    {" spark2_5 ",
     LIST("\\p{N}{1,3}", HAN_AND_KANA,
          ASCII_MARK "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\\r\\n]"
          "|\\s+(?!\\S)|\\s+",
          "\\p{N}"),
     false, false, BYTES},
    {" afmoe ",
     LIST("\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
          "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{8c48}-\\x{faff}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}"
          "\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}"
          "\\x{1000}-\\x{109f}"
          "\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+",
          DEEPSEEK3),
     false, false, BYTES},
    {" youtu ",
     LIST("[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}\\x{2014}"
          "\\x{ff1a}"
          "\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|[\\x{3105}-\\x{312f}]+|" HAN_AND_KANA,
          CASED(ENGLISH "?") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES),
     true, false, BYTES},
    {" jais-2 ",
     LIST(ENGLISH "|" WORD "|\\p{N}{1,3}|" MARKS "|\\s*[\\r\\n]+" HALVED(512) HALVED(256) HALVED(128) HALVED(64)
          HALVED(32) HALVED(16) HALVED(8) HALVED(4) HALVED(1,2) "|\\s{1}"),
     false, false, BYTES},
    {" ufakzeka ", LIST(WORD "|\\p{N}|" MARKS SPACES), false, false, BYTES},
    {" bloom poro-chat gpt3-finnish ", LIST(" ?[^(\\s|.,!?…。，、।۔،)]+"), false, false, BYTES},
    {" viking ", LIST(" ?[^(\\s|.,!?…。，、।۔،)]+", "\\p{N}"), false, false, BYTES},
    {" chameleon ",
     LIST("<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
          "[\\p{P}!-/:-@\\[-`{-~]", GPT2),
     false, true, BYTES},
    {" bailingmoe bailingmoe2 llada-moe ",
     LIST("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*"
          "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"),
     false, false, BYTES},
    {" seed-coder ", LIST(ENGLISH "|" WORD "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" SPACES), false, false, BYTES},
    {" exaone-moe ",
     LIST(ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}"
          "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"),
     false, false, BYTES},
    {" tiny_aya cohere2moe ",
     LIST("\\d{1,3}(?=(?:\\d{3})*\\b)",
          CASED(ENGLISH "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES),
     false, false, BYTES},
    {" superbpe ", LIST("\\p{N}+", "(?=(\\d{3})+(?!\\d))"), false, false, BYTES},
    {" minicpm5 ", LIST("\\p{N}{1,3}", ENGLISH "|" WORD "|\\p{N}+|" MARKS SPACES), true, false, BYTES},
    {" laguna ", LIST("[^\\n]+|[\\n]+", QWEN2), false, false, BYTES},
    {" kimi-k2 ",
     LIST("\\p{Han}+|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(UPPER) "*" NO_HAN(LOWER) "+" ENGLISH
          "?|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(UPPER) "+" NO_HAN(LOWER) "*" ENGLISH "?|\\p{N}{1,3}|" MARKS SPACES),
     false, false, BYTES},
    {" gemma4 granite-embed-multi-311m ", LIST("[^\\n]+|[\\n]+"), false, true, SPELLED_AS_GEMMA},
    {" sarvam-moe ", LIST("[^\\n]+|[\\n]+"), false, false, SPELLED_MARKED},
    {" whitespace ", LIST("\\S+"), false, false, SPELLED_CHARACTERS},
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

/* Whether the rules are these expressions. */
static bool same_rules(const struct pretokenizer *p, const struct vocabulary *v)
{
    size_t n = 0;
    for (; p->expressions[n]; n++) {
        const struct split_rule *r = n < v->rule_count ? &v->rules[n] : NULL;
        if (!r || r->literal || r->invert || r->behavior != SPLIT_ISOLATED ||
            strlen(p->expressions[n]) != r->size || memcmp(p->expressions[n], r->expression, r->size) != 0)
            return false;
    }
    return n == v->rule_count && v->byte_rules == 0 && p->ignore_merges == v->ignore_merges &&
           p->spelling == SPELLED_BYTES;
}

bool pretokenizer_name(const struct vocabulary *v, char out[32])
{
    for (size_t i = 0; i < KNOWN; i++)
        if (same_rules(&table[i], v)) {
            snprintf(out, 32, "%.*s", (int)strcspn(table[i].names + 1, " "), table[i].names + 1);
            return true;
        }
    return false;
}
