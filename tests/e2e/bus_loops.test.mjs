// The bus on three event loops: all that holds on one, and what only shows on several.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AckPolicy, Empty, StringCodec } from 'nats';
import { startBus } from './lib/bus.mjs';
import { until } from './lib/wait.mjs';

process.env.CANDELA_BUS_LOOPS = '3';
const sc = StringCodec();

test('clients on all loops share subjects, queues, requests and streams', { timeout: 60_000 }, async (t) => {
  const bus = await startBus(t);
  assert.match(bus.program.output(), /loops=3/);
  const users = [];
  while (users.length < 9) users.push(await bus.user()); // one by one: their signatures take long

  const seen = users.map(() => []);
  const shared = users.map(() => []);
  users.forEach((user, i) => {
    user.subscribe('all.*', { callback: (error, message) => seen[i].push(sc.decode(message.data)) });
    user.subscribe('one', { queue: 'q', callback: (error, message) => shared[i].push(sc.decode(message.data)) });
    user.subscribe(`ask.${i}`, { callback: (error, message) => message.respond(sc.encode(`${i}:${sc.decode(message.data)}`)) });
  });
  await Promise.all(users.map((user) => user.flush()));
  users.forEach((user, i) => {
    for (let n = 0; n < 100; n += 1) {
      user.publish(`all.${i}`, sc.encode(`${i}.${n}`));
      user.publish('one', sc.encode(`${i}.${n}`));
    }
  });
  await Promise.all(users.map((user) => user.flush()));
  await Promise.all(users.map((user) => user.flush()));
  const expected = users.flatMap((_, i) => Array.from({ length: 100 }, (_, n) => `${i}.${n}`)).sort();
  for (const each of seen) assert.deepEqual([...each].sort(), expected);
  for (const each of seen) {  // in the order of each publisher
    users.forEach((_, i) => assert.deepEqual(each.filter((text) => text.startsWith(`${i}.`)).map((text) => Number(text.slice(2))),
      Array.from({ length: 100 }, (_, n) => n)));
  }
  assert.deepEqual(shared.flat().sort(), expected);
  for (const each of shared) assert.ok(each.length > 40, `a member of the group got only ${each.length} of 900`);
  for (const asker of users) {
    const answers = await Promise.all(users.map((_, i) => asker.request(`ask.${i}`, sc.encode('x'))));
    answers.forEach((answer, i) => assert.equal(sc.decode(answer.data), `${i}:x`));
    await assert.rejects(asker.request('nobody', Empty, { timeout: 5000 }), { code: '503' });
  }

  const jsm = await users[0].jetstreamManager();
  await jsm.streams.add({ name: 'S', subjects: ['s.>'] });
  await jsm.consumers.add('S', { durable_name: 'C', ack_policy: AckPolicy.Explicit });
  await Promise.all(users.map(async (user, i) => {
    for (let n = 0; n < 20; n += 1) await user.jetstream().publish(`s.${i}`, sc.encode(String(n)));
  }));
  let got = 0;
  await Promise.all(users.map(async (user) => {
    const consumer = await user.jetstream().consumers.get('S', 'C');
    const messages = await consumer.fetch({ max_messages: 20, expires: 5000 });
    for await (const message of messages) {
      message.ack();
      got += 1;
    }
  }));
  assert.equal(got, 180);
});

test('a drain tells the clients of every loop, and a restart finds them again', { timeout: 60_000 }, async (t) => {
  const bus = await startBus(t);
  const told = [];
  const users = [];
  while (users.length < 6) users.push(await bus.user());
  users.forEach((user, i) => (async () => {
    for await (const status of user.status()) if (status.type === 'ldm') told.push(i);
  })());
  await bus.stop();
  await until('everybody to be told', () => new Set(told).size === 6);
  await bus.start();
  const again = await bus.user();
  await again.flush();
});

test('each client is told who it is, whichever loop it is on', { timeout: 60_000 }, async (t) => {
  const bus = await startBus(t);
  const users = [];
  while (users.length < 6) users.push(await bus.user());
  const asked = await Promise.all(users.map((user) => user.request('$SYS.REQ.USER.INFO')));
  const keys = asked.map((answer) => JSON.parse(sc.decode(answer.data)).data.user);
  assert.equal(new Set(keys).size, 6);
});

// All that the bus does on one loop, once more.
await import('./bus.test.mjs');
await import('./streams.test.mjs');
