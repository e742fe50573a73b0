// The same hostile service on hosts that lack one wall or another, as the machine has it and not as a profile says:
// what is off is said, by the host and by ctl; what remains holds; who requires more is refused with the reason.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Cloud, makeService } from './lib/cloud.mjs';
import { startHost } from './lib/host.mjs';
import { DEFAULT_PORTS, freeOffset } from './lib/ports.mjs';
import { CANDELA, Program, ROOT, tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const skip = process.getuid() !== 0 && 'only root can make such machines';

// Runs candela where nobody may make namespaces: in a user namespace that has none left, without a capability.
const WITHOUT_NAMESPACES = {
  executable: 'unshare',
  words: ['--user', '--map-root-user', 'sh', '-c', 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"', 'sh', CANDELA],
};

const MACHINES = [
  {
    name: 'with all that this machine has', how: undefined,
    off: [], mayWork: ['an abstract socket'],
  },
  {
    name: 'without namespaces, also of users', how: WITHOUT_NAMESPACES,
    off: ['namespaces', 'root', 'user', 'landlock'],
    // What is left is that it gains no privilege, and may make only the system calls of a list.
    holds: ['a user namespace', 'a user namespace by clone', 'a mount namespace', 'mounting', 'chroot', 'ptrace', 'bpf', 'keyctl', 'io_uring',
      'a raw socket', 'a device', 'sethostname'],
  },
];

function compile(t) {
  const file = path.join(tempDir(t, 'hostile'), 'hostile');
  execFileSync('cc', ['-O1', '-w', '-o', file, path.join(ROOT, 'tests/e2e/hostile/hostile.c')]);
  return fs.readFileSync(file);
}

for (const { name, how, off, mayWork, holds } of MACHINES) {
  test(`${name}: it is said, and the rest holds`, { skip, timeout: 120_000 }, async (t) => {
    const { cloud, own, lighthouse } = await startHost(t, { how });
    const walls = lighthouse.protections();
    t.diagnostic(Object.entries(walls).map(([wall, { on, detail }]) => `${wall}: ${on ? 'on' : 'off'} (${detail})`).join('; '));
    if (off.length === 0 && !walls.namespaces.on) return t.skip('this machine lets nobody make namespaces');
    for (const wall of off) {
      assert.equal(walls[wall].on, false, wall);
      assert.match(walls[wall].detail, /this kernel does not let us make any|needs namespaces|this kernel has none/, wall);
    }
    for (const wall of ['privileges', 'seccomp']) assert.equal(walls[wall].on, true, wall);
    const bundle = lighthouse.add({ hostile: { type: '0', content: compile(t), mode: 0o755 } });
    const secret = path.join(cloud.dir, 'secret');
    fs.writeFileSync(secret, 'of another', { mode: 0o600 });
    const env = {
      SECRET: secret, HOST_CREDENTIAL: path.join(own, 'none'), OTHER_CREDENTIAL: path.join(own, 'none'), LIGHTHOUSE_SOCKET: path.join(own, 'none'),
      ABSTRACT_SOCKET: 'candela-none', HOST_PID: String(cloud.node('host').pid), OTHER_PID: String(process.pid),
    };
    const job = (instance, level) => ({ instance, kind: 'job', command: ['./hostile'], bundle, probe: {}, env, level, scratch: 8 << 20, pids: 100 });
    await lighthouse.assign([job('plain-1', 'none'), job('walled-1', 'isolated'), job('strict-1', 'strict')]);
    await lighthouse.said('plain-1', 'that was all', 60_000);
    const said = lighthouse.lines.filter((line) => line.instance === 'plain-1').map((line) => line.text.match(/^tried (.*): (done|refused \w+)$/)).filter(Boolean);
    const came = Object.fromEntries(said.map(([, what, came_]) => [what, came_]));
    assert.ok(Object.keys(came).length >= 30, JSON.stringify(came));
    if (mayWork) assert.deepEqual(Object.keys(came).filter((what) => came[what] === 'done' && !mayWork.includes(what)), []);
    for (const what of holds ?? []) assert.match(came[what], /refused/, what);
    if (off.includes('namespaces')) {
      assert.match((await lighthouse.reached('walled-1', 'failed')).cause, /requires the sandbox level "isolated", but here namespaces is off \(this kernel does not let us make any\), root is off/);
      assert.equal(lighthouse.lines.some((line) => line.instance === 'walled-1' && line.text.includes('tried')), false);
    } else {
      await lighthouse.said('walled-1', 'that was all', 60_000);
    }
    // Limits of a group need cgroup v2 with its controllers.
    const missing = ['memory', 'cpu', 'pids'].filter((wall) => !walls[wall].on);
    if (missing.length > 0) {
      assert.match((await lighthouse.reached('strict-1', 'failed')).cause, new RegExp(`requires the sandbox level "strict", but here .*${missing[0]} is off`));
    } else if (!off.includes('namespaces')) {
      await lighthouse.said('strict-1', 'that was all', 60_000);
    }
  });
}

test('ctl shows what is off and why, and says why a service waits that requires it', { skip, timeout: 120_000 }, async (t) => {
  const cloud = new Cloud(t);
  cloud.isDev = true;
  const offset = await freeOffset();
  const data = path.join(cloud.dir, 'data');
  cloud.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  const { executable, words } = WITHOUT_NAMESPACES;
  cloud.nodes.push(new Program(executable, [...words, 'dev', '--data-dir', data, '--port-offset', String(offset)], {
    name: 'dev', cwd: cloud.dir, log: path.join(cloud.dir, 'dev.log'), env: cloud.env,
  }));
  await cloud.ready('dev', DEFAULT_PORTS.node + offset);
  const [{ name }] = await until('the node', async () => (await cloud.ctlJson('nodes')).nodes);
  const shown = await until('its walls', async () => {
    const { stdout } = await cloud.ctl(['nodes', 'show', name]);
    return /PROTECTION/.test(stdout) && stdout;
  });
  assert.match(shown, /^sandbox level: none$/m);
  assert.match(shown, /^namespaces +off +this kernel does not let us make any$/m);
  assert.match(shown, /^landlock +off +/m);
  assert.match(shown, /^seccomp +on +/m);
  const toml = 'name = "walled"\nkind = "bus"\ncommand = ["sleep", "1000"]\n[sandbox]\nlevel = "isolated"\n';
  const deployed = await cloud.ctl(['deploy', '--timeout', '3s', makeService(t, 'walled', toml)], { ok: false });
  assert.notEqual(deployed.code, 0);
  assert.match(deployed.stderr, /1 lacks the walls of its sandbox level \(candela ctl nodes show NODE\)/);
});
