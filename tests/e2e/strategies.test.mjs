// Ways of updating and what people do between: canaries, blue and green, pause, restart, plan, diff, locks,
// under a client that requests without pause.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { probeApp } from './lib/apps.mjs';
import { startDev } from './lib/cloud.mjs';
import { sleep, until } from './lib/wait.mjs';

const HOST = 'probe.localhost';

// Changes service.toml: the version that the program tells, and what [update] says.
function edit(dir, { version, update, extra = '' }) {
  const file = path.join(dir, 'service.toml');
  let text = fs.readFileSync(file, 'utf8').replace(/\n\[update\][^[]*/, '\n');
  if (version) text = text.replace(/VERSION = ".*"/, `VERSION = "${version}"`);
  if (update) text += `\n[update]\n${update}\n`;
  fs.writeFileSync(file, text + extra);
}

test('strategies', { timeout: 300_000 }, async (t) => {
  const cloud = await startDev(t);
  const dir = probeApp(t, { instances: 4 });
  await cloud.ctl(['deploy', dir]);

  const failFree = async (work) => {
    const load = cloud.load({ host: HOST, target: '/version' });
    await until('requests', () => load.sent > 20);
    await work(load);
    await load.stop();
    if (load.failures.length > 0) {
      throw cloud.explain(new Error(`${load.failures.length} of ${load.sent} requests failed: ${JSON.stringify(load.failures.slice(0, 3))}`));
    }
  };
  const latest = async () => (await cloud.ctlJson('releases probe')).releases[0];
  const counts = async () => {
    const out = {};
    for (const i of await cloud.instances('probe')) if (i.state === 'ready') out[i.release] = (out[i.release] ?? 0) + 1;
    return out;
  };

  await t.test('plan tells what would change, and exits 10; 0 where nothing would', async () => {
    const same = await cloud.ctl(['plan', dir]);
    assert.match(same.stdout, /nothing differs from release 1/);
    edit(dir, { version: '2', update: 'strategy = "canary"\ncanary_percent = 25\npromote = "hand"' });
    const planned = await cloud.ctl(['plan', dir], { ok: false });
    assert.equal(planned.code, 10, planned.stderr);
    assert.match(planned.stdout, /release 2 would replace release 1 \(canary\)/);
    assert.match(planned.stdout, /~ env\.VERSION +"1" -> "2"/);
    assert.match(planned.stdout, /\+ update\.canary_percent +25/);
    const json = await cloud.ctlJson(['plan', dir], { ok: false });
    assert.deepEqual(json.problems, []);
    assert.ok(json.changes.some((change) => change.key === 'bundle'));
    assert.equal((await latest()).number, 1);
    const tooLarge = probeApp(t, { name: 'large', extra: '[resources]\nmemory = "900TiB"\n' });
    const large = await cloud.ctlJson(['plan', tooLarge], { ok: false });
    assert.match(large.problems[0], /of 1 host, 1 lacks memory \(900/);
  });

  await t.test('a canary serves beside the others until it is promoted by hand', async () => {
    await failFree(async (load) => {
      const deployed = await cloud.ctl(['deploy', dir]);
      assert.match(deployed.stdout, /probe release 2 is well, and waits/);
      assert.match(deployed.stderr, /try: candela ctl promote probe/);
      assert.deepEqual(await counts(), { 1: 4, 2: 1 });
      await until('both to serve', () => load.bodies.get('1') > 0 && load.bodies.get('2') > 0);
      const promoted = await cloud.ctl('promote probe');
      assert.match(promoted.stdout, /release 2 is serving/);
      await until('the old to be gone', async () => JSON.stringify(await counts()) === '{"2":4}');
    });
    const again = await cloud.ctl('promote probe', { ok: false });
    assert.equal(again.code, 5);
  });

  await t.test('diff shows what the releases differ in', async () => {
    const shown = await cloud.ctl('diff probe', { ok: false });
    assert.equal(shown.code, 10, shown.stderr);
    assert.match(shown.stdout, /from release 1 to 2/);
    assert.match(shown.stdout, /~ env\.VERSION +"1" -> "2"/);
    assert.equal((await cloud.ctl('diff probe 2 2')).code, 0);
    assert.equal((await cloud.ctl('diff probe 2 77', { ok: false })).code, 3);
  });

  await t.test('a canary that fails is rolled back, and nobody noticed', async () => {
    edit(dir, { version: '3', update: 'strategy = "canary"\npromote_after = "1m"' });
    const app = path.join(dir, 'app.mjs');
    const before = fs.readFileSync(app, 'utf8');
    fs.writeFileSync(app, 'console.error("no canary flies here"); process.exit(3);\n');
    await failFree(async () => {
      const deployed = await cloud.ctl(['deploy', dir], { ok: false });
      assert.equal(deployed.code, 8, deployed.stderr);
      assert.match(deployed.stderr, /no canary flies here/);
    });
    fs.writeFileSync(app, before);
    assert.deepEqual(await counts(), { 2: 4 });
  });

  await t.test('a canary is taken back by rollback', async () => {
    edit(dir, { version: '4', update: 'strategy = "canary"\npromote = "hand"' });
    await failFree(async () => {
      await cloud.ctl(['deploy', dir]);
      const back = await cloud.ctl('rollback probe');
      assert.match(back.stdout, /release 4 is taken back/);
      await until('the canary to be gone', async () => JSON.stringify(await counts()) === '{"2":4}');
    });
    assert.match((await latest()).cause, /^taken back by uid/);
  });

  await t.test('green takes over at once when all of it is ready', async () => {
    edit(dir, { version: '5', update: 'strategy = "blue-green"' });
    const answers = [];
    let running = true;
    const asking = (async () => {
      while (running) answers.push((await cloud.get('/version', { host: HOST })).text);
    })();
    await failFree(async () => { await cloud.ctl(['deploy', dir]); });
    running = false;
    await asking;
    // After green has taken over there is no blue any more; the gateway's loops may differ for a moment.
    const first = answers.indexOf('5');
    assert.ok(first > 0, `${answers.length} answers, first green at ${first}`);
    assert.ok(!answers.slice(first + 5).includes('2'), answers.slice(first, first + 20).join(' '));
    assert.deepEqual(await counts(), { 5: 4 });
  });

  await t.test('a rollout is paused, and goes on', async () => {
    edit(dir, { version: '6', update: 'strategy = "canary"\npromote_after = "6s"' });
    await failFree(async () => {
      await cloud.ctl(['deploy', dir, '--detach']);
      await until('the canary', async () => (await counts())[6] === 1);
      await cloud.ctl('pause probe');
      await sleep(7000);
      assert.deepEqual(await counts(), { 5: 4, 6: 1 });
      assert.equal((await cloud.ctlJson('services')).services[0].state, 'paused');
      const resumed = await cloud.ctl('resume probe');
      assert.match(resumed.stdout, /release 6 is serving/);
    });
    assert.equal((await cloud.ctl('pause probe', { ok: false })).code, 5);
  });

  await t.test('a restart makes every instance anew; asked for twice by one key it is done once', async () => {
    const before = new Set((await cloud.instances('probe')).map((i) => i.id));
    await failFree(async () => {
      await cloud.ctl('restart probe --idempotency-key monday');
      const once = (await latest()).number;
      await cloud.ctl('restart probe --idempotency-key monday');
      assert.equal((await latest()).number, once);
    });
    const after = (await cloud.instances('probe')).filter((i) => i.state === 'ready');
    assert.equal(after.length, 4);
    assert.ok(after.every((i) => !before.has(i.id)));
    assert.equal((await latest()).reason, 'restart');
    const otherUse = await cloud.ctl(['deploy', dir, '--idempotency-key', 'monday'], { ok: false });
    assert.equal(otherUse.code, 5);
    assert.match(otherUse.stderr, /'monday' was used/);
  });

  await t.test('a lock keeps others out until it is ended or expires', async () => {
    const creds = path.join(cloud.dir, 'ci.creds');
    await cloud.ctl(['keys', 'create', 'ci', '--role', 'developer', '--out', creds]);
    const asCi = (args) => cloud.ctl([...args, '--creds', creds, '--address', `https://127.0.0.1:${cloud.ports.api}`,
      '--ca', path.join(cloud.dataDir, 'lighthouse/ca/ca.crt')], { ok: false });
    await cloud.ctl('lock probe --for 1h --reason inventory');
    const refused = await asCi(['restart', 'probe']);
    assert.equal(refused.code, 5, refused.stderr);
    assert.match(refused.stderr, /locked by uid \d+ until .*: inventory/);
    assert.equal((await asCi(['scale', 'probe', '1'])).code, 5);
    await cloud.ctl('restart probe --detach');  // its holder may
    await cloud.ctl('unlock probe');
    assert.equal((await asCi(['lock', 'probe', '--for', '5s'])).code, 0);
    assert.equal((await cloud.ctl('scale probe 3', { ok: false })).code, 5);
    await until('the lock to expire', async () => (await cloud.ctl('scale probe 3', { ok: false })).code === 0);
  });
});
