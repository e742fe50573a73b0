// A backup made while the cloud works, and what comes of it on an empty machine.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { CANDELA, run, tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const MANIFEST = `
name = "hello"
command = ["node", "server.js"]
[[route]]
host = "hello.localhost"
`;
const SERVER = (text) => `require('node:http').createServer((q, s) => s.end('${text}')).listen(process.env.PORT);`;

test('backup and restore', async (t) => {
  const old = await startDev(t);
  const files = tempDir(t, 'backup');
  const backup = path.join(files, 'cloud.backup');
  const passphrase = { CANDELA_BACKUP_PASSPHRASE: 'three words more' };
  const ask = async (cloud) => String((await cloud.get('/', { headers: { host: 'hello.localhost' } })).body);
  const restore = (dir, { env = passphrase, more = [], file = backup } = {}) =>
    run(CANDELA, ['restore', file, '--data-dir', dir, ...more], { env });

  const service = makeService(t, 'hello', MANIFEST, { 'server.js': SERVER('one') });
  await old.ctl(['deploy', service]);
  const ada = path.join(files, 'ada.creds');
  await old.ctl(['keys', 'create', 'ada', '--role', 'developer', '--out', ada]);
  await old.ctl(['spaces', 'create', 'shop']);
  await old.ctl('secrets set password', { input: 'hunter2' });

  await t.test('made under way, with deploys going on', async () => {
    let going = true;
    const deploys = (async () => {
      for (let i = 0; going; i += 1) {
        const dir = makeService(t, 'hello', MANIFEST, { 'server.js': SERVER(`number ${i}`) });
        await old.ctl(['deploy', dir]);
      }
    })();
    const made = await old.ctl(['backup', backup], { env: passphrase });
    going = false;
    await deploys;
    assert.match(made.stderr, /candela restore/);
    assert.equal(fs.statSync(backup).mode & 0o777, 0o600);
    const bytes = fs.readFileSync(backup);
    assert.ok(!bytes.includes('SQLite format'), 'the database lies open in it');
    assert.ok(!bytes.includes('hunter2'));
    assert.deepEqual(fs.readdirSync(files).filter((name) => name.endsWith('.part')), []);
    assert.ok(!fs.existsSync(path.join(old.dataDir, 'lighthouse/backup.tmp')));
    const { audit } = await old.ctlJson(['audit', 'list', '--count', '1000']);
    assert.ok(audit.some((entry) => entry.action === 'GET /v1/backup'));
  });

  await t.test('a file that is there is not overwritten; developers get none', async () => {
    assert.equal((await old.ctl(['backup', backup], { ok: false, env: passphrase })).code, 5);
    const remote = ['--address', `https://127.0.0.1:${7400 + old.offset}`, '--ca', path.join(old.dataDir, 'lighthouse/ca/ca.crt')];
    const denied = await old.ctl(['backup', path.join(files, 'x'), ...remote, '--creds', ada], { ok: false, env: passphrase });
    assert.equal(denied.code, 4);
    assert.ok(!fs.existsSync(path.join(files, 'x')));
  });

  await t.test('a wrong passphrase, damage and a cut leave nothing behind', async () => {
    const dir = path.join(files, 'refused');
    const wrong = await restore(dir, { env: { CANDELA_BACKUP_PASSPHRASE: 'three words less' } });
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /passphrase is not the right one/);
    const bytes = fs.readFileSync(backup);
    const bad = path.join(files, 'bad.backup');
    bytes[bytes.length >> 1] ^= 1;
    fs.writeFileSync(bad, bytes);
    assert.match((await restore(dir, { file: bad })).stderr, /changed, or is damaged/);
    fs.writeFileSync(bad, fs.readFileSync(backup).subarray(0, -100));
    assert.notEqual((await restore(dir, { file: bad })).code, 0);
    fs.writeFileSync(bad, 'something else');
    assert.match((await restore(dir, { file: bad })).stderr, /no sealed stream/);
    assert.deepEqual(fs.readdirSync(dir).filter((name) => !name.endsWith('.lock')), []);
  });

  await t.test('where a lighthouse runs or has been, nothing is put', async () => {
    assert.match((await restore(old.dataDir)).stderr, /a lighthouse runs in/);
    await old.node('dev').kill();
    assert.match((await restore(old.dataDir)).stderr, /there is a cloud in .*--replace/);
  });

  await t.test('on an empty machine the cloud is as it was', async (t2) => {
    const dir = path.join(files, 'new');
    const restored = await restore(dir);
    assert.equal(restored.code, 0, restored.stderr);
    const cloud = await startDev(t2, { dataDir: dir });
    await until('the service to serve', async () => /^(one|number \d+)$/.test(await ask(cloud)));
    const { spaces } = await cloud.ctlJson(['spaces', 'list']);
    assert.ok(spaces.some((space) => space.name === 'shop'));
    assert.equal((await cloud.ctl(['audit', 'verify'])).code, 0);
    // A credential of before still logs in, and the certificate authority is the same.
    const remote = ['--address', `https://127.0.0.1:${7400 + cloud.offset}`, '--ca', path.join(old.dataDir, 'lighthouse/ca/ca.crt')];
    await cloud.ctl(['scale', 'hello', '2', ...remote, '--creds', ada]);
    await cloud.readyInstances('hello', 2);
    // A secret of before is given to who uses it.
    const keeper = makeService(t2, 'keeper', `name = "keeper"\ncommand = ["node", "server.js"]\n[[secret]]\nname = "password"\n[[route]]\nhost = "keeper.localhost"\n`,
      { 'server.js': `require('node:http').createServer((q, s) => s.end(process.env.password)).listen(process.env.PORT);` });
    await cloud.ctl(['deploy', keeper]);
    assert.equal((await cloud.get('/', { headers: { host: 'keeper.localhost' } })).text, 'hunter2');
  });

  await t.test('--replace sets aside what is there', async () => {
    const replaced = await restore(old.dataDir, { more: ['--replace'] });
    assert.equal(replaced.code, 0, replaced.stderr);
    const aside = fs.readdirSync(old.dataDir).find((name) => name.startsWith('before-restore-'));
    assert.ok(fs.existsSync(path.join(old.dataDir, aside, 'lighthouse/state.db')));
    await old.startDev();
    await until('the service to serve', async () => /^(one|number \d+)$/.test(await ask(old)));
  });
});
