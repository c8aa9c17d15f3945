/* CSV, read, written and read again. */
#include "convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    round_trip(CONVERT_CSV, data, size);
    return 0;
}
