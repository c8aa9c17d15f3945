/* A table of runs instead of the Unicode database: the scripts that have capitals and whose pairs take the same number
 * of bytes, so that a text can be changed in place. The same everywhere, whatever the locale. */
#include "data/letters.h"

/* Runs of capitals and where their small letters are; `step` 2 means that they alternate. All pairs keep their length
 * in UTF-8. */
static const struct {
    unsigned from, to, plus, step;
} capitals[] = {
    {0x41, 0x5A, 32, 1},   {0xC0, 0xD6, 32, 1},   {0xD8, 0xDE, 32, 1},   {0x100, 0x12E, 1, 2},  {0x132, 0x136, 1, 2},
    {0x139, 0x147, 1, 2},  {0x14A, 0x176, 1, 2},  {0x179, 0x17D, 1, 2},  {0x388, 0x38A, 37, 1}, {0x391, 0x3A1, 32, 1},
    {0x3A3, 0x3AB, 32, 1}, {0x400, 0x40F, 80, 1}, {0x410, 0x42F, 32, 1},
};

static unsigned change_case(unsigned cp, bool up)
{
    for (size_t i = 0; i < sizeof capitals / sizeof *capitals; i++) {
        unsigned from = capitals[i].from + (up ? capitals[i].plus : 0),
                 to = capitals[i].to + (up ? capitals[i].plus : 0);
        if (cp >= from && cp <= to && (cp - from) % capitals[i].step == 0)
            return up ? cp - capitals[i].plus : cp + capitals[i].plus;
    }
    return cp;
}

void letters_change(struct str s, bool up, char *out)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char b = (unsigned char)s.p[i];
        bool two = b >= 0xC3 && b <= 0xDF && i + 1 < s.n && ((unsigned char)s.p[i + 1] & 0xC0) == 0x80;
        if (!two) {
            out[i] = b < 0x80 ? (char)change_case(b, up) : s.p[i];
            continue;
        }
        unsigned cp = change_case((b & 31u) << 6 | ((unsigned char)s.p[i + 1] & 63u), up);
        out[i] = (char)(0xC0 | cp >> 6);
        out[++i] = (char)(0x80 | (cp & 63));
    }
}
