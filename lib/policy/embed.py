#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write a text file as a C string: embed.py IN OUT NAME."""

import sys

source, target, name = sys.argv[1:]
with open(source, encoding="ascii") as f:
    lines = f.read().splitlines(keepends=True)
with open(target, "w", encoding="ascii") as f:
    f.write("/* Made from %s by the build. */\n" % source.rsplit("/", 1)[-1])
    f.write('#include "policy/pl_policy_pvt.h"\n\nconst char %s[] =\n' % name)
    for line in lines:
        text = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        f.write('\t"%s"\n' % text)
    f.write("\t;\n")
