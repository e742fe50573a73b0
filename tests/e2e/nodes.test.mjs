// Nodes as people see and move them: cordon, drain, a host that is lost, one that only stood still, and a
// majority that vanishes, with one process a role and a client that requests without pause.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { probeApp } from './lib/apps.mjs';
import { Cloud } from './lib/cloud.mjs';
import { freePort } from './lib/ports.mjs';
import { profileFrom } from './lib/profiles.mjs';
import { CANDELA, programsIn, isAlive, processesIn, run } from './lib/program.mjs';
import { sleep, until } from './lib/wait.mjs';

const HOST = 'probe.localhost';
const HOSTS = ['host-1', 'host-2', 'host-3'];

// Bus, lighthouse, gateway and three hosts.
async function startSix(t) {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  const credentials = (role) => path.join(data, 'identity/creds', `${role}.creds`);
  const bus = `127.0.0.1:${await freePort()}`;
  cloud.gatewayPort = await freePort();
  cloud.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  const common = async (name, dataDir = data) => ({
    name, data_dir: dataDir, endpoint: `127.0.0.1:${await freePort()}`, workers: 1,
  });
  const profiles = {
    bus: profileFrom('bus.toml', { node: await common('bus-1'), bus: { listen: bus } }),
    lighthouse: profileFrom('lighthouse.toml', {
      node: await common('lighthouse-1'), bus: { url: bus }, lighthouse: { listen: `127.0.0.1:${await freePort()}` },
    }),
    gateway: profileFrom('gateway.toml', {
      node: await common('gateway-1'), bus: { url: bus, credentials: credentials('gateway') },
      gateway: { listen: `127.0.0.1:${cloud.gatewayPort}` },
    }),
  };
  for (const [index, name] of HOSTS.entries()) {
    const first = 21000 + index * 2000;
    profiles[name] = profileFrom('host.toml', {
      node: await common(name, path.join(cloud.dir, name)), bus: { url: bus, credentials: credentials('host') },
      host: { bus_url: `nats://${bus}`, ports_first: first, ports_last: first + 1999 },
    });
  }
  cloud.run = async (name) => {
    const file = path.join(cloud.dir, `${name}.toml`);
    fs.writeFileSync(file, profiles[name]);
    cloud.start(name, ['node', '--config', file]);
    await cloud.ready(name, Number(profiles[name].match(/^endpoint = "127.0.0.1:(\d+)"/m)[1]));
  };
  for (const name of Object.keys(profiles)) await cloud.run(name);
  return cloud;
}

test('nodes', { timeout: 300_000 }, async (t) => {
  const cloud = await startSix(t);
  const nodes = async () => Object.fromEntries((await cloud.ctlJson('nodes')).nodes.map((n) => [n.name, n]));
  await until('three hosts', async () => {
    const all = await nodes();
    return HOSTS.every((name) => all[name]?.state === 'ready');
  }).catch((error) => { throw cloud.explain(error); });

  // Where the ready instances are: {'host-1': 2, …}.
  const places = async () => {
    const counts = {};
    for (const i of await cloud.instances('probe')) if (i.state === 'ready') counts[i.node] = (counts[i.node] ?? 0) + 1;
    return counts;
  };
  const total = (counts) => Object.values(counts).reduce((sum, n) => sum + n, 0);
  const failFree = async (work) => {
    const load = cloud.load({ host: HOST, target: '/version' });
    await until('requests', () => load.sent > 20);
    await work(load);
    await load.stop();
    assert.deepEqual(load.failures.slice(0, 3), [], `${load.failures.length} of ${load.sent} requests failed`);
  };
  await cloud.ctl(['deploy', probeApp(t, { instances: 3 })]);
  assert.deepEqual(await places(), { 'host-1': 1, 'host-2': 1, 'host-3': 1 });

  await t.test('a drain moves what is there, loses no request, and waits until the host is empty', async () => {
    await failFree(async () => {
      const drained = await cloud.ctl('nodes drain host-1');
      assert.match(drained.stdout, /host-1 is drained: nothing runs on it/);
    });
    assert.equal(processesIn(path.join(cloud.dir, 'host-1')).length, 0);
    const counts = await places();
    assert.equal(counts['host-1'], undefined);
    assert.equal(total(counts), 3);
    assert.equal((await nodes())['host-1'].state, 'draining');
    const shown = await cloud.ctlJson('nodes show host-2');
    assert.ok(shown.placed.length >= 1 && shown.placed.every((i) => i.node === 'host-2'));
  });

  await t.test('a cordoned host keeps what it has and gets nothing new, also after the lighthouse restarts', async () => {
    await cloud.ctl('nodes uncordon host-1');
    await cloud.ctl('nodes cordon host-1');
    await cloud.node('lighthouse').kill();
    await cloud.run('lighthouse');
    await until('the cordon to be known', async () => (await nodes())['host-1']?.state === 'cordoned');
    await cloud.ctl('scale probe 5');
    const counts = await places();
    assert.equal(counts['host-1'], undefined);
    assert.equal(total(counts), 5);
    await cloud.ctl('nodes uncordon host-1');
    await cloud.ctl('scale probe 3');
  });

  await t.test('with nowhere to go a drain takes nothing away, and says why: exit 7', async () => {
    await cloud.ctl('nodes cordon host-1');
    await cloud.ctl('nodes cordon host-2');
    const before = await places();
    const drained = await cloud.ctl('nodes drain host-3 --timeout 2s', { ok: false });
    assert.equal(drained.code, 7, drained.stderr);
    assert.match(drained.stderr, /default\/probe waits: /);
    assert.deepEqual(await places(), before);
    for (const name of HOSTS) await cloud.ctl(['nodes', 'uncordon', name]);
    await until('three instances', async () => total(await places()) === 3);
  });

  await t.test('what is not there, or still heard, is refused by its own exit code', async () => {
    assert.equal((await cloud.ctl('nodes drain nobody', { ok: false })).code, 3);
    const refused = await cloud.ctl('nodes rm host-1', { ok: false });
    assert.equal(refused.code, 5);
    assert.match(refused.stderr, /host-1 is heard/);
  });

  await t.test('a host that dies with all it runs: served elsewhere within seconds, and removed by hand', async () => {
    await cloud.ctl('scale probe 6');
    await until('instances on every host', async () => Object.keys(await places()).length === 3);
    const victims = processesIn(path.join(cloud.dir, 'host-2'));
    assert.ok(victims.length > 0);
    const began = Date.now();
    await cloud.node('host-2').kill();
    for (const pid of victims) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    await until('six instances on two hosts', async () => {
      const counts = await places();
      return (counts['host-1'] ?? 0) + (counts['host-3'] ?? 0) === 6;
    }, { timeout: 60_000, every: 50 }).catch((error) => { throw cloud.explain(error); });
    const took = Date.now() - began;
    t.diagnostic(`served elsewhere after ${took} ms`);
    const removed = await cloud.ctl('nodes rm host-2');
    assert.match(removed.stdout, /host-2 is removed/);
    assert.equal((await nodes())['host-2'], undefined);
    await cloud.run('host-2');
    await until('the host to be back as a new one', async () => (await nodes())['host-2']?.state === 'ready');
    assert.ok(took < 12_000, `${took} ms`);
  });

  await t.test('a host that stands still for a while and goes on: nothing fails, and nothing runs twice', async () => {
    await cloud.ctl('scale probe 3');
    await until('three instances', async () => total(await places()) === 3);
    const [victim] = Object.keys(await places());
    const { pid } = cloud.node(victim);
    await failFree(async () => {
      process.kill(pid, 'SIGSTOP');
      try {
        await until('its instances elsewhere', async () => {
          const counts = await places();
          return total(counts) - (counts[victim] ?? 0) === 3;
        }, { timeout: 60_000 });
      } finally {
        process.kill(pid, 'SIGCONT');
      }
      await until('three processes', () => HOSTS.reduce((sum, name) => sum + programsIn(path.join(cloud.dir, name)).length, 0) === 3,
        { timeout: 60_000 }).catch((error) => { throw cloud.explain(error); });
    });
  });

  await t.test('most hosts vanish at once: nothing is moved, status says so, and they come back as they were', async () => {
    await cloud.ctl('scale probe 6');
    await until('six instances', async () => total(await places()) === 6);
    const before = (await cloud.instances('probe')).map((i) => i.id).sort();
    const stopped = [cloud.node('host-1').pid, cloud.node('host-2').pid];
    await failFree(async () => {
      for (const pid of stopped) process.kill(pid, 'SIGSTOP');
      try {
        await until('the guard', async () => (await cloud.ctlJson('status')).waiting_for_hosts.length === 2, { timeout: 30_000 });
        assert.match((await cloud.ctl('status')).stderr, /most hosts vanished at once/);
        await sleep(3000);
        assert.deepEqual((await cloud.instances('probe')).map((i) => i.id).sort(), before);
      } finally {
        for (const pid of stopped) process.kill(pid, 'SIGCONT');
      }
      await until('all to be back', async () => (await cloud.ctlJson('status')).waiting_for_hosts.length === 0, { timeout: 30_000 });
    });
    assert.deepEqual((await cloud.instances('probe')).filter((i) => i.state === 'ready').map((i) => i.id).sort(), before);
  });
});
