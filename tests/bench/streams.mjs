// ./dev bench streams [ROUNDS]: durable publishing and consuming, candela beside nats-server, by turns, with one client
// for both (tests/bench/bus/streams_load.cc). Both answer after fsync: nats-server does so from 2.10 on (sync_interval:
// always), an older one, if there is no other, answers from the page cache. NATS_SERVER names another nats-server. BENCH_DIR
// is where the servers keep their files: what is measured is that disk.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = path.resolve(import.meta.dirname, '../..');
const require = createRequire(path.join(ROOT, 'tests/e2e/'));
const jwt = require('@nats-io/jwt');
const BUILD = process.env.CANDELA_BUILD ?? path.join(ROOT, 'build');
const CANDELA = path.join(BUILD, 'candela');
const LOAD = path.join(BUILD, 'tests/bench/bench-bus-streams');
const NEWER_NATS = path.join(ROOT, 'build/nats-server-2.10/usr/sbin/nats-server');
const NATS = process.env.NATS_SERVER ?? (fs.existsSync(NEWER_NATS) ? NEWER_NATS : 'nats-server');
const ROUNDS = Number(process.argv[2] ?? 3);
const LOADS = [
  { inFlight: 1, count: 1000 }, { inFlight: 32, count: 10_000 }, { inFlight: 256, count: 20_000 },
];
const SIZE = 128;
const CONSUMED = 50_000;

const dir = fs.mkdtempSync(path.join(process.env.BENCH_DIR ?? os.tmpdir(), 'candela-bench-streams-'));
const identity = path.join(dir, 'identity');
const read = (name) => fs.readFileSync(path.join(identity, name), 'utf8').trim();
const children = [];
let credentials;

const freePort = () => new Promise((done) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

const ticks = Number(execFileSync('getconf', ['CLK_TCK']).toString());
const cpuSeconds = (pid) => {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').pop().split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
};

async function start(name, file, args, port) {
  const child = spawn(file, args, { stdio: 'ignore' });
  children.push(child);
  for (;;) {
    const ok = await new Promise((done) => {
      const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); done(true); });
      socket.on('error', () => done(false));
    });
    if (ok) return { name, pid: child.pid, port };
    await sleep(20);
  }
}

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
  return start('candela', CANDELA, ['node', '--config', config], port);
}

async function startNats() {
  const version = execFileSync(NATS, ['--version']).toString().match(/v(\d+)\.(\d+)\.\d+/);
  const syncs = Number(version[1]) > 2 || Number(version[2]) >= 10;
  const port = await freePort();
  const tokens = ['SYS', 'default'].map((name) => read(`accounts/${name}.jwt`));
  const config = path.join(dir, 'nats.conf');
  fs.writeFileSync(config, `listen: "127.0.0.1:${port}"
operator: "${read('operator.jwt')}"
system_account: ${jwt.decode(tokens[0]).sub}
resolver: MEMORY
resolver_preload: {
${tokens.map((token) => `  ${jwt.decode(token).sub}: "${token}"`).join('\n')}
}
jetstream { store_dir: "${path.join(dir, 'nats')}"${syncs ? ', sync_interval: always' : ''} }
`);
  return start(`nats-server ${version[0]}${syncs ? ', sync always' : ', no fsync'}`, NATS, ['-c', config], port);
}

async function creds() {
  const user = jwt.createUser();
  const signer = jwt.fromSeed(Buffer.from(read('accounts/default.seed')));
  const token = await jwt.encodeUser('bench', user, signer, { issuer_account: jwt.decode(read('accounts/default.jwt')).sub });
  const file = path.join(dir, 'bench.creds');
  fs.writeFileSync(file, jwt.fmtCreds(token, user));
  return file;
}

function load(server, mode, args, count) {
  const cpu = cpuSeconds(server.pid);
  const out = execFileSync(LOAD, [mode, `127.0.0.1:${server.port}`, credentials, ...args.map(String)]).toString();
  if (out === '') return {};
  const result = JSON.parse(out);
  return {
    rate: count / result.seconds, cpu: ((cpuSeconds(server.pid) - cpu) / count) * 1e6,
    p50: (result.p50_us ?? 0) / 1000, p99: (result.p99_us ?? 0) / 1000,
  };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

try {
  const servers = [await startCandela(), await startNats()];
  credentials = await creds();
  for (const server of servers) {
    load(server, 'create', [], 0);
    load(server, 'publish', [SIZE, 64, CONSUMED], CONSUMED);
  }
  const rows = [];
  const measure = (what, work) => {
    const results = new Map(servers.map((server) => [server, []]));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [server, list] of results) list.push(work(server));
    }
    for (const [server, list] of results) {
      const of = (key, digits) => median(list.map((r) => r[key])).toFixed(digits);
      rows.push({ load: what, server: server.name, 'messages/s': of('rate', 0), 'CPU µs': of('cpu', 1), 'p50 ms': of('p50', 3), 'p99 ms': of('p99', 3) });
    }
  };
  for (const { inFlight, count } of LOADS) {
    measure(`publish, ${inFlight} in flight`, (server) => load(server, 'publish', [SIZE, inFlight, count], count));
  }
  measure('consume, each acked', (server) => load(server, 'consume', [CONSUMED], CONSUMED));
  console.table(rows);
} finally {
  for (const child of children) child.kill();
  await sleep(200);
  fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}
