// What a machine can do to those who run on it, beside falling silent: its disk fills, its clock lies, and somebody copies
// an old database back. Under load; and all is as it should be afterwards, by itself.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { probeApp } from './lib/apps.mjs';
import { run } from './lib/program.mjs';
import { isWhole, running, startScattered } from './lib/scattered.mjs';
import { sleep, until } from './lib/wait.mjs';

const HOST = 'probe.localhost';
const skip = process.getuid() !== 0 && 'needs root, for network namespaces';

const deploy = (t, cloud, version, instances) => cloud.ctl(['deploy', probeApp(t, { instances, version })]);

test('a database copied back from earlier: the cloud becomes what it says, and nothing is left over', { timeout: 240_000, skip }, async (t) => {
  const cloud = await startScattered(t);
  const folder = path.join(cloud.data, 'lighthouse');
  const databases = () => fs.readdirSync(folder).filter((name) => /\.db(-|$)/.test(name));
  await deploy(t, cloud, '1', 2);
  await isWhole(cloud, '1', 2);
  await cloud.node('lighthouse').stop();
  assert.ok(databases().length > 0, fs.readdirSync(folder).join());
  const kept = new Map(databases().map((name) => [name, fs.readFileSync(path.join(folder, name))]));
  await cloud.startRole('lighthouse');
  await deploy(t, cloud, '2', 3);
  await isWhole(cloud, '2', 3);
  const load = cloud.loadOn(HOST);
  await cloud.node('lighthouse').kill();
  for (const name of databases()) fs.rmSync(path.join(folder, name));
  for (const [name, bytes] of kept) fs.writeFileSync(path.join(folder, name), bytes);
  await cloud.startRole('lighthouse');
  await isWhole(cloud, '1', 2).catch((error) => { throw cloud.explain(error); });
  await load.stop();
  assert.deepEqual(load.failures, []);
  // And it goes on from there.
  await deploy(t, cloud, '3', 3);
  await isWhole(cloud, '3', 3).catch((error) => { throw cloud.explain(error); });
});

const FAKETIME = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((arch) => `/usr/lib/${arch}/faketime/libfaketime.so.1`).find(fs.existsSync);

test('a clock that jumps a day ahead and behind', { timeout: 300_000, skip: skip || (!FAKETIME && 'no libfaketime') }, async (t) => {
  const clocks = fs.mkdtempSync('/tmp/candela-clocks-');
  t.after(() => fs.rmSync(clocks, { recursive: true }));
  // Replaced whole: it is read at any time.
  const set = (role, offset) => {
    fs.writeFileSync(path.join(clocks, `${role}.new`), `${offset}\n`);
    fs.renameSync(path.join(clocks, `${role}.new`), path.join(clocks, role));
  };
  const roles = ['bus', 'lighthouse', 'host-1', 'gateway'];
  const environment = {};
  for (const role of roles) {
    set(role, '+0');
    environment[role] = {
      LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: path.join(clocks, role), FAKETIME_DONT_FAKE_MONOTONIC: '1', FAKETIME_CACHE_DURATION: '1',
    };
  }
  const cloud = await startScattered(t, { environment });
  let version = 1;
  await deploy(t, cloud, '1', 4);
  await isWhole(cloud, '1', 4).catch((error) => { throw cloud.explain(error); });
  const day = (role) => new Date(Date.parse(cloud.node(role).output().trimEnd().split('\n').at(-1).split(' ')[0])).getTime();
  for (const role of roles) {
    for (const offset of ['+26h', '-26h']) {
      await t.test(`${role} ${offset}`, async () => {
        const before = running(cloud);
        const load = cloud.loadOn(HOST);
        set(role, offset);
        await until('it to be taken', () => load.sent > 100);
        await sleep(role === 'lighthouse' ? 6000 : 1000);  // longer than after which it takes a host for lost
        assert.deepEqual(running(cloud), before);
        version += 1;
        try {
          await deploy(t, cloud, String(version), 4);
          await isWhole(cloud, String(version), 4);
          if (role === 'lighthouse') assert.ok(Math.abs(day(role) - Date.now()) > 20 * 3600 * 1000, 'its clock does not lie');
          const after = running(cloud);
          set(role, '+0');
          await sleep(1500);  // until the time is read again
          await isWhole(cloud, String(version), 4);
          assert.deepEqual(running(cloud), after);
        } catch (error) {
          throw cloud.explain(error);
        } finally {
          await load.stop();
        }
        assert.deepEqual(load.failures, []);
      });
    }
  }
});

test('a disk that is full', { timeout: 300_000, skip }, async (t) => {
  const cloud = await startScattered(t, { disks: { bus: '64m', lighthouse: '64m', 'host-1': '160m', gateway: '16m' } });
  let version = 1;
  await deploy(t, cloud, '1', 4);
  await isWhole(cloud, '1', 4).catch((error) => { throw cloud.explain(error); });
  for (const role of ['gateway', 'bus', 'host-1', 'lighthouse']) {
    await t.test(role, async (step) => {
      const before = running(cloud);
      const load = cloud.loadOn(HOST);
      await until('load', () => load.sent > 100);
      const ballast = path.join(cloud.disks[role], 'ballast');
      const filled = await run('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=64k']);
      assert.match(filled.stderr, /No space left/);
      try {
        if (role === 'host-1') {
          await until('the host to say so', async () => (await cloud.ctl(['nodes', 'show', role])).stdout.includes('is almost full'), { every: 200 });
        }
        version += 1;
        const tried = await cloud.ctl(['deploy', probeApp(t, { instances: 4, version: String(version) }), '--timeout', '20s'], { ok: false });
        step.diagnostic(`deploy: exit ${tried.code} ${tried.stderr.trim().split('\n').at(-1)}`);
        if (role === 'lighthouse') {
          assert.equal(tried.code, 1, tried.stderr);
          assert.match(tried.stderr, /space|disk/i);
          version -= 1;
        } else {
          assert.equal(tried.code, 0, tried.stderr);
        }
        // Nothing new comes to where there is no room.
        if (role === 'host-1') assert.ok((await cloud.readyInstances('probe', 4)).every(({ node }) => node === 'host-2'));
        const state = await cloud.ctl('status', { ok: false });
        assert.equal(state.code, 0, state.stderr);
        if (role === 'lighthouse') assert.deepEqual(running(cloud), before);
        fs.rmSync(ballast);
        version += 1;
        await until('a deploy to work again', async () => {
          const made = await cloud.ctl(['deploy', probeApp(t, { instances: 4, version: String(version) })], { ok: false });
          return made.code === 0;
        }, { timeout: 60_000 });
        await isWhole(cloud, String(version), 4);
      } catch (error) {
        throw cloud.explain(error);
      } finally {
        await load.stop();
      }
      assert.deepEqual(load.failures, []);
    });
  }
});
