// Bad input and every limit: the same bytes to candela's bus and to nats-server, which must answer alike; and
// whatever one connection does, another one goes on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import jwt from '@nats-io/jwt';
import { connect, credsAuthenticator, StringCodec } from 'nats';
import { startBus } from './lib/bus.mjs';
import { startNatsServer } from './lib/nats_server.mjs';
import { rss } from './lib/program.mjs';
import { Raw } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';

// Logged in, with nothing left to read.
async function logIn(port, creds, options) {
  const raw = new Raw(port);
  const { nonce } = await raw.info();
  await raw.talk(raw.connectLine(nonce, creds, options));
  return raw;
}

const KB64 = 'x'.repeat(65_536);
const bigHeaders = (bytes) => `NATS/1.0\r\nA: ${'h'.repeat(bytes - 17)}\r\n\r\n`;

// name, what is sent in turn (latin1), the user's claims.
const CASES = [
  ['a subject that is no UTF-8', ['SUB > 1\r\n', 'PUB a.\xff\xfe 2\r\nhi\r\n', 'SUB \xc3\x28 2\r\n', 'PUB \xc3\x28 0\r\n\r\n']],
  ['control bytes in a subject', ['SUB > 1\r\n', 'PUB a\x00b 0\r\n\r\n', 'PUB a\x7f 0\r\n\r\n']],
  ['a subject of four thousand bytes', ['SUB > 1\r\n', `PUB ${'s'.repeat(4000)} 0\r\n\r\n`]],
  ['a subject of a thousand tokens', ['SUB > 1\r\n', `PUB ${'a.'.repeat(1000)}z 1\r\n!\r\n`]],
  ['a line that is too long', [`PUB ${'a'.repeat(4200)} 0\r\n`]],
  ['a line without end', ['a'.repeat(20_000)]],
  ['a SUB that is too long', [`SUB ${'a'.repeat(5000)} 1\r\n`]],
  ['a payload above the limit', ['PUB a 1048577\r\n']],
  ['a payload just within it', ['SUB a 1\r\n', `PUB a 1048576\r\n${KB64.repeat(16)}\r\n`]],
  ['a size that is no number', ['PUB a -1\r\n']],
  ['a size beyond all numbers', ['PUB a 99999999999999999999\r\n']],
  ['headers of 64 KiB', ['SUB a 1\r\n', `HPUB a 65536 65538\r\n${bigHeaders(65_536)}hi\r\n`]],
  ['headers above the payload limit', ['HPUB a 1048577 1048577\r\n']],
  ['headers longer than the whole', ['HPUB a 20 10\r\n0123456789\r\n']],
  ['headers that are none', ['SUB a 1\r\n', 'HPUB a 4 6\r\nabcdhi\r\n']],
  ['two CONNECTs', ['CONNECT {}\r\n', 'SUB a 1\r\nPUB a 0\r\n\r\n']],
  ['a CONNECT that is no JSON after the login', ['CONNECT {\r\n']],
  ['UNSUB with a bad count', ['SUB a 1\r\n', 'UNSUB 1 x\r\n']],
  ['UNSUB with two counts', ['UNSUB 1 2 3\r\n']],
  ['bytes at random', ['\x00\x01\x02\x03\r\n']],
  ['a TLS hello', ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n']],
  ['what servers say', ['MSG a 1 0\r\n\r\n']],
  ['more subscriptions than allowed', [Array.from({ length: 20 }, (_, i) => `SUB s.${i} ${i}\r\n`).join('')], { subs: 10 }],
  ['subscriptions given back', ['SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n', 'UNSUB 1\r\nSUB c 3\r\n', 'PUB c 0\r\n\r\n'], { subs: 2 }],
  ['more payload than the user may', [`PUB a 101\r\n${'x'.repeat(101)}\r\n`], { payload: 100 }],
];

test('bad input has the same answers', async (t) => {
  const bus = await startBus(t);
  const nats = await startNatsServer(t, bus);
  const witness = await bus.user();
  for (const [name, parts, claims] of CASES) {
    await t.test(name, async () => {
      const creds = await bus.mint('default', claims);
      const answers = [];
      for (const port of [nats.port, bus.port]) {
        const raw = await logIn(port, creds);
        const said = [];
        for (const part of parts) {
          if (raw.ended) break;
          said.push(await raw.talk(part));
        }
        raw.socket.destroy();
        answers.push(said);
      }
      assert.deepEqual(answers[1], answers[0]);
      await witness.flush();
    });
  }
});

test('a message cut anywhere is one message', async (t) => {
  const bus = await startBus(t);
  const raw = await logIn(bus.port, await bus.mint());
  await raw.talk('SUB a 1\r\n');
  const text = 'PUB a 5\r\nhello\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n';
  raw.text = '';
  for (const byte of text) {
    await new Promise((done) => { raw.socket.write(byte, done); });
  }
  assert.equal(await raw.talk(''), 'MSG a 1 5\r\nhello\r\nHMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n');
  // Half of one, and gone.
  raw.socket.write('PUB a 1000\r\nhalf');
  raw.socket.destroy();
  const next = await logIn(bus.port, await bus.mint());
  assert.equal(await next.talk('PUB a 0\r\n\r\n'), '');
  next.socket.destroy();
});

test('logins: too late, too long, too many', async (t) => {
  const bus = await startBus(t, 'max_connections = 6\nauth_timeout = "500ms"\n');
  // The node's own connection counts.
  await until('the node to be connected', () => bus.program.output().includes('bus_connected'));
  const nats = await startNatsServer(t, bus, { extra: 'max_connections: 5\nauthorization { timeout: 0.5 }' });
  const outcomes = [];
  for (const port of [nats.port, bus.port]) {
    const outcome = {};
    const late = new Raw(port);
    await late.info();
    await until('the end', () => late.ended, { every: 5 });
    outcome.late = late.text.replace(/^INFO .*\r\n/, '');
    const long = new Raw(port);
    await long.info();
    outcome.long = await long.talk(`CONNECT {"jwt":"${'x'.repeat(5000)}"}\r\n`);
    const creds = await bus.mint();
    const many = [];
    for (let i = 0; i < 5; i += 1) many.push(await logIn(port, creds));
    const one = new Raw(port);
    await until('the refusal', () => one.ended, { every: 5 });
    outcome.many = one.text.replace(/^INFO .*\r\n/, '');
    // Those that are in stay.
    outcome.others = await Promise.all(many.map((raw) => raw.talk('')));
    many.forEach((raw) => raw.socket.destroy());
    outcomes.push(outcome);
  }
  assert.deepEqual(outcomes[1], outcomes[0]);
  assert.equal(outcomes[1].many, "-ERR 'maximum connections exceeded'\r\n");
  assert.equal(outcomes[1].late, "-ERR 'Authentication Timeout'\r\n");
});

test('an account at its limits', async (t) => {
  const bus = await startBus(t);
  const nats = await startNatsServer(t, bus);
  const account = jwt.createAccount();
  // nats-server takes an account's `subs` for each connection's; here they are all connections' together.
  const limits = { subs: 6, data: -1, payload: 50, imports: -1, exports: -1, conn: 2, leaf: -1, wildcards: true };
  const token = await jwt.encodeAccount('small', account, { limits }, { signer: bus.operator() });
  const sys = bus.roleCreds('lighthouse-sys');
  const outcomes = [];
  for (const { address, port } of [nats, bus]) {
    const system = await connect({
      servers: address, authenticator: credsAuthenticator(Buffer.from(sys)), inboxPrefix: `_INBOX.${jwt.decode(sys.split('\n')[1]).sub}`,
    });
    t.after(() => system.close());
    const told = (await system.request('$SYS.REQ.CLAIMS.UPDATE', StringCodec().encode(token))).json();
    assert.equal(told.data.code, 200);
    const user = jwt.createUser();
    const creds = { user, token: await jwt.encodeUser('one', user, account, {}) };
    const [a, b] = [await logIn(port, creds), await logIn(port, creds)];
    const third = new Raw(port);
    const { nonce } = await third.info();
    const outcome = [
      await third.talk(third.connectLine(nonce, creds)),
      await a.talk('SUB a 1\r\nSUB b 2\r\n'),
      await b.talk('SUB a 1\r\nSUB b 2\r\nPUB a 0\r\n\r\n'),
    ];
    if (port === bus.port) {
      assert.equal(await b.talk('SUB c 3\r\nSUB d 4\r\nSUB e 5\r\n'), "-ERR 'maximum subscriptions exceeded'\r\n");
      a.socket.destroy();
      await until('its room to be free', async () => (await b.talk('SUB e 5\r\n')) === '', { every: 20 });
    }
    outcome.push(await b.talk(`PUB a 51\r\n${'x'.repeat(51)}\r\n`));
    outcomes.push(outcome);
  }
  assert.deepEqual(outcomes[1], outcomes[0]);
  assert.equal(outcomes[1][0], "-ERR 'maximum account active connections exceeded'\r\n<closed>");
});

test('a client that answers no PING is closed as stale', async (t) => {
  const bus = await startBus(t, 'ping_interval = "1s"\n');
  const nats = await startNatsServer(t, bus, { extra: 'ping_interval: "1s"\nping_max: 2' });
  const raws = await Promise.all([nats.port, bus.port].map(async (port) => logIn(port, await bus.mint())));
  await until('the ends', () => raws.every((raw) => raw.ended), { every: 10 });
  const [theirs, ours] = raws.map((raw) => raw.text.replace(/^PONG\r\n/, '').replaceAll('PING\r\n', ''));
  assert.equal(ours, theirs);
  assert.equal(ours, "-ERR 'Stale Connection'\r\n");
});

test('floods from one connection: the others go on, and memory stays', async (t) => {
  const bus = await startBus(t);
  const witness = await bus.user();
  let got = 0;
  witness.subscribe('witness', { callback: () => { got += 1; } });
  await witness.flush();
  const before = rss(bus.program.pid);
  const flooder = await logIn(bus.port, await bus.mint('default', { subs: 1000 }));
  let lines = '';
  for (let i = 0; i < 100_000; i += 1) lines += `SUB flood.${i} ${i}\r\n`;
  // Nothing of the 99,000 refusals is read for now.
  flooder.socket.pause();
  flooder.socket.write(lines);
  for (let i = 0; i < 100; i += 1) witness.publish('witness');
  await witness.flush();
  assert.equal(got, 100);
  flooder.socket.resume();
  const said = await flooder.talk('');
  assert.equal(said.split("-ERR 'maximum subscriptions exceeded'\r\n").length, 99_001);
  flooder.socket.destroy();
  await witness.flush();
  assert.ok(rss(bus.program.pid) - before < 100 << 20, 'memory');
});

test('a reader that stalls does not slow a publisher, and memory stays bounded', async (t) => {
  const bus = await startBus(t, 'max_pending = "8MiB"\nmax_account_pending = "16MiB"\n');
  const fast = await bus.user();
  let got = 0;
  fast.subscribe('flood', { callback: () => { got += 1; } });
  await fast.flush();
  const stalled = await Promise.all(Array.from({ length: 5 }, async () => {
    const raw = await logIn(bus.port, await bus.mint());
    await raw.talk('SUB flood 1\r\n');
    raw.socket.pause();
    return raw;
  }));
  const publisher = await bus.user();
  const payload = new Uint8Array(10_000);
  const before = rss(bus.program.pid);
  let slowest = 0;
  for (let round = 0; round < 100; round += 1) {
    for (let i = 0; i < 40; i += 1) publisher.publish('flood', payload);
    const began = Date.now();
    await publisher.flush();
    slowest = Math.max(slowest, Date.now() - began);
  }
  await until('all of them', () => got === 4000, { every: 5 });
  // 40 MB for each of those who take nothing: they were closed, the publisher never waited for them.
  assert.ok(slowest < 2000, `a flush took ${slowest} ms`);
  assert.ok(rss(bus.program.pid) - before < 60 << 20, 'memory');
  await until('the report', () => (bus.program.output().match(/bus_slow_consumer/g) ?? []).length === 5, { every: 10 });
  stalled.forEach((raw) => raw.socket.destroy());
});
