/* lab.h - one open model under study: applies commands, runs the engine, publishes frames.
 *
 * The lab runs on its own thread and owns everything that changes. Views send commands, which never
 * wait, and take the newest frame. */
#ifndef QTOP_LAB_H
#define QTOP_LAB_H

#include "quant/change.h"
#include "session/session.h"
#include "frame.h"

enum command_kind {
    COMMAND_CYCLE,      /* tensors, change, direction: the first one's next scheme goes to all */
    COMMAND_SET,        /* tensors, scheme */
    COMMAND_SAME,       /* tensors: the scheme of each for its role in every block */
    COMMAND_UNDO,
    COMMAND_REDO,
    COMMAND_SNAPSHOT,   /* keep the schemes in use */
    COMMAND_RESTORE,    /* index: go to a snapshot */
    COMMAND_SWAP,       /* between the last two snapshots */
    COMMAND_SELECT,     /* tensors[0], row, col: what detail and number line show */
    COMMAND_EVALUATE,
    COMMAND_SENSITIVITY, /* measure what each layer alone costs; again: stop */
    COMMAND_COMPARE_METHODS, /* on the selected tensor; while that runs: stop */
    COMMAND_STOP_LEARNING, /* quantization-aware training, keeping the best so far */
    COMMAND_TUNE,       /* text: a budget (budget_parse); while a search runs: stop it, keeping the best so far */
    COMMAND_RACE,       /* time all snapshots in rounds; while that runs: stop */
    COMMAND_EXPORT,     /* text: path of a GGUF or safetensors file, perhaps "for FORMAT" behind it; while one is
                         * written: give it up */
    COMMAND_ROOFS,      /* measure them anew */
    COMMAND_BATCH,      /* direction: more sequences side by side, or fewer */
    COMMAND_COUNT,      /* text: begin to count an event, or leave it out */
    COMMAND_LIST_EVENTS, /* frames are to have the list of all events */
    COMMAND_PAUSE,      /* toggles */
    COMMAND_RESTART,    /* the text, with the same seed */
    COMMAND_PROMPT,     /* text */
    COMMAND_SAMPLING,   /* temperature, seed */
    COMMAND_WATCH_TEXT, /* index 1 or 0: whether the reference's text is wanted */
    COMMAND_WRITE       /* text: path of a recipe */
};

struct command {
    enum command_kind kind;
    const int *tensors; /* copied by lab_send; kv_index is the KV cache */
    size_t tensor_count;
    enum change change;
    int direction;
    struct scheme scheme;
    size_t row, col;
    int index;
    const char *text;   /* copied by lab_send */
    double temperature;
    uint64_t seed;
};

/* One in so many decode steps at most is timed tensor by tensor, and one in so much time: reading the clock is to
 * cost less than a hundredth of decode speed. */
enum { SAMPLE_EVERY = 16 };
#define SAMPLE_SECONDS 0.01

struct lab_options {
    const struct scheme *schemes; /* to begin with (schemes_count); null: stored */
    const char *text;             /* that quality is measured on; null: the model's own */
    size_t text_size;
    enum protocol protocol;
    size_t window;                /* 0: the smaller of the context and 512 */
    const char *prompt;           /* null: none */
    uint64_t seed;
    float temperature, top_p;
    double tokens_per_second;     /* reading speed of the text; 0: as fast as it comes */
};

struct lab;

/* Starts the thread. The session stays the caller's and must outlive the lab. */
struct lab *lab_start(struct session *session, const struct lab_options *options,
                      struct error *error);

/* Ends the thread and frees everything; frames already taken stay valid while the session lives. */
void lab_stop(struct lab *lab);

/* Queues a command and returns at once; false when memory is short. */
bool lab_send(struct lab *lab, const struct command *command);

/* The newest frame, with a reference for the caller; null before the first one. */
struct frame *lab_frame(struct lab *lab);

/* A descriptor that is readable when a frame newer than the last taken exists. */
int lab_wake_descriptor(const struct lab *lab);

#endif
