// Imports and exports between accounts, as a real nats-server has them (lib/sharing.mjs).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import jwt from '@nats-io/jwt';
import { headers } from 'nats';
import { startBus } from './lib/bus.mjs';
import { LIMITS, Side, onBoth, sc, service, stream } from './lib/sharing.mjs';
import { until } from './lib/wait.mjs';

test('streams are heard under the names of the importing account', async (t) => {
  const heard = await onBoth(t, async (side) => {
    await side.put('A', { exports: [stream('ev.*.>'), stream('plain'), stream('old.>')] });
    await side.put('B', {
      imports: [stream('ev.*.>', { account: side.id('A'), local_subject: 'theirs.$1.>' }), stream('plain', { account: side.id('A') }),
        stream('old.>', { account: side.id('A'), to: 'pre' })],
      exports: [stream('theirs.>')],
    });
    await side.put('C', { imports: [stream('theirs.>', { account: side.id('B') })] });
    const [a, b, c] = [await side.user('A'), await side.user('B'), await side.user('C')];
    for (const subject of ['theirs.>', 'theirs.*.x', '*.k.x', 'ev.>', 'plain', 'pre.>']) await side.listen(b, `B ${subject}`, subject);
    await side.listen(c, 'C', '>');
    await side.listen(a, 'A', 'ev.k.x');
    for (const subject of ['ev.k.x', 'ev.k.y.z', 'plain', 'old.a', 'secret']) a.publish(subject, sc.encode(subject), { reply: 'back' });
    b.publish('theirs.own', sc.encode('own'));
    return side.take(a, b, c);
  });
  assert.ok(heard.length > 5, heard.join('\n'));
});

test('services are asked and answer', async (t) => {
  const heard = await onBoth(t, async (side) => {
    await side.put('A', { exports: [service('svc.*.*'), service('many', { response_type: 'Stream' }), service('parts', { response_type: 'Chunked' }), service('olds')] });
    const from = { account: side.id('A') };
    await side.put('B', {
      imports: [service('svc.*.*', { ...from, local_subject: 'my.$2.$1' }), service('many', from), service('parts', from), service('mine', { ...from, to: 'olds' })],
      exports: [service('many', { response_type: 'Stream' })],
    });
    await side.put('C', { imports: [service('many', { account: side.id('B'), local_subject: 'lots' })] });
    const [a, b, c] = [await side.user('A'), await side.user('B'), await side.user('C')];
    const answer = (message) => {
      for (const part of ['1', '2']) message.respond(sc.encode(part));
      message.respond();
      message.respond(sc.encode('too much'));
    };
    for (const subject of ['svc.>', 'many', 'parts', 'olds']) await side.listen(a, 'A', subject, { react: answer });
    await side.listen(b, 'B', 'in.>');
    await side.listen(c, 'C', 'in.>');
    const forged = headers();
    forged.set('Nats-Request-Info', '{"acc":"forged"}');
    for (const subject of ['my.1.2', 'many', 'parts', 'mine']) b.publish(subject, sc.encode('?'), { reply: `in.${subject}`, headers: forged });
    b.publish('my.1.2', sc.encode('no answer wanted'));
    c.publish('lots', sc.encode('?'), { reply: 'in.lots' });
    return side.take(b, c, a, b, c);
  });
  for (const part of ['"my.1.2"', 'forged']) assert.ok(!heard.some((event) => event.includes(part)));
  assert.equal(heard.filter((event) => event.startsWith('["C","in.lots"')).length, 3, heard.join('\n'));
});

test('members of one queue group are one group in all accounts', async (t) => {
  await onBoth(t, async (side) => {
    await side.put('A', { exports: [stream('jobs')] });
    for (const name of ['B', 'C']) await side.put(name, { imports: [stream('jobs', { account: side.id('A'), local_subject: 'todo' })] });
    const counts = { A: 0, B: 0, C: 0 };
    for (const [name, subject] of [['A', 'jobs'], ['B', 'todo'], ['C', 'todo']]) {
      const client = await side.user(name);
      client.subscribe(subject, { queue: 'q', callback: () => { counts[name] += 1; } });
      await client.flush();
    }
    const publisher = await side.user('A');
    for (let i = 0; i < 600; ++i) publisher.publish('jobs');
    await until('all of them', () => counts.A + counts.B + counts.C >= 600);
    return Object.entries(counts).map(([name, count]) => [name, count > 100]);
  });
});

test('private exports: activations, token positions, revocations, live', async (t) => {
  await onBoth(t, async (side) => {
    const signer = jwt.createAccount();
    const exported = (revocations) => ({
      signing_keys: [signer.getPublicKey()],
      exports: [stream('priv.*', { token_req: true, revocations }), service('ask', { token_req: true }), stream('to.*.>', { account_token_position: 2 })],
    });
    await side.put('A', exported());
    const iat = Math.floor(Date.now() / 1000);
    const own = await jwt.encodeActivation('own', side.keys.B, side.keys.A, 'stream', { subject: 'priv.x' });
    const bySigner = await jwt.encodeActivation('signed', side.keys.B, side.keys.A, 'service', { subject: 'ask' }, { signer });
    const from = { account: side.id('A') };
    const importing = (token) => ({
      imports: [stream('priv.x', { ...from, token }), service('ask', { ...from, token: bySigner }), stream(`to.${side.id('B')}.>`, { ...from, local_subject: 'mail.>' }),
        stream(`to.${side.id('C')}.>`, { ...from, local_subject: 'stolen.>' })],
    });
    const answers = [(await side.put('B', importing(own))).data?.code];
    const [a, b] = [await side.user('A'), await side.user('B')];
    await side.listen(b, 'B', '>');
    await side.listen(a, 'A', 'ask');
    const round = async () => {
      for (const subject of ['priv.x', 'priv.y', `to.${side.id('B')}.1`, `to.${side.id('C')}.1`]) a.publish(subject);
      b.publish('ask');
      return side.take(a, b, a);
    };
    const rounds = [await round()];
    // The importer leaves its token out, and takes it in again.
    await side.put('B', importing(undefined));
    rounds.push(await round());
    await side.put('B', importing(own));
    rounds.push(await round());
    await side.put('A', exported({ [side.id('B')]: iat + 60 }));
    rounds.push(await round());
    await side.put('A', exported());
    await side.put('B', importing(own));
    rounds.push(await round());
    // Not the importer's, or for something else: the whole JWT is refused.
    const others = await jwt.encodeActivation('x', side.keys.C, side.keys.A, 'stream', { subject: 'priv.x' });
    const narrow = await jwt.encodeActivation('x', side.keys.B, side.keys.A, 'stream', { subject: 'priv.y' });
    for (const token of [others, narrow]) answers.push((await side.put('B', importing(token))).error?.code);
    rounds.push(await round());
    assert.ok(!a.isClosed() && !b.isClosed());
    return { answers, rounds };
  });
});

test('shares that do not fit together are refused', async (t) => {
  const codes = await onBoth(t, async (side) => {
    const from = { account: side.id('A') };
    const out = [];
    const tries = [
      { exports: [stream('a.>'), stream('a.b')] },
      { exports: [stream('a.>'), service('a.b')] },
      { exports: [stream('a.>')], limits: { ...LIMITS, exports: 5, wildcards: false } },
      { exports: [stream('a'), stream('b')], limits: { ...LIMITS, exports: 1 } },
      { exports: [stream('a', { response_type: 'Stream' })] },
      { exports: [service('a', { response_type: 'Other' })] },
      { exports: [service('a.*.b', { account_token_position: 3 })] },
      { imports: [stream('a', from), stream('b', from)], limits: { ...LIMITS, imports: 1 } },
      { imports: [stream('a.*', { ...from, local_subject: 'b' })] },
      { imports: [stream('a.*', { ...from, local_subject: 'b.$2' })] },
      { imports: [stream('a.*', { ...from, local_subject: 'b.$1' })] },
      { imports: [stream('a.>', { ...from, local_subject: 'b' })] },
      { imports: [stream('a', { ...from, share: true })] },
      { imports: [service('a', { ...from, local_subject: 'x' }), service('b', { ...from, local_subject: 'x' })] },
      { imports: [stream('a', { ...from, local_subject: 'x' }), stream('b', { ...from, local_subject: 'x' })] },
      { imports: [service('a', { ...from, to: 'b', local_subject: 'x' })] },
      { imports: [stream('a', { ...from, token: 'rubbish' })] },
    ];
    for (const claims of tries) {
      const answer = await side.put('B', claims);
      out.push([JSON.stringify(claims).replaceAll(side.id('A'), 'A').slice(0, 160), answer.data?.code ?? answer.error?.code]);
    }
    return out;
  });
  assert.ok(codes.some(([, code]) => code === 200) && codes.some(([, code]) => code === 500));
});

test('who asks is told where its account shares that', async (t) => {
  const seen = [];
  await onBoth(t, async (side) => {
    await side.put('A', { exports: [service('who')] });
    await side.put('B', { imports: [service('who', { account: side.id('A'), share: true })] });
    const [a, b] = [await side.user('A'), await side.user('B', { name: 'till' })];
    let info;
    await side.listen(a, 'A', 'who', { react: (message) => { info = JSON.parse(message.headers.get('Nats-Request-Info')); message.respond(); } });
    await b.request('who');
    seen.push(info);
    // The credential itself is not handed on by candela, and the round trip may not be measured yet.
    const { jwt: token, rtt, start, id, server, user, ...rest } = info;
    assert.ok(side.name === 'nats-server' || token === undefined);
    return { rest, types: [start, id, server, user].map((value) => typeof value) };
  });
  assert.equal(seen[1].name, 'till');
});

test('a request over an import that nobody answers is told so at once', async (t) => {
  const bus = await startBus(t);
  const keys = Object.fromEntries(['A', 'B'].map((name) => [name, jwt.createAccount()]));
  const side = new Side(t, 'candela', bus.address, keys, bus.operator());
  side.sys = await side.open(Buffer.from((await bus.mint('SYS')).creds));
  await side.put('A', { exports: [service('who')] });
  await side.put('B', { imports: [service('who', { account: side.id('A') })] });
  const [a, b] = [await side.user('A'), await side.user('B')];
  await assert.rejects(b.request('who', undefined, { timeout: 10_000 }), { code: '503' });
  a.subscribe('who', { queue: 'q', callback: (_, message) => message.respond(sc.encode('me')) });
  await a.flush();
  assert.equal(sc.decode((await b.request('who')).data), 'me');
  // What the bus has learnt is there after it was killed.
  await bus.kill();
  await bus.start();
  const [a2, b2] = [await side.user('A'), await side.user('B')];
  a2.subscribe('who', { callback: (_, message) => message.respond(sc.encode('me again')) });
  await a2.flush();
  assert.equal(sc.decode((await b2.request('who')).data), 'me again');
});
