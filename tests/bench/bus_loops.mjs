// ./dev bench bus_loops [ROUNDS]: the bus on one, two and four loops, by turns, under the same load of many publishers
// and subscribers, who are as likely on different loops as on one. On a machine with cores for all, throughput is what the
// busiest thread allows; where the clients and all loops share few cores, that is shown by the split of CPU time:
// messages per CPU second of the busiest loop (/proc/PID/task/*/schedstat). "gain" is that against one loop.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = path.resolve(import.meta.dirname, '../..');
const BUILD = process.env.CANDELA_BUILD ?? path.join(ROOT, 'build');
const CANDELA = path.join(BUILD, 'candela');
const LOAD = path.join(BUILD, 'tests/bench/bench-bus-loops-load');
const MINT = path.join(BUILD, 'tests/bench/bench-bus-load');
const ROUNDS = Number(process.argv[2] ?? 3);
const LOOPS = [1, 2, 4];

const LOADS = [
  { name: '16 pairs, 16 B', size: 16, pattern: 'pairs', publishers: 16, subscribers: 16, count: 200_000 },
  { name: '16 pairs, 128 B', size: 128, pattern: 'pairs', publishers: 16, subscribers: 16, count: 100_000 },
  { name: '16 pairs, 1 KiB', size: 1024, pattern: 'pairs', publishers: 16, subscribers: 16, count: 30_000 },
  { name: '8 to all of 16, 128 B', size: 128, pattern: 'fanout', publishers: 8, subscribers: 16, count: 20_000 },
  { name: '8 to one of 16 (queue), 128 B', size: 128, pattern: 'queue', publishers: 8, subscribers: 16, count: 200_000 },
];

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

// CPU seconds of each thread.
const threadSeconds = (pid) => new Map(fs.readdirSync(`/proc/${pid}/task`).map((tid) => {
  const [ns] = fs.readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ');
  return [tid, Number(ns) / 1e9];
}));

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'candela-bench-loops-'));
const children = [];

async function startCandela(loops) {
  const port = await freePort();
  const data = path.join(dir, `loops${loops}`);
  fs.cpSync(path.join(dir, 'identity'), path.join(data, 'identity'), { recursive: true });
  const config = path.join(data, 'bus.toml');
  fs.writeFileSync(config, `[node]
roles = ["bus"]
workers = ${loops}
data_dir = "${data}"
endpoint = "unix:${path.join(data, 'node.sock')}"
log_level = "warn"
[bus]
listen = "127.0.0.1:${port}"
loops = ${loops}
`);
  const child = spawn(CANDELA, ['node', '--config', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  await listening(port);
  return { loops, pid: child.pid, port };
}

function runLoad(server, load, creds, count) {
  const before = threadSeconds(server.pid);
  const result = JSON.parse(execFileSync(LOAD, [`127.0.0.1:${server.port}`, creds, load.size, load.pattern,
    load.publishers, load.subscribers, count].map(String)).toString());
  const spent = [...threadSeconds(server.pid)].map(([tid, seconds]) => seconds - (before.get(tid) ?? 0));
  const messages = count * load.publishers * (load.pattern === 'fanout' ? load.subscribers : 1);
  return {
    rate: messages / result.seconds,
    cpu: (spent.reduce((a, b) => a + b, 0) / messages) * 1e6,
    capacity: messages / Math.max(...spent),
    split: spent.filter((s) => s > 0.02 * Math.max(...spent)).sort((a, b) => b - a)
      .map((s) => `${Math.round((s / spent.reduce((a, b) => a + b, 0)) * 100)}%`).join(' '),
  };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

try {
  execFileSync(CANDELA, ['init', '--data-dir', dir], { stdio: 'ignore' });
  const creds = path.join(dir, 'bench.creds');
  execFileSync(MINT, ['mint', dir, creds]);
  const servers = [];
  for (const loops of LOOPS) servers.push(await startCandela(loops));
  const rows = [];
  for (const load of LOADS) {
    const results = new Map(servers.map((server) => [server, []]));
    for (const server of servers) runLoad(server, load, creds, Math.ceil(load.count / 10));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [server, list] of results) list.push(runLoad(server, load, creds, load.count));
    }
    const one = median(results.get(servers[0]).map((r) => r.capacity));
    for (const [server, list] of results) {
      const capacity = median(list.map((r) => r.capacity));
      rows.push({
        load: load.name,
        loops: server.loops,
        'messages/s here': Math.round(median(list.map((r) => r.rate))),
        'CPU µs/message': median(list.map((r) => r.cpu)).toFixed(3),
        'CPU split': list.at(-1).split,
        'messages/CPU s of the busiest': Math.round(capacity),
        gain: (capacity / one).toFixed(2),
      });
    }
  }
  console.table(rows);
} finally {
  for (const child of children) child.kill('SIGKILL');
  fs.rmSync(dir, { recursive: true, force: true });
}
