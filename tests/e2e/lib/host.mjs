// A host beside a bus, with a lighthouse that the test plays.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Cloud } from './cloud.mjs';
import { HostLighthouse } from './host_lighthouse.mjs';
import { freePort } from './ports.mjs';
import { CANDELA, Program, run } from './program.mjs';
import { until } from './wait.mjs';

// `lines` of its [host]; `own`: its data folder, where that is not one beside the bus's; `how`: what start() takes.
export async function startHost(t, { lines = '', own, how } = {}) {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const ports = { bus: await freePort(), bus_node: await freePort(), node: await freePort() };
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  const busProfile = path.join(cloud.dir, 'bus.toml');
  fs.writeFileSync(busProfile, `[node]
name = "bus-1"
roles = ["bus"]
data_dir = "${data}"
endpoint = "127.0.0.1:${ports.bus_node}"
[bus]
listen = "127.0.0.1:${ports.bus}"
`);
  own ??= path.join(cloud.dir, 'host-data');
  fs.mkdirSync(own, { recursive: true });
  const creds = path.join(cloud.dir, 'host.creds');
  fs.copyFileSync(path.join(data, 'identity/creds/host.creds'), creds);
  const profile = path.join(cloud.dir, 'host.toml');
  fs.writeFileSync(profile, `[node]
name = "host-1"
roles = ["host"]
data_dir = "${own}"
endpoint = "127.0.0.1:${ports.node}"
[bus]
url = "127.0.0.1:${ports.bus}"
credentials = "${creds}"
[host]
bus_url = "nats://127.0.0.1:${ports.bus}"
${lines}
`);
  cloud.start('bus', ['node', '--config', busProfile], { cwd: cloud.dir });
  await cloud.ready('bus', ports.bus_node);
  const lighthouse = await HostLighthouse.start(t, data, `127.0.0.1:${ports.bus}`);
  // `executable` stands in for ours, and may run it by `words` of its own.
  const start = async ({ executable = CANDELA, words = [] } = {}) => {
    cloud.nodes = cloud.nodes.filter((node) => node.name !== 'host');
    cloud.nodes.push(new Program(executable, [...words, 'node', '--config', profile], {
      name: 'host', cwd: cloud.dir, log: path.join(cloud.dir, 'host.log'), env: cloud.env,
    }));
    await cloud.ready('host', ports.node);
  };
  await start(how);
  await until('a heartbeat', () => lighthouse.beat?.[40]);
  return { cloud, own, data, profile, lighthouse, start, ports };
}
