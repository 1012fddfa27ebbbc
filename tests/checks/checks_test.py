#!/usr/bin/env python3
"""The checks of the tree and the test runner notice what they are for: each
case lays out a small tree with one fault in it. Prints TAP."""
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SCRIPTS = os.path.join(TOP, "scripts")
sys.path.insert(0, SCRIPTS)


def load(name):
    loader = importlib.machinery.SourceFileLoader(
        name, os.path.join(SCRIPTS, name))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def failing_cases(check, files):
    """Runs a check on a tree of these files; gives the failed case names."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(SCRIPTS, os.path.join(folder, "scripts"),
                        ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(os.path.join(TOP, ".clang-format"), folder)
        for path, text in files.items():
            path = os.path.join(folder, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([os.path.join(folder, "scripts", check)],
                              capture_output=True, text=True, check=False)
    failed = {line.partition(" - ")[2] for line in done.stdout.splitlines()
              if line.startswith("not ok")}
    assert bool(failed) == (done.returncode != 0), done
    assert done.stdout.startswith("1.."), done
    return failed


def expect(check, case, files):
    found = failing_cases(check, files)
    assert found == ({case} if case else set()), found


def a_clean_tree_passes():
    files = {"src/bus/a.c": '#include "base/b.h"\n\n#include <stdint.h>\n',
             "src/base/b.h": "enum hk_b { HK_B };\n"}
    for check in ("check-layers", "check-style", "check-headers",
                  "check-format"):
        expect(check, None, files)


def layers_see_an_include_that_points_up():
    expect("check-layers", "includes_point_down",
           {"src/base/a.c": '#include "bus/b.h"\n', "src/bus/b.h": ""})


def layers_see_a_private_header_from_outside():
    expect("check-layers", "private_headers_stay_in_their_folder",
           {"src/bus/a.c": '#include "base/b_int.h"\n',
            "src/base/b_int.h": ""})


def layers_see_a_system_header():
    expect("check-layers", "system_headers_stay_in_os",
           {"src/chip/a.c": "#include <unistd.h>\n"})
    expect("check-layers", "system_headers_stay_in_os",
           {"src/cpu/a.c": "#include <uv.h>\n"})
    expect("check-layers", None,
           {"src/os/linux/a.c": "#include <unistd.h>\n"})


def layers_see_a_platform_conditional():
    expect("check-layers", "platform_conditionals_stay_in_os",
           {"src/chip/a.c": "#ifdef __linux__\n#endif\n"})


def layers_see_a_folder_without_a_rule():
    expect("check-layers", "every_folder_has_a_rule", {"src/new/a.c": ""})


def headers_see_one_that_needs_another():
    expect("check-headers", "header_src_base_b_h_compiles_alone_as_c",
           {"src/base/b.h": "uint32_t hk_b(void);\n"})


def headers_see_a_public_one_that_is_no_cxx():
    expect("check-headers", "header_include_b_h_compiles_alone_as_cxx",
           {"include/b.h": "int b(int new);\n"})


def style_sees_each_fault():
    faults = {
        "no_banned_functions": "int a(char *b)\n{\n    gets(b);\n}\n",
        "no_long_functions": "int a(void)\n{\n" + "    b();\n" * 60 + "}\n",
        "no_long_files": "int a;\n" * 801,
        "no_line_comments": "int a; // why\n",
        "no_unfinished_work": "/* TO" + "DO */\n",
        "no_paths_of_one_machine": 'char a[] = "/ho' + 'me/me/x";\n',
        "no_trailing_blanks": "int a; \n",
    }
    for case, text in faults.items():
        expect("check-style", case, {"src/base/a.c": text})


def style_does_not_look_into_strings_and_comments():
    expect("check-style", None, {
        "src/base/a.c": '/* gets(x) */\nchar a[] = "gets(x) http://y";\n'})


def format_sees_a_wrong_indent():
    if load("check-format").find_formatter() is None:
        return
    expect("check-format", "sources_are_formatted",
           {"src/base/a.c": "int a(void)\n{\n  return 1;\n}\n"})


def record(stdout, result="OK", returncode=0):
    return {"name": "husk:unit+thread / x_test", "stdout": stdout,
            "result": result, "returncode": returncode, "stderr": ""}


def results(runner, *arguments):
    return [(c.name, c.result)
            for c in runner.cases_of_program("plain", record(*arguments))]


def runner_counts_single_cases():
    assert results(load("test"), "1..3\nok 1 - a\nnot ok 2 - b\n# why\n"
                   "ok 3 - c # SKIP no need\n", "ERROR", 1) == [
        ("a", "passed"), ("b", "failed"), ("c", "skipped")]


def runner_keeps_reasons():
    cases = load("test").parse_tap("1..2\nnot ok 1 - a\n# why\n"
                                   "ok 2 - b # SKIP no need\n")
    assert cases == [["a", "failed", "# why\n"], ["b", "skipped", "no need"]]


def runner_counts_a_crash_as_a_failure():
    assert results(load("test"), "1..2\nok 1 - a\n", "ERROR", -11)[-1] == (
        "the_program_ends_in_order", "failed")


def runner_counts_silence_as_a_failure():
    assert results(load("test"), "") == [
        ("the_program_ends_in_order", "failed")]


def runner_fails_a_suite_that_only_skips():
    runner = load("test")
    cases = runner.cases_of_program("plain", record("ok 1 - a # SKIP x\n"))
    for suite in ("unit", "thread"):
        assert len(list(runner.empty_suites("p", "f", [suite], cases))) == 1
    cases += runner.cases_of_program("plain", record("ok 1 - a\n"))
    assert not list(runner.empty_suites("p", "f", ["unit"], cases))


def rows_count_windows_rows_only_on_windows():
    rows = load("rows")
    passed = {"x: row001_a": {"plain": "passed"}}
    assert rows.judge("-", passed) == "passed"
    assert rows.judge("w", passed) == "passed, not on Windows"
    assert rows.judge("w", {"x": {"windows": "passed"}}) == "passed"
    assert rows.judge("-", {"x": {"plain": "passed", "asan": "failed"}}) == \
        "FAILED"
    assert rows.judge("-", {}) == "no test"


CASES = (
    a_clean_tree_passes,
    layers_see_an_include_that_points_up,
    layers_see_a_private_header_from_outside,
    layers_see_a_system_header,
    layers_see_a_platform_conditional,
    layers_see_a_folder_without_a_rule,
    headers_see_one_that_needs_another,
    headers_see_a_public_one_that_is_no_cxx,
    style_sees_each_fault,
    style_does_not_look_into_strings_and_comments,
    format_sees_a_wrong_indent,
    runner_counts_single_cases,
    runner_keeps_reasons,
    runner_counts_a_crash_as_a_failure,
    runner_counts_silence_as_a_failure,
    runner_fails_a_suite_that_only_skips,
    rows_count_windows_rows_only_on_windows,
)


def main():
    failed = 0
    print("1..%d" % len(CASES))
    for number, case in enumerate(CASES, 1):
        try:
            case()
            print("ok %d - %s" % (number, case.__name__))
        except Exception:  # any way of failing is a failed case
            failed += 1
            print("not ok %d - %s" % (number, case.__name__))
            for line in traceback.format_exc().splitlines():
                print("# " + line)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
