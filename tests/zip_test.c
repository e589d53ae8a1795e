/* The archives that PyTorch writes: directories that are wrong, records that are not there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "weightcheck.h"
#include "weightfile.h"

#include "formats/pickle.h"
#include "formats/zip.h"

#include <string.h>

enum { END64_BYTES = 56 };
enum place { LOCAL, CENTRAL, END64, LOCATOR64, END };

static const struct {
    enum place place;
    size_t entry, offset, width;
    uint64_t value;
    const char *says;
} zip_cases[] = {
    {LOCAL, 0, 0, 4, 0, "does not begin with a ZIP entry"},
    {LOCAL, 2, 0, 4, 0, "m/data/0: its header at byte"},
    {LOCAL, 2, 6, 2, 1, "m/data/0: its header at byte"},
    {LOCAL, 2, 8, 2, 8, "m/data/0: its header at byte"},
    {LOCAL, 2, 18, 4, 23, "m/data/0: its header at byte"},
    {LOCAL, 2, 22, 4, 25, "m/data/0: its header at byte"},
    {LOCAL, 2, 22, 4, 0, "m/data/0: its header at byte"},
    {LOCAL, 2, 26, 2, 7, "m/data/0: its header at byte"},
    {LOCAL, 2, 28, 2, 1, "m/data/0 has 24 bytes"},
    {LOCAL, 2, 28, 2, 65535, "m/data/0 has 24 bytes"},
    {LOCAL, 2, 30, 1, 'n', "m/data/0: its header at byte"},
    {CENTRAL, 1, 0, 4, 0, "directory: entry 1 at byte"},
    {CENTRAL, 1, 8, 2, 1, "m/byteorder is encrypted"},
    {CENTRAL, 1, 10, 2, 8, "m/byteorder is compressed (method 8)"},
    {CENTRAL, 1, 20, 4, 5, "m/byteorder has 5 bytes stored of 6"},
    {CENTRAL, 1, 24, 4, 7, "m/byteorder has 6 bytes stored of 7"},
    {CENTRAL, 1, 28, 2, 65535, "directory: entry 1 ends after"},
    {CENTRAL, 1, 30, 2, 65535, "directory: entry 1 ends after"},
    {CENTRAL, 1, 30, 2, 4, "directory: entry"},
    {CENTRAL, 1, 32, 2, 65535, "directory: entry 1 ends after"},
    {CENTRAL, 1, 42, 4, 0, "m/byteorder at byte 0; expected"},
    {CENTRAL, 1, 42, 4, 0xfffffffe, "m/byteorder at byte 4294967294; expected"},
    {CENTRAL, 1, 42, 4, 0xffffffff, "m/byteorder at byte 4294967295; expected"},
    {END, 0, 0, 4, 0, "not an end record"},
    {END, 0, 4, 2, 1, "several disks"},
    {END, 0, 6, 2, 1, "several disks"},
    {END, 0, 8, 2, 2, "several disks"},
    {END, 0, 8, 4, 0x20002, "bytes follow the last entry"},
    {END, 0, 8, 4, 0x40004, "4 entries in a directory"},
    {END, 0, 8, 4, 0xffffffff, "65535 entries in a directory"},
    {END, 0, 12, 4, 0, "a directory of 0 bytes"},
    {END, 0, 12, 4, 0xffffffff, "a directory of 4294967295 bytes"},
    {END, 0, 16, 4, 0, "bytes at 0; expected it to end"},
    {END, 0, 16, 4, 0xffffffff, "bytes at 4294967295; expected"},
    {END, 0, 20, 2, 1, "not an end record"},
};

static const struct {
    enum place place;
    size_t entry, offset, width;
    uint64_t value;
    const char *says;
} wide_cases[] = {
    {CENTRAL, 2, 30, 2, 27, "directory: entry 2 has an extra field that is cut short"},
    {CENTRAL, 2, 46 + 8, 2, 2, "m/data/0"},                      /* no zip64 field */
    {CENTRAL, 2, 46 + 10, 2, 23, "extra field that is cut short"}, /* too short for three numbers */
    {CENTRAL, 2, 46 + 10, 2, 25, "extra field that is cut short"},
    {CENTRAL, 2, 46 + 12, 8, 1ull << 63, "m/data/0 has 24 bytes stored of"},
    {CENTRAL, 2, 46 + 28, 8, 1ull << 63, "m/data/0 at byte 9223372036854775808"},
    {CENTRAL, 2, 46 + 28, 8, UINT64_MAX, "m/data/0 at byte 18446744073709551615"},
    {END64, 0, 0, 4, 0, "zip64 end record"},
    {END64, 0, 16, 4, 1, "several disks"},
    {END64, 0, 20, 4, 1, "several disks"},
    {END64, 0, 24, 8, 2, "several disks"},
    {END64, 0, 40, 8, UINT64_MAX, "a directory of 18446744073709551615 bytes"},
    {END64, 0, 48, 8, UINT64_MAX, "bytes at 18446744073709551615"},
    {LOCATOR64, 0, 4, 4, 1, "several disks"},
    {LOCATOR64, 0, 8, 8, 0, "zip64 end record at 0"},
    {LOCATOR64, 0, 8, 8, UINT64_MAX, "zip64 end record at 18446744073709551615"},
    {LOCATOR64, 0, 0, 4, 0, "bytes at 4294967295"}, /* an archive without zip64 then */
    {END, 0, 8, 4, 0x20002, "contradict each other: 2 and 3"},
    {END, 0, 12, 4, 5, "contradict each other"},
    {END, 0, 16, 4, 5, "contradict each other"},
};

static size_t place_of(const struct archive_bytes *a, enum place place, size_t entry)
{
    const size_t places[] = {a->local[entry], a->central[entry], a->end64, a->locator64, a->end};
    return places[place];
}

static void refuse_patched(bool wide, enum place place, size_t entry, size_t offset, uint64_t value,
                           size_t width, const char *says)
{
    struct archive_bytes a = torch_bytes(pickle_words, 6, wide);
    memcpy(a.file.data + place_of(&a, place, entry) + offset, &value, width);
    refuse_span(pickle_parse, a.file.data, a.file.size, says);
    bytes_free(&a.file);
}

static void test_zip_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof zip_cases / sizeof *zip_cases; i++)
        refuse_patched(false, zip_cases[i].place, zip_cases[i].entry, zip_cases[i].offset,
                       zip_cases[i].value, zip_cases[i].width, zip_cases[i].says);
    for (size_t i = 0; i < sizeof wide_cases / sizeof *wide_cases; i++)
        refuse_patched(true, wide_cases[i].place, wide_cases[i].entry, wide_cases[i].offset,
                       wide_cases[i].value, wide_cases[i].width, wide_cases[i].says);
}

static void patch(struct archive_bytes *a, size_t offset, uint64_t value, size_t width)
{
    memcpy(a->file.data + offset, &value, width);
}

/* Values that depend on where the parts are. */
static void test_edges(void **state)
{
    (void)state;
    struct archive_bytes a = torch_bytes(pickle_words, 6, false);
    patch(&a, a.central[2] + 42, a.central[0] - 8, 4); /* no room for a header */
    refuse_span(pickle_parse, a.file.data, a.file.size, "m/data/0 at byte");
    bytes_free(&a.file);

    a = torch_bytes(pickle_words, 6, true);
    patch(&a, a.end64 + 48, a.end64 + 8, 8); /* begin plus size wraps to the end */
    patch(&a, a.end64 + 40, (uint64_t)-8, 8);
    refuse_span(pickle_parse, a.file.data, a.file.size,
                "a directory of 18446744073709551608 bytes");
    bytes_free(&a.file);

    a = zip_bytes(NULL, 0, true);
    patch(&a, a.locator64 + 8, (uint64_t)-END64_BYTES, 8); /* a locator at the very beginning */
    struct zip zip = {0};
    struct error error = {""};
    assert_false(zip_parse(&zip, a.file.data + a.locator64, a.file.size - a.locator64, &error));
    check_line(&error, "zip64 end record at 18446744073709551560");
    zip_close(&zip);
    bytes_free(&a.file);
}

/* Only what is too large for its own field is in the zip64 field. */
static void test_partly_wide(void **state)
{
    (void)state;
    struct archive_bytes a = torch_bytes(pickle_words, 6, true);
    size_t extra = a.central[2] + 46 + strlen("m/data/0");
    patch(&a, a.central[2] + 42, a.local[2], 4);
    patch(&a, extra + 2, 16, 2);
    struct catalog c = {0};
    struct error error = {""};
    if (!pickle_parse(&c, a.file.data, a.file.size, &error))
        fail_msg("%s", error.text);
    assert_int_equal(c.count, 1);
    assert_ptr_equal(c.entries[0].data, a.file.data + a.local[2] + 30 + strlen("m/data/0"));
    catalog_close(&c);
    bytes_free(&a.file);
}

static void refuse_items(const struct zip_item *items, size_t count, const char *says)
{
    struct archive_bytes a = zip_bytes(items, count, false);
    refuse_span(pickle_parse, a.file.data, a.file.size, says);
    bytes_free(&a.file);
}

static void test_records(void **state)
{
    (void)state;
    struct bytes text = {(uint8_t *)(uintptr_t) "big", 3};
    refuse_items((struct zip_item[]){{"m/other", text}}, 1, "no entry is called data.pkl");
    refuse_items((struct zip_item[]){{"data.pkl", text}}, 1, "no entry is called data.pkl");
    refuse_items((struct zip_item[]){{"m/data.pkl", text}, {"n/data.pkl", text}}, 2,
                 "two entries are called data.pkl");
    refuse_items((struct zip_item[]){{"m/data.pkl", text}, {"m/data.pkl", text}}, 2,
                 "m/data.pkl appears twice");
    refuse_items((struct zip_item[]){{"m/data.pkl", text}, {"m/byteorder", text}}, 2,
                 "byteorder: is 'big'; expected 'little'");
    refuse_items((struct zip_item[]){{"m/data.pkl", text}}, 1, "begins without PROTO");
    refuse_items((struct zip_item[]){{"m/data.pkl", {text.data, 0}}}, 1, "begins without PROTO");
}

static void test_zip_find(void **state)
{
    (void)state;
    struct bytes x = {(uint8_t *)(uintptr_t) "xyz", 3};
    const struct zip_item items[] = {
        {"b", x}, {"", {x.data, 0}}, {"ab", {x.data, 2}}, {"a", {x.data, 1}}};
    struct archive_bytes a = zip_bytes(items, 4, false);
    struct zip zip = {0};
    struct error error = {""};
    assert_true(zip_parse(&zip, a.file.data, a.file.size, &error));
    assert_int_equal(zip.count, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct zip_entry *entry = zip_find(&zip, items[i].name, strlen(items[i].name));
        assert_non_null(entry);
        assert_int_equal(entry->size, items[i].data.size);
        assert_memory_equal(entry->data, items[i].data.data, entry->size);
    }
    assert_null(zip_find(&zip, "abc", 3));
    zip_close(&zip);
    bytes_free(&a.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zip_cases),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_partly_wide),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_zip_find),
    };
    return cmocka_run_group_tests_name("zip", tests, NULL, NULL);
}
