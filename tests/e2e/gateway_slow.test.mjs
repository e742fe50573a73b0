// Clients that are slow on purpose (slowhttptest): slow heads, slow bodies, slow readers. They are cut off, cost little, and
// others are served meanwhile.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startGateway } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { Program, tempDir } from './lib/program.mjs';
import { serve, watchMemory } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

const MIB = 1024 * 1024;
const CLIENTS = 800;
// Fewer: each takes megabytes of the kernel's memory for sockets, of which all on this machine have a part.
const READERS = 150;
const FEW = 20;
// More than the kernel keeps for a connection.
const LARGE = Buffer.alloc(32 * MIB, 'x');
const HOST = { host: 'web.localhost' };

// How many sockets the kernel has for the port that cost something: open ones, and those that still wait to be rid of bytes.
function connections(port) {
  const costly = new Set(['01', '04', '05', '08', '09', '0B']);
  return fs.readFileSync('/proc/net/tcp', 'latin1').split('\n').filter((line) => {
    const [, local, , state] = line.trim().split(/\s+/);
    return local?.endsWith(`:${port.toString(16).toUpperCase().padStart(4, '0')}`) && costly.has(state);
  }).length;
}

// Asks all the time, one request after the other, until told to stop; how many were answered otherwise than with 200.
function honest(port) {
  let going = true;
  const done = (async () => {
    const seen = { answered: 0, failed: [] };
    while (going) {
      try {
        const answer = await request(port, '/', { headers: HOST });
        if (answer.status === 200) seen.answered += 1; else seen.failed.push(answer.status);
      } catch (error) {
        seen.failed.push(error.code ?? error.message);
      }
    }
    return seen;
  })();
  return () => { going = false; return done; };
}

test('slow clients', { timeout: 300_000 }, async (t) => {
  const gateway = await startGateway(t, 'head_timeout = "2s"\nsend_timeout = "2s"\nidle_timeout = "3s"\n');
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const server = await serve(t, (incoming, response) => {
    if (incoming.url.startsWith('/large')) {
      response.end(LARGE);
    } else {
      incoming.resume();
      incoming.on('end', () => response.end('ok'));
      incoming.on('error', () => {});
    }
  });
  await lighthouse.publish([{ service: 'web', routes: [{ path: '/' }], endpoints: [{ instance: 'web-1', port: server.address().port }] }]);
  const { pid } = gateway.cloud.nodes[0];
  const port = gateway.ports.gateway;

  const attack = async (args, { target = '/', clients = CLIENTS } = {}) => {
    const memory = watchMemory(pid);
    const stop = honest(port);
    const dir = tempDir(t, 'slow');
    const tool = new Program('slowhttptest', ['-c', String(clients), '-r', String(clients), '-l', '120', '-p', '3',
      '-u', `http://127.0.0.1:${port}${target}`, ...args], { log: path.join(dir, 'log') });
    let others;
    let grown;
    try {
      await until('most of them to have been connected', () => connections(port) > clients / 2, { every: 20 });
      // The tool does not open new ones.
      await until('all of them to be gone', () => connections(port) < FEW, { timeout: 60_000 });
    } catch (error) {
      error.message += `\n${tool.tail()}`;
      throw error;
    } finally {
      await tool.kill();
      others = await stop();
      ({ grown } = memory());
    }
    assert.deepEqual(others.failed, []);
    assert.ok(others.answered > 0);
    assert.ok(grown < 64 * MIB, `the gateway grew by ${grown} bytes`);
  };

  await t.test('heads that never end', async () => { await attack(['-H', '-i', '1']); });
  await t.test('bodies a few bytes at a time', async () => { await attack(['-B', '-i', '1', '-s', '100000', '-x', '5']); });
  await t.test('readers of one byte at a time', async () => {
    await attack(['-X', '-w', '1', '-y', '2', '-n', '5', '-z', '1'], { target: '/large', clients: READERS });
  });
  await t.test('nothing of it is left', async () => {
    assert.equal((await request(port, '/', { headers: HOST })).status, 200);
    const sockets = fs.readdirSync(`/proc/${pid}/fd`).length;
    assert.ok(sockets < 200, `${sockets} descriptors are open`);
  });
});
