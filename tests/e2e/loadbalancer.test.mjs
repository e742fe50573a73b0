// The load balancer role alone: upstreams from the profile, checked and balanced.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Cloud } from './lib/cloud.mjs';
import { Load, request } from './lib/http.mjs';
import { freePort } from './lib/ports.mjs';
import { CANDELA, run } from './lib/program.mjs';
import { serve } from './lib/proxy.mjs';
import { sleep, until } from './lib/wait.mjs';

test('requests are shared, and an upstream that fails its checks or its connections is left out', { timeout: 90_000 }, async (t) => {
  const cloud = new Cloud(t);
  const ports = { balancer: await freePort(), node: await freePort() };
  const sick = new Set();
  const names = ['one', 'two', 'three'];
  const servers = await Promise.all(names.map((name) => serve(t, (incoming, response) => {
    if (incoming.url === '/healthz') response.writeHead(sick.has(name) ? 503 : 200);
    response.end(name);
  })));
  const data = path.join(cloud.dir, 'data');
  assert.equal((await run(CANDELA, ['init', '--data-dir', data])).code, 0);
  const profile = path.join(cloud.dir, 'node.toml');
  fs.writeFileSync(profile, `[node]
name = "lb"
roles = ["loadbalancer"]
data_dir = "${data}"
workers = 2
endpoint = "127.0.0.1:${ports.node}"
[bus]
url = "127.0.0.1:${await freePort()}" # nobody there: balancing needs no bus
[loadbalancer]
listen = "127.0.0.1:${ports.balancer}"
[loadbalancer.check]
path = "/healthz"
interval = "100ms"
timeout = "500ms"
${servers.map((server) => `[[loadbalancer.upstream]]\naddress = "${server.target}"\n`).join('')}`);
  const checked = await run(CANDELA, ['node', '--check', profile]);
  assert.equal(checked.code, 0, checked.stderr);
  cloud.start('lb', ['node', '--config', profile], { cwd: cloud.dir });
  await cloud.ready('lb', ports.node);

  const loadFor = async (ms, during) => {
    const load = new Load(ports.balancer, { clients: 12, pause: 0 });
    await during?.();
    await sleep(ms);
    await load.stop();
    assert.deepEqual(load.failures, []);
    return load;
  };
  const all = await loadFor(500);
  for (const name of names) assert.ok(all.bodies.get(name) > all.sent / 10, `${name} got its share`);

  sick.add('two');
  await until('two to be left out', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, () => request(ports.balancer)));
    return answers.every((answer) => answer.text !== 'two');
  });
  const two = await loadFor(300);
  assert.equal(two.bodies.get('two'), undefined);
  sick.delete('two');
  await until('two to be back', async () => (await request(ports.balancer)).text === 'two');

  // One that goes away at once: GETs in flight on it are asked again elsewhere.
  await loadFor(500, async () => {
    await sleep(200);
    servers[0].close();
    servers[0].closeAllConnections();
  });
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  const held = request(ports.balancer, '/', { timeout: 20_000 });
  await sleep(500);
  await serve(t, (incoming, response) => response.end('again'), Number(servers[1].target.split(':')[1]));
  assert.equal((await held).text, 'again');
  assert.equal((await cloud.node('lb').stop()).code, 0);
});
