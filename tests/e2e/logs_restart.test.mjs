// No line is lost and none comes twice, whichever of bus, lighthouse and host is killed or away; with the bus role and
// with a real nats-server. What has no room is dropped, the oldest first, and counted.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Cloud, makeService } from './lib/cloud.mjs';
import { natsServerVersion, startNatsServer } from './lib/nats_server.mjs';
import { freePort } from './lib/ports.mjs';
import { profileFrom } from './lib/profiles.mjs';
import { CANDELA, run } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

// Numbered lines for as long as the file in its environment says; on both outputs, in pieces that end anywhere.
const APP = `const fs = require('node:fs');
let number = 0;
const step = () => {
  let text = '';
  for (let i = 0; i < 20; i += 1) text += 'line ' + (number += 1) + '\\n';
  process.stdout.write(text.slice(0, text.length - 3), () => {
    process.stdout.write(text.slice(text.length - 3));
    process.stderr.write('error ' + number / 20 + '\\n');
    if (fs.existsSync(process.env.STOP_FILE)) fs.writeFileSync(process.env.STOP_FILE, String(number));
    else setTimeout(step, Number(process.env.EVERY));
  });
};
step();
require('node:http').createServer((q, s) => s.end()).listen(process.env.PORT, process.env.HOST);
`;

async function startThree(t, { busAddress, extraHost = {} } = {}) {
  const cloud = new Cloud(t);
  cloud.data = path.join(cloud.dir, 'data');
  const made = await run(CANDELA, ['init', '--data-dir', cloud.data]);
  assert.equal(made.code, 0, made.stderr);
  const bus = busAddress ? await busAddress(cloud) : `127.0.0.1:${await freePort()}`;
  cloud.address = `unix:${path.join(cloud.data, 'lighthouse.sock')}`;
  const creds = path.join(cloud.data, 'identity/creds/host.creds');
  const common = async (name, dataDir = cloud.data) => ({ name, data_dir: dataDir, endpoint: `127.0.0.1:${await freePort()}`, workers: 1 });
  const profiles = {
    lighthouse: profileFrom('lighthouse.toml', {
      node: await common('lighthouse-1'), bus: { url: bus }, lighthouse: { listen: `127.0.0.1:${await freePort()}` },
    }),
    host: profileFrom('host.toml', {
      node: await common('host-1', path.join(cloud.dir, 'host')), bus: { url: bus, credentials: creds },
      host: { bus_url: `nats://${bus}`, sandbox_off: ['namespaces'], ...extraHost },
    }),
  };
  if (!busAddress) profiles.bus = profileFrom('bus.toml', { node: await common('bus-1'), bus: { listen: bus } });
  cloud.run = async (name) => {
    const file = path.join(cloud.dir, `${name}.toml`);
    fs.writeFileSync(file, profiles[name]);
    cloud.start(name, ['node', '--config', file]);
    await cloud.ready(name, Number(profiles[name].match(/^endpoint = "127.0.0.1:(\d+)"/m)[1]));
  };
  for (const name of ['bus', 'lighthouse', 'host']) if (profiles[name]) await cloud.run(name);
  return cloud;
}

async function deployTalker(t, cloud, every = 10) {
  const stop = path.join(cloud.dir, 'stop');
  await cloud.ctl(['deploy', makeService(t, 'talker', `name = "talker"
command = ["node", "app.js"]
[env]
STOP_FILE = "${stop}"
EVERY = "${every}"
[probe]
tcp = true
`, { 'app.js': APP })]);
  return {
    // Ends it, and returns how many lines it has written.
    end: async () => {
      fs.writeFileSync(stop, '');
      return Number(await until('the talker to stop', () => fs.readFileSync(stop, 'utf8')));
    },
  };
}

const lines = async (cloud) => (await cloud.ctl(['logs', 'talker', '--json', '--tail', '100000'])).stdout
  .trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));

async function checkWhole(cloud, written) {
  const all = await until(`${written} lines`, async () => {
    const found = await lines(cloud);
    return found.filter(({ text }) => text.startsWith('line ')).length >= written && found;
  }, { timeout: 60_000, every: 200 }).catch(async (error) => {
    const numbers = new Set((await lines(cloud)).map(({ text }) => text));
    const missing = [];
    for (let i = 1; i <= written; i += 1) if (!numbers.has(`line ${i}`)) missing.push(i);
    error.message += ` missing ${missing.length}: ${missing.slice(0, 20)}`;
    throw cloud.explain(error);
  });
  const texts = (stream) => all.filter((line) => line.stream === stream).map(({ text }) => text);
  assert.deepEqual(texts('stdout').filter((text) => text.startsWith('line ')), Array.from({ length: written }, (_, i) => `line ${i + 1}`));
  assert.deepEqual(texts('stderr').filter((text) => text.startsWith('error ')), Array.from({ length: written / 20 }, (_, i) => `error ${i + 1}`));
  assert.deepEqual(texts('host').filter((text) => /lost|dropped/.test(text)), []);
}

test('lines outlive whoever is killed', { timeout: 240_000 }, async (t) => {
  const cloud = await startThree(t);
  const talker = await deployTalker(t, cloud);
  for (const name of ['host', 'lighthouse', 'bus', 'host']) {
    const before = (await lines(cloud)).length;
    await until(`lines before ${name} is killed`, async () => (await lines(cloud)).length > before, { every: 50 });
    await cloud.node(name).kill();
    await cloud.run(name);
    const after = (await lines(cloud)).length;
    await until(`lines after ${name} came back`, async () => (await lines(cloud)).length > after, { timeout: 30_000, every: 50 })
      .catch((error) => { throw cloud.explain(error); });
  }
  // All of them at once, and the host last.
  for (const name of ['bus', 'lighthouse', 'host']) await cloud.node(name).kill();
  for (const name of ['bus', 'lighthouse', 'host']) await cloud.run(name);
  await checkWhole(cloud, await talker.end());
});

test('lines of a host whose lighthouse is away come later, the oldest dropped where there is no room', { timeout: 180_000 }, async (t) => {
  const cloud = await startThree(t, { extraHost: { log_buffer: '1MiB' } });
  const talker = await deployTalker(t, cloud, 1);
  await until('lines', async () => (await lines(cloud)).length > 0);
  await cloud.node('lighthouse').kill();
  const folder = path.join(cloud.dir, 'host/host/logs');
  const bytes = () => fs.readdirSync(folder, { recursive: true }).reduce((sum, name) => sum + fs.statSync(path.join(folder, name)).size, 0);
  let most = 0;
  await until('the host to be full', async () => {
    most = Math.max(most, bytes());
    return most > 900_000;
  }, { timeout: 60_000, every: 20 });
  // On for a while, so that something has to go.
  const full = most;
  for (let falls = 0, last = full; falls < 3;) {
    await until('it to drop a file', () => {
      const now = bytes();
      const fell = now < last;
      last = now;
      most = Math.max(most, now);
      return fell;
    }, { timeout: 60_000, every: 10 });
    falls += 1;
  }
  assert.ok(most < 1_300_000, `${most} bytes`);
  const written = await talker.end();
  await cloud.run('lighthouse');
  const all = await until('the last line', async () => {
    const found = await lines(cloud);
    return found.some(({ text }) => text === `line ${written}`) && found;
  }, { timeout: 30_000, every: 100 }).catch((error) => { throw cloud.explain(error); });
  const lost = all.filter(({ stream }) => stream === 'host').map(({ text }) => Number(text.match(/^(\d+) lines were lost/)?.[1] ?? 0)).reduce((a, b) => a + b, 0);
  assert.ok(lost > 0);
  const kept = all.filter(({ stream }) => stream !== 'host').length;
  assert.equal(kept + lost, written + written / 20);
});

test('lines outlive a real nats-server that is the bus', { skip: natsServerVersion() === null && 'no nats-server', timeout: 240_000 }, async (t) => {
  let server;
  const cloud = await startThree(t, {
    busAddress: async (made) => {
      const accounts = (name) => {
        const token = fs.readFileSync(path.join(made.data, `identity/accounts/${name}.jwt`), 'utf8').trim();
        return { token, key: JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sub };
      };
      server = await startNatsServer(t, { dir: made.dir, account: accounts, file: (name) => path.join(made.data, 'identity', name) });
      return server.address;
    },
  });
  const talker = await deployTalker(t, cloud);
  for (const name of ['host', 'lighthouse']) {
    const before = (await lines(cloud)).length;
    await until(`lines before ${name} is killed`, async () => (await lines(cloud)).length > before, { every: 50 });
    await cloud.node(name).kill();
    await cloud.run(name);
  }
  process.kill(server.pid, 'SIGSTOP');  // it hears nothing for a while, and then everything
  const before = fs.readdirSync(path.join(cloud.dir, 'host/host/logs')).length;
  assert.equal(before, 1);
  process.kill(server.pid, 'SIGCONT');
  await checkWhole(cloud, await talker.end());
});
