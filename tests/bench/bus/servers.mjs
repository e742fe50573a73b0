// The servers that are compared: candela's bus and a nats-server in operator mode, with one identity; and what the kernel
// knows of their processes.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const BUILD = process.env.CANDELA_BUILD ?? path.join(ROOT, 'build');
const CANDELA = path.join(BUILD, 'candela');
const NEWER_NATS_SERVER = path.join(ROOT, 'build/nats-server-2.10/usr/sbin/nats-server');
const DESCRIPTORS = 20_000;
export const LOAD = path.join(BUILD, 'tests/bench/bench-bus-load');

export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const subject = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sub;

// CPU time of all threads of a process, in nanoseconds' resolution.
export function cpuSeconds(pid) {
  let total = 0;
  for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
    total += Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]);
  }
  return total / 1e9;
}

export const rss = (pid) => Number(fs.readFileSync(`/proc/${pid}/status`, 'latin1').match(/^VmRSS:\s+(\d+) kB/m)[1]) * 1024;

export const freePort = () => new Promise((done) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

const children = [];

// With room for many connections, whatever the shell's limit is.
export function startProgram(program, args, stdio = ['ignore', 'ignore', 'inherit']) {
  const script = `ulimit -n ${DESCRIPTORS} 2>/dev/null || ulimit -n $(ulimit -Hn); exec "$0" "$@"`;
  const child = spawn('sh', ['-c', script, program, ...args], { stdio });
  children.push(child);
  return child;
}

export function stopServers() {
  for (const child of children) child.kill('SIGKILL');
}

async function listening(port, child) {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${child.spawnargs[3]} ended`);
    const ok = await new Promise((done) => {
      const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); done(true); });
      socket.on('error', () => done(false));
    });
    if (ok) return;
    await sleep(20);
  }
}

// `extra`: more lines for [bus].
export async function startCandela(dir, extra = '') {
  const port = await freePort();
  execFileSync(CANDELA, ['init', '--data-dir', dir], { stdio: 'ignore' });
  const config = path.join(dir, 'bus.toml');
  fs.writeFileSync(config, `[node]
roles = ["bus"]
data_dir = "${dir}"
endpoint = "unix:${path.join(dir, 'node.sock')}"
log_level = "error"
[bus]
listen = "127.0.0.1:${port}"
${extra}`);
  const child = startProgram(CANDELA, ['node', '--config', config]);
  await listening(port, child);
  return { name: 'candela', version: execFileSync(CANDELA, ['--version']).toString().trim(), pid: child.pid, port, address: `127.0.0.1:${port}` };
}

async function startNats(dir) {
  const program = fs.existsSync(NEWER_NATS_SERVER) ? NEWER_NATS_SERVER : 'nats-server';
  const port = await freePort();
  const read = (name) => fs.readFileSync(path.join(dir, 'identity', name), 'utf8').trim();
  const accounts = ['SYS', 'default'].map((name) => read(`accounts/${name}.jwt`));
  const config = path.join(dir, 'nats.conf');
  fs.writeFileSync(config, `listen: "127.0.0.1:${port}"
operator: "${read('operator.jwt')}"
system_account: ${subject(accounts[0])}
resolver: MEMORY
resolver_preload: {
${accounts.map((token) => `  ${subject(token)}: "${token}"`).join('\n')}
}
`);
  const child = startProgram(program, ['-c', config, '-l', path.join(dir, 'nats.log')]);
  await listening(port, child);
  return { name: 'nats-server', version: execFileSync(program, ['--version']).toString().trim(), pid: child.pid, port, address: `127.0.0.1:${port}` };
}

// Credentials of a user of the space "default".
export function mint(dir) {
  const creds = path.join(dir, 'bench.creds');
  execFileSync(LOAD, ['mint', dir, creds]);
  return creds;
}

export async function startServers() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'candela-bench-bus-'));
  const candela = await startCandela(dir);
  const nats = await startNats(dir);
  return { servers: [nats, candela], creds: mint(dir), dir };
}
