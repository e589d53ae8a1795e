/* The events that every CPU has under some name, with what libpfm4 calls each. */
#include "events_internal.h"

#include "events.h"

static const char no_pmu[] = "libpfm4 knows no such event for this CPU";
static const char no_fills[] = "libpfm4 knows no event for lines filled from memory on this CPU";

#define FILLS "_DATA_CACHE_FILLS"
#define DRAM  ":LS_MABRESP_LCL_DRAM:LS_MABRESP_RMT_DRAM"

const struct default_event default_events[DEFAULT_EVENTS] = {
    {"task-clock", "CPU time, nanoseconds", no_pmu, {{{"perf::TASK-CLOCK"}}}},
    {"page-faults", "pages that were touched for the first time or read from disk", no_pmu,
     {{{"perf::PAGE-FAULTS"}}}},
    {"context-switches", "context switches", no_pmu,
     {{{"perf::CONTEXT-SWITCHES"}}}},
    {"cpu-migrations", "CPU migrations", no_pmu, {{{"perf::CPU-MIGRATIONS"}}}},
    {"cycles", "clock cycles in which the core was not halted", no_pmu, {{{"perf::CYCLES"}}}},
    {"instructions", "instructions retired", no_pmu, {{{"perf::INSTRUCTIONS"}}}},
    {"branches", "branch instructions retired", no_pmu, {{{"perf::BRANCHES"}}}},
    {"branch-misses", "branches that were predicted wrongly", no_pmu, {{{"perf::BRANCH-MISSES"}}}},
    {"cache-references", "accesses to the cache that the kernel takes as the last level", no_pmu,
     {{{"perf::CACHE-REFERENCES"}}}},
    {"cache-misses", "misses of the last-level cache", no_pmu, {{{"perf::CACHE-MISSES"}}}},
    {"llc-misses", "loads that missed in the last-level cache", no_pmu,
     {{{"perf::LLC-LOAD-MISSES"}}}},
    /* AMD counts what comes into L1: what its L2 prefetcher has fetched before counts as from L2.
     * Zen 2 has no event for any fill, so demand and both kinds of prefetches are added. */
    {EVENT_FILLS, "cache lines that came from memory; lines prefetched into L2 may be left out", no_fills,
     {{{"ANY_DATA_CACHE_FILLS_FROM_SYSTEM:MEM_IO_LCL:MEM_IO_RMT"}},
      {{"ANY_DATA_CACHE_FILLS_FROM_SYSTEM:DRAM_IO_NEAR:DRAM_IO_FAR"}},
      {{"LS_ANY_FILLS_FROM_SYS:MEM_IO_LOCAL:MEM_IO_REMOTE"}},
      {{"DATA_CACHE_REFILLS_FROM_SYSTEM" DRAM, "SOFTWARE_PREFETCH" FILLS DRAM,
        "HARDWARE_PREFETCH" FILLS DRAM}},
      {{"LONGEST_LAT_CACHE:MISS"}},
      {{"OFFCORE_RESPONSE_0:ANY_REQUEST:L3_MISS"}},
      {{"LL_CACHE_MISS_RD"}},
      {{"L3D_CACHE_REFILL"}}}},
};
