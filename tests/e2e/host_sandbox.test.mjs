// A hostile service within the walls of a host: what it tries is refused, for every wall that this machine has, and
// with one wall or another turned off; what is off then is said, in the log and in heartbeats.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { Cloud } from './lib/cloud.mjs';
import { HostLighthouse } from './lib/host_lighthouse.mjs';
import { request } from './lib/http.mjs';
import { freePort } from './lib/ports.mjs';
import { CANDELA, Program, ROOT, isAlive, makeTempDir, run, tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const isRoot = process.getuid() === 0;
const NOBODY = 65534;

// The program, compiled once.
let compiled;
function hostile(t) {
  if (compiled) return compiled;
  const file = path.join(tempDir(t, 'hostile'), 'hostile');
  execFileSync('cc', ['-O1', '-w', '-o', file, path.join(ROOT, 'tests/e2e/hostile/hostile.c')]);
  compiled = fs.readFileSync(file);
  return compiled;
}

// `as`: the uid that the host runs as.
async function startHost(t, { lines = '', as } = {}) {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const ports = { bus: await freePort(), bus_node: await freePort(), node: await freePort() };
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  const busProfile = path.join(cloud.dir, 'bus.toml');
  fs.writeFileSync(busProfile, `[node]
name = "bus-1"
roles = ["bus"]
data_dir = "${data}"
endpoint = "127.0.0.1:${ports.bus_node}"
[bus]
listen = "127.0.0.1:${ports.bus}"
`);
  const own = path.join(cloud.dir, 'host-data');
  fs.mkdirSync(own);
  const creds = path.join(own, 'host.creds');
  fs.copyFileSync(path.join(data, 'identity/creds/host.creds'), creds);
  const profile = path.join(cloud.dir, 'host.toml');
  fs.writeFileSync(profile, `[node]
name = "host-1"
roles = ["host"]
data_dir = "${own}"
endpoint = "127.0.0.1:${ports.node}"
[bus]
url = "127.0.0.1:${ports.bus}"
credentials = "${creds}"
[host]
bus_url = "nats://127.0.0.1:${ports.bus}"
${lines}
`);
  cloud.start('bus', ['node', '--config', busProfile], { cwd: cloud.dir });
  await cloud.ready('bus', ports.bus_node);
  const lighthouse = await HostLighthouse.start(t, data, `127.0.0.1:${ports.bus}`);
  const start = async () => {
    if (as === undefined) {
      cloud.start('host', ['node', '--config', profile], { cwd: cloud.dir });
    } else {
      fs.chmodSync(cloud.dir, 0o755);
      for (const file of [own, creds]) fs.chownSync(file, as, as);
      const words = ['--reuid', String(as), '--regid', String(as), '--clear-groups', CANDELA, 'node', '--config', profile];
      cloud.nodes = cloud.nodes.filter((node) => node.name !== 'host');
      cloud.nodes.push(new Program('setpriv', words, { name: 'host', cwd: cloud.dir, log: path.join(cloud.dir, 'host.log'), env: cloud.env }));
    }
    await cloud.ready('host', ports.node);
  };
  await start();
  await until('a heartbeat', () => lighthouse.beat?.[40]);
  return { cloud, own, creds, lighthouse, start, ports };
}

// What came of each attempt: {name: 'refused EPERM' or 'done'}.
async function attack(t, { cloud, own, creds, lighthouse }, { greedy = false } = {}) {
  const secret = path.join(cloud.dir, 'secret');
  fs.writeFileSync(secret, 'of another', { mode: 0o644 });
  const socket = path.join(cloud.dir, 'lighthouse.sock');
  const server = net.createServer((peer) => peer.destroy()).listen(socket);
  fs.chmodSync(cloud.dir, 0o755);
  const abstract = `candela-${path.basename(cloud.dir)}`;
  const listening = net.createServer((peer) => peer.destroy()).listen(`\0${abstract}`);
  t.after(() => { server.close(); listening.close(); });
  const bundle = lighthouse.add({ hostile: { type: '0', content: hostile(t), mode: 0o755 }, 'app.js': `
    require('node:http').createServer((q, s) => s.end('well')).listen(process.env.PORT, process.env.HOST);` });
  const victim = { instance: 'victim-1', command: ['node', 'app.js'], bundle, probe: { path: '/' } };
  await lighthouse.assign([victim]);
  const other = await lighthouse.reached('victim-1', 'ready');
  const env = {
    SECRET: secret, HOST_CREDENTIAL: creds, OTHER_CREDENTIAL: path.join(own, 'host/run/victim-1/credentials/bus.creds'),
    LIGHTHOUSE_SOCKET: socket, ABSTRACT_SOCKET: abstract, HOST_PID: String(cloud.node('host').pid), OTHER_PID: String(other.pid),
    ...(greedy ? { GREEDY: '1' } : {}),
  };
  await lighthouse.assign([victim, { instance: 'evil-1', kind: 'job', command: ['./hostile'], bundle, probe: {}, env,
    memory: 200 * 2 ** 20, pids: 100, scratch: 8 * 2 ** 20 }]);
  await lighthouse.said('evil-1', 'that was all', 60_000);
  await until('it to be over', () => ['exited', 'failed'].includes(lighthouse.instances()['evil-1']?.state));
  const text = lighthouse.lines.filter((line) => line.instance === 'evil-1').map((line) => line.text);
  const came = Object.fromEntries(text.map((line) => line.match(/^tried (.*): (done|refused \w+)$/)).filter(Boolean).map((m) => [m[1], m[2]]));
  // Who was attacked is well, and so is the host.
  assert.equal((await request(other.port, '/')).text, 'well');
  assert.equal(lighthouse.instances()['victim-1'].restarts, 0);
  const number = (what) => Number(text.map((line) => line.match(new RegExp(`^${what} (\\d+)`))?.[1]).find(Boolean));
  return { came, number };
}

const done = (came) => Object.entries(came).filter(([, how]) => how === 'done').map(([name]) => name).sort();

// {name: {on, detail}} of the last heartbeat.
const protections = (lighthouse) => lighthouse.protections();

test('every wall there is: whatever a hostile service tries is refused', { timeout: 120_000 }, async (t) => {
  const host = await startHost(t);
  const { came, number } = await attack(t, host, { greedy: true });
  const walls = protections(host.lighthouse);
  t.diagnostic(`off: ${Object.entries(walls).filter(([, wall]) => !wall.on).map(([name, wall]) => `${name} (${wall.detail})`).join(', ')}`);
  if (!walls.namespaces.on) return t.skip('this kernel lets us make no namespaces');
  assert.ok(Object.keys(came).length >= 40, JSON.stringify(came));
  // Without Landlock's scopes a socket that has no file can be reached.
  const expected = Number(walls.landlock.detail.match(/ABI (\d+)/)?.[1] ?? 0) >= 6 ? [] : ['an abstract socket'];
  assert.deepEqual(done(came), expected);
  for (const [name, how] of Object.entries({
    "another's file": 'ENOENT', "the host's credential": 'ENOENT', "another's credential": 'ENOENT', "the lighthouse's socket": 'ENOENT',
    'the disk': 'ENOENT', 'its bundle': 'EROFS', '/usr': 'EROFS', mounting: 'EPERM', 'a user namespace': 'EPERM', ptrace: 'EPERM', bpf: 'EPERM',
    keyctl: 'EPERM', io_uring: 'EPERM', 'signalling the host': 'ESRCH', "another's environment": 'ENOENT', 'filling /tmp': 'ENOSPC',
    'all descriptors': 'EMFILE', 'a fork bomb': 'EAGAIN',
  })) {
    // Landlock and the mount may each be the first to refuse a write.
    const either = how === 'EROFS' ? /EROFS|EACCES/ : new RegExp(how);
    assert.match(came[name], either, name);
  }
  assert.ok(number('forked') < 100);
  assert.ok(number('wrote') <= 8);
  assert.ok(number('took') < 200);
});

test('a host that is nobody builds them in user namespaces', { timeout: 120_000, skip: !isRoot && 'only root can be another' }, async (t) => {
  const host = await startHost(t, { as: NOBODY });
  const walls = protections(host.lighthouse);
  if (!walls.namespaces.on) return t.skip('this kernel lets nobody make user namespaces');
  assert.equal(walls.user.on, false);
  assert.match(walls.namespaces.detail, /user namespace/);
  const { came } = await attack(t, host, { greedy: true });
  const expected = walls.landlock.on ? [] : ['an abstract socket'];
  assert.deepEqual(done(came), expected);
  assert.match(came['a fork bomb'], /EAGAIN/);
});

for (const [off, mayWork] of [
  [['landlock'], ['an abstract socket']],
  // What then still refuses is that it has no capabilities and a root of its own.
  [['seccomp', 'landlock'], ['an abstract socket', 'a user namespace', 'a user namespace by clone', 'io_uring', 'keyctl', 'bpf', 'mounting',
    'chroot', 'a mount namespace', 'sethostname']],
  [['user', 'landlock'], ['an abstract socket', 'becoming root', 'sysrq']],
]) {
  test(`without ${off.join(' and ')}: it is said, and the rest holds`, { timeout: 120_000 }, async (t) => {
    const host = await startHost(t, { lines: `sandbox_off = ${JSON.stringify(off)}` });
    const walls = protections(host.lighthouse);
    for (const name of off) assert.deepEqual([walls[name].on, walls[name].detail], [false, 'turned off by sandbox_off']);
    if (!walls.namespaces.on) return t.skip('this kernel lets us make no namespaces');
    const { came } = await attack(t, host);
    assert.deepEqual(done(came).filter((name) => !mayWork.includes(name)), []);
    assert.match(host.cloud.node('host').output(), new RegExp(`protection .*name=${off[0]} on=false`));
  });
}

test('without namespaces files of the machine are readable, and that is said', { timeout: 120_000 }, async (t) => {
  const host = await startHost(t, { lines: 'sandbox_off = ["namespaces"]' });
  const walls = protections(host.lighthouse);
  for (const name of ['namespaces', 'root', 'user', 'landlock']) assert.equal(walls[name].on, false, name);
  assert.equal(walls.privileges.on, true);
  const { came } = await attack(t, host);
  assert.equal(came["another's file"], 'done');
  for (const name of ['a user namespace', 'mounting', 'ptrace', 'bpf', 'a raw socket', 'a device']) assert.match(came[name], /refused/, name);
});

test('each instance has a group of cgroup v2, and it goes with it', { timeout: 90_000 }, async (t) => {
  const mount = makeTempDir('cgroup');
  try {
    execFileSync('mount', ['-t', 'cgroup2', 'none', mount], { stdio: 'pipe' });
  } catch (error) {
    fs.rmdirSync(mount);
    return t.skip(`cgroup v2 can't be mounted here: ${String(error.stderr).trim()}`);
  }
  const group = path.join(mount, `candela-test-${process.pid}`);
  fs.mkdirSync(group);
  const cleanUp = () => {
    try {
      fs.rmdirSync(group);
    } finally {
      execFileSync('umount', [mount]);
      fs.rmdirSync(mount);
    }
  };
  const { cloud, lighthouse, start } = await startHost(t, { lines: `cgroup_folder = "${group}"` })
    .catch((error) => { cleanUp(); throw error; });
  t.after(cleanUp);  // behind the end of the nodes
  const bundle = lighthouse.add({ a: 'x' });
  const service = { instance: 'web-1', kind: 'bus', command: ['sh', '-c', 'sleep 1000 & cat /proc/self/cgroup; exec sleep 1000'], probe: {}, bundle };
  await lighthouse.assign([service]);
  const { pid } = await lighthouse.reached('web-1', 'ready');
  const own = path.join(group, 'i-web-1');
  assert.match(fs.readFileSync(`/proc/${pid}/cgroup`, 'latin1'), new RegExp(`^0::/candela-test-${process.pid}/i-web-1$`, 'm'));
  assert.equal(fs.readFileSync(path.join(own, 'cgroup.procs'), 'latin1').trim().split('\n').length, 2);
  // Within its walls it is the root of all groups.
  await lighthouse.said('web-1', '0::/');
  // What this kernel has no controller for is off, and said; what it has is on.
  const given = fs.readFileSync(path.join(group, 'cgroup.subtree_control'), 'latin1').trim().split(' ');
  for (const name of ['memory', 'cpu', 'pids', 'io']) assert.equal(lighthouse.protections()[name].on, given.includes(name), name);
  await cloud.node('host').kill('SIGKILL');
  await start();
  assert.equal((await lighthouse.reached('web-1', 'ready')).pid, pid);
  await lighthouse.assign([]);
  await until('the group to be gone', () => !fs.existsSync(own));
});

test('a service that requires walls is refused where they are not', { timeout: 90_000 }, async (t) => {
  const { lighthouse } = await startHost(t, { lines: 'sandbox_off = ["seccomp", "cgroup"]' });
  const bundle = lighthouse.add({ a: 'x' });
  const service = (instance, level) => ({ instance, kind: 'bus', command: ['sleep', '1000'], probe: {}, bundle, level });
  await lighthouse.assign([service('plain-1', 'none'), service('walled-1', 'isolated'), service('strict-1', 'strict'), service('new-1', 'vault')]);
  await lighthouse.reached('plain-1', 'ready');
  assert.match((await lighthouse.reached('walled-1', 'failed')).cause, /requires the sandbox level "isolated", but here .*seccomp is off \(turned off by sandbox_off\)/);
  assert.match((await lighthouse.reached('strict-1', 'failed')).cause, /memory is off \(turned off by sandbox_off/);
  assert.match((await lighthouse.reached('new-1', 'failed')).cause, /does not know the sandbox level "vault"/);
});

test('what misbehaves is contained, reported and cleaned up', { timeout: 120_000 }, async (t) => {
  const { cloud, own, lighthouse } = await startHost(t);
  const bundle = lighthouse.add({ a: 'x' });
  const shell = (instance, script, more = {}) => ({ instance, kind: 'bus', command: ['sh', '-c', script], probe: {}, bundle, grace: 300, ...more });
  await lighthouse.assign([
    shell('stubborn-1', 'trap "" TERM; echo up; while :; do sleep 0.05; done'),
    shell('daemon-1', 'setsid sh -c "trap \\"\\" TERM; while :; do sleep 0.05; done" & echo up; exec sleep 1000'),
    shell('loud-1', 'head -c 1000000000 /dev/zero; echo; echo up; exec sleep 1000'),
    shell('forking-1', 'sleep 1000 & echo forked; exit 5', { kind: 'job' }),
  ]);
  for (const name of ['stubborn-1', 'daemon-1']) await lighthouse.reached(name, 'ready');
  await lighthouse.said('loud-1', 'up', 60_000);
  assert.equal((await lighthouse.reached('forking-1', 'failed')).exitCode, 5);
  const pids = ['stubborn-1', 'daemon-1', 'loud-1'].map((name) => lighthouse.instances()[name].pid);
  const resident = Number(fs.readFileSync(`/proc/${cloud.node('host').pid}/status`, 'latin1').match(/VmRSS:\s+(\d+)/)[1]);
  assert.ok(resident < 100_000, `the host takes ${resident} kB`);
  await lighthouse.assign([]);
  await until('all to be gone', () => pids.every((pid) => !isAlive(pid)) && fs.readdirSync(path.join(own, 'host/run')).length === 0);
});

test('a host is killed and started again under load: no request fails', { timeout: 120_000 }, async (t) => {
  const { cloud, lighthouse, start } = await startHost(t);
  const bundle = lighthouse.add({ 'app.js': "require('node:http').createServer((q, s) => s.end('well')).listen(process.env.PORT, process.env.HOST);" });
  await lighthouse.assign([{ instance: 'web-1', command: ['node', 'app.js'], bundle, probe: { path: '/' } }]);
  const { port, pid } = await lighthouse.reached('web-1', 'ready');
  let goesOn = true;
  const failures = [];
  let answers = 0;
  const load = (async () => {
    while (goesOn) {
      const answer = await request(port, '/').catch((error) => error);
      if (answer.status === 200) answers += 1;
      else failures.push(String(answer.message ?? answer.status));
    }
  })();
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL']) {
    await cloud.node('host').kill(signal);
    const before = answers;
    await until('answers without a host', () => answers > before + 20);
    await start();
    const now = await lighthouse.reached('web-1', 'ready');
    assert.deepEqual([now.pid, now.port, now.restarts], [pid, port, 0]);
  }
  goesOn = false;
  await load;
  assert.deepEqual(failures, []);
});
