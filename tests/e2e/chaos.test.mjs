// Each role in turn, on a machine of its own, is killed, stopped for a while, and cut off from the others, under load. What
// is promised: without the lighthouse nobody notices; whatever is away, the rest goes on or waits for it, and all is as it
// was when it is back, by itself: no instance is started twice, none is left behind, and a deploy works.

import assert from 'node:assert/strict';
import test from 'node:test';
import { probeApp } from './lib/apps.mjs';
import { ROLES, isWhole, running, startScattered } from './lib/scattered.mjs';
import { sleep, until } from './lib/wait.mjs';

const HOST = 'probe.localhost';
const WANTED = 4;
const CLIENTS = 4;
const skip = process.getuid() !== 0 && 'needs root, for network namespaces';

// A fault lasts longer than the lighthouse waits before it takes a host for lost; and that of a host until its instances
// serve elsewhere.
const FAULT_MS = 9000;

async function last(cloud, role, step) {
  if (!role.startsWith('host')) return sleep(FAULT_MS);
  const began = Date.now();
  await until('its instances to serve elsewhere', async () => {
    const all = await cloud.instances('probe');
    return all.filter((each) => each.state === 'ready' && each.node !== role).length === WANTED;
  }, { timeout: 30_000 });
  step.diagnostic(`its instances serve elsewhere after ${Date.now() - began} ms`);
}

const FAULTS = {
  killed: async (cloud, role) => {
    await cloud.node(role).kill();
    await sleep(1000);
    await cloud.startRole(role);
  },
  stopped: async (cloud, role, step) => {
    const { pid } = cloud.node(role);
    process.kill(pid, 'SIGSTOP');
    await last(cloud, role, step);
    process.kill(pid, 'SIGCONT');
  },
  'cut off': async (cloud, role, step) => {
    await cloud.machines[role].cut();
    await last(cloud, role, step);
    await cloud.machines[role].mend();
  },
};

test('each role is killed, stopped and cut off in turn', { timeout: 600_000, skip }, async (t) => {
  const cloud = await startScattered(t);
  let version = 1;
  const deploy = () => cloud.ctl(['deploy', probeApp(t, { instances: WANTED, version: String(version) })]);
  await deploy();
  await isWhole(cloud, '1', WANTED).catch((error) => { throw cloud.explain(error); });
  for (const role of ROLES) {
    for (const [how, fault] of Object.entries(FAULTS)) {
      await t.test(`${role} ${how}`, async (step) => {
        if (role.startsWith('host')) {
          // An earlier fault may have left all of them on the other one.
          await cloud.ctl('restart probe');
          await isWhole(cloud, String(version), WANTED).catch((error) => { throw cloud.explain(error); });
          assert.ok((await cloud.instances('probe')).some((each) => each.node === role), `nothing runs on ${role}`);
        }
        const before = running(cloud);
        const load = cloud.loadOn(HOST, { clients: CLIENTS, timeout: 5000 });
        await until('load', () => load.sent > 20);
        const began = Date.now();
        try {
          await fault(cloud, role, step);
          const ended = Date.now();
          await isWhole(cloud, String(version), WANTED);
          step.diagnostic(`whole ${Date.now() - ended} ms after it`);
        } catch (error) {
          throw cloud.explain(error);
        } finally {
          await load.stop();
        }
        step.diagnostic(`${load.failures.length} of ${load.sent} requests failed`
          + (load.failures.length > 0 ? `, the last ${Date.parse(load.failures.at(-1).at) - began} ms after it began` : ''));
        for (const failure of load.failures.slice(0, 3)) step.diagnostic(JSON.stringify(failure));
        if (role === 'lighthouse') assert.deepEqual(load.failures, []);
        // What was under way to a host that fell silent may have to be given up.
        if (role.startsWith('host')) assert.ok(load.failures.length <= 2 * CLIENTS, JSON.stringify(load.failures));
        if (!role.startsWith('host')) assert.deepEqual(running(cloud), before);
      });
    }
    await t.test(`a deploy after ${role} is back`, async () => {
      version += 1;
      const load = cloud.loadOn(HOST);
      await deploy();
      await isWhole(cloud, String(version), WANTED).catch((error) => { throw cloud.explain(error); });
      await load.stop();
      assert.deepEqual(load.failures, []);
    });
  }
});
