/* command.h - what a view asks the lab to do. */
#ifndef QTOP_LAB_COMMAND_H
#define QTOP_LAB_COMMAND_H

#include "quant/change.h"

#include <stdint.h>

enum command_kind {
    COMMAND_CYCLE,      /* tensors, change, direction: the field becomes in all what it becomes next in the first */
    COMMAND_SET,        /* tensors, scheme */
    COMMAND_MIX,        /* text: a mix (quant/mixes.h), for the whole model, or a scheme as -s takes it;
                         * index 1: all that it leaves out becomes as stored */
    COMMAND_SAME,       /* tensors: the scheme of each for its role in every block */
    COMMAND_UNDO,
    COMMAND_REDO,
    COMMAND_STEP,       /* step: undo or redo as far as this step of the history */
    COMMAND_STOP_JOB,   /* index: a row of the table of jobs */
    COMMAND_SNAPSHOT,   /* keep the schemes in use */
    COMMAND_RESTORE,    /* index: go to a snapshot */
    COMMAND_SWAP,       /* between the last two snapshots */
    COMMAND_NAME_SNAPSHOT, /* index: its label; text: its name, or "" */
    COMMAND_ANNOTATE_SNAPSHOT, /* the same: its note */
    COMMAND_DELETE_SNAPSHOT, /* index: its label */
    COMMAND_SELECT,     /* tensors[0], row, col: what detail and number line show */
    COMMAND_EVALUATE,
    COMMAND_SENSITIVITY, /* measure the sensitivity of each layer; again: stop */
    COMMAND_COMPARE_METHODS, /* on the selected tensor; while that runs: stop */
    COMMAND_STOP_TRAINING, /* quantization-aware training, keeping the best so far */
    COMMAND_TUNE,       /* text: a budget (budget_parse) to search within; "": stop, keeping the best so far */
    COMMAND_ADVISE,     /* measure the schemes worth considering; while that runs: stop */
    COMMAND_ADVISE_LIMITS, /* text: as advise_limits_parse takes them */
    COMMAND_AGAINST,    /* compare the two files again; while that runs: stop */
    COMMAND_TIME_SNAPSHOTS, /* time all snapshots in interleaved rounds; while that runs: stop */
    COMMAND_EXPORT,     /* text: path of a GGUF or safetensors file, perhaps "for FORMAT" behind it; "":
                         * cancel the one that is written */
    COMMAND_STUDY,      /* ids, text: measure on these tokens, called that; no ids: on a text that the model writes.
                         * row: of so many of them, from all over the text; 0: of all */
    COMMAND_ROOFS,      /* measure them again */
    COMMAND_BATCH,      /* direction: a larger batch of sequences, or a smaller one */
    COMMAND_COUNT,      /* text: begin to count an event, or leave it out */
    COMMAND_LIST_EVENTS, /* frames are to have the list of all events */
    COMMAND_PAUSE,      /* toggles */
    COMMAND_SLEEP,      /* index 1 or 0: whether to rest as while paused, since nobody looks */
    COMMAND_RESTART,    /* the text, with the seed that was asked for */
    COMMAND_PROMPT,     /* text */
    COMMAND_CHAT,       /* toggles whether the prompt is what a user says, or the text itself */
    COMMAND_SAMPLING,   /* temperature, seed */
    COMMAND_WATCH_TEXT, /* index 1 or 0: whether the reference's text is wanted */
    COMMAND_WATCH_OUTPUTS, /* index 1 or 0: whether the output error of every layer is wanted */
    COMMAND_WRITE,      /* text: path of a recipe */
    COMMAND_SAVE,       /* text: path of a session, which is kept there from now on */
    COMMAND_KINDS
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
    uint64_t step;
    const char *text;   /* copied by lab_send */
    const int32_t *ids; /* tokens of a text, likewise */
    size_t id_count;
    double temperature;
    uint64_t seed;
};

#endif
