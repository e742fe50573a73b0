// While a client requests without pause, a service is scaled, updated, rolled back and hurt.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { probeApp } from './lib/apps.mjs';
import { startDev } from './lib/cloud.mjs';
import { isAlive } from './lib/program.mjs';
import { sleep, until } from './lib/wait.mjs';

const HOST = 'probe.localhost';

function setVersion(dir, version) {
  const file = path.join(dir, 'service.toml');
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(/VERSION = ".*"/, `VERSION = "${version}"`));
}

test('updates lose no request', { timeout: 300_000 }, async (t) => {
  const cloud = await startDev(t);
  const dir = probeApp(t);
  await cloud.ctl(['deploy', dir]);

  // Runs the change under load and expects every request of that time to have succeeded.
  async function underLoad(change) {
    const load = cloud.load({ host: HOST, target: '/version' });
    await sleep(300);
    await change(load);
    await sleep(500);
    await load.stop();
    assert.ok(load.sent > 50, `only ${load.sent} requests were sent`);
    if (load.failures.length > 0) {
      throw cloud.explain(new Error(`${load.failures.length} of ${load.sent} requests failed: ${JSON.stringify(load.failures.slice(0, 5))}`));
    }
    return load;
  }

  await t.test('scaling from 1 to 3 and back to 1', async () => {
    await underLoad(async () => {
      await cloud.ctl('scale probe 3');
      await cloud.readyInstances('probe', 3);
      await cloud.ctl('scale probe 1');
      await until('one instance', async () => (await cloud.instances('probe')).filter((i) => i.state !== 'exited').length === 1);
    });
  });

  await t.test('a new release', async () => {
    setVersion(dir, '2');
    const load = await underLoad(() => cloud.ctl(['deploy', dir]));
    assert.ok(load.bodies.get('1') > 0 && load.bodies.get('2') > 0, JSON.stringify([...load.bodies]));
    assert.equal((await cloud.get('/version', { host: HOST })).text, '2');
  });

  await t.test('rolling back', async () => {
    await underLoad(async () => {
      await cloud.ctl('rollback probe');
      await until('release 1 to serve', async () => (await cloud.get('/version', { host: HOST })).text === '1');
    });
  });

  await t.test('five releases in a row', async () => {
    await cloud.ctl('scale probe 3');
    await cloud.readyInstances('probe', 3);
    await underLoad(async () => {
      for (let version = 3; version < 8; version += 1) {
        setVersion(dir, String(version));
        await cloud.ctl(['deploy', dir]);
      }
    });
    assert.equal((await cloud.get('/version', { host: HOST })).text, '7');
  });

  await t.test('kill -9 of an instance: the others serve on, and it is replaced', async () => {
    // The last deployment has brought back the number that service.toml says.
    await cloud.ctl('scale probe 3');
    await cloud.readyInstances('probe', 3);
    // The host's pid: within its walls each has numbers of its own.
    const { pid } = (await cloud.instances('probe')).find((instance) => instance.state === 'ready');
    await underLoad(async () => {
      process.kill(pid, 'SIGKILL');
      await until('the instance to be gone', () => !isAlive(pid));
      await cloud.readyInstances('probe', 3);
    });
  });

  await t.test('kill -9 of the only instance: requests are held until it is back', async () => {
    await cloud.ctl('scale probe 1');
    await until('one instance', async () => (await cloud.instances('probe')).filter((i) => i.state === 'ready').length === 1);
    await sleep(1000);
    // The host's pid: within its walls each has numbers of its own.
    const { pid } = (await cloud.instances('probe')).find((instance) => instance.state === 'ready');
    await underLoad(async () => {
      process.kill(pid, 'SIGKILL');
      await until('the instance to be gone', () => !isAlive(pid));
      await until('another process', async () => (await cloud.instances('probe')).some((i) => i.state === 'ready' && i.pid !== pid));
      assert.equal((await cloud.get('/version', { host: HOST })).status, 200);
    });
  });
});

test('a release that fails rolls back by itself', { timeout: 180_000 }, async (t) => {
  const cloud = await startDev(t);
  const dir = probeApp(t, { version: 'good' });
  await cloud.ctl(['deploy', dir]);
  const serves = async () => (await cloud.get('/version', { host: HOST })).text;

  await t.test('because its probe never passes: exit 8, the last log lines and the probe answer', async () => {
    const file = path.join(dir, 'service.toml');
    const before = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, before.replace('path = "/healthz"', 'path = "/not-here"\nstart_timeout = "4s"').replace('"good"', '"bad"'));
    const load = cloud.load({ host: HOST, target: '/version' });
    const result = await cloud.ctl(['deploy', dir], { ok: false });
    await load.stop();
    assert.equal(result.code, 8, result.stderr);
    assert.match(result.stdout + result.stderr, /listening bad/);
    assert.match(result.stdout + result.stderr, /404/);
    assert.deepEqual(load.failures, []);
    assert.deepEqual([...load.bodies.keys()], ['good']);
    fs.writeFileSync(file, before);
  });

  await t.test('because it ends at once: exit 8 and what it printed', async () => {
    const app = path.join(dir, 'app.mjs');
    const before = fs.readFileSync(app, 'utf8');
    fs.writeFileSync(app, 'console.error("cannot find my database"); process.exit(9);\n');
    fs.writeFileSync(path.join(dir, 'service.toml'), fs.readFileSync(path.join(dir, 'service.toml'), 'utf8')
      .replace('path = "/healthz"', 'path = "/healthz"\nstart_timeout = "5s"'));
    const result = await cloud.ctl(['deploy', dir], { ok: false });
    assert.equal(result.code, 8, result.stderr);
    assert.match(result.stdout + result.stderr, /cannot find my database/);
    assert.equal(await serves(), 'good');
    fs.writeFileSync(app, before);
  });

  await t.test('because the command does not exist: exit 8, and the next good release works', async () => {
    const file = path.join(dir, 'service.toml');
    const before = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, before.replace('command = ["node"', 'command = ["no-such-program"'));
    const result = await cloud.ctl(['deploy', dir], { ok: false });
    assert.equal(result.code, 8, result.stderr);
    assert.match(result.stdout + result.stderr, /no-such-program/);
    fs.writeFileSync(file, before.replace('"good"', '"better"'));
    await cloud.ctl(['deploy', dir]);
    assert.equal(await serves(), 'better');
  });

  await t.test('the releases show what became of each', async () => {
    const listed = await cloud.ctlJson('releases probe');
    const releases = Array.isArray(listed) ? listed : listed.releases;
    assert.equal(releases.length, 5, JSON.stringify(releases));
  });
});
