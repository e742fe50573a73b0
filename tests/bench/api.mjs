// ./dev bench api [--deploys N]: what the lighthouse's API takes with 10,000 instances, and what a year of history at
// 100 deploys a day leaves behind: the database's size, and how long the next start takes.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Cloud, makeService } from '../e2e/lib/cloud.mjs';
import { freePort } from '../e2e/lib/ports.mjs';
import { CANDELA, run } from '../e2e/lib/program.mjs';
import { until } from '../e2e/lib/wait.mjs';

const [, , option, value] = process.argv;
if (option !== undefined && (option !== '--deploys' || !(Number(value) >= 0))) {
  console.error('usage: ./dev bench api [--deploys N]');
  process.exit(2);
}
const DEPLOYS = value === undefined ? 36_500 : Number(value);
const INSTANCES = 10_000;
const SERVICES = 100;
const HOSTS = 20;

const endings = [];
const t = { after: (what) => endings.push(what), signal: undefined };
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

try {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  if ((await run(CANDELA, ['init', '--data-dir', data])).code !== 0) throw new Error('candela init');
  const socketPath = path.join(data, 'lighthouse.sock');
  cloud.address = `unix:${socketPath}`;
  const ports = { bus: await freePort(), node: await freePort(), api: await freePort() };
  const profile = path.join(cloud.dir, 'core.toml');
  fs.writeFileSync(profile, `[node]\nname = "core"\nroles = ["bus", "lighthouse"]\ndata_dir = "${data}"\nendpoint = "127.0.0.1:${ports.node}"
workers = 1\nlog_level = "warn"\n[bus]\nlisten = "127.0.0.1:${ports.bus}"\n[lighthouse]\nlisten = "127.0.0.1:${ports.api}"\n`);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const ask = (method, target, body) => new Promise((done, fail) => {
    const sent = http.request({ socketPath, method, path: target, agent, headers: { host: 'x' } }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => {
        const text = Buffer.concat(parts).toString();
        if (answer.statusCode >= 300) fail(new Error(`${method} ${target}: ${answer.statusCode} ${text}`));
        else done(text);
      });
    });
    sent.on('error', fail);
    sent.end(body);
  });
  const start = async () => {
    const began = performance.now();
    cloud.start('core', ['node', '--config', profile]);
    await until('the API', () => ask('GET', '/v1/version').then(() => true, () => false), { timeout: 60_000, every: 5 });
    return performance.now() - began;
  };
  const stop = () => cloud.node('core').stop();
  const database = path.join(data, 'lighthouse/state.db');
  const size = () => fs.readdirSync(path.dirname(database)).filter((name) => name.startsWith('state.db'))
    .reduce((sum, name) => sum + fs.statSync(path.join(path.dirname(database), name)).size, 0);

  const table = [];
  const row = (work, measured, goal, isMet) => table.push({ work, measured, goal: `${goal}${isMet ? '' : '  MISSED'}` });
  const emptyStart = await start();
  const files = { 'app.js': '' };
  for (let i = 0; i < SERVICES; i += 1) {
    await cloud.ctl(['deploy', makeService(t, `s${i}`, `name = "s${i}"\ncommand = ["true"]\ninstances = 0\n`, files), '--detach']);
  }

  const { nkeys } = createRequire(path.join(import.meta.dirname, '../e2e/package.json'))('nats');
  const key = nkeys.createUser();
  const releases = new Map();
  for (let i = 0; i < SERVICES; i += 1) {
    const { manifest, bundle } = JSON.parse(await ask('GET', `/v1/spaces/default/services/s${i}/releases/1`));
    const signature = Buffer.from(key.sign(Buffer.from(bundle))).toString('base64url');
    releases.set(`s${i}`, { manifest, bundle, signature, signer: key.getPublicKey() });
  }

  // History, by the very requests that make it.
  const began = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: 4 }, async () => {
    while (next < DEPLOYS) {
      const service = `s${next % SERVICES}`;
      next += 1;
      const body = { ...releases.get(service), idempotency_key: String(next) };
      await ask('POST', `/v1/spaces/default/services/${service}/releases`, JSON.stringify(body));
    }
  }));
  const each = (performance.now() - began) / Math.max(1, DEPLOYS);
  row(`${DEPLOYS} deploys, recorded`, `${each.toFixed(2)} ms each`, '', true);
  await stop();
  const megabytes = size() / 1e6;
  row('the database after them', `${megabytes.toFixed(1)} MB`, '≤ 200 MB', megabytes <= 200);
  const again = await start();
  row('start, until the API answers', `${again.toFixed(0)} ms (${emptyStart.toFixed(0)} ms when empty)`, '≤ 1 s', again <= 1000);
  await stop();

  // Instances on hosts that were there a moment ago: as after a restart of the lighthouse.
  execFileSync('python3', ['-c', `
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1])
now = int(time.time() * 1000)
target = {s: n for s, n in db.execute('SELECT service, target FROM services')}
for h in range(${HOSTS}):
    db.execute("INSERT INTO nodes (name, boot_id, version, roles, machine_id, address, heard_at, mode) VALUES (?, 'b', '1', 'host', ?, '', ?, 'open')", (f'host-{h}', f'm{h}', now))
for i in range(${INSTANCES}):
    s = f's{i % ${SERVICES}}'
    db.execute("INSERT INTO instances (id, space, service, number, node, stage, created_at, state, port) VALUES (?, 'default', ?, ?, ?, 'run', ?, 'ready', 1)",
               (f'{s}-{i:08d}', s, target[s], f'host-{i % ${HOSTS}}', now))
db.execute('UPDATE releases SET instances = ? WHERE number = (SELECT target FROM services s WHERE s.service = releases.service)', (${INSTANCES / SERVICES},))
db.commit()
`, database], { stdio: 'inherit' });
  const full = await start();
  row(`start with ${INSTANCES} instances`, `${full.toFixed(0)} ms`, '≤ 1 s', full <= 1000);
  for (const [work, target] of [
    [`list of ${INSTANCES} instances, first page`, '/v1/spaces/default/instances'],
    ['the same, of 1,000', '/v1/spaces/default/instances?limit=1000'],
    [`status of a node with ${INSTANCES / HOSTS} instances`, '/v1/nodes/host-3'],
    ['all nodes', '/v1/nodes'],
    [`${SERVICES} services`, '/v1/spaces/default/services'],
  ]) {
    const times = [];
    for (let i = 0; i < 30; i += 1) {
      const from = performance.now();
      await ask('GET', target);
      times.push(performance.now() - from);
    }
    const ms = median(times);
    row(work, `${ms.toFixed(1)} ms`, '≤ 20 ms', ms <= 20);
  }
  console.table(table);
} finally {
  for (const end of endings.reverse()) await Promise.resolve(end()).catch((error) => console.error(error.message.split('\n')[0]));
}
