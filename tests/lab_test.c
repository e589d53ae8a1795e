/* The lab, in process: commands go in, frames come out. */
#include "labwork.h"
#include "lockstep.h"

#include "lab/generation.h"

/* ---- schemes --------------------------------------------------------------------------------- */

static void test_first_frame_is_the_stored_model(void **state)
{
    struct lab *lab = start();
    (void)state;
    struct frame *f = now(lab);
    assert_ptr_equal(f->model, session.model);
    assert_int_equal(f->pending, 0);
    assert_int_equal(f->size, f->stored_size);
    assert_int_equal(f->current_step, 0);
    assert_int_equal(f->snapshot_count, 0);
    assert_int_equal(f->current_snapshot, -1);
    assert_false(f->paused);
    for (size_t i = 0; i < session.model->tensor_count; i++)
        assert_true(f->layers[i].wanted.format.stored);
    frame_unref(f);
    lab_stop(lab);
}

static bool has_speed(const struct frame *f, const void *arg)
{
    int t = *(const int *)arg;
    return f->speed.decode.valid && f->speed.prefill.valid && f->speed.peak_read.valid &&
           f->layers[t].seconds.valid && f->speed.history_count > 0;
}

static void test_meters_come_up(void **state)
{
    struct lab *lab = start();
    int t = tensor("blk.1.ffn_up");
    (void)state;
    struct frame *f = await(lab, has_speed, &t, "all meters");
    assert_true(f->speed.decode.value > 0 && isfinite(f->speed.decode.value));
    assert_true(f->speed.prefill.value > 0 && f->speed.peak_read.value > 0);
    assert_true(f->layers[t].seconds.value > 0);
    assert_true(f->speed.bandwidth.valid && f->speed.bandwidth.value > 0);
    assert_true(fabs(f->speed.bandwidth.value - f->speed.decode.value * (double)f->speed.bytes_per_token) <=
                1e-6 * f->speed.bandwidth.value);
    assert_true(f->speed.cache_misses.valid || f->speed.cache_misses.reason);
    frame_unref(f);
    lab_stop(lab);
}

static bool has_turns(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->speed.vs_stored.valid;
}

/* Only what is not the stored weights is timed in turns with them. */
static void test_turns(void **state)
{
    struct lab *lab = start();
    int t = tensor("blk.1.ffn_up");
    (void)state;
    frame_unref(set(lab, "blk.1.ffn_up", "int8"));
    struct frame *f = await(lab, has_turns, &t, "speed as a multiple of the stored weights'");
    assert_true(f->speed.vs_stored_low > 0 && f->speed.vs_stored_low <= f->speed.vs_stored.value &&
                f->speed.vs_stored.value <= f->speed.vs_stored_high && isfinite(f->speed.vs_stored_high));
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_true(!f->speed.vs_stored.valid && f->speed.vs_stored.reason);
    frame_unref(f);
    lab_stop(lab);
}

static void test_set_changes_bytes_and_error(void **state)
{
    static const struct {
        const char *scheme;
        double least_db, most_db;
    } cases[] = {
        {"fp16", 60, 100}, {"int8", 30, 60}, {"int4:g32", 15, 30}, {"fp8e4m3", 25, 45},
        {"int4:tensor", 8, 25}, {"int8/int8:channel:asym", 30, 60},
    };
    struct lab *lab = start();
    int t = tensor("blk.1.ffn_down");
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frame *f = set(lab, "blk.1.ffn_down", cases[i].scheme);
        const struct qtensor *p = f->set->layer[t];
        struct scheme s = scheme(cases[i].scheme);
        size_t bytes = 0, stored = session.model->tensors[t].stored.bytes;
        double db = weight_error_sqnr_db(&p->error);
        assert_true(scheme_bytes(&s, p->matrix.rows, p->matrix.cols, &bytes));
        assert_int_equal(p->matrix.bytes, bytes);
        assert_int_equal(f->size, f->stored_size - stored + bytes);
        assert_true(f->bits_per_weight < 32);
        assert_true(db >= cases[i].least_db && db <= cases[i].most_db);
        assert_true(scheme_equal(&f->layers[t].wanted, &s));
        assert_false(f->status.is_error);
        assert_non_null(strstr(f->status.text, "blk.1.ffn_down"));
        frame_unref(f);
    }
    struct frame *f = set(lab, "blk.1.ffn_down", "stored");
    assert_ptr_equal(f->set, session.stored); /* identity tells that nothing is changed */
    frame_unref(f);
    lab_stop(lab);
}

/* Each tensor's scheme goes to its role in every block: one step back takes it all away. */
static void test_same_in_every_block(void **state)
{
    struct lab *lab = start();
    int from[] = {tensor("blk.0.attn_q"), tensor("blk.0.ffn_up")};
    int to[] = {tensor("blk.2.attn_q"), tensor("blk.2.ffn_up")};
    (void)state;
    frame_unref(set(lab, "blk.0.attn_q", "int8"));
    frame_unref(set(lab, "blk.0.ffn_up", "int4:g16:asym"));
    ask_only(lab, (struct command){.kind = COMMAND_SAME, .tensors = from, .tensor_count = 2});
    struct frame *f = settled(lab);
    for (int i = 0; i < 2; i++) {
        struct scheme copied = qtensor_scheme(f->set->layer[from[i]]);
        assert_true(qtensor_has_scheme(f->set->layer[to[i]], &copied));
    }
    assert_true(f->set->layer[tensor("blk.2.attn_k")]->matrix.format.stored);
    assert_int_equal(f->current_step, 3);
    frame_unref(f);
    frame_unref(ask(lab, (struct command){.kind = COMMAND_UNDO}));
    f = settled(lab);
    assert_true(f->set->layer[to[0]]->matrix.format.stored);
    assert_false(f->set->layer[from[0]]->matrix.format.stored);
    frame_unref(f);
    lab_stop(lab);
}

static void test_undo_and_redo_are_exact(void **state)
{
    struct lab *lab = start();
    int t = tensor("blk.0.attn_q");
    (void)state;
    struct frame *eight = set(lab, "blk.0.attn_q", "int8"),
                 *four = set(lab, "blk.0.attn_q", "int4");
    assert_int_equal(four->current_step, 2);
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_int_equal(f->pending, 0); /* at once: the matrix is kept */
    assert_ptr_equal(f->set->layer[t], eight->set->layer[t]);
    assert_int_equal(f->current_step, 1);
    assert_int_equal(f->step_count - 1 - f->current_step, 1);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_int_equal(f->pending, 0);
    assert_ptr_equal(f->set, session.stored);
    frame_unref(f);
    for (int i = 0; i < 2; i++) {
        f = ask(lab, (struct command){.kind = COMMAND_REDO});
        assert_int_equal(f->pending, 0);
        assert_ptr_equal(f->set->layer[t], (i ? four : eight)->set->layer[t]);
        frame_unref(f);
    }
    f = ask(lab, (struct command){.kind = COMMAND_REDO});
    assert_true(f->status.is_error);
    assert_ptr_equal(f->set->layer[t], four->set->layer[t]);
    frame_unref(f);
    frame_unref(set(lab, "output", "int8")); /* a new change ends what could be made again */
    f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_int_equal(f->step_count - 1 - f->current_step, 1);
    frame_unref(f);
    frame_unref(eight);
    frame_unref(four);
    lab_stop(lab);
}

static bool text_grew(const struct frame *f, const void *tokens)
{
    return f->text && f->text->tokens > *(const size_t *)tokens;
}

static bool text_goes_on(const struct frame *f, const void *tokens)
{
    return f->text && f->text->tokens != *(const size_t *)tokens; /* fewer, where it has begun again */
}

/* The text goes on in another cache, which undo takes back; in fp32 the set is the stored one. */
static void test_kv_cache_of_the_text(void **state)
{
    (void)state;
    struct lab *lab = start();
    int kv = kv_index(session.model);
    size_t tokens = 8, stored = kv_bytes_per_position(session.model, DTYPE_FP32);
    frame_unref(await(lab, text_grew, &tokens, "a text"));
    struct frame *f = ask(lab, set_command(&kv, 1, "int8"));
    assert_int_equal(f->set->kv, DTYPE_INT8);
    assert_int_equal(f->pending, 0);
    assert_int_equal(f->layers[kv].wanted.format.weight, DTYPE_INT8);
    size_t saved = f->position * (stored - kv_bytes_per_position(session.model, DTYPE_INT8));
    assert_int_equal(f->speed.bytes_per_token + saved,
                     weights_bytes_per_token(session.model, session.stored, f->position));
    tokens = f->text->tokens;
    frame_unref(f);
    frame_unref(await(lab, text_goes_on, &tokens, "the text going on"));
    f = ask(lab, set_command(&kv, 1, "int4"));
    assert_true(f->status.is_error);
    assert_int_equal(f->set->kv, DTYPE_INT8);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    assert_non_null(strstr(f->snapshots[0].summary, "kv int8"));
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_ptr_equal(f->set, session.stored);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_RESTORE, .index = 0});
    assert_int_equal(f->set->kv, DTYPE_INT8);
    frame_unref(f);
    lab_stop(lab);
}

static void test_undo_of_a_change_on_its_way(void **state)
{
    struct lab *lab = start();
    (void)state;
    set_all(lab, "int4:g16");
    ask_only(lab, (struct command){.kind = COMMAND_UNDO});
    struct frame *f = settled(lab);
    assert_ptr_equal(f->set, session.stored);
    assert_int_equal(f->current_step, 0);
    frame_unref(f);
    ask_only(lab, (struct command){.kind = COMMAND_REDO});
    f = settled(lab);
    assert_true(f->size < f->stored_size / 4);
    frame_unref(f);
    lab_stop(lab);
}

static void test_undo_of_nothing(void **state)
{
    struct lab *lab = start();
    (void)state;
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_true(f->status.is_error);
    assert_int_equal(f->current_step, 0);
    frame_unref(f);
    lab_stop(lab);
}

/* Cycling a field forwards and as often back ends where it began, through as many schemes. */
static void test_cycles_go_both_ways(void **state)
{
    static const enum change changes[] = {CHANGE_WEIGHT, CHANGE_ACT, CHANGE_GRANULARITY,
                                          CHANGE_SYMMETRY};
    struct lab *lab = start();
    int t = tensor("blk.0.ffn_up");
    (void)state;
    frame_unref(set(lab, "blk.0.ffn_up", "int8"));
    for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
        struct scheme seen[8];
        for (int i = 0; i < 16; i++) {
            bool back = i >= 8;
            struct frame *f = now(lab);
            if (!back)
                seen[i] = f->layers[t].wanted;
            frame_unref(f);
            f = ask(lab, (struct command){.kind = COMMAND_CYCLE, .tensors = &t, .tensor_count = 1,
                                          .change = changes[c], .direction = back ? -1 : 1});
            if (back && !f->status.is_error)
                assert_true(scheme_equal(&f->layers[t].wanted, &seen[15 - i]));
            frame_unref(f);
        }
    }
    struct frame *f = settled(lab);
    assert_true(qtensor_has_scheme(f->set->layer[t], &f->layers[t].wanted));
    frame_unref(f);
    lab_stop(lab);
}

/* Several layers of different schemes: the field that a key changes becomes what it becomes of the first; every other
 * field stays, and so does a layer to which the field does not apply. */
static void test_a_cycle_changes_one_field(void **state)
{
    static const char *const schemes[] = {"int8", "int4/int8:g32:asym", "q4_0:imatrix", "q5_1/int8", "fp8e4m3",
                                          "int4:g16:gptq", "fp16", "stored"};
    static const char *const names[] = {"blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v", "blk.0.attn_output",
                                        "blk.0.ffn_gate", "blk.0.ffn_up", "blk.0.ffn_down"};
    enum { LAYERS = 7 };
    struct lab *lab = start();
    uint64_t seed = 9;
    size_t stayed = 0, changed = 0;
    (void)state;
    for (int turn = 0; turn < 30; turn++) {
        int tensors[LAYERS];
        struct scheme before[LAYERS], first;
        enum change change = random_below(&seed, 5);
        for (size_t i = 0; i < LAYERS; i++) {
            tensors[i] = tensor(names[i]);
            ask_only(lab, set_command(&tensors[i], 1, schemes[random_below(&seed, 8)]));
        }
        struct frame *f = now(lab);
        for (size_t i = 0; i < LAYERS; i++)
            before[i] = f->layers[tensors[i]].wanted;
        frame_unref(f);
        f = ask(lab, (struct command){.kind = COMMAND_CYCLE, .tensors = tensors, .tensor_count = LAYERS,
                                      .change = change, .direction = 1});
        first = f->layers[tensors[0]].wanted;
        for (size_t i = 1; i < LAYERS && !f->status.is_error; i++) {
            char was[SCHEME_TEXT], is[SCHEME_TEXT];
            const struct scheme *now = &f->layers[tensors[i]].wanted;
            bool same = scheme_equal(now, &before[i]);
            for (enum change other = CHANGE_WEIGHT; other <= CHANGE_METHOD; other++)
                if (change != CHANGE_WEIGHT && other != change)
                    assert_string_equal(scheme_print_field(&before[i], other, was), scheme_print_field(now, other, is));
            if (!same)
                assert_string_equal(scheme_print_field(&first, change, was), scheme_print_field(now, change, is));
            stayed += same;
            changed += !same;
        }
        frame_unref(f);
    }
    assert_true(stayed > 0 && changed > 0);
    lab_stop(lab);
}

/* The KV cache may be tagged beside layers: it takes a datatype that it can have, and nothing else. */
static void test_a_cycle_of_layers_and_cache(void **state)
{
    struct lab *lab = start();
    int kv = kv_index(session.model), both[] = {tensor("blk.0.ffn_up"), kv};
    (void)state;
    for (int turn = 0; turn < 40; turn++) {
        struct frame *f = ask(lab, (struct command){.kind = COMMAND_CYCLE, .tensors = both, .tensor_count = 2,
                                                    .change = turn % 8 ? CHANGE_WEIGHT : turn % 5, .direction = 1});
        enum dtype cache = f->layers[kv].wanted.format.weight, layer = f->layers[both[0]].wanted.format.weight;
        assert_true(cache == DTYPE_FP32 || cache == DTYPE_FP16 || cache == DTYPE_INT8 || cache == DTYPE_FP8E4M3 ||
                    cache == DTYPE_FP8E5M2);
        if (!f->status.is_error && layer == DTYPE_INT8 && turn % 8)
            assert_int_equal(cache, DTYPE_INT8);
        frame_unref(f);
    }
    lab_stop(lab);
}

static void test_cycles_that_mean_nothing_are_refused(void **state)
{
    static const struct {
        const char *tensor, *scheme;
        enum change change;
    } cases[] = {
        {"blk.0.attn_q", "stored", CHANGE_ACT},
        {"blk.0.attn_q", "stored", CHANGE_SYMMETRY},
        {"blk.0.attn_q", "fp16", CHANGE_GRANULARITY},
        {"blk.0.attn_q", "fp8e4m3", CHANGE_SYMMETRY},
        {"token_embd", "int8", CHANGE_ACT},
    };
    struct lab *lab = start();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int t = tensor(cases[i].tensor);
        struct frame *before = set(lab, cases[i].tensor, cases[i].scheme);
        struct frame *f = ask(lab, (struct command){.kind = COMMAND_CYCLE, .tensors = &t,
                                                    .tensor_count = 1, .change = cases[i].change,
                                                    .direction = 1});
        assert_true(f->status.is_error);
        assert_non_null(strstr(f->status.text, cases[i].tensor));
        assert_int_equal(f->current_step, before->current_step);
        assert_ptr_equal(f->set->layer[t], before->set->layer[t]);
        frame_unref(f);
        frame_unref(before);
    }
    lab_stop(lab);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static bool is_measured(const struct frame *f, const void *arg)
{
    const struct snapshot *s = &f->snapshots[*(const int *)arg];
    return s->decode.valid && s->prefill.valid && s->quality.valid && !s->quality.running;
}

static void test_snapshots(void **state)
{
    struct lab_options o = usual_options();
    o.text = text_to_evaluate;
    o.text_size = strlen(text_to_evaluate);
    struct lab *lab = start_with(&o);
    int t = tensor("blk.0.attn_q"), first = 0, second = 1;
    (void)state;
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_SWAP});
    assert_true(f->status.is_error);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_RESTORE, .index = 0});
    assert_true(f->status.is_error);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    assert_int_equal(f->snapshot_count, 1);
    assert_int_equal(f->current_snapshot, 0);
    assert_int_equal(f->snapshots[0].label, 'A');
    assert_string_equal(f->snapshots[0].summary, "stored");
    assert_int_equal(f->snapshots[0].size, f->stored_size);
    frame_unref(f);
    frame_unref(await(lab, is_measured, &first, "figures of the first snapshot"));
    struct frame *four = set(lab, "blk.0.attn_q", "int4");
    assert_int_equal(four->current_snapshot, -1);
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    f = await(lab, is_measured, &second, "figures of the second snapshot");
    assert_int_equal(f->snapshots[1].size, four->size);
    assert_true(f->snapshots[1].quality.result.kl > 0);
    assert_true(f->snapshots[0].quality.result.kl == 0);
    frame_unref(f);
    for (int i = 0; i < 4; i++) { /* there and back, at once */
        f = ask(lab, (struct command){.kind = COMMAND_SWAP});
        assert_int_equal(f->pending, 0);
        assert_int_equal(f->current_snapshot, i % 2);
        assert_ptr_equal(f->set->layer[t], (i % 2 ? four->set : session.stored)->layer[t]);
        frame_unref(f);
    }
    f = ask(lab, (struct command){.kind = COMMAND_RESTORE, .index = 0});
    assert_ptr_equal(f->set, session.stored);
    assert_int_equal(f->current_snapshot, 0);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_ptr_equal(f->set->layer[t], four->set->layer[t]);
    assert_int_equal(f->current_snapshot, 1); /* whatever brought its schemes back */
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_REDO});
    assert_int_equal(f->current_snapshot, 0);
    frame_unref(f);
    frame_unref(four);
    lab_stop(lab);
}

/* What the Compare screen says of a snapshot's schemes explains itself. */
static void test_snapshots_in_words(void **state)
{
    static const char *const layers[] = {"token_embd", "blk.1.attn_q", "output"};
    static const char *const expected[] = {"stored + token_embd", "2 schemes + token_embd",
                                           "2 schemes + 2 outside blocks"};
    struct lab *lab = start();
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        frame_unref(set(lab, layers[i], "int8"));
        struct frame *f = ask(lab, (struct command){.kind = COMMAND_SNAPSHOT});
        assert_string_equal(f->snapshots[i].summary, expected[i]);
        frame_unref(f);
    }
    lab_stop(lab);
}

static bool has_no_ratio(const struct frame *f, const void *arg)
{
    (void)arg;
    return !f->speed.vs_stored.valid && strcmp(f->speed.vs_stored.reason, "these are the stored weights") == 0;
}

static void test_snapshots_are_numbered(void **state)
{
    struct lab *lab = start();
    (void)state;
    for (int i = 0; i < SNAPSHOTS; i++) {
        ask_only(lab, set_command(&i, 1, "fp16"));
        frame_unref(settled(lab));
        struct frame *f = ask(lab, (struct command){.kind = COMMAND_SNAPSHOT});
        assert_false(f->status.is_error);
        assert_int_equal(f->snapshots[i].label, 'A' + i);
        assert_int_equal(f->current_snapshot, i);
        frame_unref(f);
    }
    int last = SNAPSHOTS;
    ask_only(lab, set_command(&last, 1, "fp16"));
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    assert_true(f->status.is_error);
    assert_int_equal(f->snapshot_count, SNAPSHOTS);
    frame_unref(f);
    for (int index = -1; index <= SNAPSHOTS; index += SNAPSHOTS + 1) {
        f = ask(lab, (struct command){.kind = COMMAND_RESTORE, .index = index});
        assert_true(f->status.is_error);
        frame_unref(f);
    }
    lab_stop(lab);
}

/* ---- the selected layer ---------------------------------------------------------------------- */

struct place {
    int tensor;
    size_t row, col;
};

static bool shows_weight(const struct frame *f, const void *arg)
{
    const struct place *p = arg;
    return f->weight.valid && f->weight.tensor == p->tensor && f->weight.row == p->row &&
           f->weight.col == p->col;
}

static bool has_detail(const struct frame *f, const void *arg)
{
    int t = *(const int *)arg;
    return f->detail && f->detail->q == f->set->layer[t];
}

static void check_weight(const struct frame *f, const struct place *at)
{
    const struct weight_view *v = &f->weight;
    const struct qtensor *p = f->set->layer[at->tensor];
    double grid = (double)(v->code - v->zero) * v->scale;
    float stored[512];
    qmatrix_decode_row(&session.model->tensors[at->tensor].stored, at->row, stored);
    assert_true(v->w == (double)stored[at->col]);
    assert_true(v->scale > 0);
    assert_true(fabs(grid - v->decoded) <= 1e-6 * fabs(v->scale) * 256);
    assert_true(fabs(v->w - v->decoded) <= 0.51 * v->scale);
    assert_true(v->lowest <= v->code && v->code <= v->highest);
    assert_true(v->group_begin <= v->col && v->col < v->group_end);
    assert_true(v->group_end <= p->matrix.cols);
    assert_true(v->group_min <= v->w && v->w <= v->group_max);
    assert_true(v->counts[v->code - v->lowest] >= 1);
    uint64_t weights = 0;
    for (int i = 0; i < CODE_LABELS; i++)
        weights += v->counts[i];
    assert_true(weights >= v->group_end - v->group_begin);
}

/* A layer that its file holds in blocks: no code to show, and a warning when it is quantized again. */
static void test_stored_blocks(void **state)
{
    (void)state;
    int t = tensor("blk.1.attn_q");
    struct qmatrix *stored = &session.model->tensors[t].stored, before = *stored;
    size_t blocks = before.rows * before.cols / dtypes[DTYPE_Q8_0].block;
    uint8_t *bytes = make(blocks * dtypes[DTYPE_Q8_0].block_bytes);
    uint64_t random = 3;
    random_blocks(DTYPE_Q8_0, blocks, &random, bytes);
    *stored = stored_matrix(DTYPE_Q8_0, before.rows, before.cols, bytes);
    session.stored->layer[t]->matrix = *stored;
    struct lab *lab = start();
    struct place at = {t, 3, 40};
    select_weight(lab, t, at.row, at.col);
    struct frame *f = await(lab, shows_weight, &at, "the selected weight");
    assert_true(!f->weight.coded && f->weight.group_begin == 32 && f->weight.group_end == 64);
    frame_unref(f);
    f = await(lab, has_detail, &t, "histograms of blocks");
    assert_int_equal(f->detail->before.total, before.rows * before.cols);
    frame_unref(f);
    f = set(lab, "blk.1.attn_q", "int4:g32");
    assert_non_null(strstr(f->status.text, "stored as q8_0"));
    frame_unref(f);
    f = set(lab, "blk.1.attn_q", "fp32");
    assert_null(strstr(f->status.text, "stored as"));
    frame_unref(f);
    lab_stop(lab);
    *stored = session.stored->layer[t]->matrix = before;
    free(bytes);
}

static void test_number_line(void **state)
{
    static const char *const schemes[] = {"int8", "int8:tensor:asym", "int4:g32", "int4:g16:asym",
                                          "int4:tensor", "int8:g64"};
    struct lab *lab = start();
    int t = tensor("blk.2.ffn_gate");
    size_t rows = session.model->tensors[t].stored.rows,
           cols = session.model->tensors[t].stored.cols;
    uint64_t random = 5;
    (void)state;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        select_weight(lab, t, 0, 0);
        frame_unref(set(lab, "blk.2.ffn_gate", schemes[i]));
        for (int k = 0; k < 20; k++) {
            struct place at = {t, random_next(&random) % rows, random_next(&random) % cols};
            select_weight(lab, t, at.row, at.col);
            struct frame *f = await(lab, shows_weight, &at, "the selected weight");
            check_weight(f, &at);
            frame_unref(f);
        }
        struct frame *f = await(lab, has_detail, &t, "the layer's histograms");
        const struct weight_error *e = &f->set->layer[t]->error;
        struct place worst = {t, e->max_row, e->max_col};
        assert_int_equal(f->detail->before.total, rows * cols);
        assert_int_equal(f->detail->after.total, rows * cols);
        assert_int_equal(f->detail->error.total, rows * cols);
        assert_true(f->detail->scale_count > 0 && f->detail->mse > 0);
        assert_true(f->detail->cosine > 0.9 && f->detail->cosine <= 1);
        frame_unref(f);
        select_weight(lab, t, worst.row, worst.col);
        f = await(lab, shows_weight, &worst, "the worst weight");
        double error = fabs(f->weight.w - f->weight.decoded);
        double largest = (double)f->set->layer[t]->error.max_abs; /* in single precision */
        assert_true(fabs(error - largest) <= 1e-4 * f->weight.scale);
        frame_unref(f);
    }
    lab_stop(lab);
}

static void test_selection_is_clamped(void **state)
{
    struct lab *lab = start();
    int t = tensor("blk.0.attn_k");
    const struct qmatrix *m = &session.model->tensors[t].stored;
    struct place corner = {t, m->rows - 1, m->cols - 1};
    (void)state;
    select_weight(lab, t, SIZE_MAX, SIZE_MAX);
    frame_unref(await(lab, shows_weight, &corner, "the last weight"));
    for (size_t i = 0; i < session.model->tensor_count; i++) { /* vectors, too */
        struct place at = {(int)i, 0, 0};
        select_weight(lab, at.tensor, 0, 0);
        frame_unref(await(lab, shows_weight, &at, "a weight of every tensor"));
        frame_unref(await(lab, has_detail, &at.tensor, "histograms of every tensor"));
    }
    lab_stop(lab);
}

static bool has_output_error(const struct frame *f, const void *arg)
{
    int t = *(const int *)arg;
    return f->set->layer[t]->matrix.format.weight == DTYPE_INT4 && f->output.sqnr_db.valid &&
           f->output.tokens >= 3;
}

static bool has_exact_output(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->output.sqnr_db.valid && isinf(f->output.sqnr_db.value);
}

static void test_output_error(void **state)
{
    struct lab *lab = start();
    int t = tensor("blk.1.attn_output");
    (void)state;
    select_weight(lab, t, 0, 0);
    frame_unref(await(lab, has_exact_output, NULL, "an exact output of the stored layer"));
    frame_unref(set(lab, "blk.1.attn_output", "int4"));
    struct frame *f = await(lab, has_output_error, &t, "an output error");
    assert_true(f->output.sqnr_db.value > 5 && f->output.sqnr_db.value < 40);
    assert_int_equal(f->output.errors.total,
                     f->output.tokens * session.model->tensors[t].stored.rows);
    frame_unref(f);
    frame_unref(set(lab, "blk.1.attn_output", "stored"));
    frame_unref(await(lab, has_exact_output, NULL, "an exact output again"));
    lab_stop(lab);
}

/* One row a model: what is kept already is not kept again, nor is the float that the weights are stored in. */
static void test_equal_snapshots_are_one(void **state)
{
    struct lab *lab = start();
    (void)state;
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    frame_unref(set(lab, "blk.0.attn_q", "int4"));
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    static const char *const stored[] = {"stored", "fp32"};
    for (size_t i = 0; i < 2; i++) {
        frame_unref(set(lab, "blk.0.attn_q", stored[i]));
        struct frame *f = ask(lab, (struct command){.kind = COMMAND_SNAPSHOT});
        assert_int_equal(f->snapshot_count, 2);
        assert_int_equal(f->current_snapshot, 0);
        assert_non_null(strstr(f->status.text, "snapshot A"));
        assert_false(f->speed.vs_stored.valid);
        frame_unref(f);
    }
    frame_unref(await(lab, has_no_ratio, NULL, "no ratio of the stored weights to themselves"));
    frame_unref(set(lab, "blk.0.attn_q", "fp16"));
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    assert_int_equal(f->snapshot_count, 3);
    frame_unref(f);
    lab_stop(lab);
}

static bool is_after(const struct frame *f, const void *serial)
{
    return f->serial >= *(const uint64_t *)serial;
}

/* ---- quality --------------------------------------------------------------------------------- */

static bool is_evaluated(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->quality.valid && !f->quality.running && !f->quality.stale;
}

static void check_evaluation(struct lab *lab)
{
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
    struct frame *f = await(lab, is_evaluated, NULL, "an evaluation of the stored weights");
    assert_true(f->quality.result.kl == 0);
    assert_true(f->quality.result.top1 == 1);
    assert_true(f->quality.result.perplexity == f->quality.result.perplexity_reference);
    assert_true(f->quality.result.perplexity > 1 && isfinite(f->quality.result.perplexity));
    assert_int_equal(f->quality.result.scored, f->quality.result.planned);
    double reference = f->quality.result.perplexity_reference;
    frame_unref(f);
    set_all(lab, "int4:tensor");
    f = settled(lab);
    assert_true(!f->quality.valid || f->quality.stale || f->quality.running ||
                f->quality.result.kl > 0);
    frame_unref(f);
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
    f = await(lab, is_evaluated, NULL, "an evaluation of int4");
    assert_true(f->quality.result.kl > 0 && isfinite(f->quality.result.kl));
    assert_true(f->quality.result.kl_stderr > 0 &&
                f->quality.result.kl_stderr < f->quality.result.kl);
    assert_true(f->quality.result.top1 < 1 && f->quality.result.top1 >= 0);
    assert_true(f->quality.result.perplexity_reference == reference);
    frame_unref(f);
}

static void test_evaluation_of_a_text(void **state)
{
    struct lab_options o = usual_options();
    char text[sizeof text_to_evaluate]; /* gone from where it was while the lab runs */
    (void)state;
    memcpy(text, text_to_evaluate, sizeof text);
    o.text = text;
    o.text_size = strlen(text);
    struct lab *lab = start_with(&o);
    memset(text, 0x7f, sizeof text);
    check_evaluation(lab);
    lab_stop(lab);
}

static void test_evaluation_of_the_models_own_text(void **state)
{
    struct lab *lab = start();
    (void)state;
    check_evaluation(lab);
    lab_stop(lab);
}

/* No frame has a figure of another set than its own, unless it is marked. */
static void assert_fresh(const struct frame *f)
{
    assert_true(!f->quality.valid || f->quality.stale == (f->quality.set_serial != f->set_serial));
    assert_true(!f->output.q || f->output.q == f->set->layer[f->output.q->tensor]);
    assert_true(!f->columns || f->columns->q == f->set->layer[f->columns->q->tensor]);
    assert_true(!f->detail || f->detail->q == f->set->layer[f->detail->q->tensor]);
}

static bool has_all_figures(const struct frame *f, const void *arg)
{
    (void)arg;
    return is_evaluated(f, NULL) && f->speed.prefill.valid && f->output.q && f->columns && f->detail &&
           (f->speed.vs_stored.valid || f->set == session.stored);
}

/* The first frames of a new set have none of the last one's figures, and say that KL is not its own. */
static void test_figures_of_another_set(void **state)
{
    struct lab_options o = usual_options();
    o.text = text_to_evaluate;
    o.text_size = strlen(text_to_evaluate);
    struct lab *lab = start_with(&o);
    int t = tensor("blk.1.ffn_up");
    static const char *const schemes[] = {"int8", "int4", "stored", "int8"};
    (void)state;
    select_weight(lab, t, 0, 0);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct frame *f = await(lab, has_all_figures, NULL, "every figure");
        uint64_t serial = f->set_serial;
        frame_unref(f);
        ask_only(lab, set_command(&t, 1, schemes[i]));
        for (f = now(lab); f->set_serial == serial; f = now(lab)) {
            assert_fresh(f);
            frame_unref(f);
        }
        assert_fresh(f);
        assert_true(f->quality.stale || f->quality.running || !f->quality.valid ||
                    f->quality.set_serial == f->set_serial);
        frame_unref(f);
    }
    lab_stop(lab);
}

static bool is_partial(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->quality.valid && f->quality.running;
}

/* An evaluation that a change ends leaves nothing behind: neither in the header nor in the row of a snapshot. */
static void test_a_part_of_an_evaluation_is_not_kept(void **state)
{
    struct lab *lab = start();
    int t = tensor("blk.1.ffn_up");
    (void)state;
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT}); /* of the stored weights */
    set_all(lab, "int4:tensor");
    frame_unref(settled(lab));
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
    frame_unref(await(lab, is_partial, NULL, "a part of an evaluation"));
    ask_only(lab, set_command(&t, 1, "int8"));
    for (struct frame *f = now(lab);; f = now(lab)) {
        const struct quality_frame *q = &f->quality;
        bool done = is_evaluated(f, NULL);
        assert_true(!q->valid || q->running || quality_is_complete(&q->result));
        for (size_t i = 0; i < f->snapshot_count; i++) {
            const struct quality_frame *s = &f->snapshots[i].quality;
            assert_true(!s->valid || s->running || quality_is_complete(&s->result));
        }
        frame_unref(f);
        if (done)
            break;
        poll(&(struct pollfd){lab_wake_descriptor(lab), POLLIN, 0}, 1, 1000);
    }
    lab_stop(lab);
}

static bool is_quiet(const struct frame *f, const void *arg)
{
    (void)arg;
    return is_evaluated(f, NULL) && !*f->status.text;
}

/* What is said of work under way is not said when it is over; what has happened stays. */
static void test_status_ends_with_its_work(void **state)
{
    struct lab_options o = usual_options();
    o.text = text_to_evaluate;
    o.text_size = strlen(text_to_evaluate);
    struct lab *lab = start_with(&o);
    (void)state;
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_EVALUATE});
    bool over = is_evaluated(f, NULL); /* before a busy machine showed it */
    assert_true(over || strstr(f->status.text, "evaluating"));
    uint64_t serial = f->status.serial;
    frame_unref(f);
    f = await(lab, is_quiet, NULL, "nothing said after the evaluation");
    assert_int_equal(f->status.serial, serial);
    frame_unref(f);
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    for (int i = 0; i < 3; i++) {
        uint64_t later;
        f = now(lab);
        later = f->serial + 1;
        assert_non_null(strstr(f->status.text, "snapshot A"));
        frame_unref(f);
        frame_unref(await(lab, is_after, &later, "a later frame"));
    }
    lab_stop(lab);
}

/* A job that works on all layers that are pending leaves none in a queue. */
static void test_a_queue_of_layers(void **state)
{
    static struct layer_frame layers[64];
    struct frame f = {.model = session.model, .layers = layers};
    (void)state;
    assert_true(schemes_count(session.model) <= 64);
    for (size_t i = 0; i < 64; i++)
        layers[i].progress = -1;
    assert_false(frame_has_queue(&f));
    for (size_t i = 0; i < 3; i++)
        layers[i].pending = true;
    assert_false(frame_has_queue(&f)); /* their text is being written: no other is before them */
    layers[0].progress = 0;
    assert_true(frame_has_queue(&f));
    layers[1].progress = layers[2].progress = 0.5f;
    assert_false(frame_has_queue(&f));
}

/* Rows of the Compare screen: figures of another text, or of a part, stand beside none. */
static void test_which_rows_compare(void **state)
{
    struct frame *f = calloc(1, sizeof *f);
    struct snapshot *s = f ? f->snapshots : NULL;
    const struct quality_result on_self = {.basis = {"self", 60, PROTOCOL_FULL, 32}, .scored = 58, .planned = 58};
    (void)state;
    assert_non_null(f);
    f->snapshot_count = 4;
    assert_null(frame_basis(f, 0));
    assert_null(frame_incomparable(f, 0, &s[1]));
    for (size_t i = 0; i < 4; i++)
        s[i].quality = (struct quality_frame){.valid = true, .result = on_self};
    strcpy(s[1].quality.result.basis.text, "wiki.txt");
    s[2].quality.running = true; /* marked as such, and no basis */
    s[2].quality.result.scored = 20;
    s[3].quality.result.basis.tokens = 50;
    assert_null(frame_incomparable(f, 0, &s[0]));
    assert_string_equal(frame_incomparable(f, 0, &s[1]), "another text");
    assert_null(frame_incomparable(f, 0, &s[2]));
    assert_string_equal(frame_incomparable(f, 0, &s[3]), "another number of tokens");
    assert_string_equal(frame_incomparable(f, 1, &s[0]), "another text"); /* as the base says */
    assert_null(frame_incomparable(f, 1, &s[1]));
    assert_ptr_equal(frame_basis(f, 2), &s[0].quality.result);
    s[0].quality.valid = false;
    assert_ptr_equal(frame_basis(f, 0), &s[1].quality.result);
    assert_ptr_equal(frame_basis(f, 9), &s[1].quality.result);
    free(f);
}

static void test_text_of_an_evaluation(void **state)
{
    struct lab_options o = usual_options();
    (void)state;
    for (int given = 0; given < 2; given++) {
        o.text = given ? text_to_evaluate : NULL;
        o.text_size = given ? strlen(text_to_evaluate) : 0;
        o.text_name = given ? "a.txt" : NULL;
        struct lab *lab = start_with(&o);
        ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
        struct frame *f = await(lab, is_evaluated, NULL, "an evaluation");
        const struct quality_basis *b = &f->quality.result.basis;
        assert_string_equal(b->text, given ? "a.txt" : "self");
        assert_true(b->tokens > 1 && b->window > 1);
        assert_int_equal(b->protocol, PROTOCOL_FULL);
        frame_unref(f);
        lab_stop(lab);
    }
}

static void test_text_too_short_to_evaluate(void **state)
{
    struct lab_options o = usual_options();
    (void)state;
    o.text = "";
    struct lab *lab = start_with(&o);
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_EVALUATE});
    frame_unref(f);
    int t = tensor("output");
    frame_unref(await(lab, has_speed, &t, "the meters, all the same"));
    f = now(lab);
    assert_false(f->quality.valid);
    assert_non_null(f->quality.reason);
    frame_unref(f);
    lab_stop(lab);
}

/* ---- the text -------------------------------------------------------------------------------- */

static bool is_generating(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->speed.decode.valid && !f->paused;
}

static void test_pause(void **state)
{
    struct lab_options o = usual_options();
    o.tokens_per_second = 30; /* a text that lasts longer than the test looks away */
    struct lab *lab = start_with(&o);
    (void)state;
    frame_unref(await(lab, is_generating, NULL, "generation"));
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_PAUSE});
    assert_true(f->paused);
    assert_false(f->speed.decode.valid);
    assert_string_equal(f->speed.decode.reason, "paused");
    size_t tokens = f->text->tokens;
    uint64_t later = f->serial + 6, seed = f->text->seed;
    frame_unref(f);
    f = await(lab, is_after, &later, "frames while it is paused");
    assert_int_equal(f->text->tokens, tokens);
    assert_int_equal(f->text->seed, seed);
    frame_unref(f);
    frame_unref(set(lab, "output", "int8")); /* changes are made all the same */
    f = ask(lab, (struct command){.kind = COMMAND_PAUSE});
    assert_false(f->paused);
    frame_unref(f);
    frame_unref(await(lab, is_generating, NULL, "generation again"));
    lab_stop(lab);
}

struct wanted_text {
    uint64_t seed;
    size_t tokens; /* at least, unless the text ends before */
};

static bool has_text(const struct frame *f, const void *arg)
{
    const struct wanted_text *w = arg;
    return f->text && f->text->seed == w->seed && (f->text->tokens >= w->tokens || f->text->ended);
}

/* One text is the other's beginning, but for a character that may be cut. */
static void assert_same_beginning(const struct text_frame *a, const struct text_frame *b)
{
    size_t n = strlen(a->text), k = strlen(b->text);
    n = n < k ? n : k;
    if (a->ended && b->ended)
        assert_string_equal(a->text, b->text);
    assert_memory_equal(a->text, b->text, n > 4 ? n - 4 : 0);
}

/* The texts of some seeds in a row, as far as frames showed them. */
enum { TEXTS = 8 };

static void collect_texts(struct lab *lab, char *texts[TEXTS])
{
    double deadline = clock_seconds() + PATIENCE;
    size_t seen = 0;
    memset(texts, 0, TEXTS * sizeof *texts);
    while (seen < TEXTS - 2 && clock_seconds() < deadline) {
        struct frame *f = now(lab);
        uint64_t at = f->text->seed - SEED, later = f->serial + 1;
        bool longer = at < TEXTS && (!texts[at] || strlen(texts[at]) < strlen(f->text->text));
        bool over = at >= TEXTS;
        if (longer) {
            seen += !texts[at];
            free(texts[at]);
            texts[at] = strdup(f->text->text);
        }
        frame_unref(f);
        if (over)
            break;
        send(lab, (struct command){.kind = COMMAND_SELECT}); /* asks for a frame at once */
        frame_unref(await(lab, is_after, &later, "a newer frame"));
    }
}

/* Keeps the longer part of what was seen of each text in `texts`; returns how many were seen in both and agree. */
static size_t merge_texts(char *texts[TEXTS], char *again[TEXTS])
{
    size_t agree = 0;
    for (int i = 0; i < TEXTS; i++) {
        size_t n = texts[i] ? strlen(texts[i]) : 0, k = again[i] ? strlen(again[i]) : 0;
        size_t common = n < k ? n : k;
        if (common > 8)
            assert_memory_equal(texts[i], again[i], common - 4); /* 4: a character may be cut */
        agree += common > 8;
        if (k > n) {
            free(texts[i]);
            texts[i] = again[i];
        } else {
            free(again[i]);
        }
    }
    return agree;
}

/* As fast as they come, texts follow each other with the next seed, and each is the same again. On a busy machine
   frames show few of them: texts are collected until two have been seen twice. */
static void test_restart_gives_the_same_texts(void **state)
{
    struct lab *lab = start();
    char *texts[TEXTS] = {NULL}, *again[TEXTS];
    double deadline = clock_seconds() + PATIENCE;
    size_t agree = 0;
    (void)state;
    while (agree < 2 && clock_seconds() < deadline) {
        ask_only(lab, (struct command){.kind = COMMAND_SAMPLING, .temperature = 1, .seed = SEED});
        collect_texts(lab, again);
        agree += merge_texts(texts, again);
    }
    for (int i = 1; i < TEXTS; i++)
        if (texts[i] && texts[i - 1] && strlen(texts[i]) > 8)
            assert_string_not_equal(texts[i], texts[i - 1]);
    for (int i = 0; i < TEXTS; i++)
        free(texts[i]);
    assert_true(agree >= 2);
    lab_stop(lab);
}

static void test_restart_keeps_the_seed(void **state)
{
    struct lab_options o = usual_options();
    o.tokens_per_second = 60; /* frames that come late still show the text */
    struct lab *lab = start_with(&o);
    struct wanted_text wanted = {SEED, 30};
    (void)state;
    struct frame *a = await(lab, has_text, &wanted, "a text");
    bool shorter = false; /* unless the frame came so late that the text was as long again */
    for (int tries = 0; !shorter && tries < 50; tries++) {
        struct frame *f = ask(lab, (struct command){.kind = COMMAND_RESTART});
        assert_int_equal(f->text->seed, SEED);
        shorter = f->text->tokens < a->text->tokens;
        frame_unref(f);
    }
    assert_true(shorter);
    struct frame *b = await(lab, has_text, &wanted, "the text again");
    assert_same_beginning(a->text, b->text);
    frame_unref(a);
    frame_unref(b);
    lab_stop(lab);
}

static bool has_later_seed(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->text && f->text->seed > SEED;
}

/* Whatever texts have ended meanwhile: the first one again. */
static void test_restart_after_texts_have_ended(void **state)
{
    struct lab *lab = start();
    (void)state;
    ask_only(lab, (struct command){.kind = COMMAND_SAMPLING, .temperature = 1, .seed = SEED});
    frame_unref(await(lab, has_later_seed, NULL, "a text after the first"));
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_RESTART});
    char expected[64];
    snprintf(expected, sizeof expected, "seed %d", SEED);
    assert_non_null(strstr(f->status.text, expected));
    frame_unref(f);
    lab_stop(lab);
}

/* A decode step before the prompt has run, from which the meter has its first figure, changes nothing after it. */
static void test_a_step_before_the_prompt(void **state)
{
    struct error error = {""};
    size_t vocab = session.model->hyper.vocab;
    float *logits[2] = {calloc(vocab, sizeof(float)), calloc(vocab, sizeof(float))};
    (void)state;
    for (int early = 0; early < 2; early++) {
        struct generation g = {0};
        assert_true(generation_open(&g, &session, session.model, DTYPE_FP32, &error));
        for (int32_t id = 1; id <= 20; id++)
            assert_true(tokens_add(&g.tokens, id * 7));
        generation_rewind(&g, 20, 1, 1, SEED);
        assert_false(generation_ready(&g));
        if (early)
            generation_decode(&g, session.stored);
        assert_int_equal(g.context->length, 0);
        while (!generation_ready(&g))
            generation_prefill(&g, session.stored, 1);
        generation_decode(&g, session.stored);
        assert_true(logits[early] && isfinite(g.logits[0]));
        memcpy(logits[early], g.logits, vocab * sizeof(float));
        generation_close(&g);
    }
    assert_memory_equal(logits[0], logits[1], vocab * sizeof(float));
    free(logits[0]);
    free(logits[1]);
}

static bool is_of_one_set(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->text && f->text->earlier_tokens == 0 && f->text->tokens >= 10;
}

static bool is_of_two_sets(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->text && f->text->earlier_tokens >= 10 && f->text->tokens >= f->text->earlier_tokens;
}

/* A text that other weights began says so, until it begins again. */
static void test_a_text_of_two_sets(void **state)
{
    struct lab_options o = usual_options();
    o.tokens_per_second = 100;
    struct lab *lab = start_with(&o);
    (void)state;
    frame_unref(await(lab, is_of_one_set, NULL, "a text"));
    frame_unref(set(lab, "blk.0.ffn_up", "int4"));
    frame_unref(await(lab, is_of_two_sets, NULL, "the text with other weights"));
    ask_only(lab, (struct command){.kind = COMMAND_RESTART});
    frame_unref(await(lab, is_of_one_set, NULL, "a text of the new weights"));
    lab_stop(lab);
}

static void test_prompt(void **state)
{
    static const char prompt[] = "the hen in the barn";
    struct lab_options o = usual_options();
    o.tokens_per_second = 100;
    struct lab *lab = start_with(&o);
    char too_long[2048];
    (void)state;
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_PROMPT, .text = prompt});
    assert_false(f->status.is_error);
    assert_true(f->text->prompt_tokens > 3);
    assert_true(f->text->tokens >= f->text->prompt_tokens);
    assert_memory_equal(f->text->text, prompt, strlen(prompt));
    size_t tokens = f->text->prompt_tokens;
    frame_unref(f);
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = 0;
    f = ask(lab, (struct command){.kind = COMMAND_PROMPT, .text = too_long});
    assert_true(f->status.is_error);
    assert_int_equal(f->text->prompt_tokens, tokens); /* the old one goes on */
    assert_memory_equal(f->text->text, prompt, strlen(prompt));
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_PROMPT, .text = ""});
    assert_false(f->status.is_error);
    assert_int_equal(f->text->prompt_tokens, 1);
    frame_unref(f);
    lab_stop(lab);
}

static void test_sampling(void **state)
{
    struct lab_options o = usual_options();
    struct wanted_text one = {11, 30}, other = {12, 30};
    (void)state;
    o.tokens_per_second = 60; /* frames that come late still show the text */
    struct lab *lab = start_with(&o);
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_SAMPLING, .seed = 11});
    assert_int_equal(f->text->seed, 11);
    assert_true(f->text->temperature == 0);
    frame_unref(f);
    struct frame *a = await(lab, has_text, &one, "a text at temperature 0");
    ask_only(lab, (struct command){.kind = COMMAND_SAMPLING, .seed = 12});
    struct frame *b = await(lab, has_text, &other, "a text at temperature 0, another seed");
    assert_same_beginning(a->text, b->text); /* nothing is drawn */
    frame_unref(a);
    frame_unref(b);
    lab_stop(lab);
}

static bool has_reference(const struct frame *f, const void *arg)
{
    const struct text_frame *x = f->text;
    return x && x->reference && x->tokens >= x->prompt_tokens + *(const size_t *)arg &&
           x->reference_tokens == x->tokens;
}

static bool has_diverged(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->text && f->text->reference && f->text->diverged;
}

static void check_divergence(const struct text_frame *x)
{
    assert_true(x->divergence >= x->prompt_tokens);
    assert_true(x->divergence < x->tokens && x->divergence < x->reference_tokens);
    assert_int_equal(x->text_offset, x->reference_offset);
    assert_memory_equal(x->text, x->reference, x->text_offset);
    for (int i = 0; i < CANDIDATES; i++) {
        assert_true(x->here[i].probability >= 0 && x->here[i].probability <= 1);
        assert_true(x->here[i].id >= 0 && x->there[i].id >= 0);
        assert_true(i == 0 || x->here[i].probability <= x->here[i - 1].probability);
        assert_true(i == 0 || x->there[i].probability <= x->there[i - 1].probability);
    }
}

static void test_reference_text(void **state)
{
    struct lab_options o = usual_options();
    size_t some = 20;
    (void)state;
    o.tokens_per_second = 100;
    struct lab *lab = start_with(&o);
    send(lab, (struct command){.kind = COMMAND_WATCH_TEXT, .index = 1});
    struct frame *f = await(lab, has_reference, &some, "the reference's text");
    assert_string_equal(f->text->text, f->text->reference);
    assert_false(f->text->diverged);
    frame_unref(f);
    set_all(lab, "int4:tensor");
    frame_unref(settled(lab));
    ask_only(lab, (struct command){.kind = COMMAND_RESTART});
    f = await(lab, has_diverged, NULL, "a divergence");
    check_divergence(f->text);
    frame_unref(f);
    send(lab, (struct command){.kind = COMMAND_WATCH_TEXT, .index = 0});
    ask_only(lab, (struct command){.kind = COMMAND_RESTART});
    f = now(lab);
    assert_null(f->text->reference);
    frame_unref(f);
    lab_stop(lab);
}

/* ---- recipes --------------------------------------------------------------------------------- */

static void test_recipe_round_trip(void **state)
{
    struct lab *lab = start();
    char *path = path_in(folder, "recipe.txt"), *nowhere = path_in(folder, "no/such/folder");
    struct recipe recipe;
    struct error error;
    (void)state;
    frame_unref(set(lab, "blk.0.attn_q", "int4:g32:asym"));
    frame_unref(set(lab, "blk.1.ffn_down", "int8/int8"));
    frame_unref(set(lab, "token_embd", "fp16"));
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_WRITE, .text = path});
    assert_false(f->status.is_error);
    assert_true(recipe_read(&recipe, path, &error));
    struct scheme *schemes = session_schemes(&session, &error);
    assert_true(recipe_apply(&recipe, session.model, schemes, &error));
    for (size_t i = 0; i < session.model->tensor_count; i++)
        assert_true(scheme_equal(&schemes[i], &f->layers[i].wanted));
    frame_unref(f);
    recipe_free(&recipe);
    f = ask(lab, (struct command){.kind = COMMAND_WRITE, .text = nowhere});
    assert_true(f->status.is_error);
    assert_non_null(strstr(f->status.text, "no/such/folder"));
    frame_unref(f);
    lab_stop(lab);

    struct lab_options o = usual_options();
    o.schemes = schemes; /* as qtop -r begins */
    lab = start_with(&o);
    f = settled(lab);
    for (size_t i = 0; i < session.model->tensor_count; i++)
        assert_true(qtensor_has_scheme(f->set->layer[i], &schemes[i]));
    assert_int_equal(f->current_step, 1); /* to what is stored */
    frame_unref(f);
    lab_stop(lab);
    free(schemes);
    free(path);
    free(nowhere);
}

/* A recipe is not written over the model, whatever a person types. */
static void test_recipe_onto_the_model(void **state)
{
    struct lab *lab = start();
    struct bytes before = read_file(session.model->path);
    (void)state;
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_WRITE, .text = session.model->path});
    assert_true(f->status.is_error);
    assert_non_null(strstr(f->status.text, "is a file that is being read; expected another one"));
    frame_unref(f);
    struct bytes after = read_file(session.model->path);
    assert_true(after.size == before.size && memcmp(after.data, before.data, after.size) == 0);
    bytes_free(&before);
    bytes_free(&after);
    lab_stop(lab);
}

/* ---- many commands, many frames -------------------------------------------------------------- */

static void test_many_commands_are_all_consumed(void **state)
{
    struct lab *lab = start();
    int tensors[] = {tensor("blk.0.attn_q"), tensor("blk.1.ffn_up"), tensor("output")};
    (void)state;
    struct frame *f = now(lab);
    uint64_t serial = f->status.serial + MANY;
    frame_unref(f);
    for (int i = 0; i < MANY; i++)
        send(lab, (struct command){.kind = COMMAND_PAUSE});
    f = await(lab, has_status, &serial, "10,000 pauses");
    assert_int_equal(f->status.serial, serial);
    assert_false(f->paused);
    serial = f->status.serial + MANY;
    frame_unref(f);
    for (int i = 0; i < MANY; i++)
        if (i % 3 < 2)
            send(lab, (struct command){.kind = COMMAND_CYCLE, .tensors = tensors, .tensor_count = 3,
                                       .change = CHANGE_WEIGHT, .direction = 1});
        else
            send(lab, (struct command){.kind = COMMAND_UNDO});
    f = await(lab, has_status, &serial, "10,000 changes");
    assert_int_equal(f->status.serial, serial);
    assert_true(f->current_step <= 200);
    frame_unref(f);
    frame_unref(settled(lab));
    lab_stop(lab);
}

static uint64_t digest(const struct frame *f)
{
    uint64_t hash = f->serial;
    const unsigned char *layers = (const void *)f->layers;
    for (size_t i = 0; i < f->set->count; i++) {
        const struct qmatrix *m = &f->set->layer[i]->matrix;
        hash = hash * 31 + m->bytes + m->codes[0] + m->codes[m->rows - 1];
    }
    for (size_t i = 0; i < f->set->count * sizeof *f->layers; i++)
        hash = hash * 31 + layers[i];
    for (const char *c = f->text ? f->text->text : ""; *c; c++)
        hash = hash * 31 + (unsigned char)*c;
    for (size_t i = 0; f->detail && i < HISTOGRAM_BINS; i++)
        hash = hash * 31 + f->detail->before.count[i] + f->detail->after.count[i];
    return hash + strlen(f->status.text);
}

enum { HELD = 60 };

static void test_held_frames_stay_valid(void **state)
{
    static const char *const schemes[] = {"int8", "int4:g16", "fp8e5m2", "bf16", "stored"};
    struct lab *lab = start();
    struct frame *held[HELD];
    uint64_t before[HELD], serial = 0;
    int t = tensor("blk.0.ffn_down");
    (void)state;
    send(lab, (struct command){.kind = COMMAND_WATCH_TEXT, .index = 1});
    for (int i = 0; i < HELD; i++) {
        int other = i % (int)session.model->tensor_count;
        select_weight(lab, i % 2 ? t : other, 0, 0);
        send(lab, set_command(&t, 1, schemes[i % 5]));
        serial++;
        held[i] = await(lab, is_after, &serial, "a newer frame");
        assert_true(held[i]->serial >= serial);
        serial = held[i]->serial;
        before[i] = digest(held[i]);
    }
    frame_unref(settled(lab));
    for (int i = 0; i < HELD; i++)
        assert_int_equal(digest(held[i]), before[i]);
    lab_stop(lab);
    for (int i = 0; i < HELD; i++) { /* also after the lab is gone */
        assert_int_equal(digest(held[i]), before[i]);
        frame_unref(held[i]);
    }
}

/* ---- stopping -------------------------------------------------------------------------------- */

static bool has_job(const struct frame *f, const void *name)
{
    return f->activity.name && strcmp(f->activity.name, name) == 0;
}

static void test_stop_during_every_job(void **state)
{
    static const char *const jobs[] = {"quantizing", "evaluating", "generating the evaluation text"};
    static char text[100000]; /* that keeps an evaluation busy */
    struct lab_options o = usual_options();
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = text_to_evaluate[i % (sizeof text_to_evaluate - 1)];
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        for (int again = 0; again < 3; again++) {
            o.text = i == 1 ? text : NULL;
            o.text_size = i == 1 ? sizeof text : 0;
            struct lab *lab = start_with(&o);
            send(lab, (struct command){.kind = COMMAND_WATCH_TEXT, .index = again % 2});
            ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
            if (i == 0)
                set_all(lab, "int4:g16:asym");
            struct frame *f = await(lab, has_job, jobs[i], jobs[i]);
            lab_stop(lab);
            assert_string_equal(f->activity.name, jobs[i]);
            frame_unref(f);
        }
}

static void test_stop_at_any_moment(void **state)
{
    (void)state;
    for (uint64_t frames = 0; frames < 12; frames++) {
        struct lab *lab = start();
        if (frames % 2)
            set_all(lab, "int8/int8");
        if (frames % 3 == 0)
            send(lab, (struct command){.kind = COMMAND_PAUSE});
        if (frames > 0)
            frame_unref(await(lab, is_after, &frames, "some frames"));
        lab_stop(lab);
    }
}

static void test_stop_with_a_full_queue(void **state)
{
    struct lab *lab = start();
    int t = tensor("output");
    (void)state;
    for (int i = 0; i < MANY; i++) {
        send(lab, set_command(&t, 1, i % 2 ? "int8" : "int4"));
        send(lab, (struct command){.kind = COMMAND_PROMPT, .text = "the"});
    }
    lab_stop(lab);
    lab_stop(NULL);
}

static void test_more_threads_than_one(void **state)
{
    struct session_options o = {.model_path = session.model->path, .threads = 2};
    struct session one = session;
    struct error error;
    (void)state;
    assert_true(session_open(&session, &o, &error));
    struct lab_options lo = usual_options();
    lo.text = text_to_evaluate;
    lo.text_size = strlen(text_to_evaluate);
    struct lab *lab = start_with(&lo);
    check_evaluation(lab);
    frame_unref(set(lab, "blk.0.attn_q", "int8"));
    lab_stop(lab);
    session_close(&session);
    session = one;
}

/* ---- a model without a tokenizer ------------------------------------------------------------- */

static bool has_some_text(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->text && *f->text->text;
}

static void test_without_a_tokenizer(void **state)
{
    char *away = path_in(folder, "elsewhere.txt"), *beside = path_in(folder, "tokenizer.bin");
    struct session_options o = {.model_path = session.model->path, .threads = 1};
    struct session usual = session;
    struct error error;
    (void)state;
    assert_int_equal(rename(beside, away), 0);
    bool ok = session_open(&session, &o, &error);
    assert_int_equal(rename(away, beside), 0);
    assert_true(ok);
    assert_null(session.tokenizer);
    struct lab *lab = start();
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_PROMPT, .text = "the"});
    assert_true(f->status.is_error);
    frame_unref(f);
    f = await(lab, has_some_text, NULL, "token ids");
    assert_int_equal(strspn(f->text->text, "0123456789 "), strlen(f->text->text));
    frame_unref(f);
    lab_stop(lab);
    struct lab_options lo = usual_options();
    lo.text = text_to_evaluate;
    lo.text_size = strlen(text_to_evaluate);
    assert_null(lab_start(&session, &lo, &error));
    assert_non_null(strstr(error.text, "tokenizer"));
    session_close(&session);
    session = usual;
    free(away);
    free(beside);
}

/* ---- an export that waits ------------------------------------------------------------------------ */

static bool is_exported(const struct frame *f, const void *arg)
{
    (void)arg;
    return strncmp(f->status.text, "exported to ", 12) == 0;
}

/* Asked for while layers are being quantized, it is made of them when they are done; what the format does not hold is
 * refused at once. */
static void test_export_waits_for_layers(void **state)
{
    (void)state;
    struct lab *lab = start();
    char *path = path_in(folder, "waits.gguf");
    int tensors[] = {tensor("blk.0.ffn_up"), tensor("blk.1.ffn_up"), tensor("blk.2.ffn_up")};
    send(lab, set_command(tensors, 3, "q4_0:gptq"));
    send(lab, (struct command){.kind = COMMAND_EXPORT, .text = path});
    struct frame *f = await(lab, is_exported, NULL, "the export");
    assert_int_equal(f->pending, 0);
    frame_unref(f);
    struct error error;
    struct model *m = model_open(path, &error);
    assert_non_null(m);
    assert_int_equal(m->tensors[model_find_name(m, "blk.1.ffn_up")].stored.format.weight, DTYPE_Q4_0);
    model_close(m);
    ask_only(lab, set_command(tensors, 3, "nf4:gptq"));
    f = ask(lab, (struct command){.kind = COMMAND_EXPORT, .text = path});
    if (f->pending > 0) /* else the export itself is refused */
        assert_true(f->status.is_error && strstr(f->status.text, "nf4"));
    frame_unref(f);
    lab_stop(lab);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_frame_is_the_stored_model),
        cmocka_unit_test(test_meters_come_up), cmocka_unit_test(test_turns),
        cmocka_unit_test(test_set_changes_bytes_and_error),
        cmocka_unit_test(test_same_in_every_block),
        cmocka_unit_test(test_undo_and_redo_are_exact),
        cmocka_unit_test(test_kv_cache_of_the_text),
        cmocka_unit_test(test_undo_of_a_change_on_its_way),
        cmocka_unit_test(test_undo_of_nothing),
        cmocka_unit_test(test_cycles_go_both_ways),
        cmocka_unit_test(test_a_cycle_changes_one_field),
        cmocka_unit_test(test_a_cycle_of_layers_and_cache),
        cmocka_unit_test(test_export_waits_for_layers),
        cmocka_unit_test(test_cycles_that_mean_nothing_are_refused),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_snapshots_are_numbered),
        cmocka_unit_test(test_snapshots_in_words),
        cmocka_unit_test(test_equal_snapshots_are_one),
        cmocka_unit_test(test_figures_of_another_set),
        IN_STEP(test_a_part_of_an_evaluation_is_not_kept),
        cmocka_unit_test(test_text_of_an_evaluation),
        cmocka_unit_test(test_which_rows_compare),
        cmocka_unit_test(test_a_queue_of_layers),
        cmocka_unit_test(test_status_ends_with_its_work),
        cmocka_unit_test(test_stored_blocks),
        cmocka_unit_test(test_number_line),
        cmocka_unit_test(test_selection_is_clamped),
        cmocka_unit_test(test_output_error),
        cmocka_unit_test(test_evaluation_of_a_text),
        cmocka_unit_test(test_evaluation_of_the_models_own_text),
        cmocka_unit_test(test_text_too_short_to_evaluate),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_restart_gives_the_same_texts),
        IN_STEP(test_restart_keeps_the_seed),
        cmocka_unit_test(test_restart_after_texts_have_ended),
        IN_STEP(test_a_text_of_two_sets),
        cmocka_unit_test(test_a_step_before_the_prompt),
        cmocka_unit_test(test_prompt),
        IN_STEP(test_sampling),
        cmocka_unit_test(test_reference_text),
        cmocka_unit_test(test_recipe_round_trip), cmocka_unit_test(test_recipe_onto_the_model),
        cmocka_unit_test(test_many_commands_are_all_consumed),
        cmocka_unit_test(test_held_frames_stay_valid),
        IN_STEP(test_stop_during_every_job),
        cmocka_unit_test(test_stop_at_any_moment),
        cmocka_unit_test(test_stop_with_a_full_queue),
        cmocka_unit_test(test_more_threads_than_one),
        cmocka_unit_test(test_without_a_tokenizer),
    };
    return cmocka_run_group_tests_name("lab", tests, open_session, close_session);
}
