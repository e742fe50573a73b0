// ctl exec and port-forward: into an instance, by whom it may, from wherever.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { probeApp } from './lib/apps.mjs';
import { Cloud, startDev } from './lib/cloud.mjs';
import { request } from './lib/http.mjs';
import { freePort } from './lib/ports.mjs';
import { profileFrom } from './lib/profiles.mjs';
import { CANDELA, rss, run } from './lib/program.mjs';
import { sleep, until, within } from './lib/wait.mjs';

const MIB = 1024 * 1024;

// Runs ctl with its three pipes; `said` grows as it comes.
function begin(t, cloud, args, { env, paused = false } = {}) {
  const child = spawn(CANDELA, ['ctl', ...args], { env: { ...process.env, ...cloud.env, CANDELA_ADDRESS: cloud.address, NO_COLOR: '1', ...env } });
  const held = { child, stdout: '', stderr: '' };
  held.ended = new Promise((done) => { child.on('exit', (code, signal) => done(signal ?? code)); });
  if (!paused) child.stdout.on('data', (bytes) => { held.stdout += bytes; });
  child.stderr.on('data', (bytes) => { held.stderr += bytes; });
  child.stdin.on('error', () => {});
  t.after(() => { child.kill('SIGKILL'); });
  return held;
}

// A program within the instance, found by a word of its command line.
const inside = (word) => fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
  try {
    const line = fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
    return line.includes(word) && !line.includes('ctl');
  } catch {
    return false;
  }
}).map(Number);

test('into an instance', { timeout: 600_000 }, async (t) => {
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', probeApp(t)]);
  const [{ id, pid }] = await cloud.readyInstances('probe', 1);
  const exec = (words, options) => run(CANDELA, ['ctl', 'exec', id, '--', ...words], {
    env: { ...cloud.env, CANDELA_ADDRESS: cloud.address, NO_COLOR: '1' }, ...options,
  });
  const ca = path.join(cloud.dataDir, 'lighthouse/ca/ca.crt');
  const key = async (name, role, space = 'default') => {
    const file = path.join(cloud.dir, `${name}.creds`);
    await cloud.ctl(['keys', 'create', name, '--role', role, '--space', space, '--out', file]);
    return ['--address', `https://127.0.0.1:${7400 + cloud.offset}`, '--ca', ca, '--creds', file, '--space', space];
  };

  await t.test('input, output, errors and the exit status are the program\'s', async () => {
    const ended = await exec(['sh', '-c', 'echo out; echo err >&2; cat; exit 7'], { input: 'of the caller' });
    assert.deepEqual([ended.stdout, ended.stderr, ended.code], ['out\nof the caller', 'err\n', 7]);
    assert.equal((await exec(['sh', '-c', 'kill -9 $$'])).code, 137);
    assert.equal((await exec(['true'])).code, 0);
    const odd = await exec(['printf', '%s|', 'a b', '', '-n', '"', 'ü', '--json']);
    assert.equal(odd.stdout, 'a b||-n|"|ü|--json|');
  });

  await t.test('it runs in the folder, with the environment and within the walls of the instance', async () => {
    const seen = await exec(['sh', '-c', 'echo $CANDELA_INSTANCE $PORT; ls; id -u; ls /proc | grep -c "^[0-9]"; cat /etc/shadow']);
    const [first, ...rest] = seen.stdout.split('\n');
    assert.match(first, new RegExp(`^${id} \\d+$`));
    assert.ok(rest.includes('app.mjs'));
    assert.match(seen.stderr, /No such file|Permission denied/);
    assert.ok(Number(rest.at(-2)) < 10, 'it sees the instance\'s processes only');
    if (process.getuid() === 0) assert.notEqual(rest.at(-3), '0');
    // The instance itself is not touched.
    assert.equal((await cloud.readyInstances('probe', 1))[0].pid, pid);
  });

  await t.test('files are read and written as they are', async () => {
    const file = path.join(cloud.dir, 'big');
    const content = crypto.randomBytes(5 * MIB);
    fs.writeFileSync(file, content);
    const copied = await run('sh', ['-c', `"${CANDELA}" ctl exec ${id} -- cat < ${file} > ${file}.copy`], { env: { ...cloud.env, CANDELA_ADDRESS: cloud.address } });
    assert.equal(copied.code, 0, copied.stderr);
    assert.ok(fs.readFileSync(`${file}.copy`).equals(content));
    const cut = await run('sh', ['-c', `"${CANDELA}" ctl exec ${id} -- yes 2>/dev/null | head -1`], { env: { ...cloud.env, CANDELA_ADDRESS: cloud.address } });
    assert.equal(cut.stdout, 'y\n');
    await until('yes to end', () => inside('yes').length === 0);
  });

  await t.test('on a terminal: its size, its keys, and raw mode that is taken back', async () => {
    const script = spawn('script', ['-qefc', `stty rows 33 cols 77; "${CANDELA}" ctl exec ${id}; echo status=$?; stty -a`, '/dev/null'], {
      env: { ...process.env, ...cloud.env, CANDELA_ADDRESS: cloud.address, TERM: 'vt100' },
    });
    t.after(() => script.kill('SIGKILL'));
    let said = '';
    script.stdout.on('data', (bytes) => { said += bytes; });
    const ended = new Promise((done) => { script.on('exit', done); });
    await until('a prompt', () => /[$#] $/.test(said));
    script.stdin.write('stty size; echo kind=$TERM; test -t 0 && test -t 1 && echo on a ter""minal\n');
    await until('its answer', () => said.includes('on a terminal'));
    assert.match(said, /33 77/);
    assert.match(said, /kind=vt100/);
    // Ctrl-C goes to what runs there, and not to ctl.
    script.stdin.write('sleep 4711\n');
    await until('the sleep', () => inside('4711').length > 0);
    script.stdin.write('\x03');
    await until('the sleep to end', () => inside('4711').length === 0);
    script.stdin.write('echo in""terrupted=$?\n');
    await until('the shell to go on', () => /interrupted=130/.test(said));
    script.stdin.write('exit 5\n');
    await within(20_000, 'script', ended);
    assert.match(said, /status=5/);
    assert.match(said, / icanon/);
    assert.match(said, / echo /);
  });

  await t.test('who is not there, and what can\'t be run, is told', async () => {
    const none = await run(CANDELA, ['ctl', 'exec', 'nobody-1', '--', 'true'], { env: { ...cloud.env, CANDELA_ADDRESS: cloud.address } });
    assert.equal(none.code, 3);
    assert.match(none.stderr, /there is no instance 'nobody-1'/);
    const missing = await exec(['no-such-program']);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /no-such-program.*No such file/);
    const forwarded = await cloud.ctl(['port-forward', 'nobody-1'], { ok: false });
    assert.equal(forwarded.code, 3);
  });

  await t.test('a reader that stands still holds up the program, and nothing grows', async () => {
    const slow = begin(t, cloud, ['exec', id, '--', 'head', '-c', String(200 * MIB), '/dev/zero'], { paused: true });
    const node = cloud.node('dev').pid;
    const before = rss(node);
    await until('the program to stand still', () => inside('/dev/zero').length === 1);
    // As much as could have come by far, were it not held up.
    await sleep(1500);
    assert.ok(rss(node) - before < 32 * MIB, `the node grew by ${rss(node) - before}`);
    assert.ok(rss(slow.child.pid) < 64 * MIB, `ctl has ${rss(slow.child.pid)}`);
    assert.equal(inside('/dev/zero').length, 1);
    let bytes = 0;
    slow.child.stdout.on('data', (part) => { bytes += part.length; });
    assert.equal(await within(120_000, 'ctl', slow.ended), 0);
    assert.equal(bytes, 200 * MIB);
  });

  await t.test('ctl that is killed takes the program along', async () => {
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT']) {
      const held = begin(t, cloud, ['exec', id, '--', 'sh', '-c', 'echo begun; setsid sleep 4712 & sleep 4712']);
      await until('it to run', () => held.stdout === 'begun\n' && inside('4712').length === 2);
      held.child.kill(signal);
      await held.ended;
      await until('all of it to end', () => inside('4712').length === 0);
    }
  });

  await t.test('developers of the space may, viewers and others may not, and it is audited', async () => {
    await cloud.ctl(['spaces', 'create', 'other']);
    const developer = await key('dora', 'developer');
    const viewer = await key('vera', 'viewer');
    const stranger = await key('otto', 'developer', 'other');
    const allowed = await cloud.ctl(['exec', id, ...developer, '--', 'echo', 'secret-argument']);
    assert.equal(allowed.stdout, 'secret-argument\n');
    for (const who of [viewer, stranger]) {
      const denied = await cloud.ctl(['exec', id, ...who, '--', 'echo', 'x'], { ok: false });
      assert.notEqual(denied.code, 0);
      assert.ok([3, 4].includes(denied.code), `${denied.code}: ${denied.stderr}`);
      assert.equal(denied.stdout, '');
    }
    assert.equal((await cloud.ctl(['exec', id, ...viewer, '--', 'true'], { ok: false })).code, 4);
    // In a space where she may, but of another's instance.
    const elsewhere = await cloud.ctl(['exec', id, ...stranger, '--', 'true'], { ok: false });
    assert.equal(elsewhere.code, 3);
    const audit = (await cloud.ctl(['audit'])).stdout;
    assert.match(audit, new RegExp(`dora.*POST spaces/default/instances/${id}/exec`));
    assert.match(audit, /echo with 1 argument/);
    assert.doesNotMatch(audit, /secret-argument/);
  });

  await t.test('a credential that is revoked ends what it has opened', async () => {
    const who = await key('rita', 'developer');
    const held = begin(t, cloud, ['exec', id, ...who, '--', 'sh', '-c', 'echo begun; sleep 4713']);
    await until('it to run', () => held.stdout === 'begun\n');
    const { keys } = await cloud.ctlJson('keys list');
    await cloud.ctl(['keys', 'revoke', keys.find((each) => each.name === 'rita').public_key ?? keys.find((each) => each.name === 'rita').public]);
    assert.notEqual(await within(20_000, 'ctl', held.ended), 0);
    await until('the program to end', () => inside('4713').length === 0);
  });

  await t.test('port-forward leads to the instance\'s port, both ways and for long', async () => {
    const held = begin(t, cloud, ['port-forward', id]);
    await until('the port', () => /is at 127\.0\.0\.1:(\d+)/.test(held.stdout));
    const port = Number(held.stdout.match(/:(\d+)/)[1]);
    assert.equal((await request(port, '/version')).text, '1');
    assert.equal((await request(port, '/pid')).text, String((await request(port, '/pid')).text));
    const down = await request(port, `/download?bytes=${20 * MIB}`);
    assert.equal(down.text.length, 20 * MIB);
    const up = await request(port, '/upload', { method: 'POST', body: Buffer.alloc(20 * MIB) });
    assert.equal(up.text, String(20 * MIB));
    // Several at once.
    const all = await Promise.all(Array.from({ length: 20 }, () => request(port, '/version')));
    assert.ok(all.every((each) => each.text === '1'));
    held.child.kill('SIGINT');
    assert.equal(await held.ended, 130);
    await assert.rejects(request(port, '/version'));
    assert.match((await cloud.ctl(['audit'])).stdout, new RegExp(`instances/${id}/forward`));
  });

  await t.test('port-forward is denied to viewers', async () => {
    const who = await key('victor', 'viewer');
    const refused = await cloud.ctl(['port-forward', id, ...who], { ok: false });
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /this needs the role developer/);
  });

  await t.test('a host has 64 sessions at most, and says so', async () => {
    const held = Array.from({ length: 64 }, () => begin(t, cloud, ['exec', id, '--', 'sh', '-c', 'echo begun; cat']));
    await until('all of them', () => held.every((each) => each.stdout === 'begun\n'), 60_000);
    const refused = await exec(['true']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /64 sessions are open on this host/);
    held[0].child.stdin.end();
    assert.equal(await within(20_000, 'ctl', held[0].ended), 0);
    await until('room', async () => (await exec(['true'])).code === 0);
    for (const each of held) each.child.stdin.end();
    for (const each of held) assert.equal(await within(20_000, 'ctl', each.ended), 0);
  });

  await t.test('a port-forward has 64 connections at most, a lighthouse 256', async () => {
    const open = [];
    t.after(() => { for (const each of open) each.destroy(); });
    const forward = async () => {
      const held = begin(t, cloud, ['port-forward', id]);
      await until('the port', () => /is at 127\.0\.0\.1:(\d+)/.test(held.stdout));
      return { held, port: Number(held.stdout.match(/:(\d+)/)[1]) };
    };
    const ask = (port) => new Promise((done) => {
      const socket = net.connect(port, '127.0.0.1', () => socket.write('GET /version HTTP/1.1\r\nHost: x\r\n\r\n'));
      open.push(socket);
      socket.on('data', () => done(true));
      socket.on('close', () => done(false));
      socket.on('error', () => done(false));
    });
    const forwards = [];
    for (let i = 0; i < 4; ++i) {
      forwards.push(await forward());
      const answered = await Promise.all(Array.from({ length: 64 }, () => ask(forwards[i].port)));
      assert.ok(answered.every(Boolean), `${answered.filter(Boolean).length} of 64`);
    }
    assert.equal(await ask(forwards[0].port), false);
    const fifth = await cloud.ctl(['port-forward', id], { ok: false });
    assert.equal(fifth.code, 1);
    assert.match(fifth.stderr, /256 connections into instances are open already/);
    open[0].destroy();
    await until('room', () => ask(forwards[0].port));
    for (const { held } of forwards) {
      held.child.kill('SIGINT');
      await held.ended;
    }
  });

  await t.test('the API says what it wants of who does not upgrade', async () => {
    const answer = await new Promise((done, fail) => {
      const socket = net.connect(cloud.address.slice('unix:'.length));
      let said = '';
      socket.on('data', (bytes) => { said += bytes; });
      socket.on('end', () => done(said));
      socket.on('error', fail);
      socket.end(`POST /v1/spaces/default/instances/${id}/exec?argument=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    });
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.match(answer, /Upgrade: candela-stream/);
  });

  await t.test('an instance that is killed ends what runs beside it', async () => {
    const held = begin(t, cloud, ['exec', id, '--', 'sh', '-c', 'echo begun; sleep 4714']);
    await until('it to run', () => held.stdout === 'begun\n');
    const [{ pid: now }] = await cloud.readyInstances('probe', 1);
    process.kill(now, 'SIGKILL');
    assert.notEqual(await within(20_000, 'ctl', held.ended), 0);
    await until('the program to end', () => inside('4714').length === 0);
    await cloud.readyInstances('probe', 1);
    assert.equal((await exec(['echo', 'again'])).stdout, 'again\n');
  });
});

test('into an instance of a host that is not the lighthouse', { timeout: 300_000 }, async (t) => {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  const bus = `127.0.0.1:${await freePort()}`;
  cloud.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  const common = async (name, dir = data) => ({ name, data_dir: dir, endpoint: `127.0.0.1:${await freePort()}`, workers: 1 });
  const creds = path.join(data, 'identity/creds/host.creds');
  const profiles = {
    bus: profileFrom('bus.toml', { node: await common('bus-1'), bus: { listen: bus } }),
    lighthouse: profileFrom('lighthouse.toml', {
      node: await common('lighthouse-1'), bus: { url: bus }, lighthouse: { listen: `127.0.0.1:${await freePort()}` },
    }),
    host: profileFrom('host.toml', {
      node: await common('host-1', path.join(cloud.dir, 'host')), bus: { url: bus, credentials: creds },
      host: { bus_url: `nats://${bus}`, ports_first: 26000, ports_last: 29999 },
    }),
  };
  for (const [name, profile] of Object.entries(profiles)) {
    const file = path.join(cloud.dir, `${name}.toml`);
    fs.writeFileSync(file, profile);
    cloud.start(name, ['node', '--config', file]);
  }
  await until('the host', async () => (await cloud.ctl('nodes', { ok: false })).stdout.includes('host-1'));
  await cloud.ctl(['deploy', probeApp(t)]);
  const [{ id }] = await cloud.readyInstances('probe', 1);
  const ended = await run(CANDELA, ['ctl', 'exec', id, '--', 'sh', '-c', 'cat; echo $CANDELA_NODE; exit 3'], {
    input: 'there\n', env: { ...cloud.env, CANDELA_ADDRESS: cloud.address },
  });
  assert.deepEqual([ended.stdout, ended.code], ['there\nhost-1\n', 3], ended.stderr);
  const held = begin(t, cloud, ['port-forward', id]);
  await until('the port', () => /is at 127\.0\.0\.1:(\d+)/.test(held.stdout));
  const down = await request(Number(held.stdout.match(/:(\d+)/)[1]), `/download?bytes=${5 * MIB}`);
  assert.equal(down.text.length, 5 * MIB);
  held.child.kill('SIGINT');
  await held.ended;
  // A host that goes ends what is open on it.
  const open = begin(t, cloud, ['exec', id, '--', 'sh', '-c', 'echo begun; sleep 4715']);
  await until('it to run', () => open.stdout === 'begun\n');
  await cloud.node('host').kill();
  assert.equal(await within(60_000, 'ctl', open.ended), 6);
  assert.match(open.stderr, /the connection into the instance ended|went silent|tunnel/);
  await until('the program to end', () => inside('4715').length === 0);
});
