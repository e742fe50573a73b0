// Instances with [sandbox] network = "none": what they can't reach, that they are served all the same and have their
// bus, and that this outlives the host's process; and where a host can't give them such a network.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { microApp } from './lib/apps.mjs';
import { makeService, startDev } from './lib/cloud.mjs';
import { startHost } from './lib/host.mjs';
import { request } from './lib/http.mjs';
import { CANDELA, rss } from './lib/program.mjs';
import { sleep, until } from './lib/wait.mjs';

// Tries what it is told to, and says how that went.
const APP = `
const http = require('node:http'), net = require('node:net'), os = require('node:os'), dgram = require('node:dgram');
const connect = (options) => new Promise((done) => {
  const socket = net.connect({ ...options, timeout: 3000 }, () => { socket.destroy(); done('connected'); });
  socket.on('timeout', () => { socket.destroy(); done('timeout'); });
  socket.on('error', (error) => done(error.code));
});
const tries = {
  '/': () => 'well',
  '/pid': () => String(process.pid),
  '/tcp': (query) => connect({ host: query.get('host'), port: Number(query.get('port')) }),
  '/udp': (query) => new Promise((done) => {
    const socket = dgram.createSocket('udp4');
    socket.send('x', Number(query.get('port')), query.get('host'), (error) => { socket.close(); done(error ? error.code : 'sent'); });
  }),
  '/unix': (query) => connect({ path: query.get('path') }),
  '/interfaces': () => JSON.stringify(Object.fromEntries(Object.entries(os.networkInterfaces()).map(([name, all]) => [name, all.map((each) => each.address)]))),
  '/bus': () => new Promise((done) => {
    const { hostname, port } = new URL(process.env.CANDELA_BUS_URL);
    const socket = net.connect(Number(port), hostname);
    socket.once('data', (bytes) => { socket.destroy(); done(bytes.toString().slice(0, 6)); });
    socket.on('error', (error) => done(error.code));
  }),
  // How many connections to the bus it gets at once.
  '/buses': async (query) => {
    const { hostname, port } = new URL(process.env.CANDELA_BUS_URL);
    const held = [];
    let open = 0;
    for (let i = 0; i < Number(query.get('count')); ++i) {
      open += await new Promise((done) => {
        const socket = net.connect(Number(port), hostname);
        held.push(socket);
        socket.once('data', () => done(1));
        socket.on('error', () => done(0));
        socket.on('close', () => done(0));
      });
    }
    for (const socket of held) socket.destroy();
    return String(open);
  },
  '/big': () => Buffer.alloc(20 << 20, 7),
};
http.createServer(async (q, s) => {
  const { pathname, searchParams } = new URL(q.url, 'http://x');
  if (pathname === '/hang') return console.log('asked to hang');
  if (pathname === '/endless') {
    const push = () => { while (s.write(Buffer.alloc(65536))) ; };
    s.on('drain', push);
    return push();
  }
  s.end(await tries[pathname](searchParams));
}).listen(process.env.PORT, process.env.HOST);
`;
const web = (instance, bundle, more = {}) => ({
  instance, command: ['node', 'app.js'], bundle, probe: { path: '/' }, network: 'none', ...more,
});
const outside = () => Object.values(os.networkInterfaces()).flat().find((each) => !each.internal && each.family === 'IPv4')?.address;

async function listening(t, address, on = {}) {
  const server = net.createServer((peer) => { peer.on('error', () => {}); peer.end('hello'); }).listen({ host: address, port: 0, ...on });
  t.after(() => server.close());
  await new Promise((done) => server.on('listening', done));
  return server.address().port;
}

test('a network of its own', { timeout: 180_000 }, async (t) => {
  const host = await startHost(t);
  const { cloud, lighthouse, ports } = host;
  const { network } = lighthouse.protections();
  if (!network.on) return t.skip(network.detail);
  assert.equal(network.detail, 'a loopback of its own, for whom asks for it');
  const bundle = lighthouse.add({ 'app.js': APP });
  await lighthouse.assign([web('web-1', bundle), web('near-1', bundle, { network: 'host' }), web('web-2', bundle)]);
  const { port, pid } = await lighthouse.reached('web-1', 'ready');
  const near = await lighthouse.reached('near-1', 'ready');
  const other = await lighthouse.reached('web-2', 'ready');
  const ask = async (target, at = port) => (await request(at, target)).text;

  await t.test('it is served as ever', async () => {
    assert.equal(await ask('/'), 'well');
    assert.equal((await request(port, '/big')).body.length, 20 << 20);
    const all = await Promise.all(Array.from({ length: 50 }, () => ask('/')));
    assert.ok(all.every((text) => text === 'well'));
  });

  await t.test('it has a loopback and nothing else, and reaches nothing of the machine', async () => {
    assert.deepEqual(Object.keys(JSON.parse(await ask('/interfaces'))), ['lo']);
    const own = await listening(t, '127.0.0.1');
    const places = [['127.0.0.1', own], ['127.0.0.1', ports.node], ['127.0.0.1', ports.bus_node], ['127.0.0.1', near.port], ['127.0.0.1', other.port]];
    for (const [address, at] of places) {
      assert.equal(await ask(`/tcp?host=${address}&port=${at}`), 'ECONNREFUSED', `${address}:${at}`);
      // Who shares the machine's network gets there: the test tries what could work.
      assert.equal(await ask(`/tcp?host=${address}&port=${at}`, near.port), 'connected', `${address}:${at}`);
    }
    const address = outside();
    if (address) {
      const open = await listening(t, address);
      assert.equal(await ask(`/tcp?host=${address}&port=${open}`, near.port), 'connected');
      assert.match(await ask(`/tcp?host=${address}&port=${open}`), /ENETUNREACH|EHOSTUNREACH/);
      assert.match(await ask(`/udp?host=${address}&port=53`), /ENETUNREACH|EHOSTUNREACH/);
    }
    assert.match(await ask('/tcp?host=192.0.2.1&port=80'), /ENETUNREACH|EHOSTUNREACH/);
    // Itself it reaches, as any program does.
    assert.equal(await ask(`/tcp?host=127.0.0.1&port=${port}`), 'connected');
  });

  await t.test('it finds its bus, with 64 connections at most', async () => {
    assert.equal(await ask('/bus'), 'INFO {');
    assert.equal(await ask('/buses?count=70'), '64');
    await until('them to be closed', async () => (await ask('/buses?count=64')) === '64');
    assert.match(cloud.node('host').output(), /warn door_full .*instance=web-1 door=out/);
  });

  await t.test('who reads slowly holds it up, and the host stays small', async () => {
    const node = cloud.node('host').pid;
    const before = rss(node);
    const slow = Array.from({ length: 20 }, () => {
      const socket = net.connect(port, '127.0.0.1', () => socket.write('GET /endless HTTP/1.1\r\nHost: x\r\n\r\n'));
      socket.pause();
      return socket;
    });
    await sleep(1500);
    assert.ok(rss(node) - before < 16 << 20, `${rss(node) - before}`);
    for (const socket of slow) socket.destroy();
    assert.equal(await ask('/'), 'well');
  });

  await t.test('it is not ready before it listens, whoever listens in its stead', async () => {
    const late = web('late-1', bundle, { command: ['sh', '-c', 'while [ ! -e /tmp/go ]; do sleep 0.05; done; exec node app.js'], probe: { tcp: true } });
    await lighthouse.assign([web('web-1', bundle), late]);
    await until('probes to fail', () => /refused/.test(lighthouse.instances()['late-1']?.probeAnswer ?? ''));
    const waiting = lighthouse.instances()['late-1'];
    assert.equal(waiting.state, 'starting');
    await assert.rejects(request(waiting.port, '/'));
    fs.writeFileSync(`/proc/${waiting.pid}/root/tmp/go`, '');
    await lighthouse.reached('late-1', 'ready');
    assert.equal(await ask('/', waiting.port), 'well');
    await lighthouse.assign([web('web-1', bundle)]);
  });

  await t.test('a host that is killed finds it again; who came meanwhile has waited', async () => {
    await cloud.node('host').kill('SIGKILL');
    const waited = request(port, '/', { timeout: 60_000 });
    await host.start();
    assert.equal((await waited).text, 'well');
    const found = await lighthouse.reached('web-1', 'ready');
    assert.deepEqual([found.pid, found.port], [pid, port]);
    assert.equal(await ask('/'), 'well');
    assert.equal(await ask('/bus'), 'INFO {');
  });

  await t.test('one that is killed is started again, and served again', async () => {
    process.kill(pid, 'SIGKILL');
    const healed = await until('another process', () => {
      const now = lighthouse.instances()['web-1'];
      return now.state === 'ready' && now.pid !== pid && now;
    });
    assert.equal(await ask('/', healed.port), 'well');
    assert.equal(await ask('/bus', healed.port), 'INFO {');
    await lighthouse.assign([]);
    await until('it to be gone', () => !lighthouse.instances()['web-1']);
    await assert.rejects(request(healed.port, '/'));
  });
});

test('without the privilege for it: in a user namespace, too', { timeout: 90_000, skip: process.getuid() !== 0 && 'only root can become another' }, async (t) => {
  const host = await startHost(t, { how: { executable: 'setpriv', words: ['--bounding-set=-sys_admin', CANDELA] } });
  const { network, namespaces } = host.lighthouse.protections();
  if (!network.on) return t.skip(network.detail);
  assert.match(namespaces.detail, /user namespace/);
  const bundle = host.lighthouse.add({ 'app.js': APP });
  await host.lighthouse.assign([web('web-1', bundle)]);
  const { port } = await host.lighthouse.reached('web-1', 'ready');
  assert.equal((await request(port, '/bus')).text, 'INFO {');
  assert.equal((await request(port, `/tcp?host=127.0.0.1&port=${host.ports.node}`)).text, 'ECONNREFUSED');
});

test('where there is none to be had it is said, and who asks for it is refused', { timeout: 90_000 }, async (t) => {
  const { lighthouse } = await startHost(t, { lines: 'sandbox_off = ["network"]' });
  const { network } = lighthouse.protections();
  assert.deepEqual([network.on, network.detail], [false, 'turned off by sandbox_off']);
  const bundle = lighthouse.add({ 'app.js': APP });
  await lighthouse.assign([web('web-1', bundle), web('near-1', bundle, { network: 'host' })]);
  await lighthouse.reached('near-1', 'ready');
  assert.match((await lighthouse.reached('web-1', 'failed')).cause, /it is to have no network, but this host can't make one of its own for it/);
});

test('through the gateway and over the bus, by ctl', { timeout: 180_000 }, async (t) => {
  const cloud = await startDev(t);
  const [{ name }] = await until('the node', async () => (await cloud.ctlJson('nodes')).nodes);
  const shown = await until('its walls', async () => {
    const { stdout } = await cloud.ctl(['nodes', 'show', name]);
    return /PROTECTION/.test(stdout) && stdout;
  });
  if (!/^network +on/m.test(shown)) return t.skip('no networks here');
  assert.match(shown, /^network +on +a loopback of its own, for whom asks for it$/m);
  const toml = `name = "lone"
command = ["node", "app.js"]
[sandbox]
network = "none"
[probe]
tcp = true
[[route]]
host = "lone.localhost"
`;
  await cloud.ctl(['deploy', makeService(t, 'lone', toml, { 'app.js': APP })]);
  const get = async (target) => (await cloud.get(target, { host: 'lone.localhost' })).text;
  assert.equal(await get('/'), 'well');
  assert.deepEqual(Object.keys(JSON.parse(await get('/interfaces'))), ['lo']);
  for (const at of [7400 + cloud.offset, cloud.ports.node, cloud.gatewayPort]) {
    assert.equal(await get(`/tcp?host=127.0.0.1&port=${at}`), 'ECONNREFUSED', `${at}`);
  }
  assert.match(await get(`/unix?path=${cloud.address.slice('unix:'.length)}`), /ENOENT|EACCES/);
  const [{ id }] = await cloud.readyInstances('lone', 1);
  const exec = await cloud.ctl(['exec', id, '--', 'cat', '/proc/net/dev', '/etc/hosts']);
  assert.deepEqual(exec.stdout.match(/^ *(\w+):/mg).map((each) => each.trim()), ['lo:']);
  assert.match(exec.stdout, /^127\.0\.0\.1 localhost/m);

  // A client of the bus, with its credential.
  const micro = microApp(t);
  fs.appendFileSync(path.join(micro, 'service.toml'), '[sandbox]\nnetwork = "none"\n');
  await cloud.ctl(['deploy', micro]);
  const answered = await until('its answer', async () => {
    const answer = await cloud.get('/greeter/hello', { host: 'greeter.localhost', method: 'POST', body: 'you' });
    return answer.status === 200 && answer;
  });
  assert.equal(answered.text, 'hello you');

  const bad = await cloud.ctl(['deploy', makeService(t, 'odd', 'name = "odd"\ndriver = "docker"\nimage = "x"\n[sandbox]\nnetwork = "none"\n')], { ok: false });
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /service\.toml:5:\d+: .*\[container\] network/);
});
