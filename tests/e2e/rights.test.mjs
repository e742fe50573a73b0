// Who may what, space by space, and how much of the cloud a space may have.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { until } from './lib/wait.mjs';

const APP = `require('node:http').createServer((_, answer) => answer.end('ok')).listen(process.env.PORT);`;
const MANIFEST = (name, more = '') => `name = "${name}"
command = ["node", "app.js"]
instances = 2
[probe]
tcp = true
interval = "100ms"
${more}`;

test('grants and quotas', { timeout: 180_000 }, async (t) => {
  const cloud = await startDev(t);
  const authority = path.join(cloud.dataDir, 'lighthouse/ca/ca.crt');
  const remote = ['--address', `https://127.0.0.1:${7400 + cloud.offset}`, '--ca', authority];
  for (const space of ['team', 'shop']) await cloud.ctl(['spaces', 'create', space]);
  const made = await cloud.ctlJson(['keys', 'create', 'ada', '--grants', 'team=viewer,shop=developer', '--out', path.join(cloud.dir, 'ada.creds')]);
  const ada = (words, options) => cloud.ctl([...words, ...remote, '--creds', path.join(cloud.dir, 'ada.creds')], { ok: false, ...options });
  const web = makeService(t, 'web', MANIFEST('web'), { 'app.js': APP });
  const spacesOf = async () => JSON.parse((await ada(['spaces', 'list', '--json'])).stdout).spaces.map((space) => space.name);

  await t.test('a key has another role in each space, and none elsewhere', async () => {
    assert.equal((await ada(['deploy', web, '--space', 'shop'])).code, 0);
    assert.equal((await ada(['deploy', web, '--space', 'team'])).code, 4);
    assert.equal((await ada(['services', '--space', 'team'])).code, 0);
    assert.equal((await ada(['services'])).code, 4);
    assert.deepEqual(await spacesOf(), ['shop', 'team']);
    assert.equal((await ada(['keys', 'create', 'more', '--out', '-'])).code, 4);
    assert.equal((await ada(['spaces', 'quota', 'shop', '--services', '9'])).code, 4);
  });
  await t.test('what is granted is changed at once, also under a stream that is open', async () => {
    const follow = ada(['logs', 'web', '--space', 'shop', '--follow']);
    await cloud.ctl(['keys', 'grant', made.public, 'team=developer']);
    assert.deepEqual(await spacesOf(), ['team']);
    assert.equal((await ada(['services', '--space', 'shop'])).code, 4);
    assert.equal((await ada(['deploy', web, '--space', 'team'])).code, 0);
    assert.notEqual((await follow).code, 0);
    assert.equal((await cloud.ctl(['keys', 'grant', made.public, ''])).code, 0);
    assert.deepEqual(await spacesOf(), []);
    await cloud.ctl(['keys', 'grant', made.public, 'team=developer']);
  });
  await t.test('grants that make no sense are refused', async () => {
    for (const grants of ['team', 'team=boss', 'team=operator', '=viewer']) {
      const refused = await cloud.ctl(['keys', 'create', 'x', '--grants', grants, '--out', '-'], { ok: false });
      assert.ok([2, 3].includes(refused.code), `${grants}: ${refused.code} ${refused.stderr}`);
    }
    assert.equal((await cloud.ctl(['keys', 'create', 'x', '--grants', 'nowhere=viewer', '--out', '-'], { ok: false })).code, 3);
    assert.equal((await cloud.ctl(['keys', 'create', 'x', '--grants', 'team=viewer', '--role', 'operator', '--out', '-'], { ok: false })).code, 2);
    // One that was made without them has its role by its JWT.
    const plain = await cloud.ctlJson(['keys', 'create', 'plain', '--out', path.join(cloud.dir, 'plain.creds')]);
    assert.equal((await cloud.ctl(['keys', 'grant', plain.public, 'team=viewer'], { ok: false })).code, 3);
  });
  await t.test('a space that is made anew under the same name knows nobody', async () => {
    await cloud.ctl(['spaces', 'create', 'brief']);
    await cloud.ctl(['keys', 'grant', made.public, 'team=developer,brief=developer']);
    await cloud.ctl(['spaces', 'delete', 'brief']);
    await cloud.ctl(['spaces', 'create', 'brief']);
    assert.deepEqual(await spacesOf(), ['team']);
  });
  await t.test('on the bus such a key hears and says nothing', async () => {
    const { connect, credsAuthenticator } = await import('nats');
    const authenticator = credsAuthenticator(fs.readFileSync(path.join(cloud.dir, 'ada.creds')));
    const bus = await connect({ servers: `127.0.0.1:${4222 + cloud.offset}`, authenticator, reconnect: false });
    const denied = (async () => { for await (const status of bus.status()) if (status.type === 'error') return String(status.data); })();
    bus.publish('anything', 'x');
    assert.match(await denied, /PERMISSIONS_VIOLATION/i);
    await bus.close();
  });

  await t.test('a quota is kept by deploys and by scaling, and says what it is', async () => {
    await cloud.ctl(['spaces', 'quota', 'team', '--services', '2', '--instances', '3']);
    const more = await ada(['scale', 'web', '4', '--space', 'team']);
    assert.equal(more.code, 1, more.stderr);
    assert.match(more.stderr, /the space team would have 4 instances; its quota is 3/);
    assert.equal((await ada(['scale', 'web', '1', '--space', 'team'])).code, 0);
    const second = makeService(t, 'api', MANIFEST('api'), { 'app.js': APP });
    assert.equal((await ada(['deploy', second, '--space', 'team'])).code, 0);
    const third = makeService(t, 'jobs', MANIFEST('jobs').replace('instances = 2', 'instances = 0'), { 'app.js': APP });
    const refused = await ada(['deploy', third, '--space', 'team', '--detach']);
    assert.match(refused.stderr, /would have 3 services; its quota is 2/);
    // Set below what is there, it takes nothing away.
    await cloud.ctl(['spaces', 'quota', 'team', '--instances', '1']);
    assert.equal((await ada(['scale', 'api', '1', '--space', 'team'])).code, 0);
    const shown = (await cloud.ctlJson(['spaces', 'list'])).spaces.find((space) => space.name === 'team');
    assert.deepEqual([shown.services, shown.instances, shown.quota.services, shown.quota.instances], [2, 2, 2, 1]);
    assert.match((await cloud.ctl(['spaces', 'list'])).stdout, /team +2 of 2 +2 of 1/);
  });
  await t.test('one of cores and memory needs to be told what a service needs', async () => {
    await cloud.ctl(['spaces', 'quota', 'shop', '--cores', '1.5', '--memory', '300MiB']);
    const silent = await cloud.ctl(['deploy', web, '--space', 'shop', '--detach'], { ok: false });
    assert.equal(silent.code, 2, silent.stderr);
    assert.match(silent.stderr, /\[resources\] cpu/);
    const needing = (memory) => makeService(t, 'web', MANIFEST('web', `[resources]\ncpu = 0.5\nmemory = "${memory}"\n`), { 'app.js': APP });
    const large = await cloud.ctl(['deploy', needing('200MiB'), '--space', 'shop', '--detach'], { ok: false });
    assert.match(large.stderr, /would have 400\.0 MiB of memory; its quota is 300\.0 MiB/);
    assert.equal((await cloud.ctl(['deploy', needing('100MiB'), '--space', 'shop'])).code, 0);
    const cores = await cloud.ctl(['scale', 'web', '4', '--space', 'shop'], { ok: false });
    assert.match(cores.stderr, /would have 2 cores; its quota is 1.5/);
    for (const wrong of [['--cores', 'many'], ['--cores', '-1'], ['--memory', 'x'], ['--services', '-1']]) {
      assert.equal((await cloud.ctl(['spaces', 'quota', 'shop', ...wrong], { ok: false })).code, 2, wrong.join(' '));
    }
    assert.equal((await cloud.ctl(['spaces', 'quota', 'nowhere'], { ok: false })).code, 3);
  });
  await t.test('both outlive the lighthouse', async () => {
    await cloud.node('dev').stop();
    await cloud.startDev();
    await until('the token to be new', async () => (await ada(['spaces', 'list', '--json'])).code === 0);
    assert.deepEqual(await spacesOf(), ['team']);
    assert.equal((await cloud.ctlJson(['spaces', 'list'])).spaces.find((space) => space.name === 'shop').quota.cpu_millis, 1500);
  });
});
