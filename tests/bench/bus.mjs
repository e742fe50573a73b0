// ./dev bench bus [ROUNDS [SCALE]]: nats-server 2.10 and candela's bus under the same load, by turns, with the same operator,
// account and user; medians of ROUNDS (3), each SCALE (1) times as long as by default. CPU is the server process's own, user and
// system, of all its threads. Beside each ratio stands the goal that it is held to.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { cpuSeconds, LOAD, median, rss, startProgram, startServers, stopServers } from './bus/servers.mjs';

const ROUNDS = Number(process.argv[2] ?? 3);
const SCALE = Number(process.argv[3] ?? 1);
const IDLE_CONNECTIONS = 10_000;
const SUBSCRIPTIONS = 100_000;

const LOADS = [
  { name: '1:1, 16 B', mode: 'pubsub', size: 16, peers: 1, count: 1_500_000, work: 1_500_000, goal: 0.4 },
  { name: '1:1, 1 KiB', mode: 'pubsub', size: 1024, peers: 1, count: 300_000, work: 300_000, goal: 0.6 },
  { name: '1:100, 128 B', mode: 'pubsub', size: 128, peers: 100, count: 20_000, work: 2_000_000, goal: 0.5 },
  { name: 'request/reply, 64 clients', mode: 'request', size: 16, peers: 64, count: 40_000, work: 80_000, latencies: 1.0 },
];

function runLoad(server, { mode, size, peers, count }, creds) {
  const before = cpuSeconds(server.pid);
  const result = JSON.parse(execFileSync(LOAD, [mode, server.address, creds, size, peers, count].map(String)).toString());
  return { ...result, cpu: cpuSeconds(server.pid) - before };
}

// A load that has prepared something and takes orders, one a line.
class Session {
  constructor(args) {
    this.child = startProgram(LOAD, args.map(String), ['pipe', 'pipe', 'inherit']);
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  async next() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('the load ended');
    return value;
  }

  async order(text) {
    this.child.stdin.write(`${text}\n`);
    return JSON.parse(await this.next());
  }

  end() {
    const ended = new Promise((done) => { this.child.on('close', done); });
    this.child.stdin.end();
    return ended;
  }
}

const rows = [];
function report(load, what, unit, values, goal, digits = 3) {
  const [theirs, ours] = ['nats-server', 'candela'].map((name) => median(values.get(name)));
  const ratio = ours / theirs;
  rows.push({
    load, what, 'nats-server': `${theirs.toFixed(digits)} ${unit}`, candela: `${ours.toFixed(digits)} ${unit}`, ratio: ratio.toFixed(2),
    goal: goal === undefined ? '' : `≤ ${goal.toFixed(1)}${ratio <= goal ? '' : '  MISSED'}`,
  });
}

const each = (names, pick) => new Map([...names].map(([server, list]) => [server.name, list.map(pick)]));

async function benchLoads(servers, creds) {
  for (const given of LOADS) {
    const load = { ...given, count: Math.ceil(given.count * SCALE), work: given.work * SCALE };
    const results = new Map(servers.map((server) => [server, []]));
    for (const server of servers) runLoad(server, { ...load, count: Math.ceil(load.count / 10) }, creds);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const server of servers) results.get(server).push(runLoad(server, load, creds));
    }
    report(load.name, 'CPU a message delivered', 'µs', each(results, (r) => (r.cpu / load.work) * 1e6), load.goal);
    report(load.name, 'messages', 'k/s', each(results, (r) => load.work / r.seconds / 1000), undefined, 0);
    if (!load.latencies) continue;
    report(load.name, 'p50', 'µs', each(results, (r) => r.p50_us), load.latencies, 0);
    report(load.name, 'p99', 'µs', each(results, (r) => r.p99_us), load.latencies, 0);
  }
}

async function benchMatching(servers, creds) {
  const name = `${SUBSCRIPTIONS / 1000}k subscriptions with wildcards`;
  const sessions = new Map();
  for (const server of servers) {
    const session = new Session(['match', server.address, creds, SUBSCRIPTIONS]);
    await session.next();
    sessions.set(server, session);
  }
  const results = new Map(servers.map((server) => [server, []]));
  const count = Math.ceil(300_000 * SCALE);
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const server of servers) {
      const before = cpuSeconds(server.pid);
      const result = await sessions.get(server).order(count);
      if (round > 0) results.get(server).push({ ...result, cpu: cpuSeconds(server.pid) - before });
    }
  }
  for (const session of sessions.values()) await session.end();
  report(name, 'CPU a message matched', 'µs', each(results, (r) => (r.cpu / count) * 1e6), 0.5);
}

async function benchIdle(servers, creds) {
  const memory = new Map();
  for (const server of servers) {
    const before = rss(server.pid);
    const session = new Session(['idle', server.address, creds, IDLE_CONNECTIONS]);
    await session.next();
    memory.set(server.name, [(rss(server.pid) - before) / IDLE_CONNECTIONS / 1024]);
    await session.end();
  }
  report(`${IDLE_CONNECTIONS / 1000}k idle connections`, 'memory a connection', 'KiB', memory, 0.5, 1);
}

const { servers, creds, dir } = await startServers();
try {
  // First: what a server has freed would hide what a connection takes.
  await benchIdle(servers, creds);
  await benchLoads(servers, creds);
  await benchMatching(servers, creds);
  console.log(`${servers.map((server) => server.version).join(', ')}; ${ROUNDS} rounds`);
  console.table(rows);
} finally {
  stopServers();
  fs.rmSync(dir, { recursive: true, force: true });
}
