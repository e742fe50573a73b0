// ./dev bench bus [ROUNDS]: nats-server and candela's bus under the same load, by turns, with the same operator, account
// and user. CPU is the server process's own, user and system, from /proc/PID/stat.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = path.resolve(import.meta.dirname, '../..');
const BUILD = process.env.CANDELA_BUILD ?? path.join(ROOT, 'build');
const CANDELA = path.join(BUILD, 'candela');
const LOAD = path.join(BUILD, 'tests/bench/bench-bus-load');
const ROUNDS = Number(process.argv[2] ?? 5);
const TICKS = Number(execFileSync('getconf', ['CLK_TCK']).toString());

const LOADS = [
  { name: '1:1, 16 B', args: ['pubsub'], size: 16, subscribers: 1, count: 2_000_000 },
  { name: '1:1, 128 B', args: ['pubsub'], size: 128, subscribers: 1, count: 1_000_000 },
  { name: '1:4, 16 B', args: ['pubsub'], size: 16, subscribers: 4, count: 600_000 },
  { name: '1:4, 128 B', args: ['pubsub'], size: 128, subscribers: 4, count: 300_000 },
  { name: 'request/reply, 16 B', args: ['request'], size: 16, count: 30_000 },
];

const subject = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sub;

const cpuSeconds = (pid) => {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').pop().split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
};

const freePort = () => new Promise((done) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

const listening = async (port) => {
  for (;;) {
    const ok = await new Promise((done) => {
      const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); done(true); });
      socket.on('error', () => done(false));
    });
    if (ok) return;
    await sleep(20);
  }
};

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'candela-bench-bus-'));
const children = [];

async function startCandela() {
  const port = await freePort();
  execFileSync(CANDELA, ['init', '--data-dir', dir], { stdio: 'ignore' });
  const config = path.join(dir, 'bus.toml');
  fs.writeFileSync(config, `[node]
roles = ["bus"]
data_dir = "${dir}"
endpoint = "unix:${path.join(dir, 'node.sock')}"
log_level = "warn"
[bus]
listen = "127.0.0.1:${port}"
`);
  const child = spawn(CANDELA, ['node', '--config', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  await listening(port);
  return { name: 'candela', pid: child.pid, port };
}

async function startNats() {
  const port = await freePort();
  const identity = path.join(dir, 'identity');
  const read = (name) => fs.readFileSync(path.join(identity, name), 'utf8').trim();
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
  const child = spawn('nats-server', ['-c', config], { stdio: 'ignore' });
  children.push(child);
  await listening(port);
  return { name: 'nats-server', pid: child.pid, port };
}

function mint() {
  const creds = path.join(dir, 'bench.creds');
  execFileSync(LOAD, ['mint', dir, creds]);
  return creds;
}

function runLoad(server, load, creds) {
  const args = [...load.args, `127.0.0.1:${server.port}`, creds, String(load.size)];
  if (load.subscribers) args.push(String(load.subscribers));
  args.push(String(load.count));
  const before = cpuSeconds(server.pid);
  const result = JSON.parse(execFileSync(LOAD, args).toString());
  result.cpu = cpuSeconds(server.pid) - before;
  return result;
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

try {
  const candela = await startCandela();
  const nats = await startNats();
  const creds = mint();
  const rows = [];
  for (const load of LOADS) {
    // A message is counted once for each that it reaches; a request is two messages.
    const messages = load.count * (load.subscribers ?? 2);
    const results = new Map([[nats, []], [candela, []]]);
    for (const [server] of results) runLoad(server, { ...load, count: Math.ceil(load.count / 10) }, creds);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [server, list] of results) list.push(runLoad(server, load, creds));
    }
    const cpu = new Map();
    for (const [server, list] of results) {
      cpu.set(server, median(list.map((r) => (r.cpu / messages) * 1e6)));
      rows.push({
        load: load.name,
        server: server.name,
        'messages/s': Math.round(median(list.map((r) => messages / r.seconds))),
        'CPU µs/message': cpu.get(server).toFixed(3),
        'p50 µs': list[0].p50_us ? median(list.map((r) => r.p50_us)) : '',
        'p99 µs': list[0].p99_us ? median(list.map((r) => r.p99_us)) : '',
        'CPU ratio': server === candela ? (cpu.get(candela) / cpu.get(nats)).toFixed(2) : '',
      });
    }
  }
  console.table(rows);
} finally {
  for (const child of children) child.kill('SIGKILL');
  fs.rmSync(dir, { recursive: true, force: true });
}
