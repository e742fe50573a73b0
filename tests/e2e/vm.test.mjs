// The .deb on a real machine: Debian with systemd and cgroup v2, in a virtual machine. Units as they are packaged, limits
// by groups, all walls around a hostile service, and a host that is restarted, killed and upgraded under load.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { ROOT, run, tempDir } from './lib/program.mjs';
import { Vm, vmImage, whyNoVm } from './lib/vm.mjs';
import { until } from './lib/wait.mjs';

const UNITS = ['bus', 'lighthouse', 'host', 'gateway', 'loadbalancer'].map((role) => `candela-${role}`);
const ALL = UNITS.join(' ');
const GROUPS = '/sys/fs/cgroup/system.slice/candela-host.service';
const patience = { timeout: 120_000, every: 500 };

// The package of this build.
function makePackage(dir) {
  const made = execFileSync('bash', ['packaging/deb.sh', process.env.CANDELA_BUILD ?? 'build'], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n').pop();
  const file = path.join(dir, 'first.deb');
  fs.copyFileSync(path.join(ROOT, made), file);
  return file;
}

// It, and the same with a higher version; and what services run.
function makePackages(t) {
  const dir = tempDir(t, 'packages');
  const first = makePackage(dir);
  const second = path.join(dir, 'second.deb');
  const unpacked = path.join(dir, 'unpacked');
  execFileSync('dpkg-deb', ['-R', first, unpacked]);
  const control = path.join(unpacked, 'DEBIAN/control');
  fs.writeFileSync(control, fs.readFileSync(control, 'utf8').replace(/^Version: (.*)$/m, 'Version: $1+later'));
  execFileSync('dpkg-deb', ['-Zgzip', '-z1', '--root-owner-group', '-b', unpacked, second]);
  const programs = {};
  for (const [name, source] of [['greedy', 'vm/greedy.c'], ['hostile', 'hostile/hostile.c']]) {
    programs[name] = path.join(dir, name);
    execFileSync('cc', ['-O1', '-w', '-static', '-o', programs[name], path.join(ROOT, 'tests/e2e', source)]);
  }
  return { first, second, programs };
}

const service = (name, more = '') => `name = "${name}"
command = ["./greedy"]
${more}
[probe]
tcp = true
interval = "1s"
timeout = "3s"
[sandbox]
level = "strict"
[[route]]
host = "${name}.localhost"
`;

// What the test asks of a machine again and again.
function tools(vm) {
  const json = async (command) => JSON.parse(await vm.sh(`candela ctl ${command} --json`));
  const tool = {
    json,
    instances: async (name) => (await json('instances')).instances.filter((each) => each.service === name),
    instance: async (name) => {
      const found = await tool.instances(name);
      return found.length === 1 && found[0].state === 'ready' ? found[0] : undefined;
    },
    pid: (unit) => vm.sh(`systemctl show -P MainPID ${unit}`),
    get: (name, where = '/') => vm.run(`curl -sS -m 40 -H 'Host: ${name}.localhost' http://127.0.0.1${where}`),
    deploy: async (name, toml, program, more = 'true') => {
      await vm.sh(`mkdir -p /srv/${name} && cd /srv/${name} && cp /mnt/${program} . && ${more}`);
      await vm.put(`/srv/${name}/service.toml`, toml);
      return vm.sh(`candela ctl deploy /srv/${name}`, { timeout: 120_000 });
    },
    // Every attempt of the hostile service, as a job within the walls of this machine.
    attack: async (unit) => {
      await vm.sh('echo "of another" >/srv/secret; chmod 644 /srv/secret');
      const other = await until('one to attack', () => tool.instance('calm'), patience);
      const evil = { SECRET: '/srv/secret', HOST_CREDENTIAL: '/var/lib/candela/identity/creds/host.creds', LIGHTHOUSE_SOCKET: '/var/lib/candela/lighthouse.sock',
        OTHER_CREDENTIAL: `/var/lib/candela/host/run/${other.id}/credentials/bus.creds`, ABSTRACT_SOCKET: 'nobody', HOST_PID: await tool.pid(unit),
        OTHER_PID: String(other.pid), GREEDY: '1' };
      for (const file of [evil.SECRET, evil.HOST_CREDENTIAL, evil.LIGHTHOUSE_SOCKET, evil.OTHER_CREDENTIAL]) await vm.sh(`test -e ${file}`);
      const env = Object.entries(evil).map(([name, value]) => `${name} = "${value}"`).join('\n');
      // It fills memory last of all but one: its limit ends it there, so one is greedy and the other is not.
      await tool.deploy('evil', `name = "evil"\nkind = "job"\ncommand = ["./hostile"]\n[limits]\nmemory = "64MiB"\npids = 60\nscratch = "8MiB"\n`
        + `[sandbox]\nlevel = "strict"\n[env]\n${env}\n`, 'hostile');
      const lines = await until('all of its attempts', async () => {
        const text = await vm.sh('candela ctl logs evil --tail 200');
        return text.includes('opened ') && /evil-\w+ .*(took|out of memory)/.test(text) && text.split('\n');
      }, patience).catch(async (error) => { throw new Error(`${error.message}\n${await vm.sh('candela ctl logs evil --tail 200; candela ctl instances')}`); });
      const came = Object.fromEntries(lines.map((line) => line.match(/tried (.*): (done|refused \w+)$/)).filter(Boolean).map((m) => [m[1], m[2]]));
      assert.ok(Object.keys(came).length >= 38, JSON.stringify(came));
      assert.deepEqual(Object.entries(came).filter(([, how]) => how === 'done').map(([what]) => what), []);
      const now = await tool.instance('calm');
      assert.deepEqual([now.pid, now.restarts], [other.pid, 0]);
      return came;
    },
  };
  return tool;
}

const protectionsOf = (node) => Object.fromEntries(node.protections.map(({ name, on, detail }) => [name, { on, detail }]));

test('the package passes its own check where no systemd runs', { skip: whyNoVm(), timeout: 900_000 }, async (t) => {
  const dir = tempDir(t, 'chroot');
  const deb = makePackage(dir);
  const image = await vmImage(deb, { newer: true });
  if (image.unreachable) return t.skip(`the machine's disk can't be made: ${image.unreachable}`);
  // In namespaces of its own: its mounts, processes and ports are nobody else's.
  const apart = (command, options) => run('unshare', ['--mount', '--pid', '--fork', '--kill-child', '--net', 'sh', '-c', command], { cwd: dir, ...options });
  const may = await apart('mount -t tmpfs none /mnt');
  if (may.code !== 0) return t.skip(`nobody may mount here: ${may.stderr}`);
  fs.mkdirSync(path.join(dir, 'root'));
  const copied = await run('debugfs', ['-R', `rdump / ${path.join(dir, 'root')}`, path.join(image.dir, 'disk')], { timeout: 300_000 });
  assert.equal(copied.code, 0, copied.stderr);
  fs.copyFileSync(deb, path.join(dir, 'root/root/first.deb'));
  fs.copyFileSync(path.join(ROOT, 'packaging/check_deb.sh'), path.join(dir, 'root/root/check_deb.sh'));
  const checked = await apart('ip link set lo up && mount -t proc proc root/proc && mount --rbind /dev root/dev && exec chroot root bash /root/check_deb.sh /root/first.deb', { timeout: 300_000 });
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  assert.match(checked.stdout, /all-in-one is ready\nremoved and purged without a trace$/m);
});

test('the package on a machine with systemd and cgroup v2', { skip: whyNoVm(), timeout: 1_800_000 }, async (t) => {
  const { first, second, programs } = makePackages(t);
  const image = await vmImage(first, { newer: true });
  if (image.unreachable) return t.skip(`the machine's disk can't be made: ${image.unreachable}`);
  const vm = await Vm.start(t, image.dir, { files: { 'first.deb': first, 'second.deb': second, ...programs } });
  const { json, instance, instances, pid, get, deploy, attack } = tools(vm);
  const pids = () => vm.sh(`systemctl show -P MainPID ${ALL}`);
  let failed = '';
  const step = async (name, body) => {
    const from = Date.now();
    await t.test(name, async (sub) => {
      if (failed) return sub.skip(`not tried, since this failed: ${failed}`);
      try {
        await body(sub);
      } catch (error) {
        failed = name;
        sub.diagnostic(await vm.run("journalctl -o short-monotonic -u 'candela*' --no-pager | grep -v left-over | tail -n 60").then(({ out }) => out, String));
        throw error;
      }
    });
    t.diagnostic(`${name}: ${((Date.now() - from) / 1000).toFixed(1)} s`);
  };

  await step('every unit starts as packaged, is ready, and reloads', async () => {
    await vm.sh('dpkg -i /mnt/first.deb', { timeout: 120_000 });
    assert.equal(await vm.sh("systemctl list-units 'candela*' --all --no-legend"), '');
    assert.equal(await vm.sh('stat -c %a:%U /var/lib/candela'), '700:candela');
    await vm.sh('runuser -u candela -- candela init --data-dir /var/lib/candela');
    // Port 80 is the gateway's, where both are on one machine; which is what it balances then.
    await vm.sh(`sed -i -e 's/^listen = "0.0.0.0:80"/listen = "127.0.0.1:8090"/' -e 's/^address = "127.0.0.1:8080"/address = "127.0.0.1:80"/' /etc/candela/loadbalancer.toml`);
    await vm.sh(`systemctl enable --now ${ALL}`, { timeout: 120_000 });
    await until('all to be ready', async () => (await vm.sh(`systemctl show -P StatusText ${ALL}`)) === UNITS.map(() => 'ready').join('\n\n'), patience);
    const state = await vm.sh(`systemctl show -p ActiveState -p SubState -p NRestarts -p Type ${ALL}`);
    for (const one of state.split('\n\n')) assert.deepEqual(one.split('\n').sort(), ['ActiveState=active', 'NRestarts=0', 'SubState=running', 'Type=notify'], one);
    assert.equal(await vm.sh("ps -C candela -o user= | sort -u"), 'candela');
    for (const unit of UNITS) assert.match(await vm.sh(`journalctl -u ${unit} -o cat --no-pager`), new RegExp(`info node_started node=${unit.replace('candela', 'candela-vm')} `));
    const status = await until('all nodes', async () => {
      const now = await json('status');
      return now.nodes.filter((node) => node.state === 'ready').length === UNITS.length && now;
    }, patience);
    assert.deepEqual(status.nodes.map((node) => node.name).sort(), UNITS.map((unit) => unit.replace('candela', 'candela-vm')).sort());
    // Nothing sets this machine's clock, and that is all that there is to say of it.
    const said = await until('doctor to find nothing wrong', () => vm.sh('candela doctor'), patience);
    for (const unit of UNITS) assert.match(said, new RegExp(`/etc/candela/${unit.slice('candela-'.length)}.toml`));
    const remarks = said.split('\n').filter((line) => /^ +(warning|WRONG)/.test(line));
    for (const line of remarks) assert.match(line, /warning +clock: nothing keeps this machine's clock right/);
    const before = await pids();
    await vm.sh(`systemctl reload ${ALL}`);
    await until('all to reload', async () => (await vm.sh("journalctl -u 'candela-*' -o cat --no-pager")).match(/info reloaded$/gm)?.length === UNITS.length, patience);
    assert.equal(await pids(), before);
  });

  await step('the packaged host has every protection of a user without rights', async () => {
    const node = await json('nodes show candela-vm-host');
    const walls = protectionsOf(node);
    assert.deepEqual(Object.keys(walls).filter((name) => !walls[name].on), ['user']);
    assert.match(walls.user.detail, /only a host that runs as root/);
    assert.match(walls.namespaces.detail, /in a user namespace/);
    assert.equal(node.sandbox_level, 'strict');
    await deploy('greedy', service('greedy', '[limits]\nmemory = "64MiB"\ncpu_percent = 20\npids = 40'), 'greedy');
    await deploy('calm', service('calm'), 'greedy');
    for (const name of ['greedy', 'calm']) {
      const { id, pid: process } = await until(name, () => instance(name), patience);
      // Its processes are in a group of its own beside the host's, of which it sees the root alone.
      assert.equal(await vm.sh(`cat /proc/${process}/cgroup`), `0::/system.slice/candela-host.service/i-${id}`);
      assert.equal(await vm.sh(`cat ${GROUPS}/i-${id}/cgroup.procs`), String(process));
      assert.equal(await vm.sh(`nsenter -t ${process} -C cat /proc/${process}/cgroup`), '0::/');
      assert.equal(await vm.sh(`candela ctl exec ${id} -- cat /proc/self/cgroup`), '0::/');
      const held = await vm.sh(`cat /proc/${process}/status`);
      for (const line of [/^NoNewPrivs:\s+1$/m, /^Seccomp:\s+2$/m, /^CapEff:\s+0+$/m, /^CapBnd:\s+0+$/m]) assert.match(held, line);
      const spaces = async (of) => (await vm.sh(`cd /proc/${of}/ns && readlink pid mnt ipc uts user cgroup`)).split('\n');
      const machines = await spaces(1);
      for (const space of await spaces(process)) assert.ok(!machines.includes(space), space);
    }
    assert.equal(await vm.sh(`cat /proc/$(systemctl show -P MainPID candela-host)/cgroup`), '0::/system.slice/candela-host.service/host');
  });

  await step('limits hold for one instance, and its neighbour does not notice', async () => {
    const calm = await instance('calm');
    const one = await instance('greedy');
    const group = `${GROUPS}/i-${one.id}`;
    assert.equal(await vm.sh(`cat ${group}/memory.max ${group}/pids.max ${group}/cpu.max | tr '\\n' ' '`), '67108864 40 20000 100000');
    // Processes.
    const forked = (await get('greedy', '/fork')).out.match(/^(\d+) EAGAIN$/);
    assert.ok(forked && Number(forked[1]) < 40 && Number(forked[1]) > 20, forked?.[0]);
    // CPU: a fifth of a core, however much it wants.
    const cpu = async () => Object.fromEntries((await vm.sh(`cat ${group}/cpu.stat`)).split('\n').map((line) => line.split(' ')).map(([key, value]) => [key, Number(value)]));
    const before = await cpu();
    await get('greedy', '/burn');
    const after = await cpu();
    assert.ok(after.nr_throttled - before.nr_throttled >= 5, JSON.stringify({ before, after }));
    // Four seconds and what comes with the request; a period more or less.
    assert.ok(after.usage_usec - before.usage_usec < 2_000_000, JSON.stringify({ before, after }));
    const shown = await until('pressure to be shown', async () => (await json('top --once')).instances.find((each) => each.id === one.id && each.usage?.cpu_pressure > 0), patience);
    assert.ok(shown.usage.cpu_pressure <= 1);
    // Memory: it is ended, the cause said, and started again at once.
    const from = Date.now();
    // Not a GET, which the gateway would try again at the next life of the instance.
    await vm.run("curl -sS -m 40 -X POST -H 'Host: greedy.localhost' http://127.0.0.1/memory");
    const again = await until('it to be started again', async () => {
      const now = await instance('greedy');
      return now && now.pid !== one.pid && now;
    }, patience);
    t.diagnostic(`killed for want of memory and ready again: ${Date.now() - from} ms`);
    assert.deepEqual([again.id, again.restarts], [one.id, 1]);
    assert.match(again.last_exit, /signal 9 .*out of memory: it may take 64\.0 MiB/);
    assert.match(await vm.sh('journalctl -u candela-host -o cat --no-pager'), /instance_ended .*instance=greedy-\w+ .*out of memory: it may take 64\.0 MiB/);
    assert.equal(await vm.sh(`cat ${group}/cgroup.procs`), String(again.pid));
    const now = await instance('calm');
    assert.deepEqual([now.pid, now.restarts], [calm.pid, 0]);
    assert.equal((await get('calm')).code, 0);
    assert.equal(await vm.sh('systemctl is-active candela-host'), 'active');
  });

  await step('a hostile service is refused whatever it tries', async () => {
    const came = await attack('candela-host');
    assert.match(came['sysrq'], /refused EACCES/);
    await vm.sh('candela ctl delete evil');
  });

  await step('the host is restarted, killed and upgraded under load: no request fails, instances stay', async (sub) => {
    const before = { calm: (await instance('calm')).pid, greedy: (await instance('greedy')).pid };
    await vm.sh('touch /run/load');
    const load = vm.run('/mnt/greedy load 80 calm.localhost /run/load', { timeout: 400_000 });
    const same = async (what) => {
      for (const [name, was] of Object.entries(before)) {
        const now = await until(`${name} after ${what}`, () => instance(name), patience);
        assert.equal(now.pid, was, `${name} after ${what}`);
      }
      const unit = await vm.sh('systemctl show -P ActiveState candela-host');
      assert.equal(unit, 'active', what);
    };
    const host = await pid('candela-host');
    await vm.sh('systemctl restart candela-host');
    await same('a restart');
    const restarted = await pid('candela-host');
    assert.notEqual(restarted, host);
    await vm.sh('systemctl kill -s KILL --kill-whom=main candela-host');
    await until('another host', async () => !['0', restarted].includes(await pid('candela-host')), patience);
    await until('it to be active', async () => (await vm.run('systemctl is-active candela-host')).code === 0, patience);
    await same('kill -9');
    const gateway = await pid('candela-gateway');
    await vm.sh('systemctl reload candela-gateway');
    const out = await vm.sh('dpkg -i /mnt/second.deb', { timeout: 240_000 });
    assert.doesNotMatch(out, /candela:|candela upgrade:/);
    assert.match(await vm.sh("dpkg-query -W -f '${Version}' candela"), /\+later$/);
    await same('an upgrade');
    // What runs is what was installed: the old file has no name any more.
    assert.equal(await vm.sh(`systemctl show -P ActiveState ${ALL} | sort -u | grep .`), 'active');
    const executables = await vm.sh(`for pid in $(systemctl show -P MainPID ${ALL}); do readlink /proc/$pid/exe; done`);
    assert.equal(executables, UNITS.map(() => '/usr/bin/candela').join('\n'));
    assert.notEqual(await pid('candela-gateway'), gateway);
    assert.equal(await vm.sh('systemctl show -P NRestarts candela-gateway'), '0');
    await until('all nodes', async () => (await json('status')).nodes.filter((node) => node.state === 'ready').length === UNITS.length, patience);
    await vm.sh('rm /run/load');
    const { out: counted } = await load;
    sub.diagnostic(counted);
    assert.match(counted, /^good \d{2,} bad 0 /m);
  });

  await step('stopped, instances run on; killed as a unit, they end', async () => {
    const { pid: process } = await instance('calm');
    await vm.sh('systemctl stop candela-host', { timeout: 90_000 });
    assert.equal((await get('calm')).code, 0);
    await vm.sh(`test -d /proc/${process}`);
    await vm.sh('systemctl start candela-host');
    await until('it to be found', async () => (await instance('calm'))?.pid === process, patience);
    await vm.sh('systemctl kill candela-host');
    await until('all to end', async () => (await vm.run('ps -C greedy,candela-keeper -o pid=')).out === '', patience);
    await until('the unit to end', async () => (await vm.sh('systemctl show -P ActiveState candela-host')) === 'inactive', patience);
    assert.equal(await vm.sh(`ls ${GROUPS} 2>/dev/null | grep ^i- || true`), '');
  });

  await step('removed and purged, nothing is left', async () => {
    await vm.sh('systemctl start candela-host');
    await until('instances', () => instance('calm'), patience);
    await vm.sh('dpkg -r candela', { timeout: 240_000 });
    assert.equal((await vm.run('ps -C candela,greedy,candela-keeper -o pid=,args=')).out, '');
    await vm.sh('test -e /var/lib/candela/identity && test -e /etc/candela/host.toml');
    await vm.sh('dpkg -P candela', { timeout: 120_000 });
    assert.equal(await vm.sh("ls -d /var/lib/candela /etc/candela /var/log/candela /run/candela* 2>/dev/null || true; getent passwd candela || true; find /etc/systemd -name 'candela*'"), '');
  });

  await step('all roles in one unit, and a host that runs as root: a uid for each instance', async () => {
    await vm.sh('dpkg -i /mnt/first.deb && runuser -u candela -- candela init --data-dir /var/lib/candela', { timeout: 120_000 });
    await vm.sh('systemctl enable --now candela@all-in-one', { timeout: 120_000 });
    assert.match(await vm.sh('candela doctor'), /all-in-one\.toml[^]* ok +node: candela-vm runs, and all of its roles are ready/);
    assert.equal((await json('nodes show candela-vm')).sandbox_level, 'strict');
    // As docs/host.md says.
    await vm.sh(`sed -i 's/^io_max = .*/io_max = "1MiB"/' /etc/candela/all-in-one.toml`);
    await vm.put('/etc/systemd/system/candela@.service.d/root.conf', '[Service]\nUser=root\nCapabilityBoundingSet=~\n');
    await vm.sh('systemctl daemon-reload && systemctl restart candela@all-in-one', { timeout: 120_000 });
    await until('it to be ready', async () => (await vm.sh('systemctl show -P StatusText candela@all-in-one')) === 'ready', patience);
    const walls = protectionsOf(await json('nodes show candela-vm'));
    assert.deepEqual(Object.keys(walls).filter((name) => !walls[name].on), []);
    await deploy('calm', service('calm'), 'greedy', 'head -c 4M /dev/urandom >blob');
    await deploy('other', service('other'), 'greedy');
    const uids = [];
    for (const name of ['calm', 'other']) uids.push(Number(await vm.sh(`stat -c %u /proc/${(await instance(name)).pid}`)));
    assert.ok(uids.every((uid) => uid >= 1879048192) && uids[0] !== uids[1], String(uids));
    const [, size, took] = (await get('calm', '/read')).out.match(/^(\d+) KiB (\d+) ms$/);
    assert.equal(size, '4096');
    assert.ok(Number(took) >= 2500, `4 MiB in ${took} ms, at 1 MiB a second`);
    await attack('candela@all-in-one');
    assert.equal((await instances('calm')).length, 1);
  });
  t.diagnostic(`the machine took ${vm.cpuSeconds().toFixed(0)} s of CPU`);
});
