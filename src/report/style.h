/* style.h - the style sheet of HTML reports: light and dark as the reader's system has it, on paper always light.
 *
 * Besides the greys there are two hues, which most people who do not see all colours tell apart, and nothing is said by
 * colour alone. */
#ifndef QTOP_REPORT_STYLE_H
#define QTOP_REPORT_STYLE_H

extern const char style_page[], style_plots[], style_print[];

#endif
