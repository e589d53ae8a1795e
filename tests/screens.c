/* screens - dumps of every screen as text, for the README: `make screens`. */
#include "pty.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void show(struct pty *p, const char *title)
{
    char *dump = pty_dump(p);
    printf("---- %s\n%s\n", title, dump ? dump : "");
    free(dump);
}

/* Waits until the screen shows text, then a little longer for the meters. */
static void wait(struct pty *p, const char *text, double seconds)
{
    pty_wait_for(p, text, 30);
    pty_quiet(p, 0);
    pty_wait_match(p, "this never appears", seconds);
}

static const char *program(void)
{
    const char *binary = getenv("QTOP_BIN");
    return binary ? binary : "./qtop";
}

static struct pty *open_program(const char *const *arguments)
{
    const char *command[8] = {program()};
    for (size_t i = 0; arguments[i] && i + 2 < sizeof command / sizeof *command; i++)
        command[i + 1] = arguments[i];
    return pty_start(28, 100, command, NULL);
}

static void close_program(struct pty *p)
{
    pty_send(p, "qqy");
    pty_wait_exit(p, 5);
    pty_stop(p);
}

/* The model beside a file of it in fewer bits. */
static void show_against(const char *model)
{
    char path[] = "/tmp/screens-XXXXXX.gguf";
    int file = mkstemps(path, 5);
    struct pty *p = open_program((const char *[]){"export", "-s", "q4_k_m", "-o", path, model, NULL});
    if (file < 0 || !p || pty_wait_exit(p, 60) != 0)
        return;
    pty_stop(p);
    if ((p = open_program((const char *[]){"--against", path, model, NULL}))) {
        wait(p, "speed", 25);
        show(p, "Against");
        close_program(p);
    }
    close(file);
    unlink(path);
}

int main(int argc, char **argv)
{
    const char *model = argc > 1 ? argv[1] : "data/stories.bin";
    struct pty *p = open_program((const char *[]){model, NULL});
    if (!p || !pty_wait_for(p, "LAYER", 20)) /* else every dump would show what it says instead */
        return 1;
    FILE *quiet = freopen("/dev/null", "w", stderr); /* waits that end in time are no news */
    (void)quiet;
    wait(p, "KL", 4);
    pty_send(p, "s*");           /* keep the stored scheme; fold all */
    pty_send(p, PTY_KEY_DOWN "+");
    pty_send(p, " jjjjjjjj");    /* tag the block */
    wait(p, "blk.0", 1);
    pty_send(p, "dddd");         /* int4 */
    wait(p, "int4", 1);
    pty_send(p, "U" PTY_KEY_HOME "jjj=");
    wait(p, "int4", 8);
    show(p, "Layers");
    pty_send(p, "2X");
    wait(p, "SQNR of channels", 3);
    show(p, "Error");
    pty_send(p, "1" PTY_KEY_ENTER);
    wait(p, "What it costs", 1);
    show(p, "Editor");
    pty_send(p, PTY_KEY_ESC "3bbbb");
    wait(p, "batch of 16", 6);
    show(p, "Roofline");
    pty_send(p, "4");
    wait(p, "task-clock", 3);
    show(p, "Counters");
    pty_send(p, "7");
    wait(p, "processor", 1);
    show(p, "Machine");
    pty_send(p, "1s" PTY_KEY_HOME "jm=m=");  /* a third scheme to compare */
    wait(p, "gptq", 20);
    pty_send(p, "se");
    wait(p, "KL 0.0", 8);
    pty_send(p, "5v");
    wait(p, "timed in", 20);
    show(p, "Compare");
    pty_send(p, "6r");
    wait(p, "stored weights", 14);
    show(p, "Text");
    pty_send(p, "?");
    wait(p, "Moving", 1);
    show(p, "Help");
    pty_send(p, "q1E");
    wait(p, "measured the sensitivity", 30);
    pty_send(p, "9");
    wait(p, "KL of each", 1);
    show(p, "Map");
    pty_send(p, "A");
    wait(p, "advise: ", 60);
    pty_send(p, "8");
    wait(p, "SCHEME", 2);
    show(p, "Advise");
    pty_send(p, "0");
    wait(p, "LOG", 2);
    show(p, "Jobs");
    close_program(p);
    show_against(model);
    return 0;
}
