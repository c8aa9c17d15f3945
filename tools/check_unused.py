#!/usr/bin/python3
"""Functions that are not static and that no other object takes: static, or dead.

    tools/check_unused.py BUILD        the objects in BUILD/CMakeFiles (build/release), tests and tools included

The compiler finds unused static functions, so together nothing stays that nobody calls.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FAMILIES = re.compile(r"fn_\w+")  # made by the rows of expr_functions.def, whichever file they are in


def symbols(build):
    """({function of src: its file}, {name that some object takes})"""
    def source(path):  # may be gone since
        return ROOT / re.sub(r".*?\.dir/", "", str(path)).removesuffix(".o")

    objects = [str(path) for path in (build / "CMakeFiles").rglob("*.c.o") if source(path).exists()]
    listing = subprocess.run(["nm", "-A", *objects], capture_output=True, text=True, check=True).stdout
    defined, taken = {}, set()
    for line in listing.splitlines():
        found = re.match(r"(.*\.o):.* ([TU]) (\w+)$", line)
        if found and found[2] == "U":
            taken.add(found[3])
        elif found and "core.dir/src/" in found[1]:
            defined[found[3]] = found[1].rpartition("core.dir/")[2].removesuffix(".o")
    return defined, taken


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check_unused.py BUILD")
    defined, taken = symbols(pathlib.Path(sys.argv[1]).resolve())
    if len(defined) < 100:
        sys.exit("check_unused: hardly any object found; build first")
    found = {name: path for name, path in defined.items() if name not in taken and not FAMILIES.fullmatch(name)}
    for name, path in sorted(found.items(), key=lambda item: item[::-1]):
        print(f"{path}: {name}() is used by no other file; make it static, or remove it", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
