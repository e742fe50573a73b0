// Secrets and config: set, delivered, changed, taken back; and nowhere to be seen.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { run, tempDir } from './lib/program.mjs';
import { sleep, until } from './lib/wait.mjs';

const HOST = 'keeper.localhost';
const SERVER = `
const fs = require('node:fs');
const read = (name) => fs.readFileSync(process.env.CANDELA_VALUES + '/' + name, 'utf8');
let key = read('tls.key');
let signals = 0;
process.on('SIGHUP', () => { signals += 1; key = read('tls.key'); });
if (process.env.PASSWORD === 'wrong') process.exit(9);
require('node:http').createServer((request, response) => {
  if (request.url === '/healthz') return response.end('ok');
  const stat = fs.statSync(process.env.CANDELA_VALUES + '/tls.key');
  response.end(JSON.stringify({ password: process.env.PASSWORD, key, signals, pid: process.pid,
    mode: (stat.mode & 0o777).toString(8), limits: read('limits.json'), folder: process.env.CANDELA_VALUES,
    release: process.env.CANDELA_RELEASE }));
}).listen(process.env.PORT);
`;
const MANIFEST = `
name = "keeper"
command = ["node", "server.js"]
instances = 2
[[secret]]
name = "db.password"
env = "PASSWORD"
[[secret]]
name = "tls"
file = "tls.key"
mode = "0440"
on_change = "signal"
[[config]]
name = "limits"
file = "limits.json"
on_change = "nothing"
[probe]
path = "/healthz"
interval = "100ms"
start_timeout = "5s"
[[route]]
host = "${HOST}"
`;

// All events so far, as text: up to the one that `last` is in.
function events(cloud, last) {
  return new Promise((done, fail) => {
    const socketPath = cloud.address.replace('unix:', '');
    const asked = http.get({ socketPath, path: '/v1/events?after=0', timeout: 10_000 }, (answer) => {
      let text = '';
      answer.on('data', (bytes) => {
        text += bytes;
        if (!text.includes(last)) return;
        asked.destroy();
        done(text);
      });
    });
    asked.on('error', fail);
  });
}

// Every file below the folder that has the text in it.
function filesWith(dir, text) {
  return fs.readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => fs.readFileSync(file).includes(text));
}

test('secrets and config', { timeout: 240_000 }, async (t) => {
  const cloud = await startDev(t);
  const ask = async () => JSON.parse((await cloud.get('/', { host: HOST })).text);
  const dir = makeService(t, 'keeper', MANIFEST, { 'server.js': SERVER });

  await t.test('a missing secret is a clear error of plan and deploy', async () => {
    const plan = await cloud.ctlJson(['plan', dir], { ok: false });
    assert.match(plan.problems.join(), /what the space default does not have: the secret db\.password, the secret tls, the config value limits/);
    const refused = await cloud.ctl(['deploy', dir], { ok: false });
    assert.equal(refused.code, 3);
    assert.match(refused.stderr, /set it by candela ctl secrets set/);
  });

  await t.test('values come from a pipe, a file, or the command line where they are no secret', async () => {
    const files = tempDir(t, 'values');
    fs.writeFileSync(path.join(files, 'key'), 'key one\n');
    await cloud.ctl('secrets set db.password', { input: 'hunter-one' });
    const set = await cloud.ctlJson(['secrets', 'set', 'tls', '--file', path.join(files, 'key')]);
    assert.equal(set.version, 1);
    assert.equal(set.value, undefined);
    await cloud.ctl(['config', 'set', 'limits', '{"max":1}']);
    assert.equal((await cloud.ctl('config get limits')).stdout, '{"max":1}');
    const echoed = await cloud.ctl('secrets set other', { input: 'line\n' });
    assert.match(echoed.stderr, /ends with a newline/);
    const { secrets } = await cloud.ctlJson(['secrets', 'list']);
    assert.deepEqual(secrets.map((each) => each.name), ['db.password', 'other', 'tls']);
    assert.equal((await cloud.ctl(['secrets', 'set', 'x', 'plain'], { ok: false })).code, 2);
    assert.equal((await cloud.ctl('secrets set 9x', { ok: false, input: 'a' })).code, 2);
    const large = await cloud.ctl('secrets set large', { ok: false, input: 'x'.repeat(65_537) });
    assert.match(large.stderr, /more than 64/);
  });

  await t.test('a service finds them as a variable and files in memory', async () => {
    await cloud.ctl(['deploy', dir]);
    const found = await ask();
    assert.equal(found.password, 'hunter-one');
    assert.equal(found.key, 'key one\n');
    assert.equal(found.mode, '440');
    assert.equal(found.limits, '{"max":1}');
    const kind = await run('stat', ['-f', '-c', '%T', found.folder]);
    // Within walls of its own the folder is elsewhere seen from here.
    if (kind.code === 0) assert.equal(kind.stdout.trim(), 'tmpfs');
  });

  await t.test('they are on no disk, in no log, event, audit entry or answer', async () => {
    const outputs = [];
    for (const words of ['secrets list', 'secrets history db.password', 'audit list', 'releases keeper', 'instances', 'status']) {
      outputs.push((await cloud.ctl(words.split(' '))).stdout, JSON.stringify(await cloud.ctlJson(words.split(' ')).catch(() => '')));
    }
    outputs.push((await cloud.ctl(['logs', 'keeper'])).stdout, await events(cloud, 'secret_set'));
    for (const secret of ['hunter-one', 'key one', Buffer.from('hunter-one').toString('base64')]) {
      assert.ok(!outputs.join().includes(secret), secret);
      assert.deepEqual(filesWith(cloud.dataDir, secret), []);
      assert.ok(!cloud.node('dev').output().includes(secret));
    }
  });

  await t.test('every change is in the audit log', async () => {
    const { audit } = await cloud.ctlJson(['audit', 'list']);
    const put = audit.find((entry) => entry.action === 'PUT /v1/spaces/default/secrets/db.password');
    assert.deepEqual([put.outcome, put.detail, put.space], ['done', 'version 1', 'default']);
  });

  await t.test('a change restarts what uses it, and no request is lost', async () => {
    const load = cloud.load({ host: HOST, target: '/' });
    await sleep(200);
    const set = await cloud.ctl('secrets set db.password', { input: 'hunter-two' });
    assert.match(set.stdout, /db\.password version 2/);
    assert.equal((await ask()).password, 'hunter-two');
    await load.stop();
    assert.deepEqual(load.failures, []);
    const { releases } = await cloud.ctlJson(['releases', 'keeper']);
    assert.equal(releases[0].reason, 'secret db.password');
    // The same once more changes nothing.
    const again = await cloud.ctlJson(['secrets', 'set', 'db.password'], { input: 'hunter-two' });
    assert.equal(again.changed, false);
    assert.equal((await cloud.ctlJson(['releases', 'keeper'])).releases.length, releases.length);
  });

  await t.test('a file with on_change = "signal" is replaced and the program told', async () => {
    const before = await ask();
    const set = await cloud.ctlJson(['secrets', 'set', 'tls'], { input: 'key two' });
    assert.deepEqual(set.told, ['keeper']);
    await until('the signal', async () => {
      const now = await ask();
      return now.key === 'key two' && now.signals >= 1;
    });
    assert.equal((await ask()).release, before.release);
    await cloud.ctl(['config', 'set', 'limits', '{"max":2}']);
    await until('the new file', async () => (await ask()).limits === '{"max":2}');
  });

  await t.test('a value that breaks the service is taken back with its release', async () => {
    const bad = await cloud.ctl('secrets set db.password', { ok: false, input: 'wrong' });
    assert.equal(bad.code, 8, bad.stderr);
    assert.equal((await ask()).password, 'hunter-two');
    // A host that starts the instances anew gives them what their release has, not the newest.
    await cloud.ctl('secrets rollback db.password');
    assert.equal((await ask()).password, 'hunter-two');
    const history = await cloud.ctlJson(['secrets', 'history', 'db.password']);
    assert.deepEqual(history.versions.map((each) => [each.version, each.copy_of]), [[4, 2], [3, undefined], [2, undefined], [1, undefined]]);
  });

  await t.test('what is in use is not removed', async () => {
    const refused = await cloud.ctl('secrets rm tls', { ok: false });
    assert.equal(refused.code, 5);
    assert.match(refused.stderr, /is used by keeper/);
    await cloud.ctl('secrets rm other');
    assert.equal((await cloud.ctl('secrets history other', { ok: false })).code, 3);
    assert.equal((await cloud.ctl('config rm nothing', { ok: false })).code, 3);
  });

  await t.test('the sealing key rotates, and all goes on, over a restart too', async () => {
    const file = path.join(cloud.dataDir, 'lighthouse/sealing.key');
    const before = fs.readFileSync(file, 'utf8');
    const rotated = await cloud.ctlJson(['secrets', 'rotate-key']);
    assert.equal(rotated.sealed, 6);
    assert.notEqual(fs.readFileSync(file, 'utf8').split('\n')[0], before.split('\n')[0]);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    await cloud.node('dev').stop();
    await cloud.startDev();
    await cloud.readyInstances('keeper', 2);
    assert.equal((await ask()).password, 'hunter-two');
    assert.equal((await cloud.ctl('audit verify')).code, 0);
  });

  await t.test('each space has its own', async () => {
    await cloud.ctl(['spaces', 'create', 'shop']);
    assert.deepEqual((await cloud.ctlJson(['secrets', 'list', '--space', 'shop'])).secrets, []);
    const other = makeService(t, 'keeper', MANIFEST.replace(HOST, 'shop.localhost'), { 'server.js': SERVER });
    const refused = await cloud.ctl(['deploy', other, '--space', 'shop'], { ok: false });
    assert.equal(refused.code, 3);
  });
});

test('an instance that ends is started again with its values, which go with it', { timeout: 60_000 }, async (t) => {
  const cloud = await startDev(t);
  await cloud.ctl('secrets set password', { input: 'hunter-one' });
  const dir = makeService(t, 'plain', `name = "plain"\ncommand = ["node", "server.js"]\n[[secret]]\nname = "password"\n[[route]]\nhost = "plain.localhost"\n`, {
    'server.js': `require('node:http').createServer((q, s) => { if (q.url === '/exit') process.exit(1); s.end(process.env.password); }).listen(process.env.PORT);`,
  });
  await cloud.ctl(['deploy', dir]);
  const get = async (target) => (await cloud.get(target, { host: 'plain.localhost' })).text;
  assert.equal(await get('/'), 'hunter-one');
  await get('/exit').catch(() => {});
  await until('the next start', async () => (await get('/')) === 'hunter-one');
  await cloud.ctl('delete plain');
  await until('the folder to go', () => {
    const run_id = fs.readFileSync(path.join(cloud.dataDir, 'host/run_id'), 'utf8');
    return [process.env.XDG_RUNTIME_DIR, '/run', '/dev/shm'].filter(Boolean)
      .map((place) => path.join(place, `candela-${run_id}`)).filter((folder) => fs.existsSync(folder))
      .every((folder) => fs.readdirSync(folder).length === 0);
  });
});
