"""Prints the numbers of passed, failed and skipped tests by the summary of Python's unittest; without one it is
one failure."""
import re
import sys

text = open(sys.argv[1], encoding="utf-8").read()
ran = re.search(r"^Ran (\d+) tests? in", text, re.MULTILINE)
end = re.search(r"^(?:OK|FAILED)(?: \((.*)\))?$", text, re.MULTILINE)
if ran and end:
    counts = dict(part.split("=") for part in (end[1] or "").split(", ") if part)
    failed = int(counts.get("failures", 0)) + int(counts.get("errors", 0))
    skipped = int(counts.get("skipped", 0))
    print(int(ran[1]) - failed - skipped, failed, skipped)
else:
    print(0, 1, 0)
