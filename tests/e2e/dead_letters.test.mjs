// Messages that a consumer gave up go where its metadata says: moved by the lighthouse, on candela's own bus and on a real
// nats-server with the cloud's credentials.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { ParityServer, startParity } from './lib/parity.mjs';
import { freePort } from './lib/ports.mjs';
import { profileFrom } from './lib/profiles.mjs';
import { CANDELA, Program } from './lib/program.mjs';
import { until } from './lib/wait.mjs';
import fs from 'node:fs';

async function startLighthouse(t, server, index) {
  const dir = server.bus.dir;
  const config = path.join(dir, `lighthouse-${index}.toml`);
  fs.writeFileSync(config, profileFrom('lighthouse.toml', {
    node: { name: `lighthouse-${index}`, data_dir: dir, endpoint: `127.0.0.1:${await freePort()}`, workers: 1 },
    bus: { url: server.address },
    lighthouse: { listen: `127.0.0.1:${await freePort()}`, socket: `unix:${path.join(dir, `lh-${index}.sock`)}`, database: `sqlite:${path.join(dir, `state-${index}.db`)}` },
  }));
  const program = new Program(CANDELA, ['node', '--config', config], { name: `lighthouse-${index}`, log: path.join(dir, `lighthouse-${index}.log`) });
  t.after(() => program.kill());
  return program;
}

async function moveOnce(t, server, index) {
  const nc = await server.connect(t);
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: 'W', subjects: ['w'], retention: 'workqueue' });
  await jsm.streams.add({ name: 'DEAD', subjects: ['dead.>'] });
  const wants = { 'candela.dead_letter': 'dead.w' };
  await jsm.consumers.add('W', { durable_name: 'x', ack_policy: 'explicit', ack_wait: nanos(500), max_deliver: 2, metadata: wants });
  const lighthouse = await startLighthouse(t, server, index);
  await until('the queue of dead letters', async () => jsm.streams.info('CANDELA_DEAD_LETTERS').then(() => true, () => false), { timeout: 30_000 });
  await js.publish('w', 'bad', { msgID: 'own' });
  await js.publish('w', 'good');
  const messages = await (await js.consumers.get('W', 'x')).consume();
  const taking = (async () => {
    for await (const message of messages) if (message.string() === 'good') message.ack();
  })();
  await until('the dead letter', async () => (await jsm.streams.info('DEAD')).state.messages === 1, { timeout: 30_000 });
  await until('the original to go', async () => (await jsm.streams.info('W')).state.messages === 0);
  const letter = await jsm.streams.getMessage('DEAD', { seq: 1 });
  assert.equal(letter.string(), 'bad');
  assert.equal(letter.subject, 'dead.w');
  assert.equal(letter.header.get('Nats-Dead-Letter-Stream'), 'W');
  assert.equal(letter.header.get('Nats-Dead-Letter-Sequence'), '1');
  assert.equal(letter.header.get('Nats-Dead-Letter-Consumer'), 'x');
  assert.equal(letter.header.get('Nats-Dead-Letter-Deliveries'), '2');
  assert.equal(letter.header.get('Nats-Dead-Letter-Reason'), 'max deliveries');
  // While the mover is away, what is given up waits.
  await lighthouse.kill();
  await js.publish('w', 'bad too');
  await until('the advisory', async () => (await jsm.streams.info('CANDELA_DEAD_LETTERS')).state.messages === 1, { timeout: 30_000 });
  await startLighthouse(t, server, index);
  await until('the second one', async () => (await jsm.streams.info('DEAD')).state.messages === 2, { timeout: 60_000 });
  messages.stop();
  await taking;
  assert.equal((await jsm.streams.getMessage('DEAD', { seq: 2 })).string(), 'bad too');
}

test('dead letters are moved once', { timeout: 300_000 }, async (t) => {
  const servers = await startParity(t);
  for (const [index, server] of servers.entries()) {
    assert.ok(server instanceof ParityServer);
    // Consumers have metadata since 2.10.
    await t.test(server.name, { skip: !server.has('2.10') && 'no metadata' }, (inner) => moveOnce(inner, server, index));
  }
});
