// One role a process, from the profiles in config/, over TCP with credentials: the same deployment works,
// and goes on working while parts are killed.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { probeApp } from './lib/apps.mjs';
import { Cloud } from './lib/cloud.mjs';
import { Load, request } from './lib/http.mjs';
import { freePort } from './lib/ports.mjs';
import { profileFrom } from './lib/profiles.mjs';
import { CANDELA, isAlive, processesIn, programsIn, run } from './lib/program.mjs';
import { sleep, until } from './lib/wait.mjs';

const HOST = 'probe.localhost';

// Writes the profiles and starts the nodes: bus, lighthouse, two hosts, gateway, load balancer.
async function startSix(t) {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  const creds = (role) => path.join(data, 'identity/creds', `${role}.creds`);
  const bus = `127.0.0.1:${await freePort()}`;
  const balanced = await freePort();
  cloud.gatewayPort = await freePort();
  cloud.balancedPort = balanced;
  cloud.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  cloud.creds = creds;
  cloud.busAddress = bus;
  cloud.data = data;

  const common = async (name, dataDir = data) => ({
    name, data_dir: dataDir, endpoint: `127.0.0.1:${await freePort()}`, workers: 1,
  });
  const profiles = {
    bus: profileFrom('bus.toml', { node: await common('bus-1'), bus: { listen: bus } }),
    lighthouse: profileFrom('lighthouse.toml', {
      node: await common('lighthouse-1'), bus: { url: bus },
      lighthouse: { listen: `127.0.0.1:${await freePort()}` },
    }),
    gateway: profileFrom('gateway.toml', {
      node: await common('gateway-1'), bus: { url: bus, credentials: creds('gateway') },
      gateway: { listen: `127.0.0.1:${cloud.gatewayPort}` },
    }),
    loadbalancer: profileFrom('loadbalancer.toml', {
      node: await common('balancer-1'), bus: { url: bus, credentials: creds('loadbalancer') },
      loadbalancer: { listen: `127.0.0.1:${balanced}` },
      'loadbalancer.upstream': { address: `127.0.0.1:${cloud.gatewayPort}` },
    }),
  };
  for (const [name, first] of [['host-1', 21000], ['host-2', 25000]]) {
    profiles[name] = profileFrom('host.toml', {
      node: await common(name, path.join(cloud.dir, name)), bus: { url: bus, credentials: creds('host') },
      host: { bus_url: `nats://${bus}`, ports_first: first, ports_last: first + 3999 },
    });
  }
  cloud.run = async (name) => {
    const file = path.join(cloud.dir, `${name}.toml`);
    fs.writeFileSync(file, profiles[name]);
    const checked = await run(CANDELA, ['node', '--check', file]);
    assert.equal(checked.code, 0, `${name}: ${checked.stdout}${checked.stderr}`);
    cloud.start(name, ['node', '--config', file]);
    const port = Number(profiles[name].match(/^endpoint = "127.0.0.1:(\d+)"/m)[1]);
    await cloud.ready(name, port);
  };
  for (const name of Object.keys(profiles)) await cloud.run(name);
  return cloud;
}

test('six processes', { timeout: 300_000 }, async (t) => {
  const cloud = await startSix(t);
  const version = async () => (await cloud.get('/version', { host: HOST })).text;
  await until('five nodes in the list', async () => {
    const listed = await cloud.ctlJson('nodes');
    const nodes = Array.isArray(listed) ? listed : listed.nodes;
    return nodes.filter((n) => n.state === 'up' || n.state === 'ready' || n.alive === true).length >= 5;
  }).catch((error) => { throw cloud.explain(error); });

  const dir = probeApp(t, { instances: 2 });
  await t.test('a service is deployed and served, straight and through the load balancer', async () => {
    await cloud.ctl(['deploy', dir]);
    assert.equal(await version(), '1');
    const balanced = await request(cloud.balancedPort, '/version', { host: HOST });
    assert.equal(balanced.text, '1');
    const ready = await cloud.readyInstances('probe', 2);
    assert.equal(new Set(ready.map((i) => i.node)).size, 2, 'the two instances share a host');
  });

  await t.test('the lighthouse is killed: traffic goes on; it comes back: deployments work again', async () => {
    const load = cloud.load({ host: HOST, target: '/version' });
    await cloud.node('lighthouse').kill();
    await sleep(4000);
    assert.equal(load.failures.length, 0, JSON.stringify(load.failures.slice(0, 3)));
    const away = await cloud.ctl('status', { ok: false });
    assert.equal(away.code, 6);
    await cloud.run('lighthouse');
    await cloud.ctl(['deploy', probeApp(t, { instances: 2, version: '2' })]);
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.equal(await version(), '2');
  });

  await t.test('the bus is killed and restarted: everything reconnects and converges', async () => {
    const load = cloud.load({ host: HOST, target: '/version' });
    await cloud.node('bus').kill();
    await sleep(3000);
    await cloud.run('bus');
    await until('a deployment to work', async () => (await cloud.ctl(['deploy', probeApp(t, { instances: 2, version: '3' })], { ok: false })).code === 0,
      { timeout: 60_000 });
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.equal(await version(), '3');
    await cloud.readyInstances('probe', 2);
  });

  await t.test('a host is killed with its instances: the second host takes over', async () => {
    const folder = path.join(cloud.dir, 'host-1');
    const instances = processesIn(folder);
    assert.ok(instances.length > 0);
    // As when the machine goes: the host and all that it runs, at once.
    await cloud.node('host-1').kill();
    for (const pid of instances) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    await until('two instances on the second host', async () => {
      const ready = (await cloud.instances('probe')).filter((i) => i.state === 'ready' && i.node === 'host-2');
      return ready.length === 2;
    }, { timeout: 60_000 }).catch((error) => { throw cloud.explain(error); });
    assert.equal(await version(), '3');
  });

  await t.test('a host process is killed, its instances live: it goes on with them when it is back', async () => {
    await cloud.run('host-1');
    await cloud.ctl('scale probe 4');
    await cloud.readyInstances('probe', 4, 60_000);
    const running = () => [...programsIn(path.join(cloud.dir, 'host-1')), ...programsIn(path.join(cloud.dir, 'host-2'))].sort();
    await until('four processes', () => running().length === 4, { timeout: 30_000 });
    const before = running();
    const load = cloud.load({ host: HOST, target: '/version' });
    await cloud.node('host-1').kill();
    await sleep(500);
    await cloud.run('host-1');
    await cloud.readyInstances('probe', 4, 60_000);
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.deepEqual(running(), before);
  });

  await t.test('a gateway restarts while the lighthouse is away: it serves from its own copy', async () => {
    await cloud.node('lighthouse').kill();
    await cloud.node('gateway').stop();
    await cloud.run('gateway');
    assert.equal(await version(), '3');
    await cloud.run('lighthouse');
  });

  await t.test('every node ends in order on SIGTERM', async () => {
    for (const name of ['loadbalancer', 'gateway', 'host-2', 'host-1', 'lighthouse', 'bus']) {
      const node = cloud.node(name);
      const how = await node.stop();
      assert.ok(how.code === 0 && !how.late, `${name}: ${JSON.stringify(how)}\n${node.tail()}`);
    }
  });
});

test('a node without a valid credential is refused with a clear error', { timeout: 60_000 }, async (t) => {
  const cloud = await startSix(t);
  const stranger = path.join(cloud.dir, 'stranger');
  assert.equal((await run(CANDELA, ['init', '--data-dir', stranger])).code, 0);
  const profile = profileFrom('host.toml', {
    node: { name: 'stranger', data_dir: stranger, endpoint: `127.0.0.1:${await freePort()}`, workers: 1 },
    bus: { url: cloud.busAddress, credentials: path.join(stranger, 'identity/creds/host.creds') },
  });
  const file = path.join(cloud.dir, 'stranger.toml');
  fs.writeFileSync(file, profile);
  const node = cloud.start('stranger', ['node', '--config', file]);
  await until('the refusal in its log', () => /authoriz|denied|credential/i.test(node.output()));
  await sleep(500);
  const listed = await cloud.ctlJson('nodes');
  const names = (Array.isArray(listed) ? listed : listed.nodes).map((n) => n.name);
  assert.ok(!names.includes('stranger'), names.join());
});
