// ctl deploy --build-on: a host builds the sources, and what it makes of them is deployed as if it had been built here.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { CANDELA, processesIn } from './lib/program.mjs';
import { until, within } from './lib/wait.mjs';

// A service whose instance answers with the files that the build made.
const site = (t, name, commands, { build = '', files } = {}) => makeService(t, name, `name = "${name}"
kind = "static"
root = "out"
[build]
commands = ${JSON.stringify(commands)}
${build}
[[route]]
host = "${name}.localhost"
`, { 'source.txt': 'one\n', ...files });

// The command lines of all processes.
const commands = () => fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).map((pid) => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  } catch {
    return '';
  }
});

test('builds on a host', { timeout: 300_000 }, async (t) => {
  const cloud = await startDev(t, { env: { OF_THE_NODE: 'secret of the node' } });
  const node = (await cloud.ctlJson('nodes list')).nodes[0].name;
  const incoming = path.join(cloud.dataDir, 'host/builds/incoming');
  const left = () => (fs.existsSync(incoming) ? fs.readdirSync(incoming) : []);
  const text = async (name, file) => (await cloud.get(`/${file}`, { host: `${name}.localhost` })).text;
  const remote = ['--address', `https://127.0.0.1:${7400 + cloud.offset}`, '--ca', path.join(cloud.dataDir, 'lighthouse/ca/ca.crt')];
  // ctl deploy in the background.
  const begin = (dir, ...args) => {
    const child = spawn(CANDELA, ['ctl', 'deploy', dir, '--build-on', 'any', ...args],
      { env: { ...process.env, ...cloud.env, CANDELA_ADDRESS: cloud.address, NO_COLOR: '1' } });
    t.after(() => child.kill('SIGKILL'));
    const held = { child, said: '' };
    child.stderr.on('data', (bytes) => { held.said += bytes; });
    held.ended = new Promise((done) => { child.on('exit', (code, signal) => done(signal ?? code)); });
    return held;
  };

  await t.test('what is built there is served, once for the same sources, and nothing is built here', async (t) => {
    const dir = site(t, 'there', ['mkdir out', 'cp source.txt out/a.txt', 'echo left out > out/b.txt', 'date +%N > out/never-the-same'],
      { files: { '.candelaignore': 'b.txt\n' } });
    const first = await cloud.ctl(['deploy', dir, '--build-on', node]);
    assert.match(first.stderr, new RegExp(`^sending the sources of there: .*\non ${node}\n`, 'm'));
    assert.match(first.stderr, /^\$ cp source\.txt out\/a\.txt$/m);
    assert.equal(await text('there', 'a.txt'), 'one\n');
    assert.equal((await cloud.get('/b.txt', { host: 'there.localhost' })).status, 404);
    const again = await cloud.ctl(['deploy', dir, '--build-on', 'any']);
    assert.match(again.stderr, /was built before from these sources/);
    const digest = (result) => result.stderr.match(/bundle ([0-9a-f]{12})/)[1];
    assert.equal(digest(again), digest(first));
    assert.notEqual(digest(await cloud.ctl(['deploy', dir, '--build-on', 'any', '--rebuild'])), digest(first));
    assert.equal(fs.existsSync(path.join(cloud.dir, 'cache/candela/build')), false);
    await until('nothing to be left', () => left().length === 0);
    assert.match((await cloud.ctl(['audit'])).stdout, /services\/there\/build/);
  });

  await t.test('what a recipe finds out there starts the service', async (t) => {
    const dir = makeService(t, 'found', undefined, {
      Makefile: 'found: found.sh\n\tcp found.sh found\n\tchmod +x found\n',
      'found.sh': '#!/bin/sh\nexec python3 -m http.server --bind 127.0.0.1 $PORT\n',
      'service.toml': `name = "found"\ncommand = ["./found"]\n[[route]]\nhost = "found.localhost"\n[probe]\ntcp = true\n`,
    });
    await cloud.ctl(['deploy', dir, '--build-on', 'any']);
    assert.match(await text('found', 'found.sh'), /http\.server/);
  });

  await t.test('a build that fails says why, and what ran runs on', async (t) => {
    const dir = site(t, 'there', ['echo before it', 'echo this went wrong >&2; exit 3']);
    const failed = await cloud.ctl(['deploy', dir, '--build-on', 'any'], { ok: false });
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /^before it$/m);
    assert.match(failed.stderr, /error: the build failed: echo this went wrong >&2; exit 3: exit code 3\nthis went wrong\n/);
    assert.equal(await text('there', 'a.txt'), 'one\n');
  });

  await t.test('who may not, and where it can not be', async (t) => {
    const dir = site(t, 'there', ['mkdir out']);
    const creds = path.join(cloud.dir, 'victor.creds');
    await cloud.ctl(['keys', 'create', 'victor', '--role', 'viewer', '--out', creds]);
    const deploy = (...args) => cloud.ctl(['deploy', dir, '--build-on', ...args], { ok: false });
    const denied = await deploy('any', ...remote, '--creds', creds);
    assert.equal(denied.code, 4);
    assert.match(denied.stderr, /this needs the role developer/);
    assert.equal((await deploy('nobody')).code, 3);
    await cloud.ctl(['nodes', 'cordon', node]);
    const cordoned = await deploy(node);
    assert.equal(cordoned.code, 5);
    assert.match(cordoned.stderr, /is cordoned/);
    assert.equal((await deploy('any')).code, 6);
    await cloud.ctl(['nodes', 'uncordon', node]);
  });

  await t.test('a build sees neither the node\'s files nor its variables; those that pass_env names come from here', async (t) => {
    const look = (name) => `printf '%s=%s.' ${name} "$${name}" >> out/variables`;
    const dir = site(t, 'peeks', ['mkdir out', look('OF_THE_NODE'), look('OF_MINE'),
      `cat ${cloud.dataDir}/identity/operator.seed ${cloud.dataDir}/identity/* > out/stolen 2>/dev/null || true`, `ls ${cloud.dataDir} > out/listed 2>&1 || true`],
    { build: 'pass_env = ["OF_MINE", "OF_THE_NODE"]' });
    await cloud.ctl(['deploy', dir, '--build-on', 'any'], { env: { OF_MINE: 'mine' } });
    assert.equal(await text('peeks', 'variables'), 'OF_THE_NODE=.OF_MINE=mine.');
    assert.equal(await text('peeks', 'stolen'), '');
    assert.doesNotMatch(await text('peeks', 'listed'), /identity/);
    const reads = site(t, 'peeks', ['mkdir out'], { build: `paths = ["${cloud.dataDir}"]` });
    const refused = await cloud.ctl(['deploy', reads, '--build-on', 'any'], { ok: false });
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /\[build\] paths: of a host a build sees nothing more/);
  });

  await t.test('whoever goes away takes the build along', async (t) => {
    const dir = site(t, 'slow', ['echo begun', 'sleep 4731']);
    for (const signal of ['SIGINT', 'SIGKILL']) {
      const held = begin(dir);
      await until('it to build', () => held.said.includes('begun') && commands().some((line) => line.startsWith('sleep 4731')));
      held.child.kill(signal);
      await held.ended;
      await until('it to end', () => !commands().some((line) => line.startsWith('sleep 4731')));
      await until('nothing to be left', () => left().length === 0);
    }
  });

  await t.test('one that is waited for goes on; more than four at once are refused', async (t) => {
    const held = ['a', 'b', 'c', 'd'].map((name) => begin(site(t, name, ['echo begun', 'while [ ! -e /tmp/nothing ]; do sleep 0.1; done'])));
    await until('four builds', () => held.every((each) => each.said.includes('begun')), { timeout: 60_000 });
    const fifth = await cloud.ctl(['deploy', site(t, 'e', ['mkdir out']), '--build-on', 'any'], { ok: false });
    assert.equal(fifth.code, 1);
    assert.match(fifth.stderr, /4 builds are under way on this host/);
    for (const each of held) each.child.kill('SIGKILL');
    await Promise.all(held.map((each) => each.ended));
    await until('room', async () => (await cloud.ctl(['deploy', site(t, 'e', ['mkdir out', 'echo e > out/e.txt']), '--build-on', 'any'], { ok: false })).code === 0);
    assert.equal(await text('e', 'e.txt'), 'e\n');
  });

  await t.test('what is no order, and what is no archive, ends that stream alone', async () => {
    const frame = (type, payload) => {
      const head = Buffer.alloc(5);
      head[0] = type;
      head.writeUInt32BE(payload.length, 1);
      return Buffer.concat([head, Buffer.from(payload)]);
    };
    const send = (...parts) => new Promise((done, fail) => {
      const socket = net.connect(cloud.address.slice('unix:'.length));
      let said = '';
      socket.on('data', (bytes) => {
        if (said === '') for (const part of parts) socket.write(part);
        said += bytes.toString('latin1');
      });
      socket.on('end', () => { socket.end(); done(said); });
      socket.on('error', fail);
      socket.write('POST /v1/spaces/default/services/raw/build HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: candela-stream\r\n\r\n');
    });
    const order = frame(4, JSON.stringify({ digest: 'a'.repeat(64) }));
    assert.match(await send(Buffer.alloc(100, 0xff)), /101 [\s\S]*a frame of/);
    assert.match(await send(frame(4, 'no json')), /101 /);
    assert.match(await send(frame(4, JSON.stringify({ digest: '../../etc' }))), /digest is not one/);
    assert.match(await send(frame(2, '')), /sources without an order/);
    assert.match(await send(order, frame(1, 'not an archive'), frame(2, '')), /digest/);
    await until('nothing to be left', () => left().length === 0);
  });

  await t.test('a node that is killed in the middle leaves nothing behind', async (t) => {
    const held = begin(site(t, 'slow', ['echo begun', 'sleep 4732']));
    await until('it to build', () => held.said.includes('begun') && commands().some((line) => line.startsWith('sleep 4732')));
    await cloud.node('dev').kill();
    assert.equal(await within(30_000, 'ctl', held.ended), 6);
    await until('it to end', () => !commands().some((line) => line.startsWith('sleep 4732')));
    await cloud.startDev();
    assert.deepEqual(left(), []);
    await cloud.ctl(['deploy', site(t, 'slow', ['mkdir out', 'echo now > out/a.txt']), '--build-on', 'any']);
    assert.equal(await text('slow', 'a.txt'), 'now\n');
    assert.deepEqual(processesIn(path.join(cloud.dataDir, 'host/builds')), []);
  });
});
