// NATS over WebSocket, by NATS's own client and by hand.

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { credsAuthenticator, wsconnect } from '@nats-io/nats-core';
import { StringCodec } from 'nats';
import { WebSocket } from 'ws';
import { startBus } from './lib/bus.mjs';
import { Authority } from './lib/certificates.mjs';
import { freePort } from './lib/ports.mjs';
import { until } from './lib/wait.mjs';

const sc = StringCodec();

async function startWebSocket(t, lines = '') {
  const port = await freePort();
  const bus = await startBus(t, `[bus.websocket]\nlisten = "127.0.0.1:${port}"\n${lines}`);
  return { bus, port };
}

async function wsUser(t, bus, url, { claims, ws } = {}) {
  const { creds } = await bus.mint('default', claims);
  const connection = await wsconnect({
    servers: url,
    authenticator: credsAuthenticator(Buffer.from(creds)),
    reconnect: false,
    wsFactory: async (address) => ({ socket: new WebSocket(address, ws), encrypted: address.startsWith('wss:') }),
  });
  t.after(() => connection.close());
  return connection;
}

// What the server says of an opening, by its status.
const openingStatus = (port, options) => new Promise((done) => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${options?.path ?? '/'}`, options);
  socket.on('open', () => { done(101); socket.terminate(); });
  socket.on('unexpected-response', (request, response) => { done(response.statusCode); socket.terminate(); });
  socket.on('error', () => {});
});

test('publish and request between WebSocket and TCP', async (t) => {
  const { bus, port } = await startWebSocket(t);
  const browser = await wsUser(t, bus, `ws://127.0.0.1:${port}`);
  const server = await bus.user();
  server.subscribe('echo', { callback: (error, message) => message.respond(message.data) });
  await server.flush();
  for (const size of [0, 1, 100, 125, 126, 65_535, 65_536, 900_000]) {
    const answer = await browser.request('echo', new Uint8Array(size).fill(7), { timeout: 10_000 });
    assert.equal(answer.data.length, size);
    assert.ok(answer.data.every((byte) => byte === 7));
  }
  const got = [];
  browser.subscribe('n', { callback: (error, message) => got.push(sc.decode(message.data)) });
  await browser.flush();
  for (let i = 0; i < 5000; i += 1) server.publish('n', sc.encode(String(i)));
  await server.flush();
  await until('all of them', () => got.length === 5000, { every: 5 });
  assert.deepEqual(got, Array.from({ length: 5000 }, (_, i) => String(i)));
});

test('over TLS', async (t) => {
  const port = await freePort();
  let ca;
  const bus = await startBus(t, async ({ dir }) => {
    ca = await Authority.make(dir);
    const { certFile, keyFile } = await ca.issue('server');
    return `[bus.websocket]\nlisten = "127.0.0.1:${port}"\ntls = true\n[bus.tls]\ncertificate = "${certFile}"\nkey = "${keyFile}"\n`;
  });
  const connection = await wsUser(t, bus, `wss://127.0.0.1:${port}`, { ws: { ca: ca.pem } });
  await connection.flush();
  await assert.rejects(wsUser(t, bus, `ws://127.0.0.1:${port}`));
});

test('connection types of a user hold', async (t) => {
  const { bus, port } = await startWebSocket(t);
  const url = `ws://127.0.0.1:${port}`;
  const browsers = { allowed_connection_types: ['WEBSOCKET'] };
  await (await wsUser(t, bus, url, { claims: browsers })).flush();
  await assert.rejects(bus.user('default', browsers), { code: 'AUTHORIZATION_VIOLATION' });
  const standard = { allowed_connection_types: ['STANDARD'] };
  await (await bus.user('default', standard)).flush();
  await assert.rejects(wsUser(t, bus, url, { claims: standard }), /Authorization Violation/i);
  const mqtt = { allowed_connection_types: ['MQTT'] };
  await assert.rejects(bus.user('default', mqtt), { code: 'AUTHORIZATION_VIOLATION' });
});

test('pages that may connect, and what is no opening', async (t) => {
  const { port } = await startWebSocket(t, 'allowed_origins = ["https://app.example.com"]\nsame_origin = true\n');
  assert.equal(await openingStatus(port), 101);
  assert.equal(await openingStatus(port, { origin: 'https://app.example.com' }), 101);
  assert.equal(await openingStatus(port, { origin: 'https://app.example.com:443' }), 101);
  assert.equal(await openingStatus(port, { origin: `http://127.0.0.1:${port}` }), 101);
  assert.equal(await openingStatus(port, { origin: 'https://evil.example.com' }), 403);
  assert.equal(await openingStatus(port, { origin: 'null' }), 403);
  assert.equal(await openingStatus(port, { path: '/mqtt' }), 404);
  const plain = await fetch(`http://127.0.0.1:${port}/`);
  assert.equal(plain.status, 426);
  assert.equal((await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'x' })).status, 405);
});

// A connection that sends frames by hand.
async function rawWebSocket(port) {
  const socket = net.connect(port, '127.0.0.1');
  const raw = { socket, bytes: Buffer.alloc(0), ended: false };
  socket.on('data', (bytes) => { raw.bytes = Buffer.concat([raw.bytes, bytes]); });
  socket.on('close', () => { raw.ended = true; });
  socket.on('error', () => { raw.ended = true; });
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n');
  await until('INFO', () => raw.bytes.includes('\r\n\r\n') && raw.bytes.includes('INFO'), { every: 2 });
  await until('all of INFO', () => raw.bytes.toString('latin1').endsWith(' \r\n'), { every: 2 });
  raw.bytes = Buffer.alloc(0);
  return raw;
}

function frame(first, payload, { masked = true } = {}) {
  const mask = Buffer.from([1, 2, 3, 4]);
  const head = Buffer.from([first, (masked ? 0x80 : 0) | payload.length]);
  const body = Buffer.from(payload, 'latin1');
  if (masked) for (let i = 0; i < body.length; i += 1) body[i] ^= mask[i & 3];
  return Buffer.concat(masked ? [head, mask, body] : [head, body]);
}

test('frames by hand: fragments, pings, closing, and what is against the rules', async (t) => {
  const { port } = await startWebSocket(t);
  const closesWith = async (bytes, status) => {
    const raw = await rawWebSocket(port);
    raw.socket.write(bytes);
    await until('the end', () => raw.ended, { every: 2 });
    const at = raw.bytes.lastIndexOf(0x88);
    assert.notEqual(at, -1, 'a close frame');
    assert.equal(raw.bytes.readUInt16BE(at + 2), status);
    return raw;
  };
  const raw = await rawWebSocket(port);
  raw.socket.write(frame(0x89, 'hello'));
  await until('the pong', () => raw.bytes.equals(Buffer.from('\x8a\x05hello', 'latin1')), { every: 2 });
  raw.socket.destroy();
  // A CONNECT in three fragments with a ping in between reaches the bus as one.
  const refused = await closesWith(Buffer.concat([frame(0x02, 'CON'), frame(0x00, 'NECT '), frame(0x89, ''), frame(0x80, '{}\r\n')]), 1008);
  assert.ok(refused.bytes.includes("-ERR 'Authorization Violation'"));
  await closesWith(frame(0x88, '\x03\xe8'), 1000);
  await closesWith(frame(0x82, 'PING\r\n', { masked: false }), 1002);
  await closesWith(frame(0xc2, 'PING\r\n'), 1002);
  await closesWith(frame(0x83, ''), 1002);
  await closesWith(frame(0x80, 'x'), 1002);
  await closesWith(frame(0x09, ''), 1002);
  await closesWith(Buffer.from([0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), 1009);
});
