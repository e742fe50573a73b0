// A gateway goes on as another executable: no connection is refused, no request fails, WebSockets live on until the
// process that has them has drained; and what does not work leaves the one before in place, with the reason said.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { request } from './lib/http.mjs';
import { CANDELA, isAlive, run, tempDir } from './lib/program.mjs';
import { serve } from './lib/proxy.mjs';
import { Clients, startUpgradable } from './lib/upgrade.mjs';
import { until, within } from './lib/wait.mjs';

const UPGRADES = 20;

async function routed(t, options) {
  const edge = await startUpgradable(t, options);
  const server = await serve(t, (_, response) => response.end('hello'));
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(`echo ${text}`)));
  t.after(() => sockets.close());
  edge.table = (instance = 'web-1') => [{ service: 'web', routes: [{ host: 'web.localhost' }],
    endpoints: [{ instance, port: server.address().port }] }];
  await edge.lighthouse.publish(edge.table());
  edge.get = () => request(edge.ports.http, '/', { host: 'web.localhost' });
  await until('the route', async () => (await edge.get()).status === 200);
  return edge;
}

const open = (port) => within(10_000, 'a WebSocket', new Promise((done, fail) => {
  const client = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host: 'web.localhost' } });
  client.on('open', () => done(client));
  client.on('error', fail);
}));
const echo = (client, text) => within(10_000, 'an echo', new Promise((done) => {
  client.once('message', (answer) => done(String(answer)));
  client.send(text);
}));

test('twenty upgrades under load: nothing is refused, nothing fails, WebSockets live on', async (t) => {
  const edge = await routed(t);
  const clients = new Clients(edge.ports);
  const pids = new Set([edge.pid]);
  for (let round = 1; round <= UPGRADES; round += 1) {
    const socket = await open(edge.ports.http);
    let cut = false;
    socket.on('close', () => { cut = true; });
    const result = await edge.upgrade();
    assert.equal(result.code, 0, `${result.stderr}\n${edge.log()}`);
    pids.add(edge.pid);
    assert.equal((await request(edge.ports.node, '/readyz')).status, 200);
    assert.equal(await echo(socket, `${round}`), `echo ${round}`);
    assert.ok(isAlive(edge.before), 'a process with an open WebSocket goes on');
    assert.equal(cut, false);
    socket.close();
    await edge.ended(edge.before);
  }
  assert.equal(pids.size, UPGRADES + 1);
  const sent = await clients.stop();
  t.diagnostic(`${sent} requests over ${UPGRADES} upgrades`);
});

test('more and fewer loops than before: connections in every queue are accepted', async (t) => {
  const edge = await routed(t, { workers: 3 });
  const clients = new Clients(edge.ports);
  for (const workers of [1, 4, 2]) {
    edge.write({ workers });
    const result = await edge.upgrade();
    assert.equal(result.code, 0, `${result.stderr}\n${edge.log()}`);
    await edge.ended(edge.before);
  }
  await clients.stop();
});

test('the lighthouse hears of requests that are still in flight in the process before', async (t) => {
  const edge = await routed(t);
  const socket = await open(edge.ports.http);
  assert.equal((await edge.upgrade()).code, 0);
  await edge.lighthouse.publish([]);  // the instance leaves the table; the old process still has the WebSocket to it
  const { beats } = edge.lighthouse;
  await until('it to be busy', () => edge.lighthouse.busy().includes('web-1') && beats.at(-1)[16]?.[0] === 2n);
  assert.ok(isAlive(edge.before));
  const boots = beats.map((beat) => beat[2][0].toString());
  const first = boots.indexOf(boots.at(-1));
  assert.ok(first > 0 && boots.slice(first).every((boot) => boot === boots.at(-1)), `one process speaks for the node: ${boots.map((boot) => boot.slice(-6)).join(' ')}`);
  assert.equal(beats.at(-1)[8], undefined, 'it is not draining');
  socket.close();
  await edge.ended(edge.before);
  await until('it to be free', () => edge.lighthouse.busy().length === 0);
});

test('what can not take over leaves the process before in place, and says why', async (t) => {
  const edge = await routed(t, { drain: '6s' });
  const clients = new Clients(edge.ports);
  const file = (name, text, mode = 0o755) => {
    const at = path.join(edge.cloud.dir, name);
    fs.writeFileSync(at, text, { mode });
    return at;
  };
  const refused = async (expected, ...args) => {
    const { pid } = edge;
    const result = await edge.upgrade(...args);
    assert.equal(result.code, 1, result.stderr);
    assert.match(result.stderr, expected);
    assert.match(edge.log(), new RegExp(`upgrade_failed.*${expected.source}`));
    assert.ok(isAlive(pid));
    assert.equal((await edge.get()).status, 200);
  };
  await refused(/No such file/, '--executable', path.join(edge.cloud.dir, 'nothing'));
  await refused(/Permission denied/, '--executable', file('not-executable', '', 0o644));
  await refused(/Exec format error/, '--executable', file('nonsense', '\x7fELF nonsense'));
  await refused(/ended before it was ready/, '--executable', file('ends', '#!/bin/sh\necho out of order >&2\nexit 3\n'));
  assert.match(edge.log(), /out of order/);
  edge.write({ gateway: `[gateway.access_log]\nfile = "/nowhere/access.log"` });
  await refused(/nowhere/);
  // One that is never ready is given up when the old one is told to stop waiting, and has taken nothing away.
  const hangs = file('hangs', '#!/bin/sh\nexec sleep 1000\n');
  const waiting = edge.upgrade('--executable', hangs);
  await until('it to run', () => edge.log().includes(`upgrade_asked executable=${hangs}`));
  const meanwhile = await edge.upgrade();
  assert.equal(meanwhile.code, 5, meanwhile.stderr);
  assert.match(meanwhile.stderr, /another upgrade is under way/);
  assert.equal((await edge.get()).status, 200);
  const timedOut = await waiting;
  assert.equal(timedOut.code, 1);
  assert.match(timedOut.stderr, /no answer within 30s/);
  edge.write({ gateway: 'nonsense = 1' });
  const checked = await edge.upgrade();
  assert.equal(checked.code, 2, 'the command itself sees a profile with mistakes');
  assert.match(checked.stderr, /nonsense/);
  edge.write();
  const socket = await open(edge.ports.http);
  const closed = new Promise((done) => { socket.on('close', done); });
  assert.equal((await edge.upgrade()).code, 0);
  const early = await edge.upgrade();
  assert.equal(early.code, 5, early.stderr);
  assert.match(early.stderr, /still finishes what it has in flight/);
  // A drain ends, be a WebSocket open or not.
  await within(20_000, 'the WebSocket to be cut', closed);
  await edge.ended(edge.before);
  await clients.stop();
});

test('SIGUSR2 upgrades, too; the service manager hears who is the main process', async (t) => {
  const dir = tempDir(t);
  const socket = path.join(dir, 'notify');
  const told = path.join(dir, 'told');
  // Node has no datagram sockets of the unix kind.
  const listener = spawn('python3', ['-c', `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.bind(sys.argv[1])
out = open(sys.argv[2], 'a')
while True:
    text, extra, _, _ = s.recvmsg(4096, 128)
    pid = int.from_bytes(extra[0][2][:4], sys.byteorder)
    out.write(f'{pid} ' + text.decode().replace('\\n', ' ') + '\\n'); out.flush()
`, socket, told], { stdio: 'inherit' });
  t.after(() => listener.kill('SIGKILL'));
  await until('the listener', () => fs.existsSync(socket));
  const edge = await routed(t, { env: { NOTIFY_SOCKET: socket } });
  process.kill(edge.pid, 'SIGUSR2');
  const handed = await until('the hand-over', () => edge.log().match(/handed_over to=(\d+)/));
  edge.before = edge.pid;
  edge.pid = Number(handed[1]);
  await edge.ended(edge.before);
  assert.equal((await edge.get()).status, 200);
  // systemd listens to the main process only: who that is the old one says, and then nothing more.
  const lines = await until('what the new one says', () => {
    const all = fs.readFileSync(told, 'utf8').trimEnd().split('\n');
    return all.at(-1).startsWith(`${edge.pid} `) && all;
  });
  const at = lines.indexOf(`${edge.before} MAINPID=${edge.pid}`);
  assert.ok(at > 0, lines.join('\n'));
  assert.ok(lines.slice(0, at).every((line) => line.startsWith(`${edge.before} `)), lines.join('\n'));
  assert.match(lines[at + 1], new RegExp(`^${edge.pid} READY=1`));
  assert.ok(lines.slice(at + 1).every((line) => line.startsWith(`${edge.pid} `)), lines.join('\n'));
});

test('only gateways and load balancers can; others say so', async (t) => {
  const edge = await routed(t);
  const core = path.join(edge.cloud.dir, 'core.toml');
  const result = await run(CANDELA, ['upgrade', '--config', core]);
  assert.equal(result.code, 6);
  assert.match(result.stderr, /role bus can't run in two processes/);
  await edge.cloud.node('core').stop();
  const gone = await run(CANDELA, ['upgrade', '--config', core]);
  assert.equal(gone.code, 6);
  assert.match(gone.stderr, /no node that can be upgraded runs here/);
});
