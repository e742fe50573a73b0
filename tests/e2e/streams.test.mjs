// Durable streams, by NATS's own JavaScript clients: npm "nats" 2 and @nats-io 3, unmodified.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect as connect3, credsAuthenticator } from '@nats-io/transport-node';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { Objm } from '@nats-io/obj';
import { AckPolicy, DeliverPolicy, Empty, StringCodec, headers, nanos } from 'nats';
import { startBus } from './lib/bus.mjs';
import { until } from './lib/wait.mjs';

const sc = StringCodec();
const options = { timeout: 60_000 };

async function connectNew(t, bus) {
  const { creds } = await bus.mint();
  const connection = await connect3({
    servers: bus.address, authenticator: credsAuthenticator(Buffer.from(creds)), reconnect: false,
  });
  t.after(() => connection.close());
  return connection;
}

async function take(messages, count) {
  const out = [];
  for await (const message of messages) {
    out.push(message);
    if (out.length === count) break;
  }
  return out;
}

test('streams are made, listed, changed, purged and deleted', options, async (t) => {
  const bus = await startBus(t);
  const nc = await bus.user();
  const jsm = await nc.jetstreamManager();
  const made = await jsm.streams.add({ name: 'ORDERS', subjects: ['orders.>'] });
  assert.equal(made.config.storage, 'file');
  assert.equal(made.config.duplicate_window, nanos(120_000));
  assert.equal(made.config.max_msgs, -1);
  await jsm.streams.add({ name: 'ORDERS', subjects: ['orders.>'] });
  await assert.rejects(jsm.streams.add({ name: 'ORDERS', subjects: ['other'] }), (e) => e.api_error.err_code === 10058);
  await assert.rejects(jsm.streams.add({ name: 'O2', subjects: ['orders.eu'] }), (e) => e.api_error.err_code === 10065);
  await assert.rejects(jsm.streams.info('NONE'), (e) => e.api_error.err_code === 10059);
  await jsm.streams.add({ name: 'MEM', subjects: ['mem'], storage: 'memory' });
  assert.deepEqual((await jsm.streams.names().next()).sort(), ['MEM', 'ORDERS']);
  assert.equal((await jsm.streams.list().next()).length, 2);
  assert.equal(await jsm.streams.find('orders.eu'), 'ORDERS');
  const js = nc.jetstream();
  for (let i = 1; i <= 10; i += 1) assert.equal((await js.publish(`orders.${i % 2}`, sc.encode(`${i}`))).seq, i);
  const info = await jsm.streams.info('ORDERS', { subjects_filter: '>' });
  assert.equal(info.state.messages, 10);
  assert.deepEqual(info.state.subjects, { 'orders.0': 5, 'orders.1': 5 });
  const stored = await jsm.streams.getMessage('ORDERS', { seq: 3 });
  assert.equal(stored.subject, 'orders.1');
  assert.equal(sc.decode(stored.data), '3');
  assert.equal((await jsm.streams.getMessage('ORDERS', { last_by_subj: 'orders.0' })).seq, 10);
  assert.equal(await jsm.streams.deleteMessage('ORDERS', 3), true);
  await assert.rejects(jsm.streams.getMessage('ORDERS', { seq: 3 }), (e) => e.api_error.err_code === 10037);
  assert.equal((await jsm.streams.purge('ORDERS', { filter: 'orders.0', keep: 1 })).purged, 4);
  await jsm.streams.update('ORDERS', { max_msgs: 2 });
  assert.equal((await jsm.streams.info('ORDERS')).state.messages, 2);
  assert.equal((await jsm.streams.purge('ORDERS')).purged, 2);
  assert.equal((await jsm.streams.info('ORDERS')).state.first_seq, 11);
  assert.equal(await jsm.streams.delete('ORDERS'), true);
  const account = await jsm.getAccountInfo();
  assert.equal(account.streams, 1);
});

test('publishing: duplicates, expectations, limits', options, async (t) => {
  const bus = await startBus(t);
  const nc = await bus.user();
  const jsm = await nc.jetstreamManager();
  const js = nc.jetstream();
  await jsm.streams.add({ name: 'S', subjects: ['s.*'], max_msgs: 3, discard: 'new', max_msg_size: 300 });
  const code = (number) => (error) => error.api_error.err_code === number;
  const [first, again] = await Promise.all([js.publish('s.a', Empty, { msgID: 'one' }), js.publish('s.a', Empty, { msgID: 'one' })]);
  assert.deepEqual([first.duplicate, again.duplicate, again.seq], [false, true, 1]);
  await assert.rejects(js.publish('s.a', Empty, { expect: { streamName: 'T' } }), code(10060));
  await assert.rejects(js.publish('s.a', Empty, { expect: { lastSequence: 7 } }), code(10071));
  await assert.rejects(js.publish('s.a', Empty, { expect: { lastMsgID: 'two' } }), code(10070));
  await assert.rejects(js.publish('s.b', Empty, { expect: { lastSubjectSequence: 1 } }), code(10071));
  await js.publish('s.b', Empty, { expect: { lastSubjectSequence: 0, lastSequence: 1, lastMsgID: 'one' } });
  await assert.rejects(js.publish('s.a', new Uint8Array(301)), code(10054));
  await js.publish('s.c');
  await assert.rejects(js.publish('s.d'), code(10077));
  await assert.rejects(js.publish('nowhere', Empty, { timeout: 2000 }), { code: '503' });
});

test('a pull consumer: fetch, acks, redelivery, delay, terminate', options, async (t) => {
  const bus = await startBus(t);
  const nc = await bus.user();
  const jsm = await nc.jetstreamManager();
  const js = nc.jetstream();
  await jsm.streams.add({ name: 'JOBS', subjects: ['jobs'] });
  for (let i = 1; i <= 5; i += 1) await js.publish('jobs', sc.encode(`${i}`));
  await jsm.consumers.add('JOBS', { durable_name: 'w', ack_policy: AckPolicy.Explicit, ack_wait: nanos(500), max_deliver: 3 });
  const consumer = await js.consumers.get('JOBS', 'w');
  const seen = await take(await consumer.fetch({ max_messages: 5, expires: 2000 }), 5);
  assert.deepEqual(seen.map((m) => sc.decode(m.data)), ['1', '2', '3', '4', '5']);
  assert.deepEqual(seen.map((m) => m.info.pending), [4, 3, 2, 1, 0]);
  assert.equal(await seen[0].ackAck(), true);
  seen[1].nak();
  const [back] = await take(await consumer.fetch({ max_messages: 1, expires: 2000 }), 1);
  assert.deepEqual([back.seq, back.info.redeliveryCount, back.redelivered], [2, 2, true]);
  back.ack();
  const terminated = nc.subscribe('$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.JOBS.w', { max: 1 });
  await nc.flush();
  seen[2].term();
  for await (const m of terminated) assert.equal(JSON.parse(sc.decode(m.data)).stream_seq, 3);
  seen[4].ack();
  const given = nc.subscribe('$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.JOBS.w', { max: 1 });
  // Number four is not acknowledged: it comes again twice, and then no more.
  const more = await take(await consumer.fetch({ max_messages: 2, expires: 4000 }), 2);
  assert.deepEqual(more.map((m) => [m.seq, m.info.redeliveryCount]), [[4, 2], [4, 3]]);
  for await (const m of given) {
    const advisory = JSON.parse(sc.decode(m.data));
    assert.equal(advisory.type, 'io.nats.jetstream.advisory.v1.max_deliver');
    assert.deepEqual([advisory.stream_seq, advisory.deliveries], [4, 3]);
  }
  const info = await consumer.info();
  assert.deepEqual([info.num_ack_pending, info.num_pending, info.ack_floor.stream_seq], [0, 0, 5]);
  assert.equal(await consumer.next({ expires: 1000 }), null);
  const noMore = await consumer.fetch({ max_messages: 1, expires: 1000 });
  assert.equal((await take(noMore, 1)).length, 0);
  assert.equal(await consumer.delete(), true);
});

test('consume, work queue and interest', options, async (t) => {
  const bus = await startBus(t);
  const nc = await bus.user();
  const jsm = await nc.jetstreamManager();
  const js = nc.jetstream();
  await jsm.streams.add({ name: 'WQ', subjects: ['wq'], retention: 'workqueue' });
  await jsm.consumers.add('WQ', { durable_name: 'w', ack_policy: AckPolicy.Explicit });
  const messages = await (await js.consumers.get('WQ', 'w')).consume({ max_messages: 50 });
  const got = [];
  const done = (async () => {
    for await (const message of messages) {
      got.push(message.seq);
      message.ack();
      if (got.length === 300) break;
    }
  })();
  await Promise.all(Array.from({ length: 300 }, () => js.publish('wq', sc.encode('job'))));
  await done;
  assert.deepEqual(got, Array.from({ length: 300 }, (_, i) => i + 1));
  await until('the queue to be empty', async () => (await jsm.streams.info('WQ')).state.messages === 0);
  await jsm.streams.add({ name: 'I', subjects: ['i'], retention: 'interest' });
  await js.publish('i');
  await until('nobody to be interested', async () => (await jsm.streams.info('I')).state.messages === 0);
  await jsm.consumers.add('I', { durable_name: 'a', ack_policy: AckPolicy.Explicit });
  await jsm.consumers.add('I', { durable_name: 'b', ack_policy: AckPolicy.Explicit });
  await js.publish('i');
  for (const name of ['a', 'b']) {
    assert.equal((await jsm.streams.info('I')).state.messages, 1);
    const [message] = await take(await (await js.consumers.get('I', name)).fetch({ max_messages: 1, expires: 2000 }), 1);
    await message.ackAck();
  }
  await until('all to be done', async () => (await jsm.streams.info('I')).state.messages === 0);
});

test('push and ordered consumers', options, async (t) => {
  const bus = await startBus(t);
  const nc = await bus.user();
  const js = nc.jetstream();
  const jsm = await nc.jetstreamManager();
  await jsm.streams.add({ name: 'P', subjects: ['p.>'] });
  const big = new Uint8Array(20_000);
  for (let i = 0; i < 400; i += 1) js.publish(`p.${i % 4}`, big).catch(() => {});
  await until('all to be there', async () => (await jsm.streams.info('P')).state.messages === 400);
  // 8 MB: flow control takes part.
  const ordered = await js.consumers.get('P');
  const all = await take(await ordered.consume(), 400);
  assert.deepEqual(all.map((m) => m.seq), Array.from({ length: 400 }, (_, i) => i + 1));
  const { consumerOpts } = await import('nats');
  const legacy = await js.subscribe('p.>', consumerOpts().orderedConsumer());
  const pushed = await take(legacy, 400);
  assert.deepEqual(pushed.map((m) => m.seq), Array.from({ length: 400 }, (_, i) => i + 1));
  const opts = consumerOpts();
  opts.deliverTo('inbox.push');
  opts.durable('d');
  opts.manualAck();
  opts.ackExplicit();
  opts.filterSubject('p.1');
  opts.deliverLastPerSubject();
  const push = await js.subscribe('p.1', opts);
  const [last] = await take(push, 1);
  assert.equal(last.seq, 398);
  last.ack();
});

test('a key-value bucket', options, async (t) => {
  const bus = await startBus(t);
  const nc = await bus.user();
  const kv = await nc.jetstream().views.kv('settings', { history: 5 });
  assert.equal(await kv.get('a'), null);
  const one = await kv.create('a', sc.encode('1'));
  await assert.rejects(kv.create('a', sc.encode('2')));
  const two = await kv.update('a', sc.encode('2'), one);
  await assert.rejects(kv.update('a', sc.encode('3'), one), (e) => e.api_error.err_code === 10071);
  assert.equal((await kv.get('a')).string(), '2');
  assert.equal((await kv.get('a', { revision: one })).string(), '1');
  await kv.put('b.c', sc.encode('x'));
  const history = [];
  for await (const entry of await kv.history({ key: 'a' })) history.push(entry.string());
  assert.deepEqual(history, ['1', '2']);
  const keys = [];
  for await (const key of await kv.keys()) keys.push(key);
  assert.deepEqual(keys.sort(), ['a', 'b.c']);
  const watched = [];
  const watch = await kv.watch();
  const watching = (async () => {
    for await (const entry of watch) {
      watched.push([entry.key, entry.operation, entry.string()]);
      if (watched.length === 4) break;
    }
  })();
  await until('what was there', () => watched.length === 2);
  await kv.delete('a', { previousSeq: two });
  await kv.purge('b.c');
  await watching;
  assert.deepEqual(watched, [['a', 'PUT', '2'], ['b.c', 'PUT', 'x'], ['a', 'DEL', ''], ['b.c', 'PURGE', '']]);
  assert.equal((await kv.get('a')).operation, 'DEL');
  await kv.create('a', sc.encode('again'));
  const status = await kv.status();
  assert.equal(status.history, 5);
  assert.equal(await kv.destroy(), true);
});

test('the newer clients: streams, key-value and objects', options, async (t) => {
  const bus = await startBus(t);
  const nc = await connectNew(t, bus);
  const js = jetstream(nc);
  const jsm = await jetstreamManager(nc);
  await jsm.streams.add({ name: 'N', subjects: ['n.>'] });
  for (let i = 0; i < 20; i += 1) await js.publish(`n.${i % 2}`, `${i}`);
  await jsm.consumers.add('N', { durable_name: 'c', ack_policy: 'explicit', filter_subject: 'n.1' });
  const seen = await take(await (await js.consumers.get('N', 'c')).consume(), 10);
  assert.deepEqual(seen.map((m) => m.string()), ['1', '3', '5', '7', '9', '11', '13', '15', '17', '19']);
  const ordered = await take(await (await js.consumers.get('N', { deliver_policy: DeliverPolicy.Last })).consume(), 1);
  assert.equal(ordered[0].seq, 20);
  const kv = await new Kvm(nc).create('b', { history: 3 });
  await kv.put('k', 'v');
  assert.equal((await kv.get('k')).string(), 'v');
  const watch = await kv.watch({ key: 'k' });
  for await (const entry of watch) {
    assert.equal(entry.string(), 'v');
    break;
  }
  const store = await new Objm(nc).create('files');
  const content = new Uint8Array(1_000_000).map((_, i) => (i * 7) % 251);
  const info = await store.putBlob({ name: 'one/two.bin', description: 'bytes' }, content);
  assert.equal(info.chunks, 8);
  assert.deepEqual(await store.getBlob('one/two.bin'), content);
  assert.equal((await store.list()).length, 1);
  await store.delete('one/two.bin');
  assert.equal(await store.getBlob('one/two.bin'), null);
});

test('an object store of the older client', options, async (t) => {
  const bus = await startBus(t);
  const nc = await bus.user();
  const store = await nc.jetstream().views.os('files');
  const content = new Uint8Array(300_000).fill(7);
  await store.putBlob({ name: 'a' }, content);
  assert.deepEqual(await store.getBlob('a'), content);
  assert.equal((await store.info('a')).size, 300_000);
});

test('what was acknowledged is there after kill -9', options, async (t) => {
  const bus = await startBus(t);
  let nc = await bus.user();
  let jsm = await nc.jetstreamManager();
  await jsm.streams.add({ name: 'K', subjects: ['k'] });
  await jsm.consumers.add('K', { durable_name: 'd', ack_policy: AckPolicy.Explicit, ack_wait: nanos(1000) });
  const acknowledged = new Map();
  let number = 0;
  for (let round = 0; round < 3; round += 1) {
    const js = nc.jetstream({ timeout: 3000 });
    let killed = false;
    const publishing = Array.from({ length: 50 }, async () => {
      while (!killed) {
        const text = `message ${number += 1}`;
        try {
          const ack = await js.publish('k', sc.encode(text), { msgID: text });
          acknowledged.set(ack.seq, text);
        } catch {
          return;
        }
      }
    });
    await until('some hundred acks', () => acknowledged.size > 500 * (round + 1));
    await bus.kill();
    killed = true;
    nc.close();
    await Promise.all(publishing);
    await bus.start();
    nc = await bus.user();
    jsm = await nc.jetstreamManager();
  }
  const { state } = await jsm.streams.info('K');
  assert.ok(state.messages >= acknowledged.size);
  const consumer = await nc.jetstream().consumers.get('K');
  const seen = new Map((await take(await consumer.consume(), state.messages)).map((m) => [m.seq, sc.decode(m.data)]));
  for (const [sequence, text] of acknowledged) assert.equal(seen.get(sequence), text);
  // Duplicates are still known.
  const [sequence, text] = [...acknowledged].at(-1);
  const again = await nc.jetstream().publish('k', sc.encode(text), { msgID: text });
  assert.deepEqual([again.duplicate, again.seq], [true, sequence]);
  // What was acknowledged twice over does not come back.
  const pull = await nc.jetstream().consumers.get('K', 'd');
  const some = await take(await pull.fetch({ max_messages: 20, expires: 2000 }), 20);
  for (const message of some.slice(0, 10)) assert.equal(await message.ackAck(), true);
  await bus.kill();
  nc.close();
  await bus.start();
  nc = await bus.user();
  const after = await nc.jetstream().consumers.get('K', 'd');
  const redelivered = await take(await after.fetch({ max_messages: 20, expires: 3000 }), 20);
  const done = new Set(some.slice(0, 10).map((m) => m.seq));
  assert.equal(redelivered.filter((m) => done.has(m.seq)).length, 0);
  assert.equal(redelivered.length, 20);
  // An orderly end, with all of that open.
  assert.deepEqual(await bus.stop(), { code: 0, signal: null });
});
