// A client that takes nothing: what a real nats-server and candela tell of it, over HTTP, to the system account, and to
// those who watch the log.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBus } from './lib/bus.mjs';
import { NEWER_NATS_SERVER, natsServerVersion, startNatsServer } from './lib/nats_server.mjs';
import { freePort } from './lib/ports.mjs';
import { Raw } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';
import { connect, credsAuthenticator } from 'nats';

const PROGRAM = natsServerVersion(NEWER_NATS_SERVER) === null ? 'nats-server' : NEWER_NATS_SERVER;

test('a slow consumer is closed and told of in the same words', { timeout: 120_000 }, async (t) => {
  const monitors = [await freePort(), await freePort()];
  const bus = await startBus(t, `monitor = "127.0.0.1:${monitors[1]}"\nmax_pending = "4MiB"\n`);
  const nats = await startNatsServer(t, bus, { program: PROGRAM, extra: `http: "127.0.0.1:${monitors[0]}"\nmax_pending: 4194304` });
  const told = [];
  for (const [i, { port, address }] of [nats, { port: bus.port, address: bus.address }].entries()) {
    const ask = async (what) => (await fetch(`http://127.0.0.1:${monitors[i]}/${what}`)).json();
    const open = async (account) => {
      const connection = await connect({ servers: address, authenticator: credsAuthenticator(Buffer.from((await bus.mint(account)).creds)), reconnect: false });
      t.after(() => connection.close());
      return connection;
    };
    const system = await open('SYS');
    const gone = [];
    system.subscribe(`$SYS.ACCOUNT.${bus.account('default').key}.DISCONNECT`, { callback: (_, message) => gone.push(message.json()) });
    await system.flush();
    const publisher = await open('default');
    const slow = new Raw(port);
    t.after(() => slow.socket.destroy());
    const { nonce } = await slow.info();
    await slow.talk(`${slow.connectLine(nonce, await bus.mint('default'), { name: 'sleeper' })}SUB flood 1\r\n`);
    slow.socket.pause();
    const payload = new Uint8Array(256 * 1024);
    await until('the slow consumer to be closed', async () => {
      for (let n = 0; n < 8; ++n) publisher.publish('flood', payload);
      await publisher.flush();
      return gone.some(({ client }) => client.name === 'sleeper');
    }, { timeout: 60_000, every: 1 });
    const { reason, client } = gone.find((event) => event.client.name === 'sleeper');
    const varz = await ask('varz');
    const closed = (await ask('connz?state=closed&auth=1')).connections.find(({ name }) => name === 'sleeper');
    // nats-server does not always count it with the account; we do.
    if (port === bus.port) {
      const account = async () => (await ask(`accstatz?acc=${bus.account('default').key}`)).account_statz[0].slow_consumers;
      await until('the account to have one', async () => await account() === 1);
    }
    // It takes it off its list a little later than it tells of it.
    await until('it to be gone', async () => !(await ask('connz')).connections.some(({ name }) => name === 'sleeper'));
    told.push({
      reason,
      stop: typeof client.stop,
      varz: varz.slow_consumers,
      kinds: PROGRAM === NEWER_NATS_SERVER ? varz.slow_consumer_stats : null,
      closed: [closed.reason, typeof closed.stop, closed.pending_bytes > 0, closed.subscriptions],
    });
    // Whoever reads goes on.
    await publisher.flush();
  }
  assert.deepEqual(told[1], told[0]);
  assert.match(told[1].reason, /^Slow Consumer/);
  assert.match(bus.program.output(), /bus_slow_consumer .*account=default/);
});
