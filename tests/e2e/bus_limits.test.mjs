// What a user may do and when, how a bus that stops hands its clients over, and nodes that reach it by TLS.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { StringCodec } from 'nats';
import { Bus, startBus } from './lib/bus.mjs';
import { Authority } from './lib/certificates.mjs';
import { startNatsServer } from './lib/nats_server.mjs';
import { freePort } from './lib/ports.mjs';
import { profileFrom } from './lib/profiles.mjs';
import { CANDELA, Program, tempDir } from './lib/program.mjs';
import { Raw } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';

const sc = StringCodec();

// A zone where it is about noon: near midnight the clock itself would be what is tested, since nats-server takes no
// hours over midnight. (Etc/GMT+5 is five hours behind.)
const ahead = 12 - new Date().getUTCHours();
const zone = ahead === 0 ? 'Etc/GMT' : `Etc/GMT${ahead > 0 ? '-' : '+'}${Math.abs(ahead)}`;
// "15:04:05" there, so many seconds from now.
const clock = (seconds) => new Date(Date.now() + (ahead * 3600 + seconds) * 1000).toISOString().slice(11, 19);

test('hours of the day: at the login, and live', async (t) => {
  const bus = await startBus(t);
  const nats = await startNatsServer(t, bus);
  const outcomes = [];
  for (const port of [nats.port, bus.port]) {
    const outcome = [];
    const tryWith = async (claims) => {
      const creds = await bus.mint('default', claims);
      const raw = new Raw(port);
      const { nonce } = await raw.info();
      const said = await raw.talk(raw.connectLine(nonce, creds));
      outcome.push(said);
      return raw;
    };
    await tryWith({ times: [{ start: clock(-60), end: clock(60) }], times_location: zone });
    await tryWith({ times: [{ start: clock(-60), end: clock(-5) }, { start: clock(40), end: clock(60) }], times_location: zone });
    await tryWith({ times: [{ start: '00:00:00', end: '23:59:59' }], times_location: 'Europe/Nowhere' });
    const short = await tryWith({ times: [{ start: clock(-60), end: clock(3) }], times_location: zone });
    await until('the end of its hours', () => short.ended, { every: 10 });
    outcome.push(short.text.replace(/^PONG\r\n/, '').replaceAll('PING\r\n', ''));
    outcomes.push(outcome);
  }
  assert.deepEqual(outcomes[1], outcomes[0]);
  assert.equal(outcomes[1][4], "-ERR 'User Authentication Expired'\r\n");
});

test('a publish rate is kept by reading later; nothing is lost, others are not slowed', async (t) => {
  const bus = await startBus(t);
  const reader = await bus.user();
  const seen = [];
  reader.subscribe('limited', { callback: (error, message) => seen.push(Number(sc.decode(message.data))) });
  await reader.flush();
  const limited = await bus.user('default', { tags: ['candela:publish_rate=500'] });
  const began = Date.now();
  for (let i = 0; i < 2000; i += 1) limited.publish('limited', sc.encode(String(i)));
  const free = await bus.user();
  for (let i = 0; i < 2000; i += 1) free.publish('other', sc.encode(String(i)));
  await free.flush();
  assert.ok(seen.length < 2000, 'the one without a limit is through first');
  await limited.flush();
  const took = (Date.now() - began) / 1000;
  assert.ok(took > 2.2, `2000 messages at 500/s, 500 of them at once, took ${took} s`);
  await until('all of them', () => seen.length === 2000, { every: 5 });
  assert.deepEqual(seen, Array.from({ length: 2000 }, (_, i) => i));
});

test('a bus that stops hands its clients to another, without an error', async (t) => {
  const second = await startBus(t);
  const first = new Bus(t, second.dir);
  // The same cloud: another node with the same operator and accounts.
  first.port = await freePort();
  first.address = `127.0.0.1:${first.port}`;
  const dir = tempDir(t, 'candela-bus-first');
  fs.cpSync(second.identity, path.join(dir, 'identity'), { recursive: true });
  first.dir = dir;
  first.identity = path.join(dir, 'identity');
  first.profile = `advertise = ["${first.address}", "${second.address}"]\n`;
  first.writeProfile();
  await first.start();
  t.after(() => first.program.kill());

  const far = await second.user();
  const got = [];
  far.subscribe('from', { callback: (error, message) => got.push(sc.decode(message.data)) });
  await far.flush();
  const statuses = [];
  const clients = await Promise.all(Array.from({ length: 20 }, () => first.user('default', {}, {
    reconnect: true, reconnectTimeWait: 20, reconnectJitter: 0, maxReconnectAttempts: -1,
  })));
  for (const client of clients) {
    assert.deepEqual(client.info.connect_urls, [first.address, second.address]);
    (async () => { for await (const status of client.status()) statuses.push(status.type); })();
  }
  const how = await first.stop();
  assert.equal(how.code, 0);
  await until('all to be at the other one', () => clients.every((client) => client.getServer() === second.address), { every: 10 });
  await Promise.all(clients.map((client) => client.flush()));
  clients.forEach((client, i) => client.publish('from', sc.encode(String(i))));
  await Promise.all(clients.map((client) => client.flush()));
  await until('all messages', () => got.length === 20, { every: 5 });
  assert.equal(statuses.filter((type) => type === 'ldm').length, 20);
  assert.ok(!statuses.includes('error'));
});

test('a node reaches a bus by TLS, and only the one that it trusts', async (t) => {
  let ca;
  const bus = await startBus(t, async ({ dir }) => {
    ca = await Authority.make(dir);
    const { certFile, keyFile } = await ca.issue('server');
    return `[bus.tls]\ncertificate = "${certFile}"\nkey = "${keyFile}"\nclient_ca = "${ca.file}"\nhandshake = "auto"\n`;
  });
  const { certFile, keyFile } = await ca.issue('node');
  const stranger = await Authority.make(bus.dir, 'stranger');
  const start = async (name, keys) => {
    const dir = tempDir(t, name);
    const config = path.join(dir, 'gateway.toml');
    fs.writeFileSync(config, profileFrom('gateway.toml', {
      node: { name, data_dir: dir, endpoint: `127.0.0.1:${await freePort()}`, workers: 1 },
      bus: { url: bus.address, credentials: path.join(bus.identity, 'creds/gateway.creds'), client_certificate: certFile, client_key: keyFile, ...keys },
      gateway: { listen: `127.0.0.1:${await freePort()}` },
    }));
    const node = new Program(CANDELA, ['node', '--config', config], { name, log: path.join(dir, 'log') });
    t.after(() => node.kill());
    return node;
  };
  const good = await start('good', { ca: ca.file });
  const first = await start('first', { ca: ca.file, tls_first: true });
  const bad = await start('bad', { ca: stranger.file });
  await until('the good nodes to connect', () => [good, first].every((node) => node.output().includes('bus_connected')));
  await until('the other to refuse', () => /bus_connection_lost.*certificate/.test(bad.output()));
  assert.ok(!bad.output().includes('bus_connected'));
});
