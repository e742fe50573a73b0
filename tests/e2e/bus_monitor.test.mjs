// The state of the bus over HTTP and in the system account: the same questions to a real nats-server and to
// candela, with the same clients and streams on both; what nats-server's answers have, candela's have, too.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import jwt from '@nats-io/jwt';
import { connect, credsAuthenticator, StringCodec } from 'nats';
import { startBus } from './lib/bus.mjs';
import { startNatsServer } from './lib/nats_server.mjs';
import { freePort } from './lib/ports.mjs';
import { CANDELA, run } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const sc = StringCodec();

// Not there, by design: what is of Go, credentials of others, and what candela's bus does not have.
const ABSENT = new Set([
  'varz.go', 'varz.trusted_operators_jwt', 'varz.trusted_operators_claim', 'connz.connections[].jwt', 'connz.connections[].stop',
  'accountz.account_detail.decoded_jwt', 'client.jwt', 'client.rtt',
  // That server's own imports from the system account.
  'accountz.account_detail.imports[]',
  // Of JetStream in a cluster, or of limits that the server itself has none of.
  'varz.jetstream.config.max_buffered_size', 'varz.jetstream.config.max_buffered_msgs', 'varz.jetstream.config.compress_ok',
  'varz.jetstream.config.unique_tag', 'jsz.account_details[].stream_detail[].cluster',
]);

// "a.b[].c" → type, of all members.
function shape(value, at, out = new Map()) {
  if (Array.isArray(value)) {
    out.set(at, 'array');
    for (const element of value) shape(element, `${at}[]`, out);
  } else if (value && typeof value === 'object') {
    out.set(at, 'object');
    for (const [key, member] of Object.entries(value)) shape(member, `${at}.${key}`, out);
  } else {
    out.set(at, value === null ? 'null' : typeof value);
  }
  return out;
}

const differences = (theirs, ours, at) => {
  const have = shape(ours, at);
  const out = [];
  for (const [key, type] of shape(theirs, at)) {
    if ([...ABSENT].some((absent) => key === absent || key.startsWith(`${absent}.`) || key.startsWith(`${absent}[`))) continue;
    const own = have.get(key);
    if (own !== type && type !== 'null') out.push(`${key}: ${type} there, ${own} here`);
  }
  return out;
};

// A node with its monitor, and a nats-server beside it, both with JetStream for the account "default".
async function startBoth(t) {
  const monitors = [await freePort(), await freePort()];
  const bus = await startBus(t, `monitor = "127.0.0.1:${monitors[1]}"\nping_interval = "1s"\n`);
  const nats = await startNatsServer(t, bus, { extra: `http: "127.0.0.1:${monitors[0]}"\njetstream: { store_dir: "DIR/js" }` });
  const sides = [];
  for (const [i, [name, address]] of [['nats-server', nats.address], ['candela', bus.address]].entries()) {
    const open = async (creds, options) => {
      const connection = await connect({ servers: address, authenticator: credsAuthenticator(Buffer.from(creds.creds ?? creds)), reconnect: false, ...options });
      t.after(() => connection.close());
      return connection;
    };
    const get = async (what) => {
      const answer = await fetch(`http://127.0.0.1:${monitors[i]}/${what}`);
      const text = await answer.text();
      return { status: answer.status, type: answer.headers.get('content-type').split(';')[0], text, json: () => JSON.parse(text) };
    };
    sides.push({ name, address, open, get, port: monitors[i] });
  }
  return { bus, sides };
}

async function populate(bus, side) {
  const client = await side.open(await bus.mint('default'), { name: 'one' });
  const sys = await side.open(await bus.mint('SYS'), { name: 'watcher' });
  client.subscribe('greet.*', { queue: 'q', callback: (_, message) => message.respond(message.data) });
  await client.flush();
  await client.request('greet.x', sc.encode('hello'));
  const manager = await client.jetstreamManager();
  await manager.streams.add({ name: 'ORDERS', subjects: ['orders.*'] });
  await manager.consumers.add('ORDERS', { durable_name: 'work', ack_policy: 'explicit' });
  await client.jetstream().publish('orders.new', sc.encode('book'));
  const gone = await side.open(await bus.mint('default'), { name: 'gone' });
  await gone.close();
  await until('the end of the connection', async () => (await side.get('connz?state=closed')).json().connections.some(({ name }) => name === 'gone'));
  return { client, sys };
}

test('what nats-server shows over HTTP, candela shows', async (t) => {
  const { bus, sides } = await startBoth(t);
  for (const side of sides) await populate(bus, side);
  const account = bus.account('default').key;
  await until('the round trip times', async () => (await sides[1].get('connz')).json().connections.every(({ rtt }) => rtt));
  const questions = ['varz', 'connz', 'connz?subs=1&auth=1', 'connz?subs=detail&sort=msgs_to', 'connz?state=closed&sort=stop', 'subsz', 'subsz?subs=1',
    'jsz', 'jsz?accounts=1&streams=1&consumers=1&config=1', 'accountz', `accountz?acc=${account}`, 'accstatz', 'healthz', 'routez', 'gatewayz', 'leafz'];
  for (const question of questions) {
    await t.test(question, async () => {
      const [theirs, ours] = [await sides[0].get(question), await sides[1].get(question)];
      assert.equal(ours.status, theirs.status);
      assert.equal(ours.type, theirs.type);
      // Who was gone at once has no round trip time.
      const missing = differences(theirs.json(), ours.json(), question.split('?')[0]);
      assert.deepEqual(missing.filter((text) => !question.includes('closed') || !text.includes('.rtt:')), []);
    });
  }
  for (const wrong of ['connz?cid=x', 'connz?sort=zz', 'connz?state=zz', 'connz?sort=stop', 'subsz?test=a.*', 'nope']) {
    await t.test(wrong, async () => {
      assert.equal((await sides[1].get(wrong)).status, (await sides[0].get(wrong)).status);
    });
  }
  // What was done is what is shown.
  const ours = async (what) => (await sides[1].get(what)).json();
  const connz = await ours(`connz?auth=1&subs=1&sort=msgs_from&acc=${account}`);
  assert.equal(connz.connections[0].name, 'one');
  assert.equal(connz.connections[0].account, account);
  assert.ok(connz.connections[0].subscriptions_list.includes('greet.*'));
  const varz = await ours('varz');
  assert.ok(varz.in_msgs >= 5 && varz.out_bytes > 0 && varz.mem > 1_000_000 && varz.jetstream.stats.storage > 0);
  assert.equal(varz.http_req_stats['/varz'], 2);
  const jsz = await ours('jsz?consumers=1');
  assert.deepEqual([jsz.streams, jsz.consumers, jsz.messages], [1, 1, 1]);
  const [stream] = jsz.account_details.find(({ id }) => id === account).stream_detail;
  assert.deepEqual([stream.name, stream.state.messages, stream.consumer_detail[0].name], ['ORDERS', 1, 'work']);
  assert.match((await sides[1].get('')).text, /href="connz"/);
  assert.match((await sides[1].get('varz?callback=show')).text, /^show\(\{/);
  assert.doesNotMatch((await sides[1].get('varz?callback=alert(1);x')).text, /alert/);
});

test('what nats-top and prometheus-nats-exporter read is there', async (t) => {
  const { bus, sides } = await startBoth(t);
  const side = sides[1];
  await populate(bus, side);
  const has = (object, keys, type) => { for (const key of keys) assert.equal(typeof object[key], type, key); };
  const varz = (await side.get('varz')).json();
  has(varz, ['cpu', 'mem', 'cores', 'connections', 'total_connections', 'in_msgs', 'out_msgs', 'in_bytes', 'out_bytes', 'slow_consumers', 'subscriptions',
    'max_connections', 'max_payload', 'max_pending', 'max_control_line', 'ping_interval', 'ping_max', 'auth_timeout', 'tls_timeout', 'write_deadline',
    'port', 'http_port', 'https_port', 'leafnodes', 'remotes', 'routes', 'proto', 'gomaxprocs'], 'number');
  has(varz, ['server_id', 'server_name', 'version', 'start', 'now', 'uptime', 'config_load_time'], 'string');
  for (const time of ['start', 'now', 'config_load_time']) assert.ok(Date.parse(varz[time]) > 0);
  assert.match(varz.uptime, /^(\d+[ydhm])*\d+s$/);
  const connz = (await side.get('connz?limit=1024&subs=1&sort=bytes_to')).json();
  has(connz, ['num_connections', 'total', 'offset', 'limit'], 'number');
  has(connz.connections[0], ['cid', 'port', 'pending_bytes', 'in_msgs', 'out_msgs', 'in_bytes', 'out_bytes', 'subscriptions'], 'number');
  has(connz.connections[0], ['ip', 'kind', 'type', 'start', 'last_activity', 'uptime', 'idle', 'name', 'lang', 'version'], 'string');
  const subsz = (await side.get('subsz')).json();
  has(subsz, ['num_subscriptions', 'num_cache', 'num_inserts', 'num_removes', 'num_matches', 'cache_hit_rate', 'max_fanout', 'avg_fanout'], 'number');
  const statistics = (await side.get('accstatz?unused=1')).json().account_statz[0];
  has(statistics, ['conns', 'leafnodes', 'total_conns', 'slow_consumers'], 'number');
  has(statistics.sent, ['msgs', 'bytes'], 'number');
  const jsz = (await side.get('jsz?acc=&consumers=true&config=true')).json();
  has(jsz, ['memory', 'storage', 'streams', 'consumers', 'messages', 'bytes'], 'number');
  has(jsz.config, ['max_memory', 'max_storage'], 'number');
  const [stream] = jsz.account_details.find(({ stream_detail: streams }) => streams.length > 0).stream_detail;
  has(stream.state, ['messages', 'bytes', 'first_seq', 'last_seq', 'consumer_count'], 'number');
  const [consumer] = stream.consumer_detail;
  has(consumer, ['num_ack_pending', 'num_redelivered', 'num_waiting', 'num_pending'], 'number');
  has(consumer.delivered, ['consumer_seq', 'stream_seq'], 'number');
  has(consumer.ack_floor, ['consumer_seq', 'stream_seq'], 'number');
  assert.equal((await side.get('healthz')).json().status, 'ok');
});

test('what nats-server tells in the system account, candela tells', async (t) => {
  const { bus, sides } = await startBoth(t);
  const account = bus.account('default').key;
  const seen = [];
  for (const side of sides) {
    const { client, sys } = await populate(bus, side);
    const events = new Map();
    for (const subject of ['$SYS.ACCOUNT.>', '$SYS.SERVER.>']) {
      sys.subscribe(subject, { callback: (_, message) => {
        const body = message.json();
        const name = message.subject.replace(body.server.id, '<server>').replace(account, '<account>');
        if (name.includes('<') || name.includes('SERVER')) events.set(name, body);
      } });
    }
    await sys.flush();
    const other = await side.open(await bus.mint('default'), { name: 'other' });
    other.publish('x', sc.encode('y'));
    await other.flush();
    await other.close();
    // A login with the signature of another.
    const good = await bus.mint('default');
    const forged = jwt.fmtCreds(good.token, jwt.createUser());
    await assert.rejects(side.open(forged));
    const wanted = ['$SYS.ACCOUNT.<account>.CONNECT', '$SYS.ACCOUNT.<account>.DISCONNECT', '$SYS.ACCOUNT.<account>.SERVER.CONNS',
      '$SYS.SERVER.ACCOUNT.<account>.CONNS', '$SYS.SERVER.<server>.CLIENT.AUTH.ERR'];
    await until(`the events of ${side.name}`, () => wanted.every((name) => events.has(name)));
    await until('the round trip times', async () => (await side.get('connz')).json().connections.every(({ rtt }) => rtt));
    const answers = new Map();
    const ask = async (subject, body) => answers.set(subject.replace(id, '<server>'), (await sys.request(subject, body && sc.encode(JSON.stringify(body)), { timeout: 5000 })).json());
    const { id } = (await sys.request('$SYS.REQ.SERVER.PING')).json().server;
    await until(`STATSZ of ${side.name}`, () => [...events.keys()].some((name) => name.endsWith('STATSZ')), { timeout: 40_000 });
    for (const what of ['', '.STATSZ', '.VARZ', '.CONNZ', '.SUBSZ', '.JSZ', '.ACCOUNTZ', '.HEALTHZ', '.ROUTEZ']) await ask(`$SYS.REQ.SERVER.PING${what}`);
    for (const what of ['STATSZ', 'VARZ', 'CONNZ', 'SUBSZ', 'JSZ', 'HEALTHZ']) await ask(`$SYS.REQ.SERVER.${id}.${what}`);
    for (const what of ['CONNS', 'INFO', 'SUBSZ', 'CONNZ', 'JSZ', 'STATZ']) await ask(`$SYS.REQ.ACCOUNT.${account}.${what}`);
    await ask('$SYS.REQ.SERVER.PING.CONNZ', { auth: true, subscriptions: true });
    // An account asks about itself.
    answers.set('own CONNZ', (await client.request('$SYS.REQ.ACCOUNT.PING.CONNZ')).json());
    answers.set('own STATZ', (await client.request('$SYS.REQ.ACCOUNT.PING.STATZ')).json());
    seen.push({ events, answers, wanted });
  }
  const [theirs, ours] = seen;
  const of = (what) => ({ CONNZ: 'connz', VARZ: 'varz', JSZ: 'jsz', INFO: 'accountz.account_detail' })[what.split('.').at(-1).split(' ').at(-1)] ?? 'other';
  const problems = [];
  for (const [subject, answer] of theirs.answers) {
    const own = ours.answers.get(subject);
    problems.push(...differences(answer.server, own.server, 'server').map((text) => `${subject}: ${text}`));
    problems.push(...differences(answer.data ?? answer.statsz ?? answer, own.data ?? own.statsz ?? own, of(subject)).map((text) => `${subject}: ${text}`));
  }
  for (const subject of [...theirs.wanted, '$SYS.SERVER.<server>.STATSZ']) {
    const [event, own] = [theirs.events.get(subject), ours.events.get(subject)];
    problems.push(...differences({ ...event, client: null }, { ...own, client: null }, 'event').map((text) => `${subject}: ${text}`));
    if (event.client) problems.push(...differences(event.client, own.client, 'client').map((text) => `${subject}: ${text}`));
    for (const key of ['type', 'reason', 'conns']) assert.equal(own[key], event[key], `${subject}: ${key}`);
  }
  assert.deepEqual(problems, []);
});

test('the monitor stays on loopback unless it is told otherwise', async (t) => {
  const bus = await startBus(t);
  const profile = path.join(bus.dir, 'monitor.toml');
  const check = async (lines) => {
    const text = fs.readFileSync(path.join(bus.dir, 'bus.toml'), 'utf8');
    fs.writeFileSync(profile, `${text}\n${lines}\n`);
    return run(CANDELA, ['node', '--check', '--config', profile]);
  };
  const refused = await check('monitor = "0.0.0.0:8222"');
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr + refused.stdout, /monitor: not a loopback address; monitor_open = true allows it/);
  assert.match((await check('monitor = "nonsense"')).stderr, /monitor:/);
  assert.equal((await check('monitor = "0.0.0.0:8222"\nmonitor_open = true')).code, 0);
  assert.equal((await check('monitor = "127.0.0.1:8222"')).code, 0);
});
