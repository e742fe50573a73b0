// Where an account's JWT has its clients' messages go instead ("mappings"): the same JWTs and the same publishers on
// nats-server 2.10 and candela's bus (lib/sharing.mjs).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import jwt from '@nats-io/jwt';
import { NEWER_NATS_SERVER, natsServerVersion } from './lib/nats_server.mjs';
import { LIMITS, onBoth, sc, service, stream } from './lib/sharing.mjs';

const to = (subject, weight, cluster) => ({ subject, weight, cluster });
const options = { program: NEWER_NATS_SERVER, extra: 'jetstream { store_dir: "DIR/js" }' };
const skip = natsServerVersion(NEWER_NATS_SERVER) === null && 'there is no nats-server 2.10 (packaging/dependencies.sh)';

const MAPPINGS = {
  a: [to('b')],
  b: [to('c')],
  'ev.*.*': [to('out.$2.{{wildcard(1)}}')],
  'part.*': [to('part.{{partition(7,1)}}.$1')],
  'parts.*.*': [to('parts.{{partition(1000,2,1)}}')],
  'rest.>': [to('in.>')],
  'fn.*': [to('{{split(1,-)}}.s.{{splitfromleft(1,2)}}.{{splitfromright(1,2)}}')],
  'slice.*': [to('{{slicefromleft(1,3)}}.s.{{slicefromright(1,3)}}')],
  'far.*': [to('far.$1', 100, 'east')],
  same: [to('same')],
  none: [],
  // These make no subject, and do nothing.
  x1: [to('x.*')],
  'x2.*': [to('x.$2')],
  'x3.>': [to('x')],
  x4: [to('y', 50), to('y', 20)],
  x5: [to('x.{{nonsense(1)}}')],
};

test('what is published goes where the mappings say', { skip }, async (t) => {
  await onBoth(t, async (side) => {
    await side.put('A', { mappings: MAPPINGS });
    const [a, b] = [await side.user('A'), await side.user('A')];
    await side.listen(b, 'B', '>');
    for (const subject of ['a', 'b', 'c', 'ev.1.2', 'ev.1', 'part.x', 'part.yy', 'part.zzz', 'parts.a.b', 'parts.b.a', 'rest.1.2.3', 'rest', 'fn.ab-cd-e', 'fn.x',
      'slice.abcdefgh', 'slice.ab', 'far.1', 'same', 'none', 'x1', 'x2.a', 'x3.a', 'x4', 'x5', 'unmapped']) {
      a.publish(subject, sc.encode(`as ${subject}`), { reply: 'back' });
    }
    await a.flush();
    return side.take(a, b);
  }, options);
});

test('mappings change while clients are connected', { skip }, async (t) => {
  await onBoth(t, async (side) => {
    const a = await side.user('A');
    await side.listen(a, 'A', '>');
    const heard = [];
    for (const mappings of [{ m: [to('one')] }, { m: [to('two')], 'n.*': [to('n$1.$1')] }, { 'n.*': [to('three.$1')] }, undefined]) {
      await side.put('A', mappings ? { mappings } : {});
      for (const subject of ['m', 'n.1']) a.publish(subject);
      heard.push(await side.take(a));
    }
    return heard;
  }, options);
});

test('destinations have their shares, and what is left keeps its subject or is lost', { skip }, async (t) => {
  await onBoth(t, async (side) => {
    await side.put('A', { mappings: { h: [to('h1', 30)], 'w.*': [to('w1.$1', 20), to('w2.$1', 20)], loss: [to('loss', 40), to('kept', 30)], all: [to('all1', 70), to('all2', 30)] } });
    const a = await side.user('A');
    const counts = {};
    a.subscribe('>', { callback: (_, { subject }) => { counts[subject] = (counts[subject] ?? 0) + 1; } });
    for (let i = 0; i < 2000; ++i) for (const subject of ['h', 'w.x', 'loss', 'all']) a.publish(subject);
    await a.flush();
    // Rounded to what both are sure to come out at: 2000 lots deviate by 22 or so.
    for (const [subject, share] of Object.entries({ h1: 30, h: 70, 'w1.x': 20, 'w2.x': 20, 'w.x': 60, loss: 40, kept: 30, all1: 70, all2: 30 })) {
      assert.ok(Math.abs(counts[subject] / 20 - share) < 7, `${side.name}: ${subject} has ${counts[subject]} of 2000, not ${share} percent`);
    }
    return Object.keys(counts).sort();
  }, options);
});

test('permissions hold for the subject that a message gets', { skip }, async (t) => {
  await onBoth(t, async (side) => {
    await side.put('A', { mappings: { a: [to('b')] } });
    const listener = await side.user('A');
    await side.listen(listener, 'A', '>');
    const seen = [];
    for (const pub of [{ allow: ['a'] }, { allow: ['b'] }, { deny: ['a'] }, { deny: ['b'] }]) {
      const user = jwt.createUser();
      const token = await jwt.encodeUser('limited', user, side.keys.A, { issuer_account: side.id('A'), pub });
      const client = await side.open(jwt.fmtCreds(token, user));
      let refused = null;
      (async () => { for await (const status of client.status()) refused ??= status.permissionContext ?? null; })();
      client.publish('a', sc.encode(JSON.stringify(pub)));
      await client.flush();
      await setImmediate();  // the refusal came before the answer, and is told in this turn of the loop
      seen.push([pub, refused, await side.take(listener)]);
    }
    return seen;
  }, options);
});

test('what is asked of another account is mapped there, once more', { skip }, async (t) => {
  const heard = await onBoth(t, async (side) => {
    await side.put('A', { exports: [service('svc.*'), stream('news.>')], mappings: { 'svc.*': [to('v2.$1')], v2: [to('v3')], 'raw.>': [to('news.>')], 'news.>': [to('never.>')] } });
    const from = { account: side.id('A') };
    await side.put('B', { imports: [service('svc.*', { ...from, local_subject: 'ask.$1' }), stream('news.>', { ...from, local_subject: 'theirs.>' })], mappings: { say: [to('ask.me')], 'theirs.>': [to('mine.>')], 'in.*': [to('out.$1')] } });
    const [a, b] = [await side.user('A'), await side.user('B')];
    for (const subject of ['svc.*', 'v2.*', 'v3', 'news.>']) await side.listen(a, 'A', subject, { react: (message) => message.respond(sc.encode(`by ${message.subject}`)) });
    for (const subject of ['theirs.>', 'mine.>', 'in.*', 'out.*']) await side.listen(b, 'B', subject);
    for (const subject of ['ask.x', 'say']) side.heard.push(['answer', subject, sc.decode((await b.request(subject, sc.encode('?'), { timeout: 2000 })).data)]);
    a.publish('raw.x', sc.encode('raw'));
    b.publish('theirs.own', sc.encode('own'));
    // An answer goes where the asker's mappings say.
    b.publish('ask.y', sc.encode('?'), { reply: 'in.1' });
    await b.flush();
    return side.take(a, b);
  }, options);
  assert.ok(heard.some((event) => event.includes('by v2.x')), heard.join('\n'));
});

test('a stream keeps a message under the subject that it gets', { skip }, async (t) => {
  await onBoth(t, async (side) => {
    await side.put('A', { limits: { ...LIMITS, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 }, mappings: { 'in.*': [to('kept.{{partition(3,1)}}.$1')] } });
    const a = await side.user('A');
    const manager = await a.jetstreamManager();
    await manager.streams.add({ name: 'S', subjects: ['kept.>'], storage: 'memory' });
    const kept = [];
    for (const subject of ['in.a', 'in.b', 'in.c']) {
      const { seq } = await a.jetstream().publish(subject, sc.encode(subject));
      const message = await manager.streams.getMessage('S', { seq });
      kept.push([seq, message.subject, sc.decode(message.data)]);
    }
    return kept;
  }, options);
});
