#include "sections.h"

#include "plots.h"
#include "tables.h"

static bool has_schemes(const struct report *r)
{
    return r->scheme_count > 0;
}

/* Two points make a front. */
static bool has_front(const struct report *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->scheme_count; i++)
        n += report_on_plot(&r->schemes[i]);
    return n > 1;
}

static bool has_sensitivity(const struct report *r)
{
    bool any = false;
    for (size_t i = 0; i < r->layer_count; i++)
        any |= r->layers[i].kl.valid && r->layers[i].block >= 0;
    return any;
}

static bool has_roofline(const struct report *r)
{
    return r->point_count > 0 && (r->read.valid || r->roof_count > 0);
}

static bool has_errors(const struct report *r)
{
    bool any = false;
    for (size_t i = 0; i < r->histogram_count; i++)
        any |= r->histograms[i].errors.total > 0;
    return any;
}

static bool has_depth(const struct report *r)
{
    return r->depth_count > 1;
}

const struct report_section report_sections[] = {
    {"schemes", "Schemes", "", PART_SCHEMES, has_schemes, html_schemes, markdown_schemes},
    {"front", "KL against size",
     "KL is the mean divergence of the scheme's predictions from those of the reference. On the front are the schemes "
     "that no other one equals in size and KL and betters in one of them.",
     PART_FRONT, has_front, plot_front, markdown_front},
    {"sensitivity", "Sensitivity of layers",
     "KL divergence of the model with that layer alone quantized and all others as stored.", PART_SENSITIVITY,
     has_sensitivity, plot_map, markdown_map},
    {"roofline", "Roofline",
     "What memory and arithmetic of this machine allow, and what was reached. Decoding reads all weights for one token "
     "and stands at the left; a prompt shares one reading among its tokens.",
     PART_ROOFLINE, has_roofline, plot_roofline, markdown_roofline},
    {"errors", "Errors of weights",
     "Share of the weights by what quantization changed them, in units of the root mean square of the layer's weights; "
     "SQNR is the power of the weights over that of their errors.",
     PART_ERRORS, has_errors, plot_errors, markdown_errors},
    {"depth", "Divergence by depth",
     "How far the hidden state is from the reference's, ||x' - x|| / ||x||, behind the embedding and every part of a "
     "block.",
     PART_DEPTH, has_depth, plot_depth, markdown_depth},
};
const size_t report_section_count = sizeof report_sections / sizeof *report_sections;

const char *report_section_reason(const struct report *r, const struct report_section *s)
{
    return r->missing[s->part] ? r->missing[s->part] : "not measured";
}
