// ./dev bench bus_soak [SECONDS]: the bus at load for a while (120 s), with clients that come and go (bus/churn.mjs), and its
// memory over time. How much it holds at a moment depends on how many clients read slowly just then; so what is judged is
// the floor that it comes back to, the lowest tenth of the samples, in the second and in the last third. Fails where that
// rises, where memory is not given back when all have left, or where the bus falters.

import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, LOAD, mint, rss, startCandela, stopServers } from './bus/servers.mjs';

const SECONDS = Number(process.argv[2] ?? 120);
const PENDING_MAX = '16MiB';
const GROWTH_MAX = 1.1;
const SLACK_BYTES = 8 * 1024 * 1024;
const AT_REST_BYTES = 48 * 1024 * 1024;  // more than at the start, for pools and caches that have filled
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'candela-bench-soak-'));
const children = [];
let failed = false;
let over = false;

function churn(creds, port) {
  const child = spawn('node', [path.join(import.meta.dirname, 'bus/churn.mjs'), port, creds, SECONDS, seed], { stdio: ['ignore', 'inherit', 'inherit'] });
  children.push(child);
  return new Promise((done) => { child.on('close', (code) => { failed = failed || code !== 0; done(); }); });
}

// One publisher and two readers, again and again, a little slower than can be.
async function load(creds, address) {
  let runs = 0;
  let closed = 0;
  while (!over && !failed) {
    const ended = await new Promise((done) => { execFile(LOAD, ['pubsub', address, creds, '200', '2', '100000'], (error) => done(error)); });
    // A machine that is too busy may make a reader so slow that it is closed; as a rule none is.
    if (ended) closed += 1;
    runs += 1;
    await sleep(100);
  }
  if (closed * 10 > runs) {
    console.error(`${closed} of ${runs} loads were closed`);
    failed = true;
  }
  return runs;
}

const mib = (bytes) => (bytes / 1024 / 1024).toFixed(1);
const floor = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 10)];
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

try {
  const candela = await startCandela(dir, `max_pending = "${PENDING_MAX}"\nmax_payload = "1MiB"\n`);
  const creds = mint(dir);
  const atRest = rss(candela.pid);
  console.log(`${SECONDS} s, seed ${seed}; at rest ${mib(atRest)} MiB`);
  const churning = churn(creds, candela.port);
  const loading = load(creds, candela.address);
  const samples = [];
  const start = Date.now();
  const step = Math.max(1, Math.round(SECONDS / 24));
  while (Date.now() - start < SECONDS * 1000 && !failed) {
    await sleep(200);
    samples.push(rss(candela.pid));
    if (samples.length % (step * 5) !== 0) continue;
    const recent = samples.slice(-step * 5);
    console.log(`${((Date.now() - start) / 1000).toFixed(0).padStart(5)} s  median ${mib(median(recent))} MiB  most ${mib(Math.max(...recent))} MiB`);
  }
  over = true;
  await churning;
  const runs = await loading;
  const third = Math.floor(samples.length / 3);
  const [second, last] = [samples.slice(third, 2 * third), samples.slice(2 * third)].map(floor);
  const limit = second * GROWTH_MAX + SLACK_BYTES;
  const end = Date.now() + 15_000;
  while (rss(candela.pid) > atRest + AT_REST_BYTES && Date.now() < end) await sleep(200);
  const afterwards = rss(candela.pid);
  console.log(`load: ${runs} × 100000 messages to 2 readers; server CPU ${cpuSeconds(candela.pid).toFixed(1)} s`);
  console.log(`memory: floor of the second third ${mib(second)} MiB, of the last ${mib(last)} MiB (at most ${mib(limit)}); most ${mib(Math.max(...samples))} MiB`);
  console.log(`afterwards ${mib(afterwards)} MiB (at most ${mib(atRest + AT_REST_BYTES)})`);
  if (last > limit || afterwards > atRest + AT_REST_BYTES) {
    console.error('memory grows');
    failed = true;
  }
} finally {
  for (const child of children) child.kill('SIGKILL');
  stopServers();
  fs.rmSync(dir, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
