// Processes that a benchmark starts, where they run, and what they cost.

import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

export const ROOT = path.join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..', '..', '..');
const CORES = os.cpus().length;

// What is measured has a core of its own where there are two; backends, clients and the rest share the other.
export const MEASURED = CORES - 1;
export const OTHERS = 0;
export const pin = (core, argv) => (CORES > 1 ? ['taskset', '-c', String(core), ...argv] : argv);

export const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'candela-bench-http-'));
const started = [];
const endings = [];
// As a test context, for what the tests' library starts.
export const context = { after: (what) => { endings.push(what); }, signal: undefined };

// Returns its process id. It is ended with SIGTERM, and later killed, when all is over.
export function start(core, argv, options = {}) {
  const [file, ...args] = pin(core, argv);
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options });
  started.push(child);
  context.after(async () => {
    const ended = new Promise((done) => { child.on('exit', done); });
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGTERM')) await ended;
  });
  return child.pid;
}

export async function stopAll() {
  for (const what of endings.reverse()) {
    await Promise.resolve(what()).catch((error) => { console.error(error.message.split('\n')[0]); });
  }
  for (const child of started) child.kill('SIGKILL');
  fs.rmSync(folder, { recursive: true, force: true });
}

// Runs a client to its end and returns what it said.
export async function client(argv) {
  const [file, ...args] = pin(OTHERS, argv);
  const { stdout } = await promisify(execFile)(file, args, { maxBuffer: 1 << 24 });
  return stdout;
}

export async function listening(port, host = '127.0.0.1') {
  for (let tries = 0; tries < 400; tries += 1) {
    const ok = await new Promise((done) => {
      const socket = net.connect(port, host, () => { socket.destroy(); done(true); });
      socket.on('error', () => done(false));
    });
    if (ok) return;
    await new Promise((done) => { setTimeout(done, 50); });
  }
  throw new Error(`nothing listens on ${host}:${port}`);
}

const stat = (pid) => fs.readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '').split(' ');

// The time that the threads of all of them have run, user and system, in microseconds. The scheduler counts it in
// nanoseconds; the ticks of utime and stime are too coarse for short runs.
export function cpuOf(...pids) {
  let nanoseconds = 0;
  for (const pid of pids) {
    for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
    }
  }
  return nanoseconds / 1000;
}

// A process and all that come of it.
export function family(pid) {
  const parents = new Map();
  for (const entry of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      parents.set(Number(entry), Number(stat(entry)[1]));
    } catch {
      // It has ended meanwhile.
    }
  }
  const members = [pid];
  for (let i = 0; i < members.length; i += 1) {
    for (const [child, parent] of parents) if (parent === members[i]) members.push(child);
  }
  return members;
}

// What belongs to this process alone, in bytes.
export function privateBytes(pid) {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  return Number(text.match(/^Private_Dirty:\s+(\d+)/m)[1]) * 1024;
}

export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
