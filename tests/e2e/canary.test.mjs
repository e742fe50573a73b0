// Canaries that are judged by their own error rate and latency, as gateways see them.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { manifest } from './lib/apps.mjs';
import { Cloud, makeService, startDev } from './lib/cloud.mjs';
import { JsonSchemas } from './lib/ctl_json.mjs';
import { Load } from './lib/http.mjs';
import { freePort } from './lib/ports.mjs';
import { profileFrom } from './lib/profiles.mjs';
import { CANDELA, run } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

// Fails FAIL percent of its requests, evenly, and takes SLOW milliseconds for each.
const APP = `
import http from 'node:http';
const { FAIL = '0', SLOW = '0', VERSION = '' } = process.env;
let due = 0;
http.createServer((request, response) => {
  if (request.url === '/healthz') return response.end('ok');
  due += Number(FAIL);
  const fails = due >= 100;
  if (fails) due -= 100;
  setTimeout(() => { response.statusCode = fails ? 500 : 200; response.end(VERSION); }, Number(SLOW));
}).listen(process.env.PORT, '127.0.0.1', () => console.log('version ' + VERSION));
`;

function shop(t) {
  return makeService(t, 'shop', '', { 'app.mjs': APP });
}

function edit(dir, { version, fail = 0, slow = 0, analysis = null, promoteAfter = '2s', promote = 'auto' }) {
  const update = analysis === null ? '' : `
[update]
strategy = "canary"
canary_percent = 50
canary_weight = 40
promote = "${promote}"
promote_after = "${promoteAfter}"
analysis = { ${analysis} }
`;
  fs.writeFileSync(path.join(dir, 'service.toml'), manifest('shop', ['node', 'app.mjs'], {
    instances: 2,
    extra: `[env]\nVERSION = "${version}"\nFAIL = "${fail}"\nSLOW = "${slow}"\n${update}`,
  }));
}

// What `candela ctl events` has told since then.
function follow(t, cloud) {
  const child = spawn(CANDELA, ['ctl', 'events', '--json'], {
    env: { ...process.env, ...cloud.env, CANDELA_ADDRESS: cloud.address }, stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout.on('data', (bytes) => { text += bytes; });
  return (type, release) => until(`${type} of release ${release}`, () => text.split('\n').slice(0, -1)
    .map((line) => JSON.parse(line)).find((event) => event.type === type && event.subject === release));
}

const WATCHED = 'requests_min = 100, timeout = "2m"';

test('canary', { timeout: 300_000 }, async (t) => {
  const cloud = await startDev(t);
  const dir = shop(t);
  edit(dir, { version: '1' });
  await cloud.ctl(['deploy', dir]);
  const latest = async () => (await cloud.ctlJson('releases shop')).releases[0];
  const event = follow(t, cloud);
  const underLoad = async (work) => {
    const load = cloud.load({ host: 'shop.localhost', target: '/' });
    await until('requests', () => load.sent > 20);
    try {
      return await work(load);
    } finally {
      await load.stop();
    }
  };

  await t.test('plan says how it will be judged', async () => {
    edit(dir, { version: '2', analysis: WATCHED });
    const planned = await cloud.ctl(['plan', dir], { ok: false });
    assert.equal(planned.code, 10, planned.stderr);
    assert.match(planned.stdout, /then {2}1 of 2 instances beside all of release 1, with 40 % of the requests/);
    assert.match(planned.stdout, /then {2}the rest follows once all of that has been well for 2s, and has answered 100 requests/);
    assert.match(planned.stdout, /its error rate is at most 1 points above the old release's, its p99 is at most 100 % above/);
    assert.match(planned.stdout, /can't be told within 2m, it is rolled back/);
  });

  await t.test('a good one takes over by itself, with the figures as an event', async () => {
    const deployed = await underLoad(() => cloud.ctl(['deploy', dir]));
    assert.match(deployed.stdout, /release 2 is serving/);
    const promoted = await event('release_promoted', '2');
    assert.match(promoted.text, /^0 % of \d{3,} answers failed, p99 .*; of the old release 0 % of \d{3,} answers/);
  });

  await t.test('one that answers 5 % with errors is rolled back, with the figures as the cause', async () => {
    edit(dir, { version: '3', fail: 5, analysis: WATCHED, promoteAfter: '1m' });
    const deployed = await underLoad(() => cloud.ctl(['deploy', dir], { ok: false }));
    assert.equal(deployed.code, 8, deployed.stderr);
    const why = /the canary does worse than it may: [\d.]+ % of \d+ answers failed; at most 1 % may: of the old release's \d+ it was 0 %/;
    assert.match(deployed.stderr, why);
    const release = await latest();
    assert.equal(release.state, 'rolled_back');
    assert.match(release.cause, why);
    assert.match((await cloud.ctl('releases shop')).stdout, why);
    assert.match((await event('release_rolled_back', '3')).text, why);
    assert.deepEqual(release.failing.log_tail, ['version 3']);
    assert.equal((await cloud.get('/', { host: 'shop.localhost' })).text, '2');
  });

  await t.test('one that is slow is rolled back', async () => {
    edit(dir, { version: '4', slow: 300, analysis: `${WATCHED}, p99_max = "200ms"`, promoteAfter: '1m' });
    const deployed = await underLoad(() => cloud.ctl(['deploy', dir], { ok: false }));
    assert.equal(deployed.code, 8, deployed.stderr);
    assert.match((await latest()).cause, /\d+ % of \d+ answers took longer than 200 ms, p99 is 3\d\d ms; at most 1 % may/);
  });

  await t.test('one that nobody asks is rolled back when its time is over', async () => {
    edit(dir, { version: '5', analysis: 'timeout = "10s"' });
    const deployed = await cloud.ctl(['deploy', dir], { ok: false });
    assert.equal(deployed.code, 8, deployed.stderr);
    assert.equal((await latest()).cause,
      'the canary was not proven within 10s: it has answered 0 of the 100 requests that a verdict needs');
  });

  await t.test('a person who decides sees the figures', async () => {
    edit(dir, { version: '7', analysis: WATCHED, promote: 'hand' });
    await underLoad(async () => {
      await cloud.ctl(['deploy', dir]);
      await until('a verdict', async () => (await latest()).analysis.verdict === 'good');
      // What is waited for is said with each plan, once a second.
      await until('it to be said', async () => /^the canary is well: 0 % of \d+ answers failed.*candela ctl promote shop/
        .test((await latest()).waiting));
      new JsonSchemas().check('releases', await cloud.ctlJson('releases shop'));
      assert.match((await cloud.ctl('services')).stdout, /the canary is well: 0 % of/);
      await cloud.ctl('promote shop');
    });
    assert.equal((await latest()).state, 'done');
  });
});

test('what can\'t be judged is refused', { timeout: 60_000 }, async (t) => {
  const cloud = await startDev(t);
  const dir = shop(t);
  edit(dir, { version: '1', analysis: 'error_rate_max = 200' });
  const refused = await cloud.ctl(['deploy', dir], { ok: false });
  assert.equal(refused.code, 2, refused.stderr);
  assert.match(refused.stderr, /service\.toml:\d+:\d+: .*error_rate_max/);
});

// Bus, lighthouse, a host and two gateways, each a process of its own.
async function startParts(t) {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  const creds = (role) => path.join(data, 'identity/creds', `${role}.creds`);
  const bus = `127.0.0.1:${await freePort()}`;
  cloud.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  const common = async (name, dataDir = path.join(cloud.dir, name)) => ({
    name, data_dir: dataDir, endpoint: `127.0.0.1:${await freePort()}`, workers: 1,
  });
  const profiles = {
    bus: profileFrom('bus.toml', { node: await common('bus', data), bus: { listen: bus } }),
    lighthouse: profileFrom('lighthouse.toml', {
      node: await common('lighthouse', data), bus: { url: bus }, lighthouse: { listen: `127.0.0.1:${await freePort()}` },
    }),
    host: profileFrom('host.toml', {
      node: await common('host'), bus: { url: bus, credentials: creds('host') }, host: { bus_url: `nats://${bus}` },
    }),
  };
  cloud.gatewayPorts = [];
  for (const name of ['gateway-1', 'gateway-2']) {
    const port = await freePort();
    cloud.gatewayPorts.push(port);
    profiles[name] = profileFrom('gateway.toml', {
      node: await common(name), bus: { url: bus, credentials: creds('gateway') }, gateway: { listen: `127.0.0.1:${port}` },
    });
    profiles[name] = profiles[name].replace('workers = 1', 'workers = 2');
  }
  cloud.run = async (name) => {
    const file = path.join(cloud.dir, `${name}.toml`);
    fs.writeFileSync(file, profiles[name]);
    cloud.start(name, ['node', '--config', file]);
    await cloud.ready(name, Number(profiles[name].match(/^endpoint = "127.0.0.1:(\d+)"/m)[1]));
  };
  for (const name of Object.keys(profiles)) await cloud.run(name);
  return cloud;
}

test('several gateways are one sum, which outlives a lighthouse and a gateway that are killed', { timeout: 240_000 }, async (t) => {
  const cloud = await startParts(t);
  const dir = shop(t);
  edit(dir, { version: '1' });
  await cloud.ctl(['deploy', dir]);
  const latest = async () => (await cloud.ctlJson('releases shop')).releases[0];
  const answered = async () => (await latest()).analysis.canary.answers;
  const begin = (port) => {
    const load = new Load(port, { host: 'shop.localhost', target: '/' });
    t.after(() => load.stop());
    return load;
  };

  edit(dir, { version: '2', analysis: 'requests_min = 600, timeout = "2m", p99_above_old_max = 0' });
  await cloud.ctl(['deploy', dir, '--detach']);
  await until('the canary', async () => (await latest()).analysis && (await latest()).ready === 1);
  // First by one gateway alone, which then is gone for good.
  const first = begin(cloud.gatewayPorts[0]);
  await until('figures of the first', async () => await answered() >= 100);
  await first.stop();
  const told = await until('all of them', async () => {
    const before = await answered();
    return first.bodies.get('2') <= before && before;
  });
  assert.equal(told, first.bodies.get('2'), 'as many as came to the client');
  await cloud.node('gateway-1').kill();
  assert.equal((await latest()).analysis.verdict, 'open');
  const second = begin(cloud.gatewayPorts[1]);
  await until('figures of the second', async () => await answered() >= told + 50);

  await cloud.node('lighthouse').kill();
  await cloud.run('lighthouse');
  const event = follow(t, cloud);
  await until('its end', async () => (await latest()).state !== 'rolling', { timeout: 120_000, every: 200 })
    .catch((error) => { throw cloud.explain(error); });
  const release = await latest();
  assert.equal(release.state, 'done', JSON.stringify(release));
  await second.stop();
  assert.deepEqual(second.failures, []);
  assert.match((await event('release_promoted', '2')).text, /^0 % of \d{3,} answers failed/);
});
