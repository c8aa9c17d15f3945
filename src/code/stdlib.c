/* What comes with each language, by the first part of a module's name. */
#include "code/graph.h"

static const char python[] =
    " __future__ _thread abc aifc argparse array ast asyncio atexit base64 bdb binascii bisect builtins bz2 calendar "
    "cgi "
    "cgitb chunk cmath cmd code codecs codeop collections colorsys compileall concurrent configparser contextlib "
    "contextvars copy copyreg cProfile crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils "
    "doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib "
    "functools "
    "gc getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http imaplib imp importlib inspect io "
    "ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal math mimetypes "
    "mmap "
    "modulefinder multiprocessing netrc nntplib numbers opcode operator optparse os ossaudiodev pathlib pdb pickle "
    "pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile "
    "pyclbr "
    "pydoc queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors shelve "
    "shlex "
    "shutil signal site smtplib sndhdr socket socketserver spwd sqlite3 ssl stat statistics string stringprep struct "
    "subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios test textwrap "
    "threading "
    "time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle types typing unicodedata "
    "unittest "
    "urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile "
    "zipimport zlib zoneinfo ";
static const char node[] =
    " assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain "
    "events "
    "fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl stream "
    "string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib ";
static const char ruby[] =
    " abbrev base64 benchmark bigdecimal bundler cgi coverage csv date dbm delegate digest drb English erb etc expect "
    "fcntl fiddle fileutils find forwardable getoptlong io ipaddr irb json logger matrix minitest monitor mutex_m net "
    "nkf objspace observer open-uri open3 openssl optparse ostruct pathname pp prettyprint prime pstore psych pty racc "
    "rbconfig readline resolv rinda ripper rubygems securerandom set shellwords singleton socket stringio strscan "
    "syslog "
    "tempfile test thread time timeout tmpdir tsort un uri weakref yaml zlib ";
static const char c_headers[] =
    " assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h setjmp.h signal.h "
    "stdalign.h stdarg.h stdatomic.h stdbit.h stdbool.h stdckdint.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h "
    "string.h tgmath.h threads.h time.h uchar.h wchar.h wctype.h alloca.h byteswap.h dirent.h dlfcn.h elf.h endian.h "
    "err.h "
    "execinfo.h fcntl.h fnmatch.h ftw.h getopt.h glob.h grp.h ifaddrs.h langinfo.h libgen.h link.h malloc.h memory.h "
    "netdb.h "
    "nl_types.h poll.h pthread.h pty.h pwd.h regex.h sched.h search.h semaphore.h shadow.h spawn.h strings.h syslog.h "
    "termios.h ucontext.h ulimit.h unistd.h utime.h utmp.h utmpx.h wordexp.h ";
static const char elixir[] =
    " Access Agent Application Atom Base Behaviour Bitwise Calendar Code Collectable Config Date DateTime Dict "
    "Duration "
    "DynamicSupervisor EEx Enum Enumerable Exception ExUnit File Float Function GenEvent GenServer HashDict HashSet "
    "IEx IO "
    "Inspect Integer JSON Kernel Keyword List Logger Macro Map MapSet Mix Module NaiveDateTime Node OptionParser "
    "PartitionSupervisor Path Port Process Protocol Range Record Regex Registry Set Stream String StringIO Supervisor "
    "System Task Time Tuple URI Version ArgumentError RuntimeError KeyError MatchError FunctionClauseError ";

static bool in_words(const char *words, struct str w)
{
    size_t n = strlen(words);
    for (size_t from = 0, at; w.n && (at = str_find(str_n(words + from, n - from), w)) != SIZE_MAX; from += at + 1)
        if (words[from + at - (from + at > 0)] == ' ' && words[from + at + w.n] == ' ')
            return true;
    return false;
}

static struct str head(struct str s, char stop)
{
    const char *p = s.n ? memchr(s.p, stop, s.n) : NULL;
    return p ? str_n(s.p, (size_t)(p - s.p)) : s;
}

bool is_stdlib(enum lang l, struct str t)
{
    switch (l) {
    case LANG_PYTHON:
        return in_words(python, head(t, '.'));
    case LANG_JAVASCRIPT:
    case LANG_TYPESCRIPT:
    case LANG_TSX:
        return str_starts(t, STR("node:")) || in_words(node, head(t, '/'));
    case LANG_GO:
        return t.n && !memchr(head(t, '/').p, '.', head(t, '/').n);
    case LANG_RUST:
        return in_words(" std core alloc proc_macro test ", head(t, ':'));
    case LANG_C:
        return in_words(c_headers, t) || str_starts(t, STR("sys/")) || str_starts(t, STR("linux/")) ||
               str_starts(t, STR("arpa/")) || str_starts(t, STR("net/")) || str_starts(t, STR("netinet/"));
    case LANG_JAVA:
        return str_starts(t, STR("java.")) || str_starts(t, STR("javax.")) || str_starts(t, STR("jdk."));
    case LANG_RUBY:
        return in_words(ruby, head(t, '/'));
    case LANG_ELIXIR:
        return str_starts(t, STR(":")) || in_words(elixir, head(t, '.'));
    case LANG_NONE:
    case LANG_COUNT:
        break;
    }
    return false;
}
