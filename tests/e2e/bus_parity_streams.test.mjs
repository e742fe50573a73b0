// Durable streams, key-value and object buckets, and services, by the official JavaScript clients: the same expectations for
// candela and for real nats-servers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AckPolicy, consumerOpts, nanos } from 'nats';
import { headers } from '@nats-io/transport-node';
import { jetstream, jetstreamManager, DeliverPolicy } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { Objm } from '@nats-io/obj';
import { Svcm } from '@nats-io/services';
import { runParity, take } from './lib/parity.mjs';
import { until } from './lib/wait.mjs';

const NEW = '@nats-io 3';
const OLD = 'nats 2';
const text = (message) => new TextDecoder().decode(message.data);
const bytes = (value) => new TextEncoder().encode(String(value));
const code = (number) => (error) => {
  const found = error.api_error?.err_code ?? error.code;
  assert.equal(found, number, `${error.message} (${found})`);
  return true;
};

// Names of their own for each test's streams, since all share a server.
let made = 0;
async function open(t, server, client) {
  const nc = await server.connect(t, { client });
  const [js, jsm] = client === OLD ? [nc.jetstream(), await nc.jetstreamManager()] : [jetstream(nc), await jetstreamManager(nc)];
  made += 1;
  return { nc, js, jsm, name: `S${made}`, subject: `s${made}` };
}

async function fill(js, subject, count) {
  await Promise.all(Array.from({ length: count }, (_, i) => js.publish(subject, bytes(i + 1))));
}

const sequences = (messages) => messages.map((message) => message.seq);
const fetch = async (consumer, options, count = options.max_messages) => take(await consumer.fetch({ expires: 5000, ...options }), count);

const CASES = {
  'publishing: duplicates, expectations, headers': async (t, server, client) => {
    const { js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [`${subject}.*`], max_msg_size: 2000 });
    const first = await js.publish(`${subject}.a`, bytes('one'), { msgID: 'one' });
    const again = await js.publish(`${subject}.a`, bytes('one'), { msgID: 'one' });
    assert.deepEqual([first.stream, first.seq, first.duplicate, again.seq, again.duplicate], [name, 1, false, 1, true]);
    await assert.rejects(js.publish(`${subject}.a`, bytes(''), { expect: { streamName: 'T' } }), code(10060));
    await assert.rejects(js.publish(`${subject}.a`, bytes(''), { expect: { lastSequence: 7 } }), code(10071));
    await assert.rejects(js.publish(`${subject}.a`, bytes(''), { expect: { lastMsgID: 'two' } }), code(10070));
    await assert.rejects(js.publish(`${subject}.b`, bytes(''), { expect: { lastSubjectSequence: 1 } }), code(10071));
    await assert.rejects(js.publish(`${subject}.a`, new Uint8Array(2001)), code(10054));
    await js.publish(`${subject}.b`, bytes('x'), { expect: { lastSubjectSequence: 0, lastSequence: 1, lastMsgID: 'one' } });
    if (client === NEW) {
      const sent = headers();
      sent.append('Colour', 'red');
      sent.append('Colour', 'blue');
      await js.publish(`${subject}.h`, bytes('with'), { headers: sent });
      const kept = await jsm.streams.getMessage(name, { last_by_subj: `${subject}.h` });
      assert.deepEqual([kept.header.values('Colour'), kept.seq, text(kept)], [['red', 'blue'], 3, 'with']);
    }
  },

  'acknowledgements of each kind, and redelivery': async (t, server, client) => {
    const { nc, js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [subject] });
    await fill(js, subject, 6);
    await jsm.consumers.add(name, { durable_name: 'w', ack_policy: AckPolicy.Explicit, ack_wait: nanos(700), max_deliver: 3 });
    const consumer = await js.consumers.get(name, 'w');
    const [ack, nak, later, term, working, nothing] = await fetch(consumer, { max_messages: 6 });
    assert.equal(await ack.ackAck(), true);
    const started = Date.now();
    nak.nak();
    later.nak(300);
    term.term();
    const [back] = await fetch(consumer, { max_messages: 1 });
    assert.deepEqual([back.seq, back.redelivered, back.info.deliveryCount ?? back.info.redeliveryCount], [2, true, 2]);
    back.ack();
    working.working();
    const [delayed] = await fetch(consumer, { max_messages: 1 });
    assert.equal(delayed.seq, 3);
    assert.ok(Date.now() - started >= 290);
    await delayed.ackAck();
    // Nobody has said anything of number six, and of five only that it is worked on: six comes first.
    const rest = await fetch(consumer, { max_messages: 2 });
    assert.deepEqual(sequences(rest).sort(), [5, 6]);
    for (const message of rest) await message.ackAck();
    await until('all to be done', async () => (await consumer.info()).num_ack_pending === 0, { every: 5 });
    const info = await consumer.info();
    assert.deepEqual([info.num_pending, info.ack_floor.stream_seq, info.delivered.stream_seq], [0, 6, 6]);
    assert.ok(nothing);
    await nc.flush();
  },

  'after the last delivery there is an advisory, and after terminating': async (t, server, client) => {
    const { nc, js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [subject] });
    await fill(js, subject, 2);
    await jsm.consumers.add(name, { durable_name: 'w', ack_policy: AckPolicy.Explicit, ack_wait: nanos(100), max_deliver: 2 });
    const advisories = [];
    nc.subscribe('$JS.EVENT.ADVISORY.CONSUMER.>', { callback: (error, message) => { if (message.subject.includes(name)) advisories.push(JSON.parse(text(message))); } });
    await nc.flush();
    const consumer = await js.consumers.get(name, 'w');
    const [one, two] = await fetch(consumer, { max_messages: 2 });
    two.term();
    const [again] = await fetch(consumer, { max_messages: 1 });
    assert.deepEqual([one.seq, again.seq], [1, 1]);
    // That it was the last is noticed when it would be delivered once more.
    await fetch(consumer, { max_messages: 1, expires: 1000 });
    await until('both advisories', () => advisories.length >= 2, { every: 5 });
    const byType = Object.fromEntries(advisories.map((a) => [a.type.split('.').at(-1), a]));
    assert.deepEqual([byType.terminated.stream_seq, byType.terminated.deliveries], [2, 1]);
    assert.deepEqual([byType.max_deliver.stream_seq, byType.max_deliver.deliveries, byType.max_deliver.stream, byType.max_deliver.consumer], [1, 2, name, 'w']);
  },

  'acknowledging all up to one; not at all': async (t, server, client) => {
    const { js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [subject] });
    await fill(js, subject, 10);
    await jsm.consumers.add(name, { durable_name: 'all', ack_policy: AckPolicy.All });
    const all = await js.consumers.get(name, 'all');
    const messages = await fetch(all, { max_messages: 10 });
    await messages[6].ackAck();
    const info = await all.info();
    assert.deepEqual([info.ack_floor.stream_seq, info.num_ack_pending], [7, 3]);
    await jsm.consumers.add(name, { durable_name: 'none', ack_policy: AckPolicy.None });
    const none = await js.consumers.get(name, 'none');
    assert.equal((await fetch(none, { max_messages: 10 })).length, 10);
    assert.equal((await none.info()).num_ack_pending, 0);
  },

  'pulling: one, some, as they come, by bytes, and when there is nothing': async (t, server, client) => {
    const { nc, js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [subject] });
    await fill(js, subject, 20);
    await jsm.consumers.add(name, { durable_name: 'c', ack_policy: AckPolicy.Explicit });
    const consumer = await js.consumers.get(name, 'c');
    assert.equal((await consumer.next({ expires: 2000 })).seq, 1);
    assert.deepEqual(sequences(await fetch(consumer, { max_messages: 4 })), [2, 3, 4, 5]);
    assert.deepEqual(sequences(await take(await consumer.consume({ max_messages: 5 }), 15)), Array.from({ length: 15 }, (_, i) => i + 6));
    assert.equal(await consumer.next({ expires: 1000 }), null);
    const big = new Uint8Array(1000);
    for (let i = 0; i < 4; i += 1) await js.publish(subject, big);
    const some = [];
    try {
      for await (const message of await consumer.fetch({ max_bytes: 2500, expires: 1000 })) some.push(message.seq);
    } catch (error) {  // the newer client says so when the next one does not fit
      assert.match(error.message, /exceeds maxbytes/i);
    }
    assert.ok(some.length >= 1 && some.length <= 2, `${some}`);
    // A message that comes while somebody waits is handed on at once.
    await jsm.consumers.add(name, { durable_name: 'fresh', ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.New });
    const waiting = (await js.consumers.get(name, 'fresh')).next({ expires: 5000 });
    await until('somebody to wait', async () => (await jsm.consumers.info(name, 'fresh')).num_waiting === 1, { every: 5 });
    await js.publish(subject, bytes('now'));
    assert.equal(text(await waiting), 'now');
    await nc.flush();
  },

  'a request that would not wait ends with the last message there is, though its own end is far': {
    by: OLD,
    run: async (t, server, client) => {
      const { nc, js, jsm, name, subject } = await open(t, server, client);
      await jsm.streams.add({ name, subjects: [subject] });
      await jsm.consumers.add(name, { durable_name: 'c', ack_policy: AckPolicy.Explicit });
      const ask = async (request, done) => {
        const answers = [];
        const inbox = `in.${name}.${made += 1}`;
        nc.subscribe(inbox, {
          callback: (error, message) => answers.push(message.headers ? `${message.headers.code} ${message.headers.get('Nats-Pending-Messages')}` : text(message)),
        });
        nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${name}.c`, bytes(JSON.stringify(request)), { reply: inbox });
        await until('the answers', () => answers.length === done, { timeout: 2000, every: 5 });
        return answers;
      };
      await fill(js, subject, 3);
      assert.deepEqual(await ask({ batch: 5, expires: 60e9, no_wait: true }, 4), ['1', '2', '3', '408 2']);
      await fill(js, subject, 2);
      assert.deepEqual(await ask({ batch: 5, no_wait: true }, 3), ['1', '2', '408 3']);
      assert.deepEqual(await ask({ batch: 5, no_wait: true }, 1), ['404 ']);
      // With an end it does wait for the first, and for no second.
      const answers = ask({ batch: 5, expires: 60e9, no_wait: true }, 2);
      await until('it to wait', async () => (await jsm.consumers.info(name, 'c')).num_waiting === 1, { every: 5 });
      await fill(js, subject, 1);
      assert.deepEqual(await answers, ['1', '408 4']);
    },
  },

  'where a consumer starts': async (t, server, client) => {
    const { js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [`${subject}.*`] });
    for (let i = 1; i <= 6; i += 1) await js.publish(`${subject}.${i % 3}`, bytes(i));
    const from = async (config) => {
      const { name: made } = await jsm.consumers.add(name, { ack_policy: AckPolicy.None, ...config });
      return sequences(await fetch(await js.consumers.get(name, made), { max_messages: 1, expires: 1000 }));
    };
    const fourth = await jsm.streams.getMessage(name, { seq: 4 });
    assert.deepEqual(await from({ durable_name: 'all', deliver_policy: 'all' }), [1]);
    assert.deepEqual(await from({ durable_name: 'last', deliver_policy: 'last' }), [6]);
    assert.deepEqual(await from({ durable_name: 'seq', deliver_policy: 'by_start_sequence', opt_start_seq: 3 }), [3]);
    assert.deepEqual(await from({ durable_name: 'time', deliver_policy: 'by_start_time', opt_start_time: fourth.timestamp ?? fourth.time.toISOString() }), [4]);
    assert.deepEqual(await from({ durable_name: 'filtered', filter_subject: `${subject}.0` }), [3]);
    assert.deepEqual(await from({ durable_name: 'each', deliver_policy: 'last_per_subject', filter_subject: `${subject}.*` }), [4]);
  },

  'work queues and interest': async (t, server, client) => {
    const { js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [subject], retention: 'workqueue' });
    await jsm.consumers.add(name, { durable_name: 'w', ack_policy: AckPolicy.Explicit });
    await assert.rejects(jsm.consumers.add(name, { durable_name: 'x', ack_policy: AckPolicy.Explicit }), code(10099));
    await fill(js, subject, 50);
    for (const message of await fetch(await js.consumers.get(name, 'w'), { max_messages: 50 })) message.ack();
    await until('the queue to be empty', async () => (await jsm.streams.info(name)).state.messages === 0, { every: 5 });
    const interest = `${name}I`;
    await jsm.streams.add({ name: interest, subjects: [`${subject}.i`], retention: 'interest' });
    await jsm.consumers.add(interest, { durable_name: 'a', ack_policy: AckPolicy.Explicit });
    await jsm.consumers.add(interest, { durable_name: 'b', ack_policy: AckPolicy.Explicit });
    await js.publish(`${subject}.i`, bytes('x'));
    for (const who of ['a', 'b']) {
      assert.equal((await jsm.streams.info(interest)).state.messages, 1);
      const [message] = await fetch(await js.consumers.get(interest, who), { max_messages: 1 });
      await message.ackAck();
    }
    await until('all to be done', async () => (await jsm.streams.info(interest)).state.messages === 0, { every: 5 });
  },

  'limits drop the oldest, or refuse the newest': async (t, server, client) => {
    const { js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [`${subject}.*`], max_msgs: 5, max_msgs_per_subject: 2 });
    for (let i = 1; i <= 4; i += 1) await js.publish(`${subject}.a`, bytes(i));
    for (let i = 5; i <= 8; i += 1) await js.publish(`${subject}.${i}`, bytes(i));
    const { state } = await jsm.streams.info(name, { subjects_filter: '>' });
    assert.deepEqual([state.first_seq, state.last_seq, state.messages, state.subjects], [4, 8, 5, { [`${subject}.a`]: 1, [`${subject}.5`]: 1, [`${subject}.6`]: 1, [`${subject}.7`]: 1, [`${subject}.8`]: 1 }]);
    const full = `${name}F`;
    await jsm.streams.add({ name: full, subjects: [`${subject}.f.*`], max_msgs: 1, discard: 'new' });
    await js.publish(`${subject}.f.1`, bytes(1));
    await assert.rejects(js.publish(`${subject}.f.2`, bytes(2)), code(10077));
    const short = `${name}A`;
    await jsm.streams.add({ name: short, subjects: [`${subject}.age.*`], max_age: nanos(200), duplicate_window: nanos(200) });
    await js.publish(`${subject}.age.1`, bytes(1));
    await until('age to end it', async () => (await jsm.streams.info(short)).state.messages === 0, { every: 20 });
  },

  'purging and deleting': async (t, server, client) => {
    const { js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [`${subject}.*`] });
    for (let i = 1; i <= 12; i += 1) await js.publish(`${subject}.${i % 3}`, bytes(i));
    assert.equal((await jsm.streams.purge(name, { filter: `${subject}.0`, keep: 1 })).purged, 3);
    assert.equal((await jsm.streams.purge(name, { seq: 5 })).purged, 3);
    assert.equal(await jsm.streams.deleteMessage(name, 7), true);
    await assert.rejects(jsm.streams.getMessage(name, { seq: 7 }).then((found) => { if (found === null) throw Object.assign(new Error('none'), { code: 10037 }); }), code(10037));
    const { state } = await jsm.streams.info(name, { deleted_details: true });
    assert.deepEqual([state.messages, state.first_seq, state.deleted, state.num_deleted], [5, 5, [6, 7, 9], 3]);
    assert.equal((await jsm.streams.purge(name)).purged, 5);
    assert.equal((await jsm.streams.info(name)).state.first_seq, 13);
    assert.equal(await jsm.streams.delete(name), true);
    await assert.rejects(jsm.streams.info(name), (error) => /not found/.test(error.message));
  },

  'ordered consumers': async (t, server, client) => {
    const { js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [`${subject}.*`] });
    const big = new Uint8Array(5000);
    await Promise.all(Array.from({ length: 300 }, (_, i) => js.publish(`${subject}.${i % 2}`, big)));
    const all = await take(await (await js.consumers.get(name)).consume(), 300);
    assert.deepEqual(sequences(all), Array.from({ length: 300 }, (_, i) => i + 1));
    const from = await js.consumers.get(name, client === OLD ? { filterSubjects: `${subject}.1`, opt_start_seq: 201, deliver_policy: DeliverPolicy.StartSequence } : { filter_subjects: `${subject}.1`, opt_start_seq: 201, deliver_policy: DeliverPolicy.StartSequence });
    const some = await take(await from.consume(), 50);
    assert.equal(some.at(-1).seq - some[0].seq, 98);
  },

  'pushing: durable, in a queue, with flow control; the older ordered consumer': {
    by: OLD,
    run: async (t, server, client) => {
      const { nc, js, jsm, name, subject } = await open(t, server, client);
      await jsm.streams.add({ name, subjects: [subject] });
      const big = new Uint8Array(10_000);
      await Promise.all(Array.from({ length: 200 }, () => js.publish(subject, big)));
      const ordered = await take(await js.subscribe(subject, consumerOpts().orderedConsumer()), 200);
      assert.deepEqual(sequences(ordered), Array.from({ length: 200 }, (_, i) => i + 1));
      const flow = consumerOpts();
      flow.deliverTo(`${subject}.flow`);
      flow.durable('flow');
      flow.flowControl();
      flow.idleHeartbeat(500);
      flow.ackExplicit();
      flow.manualAck();
      const seen = await take(await js.subscribe(subject, flow), 200);
      assert.equal(seen.length, 200);
      await jsm.consumers.add(name, { durable_name: 'q', deliver_subject: `${subject}.q`, deliver_group: 'g', ack_policy: AckPolicy.Explicit });
      const shares = [0, 0];
      shares.forEach((_, i) => nc.subscribe(`${subject}.q`, { queue: 'g', callback: (error, message) => { shares[i] += 1; message.respond(); } }));
      await until('all to be pushed', () => shares[0] + shares[1] === 200, { every: 5 });
      assert.ok(shares[0] > 50 && shares[1] > 50, `${shares}`);
      await until('all to be done', async () => (await jsm.consumers.info(name, 'q')).num_ack_pending === 0, { every: 5 });
    },
  },

  'reading one message, also directly': async (t, server, client) => {
    const { js, jsm, name, subject } = await open(t, server, client);
    await jsm.streams.add({ name, subjects: [`${subject}.*`], allow_direct: true });
    for (let i = 1; i <= 4; i += 1) await js.publish(`${subject}.${i % 2}`, bytes(i));
    for (const api of [jsm.streams, jsm.direct]) {
      assert.equal(text(await api.getMessage(name, { seq: 2 })), '2');
      const last = await api.getMessage(name, { last_by_subj: `${subject}.1` });
      assert.deepEqual([last.seq, last.subject, text(last)], [3, `${subject}.1`, '3']);
      assert.equal((await api.getMessage(name, { seq: 2, next_by_subj: `${subject}.1` })).seq, 3);
    }
  },

  'a key-value bucket': {
    by: NEW,
    run: async (t, server, client) => {
      const { nc, name } = await open(t, server, client);
      const kv = await new Kvm(nc).create(name, { history: 3 });
      assert.equal(await kv.get('a'), null);
      const one = await kv.create('a', '1');
      await assert.rejects(kv.create('a', '2'));
      const two = await kv.update('a', '2', one);
      await assert.rejects(kv.update('a', '3', one), (error) => /wrong last sequence/i.test(error.message));
      assert.deepEqual([(await kv.get('a')).string(), (await kv.get('a', { revision: one })).string()], ['2', '1']);
      for (let i = 0; i < 5; i += 1) await kv.put('many', `${i}`);
      const history = [];
      for await (const entry of await kv.history({ key: 'many' })) history.push(entry.string());
      assert.deepEqual(history, ['2', '3', '4']);
      await kv.put('b.c', 'x');
      await kv.put('b.d', 'y');
      const keys = async (filter) => { const out = []; for await (const key of await kv.keys(filter)) out.push(key); return out.sort(); };
      assert.deepEqual(await keys(), ['a', 'b.c', 'b.d', 'many']);
      assert.deepEqual(await keys('b.*'), ['b.c', 'b.d']);
      const watched = [];
      const watch = await kv.watch({ key: 'b.>' });
      const watching = (async () => {
        for await (const entry of watch) {
          watched.push([entry.key, entry.operation, entry.string()]);
          if (watched.length === 4) break;
        }
      })();
      await until('what was there', () => watched.length === 2, { every: 5 });
      await kv.delete('b.c');
      await kv.put('a', 'not watched');
      await kv.purge('b.d');
      await watching;
      assert.deepEqual(watched, [['b.c', 'PUT', 'x'], ['b.d', 'PUT', 'y'], ['b.c', 'DEL', ''], ['b.d', 'PURGE', '']]);
      assert.deepEqual(await keys(), ['a', 'many']);
      assert.ok(await kv.create('b.c', 'again') > two);
      const status = await kv.status();
      assert.deepEqual([status.bucket, status.history, status.values > 0, status.streamInfo.config.allow_direct], [name, 3, true, true]);
      await kv.purgeDeletes(-1);
      assert.equal(await kv.destroy(), true);
    },
  },

  'an object store': {
    by: NEW,
    run: async (t, server, client) => {
      const { nc, name } = await open(t, server, client);
      const store = await new Objm(nc).create(name, { description: 'files' });
      const content = new Uint8Array(700_000).map((_, i) => (i * 7) % 251);
      const info = await store.putBlob({ name: 'one/two.bin', description: 'bytes', metadata: { k: 'v' } }, content);
      assert.deepEqual([info.chunks, info.size], [6, 700_000]);
      assert.deepEqual(await store.getBlob('one/two.bin'), content);
      await store.putBlob({ name: 'one/two.bin' }, content.subarray(0, 10));
      assert.equal((await store.getBlob('one/two.bin')).length, 10);
      await store.putBlob({ name: 'empty' }, new Uint8Array(0));
      await store.link('alias', await store.info('empty'));
      assert.equal((await store.getBlob('alias')).length, 0);
      assert.deepEqual((await store.list()).map((each) => each.name).sort(), ['alias', 'empty', 'one/two.bin']);
      await store.update('empty', { name: 'renamed' });
      assert.equal((await store.info('renamed')).size, 0);
      await store.delete('one/two.bin');
      assert.equal(await store.getBlob('one/two.bin'), null);
      const sealed = await store.seal();
      assert.equal(sealed.sealed, true);
      await assert.rejects(store.putBlob({ name: 'more' }, content.subarray(0, 1)));
      assert.equal(await store.destroy(), true);
    },
  },

  'services are found, told apart and measured': {
    by: NEW,
    run: async (t, server, client) => {
      const { nc, name } = await open(t, server, client);
      const other = await server.connect(t, { client });
      const service = `calc-${name}`;
      const handler = (error, message) => {
        const number = Number(message.string());
        if (Number.isNaN(number)) message.respondError(400, 'not a number');
        else message.respond(String(number * number));
      };
      const instances = [];
      for (const connection of [nc, other]) {
        const instance = await new Svcm(connection).add({ name: service, version: '1.2.3', description: 'calculates', metadata: { zone: 'x' } });
        instance.addGroup(name).addEndpoint('square', { handler, metadata: { schema: 'number' } });
        instances.push(instance);
      }
      await Promise.all([nc.flush(), other.flush()]);
      const asker = await server.connect(t, { client });
      for (let i = 0; i < 40; i += 1) assert.equal((await asker.request(`${name}.square`, String(i))).string(), String(i * i));
      const failed = await asker.request(`${name}.square`, 'x');
      assert.deepEqual([failed.headers.get('Nats-Service-Error-Code'), failed.headers.get('Nats-Service-Error')], ['400', 'not a number']);
      const discovery = new Svcm(asker).client({ strategy: 'stall', maxWait: 2000 });
      const all = async (answers) => { const out = []; for await (const answer of await answers) out.push(answer); return out; };
      const ids = instances.map((instance) => instance.info().id).sort();
      assert.deepEqual((await all(discovery.ping(service))).map((each) => each.id).sort(), ids);
      assert.equal((await all(discovery.ping(service, ids[0])))[0].id, ids[0]);
      const infos = await all(discovery.info(service));
      assert.deepEqual(infos.map((each) => [each.version, each.metadata.zone, each.endpoints[0].subject]), [['1.2.3', 'x', `${name}.square`], ['1.2.3', 'x', `${name}.square`]]);
      const stats = await all(discovery.stats(service));
      assert.equal(stats.reduce((sum, each) => sum + each.endpoints[0].num_requests, 0), 41);
      await instances[0].stop();
      await until('one to be left', async () => (await all(discovery.ping(service))).length === 1, { every: 5 });
    },
  },
};

test('streams, buckets and services, by JavaScript', async (t) => {
  await runParity(t, CASES, { clients: [OLD, NEW] });
});
