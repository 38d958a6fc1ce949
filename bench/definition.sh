#!/bin/sh
# Writes the definition of the benchmark's stream and prints its path.
# The benchmark's harness gives BENCH_URL, BENCH_START, BENCH_LIMIT, BENCH_DB and BENCH_WORK.
cat > "$BENCH_WORK/windrow.toml" <<END
[archive]
path = "$BENCH_DB"

[sources.bench]
base_url = "$BENCH_URL/v1"

[streams.usage]
path = "/usage"
query = { start = "{{ window.start }}", end = "{{ window.end }}", limit = $BENCH_LIMIT }
records = "\$.data[*]"
key = "id"
version = "updated_at"
paginate = { kind = "cursor", next = "\$.next_cursor" }

[streams.usage.window]
field = "date"
start = "2024-01-01"
step = "1 month"
format = "%Y-%m-%d"

[streams.usage.columns]
id = "text"
service_line_id = "text"
date = "date"
consumed_gb = "real"
priority_gb = "real"
standard_gb = "real"
plan = "text"
updated_at = "timestamp"
cycle_start = { type = "date", path = "\$.billing_cycle.start" }
cycle_end = { type = "date", path = "\$.billing_cycle.end" }
tags = "json"
END
echo "$BENCH_WORK/windrow.toml"
