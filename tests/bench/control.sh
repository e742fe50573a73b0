#!/usr/bin/env bash
# The planner alone: placements a second, and how the cost grows with the cloud.
set -eu -o pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
exec build/tests/bench/bench-planner
