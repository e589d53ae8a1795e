#!/bin/sh
# run_case.sh PROGRAM [ARGUMENTS]: the program, its results as the Test Anything Protocol has them.
# cmocka 1.1.5 writes a skipped case as "not ok 3 # SKIP name", which counts as a failure.
exec 3>&1
status=$({ { "$@" 3>&- 4>&-; echo $? >&4; } | sed 's/^not ok \([0-9]* # SKIP\)/ok \1/' >&3; } 4>&1)
exit "$status"
