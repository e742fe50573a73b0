// A disk that has eaten some of a stream: the node starts, tells of it, and serves what is left.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { StringCodec } from 'nats';
import { startBus } from './lib/bus.mjs';
import { freePort } from './lib/ports.mjs';
import { until } from './lib/wait.mjs';

const sc = StringCodec();
const COUNT = 100;

test('a segment that can not be read costs what it held, and no more', { timeout: 180_000 }, async (t) => {
  const monitor = await freePort();
  const bus = await startBus(t, `monitor = "127.0.0.1:${monitor}"\n`);
  const before = await bus.user();
  const manager = await before.jetstreamManager();
  await manager.streams.add({ name: 'BIG', subjects: ['big.*'] });
  await manager.streams.add({ name: 'SMALL', subjects: ['small'] });
  const js = before.jetstream();
  const payload = (seq) => new Uint8Array(800_000).fill(seq % 256);
  await js.publish('small', sc.encode('kept'));
  const folder = path.join(bus.dir, 'bus/streams/streams');
  const segments = () => fs.readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.seg')).sort();
  for (let seq = 1; seq <= COUNT; seq += 1) await js.publish(`big.${seq % 3}`, payload(seq), { timeout: 20_000 });
  // What a checkpoint has moved is where it stays.
  await until('segments of the large stream', () => segments().length >= 4, { timeout: 60_000 });
  await bus.kill();
  const hurt = segments().find((name) => fs.statSync(path.join(folder, name)).size > 10_000_000);
  for (const name of [hurt, hurt.replace('.seg', '.idx')]) {
    const file = fs.openSync(path.join(folder, name), 'r+');
    fs.writeSync(file, Buffer.alloc(64), 0, 64, 0);
    fs.closeSync(file);
  }
  await bus.start();
  assert.match(bus.program.output(), /segment_damaged .*\.seg/);
  assert.match(bus.program.output(), /stream_damaged .*messages_lost=/);
  const after = await bus.user();
  const again = await after.jetstreamManager();
  const { state } = await again.streams.info('BIG');
  const lost = new Set(state.lost.msgs);
  assert.ok(lost.size > 5 && lost.size < 60, `${lost.size} are lost`);
  assert.equal(state.messages, COUNT - lost.size);
  for (let seq = 1; seq <= COUNT; seq += 1) {
    if (lost.has(seq)) {
      await assert.rejects(again.streams.getMessage('BIG', { seq }), /no message found/);
    } else {
      const { data } = await again.streams.getMessage('BIG', { seq });
      assert.ok(data.length === 800_000 && data.every((byte) => byte === seq % 256), `message ${seq}`);
    }
  }
  assert.equal(sc.decode((await again.streams.getMessage('SMALL', { seq: 1 })).data), 'kept');
  assert.equal((await after.jetstream().publish('big.1', payload(101))).seq, COUNT + 1);
  assert.ok((await (await fetch(`http://127.0.0.1:${monitor}/jsz`)).json()).damaged_places > lost.size);
  // For a person to look at.
  assert.ok(fs.existsSync(path.join(folder, `${hurt}.damaged`)));
});
