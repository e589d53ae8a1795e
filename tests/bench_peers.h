/* bench_peers.h - qtop beside other engines on the same files. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stdbool.h>

/* `bench peers --llama-bench PATH [--ik PATH] [-t N] [-p N] [-n N] [-d N] [-s SCHEME]... [-r ROUNDS] MODEL...`: PATH is a
 * program that takes the options and writes the JSON lines of llama.cpp's llama-bench. They and qtop run in turns; a line
 * a scheme with the ratios of each round, their medians and 95 % intervals. argv begins after "peers". */
bool bench_peers(const char *qtop, int argc, char **argv);

#endif
