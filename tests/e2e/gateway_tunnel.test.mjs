// A gateway on a machine of its own, which reaches the bus but not the host's loopback: the data path goes
// over the bus. The machine is a network namespace, so the test needs root.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { WebSocket } from 'ws';
import { copyModules, manifest } from './lib/apps.mjs';
import { Cloud, makeService } from './lib/cloud.mjs';
import { checkAllKinds, echoClient, echoService } from './lib/grpc.mjs';
import { makeMachine } from './lib/machine.mjs';
import { freePort } from './lib/ports.mjs';
import { CANDELA, Program, run } from './lib/program.mjs';
import { watchMemory } from './lib/proxy.mjs';
import { until, within } from './lib/wait.mjs';

const MiB = 1024 * 1024;
const APP = `
const http = require('node:http');
const crypto = require('node:crypto');
const { WebSocketServer } = require('ws');
const piece = Buffer.alloc(1 << 20, 'x');
const server = http.createServer((request, response) => {
  if (request.url === '/large') {
    let left = 64;
    const more = () => {
      while (left-- > 0) if (!response.write(piece)) return response.once('drain', more);
      response.end();
    };
    more();
  } else if (request.method === 'POST') {
    const hash = crypto.createHash('sha1');
    request.on('data', (bytes) => hash.update(bytes));
    request.on('end', () => response.end(hash.digest('hex')));
  } else response.end('hello');
});
new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))));
server.listen(process.env.PORT, '127.0.0.1');
`;

// Answers with the line that its connection begins with.
const TOLD = `
require('node:net').createServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', (bytes) => {
    const line = bytes.toString('latin1').split('\\r\\n')[0];
    socket.end('HTTP/1.1 200 OK\\r\\nContent-Length: ' + line.length + '\\r\\n\\r\\n' + line);
  });
}).listen(process.env.PORT, '127.0.0.1');
`;

test('a gateway that can not reach the host goes over the bus', {
  timeout: 180_000, skip: process.getuid() !== 0 && 'needs root, for a network namespace',
}, async (t) => {
  const cloud = new Cloud(t);
  const { name: machine, ours, theirs } = await makeMachine(t);
  const data = path.join(cloud.dir, 'data');
  assert.equal((await run(CANDELA, ['init', '--data-dir', data])).code, 0);
  const ports = { bus: await freePort(), node: await freePort(), api: await freePort(), gateway: await freePort() };
  cloud.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  const profile = (name, text) => {
    const file = path.join(cloud.dir, `${name}.toml`);
    fs.writeFileSync(file, text);
    return file;
  };
  const core = profile('core', `[node]
name = "core"
roles = ["bus", "lighthouse", "host"]
data_dir = "${data}"
workers = 1
endpoint = "127.0.0.1:${ports.node}"
[bus]
listen = "0.0.0.0:${ports.bus}"
[lighthouse]
listen = "127.0.0.1:${ports.api}"
[host]
bus_url = "nats://127.0.0.1:${ports.bus}"
`);
  const far = profile('far', `[node]
name = "far"
roles = ["gateway"]
data_dir = "${path.join(cloud.dir, 'far')}"
workers = 1
endpoint = "127.0.0.1:${ports.node}"
[bus]
url = "${ours}:${ports.bus}"
credentials = "${data}/identity/creds/gateway.creds"
[gateway]
listen = "${theirs}:${ports.gateway}"
`);
  cloud.start('core', ['node', '--config', core], { cwd: cloud.dir });
  await cloud.ready('core', ports.node);
  const inside = new Program('ip', ['netns', 'exec', machine, CANDELA, 'node', '--config', far],
    { cwd: cloud.dir, log: path.join(cloud.dir, 'far.log'), name: 'far' });
  cloud.nodes.push(inside);

  // It has its hands full with megabytes for longer than an HTTP probe each 100 ms would wait.
  const dir = makeService(t, 'app', manifest('app', ['node', 'app.js'], { probe: 'tcp = true' }), { 'app.js': APP });
  copyModules(dir, ['ws']);
  await cloud.ctl(['deploy', dir]).catch((error) => { throw cloud.explain(error); });
  const ask = (target, options = {}, body = undefined) => new Promise((done, fail) => {
    const sent = http.request({ host: theirs, port: ports.gateway, path: target, headers: { host: 'app.localhost' }, ...options }, (answer) => {
      let length = 0;
      const parts = [];
      answer.on('data', (bytes) => {
        length += bytes.length;
        if (length < 65536) parts.push(bytes);
      });
      answer.on('end', () => done({ status: answer.statusCode, length, text: Buffer.concat(parts).toString() }));
      answer.on('error', fail);
    });
    sent.on('error', fail);
    sent.end(body);
  });
  await until('the gateway to serve', async () => (await ask('/')).text === 'hello').catch((error) => { throw cloud.explain(error); });

  await t.test('many small requests', async () => {
    let failures = 0;
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    for (let i = 0; i < 50; i += 1) {
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask('/', { agent })));
      failures += answers.filter((answer) => answer.text !== 'hello').length;
    }
    agent.destroy();
    assert.equal(failures, 0);
  });
  await t.test('64 MiB down and up, with flat memory', async () => {
    const stop = watchMemory(inside.pid);
    const large = await ask('/large');
    assert.equal(large.length, 64 * MiB);
    const body = crypto.randomBytes(64 * MiB);
    const up = await ask('/', { method: 'POST' }, body);
    assert.equal(up.text, crypto.createHash('sha1').update(body).digest('hex'));
    assert.ok(stop().grown < 16 * MiB);
  });
  await t.test('WebSocket', async () => {
    const client = new WebSocket(`ws://${theirs}:${ports.gateway}/`, { headers: { host: 'app.localhost' } });
    await within(5000, 'the upgrade', new Promise((done, fail) => { client.on('open', done); client.on('error', fail); }));
    const answer = new Promise((done) => { client.once('message', (text) => done(String(text))); });
    client.send('over the bus');
    assert.equal(await within(5000, 'the echo', answer), 'over the bus');
    client.close();
  });
  await t.test('the client\'s address by the PROXY protocol', async () => {
    const told = makeService(t, 'told', manifest('told', ['node', 'app.js'], { extra: 'proxy_protocol = "v1"', probe: 'tcp = true' }), { 'app.js': TOLD });
    await cloud.ctl(['deploy', told]);
    const host = { headers: { host: 'told.localhost' } };
    await until('its route', async () => (await ask('/', host)).status === 200);
    for (let i = 0; i < 10; i += 1) {
      assert.match((await ask('/', { ...host, agent: new http.Agent({ localAddress: ours }) })).text,
        new RegExp(`^PROXY TCP4 ${ours} ${theirs} [1-9][0-9]+ ${ports.gateway}$`));
    }
  });
  await t.test('gRPC', async () => {
    await cloud.ctl(['deploy', echoService(t)]).catch((error) => { throw cloud.explain(error); });
    await checkAllKinds(echoClient(t, ports.gateway, { address: theirs }));
  });
  await t.test('the instance is killed: requests wait for its successor', async () => {
    const [instance] = await cloud.readyInstances('app', 1);
    process.kill(instance.pid, 'SIGKILL');
    const answer = await within(30_000, 'the held request', ask('/'));
    assert.equal(answer.text, 'hello');
  });
});
