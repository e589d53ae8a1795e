/* keys.h - the one key table: it feeds dispatch, footer, help screen and man page. A key may mean something else on
 * one screen: then it has a row there, in the group of that screen. */
#ifndef QTOP_KEYS_H
#define QTOP_KEYS_H

#include <stdbool.h>
#include <stddef.h>

enum view_id {
    VIEW_LAYERS, VIEW_ERROR, VIEW_ROOFLINE, VIEW_COUNTERS, VIEW_COMPARE, VIEW_TEXT, VIEW_MACHINE,
    VIEW_ADVISE, VIEW_MAP, VIEW_JOBS, VIEW_AGAINST, VIEW_COUNT
};

/* G(group, the screen whose keys these are (VIEW_COUNT: all), title), in the order of the help screen. */
#define QTOP_KEY_GROUPS(G)                                                                         \
    G(MOVE, VIEW_COUNT, "Moving")                                                                  \
    G(CHANGE, VIEW_COUNT, "Changing layers")                                                       \
    G(KEEP, VIEW_COUNT, "Keeping and comparing")                                                   \
    G(MEASURE, VIEW_COUNT, "Measuring")                                                            \
    G(ERROR, VIEW_ERROR, "The Error screen")                                                       \
    G(ROOFLINE, VIEW_ROOFLINE, "The Roofline screen")                                              \
    G(COUNTERS, VIEW_COUNTERS, "The Counters screen")                                              \
    G(COMPARE, VIEW_COMPARE, "The Compare screen")                                                 \
    G(ADVISE, VIEW_ADVISE, "The Advise screen")                                                \
    G(MAP, VIEW_MAP, "The Map screen")                                                         \
    G(JOBS, VIEW_JOBS, "The Jobs screen")                                                          \
    G(AGAINST, VIEW_AGAINST, "The Against screen (--against FILE)")                            \
    G(TEXT, VIEW_COUNT, "The text")                                                                \
    G(TEXT_SCREEN, VIEW_TEXT, "The Text screen")                                                   \
    G(PROGRAM, VIEW_COUNT, "The program")

/* X(action, group, key codes (0 ends), keys as written, footer label or null, what it does).
 * Footer labels appear in this order until the line is full: those of the screen's own keys, then all others. */
#define QTOP_KEYS(X)                                                                               \
    X(HELP, PROGRAM, K('?', 'h'), "? h", "Help", "the keys of the screen, then all; / finds")      \
    X(DEFINE, PROGRAM, K(KEY_F(1), 'F'), "F1 F", NULL, \
      "what the column that sorts, or another number of the screen, means")                        \
    X(COMMAND, PROGRAM, K(':'), ":", "Command", "type what to do by its name; Tab completes, Up and Down recall") \
    X(SEARCH, MOVE, K('/', KEY_F(3)), "/ F3", "Search", "find a layer by name; n finds the next")  \
    X(SEARCH_NEXT, MOVE, K('n'), "n", NULL, "next match")                                          \
    X(WEIGHT_NEXT, CHANGE, K('d'), "d", "Dtype", "next weight datatype")                           \
    X(WEIGHT_PREVIOUS, CHANGE, K('D'), "D", NULL, "previous weight datatype")                      \
    X(ACT_NEXT, CHANGE, K('a'), "a", "Act", "next activation datatype")                            \
    X(ACT_PREVIOUS, CHANGE, K(CTRL('a')), "Ctrl-A", NULL, "previous activation datatype")          \
    X(GROUP_NEXT, CHANGE, K('g'), "g", "Group", "next finer granularity: tensor, channel, groups") \
    X(GROUP_PREVIOUS, CHANGE, K('G'), "G", NULL, "next coarser granularity")                       \
    X(ZERO_POINT, CHANGE, K('z'), "z", "Zero", "symmetric or asymmetric (with a zero point)") \
    X(NEXT_METHOD, CHANGE, K('m'), "m", "Method", "next method: %s") \
    X(PREVIOUS_METHOD, CHANGE, K('M'), "M", NULL, "previous method")                               \
    X(EDIT, CHANGE, K('\n', '\r', KEY_ENTER), "Enter", "Edit", "edit the scheme: every choice with its bytes") \
    X(SAME, CHANGE, K('='), "=", "Same", "use this scheme for the same layer of every block")      \
    X(UNDO, CHANGE, K('u'), "u", "Undo", "undo the last change")                                   \
    X(REDO, CHANGE, K(CTRL('r')), "Ctrl-R", NULL, "redo the change that was undone")               \
    X(TAG, CHANGE, K(' '), "Space", NULL, "tag a layer for the next change")                       \
    X(UNTAG, CHANGE, K('U'), "U", NULL, "untag all")                                               \
    X(SNAPSHOT, KEEP, K('s'), "s", "Snapshot", "keep a snapshot: the schemes in use and their figures") \
    X(SWAP, KEEP, K('x'), "x", "Swap", "swap between the last two snapshots")                      \
    X(EVALUATE, MEASURE, K('e'), "e", "Evaluate", "measure perplexity and KL divergence now; again: stop")      \
    X(ADVISE, MEASURE, K('A'), "A", "Advise", "measure which schemes are worth considering; again: stop") \
    X(EXPORT, KEEP, K('o'), "o", "Export", "export to .gguf or .safetensors (FILE for gptq); again: cancel, asks") \
    X(TIME_SNAPSHOTS, MEASURE, K('v'), "v", "Time", "time all snapshots in interleaved rounds; again: stop") \
    X(TUNE, KEEP, K('T'), "T", "Tune", "search for the best schemes within a budget; again: stop, asks") \
    X(WRITE, KEEP, K('w'), "w", "Write", "write the schemes as a recipe file")                     \
    X(SAVE, KEEP, K('W'), "W", NULL, "save the session: qtop FILE.qtop goes on with it")           \
    X(REPORT, KEEP, K('P'), "P", NULL, "write a report (.html or .md) of what is shown and kept")   \
    X(STOP_TRAINING, KEEP, K('t'), "t", NULL, "stop training (qat) and keep the best so far")    \
    X(SENSITIVITY, MEASURE, K('E'), "E", "Sens", "measure the sensitivity of each layer; again: stop") \
    X(COMPARE_METHODS, ERROR, K('C'), "C", "Methods", "compare methods on this layer; again: stop")     \
    X(READ, MEASURE, K('y'), "y", "Measured", "the text that quality is measured on, and how far; scrolls") \
    X(STUDY, MEASURE, K('Y'), "Y", NULL, "measure on another text: a file, self or default")       \
    X(BATCH_MORE, ROOFLINE, K('b'), "b", "Batch+", "a larger batch of sequences")                      \
    X(BATCH_LESS, ROOFLINE, K('B'), "B", "Batch-", "a smaller batch")                                  \
    X(ROOFS, MEASURE, K('R'), "R", "Roofs", "measure the roofs of this machine again")                \
    X(LOG_SCALE, ERROR, K('L'), "L", "Log", "logarithmic histograms")                              \
    X(WORST, ERROR, K('X'), "X", "Worst", "go to the weight with the largest error")               \
    X(LEFT, ERROR, K(KEY_LEFT), "Left", NULL, "previous weight on the number line")                \
    X(RIGHT, ERROR, K(KEY_RIGHT), "Right", NULL, "next weight on the number line")                 \
    X(COUNT_EVENT, COUNTERS, K(' ', '\n', '\r'), "Space Enter", "Count", \
      "count the selected event; again: stop counting it") \
    X(RESTORE, COMPARE, K('\n', '\r', KEY_ENTER), "Enter", "Restore", "go back to the selected snapshot") \
    X(NAME_SNAPSHOT, COMPARE, K('N'), "N", "Name", "name the selected snapshot")                     \
    X(ANNOTATE_SNAPSHOT, COMPARE, K('c'), "c", "Note", "write a note to it")                         \
    X(DELETE_SNAPSHOT, COMPARE, K('X', KEY_DC), "X Del", "Delete", "delete it, asks")                \
    X(BASE, COMPARE, K('='), "=", "Base", "make it the base of comparison")                          \
    X(DIFFERENCES, COMPARE, K('D'), "D", "Differing", "layers that differ from the base, or the plot")    \
    X(PLOT, COMPARE, K('<', '>'), "< >", "X-axis", "the plot: KL against size or decode speed")        \
    X(ADVISED_APPLY, ADVISE, K('\n', '\r', KEY_ENTER), "Enter", "Apply", "apply the selected scheme to the model") \
    X(ADVISED_EXPORT, ADVISE, K('o'), "o", "Export", "apply it and export the model")                  \
    X(ADVISED_REFINE, ADVISE, K('T'), "T", "Refine", "search a mix of about its size that is closer")  \
    X(GOAL, ADVISE, K('f'), "f", "Goal", "what counts most: balance, size, speed or quality")        \
    X(LIMITS, ADVISE, K('l'), "l", "Limits", "the most memory, file and kl and the least rate of what to take") \
    X(MAP_OPEN, MAP, K('\n', '\r', KEY_ENTER), "Enter", "Layer", "go to the layer on Layers")        \
    X(MAP_SHOWS, MAP, K('<', '>'), "< >", "Shows", "what cells show: KL, SQNR of weights or outputs, size")               \
    X(MAP_LEFT, MAP, K(KEY_LEFT), "Left", NULL, "the same layer of the block before")              \
    X(MAP_RIGHT, MAP, K(KEY_RIGHT), "Right", NULL, "the same layer of the next block")             \
    X(STEP, JOBS, K('\n', '\r', KEY_ENTER), "Enter", "Go", "go back, or forward, to the selected change")        \
    X(STOP_JOB, JOBS, K('x', KEY_DC), "x Del", "Stop", "stop the selected job, asks")                \
    X(AGAINST_OPEN, AGAINST, K('\n', '\r', KEY_ENTER), "Enter", "Layer", "go to the layer on Layers")  \
    X(AGAINST_PREVIOUS, AGAINST, K('<'), "<", "Order", "the order of layers before")                 \
    X(AGAINST_NEXT, AGAINST, K('>'), ">", NULL, "the next order: by difference, the model's, by size") \
    X(AGAINST_DIFFERENCES, AGAINST, K('D'), "D", "Metadata", "metadata and tokenizer differences, or layers") \
    X(AGAINST_MEASURE, AGAINST, K('v'), "v", "Again", "compare both files again; while that runs: stop") \
    X(PROMPT, TEXT, K('i'), "i", "Prompt", "type a prompt for the model to continue or to answer") \
    X(CHAT, TEXT_SCREEN, K('c'), "c", "Chat", "ask as the chat template says, or continue the prompt as it is") \
    X(SAMPLING, TEXT, K('I'), "I", "Sampling", "set temperature and seed")                         \
    X(RESTART, TEXT, K('r'), "r", "Restart", "restart the text with the same seed")                \
    X(PAUSE, TEXT, K('p'), "p", "Pause", "pause generating; again: resume")                        \
    X(UP, MOVE, K(KEY_UP, 'k'), "Up k", NULL, "one line up")                                       \
    X(DOWN, MOVE, K(KEY_DOWN, 'j'), "Down j", NULL, "one line down")                               \
    X(PAGE_UP, MOVE, K(KEY_PPAGE), "PgUp", NULL, "one page up")                                    \
    X(PAGE_DOWN, MOVE, K(KEY_NPAGE), "PgDn", NULL, "one page down")                                \
    X(HOME, MOVE, K(KEY_HOME), "Home", NULL, "the first line")                                     \
    X(END, MOVE, K(KEY_END), "End", NULL, "the last line")                                         \
    X(UNFOLD, MOVE, K('+'), "+", NULL, "unfold a block or its experts")                                           \
    X(FOLD, MOVE, K('-'), "-", NULL, "fold a block or its experts")                                               \
    X(FOLD_ALL, MOVE, K('*'), "*", NULL, "fold or unfold all blocks")                              \
    X(FILTER, MOVE, K('\\', KEY_F(4)), "\\ F4", "Filter", "show only layers whose name contains a text") \
    X(SORT_PREVIOUS, MOVE, K('<'), "<", NULL, "sort by the column to the left")                    \
    X(SORT_NEXT, MOVE, K('>'), ">", NULL, "sort by the column to the right")                       \
    X(SORT_REVERSE, MOVE, K('!'), "!", NULL, "sort the other way round")                           \
    X(VIEW_LAYERS, PROGRAM, K('1'), "1", NULL, "Layers: schemes, sizes, times and errors")         \
    X(VIEW_ERROR, PROGRAM, K('2'), "2", NULL, "Error: what quantization did to the selected layer") \
    X(VIEW_ROOFLINE, PROGRAM, K('3'), "3", NULL, "Roofline: what bounds speed here")               \
    X(VIEW_COUNTERS, PROGRAM, K('4'), "4", NULL, "Counters: hardware events while tokens are decoded") \
    X(VIEW_COMPARE, PROGRAM, K('5'), "5", NULL, "Compare: the snapshots side by side")             \
    X(VIEW_TEXT, PROGRAM, K('6'), "6", NULL, "Text: what the model generates, beside the reference") \
    X(VIEW_MACHINE, PROGRAM, K('7'), "7", NULL, "Machine: topology, thread binding, roofs")        \
    X(VIEW_ADVISE, PROGRAM, K('8'), "8", NULL, "Advise: which scheme to take, and why")            \
    X(VIEW_MAP, PROGRAM, K('9'), "9", NULL, "Map: where in the model quantization costs most")     \
    X(VIEW_JOBS, PROGRAM, K('0'), "0", NULL, "Jobs: what runs, what was done and what it reached")  \
    X(VIEW_AGAINST, PROGRAM, K('V'), "V", NULL, "Against: two files side by side (--against FILE)") \
    X(OPEN, PROGRAM, K('O'), "O", NULL, "open another model, with the files opened last")         \
    X(COLUMNS, PROGRAM, K('c'), "c", NULL, "choose the columns of the Layers screen in a list")              \
    X(SETTINGS, KEEP, K('S'), "S", NULL, "save columns, sorting and scale as settings")            \
    X(VIEW_NEXT, PROGRAM, K('\t'), "Tab", NULL, "next screen")                                     \
    X(VIEW_PREVIOUS, PROGRAM, K(KEY_BTAB), "Shift-Tab", NULL, "previous screen")                   \
    X(CANCEL, PROGRAM, K(27), "Esc", NULL, "close what is open; clear filter, search and tags")    \
    X(REDRAW, PROGRAM, K(CTRL('l')), "Ctrl-L", NULL, "redraw")                                     \
    X(QUIT, PROGRAM, K('q', KEY_F(10), CTRL('c')), "q F10 Ctrl-C", "Quit", \
      "quit; asks first while a search, training or export runs, and for snapshots not written")

enum key_group {
#define G(name, view, title) KEYS_##name,
    QTOP_KEY_GROUPS(G)
#undef G
    KEY_GROUPS
};

enum action {
    ACTION_NONE,
#define X(action, group, codes, shown, footer, help) ACTION_##action,
    QTOP_KEYS(X)
#undef X
    ACTION_COUNT
};

enum { KEY_CODES = 3 };

struct key_binding {
    enum action action;
    enum key_group group;
    int codes[KEY_CODES]; /* characters and curses key codes; 0 where there is none */
    const char *shown;    /* as help, footer and man page write them, separated by spaces */
    const char *footer;   /* null: not in the footer */
    const char *help;     /* %s: the methods that it goes through, and who trains (key_help) */
    const char *id;       /* of the action (key_word) */
};

extern const struct key_binding key_table[];
extern const size_t key_count;
struct key_group_info {
    enum view_id view; /* whose screen's keys these are; VIEW_COUNT: all screens' */
    const char *title;
};

extern const struct key_group_info key_groups[KEY_GROUPS];

/* The screen whose keys a key is among in footer and help; VIEW_COUNT: none's more than another's. */
enum view_id key_home(const struct key_binding *key);

/* Whether an action goes from line to line, or is about the order in which they stand. */
bool key_moves(enum action action);

/* Whether an action changes the schemes of layers, or says which are changed. */
bool key_edits(enum action action);

/* Whether an action changes schemes, keeps snapshots or writes files. */
bool key_changes(enum action action);

/* Writes the name that a person types in the command line: weight-next. Returns `out`. */
enum { KEY_NAME = 32 };
char *key_word(const struct key_binding *key, char out[KEY_NAME]);

/* All names that may be typed: those of the table, then some that are shorter. Returns what the ith one stands for. */
size_t key_names_count(void);
const struct key_binding *key_name_at(size_t i, char name[KEY_NAME]);

/* What is called so, or the only one that begins so; null: none, or several. */
const struct key_binding *key_named(const char *word);

/* Writes what a key does. Returns `out`. */
enum { HELP_TEXT = 256 };
char *key_help(const struct key_binding *key, char out[HELP_TEXT]);

/* What a character or (is_code) a curses key code does on a screen. */
enum action key_action(enum view_id view, int key, bool is_code);

#endif
