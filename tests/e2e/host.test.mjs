// The host role beside a bus, with a lighthouse that the test plays: what it starts, watches, restarts, stops
// and refuses, and what it does after it was killed.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { connect, credsAuthenticator } from 'nats';
import { Cloud } from './lib/cloud.mjs';
import { HostLighthouse, makeBundle } from './lib/host_lighthouse.mjs';
import { request } from './lib/http.mjs';
import { freePort } from './lib/ports.mjs';
import { CANDELA, isAlive, run } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

async function startHost(t, { lines = '' } = {}) {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const ports = { bus: await freePort(), bus_node: await freePort(), node: await freePort() };
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  const busProfile = path.join(cloud.dir, 'bus.toml');
  fs.writeFileSync(busProfile, `[node]
name = "bus-1"
roles = ["bus"]
data_dir = "${data}"
endpoint = "127.0.0.1:${ports.bus_node}"
[bus]
listen = "127.0.0.1:${ports.bus}"
`);
  const profile = path.join(cloud.dir, 'host.toml');
  fs.writeFileSync(profile, `[node]
name = "host-1"
roles = ["host"]
data_dir = "${data}"
endpoint = "127.0.0.1:${ports.node}"
[bus]
url = "127.0.0.1:${ports.bus}"
[host]
bus_url = "nats://127.0.0.1:${ports.bus}"
${lines}
`);
  cloud.start('bus', ['node', '--config', busProfile], { cwd: cloud.dir });
  await cloud.ready('bus', ports.bus_node);
  const start = () => cloud.start('host', ['node', '--config', profile], { cwd: cloud.dir });
  start();
  const server = `127.0.0.1:${ports.bus}`;
  const lighthouse = await HostLighthouse.start(t, data, server);
  await cloud.ready('host', ports.node);
  return { cloud, data, ports, server, lighthouse, start };
}

const SERVER = `const http = require('node:http');
console.log('up with ' + process.env.GREETING);
http.createServer((q, s) => {
  if (q.url === '/env') return s.end(JSON.stringify(process.env));
  if (q.url === '/exit') process.exit(7);
  s.end('hello from ' + process.env.CANDELA_INSTANCE);
}).listen(process.env.PORT, process.env.HOST);
`;
const web = (bundle, more = {}) => ({
  instance: 'web-1', command: ['node', 'server.js'], bundle, probe: { path: '/' }, env: { GREETING: 'joy' }, ...more,
});

test('an instance runs from its bundle, and nothing of it is left when it is stopped', { timeout: 90_000 }, async (t) => {
  const { data, server, lighthouse } = await startHost(t);
  const bundle = lighthouse.add({ 'server.js': SERVER, 'large.bin': Buffer.alloc(1_500_000, 7) });
  await lighthouse.assign([web(bundle), web(bundle, { instance: 'web-2' })]);
  const one = await lighthouse.reached('web-1', 'ready');
  const two = await lighthouse.reached('web-2', 'ready');
  assert.notEqual(one.port, two.port);
  assert.equal((await request(one.port, '/')).text, 'hello from web-1');
  await lighthouse.said('web-1', 'up with joy');

  // The bundle came once, in pieces, for both.
  const offsets = lighthouse.reads.map((read) => read.offset);
  assert.equal(new Set(offsets).size, offsets.length);
  assert.ok(offsets.length > 2);

  // Its environment is its own, and its credential opens the bus in its own space.
  const env = JSON.parse((await request(one.port, '/env')).text);
  assert.equal(env.CANDELA_NODE, 'host-1');
  assert.equal(env.CANDELA_SPACE, 'default');
  assert.equal(env.USER, undefined);
  assert.equal(fs.statSync(env.CANDELA_BUS_CREDS).mode & 0o777, 0o600);
  const bus = await connect({ servers: env.CANDELA_BUS_URL, authenticator: credsAuthenticator(fs.readFileSync(env.CANDELA_BUS_CREDS)) });
  await bus.flush();
  await bus.close();

  await lighthouse.assign([web(bundle, { instance: 'web-2' })]);
  await until('web-1 to be gone', () => lighthouse.instances()['web-1'] === undefined);
  assert.equal(isAlive(one.pid), false);
  await until('its folder to be gone', () => !fs.existsSync(path.join(data, 'host/run/web-1')));
  assert.equal((await request(two.port, '/')).text, 'hello from web-2');
});

test('an instance ignores no signal that nobody told it to', { timeout: 60_000 }, async (t) => {
  const { lighthouse } = await startHost(t);
  const bundle = lighthouse.add({ 'server.js': SERVER });
  const command = ['sh', '-c', 'grep SigIgn /proc/self/status; exec node server.js'];
  await lighthouse.assign([web(bundle, { command })]);
  await lighthouse.said('web-1', 'SigIgn:\t0000000000000000');
});

test('an instance that ends is started again, with growing pauses', { timeout: 90_000 }, async (t) => {
  const { lighthouse } = await startHost(t);
  const bundle = lighthouse.add({ 'server.js': SERVER });
  await lighthouse.assign([web(bundle)]);
  const first = await lighthouse.reached('web-1', 'ready');
  process.kill(first.pid, 'SIGKILL');
  const second = await until('another process', () => {
    const now = lighthouse.instances()['web-1'];
    return now.state === 'ready' && now.pid !== first.pid && now;
  });
  assert.equal(second.restarts, 1);
  assert.equal(second.exitCode, 137);

  await lighthouse.assign([web(bundle), {
    instance: 'bad-1', command: ['sh', '-c', 'echo no database >&2; exit 9'], bundle, probe: { tcp: true },
  }]);
  const bad = await lighthouse.reached('bad-1', 'failed');
  assert.equal(bad.exitCode, 9);
  assert.ok(bad.tail.includes('no database'));
  assert.match(bad.cause, /before it was ready with exit code 9/);
});

test('bundles that do not verify, or lead out of their folder, never run', { timeout: 90_000 }, async (t) => {
  const { data, lighthouse } = await startHost(t);
  const good = lighthouse.add({ 'server.js': SERVER });
  const forged = { archive: makeBundle({ 'server.js': 'evil' }).archive, digest: good.digest };
  const escaping = lighthouse.add({ '../../evil': 'x' });
  const linking = lighthouse.add({ etc: { type: '2', link: '/etc' }, 'etc/evil': 'x' });
  const rubbish = { archive: Buffer.from('not an archive at all') };
  rubbish.digest = crypto.createHash('sha256').update(rubbish.archive).digest('hex');
  lighthouse.bundles.set(rubbish.digest, rubbish.archive);
  await lighthouse.assign([
    web(good, { instance: 'unsigned-1', signature: lighthouse.sign('0'.repeat(64)) }),
    web(escaping, { instance: 'escaping-1' }), web(linking, { instance: 'linking-1' }),
    web(rubbish, { instance: 'rubbish-1' }), web({ ...good, digest: 'f'.repeat(64) }, { instance: 'missing-1' }),
  ]);
  assert.match((await lighthouse.reached('unsigned-1', 'failed')).cause, /signature/);
  assert.match((await lighthouse.reached('escaping-1', 'failed')).cause, /leads upwards/);
  assert.match((await lighthouse.reached('linking-1', 'failed')).cause, /absolute path/);
  assert.equal((await lighthouse.reached('rubbish-1', 'failed')).pid, 0);
  assert.match((await lighthouse.reached('missing-1', 'failed')).cause, /no such bundle/);

  lighthouse.bundles.set(good.digest, forged.archive);
  await lighthouse.assign([web({ archive: forged.archive, digest: good.digest }, { instance: 'forged-1' })]);
  assert.match((await lighthouse.reached('forged-1', 'failed')).cause, /digest/);
  await lighthouse.assign([]);
  await until('the bundles to be gone', () => fs.readdirSync(path.join(data, 'host/bundles')).length === 0);
  assert.equal(fs.existsSync(path.join(data, 'evil')), false);
});

test('a host that was killed goes on with what it left', { timeout: 90_000 }, async (t) => {
  const { cloud, data, ports, lighthouse, start } = await startHost(t);
  const bundle = lighthouse.add({ 'server.js': SERVER });
  const job = { instance: 'job-1', kind: 'job', command: ['sh', '-c', 'echo once; exit 4'], bundle, probe: {} };
  const jobs = () => lighthouse.lines.filter((line) => line.text === 'once').length;
  const crashing = { instance: 'short-1', command: ['node', '-e', `
    console.log('short ' + process.pid);
    require('node:http').createServer((q, s) => s.end()).listen(process.env.PORT);
    setTimeout(() => process.exit(7), 2500);`], bundle, probe: { path: '/' } };
  await lighthouse.assign([web(bundle), job, crashing, web(bundle, { instance: 'gone-1' })]);
  const before = await lighthouse.reached('web-1', 'ready');
  const gone = await lighthouse.reached('gone-1', 'ready');
  const short = await lighthouse.reached('short-1', 'ready');
  await lighthouse.reached('job-1', 'failed');
  await until('the job to be logged', () => jobs() === 1);
  const reads = lighthouse.reads.length;
  await cloud.node('host').kill('SIGKILL');
  assert.equal((await request(before.port, '/')).text, 'hello from web-1');
  await until('the short one to end', () => !isAlive(short.pid));
  // Nobody wants this one any more when the host is back.
  lighthouse.want([web(bundle), job, crashing]);

  start();
  await cloud.ready('host', ports.node);
  const after = await lighthouse.reached('web-1', 'ready');
  assert.deepEqual([after.pid, after.port, after.restarts], [before.pid, before.port, 0]);
  assert.equal((await request(after.port, '/')).text, 'hello from web-1');
  const restarted = await until('the short one to be restarted', () => {
    const now = lighthouse.instances()['short-1'];
    return now?.restarts === 1 && now;
  });
  assert.equal(restarted.exitCode, 7);
  await until('the unwanted one to be gone', () => !isAlive(gone.pid) && !fs.existsSync(path.join(data, 'host/run/gone-1')));
  await lighthouse.reached('job-1', 'failed');
  assert.equal(jobs(), 1);
  assert.equal(lighthouse.reads.length, reads, 'the bundle was there already');
  // What it says from now on comes, too.
  await request(after.port, '/exit').catch(() => {});
  const third = await until('another process', () => {
    const now = lighthouse.instances()['web-1'];
    return now?.state === 'ready' && now.pid !== before.pid && now;
  });
  assert.deepEqual([third.restarts, third.exitCode], [1, 7]);
});

test('what was written while the host was away is not lost', { timeout: 90_000 }, async (t) => {
  const { cloud, ports, lighthouse, start } = await startHost(t);
  const bundle = lighthouse.add({ a: 'x' });
  await lighthouse.assign([{ instance: 'count-1', kind: 'bus', probe: {}, bundle,
    command: ['sh', '-c', 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done'] }]);
  await lighthouse.reached('count-1', 'ready');
  await lighthouse.said('count-1', 'line 20');
  await cloud.node('host').stop();
  await until('time to go by', () => lighthouse.lines.length > 0);
  start();
  await cloud.ready('host', ports.node);
  const last = () => Number(lighthouse.lines.at(-1).text.match(/^line (\d+)$/)?.[1] ?? 0);
  const before = last();
  await until('new lines', () => last() > before + 100);
  const numbers = lighthouse.lines.map((line) => Number(line.text.match(/^line (\d+)$/)?.[1])).filter(Boolean);
  assert.deepEqual(numbers.filter((n, i) => i > 0 && n !== numbers[i - 1] + 1), []);
});

test('without a lighthouse the host goes on, even after a restart', { timeout: 90_000 }, async (t) => {
  const { cloud, ports, lighthouse, start } = await startHost(t);
  const bundle = lighthouse.add({ 'server.js': SERVER });
  await lighthouse.assign([web(bundle)]);
  const before = await lighthouse.reached('web-1', 'ready');
  await lighthouse.stop();
  await cloud.node('host').stop();
  assert.equal((await request(before.port, '/')).text, 'hello from web-1');
  start();
  await cloud.ready('host', ports.node);
  await until('it to be adopted', () => cloud.node('host').output().includes(`pid=${before.pid} port=${before.port}`));
  // It is looked after: one that crashes is started again, from the bundle that is there.
  process.kill(before.pid, 'SIGKILL');
  const found = await until('the instance to run again', async () => {
    const log = cloud.node('host').output();
    const port = [...log.matchAll(/instance_started .*?port=(\d+)/g)].at(-1)?.[1];
    return port && Number(port) !== before.port && (await request(Number(port), '/')).text;
  });
  assert.equal(found, 'hello from web-1');
});

test('with keep_instances = false they end with the host, even where it is killed', { timeout: 90_000 }, async (t) => {
  const { cloud, ports, lighthouse, start } = await startHost(t, { lines: 'keep_instances = false' });
  const bundle = lighthouse.add({ 'server.js': SERVER });
  await lighthouse.assign([web(bundle)]);
  const first = await lighthouse.reached('web-1', 'ready');
  await cloud.node('host').kill('SIGKILL');
  await until('it to end', () => !isAlive(first.pid));
  start();
  await cloud.ready('host', ports.node);
  const second = await until('another process', () => {
    const now = lighthouse.instances()['web-1'];
    return now?.state === 'ready' && now.pid !== first.pid && now;
  });
  await cloud.node('host').stop();
  assert.equal(isAlive(second.pid), false);
});

test('a static service is served by candela itself', { timeout: 60_000 }, async (t) => {
  const { lighthouse } = await startHost(t);
  const bundle = lighthouse.add({ 'public/index.html': '<p>static', secret: 'x' });
  await lighthouse.assign([{ instance: 'site-1', kind: 'static', root: 'public', bundle, probe: { tcp: true } }]);
  const { port } = await lighthouse.reached('site-1', 'ready');
  const answer = await request(port, '/');
  assert.equal(answer.text, '<p>static');
  assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal((await request(port, '/..%2fsecret')).status, 404);
});

test('output without line ends is cut, and the host stays small', { timeout: 60_000 }, async (t) => {
  const { lighthouse } = await startHost(t);
  const bundle = lighthouse.add({ a: 'x' });
  await lighthouse.assign([{ instance: 'loud-1', kind: 'bus', probe: {}, bundle,
    command: ['sh', '-c', 'head -c 10000000 /dev/zero | tr "\\0" x; echo; echo done; exec sleep 1000'] }]);
  await lighthouse.said('loud-1', 'done');
  const cut = lighthouse.lines.find((line) => line.text.includes('bytes cut'));
  assert.ok(cut.text.length <= 16 * 1024);
});
