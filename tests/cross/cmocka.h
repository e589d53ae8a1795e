/* cmocka.h - as much of cmocka's interface as the tests of kernels/ use, for processors whose
 * cmocka is not installed: results in TAP, the first failure ends a case. */
#ifndef QTOP_TESTS_CROSS_CMOCKA_H
#define QTOP_TESTS_CROSS_CMOCKA_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

static jmp_buf case_failed;

#define cmocka_unit_test(F) {#F, F}
#define fail_msg(...)                                                                              \
    do {                                                                                           \
        printf("# %s:%d: ", __FILE__, __LINE__);                                                   \
        printf(__VA_ARGS__);                                                                       \
        putchar('\n');                                                                             \
        longjmp(case_failed, 1);                                                                   \
    } while (0)

#define skip() longjmp(case_failed, 2)

#define assert_true(C)                                                                             \
    do {                                                                                           \
        if (!(C))                                                                                  \
            fail_msg("%s", #C);                                                                    \
    } while (0)
#define assert_false(C) assert_true(!(C))
#define assert_null(P) assert_true((P) == NULL)
#define assert_non_null(P) assert_true((P) != NULL)
#define assert_ptr_equal(A, B) assert_true((const void *)(A) == (const void *)(B))
#define assert_string_equal(A, B) assert_true(strcmp(A, B) == 0)
#define assert_memory_equal(A, B, N) assert_true(memcmp(A, B, N) == 0)
#define assert_int_equal(A, B)                                                                     \
    do {                                                                                           \
        intmax_t left = (intmax_t)(A), right = (intmax_t)(B);                                      \
        if (left != right)                                                                         \
            fail_msg("%s is %jd; expected %jd (%s)", #A, left, right, #B);                         \
    } while (0)
#define assert_int_not_equal(A, B) assert_true((intmax_t)(A) != (intmax_t)(B))

static inline int cmocka_run_cases(const struct CMUnitTest *cases, size_t n)
{
    volatile int failed = 0;
    printf("1..%zu\n", n);
    for (volatile size_t i = 0; i < n; i++) {
        int end = setjmp(case_failed); /* 0: not ended yet, or well; 1: failed; 2: skipped */
        if (end == 0)
            cases[i].run(&(void *){NULL});
        failed += end == 1;
        printf("%s %zu - %s%s\n", end == 1 ? "not ok" : "ok", i + 1, cases[i].name,
               end == 2 ? " # SKIP" : "");
        fflush(stdout);
    }
    return failed;
}

#define cmocka_run_group_tests(CASES, SETUP, TEARDOWN)                                             \
    cmocka_run_cases(CASES, sizeof(CASES) / sizeof *(CASES))

#endif
