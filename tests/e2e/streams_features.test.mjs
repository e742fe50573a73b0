// What newer clients ask of streams: buckets whose keys expire, mirrors and sources, schedules, pauses and priorities,
// by NATS's own JavaScript clients, unmodified.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { Objm } from '@nats-io/obj';
import { connect as connect3, credsAuthenticator, headers, nanos } from '@nats-io/transport-node';
import { startBus } from './lib/bus.mjs';
import { sleep, until } from './lib/wait.mjs';

const options = { timeout: 60_000 };

async function open(t, bus) {
  const { creds } = await bus.mint();
  const connection = await connect3({ servers: bus.address, authenticator: credsAuthenticator(Buffer.from(creds)), reconnect: false });
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

function headersOf(pairs) {
  const out = headers();
  for (const [key, value] of Object.entries(pairs)) out.set(key, value);
  return out;
}

test('keys of a bucket expire one by one, and those who watch are told', options, async (t) => {
  const bus = await startBus(t);
  const nc = await open(t, bus);
  const kv = await new Kvm(nc).create('b', { markerTTL: 2000, history: 3 });
  assert.equal((await kv.status()).markerTTL, 2000);
  const watched = [];
  const watch = await kv.watch();
  (async () => { for await (const entry of watch) watched.push([entry.key, entry.operation]); })();
  await kv.create('short', 'x', '1s');
  await kv.put('long', 'y');
  assert.equal((await kv.get('short')).string(), 'x');
  await until('the key to expire', async () => (await kv.get('short'))?.operation !== 'PUT');
  await until('the marker', () => watched.some(([key, operation]) => key === 'short' && operation !== 'PUT'));
  await until('the marker to expire', async () => await kv.get('short') === null);
  await kv.purge('long', { ttl: '1s' });
  await until('the purge to expire', async () => await kv.get('long') === null);
  await kv.create('short', 'again');
});

test('buckets are mirrored, gathered and republished', options, async (t) => {
  const bus = await startBus(t);
  let nc = await open(t, bus);
  const kvm = new Kvm(nc);
  const one = await kvm.create('one', { republish: { src: '>', dest: 'seen.>' } });
  const seen = nc.subscribe('seen.>', { max: 1 });
  await nc.flush();
  await one.put('a', '1');
  for await (const message of seen) {
    assert.equal(message.subject, 'seen.$KV.one.a');
    assert.equal(message.headers.get('Nats-Sequence'), '1');
  }
  const two = await kvm.create('two');
  await two.put('b', '2');
  await kvm.create('copy', { mirror: { name: 'one' } });
  const mirrored = (manager, key) => manager.streams.getMessage('KV_copy', { last_by_subj: `$KV.one.${key}` }).catch(() => null);
  const manager = await jetstreamManager(nc);
  await until('the mirror', async () => (await mirrored(manager, 'a'))?.string() === '1');
  await kvm.create('all', { sources: [{ name: 'one' }, { name: 'two' }] });
  const all = await kvm.open('all');
  await until('both', async () => (await all.get('a'))?.string() === '1' && (await all.get('b'))?.string() === '2');
  await kvm.create('small', { compression: true });
  await bus.kill();
  await bus.start();
  nc = await open(t, bus);
  const again = new Kvm(nc);
  await (await again.open('two')).put('b', '3');
  const gathered = await again.open('all');
  await until('what is new', async () => (await gathered.get('b'))?.string() === '3');
  const jsm = await jetstreamManager(nc);
  assert.equal((await jsm.streams.info('KV_all')).state.messages, 2);
  assert.equal((await jsm.streams.info('KV_small')).config.compression, 's2');
});

test('sources copy each message once through kill -9', options, async (t) => {
  const bus = await startBus(t);
  let nc = await open(t, bus);
  let jsm = await jetstreamManager(nc);
  await jsm.streams.add({ name: 'S', subjects: ['s'] });
  await jsm.streams.add({ name: 'Q', sources: [{ name: 'S' }], retention: 'workqueue' });
  await jsm.streams.add({ name: 'M', mirror: { name: 'S' } });
  await jsm.consumers.add('Q', { durable_name: 'w', ack_policy: 'explicit', ack_wait: nanos(500) });
  const published = new Set();
  // Where in the queue each message was: one that comes again is at the same place.
  const taken = new Map();
  const note = (message) => taken.set(message.string(), (taken.get(message.string()) ?? new Set()).add(message.seq));
  let number = 0;
  for (let round = 0; round < 3; round += 1) {
    const js = jetstream(nc, { timeout: 3000 });
    let killed = false;
    const publishing = Array.from({ length: 20 }, async () => {
      while (!killed) {
        if (published.size > taken.size + 100) {
          await sleep(2);  // not more than the other side takes
          continue;
        }
        const text = `${number += 1}`;
        try {
          await js.publish('s', text);
          published.add(text);
        } catch {
          return;
        }
      }
    });
    const messages = await (await js.consumers.get('Q', 'w')).consume({ max_messages: 50 });
    const taking = (async () => {
      for await (const message of messages) {
        if (killed) break;
        note(message);
        await message.ackAck({ timeout: 2000 }).catch(() => false);
      }
    })().catch(() => {});
    await until('some work', () => taken.size > 100 * (round + 1));
    await bus.kill();
    killed = true;
    await nc.close();
    await Promise.all([...publishing, taking]);
    await bus.start();
    nc = await open(t, bus);
    jsm = await jetstreamManager(nc);
  }
  const rest = await (await jetstream(nc).consumers.get('Q', 'w')).consume();
  const done = (async () => {
    for await (const message of rest) {
      note(message);
      await message.ackAck().catch(() => false);
    }
  })();
  await until('the queue to be empty', async () => {
    const { state, sources } = await jsm.streams.info('Q');
    return state.messages === 0 && sources[0].lag === 0;
  });
  rest.stop();
  await done;
  for (const text of published) assert.equal(taken.get(text)?.size, 1, text);
  for (const [text, places] of taken) assert.equal(places.size, 1, text);
  const source = await jsm.streams.info('S');
  await until('the mirror', async () => (await jsm.streams.info('M')).state.messages === source.state.messages);
  assert.equal((await jsm.streams.info('M')).state.last_seq, source.state.last_seq);
});

test('messages come later, or again and again', options, async (t) => {
  const bus = await startBus(t);
  const nc = await open(t, bus);
  const jsm = await jetstreamManager(nc);
  await jsm.streams.add({ name: 'S', subjects: ['jobs.>', 'plan.>'], allow_msg_schedules: true, allow_msg_ttl: true });
  const js = jetstream(nc);
  const at = new Date(Date.now() + 1500).toISOString();
  await js.publish('plan.once', 'later', { headers: headersOf({ 'Nats-Schedule': `@at ${at}`, 'Nats-Schedule-Target': 'jobs.once', 'Nats-Schedule-TTL': '1h' }) });
  await js.publish('plan.often', 'tick', { headers: headersOf({ 'Nats-Schedule': '@every 1s', 'Nats-Schedule-Target': 'jobs.often' }) });
  await jsm.consumers.add('S', { durable_name: 'c', ack_policy: 'explicit', filter_subject: 'jobs.>' });
  await bus.kill();
  await bus.start();
  const again = await open(t, bus);
  const consumer = await jetstream(again).consumers.get('S', 'c');
  const seen = await take(await consumer.consume(), 4);
  const once = seen.find((message) => message.subject === 'jobs.once');
  assert.equal(once.string(), 'later');
  assert.ok(once.time.getTime() >= new Date(at).getTime());
  assert.equal(once.headers.get('Nats-Scheduler'), 'plan.once');
  assert.equal(seen.filter((message) => message.subject === 'jobs.often').length, 3);
  const left = await (await jetstreamManager(again)).streams.info('S', { subjects_filter: 'plan.>' });
  assert.deepEqual(left.state.subjects, { 'plan.often': 1 });
});

test('consumers are paused, share work by priority, and filter several subjects', options, async (t) => {
  const bus = await startBus(t);
  const nc = await open(t, bus);
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: 'S', subjects: ['s.*'], allow_direct: true, consumer_limits: { max_ack_pending: 100 } });
  for (let i = 0; i < 6; i += 1) await js.publish(`s.${'abc'[i % 3]}`, `${i}`);
  const made = await jsm.consumers.add('S', { durable_name: 'f', ack_policy: 'explicit', filter_subjects: ['s.a', 's.c'], metadata: { owner: 'me' } });
  assert.equal(made.config.max_ack_pending, 100);
  const got = await take(await (await js.consumers.get('S', 'f')).fetch({ max_messages: 4, expires: 2000 }), 4);
  assert.deepEqual(got.map((message) => message.string()), ['0', '2', '3', '5']);
  const paused = await jsm.consumers.pause('S', 'f', new Date(Date.now() + 60_000));
  assert.equal(paused.paused, true);
  assert.equal((await jsm.consumers.info('S', 'f')).paused, true);
  await js.publish('s.a', 'after');
  const consumer = await js.consumers.get('S', 'f');
  assert.equal(await consumer.next({ expires: 1000 }), null);
  await jsm.consumers.resume('S', 'f');
  assert.equal((await consumer.next({ expires: 2000 })).string(), 'after');
  const batch = [];
  for await (const message of await jsm.direct.getBatch('S', { seq: 1, batch: 3 })) batch.push(message.string());
  assert.deepEqual(batch, ['0', '1', '2']);
  const last = [];
  for await (const message of await jsm.direct.getLastMessagesFor('S', { multi_last: ['s.*'] })) last.push(message.string());
  assert.deepEqual(last, ['4', '5', 'after']);
  await jsm.consumers.add('S', { durable_name: 'p', ack_policy: 'explicit', priority_groups: ['g'], priority_policy: 'overflow' });
  const group = await js.consumers.get('S', 'p');
  assert.equal(await group.next({ expires: 1000, group: 'g', min_pending: 100 }), null);
  assert.equal((await group.next({ expires: 2000, group: 'g', min_pending: 2 })).string(), '0');
  await jsm.streams.add({ name: 'T', subjects: ['t.*'], subject_transform: { src: 't.*', dest: 'kept.{{partition(3,1)}}.{{wildcard(1)}}' }, first_seq: 50 });
  assert.equal((await js.publish('t.x')).seq, 50);
  assert.match((await jsm.streams.getMessage('T', { seq: 50 })).subject, /^kept\.[012]\.x$/);
});

test('an object store, whole', options, async (t) => {
  const bus = await startBus(t);
  const nc = await open(t, bus);
  const store = await new Objm(nc).create('files', { description: 'all', compression: true });
  const other = await new Objm(nc).create('other');
  const watched = [];
  const watch = await store.watch();
  (async () => { for await (const info of watch) if (info) watched.push([info.name, info.deleted]); })();
  const content = new Uint8Array(400_000).map((_, i) => (i * 31) % 253);
  await store.putBlob({ name: 'a', metadata: { k: 'v' } }, content);
  assert.deepEqual(await store.getBlob('a'), content);
  await store.update('a', { name: 'renamed', description: 'new' });
  assert.equal((await store.info('renamed')).description, 'new');
  await store.link('alias', await store.info('renamed'));
  assert.deepEqual(await store.getBlob('alias'), content);
  await other.putBlob({ name: 'x' }, new Uint8Array([1]));
  await store.linkStore('others', other);
  assert.equal((await store.list()).length, 3);
  await store.putBlob({ name: 'renamed' }, new Uint8Array([1, 2, 3]));
  assert.equal((await store.info('renamed')).size, 3);
  await store.delete('renamed');
  await until('the watcher', () => watched.some(([name, deleted]) => name === 'renamed' && deleted));
  const status = await store.seal();
  assert.equal(status.sealed, true);
  await assert.rejects(store.putBlob({ name: 'late' }, content));
  assert.equal(await other.destroy(), true);
});
