// Core NATS by the official JavaScript clients, old and new: the same expectations for candela and for real nats-servers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import jwt from '@nats-io/jwt';
import { StringCodec, headers as headers2, Match as Match2 } from 'nats';
import { headers as headers3, Match as Match3 } from '@nats-io/transport-node';
import { runParity } from './lib/parity.mjs';
import { until } from './lib/wait.mjs';

const sc = StringCodec();
const text = (message) => sc.decode(message.data);
const bytes = (value) => sc.encode(String(value));
const EMPTY = new Uint8Array();
const isOld = (client) => client === 'nats 2';
const newHeaders = (client) => (isOld(client) ? headers2() : headers3());
const isNoResponders = (error) => /^503|no responders/i.test(`${error.code} ${error.message}`);

// What a subscription hears, as "subject payload".
function listen(connection, subject, options = {}) {
  const heard = [];
  const subscription = connection.subscribe(subject, {
    ...options,
    callback: (error, message) => { if (!error) heard.push(`${message.subject} ${text(message)}`.trimEnd()); },
  });
  return { heard, subscription };
}

// All violations that the server tells a connection, as "publish subject" or "subscription subject queue".
function violations(connection) {
  const seen = [];
  (async () => {
    for await (const status of connection.status()) {
      const context = status.permissionContext ?? (status.error?.operation ? status.error : undefined);
      if (context) seen.push([context.operation, context.subject, context.queue].filter(Boolean).join(' '));
    }
  })();
  return seen;
}

// Both have handled all that the first said before.
async function settle(...connections) {
  for (const connection of [...connections, ...connections]) await connection.flush();
}

const CASES = {
  'subjects, literal and with wildcards, in order': async (t, server, client) => {
    const [a, b] = [await server.connect(t, { client }), await server.connect(t, { client })];
    const patterns = { 'w.a.b': [], 'w.*.b': [], 'w.a.*': [], 'w.*': [], 'w.>': [], 'w.a.>': [], '*.a.b': [], 'w.a.b.>': [], 'w.*.*': [] };
    for (const pattern of Object.keys(patterns)) patterns[pattern] = listen(b, pattern).heard;
    await b.flush();
    const sent = ['w', 'w.a', 'w.a.b', 'w.x.b', 'w.a.c', 'w.a.b.c', 'x.a.b', 'W.a.b', 'w.*.b', 'w.é.b'];
    for (const subject of sent) a.publish(subject, EMPTY);
    await settle(a, b);
    assert.deepEqual(patterns, {
      'w.a.b': ['w.a.b'],
      'w.*.b': ['w.a.b', 'w.x.b', 'w.*.b', 'w.é.b'],
      'w.a.*': ['w.a.b', 'w.a.c'],
      'w.*': ['w.a'],
      'w.>': ['w.a', 'w.a.b', 'w.x.b', 'w.a.c', 'w.a.b.c', 'w.*.b', 'w.é.b'],
      'w.a.>': ['w.a.b', 'w.a.c', 'w.a.b.c'],
      '*.a.b': ['w.a.b', 'x.a.b', 'W.a.b'],
      'w.a.b.>': ['w.a.b.c'],
      'w.*.*': ['w.a.b', 'w.x.b', 'w.a.c', 'w.*.b', 'w.é.b'],
    });
  },

  'each of several subscriptions that a subject meets hears it once': async (t, server, client) => {
    const [a, b] = [await server.connect(t, { client }), await server.connect(t, { client })];
    const all = ['d.x', 'd.x', 'd.*', 'd.>', '*.x'].map((pattern) => listen(b, pattern));
    await b.flush();
    a.publish('d.x', bytes(1));
    await settle(a, b);
    assert.deepEqual(all.map(({ heard }) => heard.length), [1, 1, 1, 1, 1]);
    all[0].subscription.unsubscribe();
    all[3].subscription.unsubscribe();
    await b.flush();
    a.publish('d.x', bytes(2));
    await settle(a, b);
    assert.deepEqual(all.map(({ heard }) => heard.length), [1, 2, 2, 1, 2]);
  },

  'queue groups share fairly, within a connection and across': async (t, server, client) => {
    const workers = await Promise.all([1, 2].map(() => server.connect(t, { client })));
    const members = [0, 0, 1].map((i) => listen(workers[i], 'jobs', { queue: 'q' }));
    const others = [0, 1].map((i) => listen(workers[i], 'jobs', { queue: 'other' }));
    const plain = listen(workers[1], 'jobs');
    await settle(...workers);
    const publisher = await server.connect(t, { client });
    for (let i = 0; i < 1200; i += 1) publisher.publish('jobs', bytes(i));
    await settle(publisher, ...workers);
    const shares = members.map(({ heard }) => heard.length);
    assert.equal(shares.reduce((x, y) => x + y), 1200);
    // 400 each are expected; six standard deviations of chance are 98.
    for (const share of shares) assert.ok(share > 300 && share < 500, `shares: ${shares}`);
    assert.equal(others[0].heard.length + others[1].heard.length, 1200);
    assert.equal(plain.heard.length, 1200);
    // Who leaves gets no more, and nothing is lost.
    members[2].subscription.unsubscribe();
    await workers[1].flush();
    for (let i = 0; i < 100; i += 1) publisher.publish('jobs', bytes(i));
    await settle(publisher, ...workers);
    assert.equal(members[0].heard.length + members[1].heard.length + shares[2], 1300);
  },

  'groups of one name are one group, though their patterns differ': async (t, server, client) => {
    const [a, b] = [await server.connect(t, { client }), await server.connect(t, { client })];
    const members = ['g.x', 'g.*', 'g.>'].map((pattern) => listen(b, pattern, { queue: 'q' }));
    await b.flush();
    for (let i = 0; i < 90; i += 1) a.publish('g.x', bytes(i));
    await settle(a, b);
    assert.equal(members.reduce((sum, { heard }) => sum + heard.length, 0), 90);
  },

  'automatic unsubscription, before and after the last message': async (t, server, client) => {
    const [a, b] = [await server.connect(t, { client }), await server.connect(t, { client })];
    const three = listen(b, 'm', { max: 3 });
    const later = listen(b, 'm');
    await b.flush();
    for (let i = 0; i < 5; i += 1) a.publish('m', bytes(i));
    await settle(a, b);
    assert.deepEqual(three.heard, ['m 0', 'm 1', 'm 2']);
    assert.ok(three.subscription.isClosed());
    later.subscription.unsubscribe(7);
    await b.flush();
    for (let i = 5; i < 10; i += 1) a.publish('m', bytes(i));
    await settle(a, b);
    assert.equal(later.heard.length, 7);
    // Nobody is left: a request is told so.
    await assert.rejects(a.request('m', EMPTY, { timeout: 5000 }), isNoResponders);
  },

  'no echo': async (t, server, client) => {
    const quiet = await server.connect(t, { client, noEcho: true });
    const other = await server.connect(t, { client });
    const [own, others] = [listen(quiet, 'e'), listen(other, 'e')];
    await settle(quiet, other);
    quiet.publish('e', bytes('mine'));
    other.publish('e', bytes('theirs'));
    await settle(quiet, other);
    assert.deepEqual(own.heard, ['e theirs']);
    assert.deepEqual(others.heard.sort(), ['e mine', 'e theirs']);
  },

  'verbose and pedantic': async (t, server, client) => {
    const nc = await server.connect(t, { client, verbose: true, pedantic: true });
    const { heard } = listen(nc, 'v.*');
    nc.publish('v.1', bytes('x'));
    await nc.flush();
    await settle(nc);
    assert.deepEqual(heard, ['v.1 x']);
    assert.equal(nc.isClosed(), false);
  },

  'headers: many values, any case, empty, not ASCII; with a reply': async (t, server, client) => {
    const [a, b] = [await server.connect(t, { client }), await server.connect(t, { client })];
    const seen = [];
    b.subscribe('h', { callback: (error, message) => { seen.push(message); message.respond(message.data, { headers: message.headers }); } });
    await b.flush();
    const sent = newHeaders(client);
    sent.append('Two', 'one');
    sent.append('Two', 'another');
    sent.append('lower-Case', 'kept');
    sent.append('Empty', '');
    sent.append('Place', 'Zürich → Genève');
    const answer = await a.request('h', bytes('payload'), { headers: sent, timeout: 5000 });
    for (const got of [seen[0].headers, answer.headers]) {
      assert.deepEqual(got.values('Two'), ['one', 'another']);
      assert.equal(got.get('lower-Case'), 'kept');
      assert.equal(got.get('LOWER-CASE', isOld(client) ? Match2.IgnoreCase : Match3.IgnoreCase), 'kept');
      assert.equal(got.get('Empty'), '');
      assert.equal(got.get('Place'), 'Zürich → Genève');
    }
    assert.equal(text(answer), 'payload');
  },

  'one request, many answers: by count, time, pause and end mark': { by: '@nats-io 3', run: async (t, server, client) => {
    const [a, b] = [await server.connect(t, { client }), await server.connect(t, { client })];
    b.subscribe('many', {
      callback: (error, message) => {
        for (let i = 0; i < 4; i += 1) message.respond(bytes(i));
        message.respond(EMPTY);
      },
    });
    await b.flush();
    const ask = async (options) => {
      const out = [];
      for await (const message of await a.requestMany('many', EMPTY, { maxWait: 400, ...options })) out.push(text(message));
      return out;
    };
    assert.deepEqual(await ask({ strategy: 'count', maxMessages: 3 }), ['0', '1', '2']);
    assert.deepEqual((await ask({ strategy: 'sentinel' })).filter((answer) => answer !== ''), ['0', '1', '2', '3']);
    assert.equal((await ask({ strategy: 'timer' })).length, 5);
    assert.equal((await ask({ strategy: 'stall', maxWait: 2000 })).length, 5);
  } },

  'requests: many at once, nobody there, nobody who answers': async (t, server, client) => {
    const [a, b] = [await server.connect(t, { client }), await server.connect(t, { client })];
    b.subscribe('twice.*', { callback: (error, message) => message.respond(bytes(text(message).repeat(2))) });
    b.subscribe('silent', { callback: () => {} });
    await b.flush();
    for (const noMux of [false, true]) {
      const options = noMux ? { noMux, timeout: 10_000 } : { timeout: 10_000 };
      const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => a.request(`twice.${i}`, bytes(`${i},`), options)));
      assert.deepEqual(answers.map(text), Array.from({ length: 100 }, (_, i) => `${i},${i},`));
      await assert.rejects(a.request('nobody', EMPTY, { ...options, timeout: 5000 }), isNoResponders);
    }
    await assert.rejects(a.request('silent', EMPTY, { timeout: 60 }), (error) => error.code === 'TIMEOUT' || error.name === 'TimeoutError');
  },

  'draining a subscription and a connection loses nothing': async (t, server, client) => {
    const [a, b] = [await server.connect(t, { client }), await server.connect(t, { client })];
    const [one, two] = [listen(b, 'drain'), listen(b, 'drain')];
    await b.flush();
    for (let i = 0; i < 500; i += 1) a.publish('drain', bytes(i));
    await a.flush();
    await one.subscription.drain();
    assert.equal(one.heard.length, 500);
    assert.ok(one.subscription.isClosed());
    for (let i = 0; i < 500; i += 1) a.publish('drain', bytes(i));
    await a.flush();
    await b.drain();
    assert.ok(b.isClosed());
    assert.equal(one.heard.length, 500);
    assert.equal(two.heard.length, 1000);
    await assert.rejects(a.request('drain', EMPTY, { timeout: 5000 }), isNoResponders);
  },

  'permissions to publish: the violation is named and nothing else happens': async (t, server, client) => {
    const nc = await server.connect(t, { client, claims: { pub: { allow: ['open.*', 'deep.>'], deny: ['open.shut', 'deep.a.*'] } } });
    const seen = violations(nc);
    const all = listen(nc, '>');
    await nc.flush();
    for (const subject of ['open.a', 'open.shut', 'open', 'open.a.b', 'deep.a.b', 'deep.a.b.c', 'other']) nc.publish(subject, EMPTY);
    await nc.flush();
    await until('the violations', () => seen.length >= 5, { every: 5 });
    assert.deepEqual(seen, ['open.shut', 'open', 'open.a.b', 'deep.a.b', 'other'].map((subject) => `publish ${subject}`));
    assert.deepEqual(all.heard, ['open.a', 'deep.a.b.c']);
    assert.equal(nc.isClosed(), false);
  },

  'permissions to subscribe: also within wildcards, and by queue': async (t, server, client) => {
    const other = await server.connect(t, { client });
    const nc = await server.connect(t, { client, claims: { sub: { allow: ['s.>', 'work.* v1', '_INBOX.>'], deny: ['s.secret', 's.*.x'] } } });
    const seen = violations(nc);
    const wide = listen(nc, 's.*');
    for (const subject of ['s.secret', 'elsewhere', 'work.a']) listen(nc, subject);
    listen(nc, 'work.a', { queue: 'v2' });
    const right = listen(nc, 'work.a', { queue: 'v1' });
    await settle(nc);
    await until('the violations', () => seen.length >= 4, { every: 5 });
    assert.deepEqual(seen.sort(), ['subscription elsewhere', 'subscription s.secret', 'subscription work.a', 'subscription work.a v2']);
    for (const subject of ['s.open', 's.secret', 'work.a']) other.publish(subject, EMPTY);
    await settle(other, nc);
    assert.deepEqual(wide.heard, ['s.open']);
    assert.deepEqual(right.heard, ['work.a']);
  },

  'answers only, so many and so long': async (t, server, client) => {
    const asker = await server.connect(t, { client });
    const service = await server.connect(t, { client, claims: { pub: { deny: ['>'] }, sub: { allow: ['ask'] }, resp: { max: 2, ttl: 30e9 } } });
    const seen = violations(service);
    service.subscribe('ask', { callback: (error, message) => { for (let i = 0; i < 3; i += 1) message.respond(bytes(i)); } });
    await service.flush();
    const inbox = listen(asker, 'in');
    await asker.flush();
    asker.publish('ask', EMPTY, { reply: 'in' });
    await settle(asker, service, asker);
    await until('the third to be refused', () => seen.length === 1, { every: 5 });
    assert.deepEqual([seen, inbox.heard], [['publish in'], ['in 0', 'in 1']]);
  },

  'limits of a user: payload and subscriptions': async (t, server, client) => {
    const nc = await server.connect(t, { client, claims: { payload: 100, subs: 2 } });
    const problems = [];
    (async () => { for await (const status of nc.status()) problems.push(String(status.error?.message ?? status.data?.message ?? status.data)); })();
    const heard = [1, 2, 3].map((i) => listen(nc, `l.${i}`).heard);
    await settle(nc);
    for (const i of [1, 2, 3]) nc.publish(`l.${i}`, EMPTY);
    await settle(nc);
    assert.deepEqual(heard.map((list) => list.length), [1, 1, 0]);
    // The older client tells nobody of errors that it does not know.
    if (!isOld(client)) await until('the limit', () => problems.some((p) => /max.*subscriptions.*exceeded/i.test(p)), { every: 5 });
    await until('its own maximum', () => nc.info.max_payload === 100, { every: 5 });
    assert.throws(() => nc.publish('l.1', new Uint8Array(101)));
  },

  'the largest message, among small ones': async (t, server, client) => {
    const [a, b] = [await server.connect(t, { client }), await server.connect(t, { client })];
    assert.equal(a.info.max_payload, 1048576);
    const got = [];
    b.subscribe('big', { callback: (error, message) => got.push(message.data.slice()) });
    await b.flush();
    const big = new Uint8Array(1048576).map((_, i) => (i * 31) % 251);
    const sent = [new Uint8Array(1), big, new Uint8Array(0), big, new Uint8Array(2)];
    for (const data of sent) a.publish('big', data);
    await a.flush();
    await until('all of it', () => got.length === 5, { every: 5 });
    got.forEach((data, i) => assert.equal(Buffer.compare(data, sent[i]), 0));
  },

  'INFO tells what clients use': async (t, server, client) => {
    const nc = await server.connect(t, { client });
    const { info } = nc;
    assert.deepEqual([info.proto, info.headers, info.auth_required, info.jetstream, info.client_ip], [1, true, true, true, '127.0.0.1']);
    assert.ok(info.client_id > 0 && info.nonce.length >= 11 && info.server_id.startsWith('N') && info.port > 0);
    assert.ok(await nc.rtt() >= 0);
  },

  'an account is a world of its own': async (t, server, client) => {
    const [inside, outside] = [await server.connect(t, { client }), await server.connect(t, { client, account: 'CANDELA' })];
    const { heard } = listen(outside, '>');
    await outside.flush();
    inside.publish('secret', bytes('x'));
    await settle(inside, outside);
    assert.deepEqual(heard, []);
  },

  'logins: expired, of strangers; expiry ends a connection': { by: '@nats-io 3', run: async (t, server, client) => {
    const refused = (error) => /authorization/i.test(`${error.code} ${error.name} ${error.message}`);
    const soon = await server.bus.mint('default', {}, { exp: Math.floor(Date.now() / 1000) + 2 });
    const nc = await server.connect(t, { client, creds: soon.creds });
    const ended = nc.closed();
    const expired = await server.bus.mint('default', {}, { exp: Math.floor(Date.now() / 1000) - 1 });
    await assert.rejects(server.connect(t, { client, creds: expired.creds }), refused);
    const stranger = jwt.createUser();
    const forged = await jwt.encodeUser('x', stranger, jwt.createAccount(), { issuer_account: server.bus.account('default').key });
    await assert.rejects(server.connect(t, { client, creds: new TextDecoder().decode(jwt.fmtCreds(forged, stranger)) }), refused);
    const error = await ended;
    assert.match(`${error?.code} ${error?.name} ${error?.message}`, /expired|authentication/i);
  } },
};

test('core, by JavaScript', async (t) => {
  await runParity(t, CASES, { clients: ['nats 2', '@nats-io 3'] });
});
