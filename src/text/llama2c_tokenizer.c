/* The tokenizer of llama2.c (Karpathy 2023): a list of pieces with scores. Encoding splits text into
 * characters (bytes where a character is no piece), then merges the adjacent pair whose piece has
 * the highest score, the leftmost of equals, until no pair is a piece. */
#include "tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ID_UNKNOWN = 0, ID_BOS = 1, ID_EOS = 2, FIRST_BYTE = 3, BYTES_END = FIRST_BYTE + 256 };

struct piece {
    const char *text; /* into vocabulary.bytes */
    uint32_t length;
    float score;
};

struct vocabulary {
    char *bytes;
    struct piece *pieces; /* by id */
    int32_t *sorted;      /* ids that a text can become, in the order of their pieces */
    size_t sorted_count;
};

/* ---- reading --------------------------------------------------------------------------------- */

static bool probe(const uint8_t *data, size_t size)
{
    (void)data;
    return size > 0; /* no magic number: open says what is wrong */
}

static int32_t int_at(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Walks the entries; with pieces null it only checks and counts them. */
static bool walk(const uint8_t *data, size_t size, struct vocabulary *v, size_t *count,
                 struct error *error)
{
    if (size < 4)
        return error_set(error, "tokenizer header: %zu bytes; expected at least 4", size);
    int32_t longest = int_at(data);
    if (longest < 1 || (size_t)longest > size)
        return error_set(error, "tokenizer header: max_token_length = %d; expected 1 to %zu", longest,
                         size);
    size_t n = 0, at = 4;
    for (char *text = v->bytes; at < size; n++) {
        if (size - at < 8)
            return error_set(error, "tokenizer: token %zu is cut off at the end of the file", n);
        float score;
        memcpy(&score, data + at, sizeof score);
        int32_t length = int_at(data + at + 4);
        at += 8;
        if (length < 0 || length > longest)
            return error_set(error, "tokenizer: token %zu has length %d; expected 0 to %d "
                                    "(max_token_length)", n, length, longest);
        if ((size_t)length > size - at)
            return error_set(error, "tokenizer: token %zu has length %d; %zu bytes are left", n,
                             length, size - at);
        if (isnan(score))
            return error_set(error, "tokenizer: token %zu has score NaN; expected a number", n);
        if (v->pieces) {
            memcpy(text, data + at, (size_t)length);
            v->pieces[n] = (struct piece){text, (uint32_t)length, score};
            text += length;
        }
        at += (size_t)length;
    }
    *count = n;
    return true;
}

static int compare_text(const char *a, size_t an, const char *b, size_t bn)
{
    int order = memcmp(a, b, an < bn ? an : bn);
    return order ? order : (an > bn) - (an < bn);
}

static int by_text(const void *a, const void *b, void *pieces)
{
    const struct piece *p = pieces;
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    int order = compare_text(p[i].text, p[i].length, p[k].text, p[k].length);
    return order ? order : (i > k) - (i < k);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that a piece of the form <0x0A> stands for, or -1. */
static int byte_of(const struct piece *p)
{
    if (p->length != 6 || memcmp(p->text, "<0x", 3) != 0 || p->text[5] != '>')
        return -1;
    int high = hex_digit(p->text[3]), low = hex_digit(p->text[4]);
    return high >= 0 && low >= 0 ? high * 16 + low : -1;
}

/* Special tokens and bytes are not made from text: a text that spells "</s>" is that text. */
static bool is_ordinary(const struct vocabulary *v, size_t id)
{
    return id > ID_EOS && byte_of(&v->pieces[id]) < 0;
}

static void close_state(struct tokenizer *t)
{
    struct vocabulary *v = t->state;
    if (!v)
        return;
    free(v->bytes);
    free(v->pieces);
    free(v->sorted);
    free(v);
}

static bool open_data(struct tokenizer *t, const uint8_t *data, size_t size, struct error *error)
{
    struct vocabulary *v = t->state = calloc(1, sizeof *v);
    if (!v || !walk(data, size, v, &t->vocab, error))
        return v != NULL ? false : error_set(error, "not enough memory");
    if (t->vocab <= ID_EOS)
        return error_set(error, "tokenizer: %zu tokens; expected at least 3 (unknown, BOS, EOS)",
                         t->vocab);
    v->bytes = malloc(size);
    v->pieces = calloc(t->vocab, sizeof *v->pieces);
    v->sorted = calloc(t->vocab, sizeof *v->sorted);
    if (!v->bytes || !v->pieces || !v->sorted)
        return error_set(error, "not enough memory for %zu tokens", t->vocab);
    walk(data, size, v, &t->vocab, error);
    for (size_t i = 0; i < t->vocab; i++)
        if (is_ordinary(v, i))
            v->sorted[v->sorted_count++] = (int32_t)i;
    qsort_r(v->sorted, v->sorted_count, sizeof *v->sorted, by_text, v->pieces);
    t->bos = ID_BOS;
    t->eos = ID_EOS;
    return true;
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* The id of a piece, the lowest of equals, or -1. */
static int32_t find_piece(const struct tokenizer *t, const char *text, size_t n)
{
    const struct vocabulary *v = t->state;
    size_t low = 0, high = v->sorted_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct piece *p = &v->pieces[v->sorted[middle]];
        if (compare_text(p->text, p->length, text, n) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == v->sorted_count)
        return -1;
    const struct piece *p = &v->pieces[v->sorted[low]];
    return compare_text(p->text, p->length, text, n) == 0 ? v->sorted[low] : -1;
}

/* A doubly linked list of the text's tokens; merging removes the right one of a pair. */
struct link {
    int32_t id;
    int32_t previous, next; /* -1 at the ends */
    uint32_t version;       /* counts changes, so that stale candidates are known */
};

/* A pair that could be merged, ordered by score, then by position. */
struct candidate {
    float score;
    int32_t left, merged;
    uint32_t left_version, right_version;
};

struct merger {
    const struct tokenizer *tokenizer;
    struct link *links;
    struct candidate *heap;
    size_t heap_count, heap_room;
    char *text; /* room for two pieces */
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void swap_candidates(struct candidate *a, struct candidate *b)
{
    struct candidate c = *a;
    *a = *b;
    *b = c;
}

static bool heap_push(struct merger *m, struct candidate c)
{
    if (m->heap_count == m->heap_room) {
        size_t room = m->heap_room ? m->heap_room * 2 : 64;
        struct candidate *heap = realloc(m->heap, room * sizeof *heap);
        if (!heap)
            return false;
        m->heap = heap;
        m->heap_room = room;
    }
    size_t i = m->heap_count++;
    m->heap[i] = c;
    for (; i > 0 && before(&m->heap[i], &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap_candidates(&m->heap[i], &m->heap[(i - 1) / 2]);
    return true;
}

static struct candidate heap_pop(struct merger *m)
{
    struct candidate top = m->heap[0];
    m->heap[0] = m->heap[--m->heap_count];
    for (size_t i = 0;;) {
        size_t best = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < m->heap_count; child++)
            if (before(&m->heap[child], &m->heap[best]))
                best = child;
        if (best == i)
            return top;
        swap_candidates(&m->heap[i], &m->heap[best]);
        i = best;
    }
}

/* Adds the pair that begins at link `left`, if together they are a piece. */
static bool consider(struct merger *m, int32_t left)
{
    if (left < 0 || m->links[left].next < 0)
        return true;
    const struct vocabulary *v = m->tokenizer->state;
    const struct link *a = &m->links[left], *b = &m->links[a->next];
    const struct piece *pa = &v->pieces[a->id], *pb = &v->pieces[b->id];
    memcpy(m->text, pa->text, pa->length);
    memcpy(m->text + pa->length, pb->text, pb->length);
    int32_t merged = find_piece(m->tokenizer, m->text, (size_t)pa->length + pb->length);
    if (merged < 0)
        return true;
    return heap_push(m, (struct candidate){v->pieces[merged].score, left, merged, a->version,
                                           b->version});
}

static bool merge_all(struct merger *m)
{
    while (m->heap_count > 0) {
        struct candidate c = heap_pop(m);
        struct link *left = &m->links[c.left];
        if (left->version != c.left_version || left->next < 0 ||
            m->links[left->next].version != c.right_version)
            continue;
        struct link *right = &m->links[left->next];
        left->id = c.merged;
        left->version++;
        right->version++;
        left->next = right->next;
        if (right->next >= 0)
            m->links[right->next].previous = c.left;
        if (!consider(m, left->previous) || !consider(m, c.left))
            return false;
    }
    return true;
}

/* Bytes of the character that begins a text: a lead byte and at most three continuations, whether
 * or not they are valid together. */
static size_t character_length(const char *text, size_t n)
{
    size_t length = 1;
    while (length < n && length < 4 && ((uint8_t)text[length] & 0xc0) == 0x80)
        length++;
    return length;
}

/* The characters of the text as tokens, with the space that SentencePiece puts in front. */
static bool split(const struct tokenizer *t, const char *text, size_t n, struct tokens *out)
{
    int32_t space = find_piece(t, " ", 1);
    if (n > 0 && space >= 0 && !tokens_add(out, space))
        return false;
    for (size_t i = 0; i < n;) {
        size_t length = character_length(text + i, n - i);
        int32_t id = find_piece(t, text + i, length);
        if (id >= 0 && !tokens_add(out, id))
            return false;
        for (size_t k = 0; id < 0 && k < length; k++) {
            bool has_bytes = t->vocab >= BYTES_END;
            int32_t byte = has_bytes ? FIRST_BYTE + (uint8_t)text[i + k] : ID_UNKNOWN;
            if (!tokens_add(out, byte))
                return false;
        }
        i += length;
    }
    return true;
}

static bool encode(const struct tokenizer *t, const char *text, size_t n, struct tokens *out,
                   struct error *error)
{
    const struct vocabulary *v = t->state;
    struct tokens parts = {0};
    struct merger m = {.tokenizer = t};
    size_t longest = 0;
    for (size_t i = 0; i < t->vocab; i++)
        longest = v->pieces[i].length > longest ? v->pieces[i].length : longest;
    bool ok = n < INT32_MAX / 2 && split(t, text, n, &parts);
    m.links = ok ? calloc(parts.count + 1, sizeof *m.links) : NULL;
    m.text = malloc(2 * longest + 1);
    ok = ok && m.links && m.text;
    for (size_t i = 0; ok && i < parts.count; i++)
        m.links[i] = (struct link){.id = parts.ids[i], .previous = (int32_t)i - 1,
                                   .next = i + 1 < parts.count ? (int32_t)i + 1 : -1};
    for (size_t i = 0; ok && i < parts.count; i++)
        ok = consider(&m, (int32_t)i);
    ok = ok && merge_all(&m);
    for (int32_t i = 0; ok && parts.count > 0 && i >= 0; i = m.links[i].next)
        ok = tokens_add(out, m.links[i].id);
    free(parts.ids);
    free(m.links);
    free(m.heap);
    free(m.text);
    return ok || error_set(error, "not enough memory to tokenize %zu bytes", n);
}

/* ---- decoding -------------------------------------------------------------------------------- */

static const char *piece(const struct tokenizer *t, int32_t previous, int32_t id, size_t *n,
                         char buffer[1])
{
    const struct piece *p = &((const struct vocabulary *)t->state)->pieces[id];
    int byte = byte_of(p);
    *n = p->length;
    if (id == ID_BOS || id == ID_EOS)
        return *n = 0, "";
    if (byte >= 0) {
        *buffer = (char)byte;
        return *n = 1, buffer;
    }
    bool leading = previous == ID_BOS && p->length > 0 && p->text[0] == ' ';
    *n -= leading;
    return p->text + leading;
}

const struct tokenizer_kind llama2c_tokenizer = {"llama2.c", probe, open_data, encode, piece,
                                                 close_state};
