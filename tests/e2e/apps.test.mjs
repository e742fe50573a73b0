// Unmodified programs, deployed by ctl and fetched through the gateway of one all-in-one node.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { connect, credsAuthenticator } from 'nats';
import WebSocket from 'ws';
import { cppApp, expressApp, microApp, phpApp, probeApp, pythonApp } from './lib/apps.mjs';
import { startDev } from './lib/cloud.mjs';
import { ROOT, rss } from './lib/program.mjs';
import { until, within } from './lib/wait.mjs';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

test('unmodified programs are deployed and served', { timeout: 300_000 }, async (t) => {
  const cloud = await startDev(t);
  // Most of these ask for a path of a service, whose route is its name under localhost.
  const get = (service, target, options) => cloud.get(target, { host: `${service}.localhost`, ...options });

  await t.test('the example that newcomers start with', async () => {
    await cloud.ctl(['deploy', path.join(ROOT, 'examples/hello-node')]);
    const answer = await get('hello', '/');
    assert.equal(answer.status, 200);
    assert.match(answer.text, /^hello from \S+\n$/);
  });

  await t.test('Express with its node_modules', async () => {
    await cloud.ctl(['deploy', expressApp(t)]);
    const user = await get('express', '/users/7?deep=yes');
    assert.deepEqual(JSON.parse(user.text), { id: '7', query: { deep: 'yes' } });
    const echo = await get('express', '/echo', {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":[1,2,3]}',
    });
    assert.equal(echo.status, 201);
    assert.deepEqual(JSON.parse(echo.text), { got: { a: [1, 2, 3] }, ip: '127.0.0.1' });
  });

  await t.test("Python's http.server serving a folder", async () => {
    await cloud.ctl(['deploy', pythonApp(t)]);
    assert.match((await get('python', '/')).text, /from python/);
    assert.equal((await get('python', '/data/numbers.txt')).text.split('\n').length, 1000);
    assert.equal((await get('python', '/none')).status, 404);
  });

  await t.test("PHP's own web server", async () => {
    await cloud.ctl(['deploy', phpApp(t)]);
    const answer = await get('php', '/?name=candela');
    assert.equal(answer.text, 'php says candela');
    assert.equal(answer.headers['x-made-by'], 'php');
  });

  await t.test('a C++ program that closes every connection', async () => {
    await cloud.ctl(['deploy', await cppApp(t)]);
    for (let i = 0; i < 20; i += 1) {
      assert.equal((await get('cpp', `/${i}`)).text, `c++ got GET /${i} HTTP/1.1`);
    }
  });

  await t.test('a service on the npm nats micro API, over the bus and over HTTP', async () => {
    await cloud.ctl(['deploy', microApp(t)]);
    const greeted = await until('the service to answer', async () => {
      const answer = await get('greeter', '/greeter/hello', { method: 'POST', body: 'world' });
      return answer.status === 200 && answer;
    });
    assert.equal(greeted.text, 'hello world');
    assert.deepEqual(JSON.parse((await get('greeter', '/greeter/sum', { method: 'POST', body: '[1,2,3]' })).text), { sum: 6 });

    // Its own client library finds and measures it from outside.
    const creds = path.join(cloud.dir, 'caller.creds');
    await cloud.ctl(['keys', 'create', 'caller', '--out', creds]);
    const nats = await connect({ servers: `127.0.0.1:${cloud.ports.bus}`, authenticator: credsAuthenticator(fs.readFileSync(creds)) });
    assert.equal((await nats.request('greeter.hello', 'bus')).string(), 'hello bus');
    // A bus service has no probe: its second instance may still be on its way to the bus.
    await until('both instances to be found', async () => {
      const found = new Set();
      for await (const one of await nats.services.client({ strategy: 'stall', maxWait: 1000 }).ping('greeter')) found.add(one.id);
      return found.size === 2;
    });
    await nats.close();
  });

  await t.test('status, services and instances list them', async () => {
    const services = await cloud.ctlJson('services');
    const names = (Array.isArray(services) ? services : services.services).map((s) => s.name).sort();
    assert.deepEqual(names, ['cpp', 'express', 'greeter', 'hello', 'php', 'python']);
    assert.equal((await cloud.ctl('status')).code, 0);
    assert.equal((await cloud.readyInstances('hello', 2)).length, 2);
  });

  await t.test('what a program prints arrives as logs', async () => {
    await get('hello', '/a-line-to-find');
    await until('the log line', async () => (await cloud.ctl('logs hello')).stdout.includes('GET /a-line-to-find'));
  });
});

test('streams go through as they come', { timeout: 300_000 }, async (t) => {
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', probeApp(t)]);
  const { pid } = cloud.node('dev');
  const host = 'probe.localhost';

  // Samples the node's memory while a transfer runs.
  async function memoryDuring(transfer) {
    const before = rss(pid);
    let most = before;
    const timer = setInterval(() => { most = Math.max(most, rss(pid)); }, 50);
    try {
      await transfer();
    } finally {
      clearInterval(timer);
    }
    return (most - before) / MIB;
  }

  await t.test('a download of 1 GiB, with flat memory', async () => {
    const grown = await memoryDuring(() => within(120_000, 'the download', new Promise((done, fail) => {
      http.get({ host: '127.0.0.1', port: cloud.gatewayPort, path: `/download?bytes=${GIB}`, headers: { host } }, (answer) => {
        let bytes = 0;
        answer.on('data', (part) => { bytes += part.length; });
        answer.on('end', () => (bytes === GIB ? done() : fail(new Error(`got ${bytes} bytes`))));
        answer.on('error', fail);
      }).on('error', fail);
    })));
    assert.ok(grown < 16, `the node grew by ${grown.toFixed(1)} MiB`);
  });

  await t.test('a slow reader holds the sender back instead of filling memory', async () => {
    const grown = await memoryDuring(() => within(30_000, 'the slow read', new Promise((done, fail) => {
      const request = http.get({ host: '127.0.0.1', port: cloud.gatewayPort, path: `/download?bytes=${GIB}`, headers: { host } }, (answer) => {
        answer.on('error', () => {});
        answer.once('data', () => {
          answer.pause();
          setTimeout(() => { request.destroy(); done(); }, 3000);
        });
      });
      request.on('error', fail);
    })));
    assert.ok(grown < 16, `the node grew by ${grown.toFixed(1)} MiB`);
  });

  for (const chunked of [false, true]) {
    await t.test(`an upload of 1 GiB (${chunked ? 'chunked' : 'with its length'}), with flat memory`, async () => {
      const block = Buffer.alloc(256 * 1024, 'x');
      const grown = await memoryDuring(() => within(120_000, 'the upload', new Promise((done, fail) => {
        const headers = chunked ? { host } : { host, 'content-length': GIB };
        const request = http.request({ host: '127.0.0.1', port: cloud.gatewayPort, path: '/upload', method: 'PUT', headers }, (answer) => {
          let text = '';
          answer.on('data', (part) => { text += part; });
          answer.on('end', () => (text === String(GIB) ? done() : fail(new Error(`${answer.statusCode} ${text}`))));
        });
        request.on('error', fail);
        let left = GIB;
        const send = () => {
          while (left > 0) {
            left -= block.length;
            if (!request.write(block)) { request.once('drain', send); return; }
          }
          request.end();
        };
        send();
      })));
      assert.ok(grown < 16, `the node grew by ${grown.toFixed(1)} MiB`);
    });
  }

  await t.test('Server-Sent Events arrive one by one', async () => {
    const events = await within(10_000, 'the events', new Promise((done, fail) => {
      http.get({ host: '127.0.0.1', port: cloud.gatewayPort, path: '/events', headers: { host } }, (answer) => {
        const seen = [];
        answer.on('data', (part) => seen.push({ at: Date.now(), text: part.toString() }));
        answer.on('end', () => done(seen));
        answer.on('error', fail);
      }).on('error', fail);
    }));
    assert.deepEqual(events.map((e) => e.text), [1, 2, 3, 4, 5].map((n) => `data: ${n}\n\n`));
    // They are sent 100 ms apart; together they would have come in one moment.
    assert.ok(events.at(-1).at - events[0].at > 200);
  });

  await t.test('WebSocket messages echo, text and binary, small and large', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${cloud.gatewayPort}/`, { headers: { host } });
    await within(5000, 'the upgrade', new Promise((done, fail) => { socket.on('open', done); socket.on('error', fail); }));
    const echo = (message) => within(10_000, 'the echo', new Promise((done) => {
      socket.once('message', (bytes, isBinary) => done(isBinary ? bytes : bytes.toString()));
      socket.send(message);
    }));
    assert.equal(await echo('hello'), 'hello');
    const big = Buffer.alloc(5 * MIB, 7);
    assert.ok(big.equals(await echo(big)));
    for (let i = 0; i < 200; i += 1) assert.equal(await echo(`m${i}`), `m${i}`);
    const closed = new Promise((done) => { socket.on('close', done); });
    socket.close();
    await within(5000, 'the close', closed);
  });
});
