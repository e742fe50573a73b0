// ./dev bench streams [ROUNDS]: durable publishing with npm nats, candela beside nats-server, by turns. candela answers
// after fsync. NATS_SERVER names another nats-server; from 2.10 on it is told to do so, too (sync_interval: always),
// an older one can't, and answers from the page cache.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = path.resolve(import.meta.dirname, '../..');
const require = createRequire(path.join(ROOT, 'tests/e2e/'));
const { connect, credsAuthenticator } = require('nats');
const jwt = require('@nats-io/jwt');
const CANDELA = path.join(process.env.CANDELA_BUILD ?? path.join(ROOT, 'build'), 'candela');
const NATS = process.env.NATS_SERVER ?? 'nats-server';
const ROUNDS = Number(process.argv[2] ?? 3);
const LOADS = [
  { inFlight: 1, count: 1000 }, { inFlight: 32, count: 10_000 }, { inFlight: 256, count: 30_000 },
];
const SIZE = 128;

const dir = fs.mkdtempSync(path.join(process.env.BENCH_DIR ?? os.tmpdir(), 'candela-bench-streams-'));
const identity = path.join(dir, 'identity');
const read = (name) => fs.readFileSync(path.join(identity, name), 'utf8').trim();
const children = [];

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
  return credsAuthenticator(Buffer.from(jwt.fmtCreds(token, user)));
}

// Each of `inFlight` publishers waits for its ack and publishes the next.
async function run(server, { inFlight, count }) {
  const js = server.connection.jetstream({ timeout: 30_000 });
  const payload = new Uint8Array(SIZE);
  const times = [];
  let left = count;
  const cpu = cpuSeconds(server.pid);
  const began = performance.now();
  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (left > 0) {
      left -= 1;
      const at = performance.now();
      await js.publish('bench', payload);
      times.push(performance.now() - at);
    }
  }));
  const seconds = (performance.now() - began) / 1000;
  times.sort((a, b) => a - b);
  return {
    rate: count / seconds, cpu: ((cpuSeconds(server.pid) - cpu) / count) * 1e6,
    p50: times[Math.floor(count * 0.5)], p99: times[Math.floor(count * 0.99)],
  };
}

async function consume(server) {
  const js = server.connection.jetstream();
  const messages = await (await js.consumers.get('BENCH')).consume({ max_messages: 1000 });
  const began = performance.now();
  let count = 0;
  for await (const message of messages) {
    count += 1;
    if (message.info.pending === 0) break;
  }
  return { rate: count / ((performance.now() - began) / 1000), cpu: 0, p50: 0, p99: 0 };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

try {
  const servers = [await startCandela(), await startNats()];
  for (const server of servers) {
    server.connection = await connect({ servers: `127.0.0.1:${server.port}`, authenticator: await creds() });
    await (await server.connection.jetstreamManager()).streams.add({ name: 'BENCH', subjects: ['bench'] });
    await run(server, { inFlight: 64, count: 2000 });
  }
  const rows = [];
  const measure = async (load, work) => {
    const results = new Map(servers.map((server) => [server, []]));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [server, list] of results) list.push(await work(server));
    }
    for (const [server, list] of results) {
      const of = (key, digits) => median(list.map((r) => r[key])).toFixed(digits);
      rows.push({ load, server: server.name, 'messages/s': of('rate', 0), 'CPU µs': of('cpu', 1), 'p50 ms': of('p50', 3), 'p99 ms': of('p99', 3) });
    }
  };
  for (const load of LOADS) await measure(`publish, ${load.inFlight} in flight`, (server) => run(server, load));
  await measure('consume, ordered', consume);
  console.table(rows);
  for (const server of servers) await server.connection.close();
} finally {
  for (const child of children) child.kill();
  await sleep(200);
  fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}
