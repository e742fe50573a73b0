// What service.toml says of a [[route]], as clients see it: conditions, paths, redirects, headers,
// cross-origin rules, limits; and that a new release changes them without a failed request.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import zlib from 'node:zlib';
import { makeService, startDev } from './lib/cloud.mjs';
import { CANDELA, run, tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

// Tells what it was asked; /slow waits until /go.
const APP = `
const waiting = [];
require('node:http').createServer((request, response) => {
  response.setHeader('Server', 'secret/1.0');
  if (request.url === '/slow') { waiting.push(response); return; }
  if (request.url === '/go') for (const one of waiting.splice(0)) one.end('late');
  let length = 0;
  request.on('data', (bytes) => { length += bytes.length; });
  request.on('end', () => response.end(JSON.stringify({
    name: process.env.NAME, url: request.url, method: request.method, headers: request.headers, length, waiting: waiting.length,
  })));
}).listen(process.env.PORT);
`;

const service = (t, name, routes) => makeService(t, name, `name = "${name}"
command = ["node", "app.js"]
[env]
NAME = "${name}"
${routes}
`, { 'app.js': APP });

// A request with a Host and a method of the test's choosing, which fetch() does not allow.
function ask(cloud, target, { method = 'GET', host = 'app.localhost', headers = {}, body } = {}) {
  return new Promise((done, fail) => {
    const sent = http.request({ port: cloud.gatewayPort, path: target, method, headers: { host, ...headers } }, (answer) => {
      const parts = [];
      answer.on('data', (bytes) => parts.push(bytes));
      answer.on('end', () => {
        const text = Buffer.concat(parts).toString();
        let json;
        try { json = JSON.parse(text); } catch { /* not the service's */ }
        done({ status: answer.statusCode, headers: answer.headers, text, json });
      });
      answer.on('error', fail);
    });
    sent.on('error', fail);
    sent.end(body);
  });
}

test('routes of service.toml', async (t) => {
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', service(t, 'app', `
[[route]]
host = "app.localhost"
[[route]]
host = "app.localhost"
path = "/api"
strip_prefix = true
request_headers = { X-Env = "prod", X-Secret = "", Host = "inner.localhost" }
response_headers = { Server = "", Strict-Transport-Security = "max-age=60" }
[[route]]
host = "app.localhost"
path = "/v1"
rewrite = "/v2"
[[route]]
host = "old.localhost"
redirect = "https://app.localhost/base"
redirect_status = 301
[[route]]
host = "safe.localhost"
https_only = true
[[route]]
host = "closed.localhost"
answer_status = 503
answer_text = "back at noon"
[[route]]
host = "*.wild.localhost"
[[route]]
host = "app.localhost"
path = "/cors"
[route.cors]
origins = ["https://page.localhost"]
headers = ["X-Own"]
credentials = true
[[route]]
host = "app.localhost"
path = "/limited"
body_max = "1KiB"
[route.rate_limit]
requests = 3
per = "1h"
[[route]]
host = "app.localhost"
path = "/slow"
concurrency = 1
[[route]]
host = "app.localhost"
path = "/patient"
rewrite = "/slow"
response_timeout = "300ms"
`)]);
  await cloud.ctl(['deploy', service(t, 'beta', `
[[route]]
host = "app.localhost"
headers = { X-Beta = "*" }
[[route]]
host = "app.localhost"
methods = ["DELETE"]
query = { really = "yes" }
[[route]]
host = "app.localhost"
path = "/login"
exact = true
`)]);
  await until('both to be served', async () => (await ask(cloud, '/')).json?.name === 'app'
    && (await ask(cloud, '/login')).json?.name === 'beta');

  await t.test('conditions choose the service', async () => {
    const name = async (...args) => (await ask(cloud, ...args)).json?.name;
    assert.equal(await name('/x', { headers: { 'x-beta': '1' } }), 'beta');
    assert.equal(await name('/x?really=yes', { method: 'DELETE' }), 'beta');
    assert.equal(await name('/x?really=no', { method: 'DELETE' }), 'app');
    assert.equal(await name('/x?really=yes'), 'app');
    assert.equal(await name('/login?a=1'), 'beta');
    assert.equal(await name('/login/x'), 'app');
    assert.equal(await name('/', { host: 'any.wild.localhost:80' }), 'app');
    assert.equal((await ask(cloud, '/', { host: 'a.b.wild.localhost' })).status, 404);
  });
  await t.test('paths and headers on the way to the service and back', async () => {
    const api = await ask(cloud, '/api/users?a=1', { headers: { 'x-secret': 's', 'x-env': 'forged' } });
    assert.equal(api.json.url, '/users?a=1');
    assert.equal(api.json.headers['x-env'], 'prod');
    assert.equal(api.json.headers['x-secret'], undefined);
    assert.equal(api.json.headers.host, 'inner.localhost');
    assert.equal(api.json.headers['x-forwarded-host'], 'app.localhost');
    assert.equal(api.json.headers['x-forwarded-prefix'], '/api');
    assert.equal(api.headers.server, undefined);
    assert.equal(api.headers['strict-transport-security'], 'max-age=60');
    assert.equal((await ask(cloud, '/v1/x/../y')).json.url, '/v2/y');
    assert.equal((await ask(cloud, '/v1x')).json.url, '/v1x');
  });
  await t.test('answers in the service\'s stead', async () => {
    const moved = await ask(cloud, '/a/b?c=d', { host: 'old.localhost', method: 'POST' });
    assert.equal(moved.status, 301);
    assert.equal(moved.headers.location, 'https://app.localhost/base/a/b?c=d');
    const safe = await ask(cloud, '/a?b', { host: 'safe.localhost' });
    assert.equal(safe.status, 308);
    assert.equal(safe.headers.location, 'https://safe.localhost/a?b');
    const closed = await ask(cloud, '/', { host: 'closed.localhost' });
    assert.equal(closed.status, 503);
    assert.match(closed.text, /back at noon/);
    assert.ok(closed.headers['retry-after']);
  });
  await t.test('pages of other origins', async () => {
    const origin = 'https://page.localhost';
    const asked = { origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-own' };
    const preflight = await ask(cloud, '/cors/x', { method: 'OPTIONS', headers: asked });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers['access-control-allow-origin'], origin);
    assert.match(preflight.headers['access-control-allow-methods'], /PUT/);
    assert.equal(preflight.headers['access-control-allow-headers'], 'X-Own');
    assert.equal(preflight.headers['access-control-allow-credentials'], 'true');
    const refused = await ask(cloud, '/cors/x', { method: 'OPTIONS', headers: { ...asked, origin: 'https://evil.localhost' } });
    assert.equal(refused.status, 403);
    const answer = await ask(cloud, '/cors/x', { headers: { origin } });
    assert.equal(answer.json.url, '/cors/x');
    assert.equal(answer.headers['access-control-allow-origin'], origin);
    assert.equal(answer.headers.vary, 'Origin');
  });
  await t.test('limits', async () => {
    assert.equal((await ask(cloud, '/limited', { method: 'POST', body: Buffer.alloc(1024) })).json.length, 1024);
    const large = await ask(cloud, '/limited', { method: 'POST', headers: { 'content-length': '1025' } }).catch((error) => error);
    assert.equal(large.status, 413);
    assert.equal((await ask(cloud, '/limited')).status, 200);
    const often = await ask(cloud, '/limited');
    assert.equal(often.status, 429);
    assert.ok(Number(often.headers['retry-after']) > 600);
    assert.equal((await ask(cloud, '/')).status, 200);

    const first = ask(cloud, '/slow');
    await until('the first to be in progress', async () => (await ask(cloud, '/')).json.waiting === 1);
    assert.equal((await ask(cloud, '/slow')).status, 503);
    await ask(cloud, '/go');
    assert.equal((await first).text, 'late');
    assert.equal((await ask(cloud, '/patient')).status, 504);
  });
  await t.test('a new release changes its routes without a failed request', async () => {
    const load = cloud.load({ host: 'app.localhost', target: '/' });
    await cloud.ctl(['deploy', service(t, 'app', `
[[route]]
host = "app.localhost"
[[route]]
host = "app.localhost"
path = "/api"
answer_status = 410
`)]);
    await until('the new routes', async () => (await ask(cloud, '/api')).status === 410);
    await until('the old ones to be gone', async () => (await ask(cloud, '/', { host: 'old.localhost' })).status === 404);
    const { failures } = await load.stop();
    assert.deepEqual(failures, []);
  });
});

test('bearer tokens', async (t) => {
  const keys = { rs: crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }), es: crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }), ed: crypto.generateKeyPairSync('ed25519') };
  const set = { keys: Object.entries(keys).map(([kid, { publicKey }]) => ({ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' })) };
  const algorithms = { rs: 'RS256', es: 'ES256', ed: 'EdDSA' };
  const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = (kid, claims, key = keys[kid]) => {
    const text = `${b64({ alg: algorithms[kid], kid })}.${b64({ iss: 'https://login.localhost', aud: 'shop', sub: 'user-7', exp: Date.now() / 1000 + 600, ...claims })}`;
    const signature = crypto.sign(kid === 'ed' ? null : 'sha256', Buffer.from(text), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  };
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', service(t, 'app', `
[[route]]
host = "app.localhost"
[route.jwt]
jwks = '''${JSON.stringify(set)}'''
issuer = "https://login.localhost"
audience = ["shop"]
claim_headers = { sub = "X-User" }
[[route]]
host = "app.localhost"
path = "/open"
`)]);
  await until('the service', async () => (await ask(cloud, '/open')).status === 200);
  const bearer = (text) => ask(cloud, '/', { headers: { authorization: `Bearer ${text}`, 'x-user': 'forged' } });

  for (const kid of Object.keys(keys)) {
    const answer = await bearer(token(kid));
    assert.equal(answer.status, 200, `${kid}: ${answer.text}`);
    assert.equal(answer.json.headers['x-user'], 'user-7');
    assert.equal((await bearer(token(kid, {}, kid === 'rs' ? crypto.generateKeyPairSync('rsa', { modulusLength: 2048 })
      : kid === 'es' ? crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }) : crypto.generateKeyPairSync('ed25519')))).status, 401);
  }
  const none = await ask(cloud, '/', { headers: { 'x-user': 'forged' } });
  assert.equal(none.status, 401);
  assert.equal(none.headers['www-authenticate'], 'Bearer');
  const late = await bearer(token('es', { exp: Date.now() / 1000 - 120 }));
  assert.equal(late.status, 401);
  assert.match(late.headers['www-authenticate'], /invalid_token.*has expired/);
  assert.equal((await bearer(token('es', { aud: 'other' }))).status, 401);
  assert.equal((await bearer(token('es', { iss: 'https://evil.localhost' }))).status, 401);
  assert.equal((await bearer(`${b64({ alg: 'none' })}.${b64({ exp: 9e9 })}.`)).status, 401);
});

test('users with passwords', async (t) => {
  const hashed = await run('bash', ['-c', `printf 'open sesame\\n' | ${CANDELA} hash-password`]);
  assert.match(hashed.stdout, /^\$argon2id\$/);
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', service(t, 'app', `
[[route]]
host = "app.localhost"
[route.basic_auth]
users = { ada = '${hashed.stdout.trim()}' }
`)]);
  const curl = (...args) => run('curl', ['-s', '--max-time', '20', '-w', ' %{http_code}', '-H', 'Host: app.localhost', ...args, `http://127.0.0.1:${cloud.gatewayPort}/`]);
  await until('the service', async () => (await curl('-u', 'ada:open sesame')).stdout.endsWith(' 200'));
  const answer = await curl('-u', 'ada:open sesame', '-H', 'X-Forwarded-User: eve');
  const { headers } = JSON.parse(answer.stdout.slice(0, -4));
  assert.equal(headers['x-forwarded-user'], 'ada');
  assert.equal(headers.authorization, undefined);
  for (const login of ['ada:wrong', 'eve:open sesame', 'ada:']) {
    assert.match((await curl('-u', login)).stdout, / 401$/);
  }
  assert.match((await curl()).stdout, / 401$/);
  // Many at once: as many as are checked, and the others are told to come again; nobody hangs.
  const statuses = await Promise.all(Array.from({ length: 30 }, (_, i) => curl('-u', `ada:${i}`)));
  for (const { stdout } of statuses) assert.match(stdout, / (401|503)$/);
  assert.match((await curl('-u', 'ada:open sesame')).stdout, / 200$/);
});

// A page, and events that come one by one.
const PAGES = `
require('node:http').createServer((request, response) => {
  if (request.url === '/events') {
    response.setHeader('Content-Type', 'text/event-stream');
    let count = 0;
    const more = () => { response.write('data: ' + (count += 1) + '\\n\\n'); };
    more();
    const timer = setInterval(more, 50);
    response.on('close', () => clearInterval(timer));
    return;
  }
  response.setHeader('Content-Type', 'text/html');
  response.end('<p>candela</p>'.repeat(20000));
}).listen(process.env.PORT);
`;

test('compressed answers, as clients read them', async (t) => {
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', makeService(t, 'pages', `name = "pages"
command = ["node", "app.js"]
[[route]]
host = "pages.localhost"
compress = true
`, { 'app.js': PAGES })]);
  const curl = (...args) => run('curl', ['-s', '--max-time', '20', '--connect-to', `::127.0.0.1:${cloud.gatewayPort}`, ...args]);
  await until('the page', async () => (await ask(cloud, '/', { host: 'pages.localhost' })).status === 200);
  const page = '<p>candela</p>'.repeat(20000);
  const decode = { gzip: zlib.gunzipSync, br: zlib.brotliDecompressSync };

  for (const coding of ['gzip', 'br', 'zstd']) {
    await t.test(coding, async () => {
      const answer = await new Promise((done, fail) => {
        http.get({ port: cloud.gatewayPort, path: '/', headers: { host: 'pages.localhost', 'accept-encoding': coding } }, (response) => {
          const parts = [];
          response.on('data', (bytes) => parts.push(bytes));
          response.on('end', () => done({ headers: response.headers, body: Buffer.concat(parts) }));
        }).on('error', fail);
      });
      assert.equal(answer.headers['content-encoding'], coding);
      assert.ok(answer.body.length < page.length / 20);
      if (decode[coding]) {
        assert.equal(decode[coding](answer.body).toString(), page);
      } else {
        const file = path.join(tempDir(t), 'page.zst');
        fs.writeFileSync(file, answer.body);
        assert.equal((await run('zstd', ['-dc', file])).stdout, page);
      }
    });
  }
  await t.test('curl, by HTTP/1.1 and HTTP/2', async () => {
    for (const version of ['--http1.1', '--http2-prior-knowledge']) {
      const got = await curl('--compressed', version, 'http://pages.localhost/');
      assert.equal(got.stdout, page);
    }
  });
  await t.test('events come one by one', async () => {
    const events = await new Promise((done, fail) => {
      const sent = http.get({ port: cloud.gatewayPort, path: '/events', headers: { host: 'pages.localhost', 'accept-encoding': 'gzip' } }, (response) => {
        assert.equal(response.headers['content-encoding'], 'gzip');
        const seen = [];
        response.pipe(zlib.createGunzip({ flush: zlib.constants.Z_SYNC_FLUSH })).on('data', (text) => {
          seen.push(String(text));
          if (seen.length === 5) { sent.destroy(); done(seen); }
        }).on('error', () => {});
        response.on('error', () => {});
      });
      sent.on('error', fail);
    });
    assert.deepEqual(events, [1, 2, 3, 4, 5].map((i) => `data: ${i}\n\n`));
  });
});

test('mistakes in a route are shown where they stand', async (t) => {
  const cloud = await startDev(t);
  const dir = service(t, 'app', '[[route]]\nmethods = ["get"]\n[route.cors]\norigins = ["*"]\ncredentials = true');
  const result = await cloud.ctl(['deploy', dir], { ok: false });
  assert.notEqual(result.code, 0);
  assert.match(result.stderr, /service\.toml:6:1.*"get" is not a method/);
  assert.match(result.stderr, /service\.toml:9:1.*list the origins/);
});
