#!/usr/bin/python3
"""Includes point one way: checks who may include (and call) whom.

The rules are the tables below; each row says why. `--self-test` proves that the checker still finds violations.

    tools/check_layers.py                  includes of src/
    tools/check_layers.py --objects BUILD  the same rules on the symbols of compiled objects, where an `extern`
                                           declaration cannot hide a call
"""
import fnmatch
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# directory: (what it may include besides itself and libc, why). A name with a slash is one header.
LAYERS = {
    "base": ([], "the ground everything stands on"),
    "data": (["base"], "values know nothing of what they are used for"),
    "ipc": (["base"], "the supervisor links it, so it must stay as small as the supervisor"),
    "supervisor": (["base", "ipc"], "must survive everybody's bugs: parses nothing, opens no database"),
    "flow": (["base", "data"], "pure: sees the world only through flow/io.h, so that it can be simulated"),
    "agent": (["base", "data", "flow", "step"], "pure, as flow"),
    "dspy": (["base", "data", "flow"], "pure, as flow"),
    "step": (["base", "data", "flow", "agent", "dspy"], "pure, as flow"),
    "ev": (["base", "data"], "an adapter: the event loop, the only door to libuv but for http"),
    "llm": (["base", "data", "ev"], "an adapter: wire formats and stand-ins for the network"),
    "http": (["base", "data", "ev", "llm/transport.h"], "an adapter: implements a transport, knows no provider"),
    "store": (["base", "data", "ev"], "an adapter: stores records without understanding them"),
    "executor": (["base", "data", "ev"], "an adapter: runs commands and file tools for whoever asks"),
    "code": (["base", "data", "executor"], "a program of its own behind `treadle __code`: parses, knows no run"),
    "mcp": (["base", "data", "ev", "llm/transport.h"], "an adapter: speaks MCP over a transport or a pipe"),
    "api": (["base", "data", "ipc", "ev", "flow", "store", "http"], "reads the journal, asks the engine for changes"),
    "role": (["base", "data", "ipc", "flow", "step", "agent", "dspy", "ev", "llm", "http", "store", "executor", "mcp",
              "api", "supervisor"], "wires all the others; only the command line stands above it"),
    "cli": (["*"], "the top: may use everything of ours, but no library directly"),
}

# Layers whose whole effect must come from flow/io.h: what they may not include, and why.
PURE = {"flow", "step", "agent", "dspy"}
PURE_SYSTEM = set("""ctype.h errno.h float.h inttypes.h limits.h math.h stdalign.h stdarg.h stdbool.h stddef.h stdint.h
    stdio.h stdlib.h string.h strings.h time.h""".split())
PURE_BANNED = {"base/clock.h": "time comes from flow/io.h"}
PURE_SYMBOLS = {  # what the headers above declare all the same; seen by --objects
    **dict.fromkeys("rng_entropy getrandom".split(), "randomness comes from flow/io.h"),
    **dict.fromkeys("time clock_gettime gettimeofday localtime_r mktime strptime nanosleep".split(),
                    "time comes from flow/io.h, and is UTC"),
    **dict.fromkeys("getenv secure_getenv".split(), "the environment is not an input of a run"),
    **dict.fromkeys("fopen freopen fdopen fread fwrite printf fprintf puts putchar fputs fputc perror remove".split(),
                    "files and streams are effects of flow/io.h"),
    **dict.fromkeys("exit _exit atexit".split(), "a run cannot end the process"),
}

# header pattern: (files that may include it, why)
THIRD_PARTY = {
    "uv.h": (["src/ev/*", "src/http/*"], "libuv stays behind ev/loop.h and the HTTP adapter"),
    "uv/*": (["src/ev/*", "src/http/*"], "libuv stays behind ev/loop.h and the HTTP adapter"),
    "llhttp/*": (["src/http/server.c"], "requests are parsed in one place"),
    "curl/*": (["src/http/fetch*"], "libcurl is loaded only when a call needs it"),
    "sqlite3.h": (["src/store/*"], "one module knows SQL, so that another database can take its place"),
    "yaml.h": (["src/data/yaml.c", "src/data/yaml_write.c"], "YAML becomes values, and values YAML, in one place each"),
    "expat.h": (["src/data/convert_xml.c"], "XML becomes values in one place"),
    "pcre2.h": (["src/data/regex.c"], "patterns run under one set of limits"),
    "tree_sitter/*": (["src/code/*"], "parsers of hostile files run in a process of their own"),
    "sha2.h": (["src/base/sha256.c"], "one wrapper for the hash"),
}
# symbol prefix: objects that may have it undefined, that is, call it
SYMBOLS = {
    "uv_": ["src/ev/*", "src/http/*"],
    "curl_": [],  # reached through dlopen only
    "sqlite3_": ["src/store/*"],
    "yaml_": ["src/data/yaml.c", "src/data/yaml_write.c"],
    "XML_": ["src/data/convert_xml.c"],
    "pcre2_": ["src/data/regex.c"],
    "ts_": ["src/code/*"],
}

# Headers of libc and the kernel; anything else in angle brackets is a library that needs a row above.
SYSTEM = PURE_SYSTEM | set("""assert.h complex.h dirent.h dlfcn.h endian.h err.h execinfo.h fcntl.h fnmatch.h ftw.h
    getopt.h glob.h grp.h ifaddrs.h langinfo.h libgen.h link.h locale.h malloc.h netdb.h poll.h pthread.h pty.h pwd.h
    sched.h semaphore.h setjmp.h signal.h spawn.h stdatomic.h stdnoreturn.h syslog.h termios.h threads.h time.h uchar.h
    ucontext.h unistd.h utime.h wchar.h wctype.h""".split())
SYSTEM_DIRS = ("sys/", "linux/", "netinet/", "arpa/", "net/", "asm/")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def allowed(own, header):
    rights = LAYERS[own][0]
    return header.split("/")[0] == own or "*" in rights or header in rights or header.split("/")[0] in rights


def check_include(path, kind, header, exists):
    """One include of src/… `path`: yields what is wrong with it."""
    own = path.split("/")[1]
    if kind == '"':
        if "/" not in header:
            yield f'"{header}": write the path from src, such as "{own}/{header}"'
            return
        if not exists(header):
            yield f'"{header}": no such file under src'
            return
        if own not in LAYERS:
            yield f"no rule for src/{own}: add a row to LAYERS in tools/check_layers.py"
            return
        if not allowed(own, header):
            yield f'{own} may not include "{header}": {LAYERS[own][1]}'
        if own in PURE and header in PURE_BANNED:
            yield f'{own} may not include "{header}": {PURE_BANNED[header]}'
        return
    for pattern, (places, why) in THIRD_PARTY.items():
        if fnmatch.fnmatch(header, pattern):
            if not any(fnmatch.fnmatch(path, place) for place in places):
                yield f"<{header}> belongs in {', '.join(places)}: {why}"
            return
    if own in PURE and header not in PURE_SYSTEM:
        yield f"<{header}> in a pure layer: {LAYERS[own][1]}"
    elif header not in SYSTEM and not header.startswith(SYSTEM_DIRS):
        yield f"<{header}> is neither libc nor a known library: add a row to THIRD_PARTY"


def check_text(path, text, exists):
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            for problem in check_include(path, match.group(1), match.group(2), exists):
                yield f"{path}:{number}: {problem}"


def check_sources():
    src = ROOT / "src"
    count = 0
    for path in sorted(src.rglob("*")):
        if path.suffix in (".c", ".h", ".def"):
            count += 1
            text = path.read_text(errors="replace")
            yield from check_text(str(path.relative_to(ROOT)), text, lambda header: (src / header).is_file())
    if not count:
        yield "src: nothing to check"


def symbols(objects):
    """{object: (defined, undefined)} of global symbols."""
    out = subprocess.run(["nm", "-A", "-g", *map(str, objects)], capture_output=True, text=True, check=True).stdout
    table = {str(path): (set(), set()) for path in objects}
    for line in out.splitlines():
        where, _, rest = line.rpartition(":")
        fields = rest.split()
        kind, name = fields[-2], fields[-1]
        table[where][kind in "Uw"].add(name)
    return table


def check_symbols(table, headers):
    """`table`: {src path of the object: (defined, undefined)}; `headers`: {"dir/name.h": set of its words}.

    A layer may call what a header within its rights declares, wherever that is defined: flow/step.h is a seam that
    step/ fills in.
    """
    home = {}
    for path, (defined, _) in sorted(table.items()):
        for name in sorted(defined):
            if name in home:
                yield f"{path}: defines {name}, and so does {home[name]}: use the file's own prefix, or static"
            home.setdefault(name, path)
    for path, (_, undefined) in sorted(table.items()):
        own = path.split("/")[1]
        if own not in LAYERS:
            continue  # its includes have said so already
        for name in sorted(undefined):
            # "src/llm/mock.c" stands for "llm/mock.h": a right to one header is a right to that file's functions.
            if name in home and not allowed(own, home[name][len("src/"):-1] + "h") and not any(
                    name in words for header, words in headers.items() if allowed(own, header)):
                yield f"{path}: uses {name} of {home[name]}: {own} may not ({LAYERS[own][1]})"
            if own in PURE and name in PURE_SYMBOLS:
                yield f"{path}: uses {name}: {PURE_SYMBOLS[name]}"
            for prefix, places in SYMBOLS.items():
                if name.startswith(prefix) and name not in home:
                    if not any(fnmatch.fnmatch(path, place) for place in places):
                        yield f"{path}: calls {name}: only {', '.join(places) or 'dlopen'} may"


def check_objects(build):
    base = pathlib.Path(build) / "CMakeFiles" / "core.dir"
    objects = sorted(base.rglob("*.o"))
    # An object whose source is gone or renamed is left over from an older build.
    objects = [path for path in objects if (ROOT / path.relative_to(base)).with_suffix("").is_file()]
    if not objects:
        yield f"{build}: no objects; build first"
        return
    table = symbols(objects)
    src = ROOT / "src"
    headers = {str(path.relative_to(src)): set(re.findall(r"\w+", path.read_text(errors="replace")))
               for path in src.rglob("*.h")}
    by_source = {str(pathlib.Path(path).relative_to(base))[:-2]: value for path, value in table.items()}
    yield from check_symbols(by_source, headers)


def self_test():
    samples = [  # path, line, what the complaint must contain (None: must be accepted)
        ("src/data/val.c", '#include "base/arena.h"', None),
        ("src/base/str.c", '#include "data/val.h"', "base may not include"),
        ("src/data/val.c", '#include "flow/io.h"', "data may not include"),
        ("src/flow/run.c", '#include "data/val.h"', None),
        ("src/flow/run.c", '#include "step/step.h"', "flow may not include"),
        ("src/flow/run.c", '#include "store/store.h"', "flow may not include"),
        ("src/flow/run.c", "#include <time.h>", None),
        ("src/flow/run.c", "#include <sys/random.h>", "pure layer"),
        ("src/flow/run.c", "#include <unistd.h>", "pure layer"),
        ("src/flow/run.c", '#include "base/clock.h"', "time comes from"),
        ("src/step/step_llm.c", '#include "agent/turn.h"', None),
        ("src/agent/turn.c", '#include "step/step.h"', None),
        ("src/agent/turn.c", '#include "llm/provider.h"', "agent may not include"),
        ("src/dspy/chat.c", "#include <uv.h>", "libuv stays"),
        ("src/supervisor/tree.c", '#include "ipc/frame.h"', None),
        ("src/supervisor/tree.c", '#include "data/json.h"', "supervisor may not include"),
        ("src/ipc/frame.c", '#include "data/val.h"', "ipc may not include"),
        ("src/http/fetch.c", '#include "llm/transport.h"', None),
        ("src/http/fetch.c", '#include "llm/provider.h"', "http may not include"),
        ("src/http/fetch_pool.c", "#include <curl/curl.h>", None),
        ("src/http/server.c", "#include <curl/curl.h>", "only when a call needs it"),
        ("src/cli/run.c", "#include <sqlite3.h>", "one module knows SQL"),
        ("src/cli/run.c", '#include "store/store.h"', None),
        ("src/role/engine.c", '#include "cli/cli.h"', "role may not include"),
        ("src/store/sqlite.c", "#  include <sqlite3.h>", None),
        ("src/data/json.c", "#include <yaml.h>", "YAML becomes values"),
        ("src/data/expr.c", "#include <pcre2.h>", "one set of limits"),
        ("src/data/val.c", "#include <openssl/sha.h>", "neither libc nor"),
        ("src/data/val.c", '#include "json.h"', "path from src"),
        ("src/data/val.c", '#include "data/missing.h"', "no such file"),
        ("src/novel/x.c", '#include "base/str.h"', "no rule for src/novel"),
    ]
    failed = 0
    for path, line, wanted in samples:
        found = list(check_text(path, line, lambda header: "missing" not in header))
        good = not found if wanted is None else len(found) == 1 and wanted in found[0]
        if not good:
            failed += 1
            print(f"self-test: {path}: {line}: wanted {wanted!r}, got {found}", file=sys.stderr)
    table = {
        "src/base/rng.c": ({"rng_next", "rng_entropy"}, {"getrandom"}),
        "src/store/db.c": ({"store_open"}, {"sqlite3_open", "rng_entropy"}),
        "src/data/clash.c": ({"store_open"}, set()),
        "src/flow/run.c": ({"run_step"}, {"rng_next", "rng_entropy", "store_open", "uv_run", "time", "gmtime_r",
                                          "step_find", "step_hidden"}),
        "src/step/steps.c": ({"step_find", "step_hidden"}, set()),
    }
    headers = {"flow/step.h": {"step_find"}, "step/hidden.h": {"step_hidden"}}
    found = sorted(check_symbols(table, headers))
    wanted = ["rng_entropy", "uv_run", "uses time", "defines store_open", "step_hidden"]
    if len(found) != len(wanted) or not all(any(name in line for line in found) for name in wanted):
        failed += 1
        print(f"self-test: symbols: wanted {wanted}, got {found}", file=sys.stderr)
    print(f"check_layers: self-test: {len(samples) + 1 - failed} passed, {failed} failed")
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    if len(sys.argv) == 3 and sys.argv[1] == "--objects":
        problems = list(check_objects(sys.argv[2]))
    elif len(sys.argv) == 1:
        problems = list(check_sources())
    else:
        print(__doc__, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
