/* keysequence.h - what a terminal sends for the keys of the table in views/keys.h. */
#ifndef QTOP_TESTS_KEYSEQUENCE_H
#define QTOP_TESTS_KEYSEQUENCE_H

#include "pty.h"

#include <curses.h>
#include <stddef.h>

/* Null for a key that no terminal sends; room is for that of a character. */
static inline const char *key_sequence(int code, char room[2])
{
    static const struct {
        int code;
        const char *sequence;
    } special[] = {
        {KEY_F(1), PTY_KEY_F1},     {KEY_F(2), PTY_KEY_F2},     {KEY_F(3), PTY_KEY_F3},
        {KEY_F(4), PTY_KEY_F4},     {KEY_F(5), PTY_KEY_F5},     {KEY_F(6), PTY_KEY_F6},
        {KEY_F(7), PTY_KEY_F7},     {KEY_F(8), PTY_KEY_F8},     {KEY_F(9), PTY_KEY_F9},
        {KEY_F(10), PTY_KEY_F10},   {KEY_UP, PTY_KEY_UP},       {KEY_DOWN, PTY_KEY_DOWN},
        {KEY_LEFT, PTY_KEY_LEFT},   {KEY_RIGHT, PTY_KEY_RIGHT}, {KEY_HOME, PTY_KEY_HOME},
        {KEY_END, PTY_KEY_END},     {KEY_PPAGE, PTY_KEY_PGUP},  {KEY_NPAGE, PTY_KEY_PGDN},
        {KEY_BTAB, PTY_KEY_BACKTAB}, {KEY_DC, PTY_KEY_DELETE},  {KEY_IC, PTY_KEY_INSERT},
        {KEY_ENTER, "\033OM"},      {KEY_BACKSPACE, PTY_KEY_BACKSPACE},
    };
    room[0] = (char)code;
    room[1] = 0;
    if (code > 0 && code < 128)
        return room;
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (special[i].code == code)
            return special[i].sequence;
    return NULL;
}

#endif
