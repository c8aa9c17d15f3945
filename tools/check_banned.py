#!/usr/bin/python3
"""Functions that must not be called, and what to use instead.

    tools/check_banned.py              src/, tools/, bench/ and tests/
    tools/check_banned.py --self-test  proves that the checker still finds them
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# names | where ("all": everywhere; "src": only in src/, tests and tools may) | what to use instead
BANNED = """
strcpy strcat stpcpy strncpy strncat | all | struct buf (base/buf.h) or memcpy with a checked length
sprintf vsprintf                     | all | snprintf with its result checked, or buf_add*
gets                                 | all | fgets or read(2): gets has no limit
scanf fscanf                         | src | read(2) into a struct buf with a limit
atoi atol atoll atof                 | all | str_to_i64 (base/str.h): atoi cannot say "not a number"
strtok strtok_r                      | all | str_find and str_from (base/str.h)
system popen                         | src | the executor's launcher: no shell on outside text
alloca strdupa                       | all | an arena (base/arena.h): the stack has no limit check
rand srand rand_r random srandom     | all | base/rng.h: seeded, reproducible, one state per user
drand48 lrand48 mrand48              | all | base/rng.h: seeded, reproducible, one state per user
tmpnam tempnam mktemp                | all | mkostemp or memfd_create: no race between name and file
setjmp longjmp sigsetjmp siglongjmp  | all | struct err (base/err.h): jumps skip clean-up
signal sigset bsd_signal             | src | ev_signal (ev/loop.h), or sigaction in the supervisor
assert                               | src | CHECK (base/panic.h): assert vanishes with NDEBUG
localtime gmtime ctime asctime       | all | gmtime_r: the result is shared between threads
gethostbyname inet_ntoa inet_aton    | all | getaddrinfo, inet_ntop, inet_pton
readdir_r bcopy bzero index rindex   | all | their standard successors
vfork                                | all | posix_spawn or fork and exec
usleep                               | src | a timer (ev/loop.h): roles never block
pthread_cancel pthread_kill          | all | a flag and a waker: cancellation leaks locks
"""

COMMENT_OR_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def table():
    rules = {}
    for line in BANNED.strip().splitlines():
        names, where, instead = (part.strip() for part in line.split("|"))
        for name in names.split():
            rules[name] = (where, instead)
    return rules


RULES = table()
# A call or a function taken by name; not a field (.signal, ->signal), not a part of a longer name.
CALL = re.compile(r"(?<![\w.>])(" + "|".join(sorted(RULES)) + r")\s*\(")


def blank(match):
    """Comments and literals go, line numbers stay."""
    return "".join("\n" if c == "\n" else " " for c in match.group())


def check_text(path, text):
    code = COMMENT_OR_TEXT.sub(blank, text)
    for match in CALL.finditer(code):
        where, instead = RULES[match.group(1)]
        if where == "src" and not path.startswith("src/"):
            continue
        line = code.count("\n", 0, match.start()) + 1
        yield f"{path}:{line}: {match.group(1)}() is banned; use {instead}"


def self_test():
    samples = [  # path, text, number of complaints
        ("src/a.c", "strcpy(a, b);", 1),
        ("src/a.c", "x = atoi (s) + atoi(t);", 2),
        ("src/a.c", "/* strcpy(a, b) */ // gets(x)\n", 0),
        ("src/a.c", 's = "system(\\"ls\\") "; c = \'"\'; sprintf(s, "x");', 1),
        ("src/a.c", "op.signal(3); op->signal(4); my_signal(5); ev_signal(6);", 0),
        ("src/a.c", "signal(SIGPIPE, SIG_IGN);", 1),
        ("src/a.c", "longjmp(env, 1);", 1),
        ("src/a.c", "mkostemp(p, O_CLOEXEC); snprintf(p, 1, x); grand(1);", 0),
        ("tests/unit/a.c", "system(x);", 0),
        ("tests/unit/a.c", "strcat(x, y);", 1),
    ]
    failed = 0
    for path, text, wanted in samples:
        found = list(check_text(path, text))
        if len(found) != wanted:
            failed += 1
            print(f"self-test: {text!r}: wanted {wanted}, got {found}", file=sys.stderr)
    print(f"check_banned: self-test: {len(samples) - failed} passed, {failed} failed")
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    problems = []
    for top in ("src", "tools", "bench", "tests"):
        for path in sorted((ROOT / top).rglob("*.[ch]")):
            problems += check_text(str(path.relative_to(ROOT)), path.read_text(errors="replace"))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
