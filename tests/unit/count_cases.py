#!/usr/bin/env python3
"""Prints "PASSED FAILED" for meson's testlog.json: Catch2's test cases where a program printed its
summary, otherwise the program as one test. A log that is not there counts as a failure."""
import json
import re
import sys

passed = failed = 0
try:
    log = open(sys.argv[1], encoding="utf-8", errors="replace")
except OSError:
    print(0, 1)
    sys.exit(0)
for line in log:
    test = json.loads(line)
    out = test.get("stdout") or ""
    good = re.search(r"^All tests passed \(.* in (\d+) test cases?", out, re.M)
    mixed = re.search(r"^test cases: *(\d+)(.*)$", out, re.M)
    if test["result"] == "OK" and good:
        passed += int(good[1])
    elif mixed:
        broken = re.search(r"(\d+) failed\b(?! as)", mixed[2])
        # The program failed, so at least one case did, whatever its summary says.
        bad = max(int(broken[1]) if broken else 0, 0 if test["result"] == "OK" else 1)
        failed += bad
        passed += int(mixed[1]) - bad
    elif test["result"] in ("OK", "EXPECTEDFAIL"):
        passed += 1
    elif test["result"] != "SKIP":
        failed += 1
print(passed, failed)
