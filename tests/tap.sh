# tap.sh - how the tests in shell report their cases; to be sourced.
number=0

report() { # NAME STATUS
    number=$((number + 1))
    if [ "$2" = 0 ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
    fi
}

report_findings() { # NAME FINDINGS
    [ -z "$2" ] || echo "$2" | sed 's/^/# /'
    [ -z "$2" ]
    report "$1" $?
}
