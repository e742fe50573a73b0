// ./dev bench recovery [GIGABYTES]: how long a start takes with so much in streams (10), and what a message or a key costs
// in memory. The disk's cache is dropped before each start where that is permitted. BENCH_DIR is where the files go.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../..');
const STORE = path.join(process.env.CANDELA_BUILD ?? path.join(ROOT, 'build'), 'tests/bench/bench-bus-store');
const gigabytes = Number(process.argv[2] ?? 10);
const CASES = [
  { what: `${gigabytes} GB of 1 KiB, one subject`, args: [gigabytes * 1024, 1024, 1] },
  { what: '20 million messages of 100 B', args: [2000, 100, 1] },
  { what: 'a bucket of a million keys, each put 3 times', args: [300, 100, 1_000_000] },
];

function dropCaches() {
  execFileSync('sync');
  try {
    fs.writeFileSync('/proc/sys/vm/drop_caches', '3');
    return 'cold';
  } catch {
    return 'warm';
  }
}

const rows = [];
for (const { what, args } of CASES) {
  const dir = fs.mkdtempSync(path.join(process.env.BENCH_DIR ?? os.tmpdir(), 'candela-bench-recovery-'));
  try {
    execFileSync(STORE, ['fill', dir, ...args.map(String)], { stdio: ['ignore', 'ignore', 'inherit'] });
    const cache = dropCaches();
    const { seconds, alive, rss_kib: rss } = JSON.parse(execFileSync(STORE, ['open', dir]).toString());
    rows.push({ what, cache, 'start s': seconds, messages: alive, 'RSS MiB': Math.round(rss / 1024), 'bytes a message': Math.round((rss * 1024) / alive) });
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}
console.table(rows);
