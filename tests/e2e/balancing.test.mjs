// The load balancer in front of two plain servers, in a process of its own, with no cloud around it.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { Cloud } from './lib/cloud.mjs';
import { freePort } from './lib/ports.mjs';
import { CANDELA, run } from './lib/program.mjs';
import { sleep, until, within } from './lib/wait.mjs';

// A server that can be made ill, stopped and started again on its port.
class Upstream {
  constructor(name, port) {
    this.name = name;
    this.port = port;
    this.served = 0;
    this.ill = false;
  }

  async start() {
    this.server = http.createServer((request, response) => {
      if (request.url === '/healthz') { response.statusCode = this.ill ? 503 : 200; return response.end(); }
      this.served += 1;
      if (request.url === '/slow') return setTimeout(() => response.end(this.name), 400);
      if (request.method === 'POST') return request.pipe(response);
      return response.end(this.name);
    });
    new WebSocketServer({ server: this.server }).on('connection', (socket) => {
      socket.on('message', (bytes, isBinary) => socket.send(bytes, { binary: isBinary }));
    });
    await new Promise((done) => { this.server.listen(this.port, '127.0.0.1', done); });
  }

  async stop() {
    const closed = new Promise((done) => { this.server.close(done); });
    this.server.closeAllConnections();
    await closed;
  }
}

test('a load balancer in front of two servers', { timeout: 120_000 }, async (t) => {
  const cloud = new Cloud(t);
  const upstreams = [new Upstream('a', await freePort()), new Upstream('b', await freePort())];
  for (const upstream of upstreams) await upstream.start();
  t.after(() => Promise.all(upstreams.map((upstream) => upstream.stop().catch(() => {}))));
  cloud.gatewayPort = await freePort();
  const endpoint = await freePort();
  const data = path.join(cloud.dir, 'data');
  assert.equal((await run(CANDELA, ['init', '--data-dir', data])).code, 0);
  const file = path.join(cloud.dir, 'balancer.toml');
  fs.writeFileSync(file, `
[node]
name = "balancer"
data_dir = ${JSON.stringify(data)}
roles = ["loadbalancer"]
workers = 2
endpoint = "127.0.0.1:${endpoint}"
[bus]
url = "127.0.0.1:${await freePort()}"
[loadbalancer]
listen = "127.0.0.1:${cloud.gatewayPort}"
[loadbalancer.check]
path = "/healthz"
interval = "100ms"
healthy_after = 1
unhealthy_after = 2
${upstreams.map((u) => `[[loadbalancer.upstream]]\naddress = "127.0.0.1:${u.port}"\n`).join('')}`);
  cloud.start('balancer', ['node', '--config', file]);
  await until('both upstreams to serve', async () => {
    const seen = new Set();
    for (let i = 0; i < 20; i += 1) seen.add((await cloud.get('/')).text);
    return seen.has('a') && seen.has('b');
  }).catch((error) => { throw cloud.explain(error); });

  await t.test('requests are spread, and the slower one gets fewer', async () => {
    const before = upstreams.map((u) => u.served);
    await Promise.all(Array.from({ length: 200 }, () => cloud.get('/')));
    const counts = upstreams.map((u, i) => u.served - before[i]);
    assert.equal(counts[0] + counts[1], 200);
    assert.ok(Math.min(...counts) > 50, counts.join());
  });

  await t.test('an upstream that answers its check with 503 gets nothing; well again, it does', async () => {
    const load = cloud.load({});
    upstreams[0].ill = true;
    await sleep(500);
    const before = upstreams[0].served;
    await sleep(300);
    assert.equal(upstreams[0].served, before);
    upstreams[0].ill = false;
    await until('it to serve again', () => upstreams[0].served > before + 5);
    await load.stop();
    assert.deepEqual(load.failures, []);
  });

  await t.test('an upstream that dies costs no request that is safe to repeat', async () => {
    const load = cloud.load({});
    await sleep(200);
    await upstreams[1].stop();
    await sleep(800);
    await upstreams[1].start();
    await sleep(500);
    await load.stop();
    assert.ok(load.sent > 100);
    assert.deepEqual(load.failures, []);
  });

  await t.test('with no upstream left, a request waits and is served when one is back', async () => {
    for (const upstream of upstreams) await upstream.stop();
    await sleep(500);
    const waiting = cloud.get('/');
    await sleep(500);
    for (const upstream of upstreams) await upstream.start();
    assert.match((await waiting).text, /^[ab]$/);
  });

  await t.test('bodies and WebSockets go through', async () => {
    const body = Buffer.alloc(3_000_000, 'z');
    assert.ok(body.equals((await cloud.get('/', { method: 'POST', body })).body));
    const socket = new WebSocket(`ws://127.0.0.1:${cloud.gatewayPort}/`);
    await within(5000, 'the upgrade', new Promise((done, fail) => { socket.on('open', done); socket.on('error', fail); }));
    const echoed = new Promise((done) => { socket.once('message', (bytes) => done(bytes.toString())); });
    socket.send('through');
    assert.equal(await within(5000, 'the echo', echoed), 'through');
    socket.terminate();
  });

  await t.test('SIGTERM lets a request in flight finish', async () => {
    const slow = cloud.get('/slow');
    await sleep(100);
    const node = cloud.node('balancer');
    const ended = node.stop();
    assert.match((await slow).text, /^[ab]$/);
    assert.equal((await ended).code, 0);
  });
});
