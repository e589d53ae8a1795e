/* chat_family.h - how models that were trained on conversations are asked. A file says it as a template in Jinja, which
 * is a program, and is not run: marks in its text tell which of the well-known families it belongs to, and a table says
 * how a turn of that family is written. */
#ifndef QTOP_CHAT_FAMILY_H
#define QTOP_CHAT_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

/* In a turn's texts: the vocabulary's own tokens that begin and end a text. */
#define CHAT_BOS "\2"
#define CHAT_EOS "\3"

enum { CHAT_MARKS = 4, CHAT_TOKENS = 8, CHAT_ENDS = 3 };

/* At both ends of which texts white space is taken off. */
enum chat_trims {
    CHAT_TRIM_USER = 1, CHAT_TRIM_SYSTEM = 2,
    CHAT_TRIM_TURN = 4 /* the user's, but for what lies between it and a system's text */
};

/* A row of the table: one turn, which is `system`, the system's text, `between`, the user's text and `answer`; without
 * a system's text `alone`, the user's text and `answer`. */
struct chat_family {
    const char *name;
    /* Texts that a template of the family has, all of them, with ' for both quotes and line breaks for \n. */
    const char *marks[CHAT_MARKS];
    /* The tokens in a turn's texts that are no text: a vocabulary without one of them is not of the family. */
    const char *tokens[CHAT_TOKENS];
    const char *system, *between, *alone, *answer;
    const char *otherwise;        /* the system's text where nobody gives one; null: none, and then `alone` begins */
    const char *ends[CHAT_ENDS];  /* tokens that end the answer, besides EOS */
    const char *inside;           /* a token that ends a part of an answer, with the name of one that ends texts; or null */
    unsigned trims;               /* a sum of enum chat_trims */
};

/* The table; a row without a name ends it. The first whose marks are all there is the one. */
extern const struct chat_family chat_families[];

enum { CHAT_TEMPLATE_MOST = 1 << 18 /* bytes of a template that is looked at */, CHAT_WHY = 160 };

/* What is known of a model's template, which itself is not kept. */
struct chat {
    const struct chat_family *family; /* null: texts are used as they are */
    bool bos;                         /* the template puts BOS in front */
    char why[CHAT_WHY];               /* why there is no family */
};

/* Of a model without a template. */
struct chat chat_absent(void);

/* Tells the family of a template of n bytes, which may be anything. */
struct chat chat_of_template(const char *text, size_t n);

/* Whether a token with the name of one that ends texts does not in a family (null: none). */
bool chat_goes_on(const struct chat_family *family, const char *token, size_t size);

#endif
