// ./dev bench host [RUNS]: what a host costs and how quick it is. Spawn to exec with and without walls; from the kill of
// an instance until its successor runs; the memory of a keeper; from a log line that a service writes until `ctl logs -f`
// shows it, and 50,000 of them a second; from `ctl deploy` of a 10 MB bundle to the first 200; and an
// all-in-one node that does nothing, with ten services. Everything runs on this machine, with its own ports and folders.

import { execFileSync, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { DEFAULT_PORTS, freeOffset } from '../e2e/lib/ports.mjs';

const ROOT = path.resolve(import.meta.dirname, '../..');
const BUILD = process.env.CANDELA_BUILD ?? path.join(ROOT, 'build');
const CANDELA = path.join(BUILD, 'candela');
const runs = Number(process.argv[2] ?? 20);
const rows = [];
const row = (work, measured, goal) => rows.push({ work, measured, goal });
const percentile = (values, share) => [...values].sort((a, b) => a - b)[Math.round(share * (values.length - 1))];
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'candela-bench-host-'));
const env = { ...process.env, XDG_STATE_HOME: dir, XDG_CONFIG_HOME: dir, NO_COLOR: '1' };

const spawned = JSON.parse(execFileSync(path.join(BUILD, 'tests/bench/bench-host-spawn'), ['300']).toString());
row('spawn to exec, no walls', `p50 ${spawned.plain.p50_ms} ms, p99 ${spawned.plain.p99_ms} ms`, '');
row(`spawn to exec within ${spawned.walls.join(', ')}`, `p50 ${spawned.walled.p50_ms} ms, p99 ${spawned.walled.p99_ms} ms`, 'p99 10 ms');

const offset = await freeOffset();
const port = (name) => DEFAULT_PORTS[name] + offset;
const node = spawn(CANDELA, ['dev', '--data-dir', path.join(dir, 'data'), '--port-offset', String(offset)], { env, stdio: 'ignore' });
const ended = new Promise((done) => { node.on('exit', done); });
const get = (host, target = '/') => new Promise((done) => {
  const asked = http.get({ port: port('gateway'), path: target, headers: { host }, agent: false }, (answer) => {
    answer.resume();
    answer.on('end', () => done(answer.statusCode));
  });
  asked.on('error', () => done(0));
});
const ctl = (...words) => execFileSync(CANDELA, ['ctl', ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] }).toString();
const instances = () => JSON.parse(ctl('instances', '--json')).instances;
const stat = (pid) => fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').pop().split(' ');

function service(name, extra = {}) {
  const folder = path.join(dir, name);
  fs.mkdirSync(folder);
  fs.writeFileSync(path.join(folder, 'service.toml'), `name = "${name}"
command = ["node", "app.js"]
[probe]
path = "/"
[[route]]
host = "${name}.localhost"
`);
  fs.writeFileSync(path.join(folder, 'app.js'), `const begun = Date.now() - Math.round(process.uptime() * 1000);
require('node:http').createServer((q, s) => s.end(String(begun))).listen(process.env.PORT, process.env.HOST);
`);
  for (const [file, content] of Object.entries(extra)) fs.writeFileSync(path.join(folder, file), content);
  return folder;
}

// A service that writes a line when it is asked to, and LINES of them at RATE a second, in pieces of 10 ms; then it says
// how long that took, and how long it waited for its output at most.
async function logs() {
  const rate = 50_000;
  const seconds = 10;
  const folder = service('talker');
  fs.writeFileSync(path.join(folder, 'app.js'), `const padding = 'x'.repeat(60);
let number = 0;
const line = (i) => JSON.stringify({ level: 30, time: Date.now(), pid: 1, msg: 'line ' + i, padding }) + '\\n';
async function flood(rate, seconds) {
  const begun = performance.now();
  let most = 0;
  for (let sent = 0; sent < rate * seconds;) {
    const due = Math.min(rate * seconds, Math.floor((performance.now() - begun) / 1000 * rate));
    let text = '';
    for (; sent < due; sent += 1) text += line(sent);
    const before = performance.now();
    if (text) await new Promise((done) => { process.stdout.write(text, done); });
    most = Math.max(most, performance.now() - before);
    await new Promise((done) => { setTimeout(done, 10); });
  }
  return { seconds: (performance.now() - begun) / 1000, most };
}
require('node:http').createServer(async (q, s) => {
  if (q.url === '/flood') return s.end(JSON.stringify(await flood(${rate}, ${seconds})));
  if (q.url === '/say') process.stdout.write('said ' + Date.now() + ' ' + (number += 1) + '\\n');
  s.end();
}).listen(process.env.PORT, process.env.HOST);
`);
  ctl('deploy', folder);
  const follow = spawn(CANDELA, ['ctl', 'logs', 'talker', '-f', '--tail', '0'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  const over = new Promise((done) => { follow.on('exit', done); });
  const delays = [];
  follow.stdout.on('data', (bytes) => {
    for (const [, at] of bytes.toString().matchAll(/said (\d+)/g)) delays.push(Date.now() - Number(at));
  });
  while (delays.length === 0) {
    await get('talker.localhost', '/say');
    await pause(20);
  }
  delays.length = 0;
  for (let i = 1; i <= 300; i += 1) {
    await get('talker.localhost', '/say');
    while (delays.length < i) await pause(1);
    await pause(Math.random() * 20);
  }
  row('log line written until ctl logs -f shows it', `p50 ${percentile(delays, 0.5)} ms, p99 ${percentile(delays, 0.99)} ms, max ${Math.max(...delays)} ms`, '100 ms');
  follow.kill();
  await over;

  const metrics = () => new Promise((done) => {
    http.get({ port: port('node'), path: '/metrics' }, (answer) => {
      let text = '';
      answer.on('data', (piece) => { text += piece; });
      answer.on('end', () => done((name) => Number(text.match(new RegExp(`^${name} (\\S+)`, 'm'))[1])));
    });
  });
  const ask = (target) => new Promise((done) => {
    http.get({ port: port('gateway'), path: target, headers: { host: 'talker.localhost' }, agent: false }, (answer) => {
      let text = '';
      answer.on('data', (piece) => { text += piece; });
      answer.on('end', () => done(text));
    });
  });
  const taken = async () => (await metrics())('candela_lighthouse_log_lines');
  const before = await taken();
  const ticks = () => { const fields = stat(node.pid); return Number(fields[11]) + Number(fields[12]); };
  const cpu = ticks();
  const told = JSON.parse(await ask('/flood'));
  const ended = Date.now();
  let last = await taken();
  while (last - before < rate * seconds && Date.now() - ended < 20_000) {
    await pause(20);
    last = await taken();
  }
  const behind = Date.now() - ended;
  const used = (ticks() - cpu) / 100 / seconds;
  const now = await metrics();
  const lost = now('candela_lighthouse_log_lines_lost') + now('candela_host_log_lines_dropped');
  row(`${rate} lines/s for ${seconds} s`, `${(rate * seconds / told.seconds).toFixed(0)} lines/s written, longest write ${told.most.toFixed(0)} ms; ${last - before} at the lighthouse ${behind} ms later, ${lost} lost; ${(used * 100).toFixed(0)} % of a core`, 'none lost, service not slowed');
}

try {
  for (let i = 0; i < 200 && (await get('nobody.localhost')) === 0; i += 1) await pause(50);

  // Ten services that do nothing.
  for (let i = 0; i < 10; i += 1) ctl('deploy', service(`idle-${i}`));
  const listed = instances();
  const keepers = listed.map(({ pid }) => Number(stat(pid)[1]));
  const own = keepers.map((pid) => [...fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1').matchAll(/^Private_\w+: +(\d+)/gm)]
    .reduce((sum, [, kb]) => sum + Number(kb), 0));
  row('memory of a keeper, private', `${Math.max(...own)} kB at most of ${own.length}`, '1 MB');
  await pause(3000);
  const ticks = () => { const fields = stat(node.pid); return Number(fields[11]) + Number(fields[12]); };
  const before = ticks();
  const window = 10;
  await pause(window * 1000);
  row('all roles, idle, ten services: CPU of the node', `${((ticks() - before) / window).toFixed(2)} % of a core`, '0.5 %');
  const resident = Number(fs.readFileSync(`/proc/${node.pid}/status`, 'latin1').match(/VmRSS:\s+(\d+)/)[1]);
  row('all roles, idle, ten services: RSS of the node', `${(resident / 1024).toFixed(1)} MiB`, '30 MiB');

  // The kernel says when the successor began, to the tick of its clock.
  const tickMs = 1000 / Number(execFileSync('getconf', ['CLK_TCK']).toString());
  const uptimeMs = () => Number(fs.readFileSync('/proc/uptime', 'latin1').split(' ')[0]) * 1000;
  const restarts = [];
  for (const { pid, id } of listed) {
    const killedAt = uptimeMs();
    process.kill(pid, 'SIGKILL');
    let next;
    while (!next) {
      await pause(20);
      next = instances().find((one) => one.id === id && one.pid !== 0 && one.pid !== pid);
    }
    restarts.push(Number(stat(next.pid)[19]) * tickMs - killedAt);
  }
  row('killed: its successor runs', `p50 ${percentile(restarts, 0.5).toFixed(0)} ms, max ${Math.max(...restarts).toFixed(0)} ms (clock of ${tickMs} ms)`, '100 ms');

  // A bundle that does not compress. The program's own start is the time that node itself takes until it listens.
  const alone = [];
  for (let i = 0; i < 5; i += 1) {
    const begun = Date.now();
    execFileSync('node', ['-e', "require('node:http').createServer().listen(0, () => process.exit())"]);
    alone.push(Date.now() - begun);
  }
  const large = service('large', { 'data.bin': crypto.randomBytes(10 << 20) });
  const deploys = [];
  for (let i = 0; i < runs; i += 1) {
    fs.writeFileSync(path.join(large, 'data.bin'), crypto.randomBytes(10 << 20));
    const begun = Date.now();
    const deploying = spawn(CANDELA, ['ctl', 'deploy', large], { env, stdio: 'ignore' });
    const over = new Promise((done) => { deploying.on('exit', done); });
    if (i === 0) while ((await get('large.localhost')) !== 200) await pause(5);
    else await over;
    deploys.push(Date.now() - begun);
    await over;
  }
  row('ctl deploy of 10 MB to the first 200, first release', `${deploys[0]} ms, of which node itself ${percentile(alone, 0.5)} ms`, '1 s beyond the app');
  if (runs > 1) row(`ctl deploy of 10 MB, until the update is through (${runs - 1} times)`, `p50 ${percentile(deploys.slice(1), 0.5)} ms, p99 ${percentile(deploys.slice(1), 0.99)} ms`, '');
  await logs();
  console.table(rows);
} finally {
  node.kill('SIGTERM');
  await ended;
  fs.rmSync(dir, { recursive: true, force: true });
}
