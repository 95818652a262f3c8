# SPDX-License-Identifier: BSD-3-Clause
"""What every measurement shares; perf/README.md tells how to use it."""
