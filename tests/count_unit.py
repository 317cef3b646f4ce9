"""Prints the numbers of passed, failed and skipped checks in a meson test log: those that Check
counted itself; a program that ended without its summary is one failure."""
import json
import re
import sys

SUMMARY = re.compile(r"\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)")
passed = failed = 0
for line in open(sys.argv[1], encoding="utf-8"):
    test = json.loads(line)
    summary = SUMMARY.search(test.get("stdout") or "")
    if summary:
        checks, failures, errors = map(int, summary.groups())
        passed += checks - failures - errors
        failed += failures + errors
    if test["result"] != "OK" and not (summary and failures + errors):
        failed += 1
print(passed, failed, 0)
