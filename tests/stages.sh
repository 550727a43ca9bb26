#!/bin/sh
# tests/stages.sh TARGET...: make these targets one after the other, all of them even if one fails.
# Ends with what failed: targets, then tests (tests/conftest.py writes them down).
TEST_FAILURES=$(mktemp) || exit 1
export TEST_FAILURES
trap 'rm -f "$TEST_FAILURES"' EXIT
trap 'exit 130' HUP INT TERM

failed=
for target; do
  "${MAKE:-make}" --no-print-directory "$target" || failed="$failed $target"
done
[ -z "$failed" ] && exit 0
printf '\n=== failed:%s\n' "$failed"
cat "$TEST_FAILURES"
exit 1
