#include "options.h"
int run_tui(const struct options *o){(void)o;return 1;}
