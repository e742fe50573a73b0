// Wrong credentials, other people's spaces, and malformed input of every kind, against one real node. Each
// is refused with an error that names the thing; afterwards the node still serves.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { connect, credsAuthenticator, StringCodec } from 'nats';
import { probeApp } from './lib/apps.mjs';
import { makeService, startDev } from './lib/cloud.mjs';
import { CANDELA, run, tempDir } from './lib/program.mjs';
import { until, within } from './lib/wait.mjs';

// Sends bytes as they are and returns what comes back until the other side closes, or goes quiet.
function raw(port, bytes, { quiet = 1500 } = {}) {
  return new Promise((done) => {
    const socket = net.connect(port, '127.0.0.1');
    let answer = '';
    const finish = (closed) => { socket.destroy(); done({ answer, closed }); };
    socket.setTimeout(quiet, () => finish(false));
    socket.on('data', (part) => { answer += part.toString('latin1'); });
    socket.on('close', () => finish(true));
    socket.on('error', () => {});
    socket.on('connect', () => socket.write(bytes));
  });
}

test('profiles with mistakes are refused, all mistakes at once', { timeout: 60_000 }, async (t) => {
  const dir = tempDir(t);
  const check = async (text) => {
    const file = path.join(dir, 'node.toml');
    fs.writeFileSync(file, text);
    return run(CANDELA, ['node', '--check', file], { timeout: 10_000 });
  };
  const wrong = await check('[node]\nroles = ["gateway", "hots"]\nwrokers = 2\n[gateway]\nlisten = "nowhere"\n');
  assert.notEqual(wrong.code, 0);
  const said = wrong.stdout + wrong.stderr;
  assert.match(said, /node\.toml:2:\d+.*hots.*host/);
  assert.match(said, /node\.toml:3:\d+.*wrokers.*workers/);
  assert.match(said, /node\.toml:5:\d+/);
  for (const text of ['', '[', 'a = ', '\0\0\0', '[node]\nroles = 7', '[node]\nroles = []', '[['.repeat(5000), `x = ${'['.repeat(20000)}`]) {
    const result = await check(text);
    assert.ok([1, 2].includes(result.code), `${JSON.stringify(text.slice(0, 20))}: ${result.code} ${result.signal} ${result.stderr}`);
    assert.notEqual((result.stdout + result.stderr).trim(), '');
  }
  const absent = await run(CANDELA, ['node', '--check', path.join(dir, 'none.toml')]);
  assert.notEqual(absent.code, 0);
  assert.match(absent.stderr, /none\.toml/);
});

test('one node under attack', { timeout: 240_000 }, async (t) => {
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', probeApp(t)]);
  const serves = async () => {
    assert.equal((await cloud.get('/version', { host: 'probe.localhost' })).text, '1');
    assert.equal(cloud.node('dev').how, undefined, 'the node has ended');
  };
  const codec = StringCodec();
  const servers = `127.0.0.1:${cloud.ports.bus}`;
  const login = (creds, options = {}) => connect({
    servers, authenticator: credsAuthenticator(fs.readFileSync(creds)), reconnect: false, timeout: 5000, ...options,
  });
  const makeKey = async (name, ...more) => {
    const file = path.join(cloud.dir, `${name}.creds`);
    await cloud.ctl(['keys', 'create', name, '--out', file, ...more]);
    return file;
  };

  await t.test('manifests: each mistake with its place, exit 2 or 1, nothing deployed', async () => {
    const cases = [
      ['', /name/],
      ['name = "Bad Name"\ncommand = ["x"]\n', /service\.toml:1:\d+/],
      ['name = "a"\ncommand = ["x"]\ninstnaces = 2\n', /service\.toml:3:\d+.*instnaces.*instances/s],
      ['name = "a"\ncommand = []\n', /command/],
      ['name = "a"\ncommand = ["x"]\ninstances = -1\n', /service\.toml:3/],
      ['name = "a"\ncommand = ["x"]\n[probe]\ninterval = "1 fortnight"\n', /service\.toml:4/],
      ['name = "a"\ncommand = ["x"]\n[[route]]\nhost = "a b"\n', /service\.toml:4/],
      ['name = "a', /service\.toml:1/],
      ['x = [[[[[[[[', /service\.toml:1/],
    ];
    for (const [text, expected] of cases) {
      const result = await cloud.ctl(['deploy', makeService(t, 'wrong', text)], { ok: false });
      assert.ok([1, 2].includes(result.code), `${text}: exit ${result.code}`);
      assert.match(result.stderr, expected, text);
    }
    const missing = await cloud.ctl(['deploy', makeService(t, 'wrong', undefined)], { ok: false });
    assert.notEqual(missing.code, 0);
    assert.match(missing.stderr, /service\.toml/);
    await serves();
  });

  await t.test('HTTP: malformed requests get an error and their connection is closed', async () => {
    const get = 'GET /version HTTP/1.1\r\nHost: probe.localhost\r\n';
    const cases = [
      'nonsense\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00', `${get}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`,
      `${get}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n`, `${get}Transfer-Encoding: gzip, chunked\r\n\r\n`,
      'GET / HTTP/1.1\r\n\r\n', `${get}Host: other\r\n\r\n`, `${get}Bad Header: x\r\n\r\n`, `${get}X: a\r\n b\r\n\r\n`,
      `${get}X: \0\r\n\r\n`, 'GET / HTTP/9.9\r\nHost: a\r\n\r\n', `GET ${'/a'.repeat(50_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      `${get}X: ${'x'.repeat(10_000_000)}\r\n\r\n`, `${get}${'X: y\r\n'.repeat(20_000)}\r\n`,
      `${get}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n',
    ];
    for (const bytes of cases) {
      const { answer, closed } = await raw(cloud.gatewayPort, Buffer.from(bytes, 'latin1'));
      const shown = JSON.stringify(bytes.slice(0, 90));
      assert.ok(answer === '' || /^HTTP\/1\.1 [45]\d\d /.test(answer), `${shown}: ${answer.slice(0, 200)}`);
      assert.ok(closed, `${shown}: the connection stays open after ${JSON.stringify(answer.slice(0, 80))}`);
    }
    await serves();
  });

  await t.test('bus: malformed frames get -ERR or a closed connection', async () => {
    const cases = [
      'nonsense\r\n', 'PUB\r\n', 'CONNECT {\r\n', 'CONNECT {}\r\nPUB a 5\r\nhello\r\n', 'PUB a -1\r\n', 'PUB a 99999999999\r\n',
      'SUB a\r\n', `CONNECT ${'{"a":'.repeat(5000)}\r\n`, `${'x'.repeat(200_000)}`, 'HPUB a 9 3\r\n', '\0\0\0\0\r\n', 'PING\r\nPING\r\n',
    ];
    for (const bytes of cases) {
      const { answer, closed } = await raw(cloud.ports.bus, Buffer.from(bytes, 'latin1'), { quiet: 8000 });
      assert.match(answer, /^INFO \{/);
      const after = answer.slice(answer.indexOf('\r\n') + 2);
      assert.ok(closed || after.includes('-ERR'), `${JSON.stringify(bytes.slice(0, 40))}: ${JSON.stringify(after.slice(0, 100))}`);
      assert.ok(!after.includes('MSG'), after);
    }
    await serves();
  });

  await t.test('API: malformed requests are told what is wrong', async () => {
    const socket = path.join(cloud.dataDir, 'lighthouse.sock');
    const http = await import('node:http');
    const call = (method, target, body, headers = {}) => new Promise((done, fail) => {
      const sent = http.request({ socketPath: socket, method, path: target, headers: { host: 'x', ...headers } }, (answer) => {
        let text = '';
        answer.on('data', (part) => { text += part; });
        answer.on('end', () => done({ status: answer.statusCode, text }));
      });
      sent.on('error', fail);
      sent.end(body);
    });
    const json = { 'content-type': 'application/json' };
    const cases = [
      ['POST', '/v1/spaces', '{', 400], ['POST', '/v1/spaces', '[]', 400], ['POST', '/v1/spaces', '{"name":"Not Good"}', 400],
      ['GET', '/v1/nothing', undefined, 404], ['GET', '/v1/spaces/none/services', undefined, 404],
      ['GET', '/v1/spaces/default/services/none', undefined, 404], ['PUT', '/v1/bundles/xyz', 'x', 400],
      ['POST', '/v1/spaces/default/services/a/releases', '{}', 400], ['POST', '/v1/spaces', '['.repeat(100_000), 400],
      ['POST', '/v1/spaces/default/services/probe/scale', '{"instances":"many"}', 400],
      ['POST', '/v1/spaces/default/services/probe/scale', '{"instances":1000000}', 400],
    ];
    for (const [method, target, body, status] of cases) {
      const answer = await call(method, target, body, body === undefined ? {} : json);
      assert.equal(answer.status, status, `${method} ${target} ${String(body).slice(0, 40)}: ${answer.text.slice(0, 300)}`);
      const { error } = JSON.parse(answer.text);
      assert.ok(error.code && error.message, answer.text);
    }
    await serves();
  });

  await t.test('bundles: a wrong digest or signature is refused', async () => {
    const socket = path.join(cloud.dataDir, 'lighthouse.sock');
    const http = await import('node:http');
    const put = (digest, body, headers) => new Promise((done, fail) => {
      const sent = http.request({ socketPath: socket, method: 'PUT', path: `/v1/bundles/${digest}`, headers: { host: 'x', ...headers } }, (answer) => {
        let text = '';
        answer.on('data', (part) => { text += part; });
        answer.on('end', () => done({ status: answer.statusCode, text }));
      });
      sent.on('error', fail);
      sent.end(body);
    });
    const body = Buffer.from('not an archive at all');
    const digest = crypto.createHash('sha256').update(body).digest('hex');
    for (const [name, headers] of [[digest, {}], ['0'.repeat(64), {}],
      [digest, { 'candela-signature': 'AAAA', 'candela-signer': 'UNOBODY' }]]) {
      const answer = await put(name, body, headers);
      assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.text}`);
      assert.match(answer.text, /"error"/);
    }
    await serves();
  });

  await t.test('bus logins: missing, foreign, tampered, expired and revoked credentials', async () => {
    await assert.rejects(connect({ servers, reconnect: false, timeout: 5000 }), /authoriz|authentic/i);
    await assert.rejects(connect({ servers, user: 'a', pass: 'b', reconnect: false, timeout: 5000 }), /authoriz|authentic/i);
    const good = await makeKey('good');
    const nats = await login(good);
    await nats.flush();

    const text = fs.readFileSync(good, 'utf8');
    const [head, body, signature] = text.match(/[\w-]+\.[\w-]+\.[\w-]+/)[0].split('.');
    const claims = JSON.parse(Buffer.from(body, 'base64url'));
    claims.nats.permissions = undefined;
    claims.name = 'other';
    const forged = [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
    const forgedFile = path.join(cloud.dir, 'forged.creds');
    fs.writeFileSync(forgedFile, text.replace(/[\w-]+\.[\w-]+\.[\w-]+/, forged));
    await assert.rejects(login(forgedFile), /authoriz|authentic/i);

    // Another user's seed under this user's JWT: the signature over the nonce is not its own.
    const other = fs.readFileSync(await makeKey('other'), 'utf8');
    const seed = /SU[A-Z2-7]{56}/;
    const mixedFile = path.join(cloud.dir, 'mixed.creds');
    fs.writeFileSync(mixedFile, text.replace(seed, other.match(seed)[0]));
    await assert.rejects(login(mixedFile), /authoriz|authentic/i);

    const short = await makeKey('short', '--expires', '2s');
    const ending = await login(short);
    assert.ok(await within(10_000, 'the expiry', ending.closed()) !== null);
    await assert.rejects(login(short), /expired|authoriz|authentic/i);

    const listed = await cloud.ctlJson('keys list');
    const keys = Array.isArray(listed) ? listed : listed.keys;
    const { public: publicKey } = keys.find((key) => key.name === 'good');
    await cloud.ctl(['keys', 'revoke', publicKey]);
    await within(10_000, 'the revocation', nats.closed());
    await until('the revoked login to be refused', async () => login(good).then((c) => c.close().then(() => false), () => true));
    await serves();
  });

  await t.test('a space can not reach into another, nor into the platform', async () => {
    await cloud.ctl('spaces create red');
    await cloud.ctl('spaces create blue');
    const red = await login(await makeKey('red-user', '--space', 'red'));
    const blue = await login(await makeKey('blue-user', '--space', 'blue'));
    const seen = [];
    for (const subject of ['>', 'orders.*', 'candela.>', '$SYS.>']) {
      const sub = blue.subscribe(subject, { callback: (error, message) => { if (message) seen.push(message.subject); } });
      sub.closed.catch(() => {});
    }
    await blue.flush().catch(() => {});
    red.publish('orders.1', codec.encode('secret'));
    red.publish('candela.routes.nudge', codec.encode('boo'));
    await red.flush();
    await assert.rejects(red.request('candela.lighthouse.assignments', codec.encode(''), { timeout: 1000 }));
    await blue.flush().catch(() => {});
    assert.deepEqual(seen, []);
    await red.close();
    await blue.close();
    await serves();
  });

  await t.test('API over TLS: without a token, and with that of another space, there is nothing to see', async () => {
    const address = `https://127.0.0.1:${cloud.ports.api}`;
    const none = await cloud.ctl(['services', '--address', address], { ok: false });
    assert.notEqual(none.code, 0);
    const red = path.join(cloud.dir, 'red-user.creds');
    const ca = findCa(cloud.dataDir);
    const own = await cloud.ctl(['services', '--space', 'red', '--address', address, '--creds', red, '--ca', ca], { ok: false });
    assert.equal(own.code, 0, own.stderr);
    const other = await cloud.ctl(['services', '--space', 'default', '--address', address, '--creds', red, '--ca', ca], { ok: false });
    assert.equal(other.code, 4, other.stderr);
    const key = await cloud.ctl(['keys', 'create', 'mine', '--space', 'default', '--address', address, '--creds', red, '--ca', ca], { ok: false });
    assert.equal(key.code, 4, key.stderr);
  });

  await t.test('ctl: wrong commands are told what would be right', async () => {
    const typo = await cloud.ctl('delpoy .', { ok: false });
    assert.equal(typo.code, 2);
    assert.match(typo.stderr, /deploy/);
    assert.equal((await cloud.ctl('scale', { ok: false })).code, 2);
    assert.equal((await cloud.ctl('scale probe many', { ok: false })).code, 2);
    assert.equal((await cloud.ctl('releases nobody', { ok: false })).code, 3);
    assert.equal((await cloud.ctl('spaces create red', { ok: false })).code, 5);
    const away = await cloud.ctl('status', { ok: false, env: { CANDELA_ADDRESS: 'unix:/nowhere/at/all.sock' } });
    assert.equal(away.code, 6);
    assert.match(away.stderr, /nowhere/);
  });

  await t.test('no secret has been written to the log', async () => {
    const log = cloud.node('dev').output();
    assert.doesNotMatch(log, /S[UAOX][A-Z2-7]{56}/);
    assert.doesNotMatch(log, /eyJ[\w-]+\.[\w-]+\.[\w-]+/);
  });
});

// The certificate that the lighthouse's own authority has put into the data folder.
function findCa(dataDir) {
  const found = fs.readdirSync(dataDir, { recursive: true }).map(String)
    .filter((name) => /ca[^/]*\.(pem|crt)$/.test(name));
  assert.ok(found.length > 0, `no CA certificate under ${dataDir}`);
  return path.join(dataDir, found[0]);
}
