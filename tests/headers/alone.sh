#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# alone.sh HEADER OUTPUT: a C file that has HEADER in it, twice, and nothing else.
set -eu
header=$(realpath "$1")
printf '#include "%s"\n#include "%s"\n' "$header" "$header" >"$2"
