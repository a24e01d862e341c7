#include "daemon/sheet.h"

#include <stdlib.h>

#include "../unit.h"

/* What two rows of everything look like. */
static void check(bool json, bool tall, const char *expected)
{
    char *text = NULL;
    size_t size;
    struct sheet sheet = {.out = open_memstream(&text, &size), .json = json, .tall = tall};

    sheet_text(&sheet, "plain", "word");
    sheet_text(&sheet, "hard", "a \"b\\c\n\x01\xff");
    sheet_number(&sheet, "n", UINT64_MAX);
    sheet_real(&sheet, "r", 1.25, 3);
    sheet_end_row(&sheet);
    sheet_text(&sheet, "empty", "");
    sheet_end_row(&sheet);
    fclose(sheet.out);
    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(rows_of_text)
{
    check(false, false,
          "plain=word hard=\"a \\\"b\\\\c | \\\\x01\\\\xff\" n=18446744073709551615 "
          "r=1.250\nempty=\"\"\n");
}
END_TEST

START_TEST(tall_text)
{
    check(false, true,
          "plain: word\nhard: a \"b\\c | \\x01\\xff\nn: 18446744073709551615\nr: 1.250\nempty: \n");
}
END_TEST

START_TEST(objects)
{
    check(
        true, false,
        "{\"plain\":\"word\",\"hard\":\"a \\\"b\\\\c | \\\\x01\\\\xff\",\"n\":18446744073709551615,"
        "\"r\":1.250}{\"empty\":\"\"}");
}
END_TEST

UNIT_MAIN("sheet", rows_of_text, tall_text, objects)
