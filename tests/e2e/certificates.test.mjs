// Certificates that an operator gives to the lighthouse: every gateway serves them, live, keeps them, and shows the
// right one.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import tls from 'node:tls';
import { Authority } from './lib/certificates.mjs';
import { GATEWAYS, startEdge } from './lib/edge.mjs';
import { tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

test('certificates from the lighthouse', { timeout: 180_000 }, async (t) => {
  const dir = tempDir(t, 'certificates');
  const folder = path.join(dir, 'folder');
  fs.mkdirSync(folder);
  const authority = await Authority.make(dir);
  const edge = await startEdge(t);
  const shows = (index, name, pair) => until(`gw-${index + 1} to show ${name}`, async () =>
    (await edge.shown(index, name)).toString() === pair.cert).catch((error) => { throw edge.explain(error); });
  const add = (pair, ...more) => edge.ctl(['certificates', 'add', '--cert', pair.certFile, '--key', pair.keyFile, ...more]);

  await t.test('without any certificate a client gets a clean alert', async () => {
    for (const index of GATEWAYS.keys()) {
      await assert.rejects(edge.shown(index, 'shop.example.org'), { code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' });
    }
    assert.deepEqual((await edge.certificates()).certificates, []);
  });

  const shop = await authority.issue('shop', { names: ['shop.example.org'] });
  const wild = await authority.issue('wild', { names: ['*.example.org'] });
  await t.test('one that is added is served by every gateway at once, by its name only', async () => {
    const added = await add(shop);
    assert.match(added.stderr, /shop\.example\.org: for shop\.example\.org, by ca/);
    await add(wild, '--name', 'wild');
    for (const index of GATEWAYS.keys()) {
      await shows(index, 'shop.example.org', shop);
      await shows(index, 'other.example.org', wild);
      await assert.rejects(edge.shown(index, 'example.com'), { code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' });
    }
    const { certificates } = await edge.certificates();
    assert.deepEqual(certificates.map((c) => [c.name, c.source, c.state, c.issuer]),
      [['shop.example.org', 'added', 'valid', 'ca'], ['wild', 'added', 'valid', 'ca']]);
    assert.match((await edge.ctl('certificates list')).stdout, /shop\.example\.org +valid +in 2[34]h +added +ca/);
    const left = (await edge.metrics()).match(/candela_lighthouse_certificate_expiry_seconds\{name="wild"\} ([\d.]+)/);
    assert.ok(Number(left[1]) > 80_000 && Number(left[1]) < 86_401, left[0]);
  });

  await t.test('what does not fit is refused with a reason, and changes nothing', async () => {
    const refused = async (args, code, text) => {
      const result = await edge.ctl(['certificates', 'add', ...args], { ok: false });
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, text);
    };
    await refused(['--cert', shop.certFile, '--key', wild.keyFile], 2, /does not belong/);
    await refused(['--cert', shop.keyFile, '--key', shop.keyFile], 2, /not a certificate in PEM/);
    await refused(['--cert', shop.certFile, '--key', shop.certFile], 2, /private key is not in PEM/);
    await refused(['--cert', shop.certFile, '--key', shop.keyFile, '--name', '../x'], 2, /not a certificate's name/);
    await refused(['--cert', '/nowhere', '--key', shop.keyFile], 3, /nowhere/);
    await refused(['--cert', shop.certFile], 2, /--key is missing/);
    const gone = await edge.ctl('certificates delete nothing', { ok: false });
    assert.equal(gone.code, 3);
    assert.equal((await edge.certificates()).certificates.length, 2);
  });

  const newer = await authority.issue('newer', { names: ['shop.example.org'] });
  await t.test('a newer one takes its place without touching open connections', async () => {
    const open = tls.connect({ host: GATEWAYS[0], port: edge.ports.tls, servername: 'shop.example.org', ca: authority.pem });
    await new Promise((done, fail) => { open.once('secureConnect', done); open.once('error', fail); });
    await add(newer);
    for (const index of GATEWAYS.keys()) await shows(index, 'shop.example.org', newer);
    const answer = new Promise((done, fail) => { open.once('data', (bytes) => done(bytes.toString())); open.once('error', fail); });
    open.write('GET / HTTP/1.1\r\nHost: shop.example.org\r\n\r\n');
    assert.match(await answer, /^HTTP\/1\.1 404 /);
    open.destroy();
  });

  await t.test('private keys are nowhere to be seen', async () => {
    const secret = newer.key.split('\n')[1];
    const files = ['core.log', 'gw-1.log', 'gw-2.log', 'data/lighthouse/state.db', 'data/lighthouse/state.db-wal'];
    for (const file of files) {
      const content = fs.readFileSync(path.join(edge.dir, file));
      assert.ok(!content.includes(secret) && !content.includes('PRIVATE KEY'), file);
    }
    const listed = await edge.ctl('certificates list --json');
    assert.ok(!listed.stdout.includes('PRIVATE'));
    for (const file of ['data/lighthouse/sealing.key', 'gw-1/gateway/certificates']) {
      assert.equal(fs.statSync(path.join(edge.dir, file)).mode & 0o777, 0o600, file);
    }
  });

  await t.test('a gateway that starts without lighthouse and bus serves what it had', async () => {
    await edge.node('core').stop();
    await edge.node('gw-1').stop();
    await edge.startGateway(0);
    await shows(0, 'shop.example.org', newer);
    await edge.startCore();
    await edge.gatewayReady(0);
    await edge.ctl('certificates delete wild');
    for (const index of GATEWAYS.keys()) {
      await until('the alert', () => edge.shown(index, 'other.example.org').then(() => false, (error) => error.code === 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME'));
      await shows(index, 'shop.example.org', newer);
    }
  });
});

test("a gateway's own folder goes before the lighthouse's certificates", { timeout: 120_000 }, async (t) => {
  const dir = tempDir(t, 'certificates');
  const folder = path.join(dir, 'folder');
  fs.mkdirSync(folder);
  const authority = await Authority.make(dir);
  const own = await authority.issue('own', { names: ['shop.example.org', '*.example.org'] });
  fs.copyFileSync(own.certFile, path.join(folder, 'own.crt'));
  fs.copyFileSync(own.keyFile, path.join(folder, 'own.key'));
  const edge = await startEdge(t, { tlsSection: `certificates = "${folder}"` });
  const shop = await authority.issue('shop', { names: ['shop.example.org'] });
  const exact = await authority.issue('exact', { names: ['exact.example.org'] });
  for (const pair of [shop, exact]) await edge.ctl(['certificates', 'add', '--cert', pair.certFile, '--key', pair.keyFile]);
  await until('the exact name to be served', async () => (await edge.shown(0, 'exact.example.org')).toString() === exact.cert);
  assert.equal((await edge.shown(0, 'shop.example.org')).toString(), own.cert);
  assert.equal((await edge.shown(0, 'other.example.org')).toString(), own.cert);
  // Somebody has to be shown to who asks for nothing that is known.
  assert.equal((await edge.shown(0, 'example.com')).toString(), own.cert);
  // Reading the folder anew keeps both.
  const other = await authority.issue('other', { names: ['shop.example.org'] });
  fs.copyFileSync(other.certFile, path.join(folder, 'own.crt'));
  fs.copyFileSync(other.keyFile, path.join(folder, 'own.key'));
  edge.node('gw-1').child.kill('SIGHUP');
  await until('the new folder', async () => (await edge.shown(0, 'shop.example.org')).toString() === other.cert);
  assert.equal((await edge.shown(0, 'exact.example.org')).toString(), exact.cert);
});
