// The bus, by NATS's own JavaScript client.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import jwt from '@nats-io/jwt';
import { Empty, headers, StringCodec } from 'nats';
import { startBus } from './lib/bus.mjs';
import { until } from './lib/wait.mjs';

const sc = StringCodec();

// What a subscription receives, as text.
function collect(connection, subject, options) {
  const seen = [];
  const subscription = connection.subscribe(subject, {
    ...options,
    callback: (error, message) => seen.push(error ? error : sc.decode(message.data)),
  });
  return { seen, subscription };
}

test('publish, wildcards, headers, unsubscribe', async (t) => {
  const bus = await startBus(t);
  const a = await bus.user();
  const b = await bus.user();
  const star = collect(b, 'shop.*.orders');
  const rest = collect(b, 'shop.>');
  let head;
  b.subscribe('head', { callback: (error, message) => { head = message.headers; } });
  await b.flush();
  a.publish('shop.eu.orders', sc.encode('1'));
  a.publish('shop.eu', sc.encode('2'));
  a.publish('other', sc.encode('3'));
  const sent = headers();
  sent.append('X-Colour', 'red');
  sent.append('X-Colour', 'blue');
  a.publish('head', Empty, { headers: sent });
  await a.flush();
  await b.flush();
  assert.deepEqual(star.seen, ['1']);
  assert.deepEqual(rest.seen, ['1', '2']);
  assert.deepEqual(head.values('X-Colour'), ['red', 'blue']);
  rest.subscription.unsubscribe();
  const two = collect(b, 'n', { max: 2 });
  await b.flush();
  for (let i = 0; i < 5; i += 1) a.publish('n', sc.encode(String(i)));
  a.publish('shop.eu', sc.encode('4'));
  await a.flush();
  await b.flush();
  assert.deepEqual(two.seen, ['0', '1']);
  assert.equal(two.subscription.isClosed(), true);
  assert.deepEqual(rest.seen, ['1', '2']);
});

test('request and reply, many at once, and nobody there', async (t) => {
  const bus = await startBus(t);
  const asker = await bus.user();
  const service = await bus.user();
  service.subscribe('double', { callback: (error, message) => message.respond(sc.encode(sc.decode(message.data).repeat(2))) });
  await service.flush();
  const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => asker.request('double', sc.encode(`${i};`))));
  answers.forEach((answer, i) => assert.equal(sc.decode(answer.data), `${i};${i};`));
  await assert.rejects(asker.request('nobody', Empty, { timeout: 5000 }), { code: '503' });
  service.subscribe('silent', { callback: () => {} });
  await service.flush();
  await assert.rejects(asker.request('silent', Empty, { timeout: 100 }), { code: 'TIMEOUT' });
});

test('queue groups share messages; everyone else gets all', async (t) => {
  const bus = await startBus(t);
  const workers = await Promise.all(Array.from({ length: 3 }, () => bus.user()));
  const groups = workers.map((worker) => collect(worker, 'jobs', { queue: 'workers' }));
  const watcher = collect(workers[0], 'jobs');
  await Promise.all(workers.map((worker) => worker.flush()));
  const publisher = await bus.user();
  for (let i = 0; i < 300; i += 1) publisher.publish('jobs', sc.encode(String(i)));
  await publisher.flush();
  await Promise.all(workers.map((worker) => worker.flush()));
  const counts = groups.map(({ seen }) => seen.length);
  assert.equal(counts.reduce((a, b) => a + b), 300);
  counts.forEach((count) => assert.ok(count > 50, `shares: ${counts}`));
  assert.equal(watcher.seen.length, 300);
});

test('accounts are worlds of their own', async (t) => {
  const bus = await startBus(t);
  const inside = await bus.user('default');
  const outside = await bus.user('CANDELA');
  const heard = collect(outside, '>');
  await outside.flush();
  inside.publish('secret', sc.encode('x'));
  await inside.flush();
  await outside.flush();
  assert.deepEqual(heard.seen, []);
  await assert.rejects(inside.request('$SYS.REQ.CLAIMS.LIST', Empty, { timeout: 1000 }), { code: '503' });
});

test('whoever has no valid credential is refused', async (t) => {
  const bus = await startBus(t);
  const refused = { code: 'AUTHORIZATION_VIOLATION' };
  const good = await bus.mint();
  await assert.rejects(bus.connect('', { authenticator: undefined }), refused);
  const stranger = jwt.createAccount();
  const user = jwt.createUser();
  const forged = await jwt.encodeUser('x', user, stranger, { issuer_account: bus.account('default').key });
  await assert.rejects(bus.connect(new TextDecoder().decode(jwt.fmtCreds(forged, user))), refused);
  const expired = await bus.mint('default', {}, { exp: Math.floor(Date.now() / 1000) - 1 });
  await assert.rejects(bus.connect(expired), refused);
  const stolen = good.creds.replace(/SU[A-Z0-9]{56}/, Buffer.from(jwt.createUser().getSeed()).toString());
  await assert.rejects(bus.connect(stolen), refused);
  const bearer = await bus.mint('default', { bearer_token: true });
  const connection = await bus.connect('', { authenticator: () => ({ jwt: bearer.token }) });
  await connection.flush();
});

test('permissions are enforced and named', async (t) => {
  const bus = await startBus(t);
  const limited = await bus.user('default', {
    pub: { allow: ['open.>', '_INBOX.>'], deny: ['open.closed'] },
    sub: { allow: ['open.>', '_INBOX.>'] },
  });
  const problems = [];
  (async () => { for await (const status of limited.status()) problems.push(status); })();
  limited.publish('shut', Empty);
  await until('the publish violation', () => problems.some((p) => p.data === 'PERMISSIONS_VIOLATION' && p.permissionContext?.subject === 'shut' && p.permissionContext.operation === 'publish'));
  const subscription = collect(limited, 'shut.*');
  await until('the subscription violation', () => subscription.seen.length === 1);
  assert.equal(subscription.seen[0].code, 'PERMISSIONS_VIOLATION');
  limited.publish('open.closed', Empty);
  await until('the denial', () => problems.some((p) => p.permissionContext?.subject === 'open.closed'));
  const open = collect(limited, 'open.x');
  limited.publish('open.x', sc.encode('yes'));
  await limited.flush();
  assert.deepEqual(open.seen, ['yes']);
});

test('a service that may only answer does so', async (t) => {
  const bus = await startBus(t);
  const service = await bus.user('default', { sub: { allow: ['ask'] }, resp: { max: 1, ttl: 5e9 } });
  service.subscribe('ask', { callback: (error, message) => message.respond(sc.encode('answer')) });
  await service.flush();
  const asker = await bus.user();
  for (let i = 0; i < 3; i += 1) assert.equal(sc.decode((await asker.request('ask')).data), 'answer');
});

test('revocation sends a live connection away, by a push through the system account', async (t) => {
  const bus = await startBus(t);
  const victim = await bus.mint();
  const connection = await bus.connect(victim);
  const innocent = await bus.user();
  const operator = bus.operator();
  const { token, key } = bus.account('default');
  const claims = jwt.decode(token);
  const revoked = await jwt.encodeAccount(claims.name, key, {
    ...claims.nats, revocations: { [victim.key]: Math.floor(Date.now() / 1000) },
  }, { signer: operator });
  const sys = await bus.connect(bus.roleCreds('lighthouse-sys'), {
    inboxPrefix: `_INBOX.${jwt.decode(bus.roleCreds('lighthouse-sys').split('\n')[1]).sub}`,
  });
  const answer = (await sys.request('$SYS.REQ.CLAIMS.UPDATE', sc.encode(revoked))).json();
  assert.equal(answer.data.code, 200);
  assert.equal(answer.data.account, key);
  const error = await connection.closed();
  assert.match(String(error.message) + error.chainedError?.message, /revoked/i);
  await innocent.flush();
  await assert.rejects(bus.connect(victim), { code: 'AUTHORIZATION_VIOLATION' });
  // The bus knows it after a restart too, though the files it started from are older.
  await bus.stop();
  await bus.start();
  await assert.rejects(bus.connect(victim), { code: 'AUTHORIZATION_VIOLATION' });
  await (await bus.user()).flush();
});

test('a new space, made by another implementation, is there at once', async (t) => {
  const bus = await startBus(t);
  const account = jwt.createAccount();
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1, wildcards: true };
  const token = await jwt.encodeAccount('fresh', account, { limits }, { signer: bus.operator() });
  const sys = await bus.connect(bus.roleCreds('lighthouse-sys'), {
    inboxPrefix: `_INBOX.${jwt.decode(bus.roleCreds('lighthouse-sys').split('\n')[1]).sub}`,
  });
  assert.equal((await sys.request('$SYS.REQ.CLAIMS.UPDATE', sc.encode(token))).json().data.code, 200);
  const listed = (await sys.request('$SYS.REQ.CLAIMS.LIST')).json().data;
  assert.ok(listed.includes(account.getPublicKey()));
  assert.equal(sc.decode((await sys.request(`$SYS.REQ.ACCOUNT.${account.getPublicKey()}.CLAIMS.LOOKUP`)).data), token);
  const user = jwt.createUser();
  const creds = new TextDecoder().decode(jwt.fmtCreds(await jwt.encodeUser('u', user, account, {}), user));
  const connection = await bus.connect(creds);
  const info = (await connection.request('$SYS.REQ.USER.INFO')).json().data;
  assert.equal(info.user, user.getPublicKey());
  assert.equal(info.account, account.getPublicKey());
});

test('messages up to the maximum pass, larger ones do not', async (t) => {
  const bus = await startBus(t);
  const connection = await bus.user();
  assert.equal(connection.info.max_payload, 1048576);
  const big = new Uint8Array(1048576).map((_, i) => i % 251);
  const got = new Promise((done) => { connection.subscribe('big', { callback: (error, message) => done(message.data) }); });
  connection.publish('big', big);
  assert.deepEqual(Buffer.compare(await got, big), 0);
  assert.throws(() => connection.publish('big', new Uint8Array(1048577)), { code: 'MAX_PAYLOAD_EXCEEDED' });
  const small = await bus.user('default', { payload: 100 });
  await until('the user to know its own maximum', () => small.info.max_payload === 100);
});

test('a client reconnects to a bus that was killed, and hears again', async (t) => {
  const bus = await startBus(t);
  const creds = await bus.mint();
  const connection = await bus.connect(creds, { reconnect: true, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
  const heard = collect(connection, 'again');
  await connection.flush();
  await bus.kill();
  await bus.start();
  const other = await bus.user();
  await until('the message', async () => {
    other.publish('again', sc.encode('hello'));
    await other.flush();
    return heard.seen.length > 0;
  });
});
