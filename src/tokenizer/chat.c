#include "chat.h"

#include <string.h>

/* BOS, and of a turn five texts; each may have two tokens of its own in it, with text between. */
enum { MOST_PARTS = 1 + 5 * 5 };

struct turn {
    const struct tokenizer *tokenizer;
    struct text_part parts[MOST_PARTS];
    size_t count;
};

static void add(struct turn *turn, struct text_part part)
{
    if (turn->count < MOST_PARTS && (!part.text || part.size > 0))
        turn->parts[turn->count++] = part;
}

/* A text of the table, with the vocabulary's own tokens in it; those that it lacks are left out. */
static void add_piece(struct turn *turn, const char *text)
{
    const struct tokenizer *t = turn->tokenizer;
    while (*text) {
        size_t n = strcspn(text, CHAT_BOS CHAT_EOS);
        int32_t id = text[n] == *CHAT_BOS ? t->bos : text[n] == *CHAT_EOS ? t->eos : -1;
        add(turn, (struct text_part){.text = text, .size = n, .special = true});
        if (id >= 0)
            add(turn, (struct text_part){.id = id});
        text += n + (text[n] != 0);
    }
}

static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void add_text(struct turn *turn, const char *text, bool special, bool trims_front, bool trims_back)
{
    size_t n = strlen(text);
    while (trims_back && n > 0 && is_white(text[n - 1]))
        n--;
    for (; trims_front && n > 0 && is_white(*text); n--)
        text++;
    add(turn, (struct text_part){.text = text, .size = n, .special = special});
}

bool chat_prompt(const struct tokenizer *t, const char *system, const char *user, bool special, struct tokens *out,
                 struct error *error)
{
    const struct chat_family *f = t->chat.family;
    struct turn turn = {.tokenizer = t};
    size_t begin = out->count;
    const char *told = system && *system ? system : f->otherwise;
    bool trims_system = f->trims & CHAT_TRIM_SYSTEM, trims_user = f->trims & CHAT_TRIM_USER;
    bool trims_turn = f->trims & CHAT_TRIM_TURN;
    if (t->bos >= 0 && (t->chat.bos || t->adds_bos))
        add(&turn, (struct text_part){.id = t->bos});
    add_piece(&turn, told ? f->system : f->alone);
    if (told) {
        add_text(&turn, told, special && told == system, trims_system, trims_system);
        add_piece(&turn, f->between);
    }
    add_text(&turn, user, special, trims_user || (trims_turn && !told), trims_user || trims_turn);
    add_piece(&turn, f->answer);
    if (!tokenizer_encode_parts(t, turn.parts, turn.count, out, error))
        return false;
    size_t made = out->count - begin;
    if (made > 1 && out->ids[begin] == t->bos && out->ids[begin + 1] == t->bos) { /* the turn has its own */
        memmove(out->ids + begin, out->ids + begin + 1, (made - 1) * sizeof *out->ids);
        out->count--;
    }
    return true;
}
