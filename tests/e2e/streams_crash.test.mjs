// Durable streams in a real process that is killed, and on a real disk that is full: what unit-role-bus-streams does with
// simulated ones, by an official client. CANDELA_CRASH_RUNS sets how often the process is killed, CANDELA_CRASH_SEED which
// choices are made; a failure names the seed.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { AckPolicy, StringCodec, nanos } from 'nats';
import { Bus, startBus } from './lib/bus.mjs';
import { makeTempDir, removeDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const sc = StringCodec();
const RUNS = Number(process.env.CANDELA_CRASH_RUNS ?? 20);
const SEED = Number(process.env.CANDELA_CRASH_SEED ?? 1);

function randomOf(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

class Checker {
  kept = new Map(); // acknowledged: sequence -> payload
  sent = new Set();
  settled = new Set(); // sequences whose ack was answered
  numbers = [0, 0, 0];
  last = [0, 0, 0]; // of each publisher, as far as the stream was read
  readTo = 0;

  async publishAll(js) {
    await Promise.all(this.numbers.map(async (_, publisher) => {
      for (;;) {
        this.numbers[publisher] += 1;
        const payload = `${publisher} ${this.numbers[publisher]}`;
        this.sent.add(payload);
        const { seq } = await js.publish(`p.${publisher}`, sc.encode(payload));
        assert.ok(!this.kept.has(seq), `sequence ${seq} was given twice`);
        this.kept.set(seq, payload);
      }
    }));
  }

  async consumeAll(js, random) {
    const messages = await (await js.consumers.get('S', 'C')).consume({ max_messages: 50 });
    for await (const message of messages) {
      const payload = sc.decode(message.data);
      assert.ok(this.sent.has(payload), `nobody published "${payload}"`);
      assert.ok(!this.settled.has(message.seq), `${message.seq} came again after its ack was answered`);
      const dice = random(3);
      if (dice === 0) message.ackAck().then((done) => { if (done) this.settled.add(message.seq); }, () => {});
      if (dice === 1) message.ack();
    }
  }

  // Reads on from where the last check ended.
  async check(jsm) {
    const { state } = await jsm.streams.info('S');
    const found = new Map();
    for (let seq = this.readTo + 1; seq <= state.last_seq; seq += 1) {
      const payload = sc.decode((await jsm.streams.getMessage('S', { seq })).data);
      found.set(seq, payload);
      assert.ok(this.sent.has(payload), `nobody published "${payload}"`);
      const [publisher, number] = payload.split(' ').map(Number);
      assert.ok(number > this.last[publisher], `${payload} is out of order`);
      this.last[publisher] = number;
    }
    for (const [seq, payload] of this.kept) if (seq > this.readTo) assert.equal(found.get(seq), payload, `at ${seq}`);
    this.readTo = state.last_seq;
    assert.equal(state.messages, state.last_seq, 'none was removed');
    assert.equal(state.lost, undefined);
  }
}

test(`a bus that is killed ${RUNS} times keeps what it acknowledged`, { timeout: 60_000 + RUNS * 3000 }, async (t) => {
  t.diagnostic(`replay with CANDELA_CRASH_SEED=${SEED}`);
  const random = randomOf(SEED);
  const checker = new Checker();
  const bus = await startBus(t);
  for (let run = 0; run <= RUNS; run += 1) {
    if (run !== 0) await bus.start();
    const nc = await bus.user();
    const jsm = await nc.jetstreamManager();
    if (run === 0) {
      await jsm.streams.add({ name: 'S', subjects: ['p.>'] });
      await jsm.consumers.add('S', { durable_name: 'C', ack_policy: AckPolicy.Explicit, ack_wait: nanos(300), max_ack_pending: 1000 });
    }
    await checker.check(jsm);
    if (run === RUNS) break;
    const js = nc.jetstream();
    const failures = [];
    // What ends with the connection is no failure; an assertion is.
    const running = [checker.publishAll(js), checker.consumeAll(js, random)]
      .map((work) => work.catch((error) => { if (error.code === 'ERR_ASSERTION') failures.push(error); }));
    const enough = checker.kept.size + 20 + random(200);
    await until('some acknowledgements', () => checker.kept.size >= enough || failures.length !== 0, { every: 1 });
    await bus.kill();
    // A client's iterator does not end with its connection.
    const closed = nc.closed();
    await Promise.all(running.map((work) => Promise.race([work, closed])));
    if (failures.length !== 0) throw failures[0];
  }
  assert.ok(checker.settled.size > 0 && checker.kept.size > RUNS * 20);
});

test('a full disk refuses publishers, keeps what it has, and is used again when there is room', { timeout: 60_000 }, async (t) => {
  const dir = makeTempDir('candela-full');
  const bus = new Bus(t, dir);
  const streams = path.join(dir, 'bus', 'streams');
  let isMounted = false;
  t.after(async () => {
    await bus.program?.kill();
    if (isMounted) execFileSync('umount', [streams]);
    removeDir(dir);
  });
  await bus.init();
  fs.mkdirSync(streams, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'none', streams], { stdio: 'ignore' });
    isMounted = true;
  } catch {
    t.skip('mounting a small file system is not permitted here');
    return;
  }
  const filler = path.join(streams, 'filler');
  fs.writeFileSync(filler, Buffer.alloc(4 * 1024 * 1024));
  await bus.start();
  const nc = await bus.user();
  const js = nc.jetstream();
  await (await nc.jetstreamManager()).streams.add({ name: 'S', subjects: ['s'] });
  const publish = (index) => js.publish('s', Buffer.alloc(100 * 1024, index % 256));
  let count = 0;
  const refused = await (async () => {
    for (;;) {
      try {
        await publish(count + 1);
        count += 1;
        assert.ok(count < 1000, 'the disk never becomes full');
      } catch (error) {
        return error;
      }
    }
  })();
  assert.equal(refused.api_error?.err_code, 10023, refused.message);
  assert.ok(count > 10);
  const check = async (connection) => {
    const jsm = await connection.jetstreamManager();
    assert.equal((await jsm.streams.info('S')).state.messages, count);
    for (let seq = 1; seq <= count; seq += 1) {
      const { data } = await jsm.streams.getMessage('S', { seq });
      assert.ok(data.length === 100 * 1024 && data[0] === seq % 256 && data[data.length - 1] === seq % 256, `message ${seq}`);
    }
  };
  await check(nc);

  // A start on a disk that is still full.
  await bus.kill();
  await bus.start();
  const again = await bus.user();
  await check(again);
  fs.rmSync(filler);
  await until('room to be used', async () => {
    try {
      await again.jetstream().publish('s', Buffer.alloc(100 * 1024, (count + 1) % 256));
      count += 1;
      return true;
    } catch {
      return false;
    }
  });
  await bus.kill();
  await bus.start();
  await check(await bus.user());
});
