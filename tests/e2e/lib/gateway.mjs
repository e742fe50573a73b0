// A node with the roles bus and gateway, for tests that play the lighthouse.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { connect } from 'nats';
import { Cloud } from './cloud.mjs';
import { request } from './http.mjs';
import { freePort } from './ports.mjs';
import { CANDELA, run } from './program.mjs';
import { until } from './wait.mjs';

// `section` is added to [gateway]; {port} in it becomes a free one, which `ports.tls` tells.
export async function startGateway(t, section = '') {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const ports = { bus: await freePort(), gateway: await freePort(), node: await freePort(), tls: await freePort() };
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  const profile = path.join(cloud.dir, 'node.toml');
  fs.writeFileSync(profile, `[node]
name = "gw"
roles = ["bus", "gateway"]
data_dir = "${data}"
workers = 2
endpoint = "127.0.0.1:${ports.node}"
[bus]
listen = "127.0.0.1:${ports.bus}"
[gateway]
listen = "127.0.0.1:${ports.gateway}"
${section.replaceAll('{port}', ports.tls)}
`);
  const start = () => cloud.start('gw', ['node', '--config', profile], { cwd: cloud.dir });
  start();
  const server = `127.0.0.1:${ports.bus}`;
  await until('the bus', () => connect({ servers: server, timeout: 500 }).then((c) => c.close(), (error) => {
    if (/REFUSED/.test(error.code ?? '')) throw error;
  }).then(() => true));
  return { cloud, data, server, ports, start, get: (target, options) => request(ports.gateway, target, options) };
}
