#!/usr/bin/env bash
# All golden files, as one test of the suite.
exec bash "$(dirname "$0")/run_golden.sh" "$1" "$2"
