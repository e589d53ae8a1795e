/* Screen 6, Text: what the model writes, beside what the reference writes from the same seed. */
#include "tui.h"

#include <string.h>

static void token_text(const struct tui *t, int32_t id, char out[40])
{
    char byte;
    size_t n = 0;
    const char *piece = "";
    if (t->session->tokenizer)
        piece = tokenizer_piece(t->session->tokenizer, TOKEN_ALONE, id, &n, &byte);
    if (n == 0)
        snprintf(out, 40, "<%d>", id);
    else
        snprintf(out, 40, "'%.*s'", (int)(n < 32 ? n : 32), piece);
}

/* One line a rank: the candidate of the scheme, that of the reference. */
static void draw_candidates(const struct tui *t, const struct text_frame *x, struct rect area)
{
    int half = area.cols / 2;
    draw_format(area.row, area.col, area.cols, STYLE_STRONG, false,
                "first difference at token %zu%s; probabilities there (scheme | %s):",
                x->divergence - x->prompt_tokens + 1,
                x->divergence < x->earlier_tokens ? ", by earlier weights" : "",
                t->frame->model->reference ? "reference" : "stored");
    for (int i = 0; i < CANDIDATES && i + 1 < area.rows; i++) {
        char here[40], there[40];
        token_text(t, x->here[i].id, here);
        token_text(t, x->there[i].id, there);
        draw_format(area.row + 1 + i, area.col, half - 1, STYLE_PLAIN, false, "%6.2f %%  %s",
                    100 * (double)x->here[i].probability, here);
        draw_format(area.row + 1 + i, area.col + half, half, STYLE_PLAIN, false, "%6.2f %%  %s",
                    100 * (double)x->there[i].probability, there);
    }
}

/* How the prompt is asked, where the model's file says how; returns the lines that takes. */
static int draw_chat(const struct tui *t, const struct text_frame *x, struct rect area)
{
    struct chat chat = session_chat(t->session);
    if (area.rows < 6 || (!chat.family && strcmp(chat.why, chat_absent().why) == 0))
        return 0;
    const char *raw = chat.family ? "chat: raw text (c: %s)" : "chat: raw text (%s)";
    const char *text = x->chat ? "chat: %s (c: raw text)" : raw;
    draw_format(area.row + 1, area.col, area.cols, STYLE_DIM, false, text, chat.family ? chat.family->name : chat.why);
    return 1;
}

void generation_draw(struct tui *t, struct rect area)
{
    const struct text_frame *x = t->frame->text;
    if (!x || !x->text || area.rows < 2)
        return;
    int top = 1 + draw_chat(t, x, area);
    bool beside = x->reference && area.cols >= 60;
    int half = beside ? area.cols / 2 : area.cols;
    int below = x->diverged && area.rows >= 12 ? CANDIDATES + 1 : 0;
    struct rect left = {area.row + top, area.col, area.rows - top - below, half - (beside ? 2 : 0)};
    struct rect right = {area.row + top, area.col + half, left.rows, area.cols - half};
    draw_format(area.row, area.col, half, STYLE_STRONG, false, "this scheme, seed %llu, %zu tokens%s%s",
                (unsigned long long)x->seed, x->tokens - x->prompt_tokens, x->ended ? " (end)" : "",
                x->earlier_tokens > 0 ? ", begun by earlier weights (r)" : "");
    draw_wrapped(left, x->text, x->diverged ? x->text_offset : SIZE_MAX, STYLE_PLAIN, STYLE_SECOND);
    if (beside) {
        draw_format(area.row, area.col + half, area.cols - half, STYLE_STRONG, false,
                    x->diverged ? "%s (bold: from the first difference)" : "%s: no difference so far",
                    t->frame->model->reference ? "reference" : "stored weights");
        draw_wrapped(right, x->reference, x->diverged ? x->reference_offset : SIZE_MAX, STYLE_PLAIN,
                     STYLE_SECOND);
    }
    if (below)
        draw_candidates(t, x, (struct rect){area.row + area.rows - below, area.col, below, area.cols});
}

/* Layers are not shown here: keys that move between them do nothing. */
bool generation_act(struct tui *t, enum action a)
{
    bool moves = key_moves(a);
    if (moves)
        tui_note(t, "the text does not scroll: 1 shows the layers");
    return moves;
}

void generation_tail(struct tui *t, int row, int cols)
{
    const struct text_frame *x = t->frame->text;
    draw_text(row, 0, cols, STYLE_STRONG, true, "> ");
    if (!x || !x->text)
        return;
    char tail[2048];
    size_t n = strlen(x->text), max = (size_t)cols * 4 < sizeof tail ? (size_t)cols * 4 : sizeof tail;
    snprintf(tail, sizeof tail, "%s", x->text + (n < max ? 0 : n - max + 1));
    for (char *c = tail; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    const char *from = tail;
    while (*from && (text_width(from) > cols - 4 || ((unsigned char)*from & 0xc0) == 0x80))
        from++;
    int used = draw_text(row, 2, cols - 3, STYLE_PLAIN, false, from);
    draw_text(row, 2 + used, 1, STYLE_SELECTED, false, " ");
}
