// The audit log: each change is in it, with who made it and what came of it, and tampering shows.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { until } from './lib/wait.mjs';

const MANIFEST = `
name = "site"
kind = "static"
[[route]]
host = "site.localhost"
`;

test('the audit log', async (t) => {
  const cloud = await startDev(t);
  const ctl = (...words) => cloud.ctl(words, { ok: false });
  const list = async (...more) => (await cloud.ctlJson(['audit', 'list', ...more])).audit;
  // The end of a request is noted behind its answer.
  const settled = () => until('every change has its end', async () => {
    const all = await list();
    return all.every((entry) => entry.outcome !== 'not known') && all;
  });

  await t.test('a deploy, a scale and a refusal are there', async () => {
    const dir = makeService(t, 'site', MANIFEST, { 'index.html': 'hello' });
    assert.equal((await ctl('deploy', dir)).code, 0);
    assert.equal((await ctl('scale', 'site', '2')).code, 0);
    assert.equal((await ctl('scale', 'nosuch', '2')).code, 3);
    const all = await settled();
    const of = (end) => all.find((entry) => entry.action.endsWith(end));
    assert.match(of('/services/site/releases').detail, /^release 1, bundle [0-9a-f]{64}$/);
    assert.equal(of('/services/site/releases').outcome, 'done');
    assert.equal(of('/services/site/scale').detail, '2 instances');
    assert.equal(of('/services/site/scale').space, 'default');
    assert.match(of('/services/site/scale').who, /^uid \d+$/);
    assert.equal(of('/services/site/scale').source, 'unix socket');
    assert.match(of('/services/nosuch/scale').outcome, /no service 'nosuch'/);
    assert.ok(of('/services/nosuch/scale').id > of('/services/site/scale').id);
  });

  await t.test('a person with a key is named, and only operators may read', async () => {
    const remote = ['--address', `https://127.0.0.1:${7400 + cloud.offset}`,
      '--ca', path.join(cloud.dataDir, 'lighthouse/ca/ca.crt')];
    const creds = path.join(cloud.dataDir, 'ada.creds');
    assert.equal((await ctl('keys', 'create', 'ada', '--role', 'developer', '--out', creds)).code, 0);
    assert.equal((await ctl('scale', 'site', '1', ...remote, '--creds', creds)).code, 0);
    const all = await settled();
    const made = all.find((entry) => entry.action === 'POST /v1/keys');
    assert.match(made.detail, /^ada, developer in default: U[A-Z2-7]{55}$/);
    assert.doesNotMatch(JSON.stringify(all), /SU[A-Z2-7]{56}|eyJ/);
    const mine = await list('--who', 'ada');
    assert.equal(mine.length, 1);
    assert.equal(mine[0].key, made.detail.split(' ').pop());
    assert.equal(mine[0].source, '127.0.0.1');
    assert.equal((await ctl('audit', 'list', ...remote, '--creds', creds)).code, 4);
  });

  await t.test('pages hold together', async () => {
    for (let i = 0; i < 5; i += 1) await ctl('scale', 'site', String(1 + (i % 2)));
    const all = await settled();
    assert.deepEqual((await list('--count', '3')).map((e) => e.id), all.slice(0, 3).map((e) => e.id));
    const ids = all.map((e) => e.id);
    assert.deepEqual(ids, [...ids].sort((a, b) => b - a));
  });

  await t.test('whole, also after a kill; tampering shows', async () => {
    await settled();
    const before = await ctl('audit', 'verify');
    assert.equal(before.code, 0, before.stderr);
    const head = before.stdout.trim();
    assert.match(head, /^\d+:[0-9a-f]{64}$/);
    await cloud.node('dev').kill();
    await cloud.startDev();
    assert.equal((await ctl('audit', 'verify', '--head', head)).code, 0);
    assert.equal((await ctl('audit', 'verify', '--head', head.replace(/:.*/, `:${'0'.repeat(64)}`))).code, 1);

    await cloud.node('dev').stop();
    execFileSync('python3', ['-c', `
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db: db.execute("UPDATE audit SET who = 'nobody' WHERE id = 3")
`, path.join(cloud.dataDir, 'lighthouse/state.db')]);
    await cloud.startDev();
    const after = await ctl('audit', 'verify');
    assert.equal(after.code, 1);
    assert.match(after.stderr, /record 3 has been changed/);
    assert.equal(JSON.parse((await ctl('audit', 'verify', '--json')).stdout).whole, false);
  });
});
