// TLS for NATS clients, as official clients and openssl see it.

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { credsAuthenticator as credsAuthenticator3, connect as connect3 } from '@nats-io/transport-node';
import { StringCodec } from 'nats';
import { startBus } from './lib/bus.mjs';
import { Authority } from './lib/certificates.mjs';
import { until, within } from './lib/wait.mjs';

const sc = StringCodec();

// A bus with a certificate; `lines` go to [bus.tls].
async function startTls(t, lines = '', { clientCa = false } = {}) {
  let ca;
  const bus = await startBus(t, async ({ dir }) => {
    ca = await Authority.make(dir);
    const { certFile, keyFile } = await ca.issue('server');
    return `[bus.tls]\ncertificate = "${certFile}"\nkey = "${keyFile}"\n${clientCa ? `client_ca = "${ca.file}"\n` : ''}${lines}`;
  });
  return { bus, ca };
}

async function echoWorks(bus, options) {
  const a = await bus.user('default', {}, options);
  const b = await bus.user('default', {}, options);
  a.subscribe('echo', { callback: (error, message) => message.respond(message.data) });
  await a.flush();
  const big = 'x'.repeat(300_000);
  assert.equal(sc.decode((await b.request('echo', sc.encode(big), { timeout: 10_000 })).data), big);
  return a;
}

// Everything that the socket says until it ends.
function read(socket) {
  const seen = { text: '', ended: false, error: undefined };
  socket.on('data', (bytes) => { seen.text += bytes; });
  socket.on('error', (error) => { seen.error = error; });
  socket.on('close', () => { seen.ended = true; });
  return seen;
}

test('required: INFO in the clear, then TLS', async (t) => {
  const { bus, ca } = await startTls(t);
  const connection = await echoWorks(bus, { tls: { ca: ca.pem } });
  assert.equal(connection.info.tls_required, true);
  await assert.rejects(bus.user('default', {}, { tls: {} }), 'a certificate that nobody vouches for');
  // The newer client, too.
  const { creds } = await bus.mint();
  const newer = await connect3({ servers: bus.address, authenticator: credsAuthenticator3(Buffer.from(creds)), tls: { ca: ca.pem } });
  await newer.flush();
  await newer.close();
  // In the clear nothing but INFO is to be had.
  const socket = net.connect(bus.port, '127.0.0.1');
  const seen = read(socket);
  await until('INFO', () => seen.text.endsWith('\r\n'), { every: 2 });
  socket.write('CONNECT {}\r\nPING\r\n');
  await until('the end', () => seen.ended, { every: 2 });
  assert.match(seen.text, /^INFO [^\r]*\r\n/);
  assert.ok(!seen.text.includes('PONG'));
});

test('optional: each client chooses', async (t) => {
  const { bus, ca } = await startTls(t, 'required = false\n');
  const clear = await echoWorks(bus, { tls: null });
  assert.equal(clear.info.tls_available, true);
  assert.equal(clear.info.tls_required, undefined);
  await echoWorks(bus, { tls: { ca: ca.pem } });
});

test('handshake first: not a byte in the clear', async (t) => {
  const { bus, ca } = await startTls(t, 'handshake = "first"\n');
  await echoWorks(bus, { tls: { ca: ca.pem, handshakeFirst: true } });
  const socket = net.connect(bus.port, '127.0.0.1');
  const seen = read(socket);
  socket.write('PING\r\n');
  await until('the end', () => seen.ended, { every: 2 });
  assert.ok(!seen.text.includes('INFO'));
});

test('handshake auto: both kinds of client', async (t) => {
  const { bus, ca } = await startTls(t, 'handshake = "auto"\n');
  await echoWorks(bus, { tls: { ca: ca.pem, handshakeFirst: true } });
  await echoWorks(bus, { tls: { ca: ca.pem } });
});

test('clients without a good certificate are refused with an alert', async (t) => {
  const { bus, ca } = await startTls(t, '', { clientCa: true });
  const { cert, key } = await ca.issue('client');
  await echoWorks(bus, { tls: { ca: ca.pem, cert, key } });
  const stranger = await (await Authority.make(bus.dir, 'other')).issue('stranger');
  for (const [options, alert] of [[{}, /CERTIFICATE_REQUIRED|certificate required/i], [{ cert: stranger.cert, key: stranger.key }, /UNKNOWN_CA|unknown ca/i]]) {
    const plain = net.connect(bus.port, '127.0.0.1');
    await new Promise((done) => { plain.once('data', done); });
    const secured = tls.connect({ socket: plain, ca: ca.pem, ...options });
    const seen = read(secured);
    secured.write('CONNECT {}\r\nPING\r\n');
    await until('the refusal', () => seen.error || seen.ended, { every: 2 });
    assert.match(String(seen.error?.message), alert);
    assert.equal(seen.text, '');
  }
});

test('a new certificate by SIGHUP, and nobody is dropped', async (t) => {
  const { bus, ca } = await startTls(t);
  const before = await bus.user('default', {}, { tls: { ca: ca.pem } });
  let reconnects = 0;
  (async () => { for await (const status of before.status()) if (status.type === 'disconnect') reconnects += 1; })();
  const serial = () => new Promise((done, fail) => {
    const plain = net.connect(bus.port, '127.0.0.1');
    plain.once('data', () => {
      const secured = tls.connect({ socket: plain, ca: ca.pem }, () => {
        done(secured.getPeerCertificate().serialNumber);
        secured.destroy();
      });
      secured.on('error', fail);
    });
  });
  const first = await serial();
  assert.equal(await serial(), first);
  const { certFile } = await ca.issue('server');
  await bus.reload();
  const second = await serial();
  assert.notEqual(second, first);
  await before.flush();
  assert.equal(reconnects, 0);
  // A file that is no certificate changes nothing, and says so.
  const fs = await import('node:fs');
  fs.writeFileSync(certFile, 'rubbish');
  await bus.reload();
  assert.match(bus.program.output(), /reload_refused.*bus\.tls/);
  assert.equal(await serial(), second);
  await before.flush();
});

test('a handshake that does not come is not waited for', async (t) => {
  const { bus } = await startTls(t, 'handshake_timeout = "100ms"\n');
  const socket = net.connect(bus.port, '127.0.0.1');
  const seen = read(socket);
  await within(10_000, 'the end', until('the end', () => seen.ended, { every: 5 }));
  assert.match(seen.text, /^INFO/);
});
