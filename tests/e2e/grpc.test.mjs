// gRPC through the gateway: @grpc/grpc-js, unmodified, as client and as service deployed by ctl.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { expressApp } from './lib/apps.mjs';
import { startDev } from './lib/cloud.mjs';
import { startGateway } from './lib/gateway.mjs';
import { checkAllKinds, echoClient, echoService, grpc, metadata, startEcho, unary } from './lib/grpc.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { rss, run, tempDir } from './lib/program.mjs';
import { until, within } from './lib/wait.mjs';

const MIB = 1024 * 1024;
const { status } = grpc;

async function seen(client) {
  return JSON.parse((await unary(client, 'say', { text: 'seen' })).answer.text);
}

test('gRPC with a service that is deployed', { timeout: 300_000 }, async (t) => {
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', echoService(t)]);
  const client = echoClient(t, cloud.gatewayPort);

  await t.test('all four kinds of calls, metadata, statuses and large messages', () => checkAllKinds(client));

  await t.test('a method and a service that are not there', async () => {
    const none = new grpc.Client(`127.0.0.1:${cloud.gatewayPort}`, grpc.credentials.createInsecure(),
      { 'grpc.default_authority': 'echo.localhost' });
    const call = (client_) => new Promise((done) => {
      client_.makeUnaryRequest('/echo.Echo/Nothing', (x) => x, (x) => x, Buffer.alloc(0), (error) => done(error));
    });
    assert.equal((await call(none)).code, status.UNIMPLEMENTED);
    none.close();
    const nowhere = echoClient(t, cloud.gatewayPort, { authority: 'nowhere.localhost' });
    assert.equal((await unary(nowhere, 'say', { text: 'x' })).error.code, status.UNIMPLEMENTED);
  });

  await t.test('a deadline and a cancellation reach the service', async () => {
    const before = await seen(client);
    const late = await unary(client, 'say', { text: 'wait' }, { deadline: 300 });
    assert.equal(late.error.code, status.DEADLINE_EXCEEDED);
    await until('the service to see it', async () => (await seen(client)).cancelled === before.cancelled + 1);
    const call = client.say({ text: 'wait' }, () => {});
    await until('the call to be there', async () => (await seen(client)).open === 1);
    call.cancel();
    await until('the service to see it', async () => (await seen(client)).cancelled === before.cancelled + 2);
    const chat = client.chat(metadata());
    chat.on('error', () => {});
    chat.write({ text: 'x' });
    await within(5000, 'an answer', new Promise((done) => { chat.once('data', done); }));
    chat.cancel();
    await until('the service to see it', async () => (await seen(client)).cancelled === before.cancelled + 3);
    assert.equal((await seen(client)).open, 0);
  });

  await t.test('a client that does not read holds its stream back, and no other', async () => {
    const { pid } = cloud.node('dev');
    const before = rss(pid);
    const pieces = 4096;  // of 64 KiB
    const call = client.flood({ value: pieces });
    await within(5000, 'its first message', new Promise((done) => { call.once('data', () => { call.pause(); done(); }); }));
    for (let i = 0; i < 200; i += 1) {
      const said = await unary(client, 'say', { text: 'meanwhile' });
      assert.equal(said.error, null);
    }
    const grown = (rss(pid) - before) / MIB;
    assert.ok(grown < 24, `grew by ${grown} MiB`);
    let bytes = 1 << 16;
    call.on('data', (piece) => { bytes += piece.bytes.length; });
    call.resume();
    await within(60_000, 'the rest', new Promise((done) => { call.once('end', done); }));
    assert.equal(bytes, pieces << 16);
  });

  await t.test('many calls at once, of many clients', async () => {
    const clients = Array.from({ length: 8 }, () => echoClient(t, cloud.gatewayPort));
    const calls = Array.from({ length: 800 }, (_, index) => unary(clients[index % 8], 'say', { text: `${index}` }));
    const answers = await Promise.all(calls);
    answers.forEach(({ error, answer }, index) => {
      assert.equal(error, null);
      assert.ok(answer.text.startsWith(`${index} from `));
    });
  });

  await t.test('an update under load fails no call', async () => {
    let stopping = false;
    let count = 0;
    const versions = new Set();
    const caller = async (one) => {
      while (!stopping) {
        const { error, answer } = await unary(one, 'say', { text: 'load' });
        assert.equal(error, null);
        versions.add(answer.text.split(' ').at(-1));
        count += 1;
      }
    };
    const callers = Array.from({ length: 4 }, () => caller(echoClient(t, cloud.gatewayPort)));
    await cloud.ctl(['deploy', echoService(t, { version: '2', instances: 2 })]);
    await until('the new version', () => versions.has('2'));
    stopping = true;
    await Promise.all(callers);
    assert.ok(count > 100, `${count} calls`);
    assert.equal((await unary(client, 'say', { text: 'x' })).answer.text.split(' ').at(-1), '2');
  });

  await t.test('an instance that dies costs its own calls only', async () => {
    const crash = await unary(client, 'say', { text: 'crash' });
    assert.equal(crash.error.code, status.UNAVAILABLE);
    await cloud.readyInstances('echo', 2);
    for (let i = 0; i < 20; i += 1) assert.equal((await unary(client, 'say', { text: 'x' })).error, null);
  });

  await t.test('a stopped service is unavailable, and says so', async () => {
    await cloud.ctl(['stop', 'echo']);
    const late = await unary(client, 'say', { text: 'x' }, { deadline: 1000 });
    assert.equal(late.error.code, status.DEADLINE_EXCEEDED);  // it is held, in case that it comes back
    await cloud.ctl(['scale', 'echo', '1']);
    assert.equal((await unary(client, 'say', { text: 'x' })).error, null);
  });

  await t.test('what speaks another protocol than it says is told', async () => {
    await cloud.ctl(['deploy', expressApp(t)]);
    const rest = echoClient(t, cloud.gatewayPort, { authority: 'express.localhost' });
    assert.equal((await unary(rest, 'say', { text: 'x' })).error.code, status.UNIMPLEMENTED);  // its 404

    await cloud.ctl(['deploy', echoService(t, { name: 'untold', protocol: '' })]);
    const untold = echoClient(t, cloud.gatewayPort, { authority: 'untold.localhost' });
    assert.equal((await unary(untold, 'say', { text: 'x' })).error.code, status.UNAVAILABLE);
    const told = await cloud.get('/', { host: 'untold.localhost' });
    assert.equal(told.status, 502);
    assert.match(told.text, /answers in HTTP\/2, but its service.toml does not say protocol = "h2c"/);

    const wrong = expressApp(t);
    const file = path.join(wrong, 'service.toml');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('instances', 'protocol = "h2c"\ninstances').replace('path = "/healthz"', 'tcp = true'));
    await cloud.ctl(['deploy', wrong]);
    const answer = await cloud.get('/', { host: 'express.localhost' });
    assert.equal(answer.status, 502);
    assert.match(answer.text, /answers in HTTP\/1, but its service.toml says protocol = "h2c"/);
  });
});

test('gRPC over TLS, and an HTTP/2 service for HTTP/1.1 clients', { timeout: 120_000 }, async (t) => {
  const certs = tempDir(t, 'certs');
  const made = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-keyout', path.join(certs, 'echo.key'), '-out', path.join(certs, 'echo.crt'), '-subj', '/CN=echo.localhost',
    '-addext', 'subjectAltName=DNS:echo.localhost']);
  assert.equal(made.code, 0, made.stderr);
  const gateway = await startGateway(t, `[gateway.tls]\nlisten = "127.0.0.1:{port}"\ncertificates = "${certs}"`);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const port = await startEcho(t);
  await lighthouse.publish([{ service: 'echo', endpoints: [{ instance: 'echo-1', port, protocol: 'h2c' }] }]);
  const ca = fs.readFileSync(path.join(certs, 'echo.crt'));

  await t.test('all kinds of calls over TLS', () => checkAllKinds(echoClient(t, gateway.ports.tls, { ca })));

  await t.test('by hand over HTTP/1.1, with the status as a trailer', async () => {
    // One message: not compressed, of 4 bytes, field 1 is "hi".
    const message = path.join(certs, 'message');
    fs.writeFileSync(message, Buffer.from([0, 0, 0, 0, 4, 10, 2, 104, 105]));
    const answer = await run('curl', ['-s', '--http1.1', '-i', '--raw', '-H', 'Host: echo.localhost', '-H', 'TE: trailers', '-H', 'Connection: TE',
      '-H', 'Content-Type: application/grpc', '--data-binary', `@${message}`, `http://127.0.0.1:${gateway.ports.gateway}/echo.Echo/Say`]);
    assert.match(answer.stdout, /^HTTP\/1.1 200 OK\r\n/);
    assert.match(answer.stdout, /hi from /);
    assert.match(answer.stdout, /\r\n0\r\n(.*\r\n)*grpc-status: 0\r\n(.*\r\n)*\r\n$/);
  });
});
