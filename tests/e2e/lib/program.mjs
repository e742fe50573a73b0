// Programs that a test starts: their output is kept, and they are stopped by pid, whatever happens.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const ROOT = path.resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../..');
export const CANDELA = process.env.CANDELA_BIN ?? path.join(ROOT, 'build/candela');

export const makeTempDir = (name = 'candela') => fs.mkdtempSync(path.join(os.tmpdir(), `${name}-`));
export const removeDir = (dir) => fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });

// A folder that is removed when the test ends.
export function tempDir(t, name) {
  const dir = makeTempDir(name);
  t.after(() => removeDir(dir));
  return dir;
}

export const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    // A zombie is not alive.
    return fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').pop()[0] !== 'Z';
  } catch {
    return false;
  }
};

// Resident memory in bytes; 0 where the process is gone.
export function rss(pid) {
  try {
    const line = fs.readFileSync(`/proc/${pid}/status`, 'latin1').match(/^VmRSS:\s+(\d+) kB/m);
    return line ? Number(line[1]) * 1024 : 0;
  } catch {
    return 0;
  }
}

// Every process whose working directory lies in the folder: finds what a node has left behind.
export function processesIn(dir) {
  const found = [];
  for (const entry of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const cwd = fs.readlinkSync(`/proc/${entry}/cwd`);
      if ((cwd + '/').startsWith(dir + '/') && isAlive(Number(entry))) found.push(Number(entry));
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

const isKeeper = (pid) => {
  try {
    return fs.readFileSync(`/proc/${pid}/comm`, 'latin1').trim() === 'candela-keeper';
  } catch {
    return false;
  }
};

const parentOf = (pid) => {
  try {
    return Number(fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').pop().split(' ')[1]);
  } catch {
    return 0;
  }
};

// The keepers of instances: those that are in the folder, and those that have a root of their own and are known by
// what they keep. Then the rest: what instances are made of.
export const keepersIn = (dir) => {
  const found = processesIn(dir);
  return [...new Set([...found, ...found.map(parentOf)])].filter((pid) => pid > 1 && isKeeper(pid));
};
export const programsIn = (dir) => processesIn(dir).filter((pid) => !isKeeper(pid));

export class Program {
  // `log` is the file that takes stdout and stderr.
  constructor(file, args, { cwd, env, log, name = path.basename(file) } = {}) {
    this.name = name;
    this.log = log;
    const out = fs.openSync(log, 'a');
    this.child = spawn(file, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', out, out],
    });
    fs.closeSync(out);
    this.pid = this.child.pid;
    this.ended = new Promise((done) => {
      this.child.on('exit', (code, signal) => done({ code, signal }));
      this.child.on('error', (error) => done({ code: null, signal: null, error }));
    });
    this.ended.then((how) => { this.how = how; });
  }

  kill(signal = 'SIGKILL') {
    if (!this.how) this.child.kill(signal);
    return this.ended;
  }

  // SIGTERM, and SIGKILL for one that does not listen. Returns how it ended.
  async stop(grace = 15_000) {
    if (!this.how) {
      this.child.kill('SIGTERM');
      let late = false;
      const timer = setTimeout(() => { late = true; this.child.kill('SIGKILL'); }, grace);
      await this.ended;
      clearTimeout(timer);
      if (late) this.how = { ...this.how, late };
    }
    return this.how ?? this.ended;
  }

  output() {
    return fs.existsSync(this.log) ? fs.readFileSync(this.log, 'utf8') : '';
  }

  // The end of its log, for a failing test's message.
  tail(lines = 40) {
    return this.output().trimEnd().split('\n').slice(-lines).join('\n');
  }
}

// Runs a program to its end. Never throws for its exit code.
export function run(file, args, { cwd, env, input, timeout = 60_000 } = {}) {
  return new Promise((done) => {
    const child = spawn(file, args, { cwd, env: { ...process.env, ...env } });
    let stdout = '';
    let stderr = '';
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeout);
    child.stdout.on('data', (bytes) => { stdout += bytes; });
    child.stderr.on('data', (bytes) => { stderr += bytes; });
    child.on('error', (error) => {
      clearTimeout(timer);
      done({ code: null, stdout, stderr: `${stderr}${error.message}`, timedOut });
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      done({ code, signal, stdout, stderr, timedOut });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
