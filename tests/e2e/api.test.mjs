// The lighthouse's API as its clients meet it: who may what, streams, and a kill in the middle of a rollout.

import test from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { makeService, startDev } from './lib/cloud.mjs';
import { certificate } from './lib/certificates.mjs';
import { until } from './lib/wait.mjs';

const MANIFEST = (name, extra = '') => `
name = "${name}"
kind = "http"
command = ["node", "server.js"]
instances = 2
[probe]
path = "/"
interval = "200ms"
start_timeout = "20s"
[[route]]
host = "${name}.localhost"
path = "/"
${extra}`;

const SERVER = (delay = 0, text = 'ok') => `
console.log('starting ${text}');
setTimeout(() => require('node:http').createServer((q, s) => {
  console.log('asked', q.url);
  s.end('${text}');
}).listen(process.env.PORT), ${delay});`;

// One request over the unix socket, or over TLS where options.port is there.
function call(where, method, target, { body, headers = {}, token } = {}) {
  const options = { method, path: target, headers: { ...(where.port ? {} : { host: 'x' }), ...headers } };
  if (token) options.headers.authorization = `Bearer ${token}`;
  const over = where.port ? https : http;
  return new Promise((done, fail) => {
    const sent = over.request({ ...where, ...options }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => {
        const text = Buffer.concat(parts).toString();
        let json;
        try { json = JSON.parse(text); } catch { /* not JSON: the test looks at the text */ }
        done({ status: answer.statusCode, headers: answer.headers, text, json });
      });
    });
    sent.on('error', fail);
    sent.end(body);
  });
}

// Reads a streamed answer line by line until `enough(lines)`; then goes away.
function follow(where, target, enough, timeout = 20_000) {
  return new Promise((done, fail) => {
    const lines = [];
    let rest = '';
    const sent = http.request({ ...where, path: target, headers: { host: 'x' } }, (answer) => {
      answer.on('data', (part) => {
        const pieces = (rest + part).split('\n');
        rest = pieces.pop();
        lines.push(...pieces);
        if (enough(lines)) { clearTimeout(timer); done(lines); sent.destroy(); }
      });
    });
    const timer = setTimeout(() => { sent.destroy(); fail(new Error(`not enough: ${lines.join('\n')}`)); }, timeout);
    sent.on('error', (error) => { clearTimeout(timer); fail(error); });
    sent.end();
  });
}

test('the API', async (t) => {
  const cloud = await startDev(t);
  const socket = { socketPath: path.join(cloud.dataDir, 'lighthouse.sock') };
  const ca = fs.readFileSync(path.join(cloud.dataDir, 'lighthouse/ca/ca.crt'));
  const tls = { host: '127.0.0.1', port: 7400 + cloud.offset, ca };
  const remote = ['--address', `https://127.0.0.1:${tls.port}`, '--ca', path.join(cloud.dataDir, 'lighthouse/ca/ca.crt')];
  const key = async (name, ...more) => {
    const file = path.join(cloud.dir, `${name}.creds`);
    await cloud.ctl(['keys', 'create', name, '--out', file, ...more]);
    return file;
  };
  const web = makeService(t, 'web', MANIFEST('web'), { 'server.js': SERVER() });

  await t.test('describes itself, and says what it does not know', async () => {
    const { json } = await call(socket, 'GET', '/openapi.json');
    assert.equal(json.openapi, '3.1.0');
    const { valid, errors } = await new Validator().validate(json);
    assert.ok(valid, JSON.stringify(errors));
    const operations = Object.values(json.paths).flatMap((path) => Object.values(path)).map((each) => each.operationId);
    assert.equal(new Set(operations).size, operations.length, operations.sort().join(' '));
    assert.ok(json.paths['/v1/spaces/{space}/services/{service}/releases'].post.requestBody);
    assert.equal((await call(socket, 'GET', '/v1/nothing')).status, 404);
    assert.equal((await call(socket, 'PATCH', '/v1/spaces')).status, 400);
    const big = await call(socket, 'POST', '/v1/spaces', { body: `{"name":"${'x'.repeat(2 << 20)}"}` });
    assert.equal(big.status, 413);
  });

  await t.test('TLS with the cloud\'s own CA asks for a token', async () => {
    assert.equal((await call(tls, 'GET', '/v1/version')).status, 200);
    const refused = await call(tls, 'GET', '/v1/nodes');
    assert.equal(refused.status, 401);
    assert.equal(refused.json.error.code, 'denied');
    assert.ok(refused.json.error.hint);
    assert.equal((await call(tls, 'GET', '/v1/nodes', { token: 'e30.AAAA' })).status, 403);
    await assert.rejects(call({ ...tls, ca: undefined }, 'GET', '/v1/version'));
    // A nonce serves once, and only the credential's own key signs it.
    const { json: { nonce } } = await call(tls, 'POST', '/v1/auth/challenge', { body: '{}' });
    const jwt = fs.readFileSync(await key('signer'), 'utf8').match(/[\w-]+\.[\w-]+\.[\w-]+/)[0];
    const body = JSON.stringify({ jwt, nonce, signature: 'A'.repeat(86) });
    assert.equal((await call(tls, 'POST', '/v1/auth/token', { body })).status, 401);
  });

  await t.test('roles and spaces are kept apart', async () => {
    await cloud.ctl('spaces create team');
    await cloud.ctl(['deploy', web]);
    const viewer = await key('viewer', '--role', 'viewer');
    const developer = await key('developer');
    const other = await key('other', '--space', 'team');
    const as = (creds, words, options) => cloud.ctl([...words, ...remote, '--creds', creds], { ok: false, ...options });
    assert.equal((await as(viewer, ['services'])).code, 0);
    assert.equal((await as(viewer, ['scale', 'web', '1'])).code, 4);
    assert.equal((await as(developer, ['scale', 'web', '1'])).code, 0);
    assert.equal((await as(developer, ['spaces', 'create', 'more'])).code, 4);
    assert.equal((await as(developer, ['keys', 'create', 'more', '--out', '-'])).code, 4);
    const slow = await cloud.ctl(['keys', 'create', 'slow', '--out', '-', '--publish-rate', '100', '--publish-bytes', '1MiB']);
    const claims = JSON.parse(Buffer.from(slow.stdout.match(/JWT-+\s+\S+?\.(\S+?)\./)[1], 'base64url').toString());
    assert.deepEqual(claims.nats.tags.slice(-2), ['candela:publish_rate=100', 'candela:publish_bytes=1048576']);
    assert.equal((await as(other, ['services'])).code, 4);
    assert.equal((await as(other, ['services', '--space', 'team'])).code, 0);
    assert.equal((await as(other, ['delete', 'web'])).code, 4);
    const seen = JSON.parse((await as(other, ['spaces', 'list', '--json'])).stdout);
    assert.deepEqual(seen.spaces.map((space) => space.name), ['team']);
    assert.equal((await as(developer, ['deploy', web])).code, 0);
    // A space goes with its credentials.
    await cloud.ctl('spaces delete team');
    assert.equal((await as(other, ['services', '--space', 'team'])).code, 4);
  });

  await t.test('lists of what people have set come in pages', async () => {
    const names = ['a', 'b', 'c'];
    for (const name of names) {
      await cloud.ctl(['secrets', 'set', name], { input: name });
      await cloud.ctl(['config', 'set', name, name]);
      await certificate(cloud.dir, name, `${name}.example.org`);
      const file = path.join(cloud.dir, name);
      await cloud.ctl(['certificates', 'add', '--cert', `${file}.crt`, '--key', `${file}.key`, '--name', name]);
    }
    const job = (name) => `\n[[job]]\nname = "${name}"\ncommand = ["true"]`;
    for (const [service, jobs] of [['one', ['a', 'b']], ['two', ['c']]]) {
      await cloud.ctl(['deploy', makeService(t, service, `name = "${service}"\nkind = "job"\n${jobs.map(job).join('')}\n`)]);
    }
    const read = async (target, member, name) => {
      const found = [];
      let after = '';
      for (let pages = 0; pages < 10; pages += 1) {
        const { json } = await call(socket, 'GET', `${target}${target.includes('?') ? '&' : '?'}limit=2&after=${encodeURIComponent(after)}`);
        found.push(...json[member].map((each) => each[name]));
        if (!json.next_page) return found;
        assert.equal(json[member].length, 2);
        after = json.next_page;
      }
      throw new Error(`${target} has no last page`);
    };
    const space = '/v1/spaces/default';
    assert.deepEqual(await read(`${space}/secrets`, 'secrets', 'name'), names);
    assert.deepEqual(await read(`${space}/config`, 'config', 'name'), names);
    assert.deepEqual(await read('/v1/certificates', 'certificates', 'name'), names);
    assert.deepEqual(await read(`${space}/jobs`, 'jobs', 'job'), names);
    assert.deepEqual(await read(`${space}/jobs?service=one`, 'jobs', 'job'), ['a', 'b']);
    assert.deepEqual(await read(`${space}/jobs?service=two`, 'jobs', 'job'), ['c']);
    for (const service of ['one', 'two']) await cloud.ctl(['delete', service]);
  });

  await t.test('lists come in pages', async () => {
    await cloud.ctl(['deploy', web]);
    // Those of the release before are drained first.
    const all = await until('two instances', async () => {
      const { json } = await call(socket, 'GET', '/v1/spaces/default/instances');
      return json.instances.length === 2 && json;
    });
    assert.equal(all.next_page, undefined);
    const first = (await call(socket, 'GET', '/v1/spaces/default/instances?limit=1')).json;
    assert.equal(first.instances.length, 1);
    const second = (await call(socket, 'GET', `/v1/spaces/default/instances?service=web&limit=1&after=${first.next_page}`)).json;
    assert.deepEqual([...first.instances, ...second.instances].map((each) => each.id), all.instances.map((each) => each.id));
    assert.equal(second.next_page, undefined);
    const releases = (await call(socket, 'GET', '/v1/spaces/default/services/web/releases')).json.releases.map((each) => each.number);
    const newest = (await call(socket, 'GET', '/v1/spaces/default/services/web/releases?limit=1')).json;
    assert.deepEqual(newest.releases.map((each) => each.number), releases.slice(0, 1));
    const older = (await call(socket, 'GET', `/v1/spaces/default/services/web/releases?after=${newest.next_page}`)).json;
    assert.deepEqual(older.releases.map((each) => each.number), releases.slice(1));
    for (const wrong of ['0', '1001', 'x', '-1']) {
      assert.equal((await call(socket, 'GET', `/v1/nodes?limit=${wrong}`)).status, 400, wrong);
    }
    assert.deepEqual((await call(socket, 'GET', '/v1/spaces/default/instances?service=web&after=zzz')).json.instances, []);
    assert.deepEqual((await call(socket, 'GET', '/v1/spaces/default/services?after=web')).json.services, []);
  });

  await t.test('a change for a revision that is past is refused', async () => {
    const where = '/v1/spaces/default/services/web';
    const seen = await call(socket, 'GET', where);
    const scale = (instances, revision) => call(socket, 'POST', `${where}/scale`,
      { body: JSON.stringify({ instances }), headers: { 'if-match': revision } });
    assert.equal(seen.headers.etag, `"${seen.json.revision}"`);
    assert.equal((await scale(1, seen.headers.etag)).status, 200);
    const late = await scale(2, seen.headers.etag);
    assert.equal(late.status, 412);
    assert.match(late.json.error.message, /its revision is [0-9a-f]{16} now/);
    assert.equal((await call(socket, 'POST', `${where}/restart`, { body: '{}', headers: { 'if-match': '"x"' } })).status, 412);
    assert.equal((await call(socket, 'DELETE', where, { headers: { 'if-match': seen.headers.etag } })).status, 412);
    assert.equal((await scale(1, `"other", ${(await call(socket, 'GET', where)).headers.etag}`)).status, 200);
    assert.equal((await scale(2, '*')).status, 200);
  });

  await t.test('bundles: only what was signed by a known key, and only whole', async () => {
    const bytes = crypto.randomBytes(100_000);
    const digest = crypto.createHash('sha256').update(bytes).digest('hex');
    assert.equal((await call(socket, 'HEAD', `/v1/bundles/${digest}`)).status, 404);
    const put = (headers) => call(socket, 'PUT', `/v1/bundles/${digest}`, { body: bytes, headers });
    assert.equal((await put({})).status, 400);
    assert.ok([400, 403].includes((await put({ 'candela-signer': 'x', 'candela-signature': 'y' })).status));
    assert.equal((await call(socket, 'HEAD', `/v1/bundles/${digest}`)).status, 404);
    const release = (body) => call(socket, 'POST', '/v1/spaces/default/services/web/releases', { body: JSON.stringify(body) });
    assert.equal((await release({ manifest: { name: 'web' } })).status, 400);
    assert.equal((await release({ manifest: { name: 'web', kind: 'http', command: ['x'] }, bundle: digest, signature: 'A', signer: 'U' })).status, 400);
  });

  await t.test('logs and events go on', async () => {
    const listed = await follow(socket, '/v1/spaces/default/logs?service=web&tail=50', (lines) => lines.some((l) => l.includes('starting')));
    assert.ok(listed.every((line) => JSON.parse(line).instance.startsWith('web-')));
    const following = follow(socket, '/v1/spaces/default/logs?service=web&tail=0&follow=1', (lines) => lines.some((l) => l.includes('/hello-there')));
    const events = follow(socket, '/v1/events', (lines) => lines.some((l) => l === 'event: service_scaled'));
    await new Promise((done) => setTimeout(done, 300));
    await cloud.get('/hello-there', { headers: { host: 'web.localhost' } });
    await cloud.ctl('scale web 2');
    await following;
    await events;
    assert.equal((await call(socket, 'GET', '/v1/spaces/default/logs')).status, 200);
    for (const wrong of ['level=loud', 'since=yesterday', 'trace=a%20b', 'release=x']) {
      assert.equal((await call(socket, 'GET', `/v1/spaces/default/logs?${wrong}`)).status, 400, wrong);
    }
    assert.equal((await call(socket, 'GET', '/v1/spaces/default/logs?service=none')).status, 404);
  });

  await t.test('a route leads to one service', async () => {
    const rival = makeService(t, 'rival', MANIFEST('rival').replace('rival.localhost', 'web.localhost'), { 'server.js': SERVER() });
    const refused = await cloud.ctl(['deploy', rival], { ok: false });
    assert.equal(refused.code, 5);
    assert.match(refused.stderr, /default\/web/);
  });

  await t.test('killed in the middle of a rollout, it goes on where it was', async () => {
    const slow = makeService(t, 'web', MANIFEST('web'), { 'server.js': SERVER(2500, 'second') });
    const created = await cloud.ctlJson(['deploy', slow, '--detach']);
    await until('a new instance', async () => (await cloud.instances('web')).some((i) => i.release === created.number));
    const dev = cloud.node('dev');
    process.kill(dev.pid, 'SIGKILL');
    await dev.stop();
    await cloud.startDev();
    const release = await until('the rollout to end', async () => {
      const { json } = await call(socket, 'GET', `/v1/spaces/default/services/web/releases/${created.number}`);
      return json.state !== 'rolling' && json;
    }, { timeout: 60_000, every: 200 });
    assert.equal(release.state, 'done', JSON.stringify(release));
    const ready = await cloud.readyInstances('web', 2);
    assert.ok(ready.every((instance) => instance.release === created.number));
    await until('the new release to answer', async () => {
      const answer = await cloud.get('/', { headers: { host: 'web.localhost' } });
      return String(answer.body) === 'second';
    }, { timeout: 10_000, every: 100 });
  });

  await t.test('a deleted service is gone, with its logs', async () => {
    await cloud.ctl('delete web');
    await until('the service to be gone', async () => (await call(socket, 'GET', '/v1/spaces/default/services/web')).status === 404,
      { timeout: 30_000, every: 100 });
    await until('its logs to be gone', () => !fs.existsSync(path.join(cloud.dataDir, 'lighthouse/logs/default/web')));
  });
});
