/* Records that reports are made of: what is accepted can be written in both formats. */
#include "fuzz.h"

#include "report/pages.h"
#include "report/read_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_scheme(const struct report_scheme *s)
{
    FUZZ_PROMISE(s->name && *s->name);
    for (size_t i = 0; i < FIGURE_COUNT; i++)
        FUZZ_PROMISE(!s->figure[i].valid || isfinite(s->figure[i].value));
}

static void check_layer(const struct report_layer *l)
{
    FUZZ_PROMISE(l->name && l->kind && l->block >= -1);
    FUZZ_PROMISE(!l->kl.valid || isfinite(l->kl.value));
}

/* No control character, and no tag that a record brought. */
static void check_page(void (*page)(FILE *out, const struct report *report), const struct report *r, bool html)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        abort();
    page(out, r);
    fclose(out);
    for (size_t i = 0; i < size; i++)
        FUZZ_PROMISE((unsigned char)text[i] >= 32 || text[i] == '\n');
    FUZZ_PROMISE(!html || !strstr(text, "<script"));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {""};
    struct report *r = report_create();
    bool accepted = r && report_parse_json(r, data, size, "file", &error);
    fuzz_accepted(accepted, error.text);
    FUZZ_PROMISE(accepted || *error.text);
    for (size_t i = 0; accepted && i < r->scheme_count; i++)
        check_scheme(&r->schemes[i]);
    for (size_t i = 0; accepted && i < r->layer_count; i++)
        check_layer(&r->layers[i]);
    if (accepted) {
        check_page(page_html, r, true);
        check_page(page_markdown, r, false);
    }
    report_free(r);
    return 0;
}

void fuzz_seeds(void)
{
    fuzz_seed_text("{\"scheme\":\"q4_k\",\"size_bytes\":100,\"file_bytes\":null,\"file_bytes_reason\":\"none\","
                   "\"decode_tokens_per_second\":9.5,\"kl_divergence\":0.5,\"kl_stderr\":0.1,\"top1_agreement\":0.9,"
                   "\"perplexity\":5,\"perplexity_reference\":4,\"text_name\":\"t\",\"text_tokens\":64,"
                   "\"recommended\":true,\"verdict\":\"good\"}\n"
                   "{\"scheme\":\"int8\",\"size_bytes\":200,\"kl_divergence\":0.1,\"partial\":false,\"exports\":\"gguf\"}\n");
    fuzz_seed_text("{\"scheme\":\"a\",\"hidden_state_error\":[0,0.5,1],\"peak_read_bytes_per_second\":1e10}");
    fuzz_seed_text("{\"recipe\":\"r\",\"curve\":[[1,0.5],[2,0.1]],\"mix\":\"q\",\"mix_size_bytes\":3,"
                   "\"mix_kl_divergence\":1}");
    fuzz_seed_text("{\"name\":\"blk.3.ffn_up_exps.2\",\"scheme\":\"x\",\"kl_alone\":0.1,\"kl_alone_stderr\":0.01}");
    fuzz_seed_text("{\"model\":{\"name\":\"m\",\"parameters\":9},\"snapshots\":[{\"scheme\":\"a\",\"label\":\"A\"}],"
                   "\"advise\":[],\"sensitivity\":[{\"name\":\"output\",\"kl_alone\":0}]}");
}
