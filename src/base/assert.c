/* The end of the road for a broken invariant of our own. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void hk_assert_failed(const char *text, const char *file, int line)
{
    fprintf(stderr, "husk: broken invariant: %s (%s:%d)\n", text, file, line);
    abort();
}
