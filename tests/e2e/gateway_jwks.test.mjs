// Keys of tokens that a gateway fetches by HTTPS: at first, when they change, not when they are too many, and what holds while
// their server is away.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import test from 'node:test';
import { Authority } from './lib/certificates.mjs';
import { startGateway } from './lib/gateway.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { tempDir } from './lib/program.mjs';
import { serve } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

class Issuer {
  constructor(kid) {
    this.kid = kid;
    this.pair = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.jwk = { ...this.pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' };
  }

  token(more = {}) {
    const text = `${encode({ alg: 'ES256', kid: this.kid })}.${encode({ sub: 'ada', exp: Math.floor(Date.now() / 1000) + 600, ...more })}`;
    return `${text}.${crypto.sign('sha256', Buffer.from(text), { key: this.pair.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
}

// A server of key sets whose answer the test may change, and which counts.
async function keyServer(t, pair, port = 0) {
  const state = { asked: 0, answer: (response) => response.end('{}') };
  state.server = https.createServer({ cert: pair.cert, key: pair.key }, (request, response) => {
    state.asked += 1;
    state.answer(response, request);
  });
  await new Promise((done) => state.server.listen(port, '127.0.0.1', done));
  state.port = state.server.address().port;
  state.serve = (issuers, cacheControl = 'max-age=3600') => {
    state.answer = (response) => {
      response.setHeader('cache-control', cacheControl);
      response.end(JSON.stringify({ keys: issuers.map((issuer) => issuer.jwk) }));
    };
  };
  state.stop = () => new Promise((done) => { state.server.closeAllConnections(); state.server.close(done); });
  t.after(() => state.stop());
  return state;
}

test('keys of tokens by URL', async (t) => {
  const dir = tempDir(t, 'jwks');
  const authority = await Authority.make(dir);
  const pair = await authority.issue('keys');
  const gateway = await startGateway(t, 'jwks_refetch = "1s"');
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const server = await serve(t, (request, response) => response.end(request.headers['x-user'] ?? ''));
  let keys = await keyServer(t, pair);
  const log = () => fs.readFileSync(path.join(gateway.cloud.dir, 'gw.log'), 'utf8');
  const [first, second, third] = ['one', 'two', 'three'].map((kid) => new Issuer(kid));
  const route = (host, url, ca = authority.pem) => ({ host, path: '/',
    jwt: { jwks_url: url, ...(ca ? { jwks_ca: ca } : {}), claim_headers: { sub: 'X-User' } } });
  const url = `https://127.0.0.1:${keys.port}/jwks.json`;
  const publish = (...routes) => lighthouse.publish([{ service: 'web', endpoints: [{ instance: 'web-1', port: server.address().port }], routes }]);
  const ask = (issuer, host = 'web.localhost') => gateway.get('/', { host, headers: { authorization: `Bearer ${issuer.token()}` } });
  const status = async (issuer, host) => (await ask(issuer, host)).status;

  await t.test('before the first answer requests get 503, then they are let in', async () => {
    let open;
    const asked = new Promise((done) => { open = done; });
    keys.answer = (response) => open(response);
    await publish(route('web.localhost', url));
    assert.equal(await status(first), 503);
    const waiting = await asked;
    keys.serve([first]);
    keys.answer(waiting);
    await until('the keys', async () => (await status(first)) === 200);
    const answer = await ask(first);
    assert.equal(answer.text ?? answer.body, 'ada');
    assert.equal(await status(second), 401);
    assert.equal((await gateway.get('/', { host: 'web.localhost' })).status, 401);
  });

  await t.test('a new key is fetched when a token names it; one that is gone lets nobody in', async () => {
    keys.serve([second]);
    await until('the new key', async () => (await status(second)) === 200);
    // Not even with a token that was good a moment ago.
    await until('the old key to go', async () => (await status(first)) === 401);
  });

  await t.test('unknown keys do not have it fetched at each request', async () => {
    const before = keys.asked;
    const began = Date.now();
    for (let i = 0; i < 100; i += 1) assert.equal(await status(third), 401);
    const most = 2 + Math.ceil((Date.now() - began) / 1000);
    assert.ok(keys.asked - before <= most, `${keys.asked - before} fetches for 100 requests, ${most} are the most`);
  });

  await t.test('an answer that is huge, no key set, or an error changes nothing', async () => {
    const bad = [
      (response) => { response.write('{"keys": ['); for (let i = 0; i < 64; i += 1) response.write(' '.repeat(16 * 1024)); response.end(']}'); },
      (response) => response.end('<html>'),
      (response) => response.end('{"keys": []}'),
      (response) => { response.statusCode = 500; response.end(JSON.stringify({ keys: [third.jwk] })); },
      (response) => { response.writeHead(302, { location: 'https://127.0.0.1/' }); response.end(); },
      (response) => response.destroy(),
    ];
    for (const answer of bad) {
      const before = keys.asked;
      keys.answer = answer;
      await until('a fetch', async () => (await status(third)) === 401 && keys.asked > before);
      assert.equal(await status(second), 200);
    }
    assert.match(log(), /jwks_not_fetched/);
  });

  await t.test('while the server is down the keys go on being used, and newer ones are taken when it is back', async () => {
    const { port } = keys;
    await keys.stop();
    assert.equal(await status(second), 200);
    assert.equal(await status(third), 401);
    keys = await keyServer(t, pair, port);
    keys.serve([second, third]);
    await until('the newer key', async () => (await status(third)) === 200);
    assert.equal(await status(second), 200);
  });

  await t.test('routes with one URL share its keys; a server that is not trusted gives none', async () => {
    const before = keys.asked;
    await publish(route('web.localhost', url), route('too.localhost', url), route('not.localhost', url, ''));
    assert.equal(await status(second, 'too.localhost'), 200);
    assert.equal(keys.asked, before);
    assert.equal(await status(second, 'not.localhost'), 503);
    await until('the reason', () => /jwks_not_fetched.*not trusted/.test(log()));
    assert.equal(await status(second, 'not.localhost'), 503);
  });
});
