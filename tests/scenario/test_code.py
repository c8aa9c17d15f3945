"""codebase_query: what it finds in small projects of nine languages, beside what their names and comments pretend."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import program

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
LANGUAGES = sorted(p.name for p in (HERE / "code").iterdir())


pytestmark = pytest.mark.usefixtures("grammars")


@pytest.fixture
def ask(treadle, tmp_path):
    """ask(LANGUAGE or directory, {QUERY: {...}}) gives the step's result."""
    def run(project, queries, code=0, **step):
        workspace = HERE / "code" / project if isinstance(project, str) else project
        step = {"name": "q", "type": "codebase_query", "queries": queries, **step}
        treadle.file("ask.yaml", json.dumps({"workflow": {"name": "ask", "steps": [step]}}))
        got = treadle("run", "ask.yaml", "--json", "--quiet", "--workspace", workspace, code=code)
        return got.json["results"]["q"] if code == 0 else got.json["error"]
    return run


# file: line name type in (what it stands in) and + for public, - for private
FUNCTIONS = {
    "elixir": """
        lib/cart.ex: 8 add function Shop.Cart +, 9 add function Shop.Cart +, 11 total function Shop.Cart -,
            13 debug macro Shop.Cart +, 18 init function Shop.Cart +, 22 <~> function Shop.Cart +,
            25 new function Shop.Cart.Empty +, 28 is_big guard Shop.Cart +, 32 show function Shop.Show +,
            36 show function Shop.Show.List +
        lib/item.ex: 2 price function Shop.Item +
        lib/price.ex: 2 sum function Shop.Price +
        mix.exs: 4 project function Shop.MixProject +, 6 deps function Shop.MixProject -""",
    "python": """
        app/cart.py: 15 show_cart function . +, 20 fetch function . +, 24 __init__ method Cart +, 28 size method Cart +,
            29 count function Cart.size -, 33 _hidden method Cart -, 38 method method _Private -
        app/price.py: 1 total function . +
        tests/test_cart.py: 4 test_cart function . +""",
    "javascript": """
        src/cart.jsx: 3 Cart function . +, 7 helper function . +, 8 legacy function . +
        src/index.js: 6 start function . +, 11 stop function . +, 12 wait function stop -, 16 numbers function . +,
            19 double method . +, 20 triple method . +, 21 quoted method . +, 25 #secret method Store -,
            26 size method Store +, 27 create method Store +, 28 onChange method Store +
        src/price.js: 1 total function . +, 2 free method . +""",
    "typescript": """
        src/cart.ts: 6 add method Cart +, 14 secret method Store -, 16 add method Store +, 17 size method Store +,
            18 from method Store +, 21 overload function . +, 22 overload function . +, 23 overload function . +,
            26 deep function Inner +, 29 main function . +
        src/item.ts: 2 price function . +
        src/view.tsx: 2 View function . +, 3 plain function . +""",
    "go": """
        cmd/app/main.go: 5 main function . -
        store/store.go: 21 New function . +, 23 Add method Store +, 28 size method Store -, 30 Map function . +
        store/store_test.go: 5 TestNew function . +""",
    "rust": """
        src/cart.rs: 5 total method Cart +
        src/lib.rs: 8 show method Show +, 9 twice method Show +, 16 new method Shop +, 17 hidden method Shop -,
            21 show method Shop +, 25 show method Vec +, 28 run function . +, 37 works function tests -
        src/price.rs: 1 sum function . +""",
    "c": """
        include/cart.h: 6 cart_is_empty function . -
        src/cart.c: 9 hidden function . -, 14 cart_add function . +, 22 cart_handler function . +,
            28 cart_new function . +, 31 cart_big function . +, 37 cart_old function . +""",
    "java": """
        src/main/java/shop/Cart.java: 11 Cart constructor Cart +, 15 compareTo method Cart +, 17 hidden method Cart -,
            19 run method Cart.hidden.<anonymous> -, 24 cost method Cart.Kind -, 24 cost method Cart.Kind -,
            26 Point constructor Cart.Point -, 28 deep method Cart.Inner -, 31 show method Show +, 31 two method Show +
        src/main/java/shop/Price.java: 2 sum method Price +
        src/test/java/shop/CartTest.java: 2 works method CartTest -""",
    "ruby": """
        lib/shop/cart.rb: 5 initialize method Shop::Cart +, 9 <=> method Shop::Cart +, 13 empty? method Shop::Cart +,
            15 build singleton_method Shop::Cart +, 18 make method Shop::Cart.self +, 23 hidden method Shop::Cart -,
            30 shown method Shop::Cart -, 32 late method Shop::Cart -
        lib/shop/price.rb: 3 sum singleton_method Shop.Price +
        lib/shop.rb: 6 open singleton_method Shop +
        test/cart_test.rb: 3 test_cart method CartTest +""",
}


def table(text):
    rows, file = [], None
    for word in text.replace("\n", " ").split("  "):
        word = word.strip().rstrip(",")
        if not word:
            continue
        if ": " in word.split(" ")[0] + " ":
            file, word = word.split(": ", 1)
        for row in word.split(", "):
            line, name, kind, owner, public = row.split(" ")
            rows.append((file, int(line), name, kind.replace("_", " "), "" if owner == "." else owner, public == "+"))
    return rows


@pytest.mark.parametrize("language", LANGUAGES)
def test_functions(ask, language):
    got = ask(language, {"all": {"find_functions": True}, "public": {"find_functions": {"public_only": True}}})
    rows = [(f["file"], f["line"], f["name"], f["type"], f.get("in", ""), f["public"]) for f in got["all"]]
    assert rows == table(FUNCTIONS[language])
    assert got["public"] == [f for f in got["all"] if f["public"]]
    assert not [f for f in got["all"] if f["name"].startswith("not")] and "skipped_files" not in got


# file -> the files of the project that it needs, and what else: packages (with * those of the language)
NEEDS = {
    "elixir": {"lib/cart.ex": ({"lib/item.ex", "lib/price.ex"}, {"GenServer*"}),
               "lib/price.ex": ({"lib/item.ex"}, set()), "test/cart_test.exs": ({"lib/cart.ex"}, {"ExUnit*"})},
    "python": {"app/cart.py": ({"app/price.py", "app/base.py"}, {"json*", "os*", "flask"}),
               "app/base.py": ({"app/cart.py", "app/__init__.py"}, set()),
               "tests/test_cart.py": ({"app/cart.py"}, set())},
    "javascript": {"src/index.js": ({"src/price.js", "src/cart.jsx"}, {"express", "node:fs*"}),
                   "src/cart.jsx": ({"src/price.js"}, set()), "src/cli.js": ({"src/index.js"}, set())},
    "typescript": {"src/cart.ts": ({"src/item.ts", "src/price.ts"}, set()), "src/view.tsx": ({"src/item.ts"}, set())},
    "go": {"cmd/app/main.go": ({"store/store.go"}, set()),
           "store/store.go": (set(), {"fmt*", "github.com/gin-gonic/gin"})},
    "rust": {"src/lib.rs": ({"src/cart.rs", "src/price.rs"}, {"std*"}), "src/cart.rs": ({"src/price.rs"}, set())},
    "c": {"src/cart.c": ({"include/cart.h", "src/price.h"}, {"stdio.h*"}), "include/cart.h": (set(), {"stddef.h*"})},
    "java": {"src/main/java/shop/Cart.java": ({"src/main/java/shop/Price.java"}, {"java.util*"})},
    "ruby": {"lib/shop.rb": ({"lib/shop/cart.rb", "lib/shop/price.rb"}, {"json*"}),
             "test/cart_test.rb": ({"lib/shop/cart.rb"}, set())},
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_dependencies_both_ways(ask, language):
    files = list(NEEDS[language])
    queries = {f"n{i}": {"find_dependencies": {"for_file": f, "include_stdlib": True}} for i, f in enumerate(files)}
    needed = sorted({x for own, _ in NEEDS[language].values() for x in own})
    queries |= {f"u{i}": {"find_dependents": {"of_file": f, "include_tests": True}} for i, f in enumerate(needed)}
    got = ask(language, queries)
    for i, file in enumerate(files):
        answer = got[f"n{i}"]
        inside = {d["path"] for d in answer if not d["external"]}
        outside = {d["package"] + "*" * d["stdlib"] for d in answer if d["external"]}
        assert (inside, outside) == NEEDS[language][file], file
        assert all(d["file"] == file and d["line"] > 0 and d["depth"] == 1 for d in answer)
    for i, file in enumerate(needed):
        users = {d["path"] for d in got[f"u{i}"]}
        assert {f for f in files if file in NEEDS[language][f][0]} <= users, file


def test_transitive_tests_impact_cycles(ask):
    got = ask("python", {
        "near": {"find_dependencies": {"for_file": "tests/test_cart.py"}},
        "far": {"find_dependencies": [{"for_file": "tests/test_cart.py"}, {"include_transitive": True}]},
        "direct": {"find_dependents": [{"of_file": "app/price.py"}, {"include_tests": True}]},
        "without": {"find_dependents": {"of_file": "app/cart.py"}},
        "groups": {"find_dependents": {"of_file": "app/cart.py", "include_tests": True, "group_by_directory": True}},
        "tests": {"find_tests": {"for_file": "app/price.py"}},
        "named": {"find_tests": "app/cart.py"},
        "impact": {"analyze_impact": {"file": "app/price.py"}},
        "cycles": {"find_circular_dependencies": True},
        "short": {"find_circular_dependencies": {"max_cycle_length": 2}},
    })
    assert [d.get("path", d.get("package")) for d in got["near"]] == ["app/cart.py"]
    assert [(d.get("path", d.get("package")), d["depth"]) for d in got["far"]] == [
        ("app/cart.py", 1), ("flask", 2), ("app/price.py", 2), ("app/base.py", 2), ("app/__init__.py", 3)]
    assert [d["path"] for d in got["direct"]] == ["app/cart.py"]
    assert {d["path"] for d in got["without"]} == {"app/__init__.py", "app/base.py"}
    assert set(got["groups"]) == {"app", "tests"} and got["groups"]["tests"][0]["test"] is True
    assert got["tests"] == [{"path": "tests/test_cart.py", "why": "imports", "depth": 2}]
    assert got["named"] == [{"path": "tests/test_cart.py", "why": "name", "depth": 0}]
    assert got["impact"] == {"directly_affected": ["app/cart.py"],
                             "potentially_affected": ["app/__init__.py", "app/base.py"],
                             "test_files": ["tests/test_cart.py"], "impact_score": 7}
    assert [c["files"] for c in got["cycles"]] == [["app/__init__.py", "app/cart.py", "app/base.py"]]
    assert [c["files"] for c in got["short"]] == [["app/base.py", "app/cart.py"]]


def test_kinds_of_definitions(ask):
    got = ask("python", {
        "routes": {"find_functions": [{"in_files": "app/**/*.py"}, {"with_decorator": "@app.route"},
                                      {"extract_metadata": True}]},
        "classes": {"find_classes": {"with_base_class": "Base", "include_methods": True}},
        "groups": {"find_imports": {"in_files": "app/*.py", "external_only": True, "group_by_package": True}},
        "uses": {"find_references": {"to_function": "total"}},
        "counts": {"find_references": {"to_function": "total", "include_line_numbers": False,
                                       "include_definitions": True}}})
    assert [(f["name"], f["line"], f["end_line"]) for f in got["routes"]] == [("show_cart", 15, 17)]
    assert got["routes"][0]["annotations"] == ['@app.route("/cart")', "@cached( seconds=3)"]
    assert [(c["name"], [m["name"] for m in c["methods"]]) for c in got["classes"]] == [
        ("Cart", ["__init__", "size", "_hidden"])]
    assert {k: [i["line"] for i in v] for k, v in got["groups"].items()} == {"flask": [3]}
    assert [(r["file"], r["line"], r["column"], r["kind"], r["text"]) for r in got["uses"]] == [
        ("app/cart.py", 17, 26, "call", "return jsonify(price.total([]))")]
    assert got["counts"] == [{"file": "app/cart.py", "count": 1}, {"file": "app/price.py", "count": 1}]
    got = ask("javascript", {"parts": {"find_exports": [{"in_files": "**/*.{jsx,tsx}"}, {"type": "react_component"},
                                                        {"with_props": True}]}})
    assert [(e["name"], e["props"]) for e in got["parts"]] == [("Cart", "{ items, onBuy }")]
    got = ask("typescript", {"i": {"find_interfaces": {"exported_only": True, "include_methods": True}}})
    assert [(i["name"], i["type"], [m["name"] for m in i["methods"]]) for i in got["i"]] == [
        ("Cart", "interface", ["add"]), ("Id", "type", []), ("Price", "type", [])]
    got = ask("go", {"i": {"find_interfaces": {"in_files": "**/*.go", "exported_only": True}}})
    assert [(i["name"], i["file"], i["line"]) for i in got["i"]] == [("Keeper", "store/store.go", 11)]
    got = ask("elixir", {"m": {"find_modules": {"in_files": "lib/**/*.ex", "with_behaviour": "GenServer"}},
                         "d": {"find_functions": {"in_file": "lib/cart.ex", "with_annotation": "@doc",
                                                  "extract_metadata": True}}})
    assert [m["name"] for m in got["m"]] == ["Shop.Cart"]
    assert [(f["name"], f["line"], f["annotations"]) for f in got["d"]] == [
        ("add", 8, ['@doc "Adds an item."', "@spec add(t, Item.t()) :: t"])]


PROJECTS = {
    "elixir": ("elixir", "phoenix", [("phoenix", "~> 1.7", False), ("credo", "~> 1.7", True)]),
    "python": ("python", "flask", [("flask", ">=3.0", False), ("requests", "==2.32.0", False)]),
    "javascript": ("javascript", "react", [("express", "^4.19.0", False), ("react", "^18.0.0", False),
                                           ("jest", "^29.0.0", True)]),
    "typescript": ("typescript", None, []),
    "go": ("go", "gin", [("github.com/gin-gonic/gin", "v1.10.0", False), ("golang.org/x/text", "v0.14.0", False)]),
    "rust": ("rust", "axum", [("serde", "1.0", False), ("axum", "0.7", False), ("tempfile", "3", True)]),
    "c": ("c", None, []),
    "java": ("java", "spring", [("org.springframework.boot:spring-boot-starter", "3.3.0", False),
                                ("junit:junit", "", True)]),
    "ruby": ("ruby", "rails", [("rails", "~> 7.1", False), ("rspec", "", True)]),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_projects(ask, language):
    got = ask(language, {"info": {"get_project_type": True, "get_dependencies": True, "get_git_status": False},
                         "one": {"get_language": True}})
    kind, framework, packages = PROJECTS[language]
    assert (got["info"]["type"], got["info"]["language"], got["info"]["framework"]) == (kind, language, framework)
    assert [(d["name"], d["version"], d["dev"]) for d in got["info"]["dependencies"]] == packages
    assert got["one"]["language"] == language and "git_status" not in got["info"]


def test_definitions_of_words_that_define(ask, tmp_path):
    """Names that are keywords elsewhere, made at compile time, or in classes without a name."""
    ws = tmp_path / "ws"
    ws.mkdir()
    (ws / "a.ex").write_text("defmodule A do\n  defmacro def(call, x), do: call\n"
                             "  def unquote(name)(), do: 1\n  def +value, do: value\nend\n")
    (ws / "a.h").write_text("#define X(name) \\\n/* a comment */ \\\nint name##_a(int b) \\\n{ return 1; }\n"
                            "int b(void) {}\n")
    (ws / "A.java").write_text("class A { Object o = new Object() { public String toString() { return null; } }; }\n")
    got = ask(ws, {"f": {"find_functions": True}})
    assert [(f["file"], f["line"], f["name"], f.get("in")) for f in got["f"]] == [
        ("A.java", 1, "toString", "A.<anonymous>"), ("a.ex", 2, "def", "A"), ("a.ex", 4, "+", "A"),
        ("a.h", 5, "b", None)]


def test_entry_points(ask):
    def points(language):
        return [(e["path"], e["kind"], e["name"])
                for e in ask(language, {"p": {"find_entry_points": True}})["p"]]
    assert points("javascript") == [("src/index.js", "library", "shop"), ("src/cli.js", "program", "shop")]
    assert points("go") == [("cmd/app/main.go", "program", "app")]
    assert points("rust") == [("src/lib.rs", "library", "src")]


def test_files(ask, tmp_path):
    ws = tmp_path / "ws"
    for path, text in {"lib/user.py": "x = 1\n" * 50, "lib/user_names.py": "", "tests/test_user.py": "needle",
                       ".gitignore": "*.log\n/out/\n!keep.log\n", "a.log": "", "keep.log": "", "out/x.py": "",
                       "lib/out/y.py": "", "node_modules/m/index.js": "", "setup.cfg": "", "README.md": "",
                       "scripts/run.py": "", "sub/.gitignore": "made.py\n", "sub/made.py": "",
                       "sub/kept.py": ""}.items():
        (ws / path).parent.mkdir(parents=True, exist_ok=True)
        (ws / path).write_text(text)
    os.utime(ws / "lib/user.py", (1000000000, 1000000000))
    (tmp_path / "outside.py").write_text("")
    (ws / "lib/link.py").symlink_to(tmp_path / "outside.py")
    got = ask(ws, {
        "all": {"find_files": True},
        "main": {"find_files": [{"type": "main"}, {"pattern": "**/*.py"}, {"exclude_tests": True}]},
        "config": {"find_files": {"type": "config"}},
        "tests": {"find_files": {"related_to": "lib/user.py", "type": "test"}},
        "again": {"find_files": {"related_to": [{"path": "tests/test_user.py"}], "type": "source"}},
        "old": {"find_files": {"modified_since": "2001-09-10", "pattern": "lib/*.py"}},
        "big": {"find_files": {"min_size": 100}},
        "without": {"find_files": {"pattern": "*.py", "exclude_patterns": ["**/test_*", "scripts/**"]}},
        "content": {"find_files": {"contains": "needle"}},
        "near": {"find_related": {"file": "lib/user.py"}}})
    names = {k: [f["path"] for f in v] for k, v in got.items() if isinstance(v, list)}
    assert names["all"] == [".gitignore", "README.md", "keep.log", "lib/out/y.py", "lib/user.py", "lib/user_names.py",
                            "scripts/run.py", "setup.cfg", "sub/.gitignore", "sub/kept.py", "tests/test_user.py"]
    assert names["main"] == ["lib/out/y.py", "lib/user.py", "lib/user_names.py", "sub/kept.py"]
    assert names["config"] == [".gitignore", "setup.cfg", "sub/.gitignore"]
    assert names["tests"] == ["tests/test_user.py"] and names["again"] == ["lib/user.py"]
    assert names["old"] == ["lib/user_names.py"] and names["big"] == ["lib/user.py"]
    assert names["without"] == ["lib/out/y.py", "lib/user.py", "lib/user_names.py", "sub/kept.py"]
    assert names["content"] == ["tests/test_user.py"]
    assert [(r["path"], r["relation"]) for r in got["near"]] == [
        ("tests/test_user.py", "test"), ("lib/user_names.py", "directory")]
    one = got["big"][0]
    assert (one["name"], one["size"], one["language"], one["type"], one["modified"]) == (
        "user.py", 300, "python", "source", 1000000000)


def git(ws, *args, when="2026-01-02T00:00:00Z", who="A U Thor"):
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": who,
           "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": who, "GIT_COMMITTER_EMAIL": "a@example.com",
           "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    return subprocess.run(["git", *args], cwd=ws, env=env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    ws = tmp_path / "repo"
    ws.mkdir()
    git(ws, "init", "-q", "-b", "trunk")
    for n, text in enumerate(["one\n", "one\ntwo\n"]):
        (ws / "a.py").write_text(text)
        (ws / f"f{n}.py").write_text("")
        git(ws, "add", ".")
        git(ws, "commit", "-q", "-m", f"commit {n}", when=f"2026-01-0{n + 1}T00:00:00Z")
    return ws


def test_git(ask, repository):
    (repository / "a.py").write_text("one\n")
    (repository / "new file.py").write_text("")
    (repository / "f0.py").unlink()
    got = ask(repository, {
        "status": {"get_git_status": True},
        "info": {"get_recent_commits": 1, "get_project_type": True},
        "commits": {"get_recent_commits": {"count": 5, "for_files": "f1.py"}},
        "changed": {"get_changed_files": True},
        "since": {"get_changed_files": [{"since_commit": "HEAD~1"}, {"include_stats": True}]},
        "recent": {"get_changed_files": {"since": "2026-01-01T12:00:00Z"}},
        "people": {"get_contributors": {"for_files": "a.py"}},
        "often": {"get_change_frequency": [{"time_period": "100 years"}, {"minimum_changes": 2}]}})
    status = got["status"]
    assert status["branch"] == "trunk" and status["clean"] is False and len(status["commit"]) == 40
    assert (status["modified"], status["deleted"], status["untracked"]) == (["a.py"], ["f0.py"], ["new file.py"])
    assert [c["message"] for c in got["info"]["recent_commits"]] == ["commit 1"] and got["info"]["language"] == "python"
    assert [(c["message"], c["author"], c["date"]) for c in got["commits"]] == [
        ("commit 1", "A U Thor", "2026-01-02T00:00:00+00:00")]
    assert [(c["path"], c["status"]) for c in got["changed"]] == [
        ("a.py", "modified"), ("f0.py", "deleted"), ("new file.py", "untracked")]
    assert {c["path"]: (c["status"], c["additions"]) for c in got["since"]} == {
        "f0.py": ("deleted", 0), "f1.py": ("added", 0), "a.py": ("modified", None), "new file.py": ("untracked", None)}
    assert [c["path"] for c in got["recent"]][:2] == ["a.py", "f1.py"]
    assert got["people"] == [{"name": "A U Thor", "email": "a@example.com", "commits": 2}]
    assert got["often"] == [{"path": "a.py", "changes": 2}]
    for name in ("HEAD~9", "--output=evil"):
        error = ask(repository, {"x": {"get_changed_files": {"since_commit": name}}}, code=1)
        assert error["class"] == "not_found" and f"no commit `{name}`" in error["message"]


def test_git_runs_nothing_that_the_repository_names(ask, repository):
    """Filters, monitors and hooks of a repository that a model could have written."""
    script = repository / ".git/evil.sh"
    script.write_text("#!/bin/sh\ntouch \"$(dirname \"$0\")/ran\"\ncat\n")
    script.chmod(0o755)
    for key in ["filter.x.clean", "filter.x=y.clean", "filter.x.process", "filter.x.smudge", "core.fsmonitor",
                "diff.external", "diff.x.textconv", "diff.x.command", "core.pager", "pager.log", "pager.diff",
                "log.showSignature", "gpg.program"]:
        git(repository, "config", key, "true" if key == "log.showSignature" else str(script))
    git(repository, "config", "filter.x.required", "true")
    (repository / ".gitattributes").write_text("*.py filter=x diff=x\nf1.py filter=x=y\n")
    (repository / "a.py").write_text("changed\n")
    (repository / "f1.py").write_text("changed\n")
    got = ask(repository, {"s": {"get_git_status": True}, "c": {"get_changed_files": {"include_stats": True}},
                           "l": {"get_recent_commits": 3}, "p": {"get_contributors": True}})
    assert {"a.py", "f1.py"} <= set(got["s"]["modified"]) and len(got["l"]) == 2
    assert not (repository / ".git/ran").exists()


def test_git_stays_in_the_workspace(ask, repository, tmp_path):
    inner = repository / "sub"
    inner.mkdir()
    assert ask(inner, {"s": {"get_git_status": True}})["s"]["is_repository"] is False
    other = tmp_path / "other"
    other.mkdir()
    (other / ".git").write_text(f"gitdir: {repository}/.git\n")
    assert "no git repository" in ask(other, {"s": {"get_recent_commits": 1}}, code=1)["message"]


def test_hostile_files(ask, tmp_path):
    ws = tmp_path / "ws"
    ws.mkdir()
    (ws / "deep.js").write_text("[" * 200000)
    (ws / "nest.py").write_text("".join(" " * i + "def f%d():\n" % i for i in range(100)))
    (ws / "binary.py").write_bytes(b"def f():\0 pass")
    (ws / "large.py").write_text("x = 1\n" * 400000)
    (ws / "latin.py").write_bytes(b"# \xe9\ndef caf\xe9(): pass\ndef good(): pass\n")
    (ws / "empty.go").write_text("")
    (ws / "good.py").write_text("def good(): pass\n")
    got = ask(ws, {"f": {"find_functions": {"name": "good"}}, "n": {"find_functions": {"in_file": "nest.py"}},
                   "i": {"find_imports": True}})
    assert {f["file"] for f in got["f"]} == {"latin.py", "good.py"}
    assert {s["path"]: s["reason"].split(":")[0] for s in got["skipped_files"]} == {
        "binary.py": "no text", "large.py": "large.py", "deep.js": "its parser crashed"}
    assert [f["line"] for f in got["n"]] == list(range(1, 101))


def test_context_for_prompts(treadle, tmp_path, repository):
    shutil.copytree(HERE / "code/python", repository, dirs_exist_ok=True)
    treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - name: outer
      type: for_loop
      data_source: [1, 2]
      steps:
        - {name: say, type: gemini, codebase_context: true, prompt: "{{ codebase.project_type }} {{ loop.item }}"}
        - {name: also, type: test_echo, value: "{{ codebase.git_info.recent_commits[0].message }}"}
    - {name: look, type: codebase_query, codebase_context: true, queries: {q: {find_files: {type: test}}}}
    - {name: use, type: claude, prompt: "{{ codebase.structure.main_files }} {{ codebase.framework }}"}
    - name: each
      type: for_loop
      iterator: file
      data_source: "{{ steps.look.q }}"
      steps: [{name: e, type: test_echo, value: "{{ loop.file.path }}"}]
""")
    got = treadle("run", "w.yaml", "--mock", "--json", "--quiet", "--workspace", repository, code=0).json["results"]
    assert [i["results"]["say"]["text"] for i in got["outer"]["iterations"]] == ["python 1", "python 2"]
    assert got["outer"]["iterations"][0]["results"]["also"] == "commit 1"
    assert got["use"]["text"] == (
        '["a.py","app/__init__.py","app/base.py","app/cart.py","app/price.py","f0.py","f1.py"] flask')
    assert [i["results"]["e"] for i in got["each"]["iterations"]] == ["tests/test_cart.py"]
    assert got["look"]["codebase"]["dependencies"][0]["name"] == "flask"


def test_queries_are_known_by_their_names(treadle):
    """As older workflows read them; a step or variable of that name goes first."""
    treadle.file("w.yaml", """
workflow:
  name: w
  variables: {taken: mine}
  output: {taken: "{{ taken }}", first: "{{ source_files[0].path }}", step: "{{ previous_response:said }}"}
  steps:
    - {name: said, type: test_echo, value: step}
    - name: find
      type: codebase_query
      queries:
        source_files: {find_files: [{type: source}, {exclude_tests: true}, {modified_since: ""}]}
        taken: {find_files: true}
        said: {find_files: true}
    - name: each
      type: for_loop
      iterator: file
      data_source: "previous_response:source_files"
      steps: [{name: e, type: test_echo, value: "{{ loop.file.path }} {{ length(previous_response:source_files) }}"}]
""")
    got = treadle("run", "w.yaml", "--json", "--quiet", "--workspace", HERE / "code/ruby", code=0).json
    assert [i["results"]["e"] for i in got["results"]["each"]["iterations"]] == [
        "lib/shop/cart.rb 3", "lib/shop/price.rb 3", "lib/shop.rb 3"]
    assert got["output"] == {"taken": "mine", "first": "lib/shop/cart.rb", "step": "step"}


def test_not_asked_again_after_a_crash(treadle_faults, tmp_path):
    """The answer is in the journal: files that changed since do not change it."""
    ws = tmp_path / "ws"
    ws.mkdir()
    (ws / "a.py").write_text("def one(): pass\n")
    treadle_faults.file("w.yaml", """
workflow:
  name: w
  output: "{{ steps.q.f[*].name }}"
  steps:
    - {name: q, type: codebase_query, queries: {f: {find_functions: true}}}
    - {name: c, type: command, run: "true", on_interrupt: retry}
""")
    fault = {"TREADLE_FAULT": "engine.kill.after.done=1"}
    treadle_faults("run", "w.yaml", "--run-id", "r", "--quiet", "--workspace", ws, env=fault, code=-9)
    (ws / "a.py").write_text("def two(): pass\n")
    assert treadle_faults("resume", "r", "--json", "--quiet", code=0).json["output"] == ["one"]


def test_errors(ask):
    assert "did you mean `app/cart.py`" in ask("python", {"x": {"find_functions": {"in_file": "app/carts.py"}}},
                                               code=1)["message"]
    error = ask("python", {"x": {"find_files": {"modified_since": "{{ 'soon' }}"}}}, code=1)
    assert error["class"] == "invalid" and "query `x`: find_files: `modified_since` is string" in error["message"]


def test_a_missing_grammar_says_how_to_get_it(treadle, tmp_path):
    """The program alone, as after a plain `make`: files can be found, code cannot be parsed, and nobody is misled."""
    binary = program("treadle")
    (tmp_path / "bin").mkdir()
    shutil.copy(binary, tmp_path / "bin/treadle")
    code = json.dumps({"queries": {"f": {"find_functions": True}}})
    files = json.dumps({"queries": {"f": {"find_files": {"related_to": "app/cart.py"}},
                                    "t": {"get_project_type": True}}})

    def run(request):
        done = subprocess.run([tmp_path / "bin/treadle", "__code"], input=request, cwd=HERE / "code/python",
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    error = run(code)["error"]
    assert error["class"] == "not_found" and "run `make grammars`" in error["message"] and "python" in error["message"]
    assert run(files)["ok"]["t"]["type"] == "python"
