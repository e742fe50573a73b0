// A cloud whose every role is on a machine of its own (network.mjs), each reached by what can go wrong: killed, stopped for
// a while, cut off from the others. Clients, on this machine, always reach the load balancer's, and that is their way in.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Cloud } from './cloud.mjs';
import { makeNetwork } from './network.mjs';
import { freePort } from './ports.mjs';
import { profileFrom } from './profiles.mjs';
import { CANDELA, programsIn, run } from './program.mjs';
import { until } from './wait.mjs';

export const ROLES = ['bus', 'lighthouse', 'host-1', 'host-2', 'gateway', 'loadbalancer'];

// `environment`: {role: {NAME: value}}. `disks`: {role: size}: what it keeps lies on a disk of that size, at cloud.disks[role].
export async function startScattered(t, { environment = {}, disks = {} } = {}) {
  const cloud = new Cloud(t);
  const network = await makeNetwork(t);
  const machines = {};
  for (const role of ROLES) machines[role] = await network.addMachine(role);
  const data = path.join(cloud.dir, 'data');
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  cloud.data = data;
  cloud.disks = {
    bus: path.join(data, 'bus'), lighthouse: path.join(data, 'lighthouse'), gateway: path.join(cloud.dir, 'gateway'),
    'host-1': path.join(cloud.dir, 'host-1'), 'host-2': path.join(cloud.dir, 'host-2'),
  };
  for (const [role, size] of Object.entries(disks)) {
    fs.mkdirSync(cloud.disks[role], { recursive: true, mode: 0o700 });
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'candela-test', cloud.disks[role]]);
    assert.equal(mounted.code, 0, mounted.stderr);
    cloud.beforeRemoval.push(() => run('umount', ['--lazy', cloud.disks[role]]));
  }
  cloud.machines = machines;
  cloud.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  cloud.gatewayPort = 8080;
  const creds = (role) => path.join(data, 'identity/creds', `${role}.creds`);
  const bus = `${machines.bus.address}:4222`;
  const common = (name, dataDir = data) => ({ name, data_dir: dataDir, endpoint: '127.0.0.1:7401', workers: 1 });
  const profiles = {
    bus: profileFrom('bus.toml', { node: common('bus'), bus: { listen: bus } }),
    lighthouse: profileFrom('lighthouse.toml', {
      node: common('lighthouse'), bus: { url: bus }, lighthouse: { listen: `${machines.lighthouse.address}:7400` },
    }),
    gateway: profileFrom('gateway.toml', {
      node: common('gateway', path.join(cloud.dir, 'gateway')), bus: { url: bus, credentials: creds('gateway') },
      gateway: { listen: `${machines.gateway.address}:${cloud.gatewayPort}`, trusted_proxies: [`${machines.loadbalancer.address}/32`] },
    }),
    loadbalancer: profileFrom('loadbalancer.toml', {
      node: common('loadbalancer', path.join(cloud.dir, 'loadbalancer')), bus: { url: bus, credentials: creds('loadbalancer') },
      loadbalancer: { listen: `${machines.loadbalancer.address}:${cloud.gatewayPort}` },
      'loadbalancer.upstream': { address: `${machines.gateway.address}:${cloud.gatewayPort}` },
    }),
  };
  for (const name of ['host-1', 'host-2']) {
    const first = await freePort();
    profiles[name] = profileFrom('host.toml', {
      node: common(name, path.join(cloud.dir, name)), bus: { url: bus, credentials: creds('host') },
      host: { bus_url: `nats://${bus}`, ports_first: Math.min(first, 60000), ports_last: Math.min(first, 60000) + 999 },
    });
  }
  cloud.startRole = async (role) => {
    const file = path.join(cloud.dir, `${role}.toml`);
    fs.writeFileSync(file, profiles[role]);
    const [program, args] = machines[role].command(CANDELA, ['node', '--config', file]);
    const before = cloud.node(role)?.output().length ?? 0;
    cloud.start(role, args, { program, env: environment[role] });
    await until(`${role} to be ready`, () => {
      if (cloud.node(role).how) throw new Error(JSON.stringify(cloud.node(role).how));
      return cloud.node(role).output().slice(before).includes('node_ready');
    }).catch((error) => { throw cloud.explain(error); });
  };
  for (const role of ROLES) await cloud.startRole(role);
  cloud.entry = machines.loadbalancer.address;
  cloud.loadOn = (host, options) => cloud.load({
    address: cloud.entry, host, target: '/version', pause: 10, ...options,
  });
  return cloud;
}

// The programs of all instances.
export const running = (cloud) => ['host-1', 'host-2'].flatMap((host) => programsIn(path.join(cloud.dir, host))).sort();

// Until every node is heard, each wanted instance of the service "probe" runs, once, and clients get this version.
export async function isWhole(cloud, version, wanted) {
  await until('every node to be heard', async () => {
    const { nodes } = await cloud.ctlJson('nodes list');
    return nodes.length === ROLES.length && nodes.every((node) => node.state === 'ready');
  }, { timeout: 40_000, every: 200 });
  await until(`${wanted} instances, each once`, async () => {
    const all = await cloud.instances('probe');
    return all.length === wanted && all.every((each) => each.state === 'ready') && running(cloud).length === wanted;
  }, { timeout: 60_000, every: 200 }).catch(async (error) => {
    error.message += ` ${JSON.stringify(await cloud.instances('probe').catch(String))} ${running(cloud)}`;
    throw error;
  });
  await until('ten answers in a row', async () => {
    for (let i = 0; i < 10; i += 1) {
      const answer = await cloud.get('/version', { address: cloud.entry, host: 'probe.localhost', timeout: 3000 });
      assert.equal(answer.text, version);
    }
    return true;
  }, { timeout: 30_000 });
}
