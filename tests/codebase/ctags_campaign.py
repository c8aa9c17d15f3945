#!/usr/bin/python3
"""Functions found by codebase_query, beside those found by Universal Ctags, in real code bases.

    tests/codebase/ctags_campaign.py [NAME...] [--directory DIR] [--show N]

Each code base is a Debian package, fetched into DIR (default build/codebases); the release pins its version. Every file
of its language is looked at by both. A function counts as agreed on when both have it with the same name on the same
line of the same file. Two shares are counted: of what ctags found, how much Treadle has too; of what Treadle found, how
much ctags has too. Both must be 98 % at least.

Where ctags is known to be wrong, the table KNOWN says how that is recognised in the source, and why; such functions
are counted beside, for everybody to see, and left out of the shares. There is no other exception. JavaScript and
TypeScript are not compared: this ctags misses half of their functions.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHARE = 98.0

# name: (package, language, kinds of ctags that are functions)
CODE_BASES = {
    "python": ("deb:python3-django", "python", "Python:fm"),
    "go": ("deb:golang-golang-x-net-dev", "go", "Go:f"),
    "c": ("src:libuv1", "c", "C:f"),
    "java": ("src:libcommons-lang3-java", "java", "Java:m"),
    "ruby": ("deb:ruby-activesupport", "ruby", "Ruby:fS"),
    "rust": ("deb:librust-regex-dev", "rust", "Rust:fP"),
    "elixir": ("src:elixir-lang", "elixir", "Elixir:adfgo"),
}



class Context:
    """What the exceptions look at: the sources as text, and where Treadle says that a function stands."""

    def __init__(self, source, owners):
        self.source, self.owners, self.texts, self.macros = source, owners, {}, None

    def lines(self, file):
        if file not in self.texts:
            self.texts[file] = (self.source / file).read_text(errors="replace").split("\n")
        return self.texts[file]

    def line(self, entry):
        lines = self.lines(entry[0])
        return lines[entry[1] - 1] if entry[1] <= len(lines) else ""

    def is_macro(self, entry):
        """The name is that of a macro with arguments, somewhere in the code base."""
        if self.macros is None:
            text = "\n".join(f.read_text(errors="replace") for f in self.source.rglob("*.[ch]"))
            self.macros = set(re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\(", text, re.M))
        return entry[2] in self.macros

    def in_heredoc(self, entry):
        """The line lies between three quotes that open and three that close."""
        open_with = None
        for line in self.lines(entry[0])[:entry[1] - 1]:
            for quotes in re.findall(r'"""|\'\'\'', re.sub(r"#.*", "", line) if not open_with else line):
                if open_with is None:
                    open_with = quotes
                elif quotes == open_with and line.strip().startswith(quotes):
                    open_with = None
        return open_with is not None


# language: [(who alone has it, whether this is such a one, why ctags is wrong)]
KNOWN = {
    "c": [("ctags", Context.is_macro,
           "a macro that is called before a body, as TEST_IMPL(x) {, is taken for a function of the macro's name")],
    "java": [("treadle", lambda c, e: "<anonymous>" in c.owners[e], "methods of anonymous classes are not looked for")],
    "elixir": [
        ("ctags", Context.in_heredoc, "examples in documentation (between three quotes) are taken for code"),
        ("ctags", lambda c, e: e[2] == "unquote", "def unquote(name)(): the name is not known, and is not `unquote`"),
        ("treadle", lambda c, e: not re.match(r"[\w]", e[2]), "most operators are not known as functions"),
    ],
}


def apt(directory):
    """apt-get with lists of its own, in which the release's source packages are known too."""
    parts, lists = directory / "apt/parts", directory / "apt/lists"
    options = ["apt-get", "-qq", "-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={parts}",
               "-o", f"Dir::State::Lists={lists}", "-o", "APT::Sandbox::User=root"]
    if not (directory / "apt/.complete").exists():
        lists.mkdir(parents=True, exist_ok=True)
        parts.mkdir(parents=True, exist_ok=True)
        etc = pathlib.Path("/etc/apt")
        for file in [etc / "sources.list", *(etc / "sources.list.d").glob("*")]:
            if file.suffix == ".sources":
                text = re.sub(r"^Types:.*$", "Types: deb deb-src", file.read_text(), flags=re.M)
            elif file.suffix == ".list" and file.exists():
                text = file.read_text()
                text += re.sub(r"^deb ", "deb-src ", "\n".join(re.findall(r"^deb .*$", text, re.M)), flags=re.M) + "\n"
            else:
                continue
            (parts / file.name).write_text(text)
        subprocess.run([*options, "update"], check=True)
        (directory / "apt/.complete").touch()
    return options


def fetch(package, directory):
    """The unpacked package: src:NAME, a Debian source package; deb:NAME, a binary one."""
    kind, name = package.split(":")
    there = directory / re.sub(r"\W+", "-", package)
    source = there / "source"
    if (there / ".complete").exists():
        return source
    source.mkdir(parents=True, exist_ok=True)
    command = ["download", name] if kind == "deb" else ["--download-only", "source", name]
    subprocess.run([*apt(directory), *command], cwd=there, check=True, stdout=subprocess.DEVNULL)
    if kind == "deb":
        for deb in there.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", deb, source], check=True)
    for archive in there.iterdir():
        if re.search(r"\.orig\.tar\.\w+$", archive.name):
            subprocess.run(["tar", "-xf", archive, "-C", source, "--no-same-owner"], check=True)
    (there / ".complete").touch()
    return source


def treadle(source, language, directory):
    """{(file, line, name): what it stands in}, the same as a list, and the files looked at, by a workflow."""
    workflow = {"workflow": {"name": "ctags", "steps": [
        {"name": "q", "type": "codebase_query", "timeout": "20m",
         "queries": {"files": {"find_files": {"language": language}},
                     "functions": {"find_functions": {"language": language, "limit": 10000000}}}}]}}
    file = directory / "workflow.json"
    file.write_text(json.dumps(workflow))
    done = subprocess.run([pathlib.Path(os.environ["TREADLE_BUILD"]) / "treadle", "run", file, "--json", "--quiet",
                           "--workspace", source], env=dict(os.environ, TREADLE_HOME=str(directory / "home")),
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{source}: {done.stdout}{done.stderr}")
    answer = json.loads(done.stdout)["results"]["q"]
    skipped = {s["path"] for s in answer.get("skipped_files", [])}
    files = [f["path"] for f in answer["files"] if f["path"] not in skipped]
    return {(f["file"], f["line"], f["name"]): f.get("in", "") for f in answer["functions"]}, [
        (f["file"], f["line"], f["name"]) for f in answer["functions"]], files, skipped


def ctags(source, files, kinds):
    language, letters = kinds.split(":")
    done = subprocess.run(
        ["ctags", "--options=NONE", f"--languages={language}", f"--language-force={language}",
         f"--kinds-{language}={letters}", "--extras=F", "--excmd=number", "--sort=no", "-f", "-", "-L", "-"],
        input="\n".join(files), cwd=source, capture_output=True, text=True, errors="replace", check=True)
    found = []
    for line in done.stdout.splitlines():
        if not line.startswith("!_TAG"):
            name, file, rest = line.split("\t")[:3]
            found.append((file, int(rest.rstrip(';"')), name))
    return found


def known(language, side, context, entry):
    for who, applies, why in KNOWN.get(language, []):
        if who == side and applies(context, entry):
            return why
    return None


def compare(name, directory, show):
    package, language, kinds = CODE_BASES[name]
    source = fetch(package, directory)
    owners, ours, files, skipped = treadle(source, language, directory)
    theirs = ctags(source, files, kinds)
    ours, theirs = collections.Counter(ours), collections.Counter(theirs)
    context = Context(source, owners)
    agreed = sum((ours & theirs).values())
    excused, alone = collections.Counter(), {}
    for side, only in (("treadle", ours - theirs), ("ctags", theirs - ours)):
        alone[side] = []
        for entry, n in sorted(only.items()):
            why = known(language, side, context, entry)
            if why:
                excused[(side, why)] += n
            else:
                alone[side] += [entry] * n
    recall = 100 * agreed / max(1, agreed + len(alone["ctags"]))
    precision = 100 * agreed / max(1, agreed + len(alone["treadle"]))
    good = min(recall, precision) >= SHARE and agreed > 100
    print(f"{name:<11} {package:<24} {len(files):>5} files {agreed:>6} agreed, "
          f"{len(alone['ctags']):>4} of ctags alone, {len(alone['treadle']):>4} of treadle alone: "
          f"{recall:6.2f} % of ctags', {precision:6.2f} % of treadle's{'' if good else '   BELOW'}")
    if skipped:
        print(f"            skipped: {', '.join(sorted(skipped))}")
    for (side, why), n in sorted(excused.items()):
        print(f"            {n} of {side} alone left out: {why}")
    for side in ("ctags", "treadle"):
        for entry in alone[side][:show]:
            print(f"            {side} alone: {entry[0]}:{entry[1]}: {entry[2]}: {context.line(entry).strip()[:90]}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CODE_BASES))
    parser.add_argument("--directory", type=pathlib.Path, default=ROOT / "build/codebases")
    parser.add_argument("--show", type=int, default=0, help="of each kind of difference")
    options = parser.parse_args()
    os.environ.setdefault("TREADLE_BUILD", str(ROOT / "build/release"))
    directory = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    results = [compare(name, directory, options.show) for name in options.names or CODE_BASES]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
