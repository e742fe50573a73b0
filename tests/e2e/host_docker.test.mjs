// Instances in containers of a real dockerd, with a lighthouse that the test plays: what runs in them and what is
// kept from them, limits, ends, images, and what becomes of them when the host or the engine goes and comes back.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import zlib from 'node:zlib';
import { startDev, makeService } from './lib/cloud.mjs';
import { Docker, whyNoDocker } from './lib/docker.mjs';
import { startHost } from './lib/host.mjs';
import { request } from './lib/http.mjs';
import { CANDELA, isAlive, rss, run } from './lib/program.mjs';
import { Pty } from './lib/pty.mjs';
import { sleep, until } from './lib/wait.mjs';

const skip = whyNoDocker();
const IMAGE = 'candela-test:1';

// A web server of busybox, whose bundle it serves, with programs that tell what they see.
const FILES = {
  'run.sh': `trap 'echo going; exit 3' TERM
echo "up as $CANDELA_INSTANCE"
echo "to stderr" >&2
httpd -f -p "$HOST:$PORT" -h /candela/bundle &
wait
`,
  'index.html': 'from the bundle',
  'cgi-bin/env': { content: '#!/bin/sh\nprintf "X-A: b\\r\\n\\r\\n"; env; cat /proc/self/status; id -u\n', mode: 0o755 },
  'cgi-bin/try': {
    content: `#!/bin/sh
printf "X-A: b\\r\\n\\r\\n"
for file in /x /bin/x /candela/bundle/x /candela/credentials/x /tmp/x; do
  if echo x > $file; then echo "wrote $file"; fi
done 2>/dev/null
head -c 1 "$CANDELA_BUS_CREDS" > /dev/null && echo "read the credential"
`,
    mode: 0o755,
  },
  'cgi-bin/reach': { content: '#!/bin/sh\nprintf "X-A: b\\r\\n\\r\\n"; nc -w 2 $QUERY_STRING < /dev/null && echo reached || echo "not reached"\n'.replace('$QUERY_STRING', '$(echo $QUERY_STRING | tr , " ")'), mode: 0o755 },
  'cgi-bin/hog': { content: '#!/bin/sh\nprintf "X-A: b\\r\\n\\r\\n"; tail -c 300000000 /dev/zero\n', mode: 0o755 },
  'cgi-bin/say': { content: '#!/bin/sh\nprintf "X-A: b\\r\\n\\r\\n"; echo "$QUERY_STRING" > /proc/1/fd/1; echo said\n', mode: 0o755 },
};
const COMMAND = ['/bin/sh', '/candela/bundle/run.sh'];
const web = (bundle, more = {}) => ({
  instance: 'web-1', command: COMMAND, bundle, probe: { path: '/index.html' }, container: { image: IMAGE }, ...more,
});
const shell = (instance, bundle, script, more = {}) => ({
  instance, kind: 'bus', command: ['/bin/sh', '-c', script], bundle, probe: {}, container: { image: IMAGE, host: true }, grace: 500, ...more,
});

test('containers', { skip, timeout: 300_000 }, async (t) => {
  const docker = await Docker.start(t);
  const host = await startHost(t, { lines: `docker_socket = "${docker.socket}"` });
  const { lighthouse, own } = host;
  const bundle = lighthouse.add(FILES);
  const gone = (instance) => until(`${instance} to be gone`, async () =>
    lighthouse.instances()[instance] === undefined && !(await docker.container(instance)) && !fs.existsSync(path.join(own, 'host/run', instance)));
  const lines = (instance, pattern) => lighthouse.lines.filter((line) => line.instance === instance && pattern.test(line.text));

  await t.test('the host says which engine it has', async () => {
    const { docker: said } = await until('the engine', () => lighthouse.drivers().docker?.on && lighthouse.drivers());
    assert.match(said.detail, /^Docker \d+\.\d+.*, API 1\.\d+, cgroup v[12]$/);
    assert.match(said.level, /isolated|strict/);
  });

  await t.test('an instance runs from image and bundle, apart from the machine and the others', async () => {
    await lighthouse.assign([web(bundle, { env: { GREETING: 'joy', CANDELA_SERVICE: 'forged' } })]);
    const { port, pid } = await lighthouse.reached('web-1', 'ready');
    assert.equal((await request(port, '/index.html')).text, 'from the bundle');
    await lighthouse.said('web-1', 'up as web-1');
    await lighthouse.said('web-1', 'to stderr');
    assert.equal(lines('web-1', /to stderr/)[0].stream, 1);
    assert.ok(isAlive(pid));

    const env = (await request(port, '/cgi-bin/env')).text;
    for (const line of ['GREETING=joy', 'CANDELA_SERVICE=web', 'CANDELA_NODE=host-1', 'HOST=0.0.0.0', `PORT=${port}`, 'HOME=/tmp', 'CANDELA_BUS_CREDS=/candela/credentials/bus.creds']) {
      assert.ok(env.split('\n').includes(line), line);
    }
    assert.match(env, /CapEff:\s+0000000000000000/);
    assert.match(env, /CapBnd:\s+0000000000000000/);
    assert.match(env, /NoNewPrivs:\s+1/);
    assert.match(env, /Seccomp:\s+2/);
    const tried = (await request(port, '/cgi-bin/try')).text.trim().split('\n');
    assert.deepEqual(tried, ['wrote /tmp/x', 'read the credential']);

    // Published on loopback, and nowhere else.
    const { HostConfig, Config, NetworkSettings } = await docker.container('web-1');
    assert.deepEqual(HostConfig.PortBindings[`${port}/tcp`], [{ HostIp: '127.0.0.1', HostPort: String(port) }]);
    assert.equal(Config.Labels['candela.node'], 'host-1');
    assert.equal(Config.Labels['candela.service'], 'web');
    assert.equal(Config.Labels['candela.release'], '1');

    // What listens on the machine's loopback is out of reach; in the machine's network it is not.
    const server = net.createServer((peer) => peer.end('hello')).listen(0, '127.0.0.1');
    t.after(() => server.close());
    await new Promise((done) => server.on('listening', done));
    const target = `/cgi-bin/reach?127.0.0.1,${server.address().port}`;
    assert.match((await request(port, target)).text, /not reached/);
    assert.ok(NetworkSettings.IPAddress);

    await lighthouse.assign([web(bundle, { instance: 'near-1', container: { image: IMAGE, host: true } })]);
    const near = await lighthouse.reached('near-1', 'ready');
    assert.match((await request(near.port, target)).text, /hello/);
    await gone('web-1');
    assert.match(lines('web-1', /going/).map((line) => line.text).join(), /going/);
    assert.match(lines('web-1', /ended with exit code 3/)[0].text, /exit code 3/);
    await lighthouse.assign([]);
    await gone('near-1');
  });

  await t.test('a port of the image, a user, its own command', async () => {
    await docker.importImage('candela-test:web', ['CMD ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/candela/bundle"]']);
    await lighthouse.assign([web(bundle, { command: [], probe: { tcp: true }, container: { image: 'candela-test:web', port: 80, user: '4711:4711' } })]);
    const { port } = await lighthouse.reached('web-1', 'ready');
    const env = (await request(port, '/cgi-bin/env')).text;
    assert.match(env, /^PORT=80$/m);
    assert.match(env, /^4711$/m);
    // Also by another user.
    assert.match((await request(port, '/cgi-bin/try')).text, /read the credential/);
    await lighthouse.assign([]);
    await gone('web-1');
  });

  await t.test('it is not ready before it listens, whoever listens for it', async () => {
    const late = ['/bin/sh', '-c', 'until [ -e /tmp/go ]; do sleep 0.05; done; exec httpd -f -p "$HOST:$PORT" -h /candela/bundle'];
    await lighthouse.assign([web(bundle, { command: late, probe: { tcp: true } })]);
    const container = await until('it to run', async () => (await docker.container('web-1'))?.State.Running && docker.container('web-1'));
    await until('the engine to listen', async () => new Promise((done) => {
      const port = Number(container.Config.Env.find((line) => line.startsWith('PORT=')).slice(5));
      const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); done(true); });
      socket.on('error', () => done(false));
    }));
    await until('probes to fail', () => /refused/.test(lighthouse.instances()['web-1']?.probeAnswer ?? ''));
    assert.equal(lighthouse.instances()['web-1'].state, 'starting');
    fs.writeFileSync(`/proc/${container.State.Pid}/root/tmp/go`, '');
    await lighthouse.reached('web-1', 'ready');
    await lighthouse.assign([]);
    await gone('web-1');
  });

  await t.test('who takes too much memory is killed, said to be, and started again; the others live', async () => {
    await lighthouse.assign([web(bundle, { memory: 64 * 2 ** 20 }), web(bundle, { instance: 'web-2', memory: 64 * 2 ** 20 }),
      shell('hog-1', bundle, 'tail -c 300000000 /dev/zero', { kind: 'job', memory: 64 * 2 ** 20 })]);
    const hog = await lighthouse.reached('hog-1', 'failed');
    assert.equal(hog.exitCode, 137);
    assert.match(hog.lastExit, /exit code 137 \(out of memory: it may take 64\.0 MiB\)/);
    await lighthouse.reached('web-1', 'ready');
    const two = await lighthouse.reached('web-2', 'ready');
    assert.deepEqual([lighthouse.instances()['web-1'].restarts, two.restarts], [0, 0]);
    const { HostConfig } = await docker.container('web-1');
    assert.deepEqual([HostConfig.Memory, HostConfig.MemorySwap, HostConfig.PidsLimit], [64 * 2 ** 20, 64 * 2 ** 20, 1024]);
    // Its usage, as the engine counts it.
    await until('its memory', () => lighthouse.instances()['web-2'].memory > 0);
    assert.ok(lighthouse.instances()['web-2'].memory < 64 * 2 ** 20);
    await lighthouse.assign([]);
    await gone('web-1');
    await gone('web-2');
  });

  await t.test('who ignores the stop signal is killed after its grace', async () => {
    await lighthouse.assign([
      shell('stubborn-1', bundle, 'trap "echo no" TERM; echo up; while :; do sleep 0.05; done'),
    ]);
    await lighthouse.reached('stubborn-1', 'ready');
    await lighthouse.said('stubborn-1', 'up');
    await lighthouse.assign([]);
    await gone('stubborn-1');
    await lighthouse.said('stubborn-1', 'no');
    await lighthouse.said('stubborn-1', 'ended with exit code 137');
  });

  await t.test('exec probes run in the container, and end with their time', async () => {
    const probe = (exec) => ({ exec, timeout: 300, start: 2000 });
    await lighthouse.assign([
      shell('well-1', bundle, 'sleep 1000', { probe: probe(['/bin/sh', '-c', 'test -e run.sh && echo there']) }),
      shell('ill-1', bundle, 'sleep 1000', { probe: probe(['/bin/sh', '-c', 'echo not today; exit 4']) }),
      shell('slow-1', bundle, 'sleep 1000', { probe: probe(['/bin/sh', '-c', 'exec sleep 4321']) }),
    ]);
    await lighthouse.reached('well-1', 'ready');
    await until('an answer', () => /exit code 4: not today/.test(lighthouse.instances()['ill-1']?.probeAnswer ?? ''));
    await until('no answer', () => /no answer within 300ms/.test(lighthouse.instances()['slow-1']?.probeAnswer ?? ''));
    const sleepers = () => fs.readdirSync('/proc').filter((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sleep\x004321');
      } catch { return false; }
    });
    await lighthouse.assign([]);
    for (const name of ['well-1', 'ill-1', 'slow-1']) await gone(name);
    assert.deepEqual(sleepers(), []);
  });

  await t.test('output of any size and shape is taken, and the host stays small', async () => {
    // What comes faster than the disk takes it makes the oldest lines go: the first ones have a second's time.
    const script = 'printf "no end"; i=0; while [ $i -lt 3000 ]; do echo "line $i of many"; i=$((i+1)); done; sleep 1; head -c 30000000 /dev/zero | tr "\\0" x; echo; echo "last one"; exit 6';
    await lighthouse.assign([shell('loud-1', bundle, script, { kind: 'job' })]);
    assert.equal((await lighthouse.reached('loud-1', 'failed', 60_000)).exitCode, 6);
    // Of one that ends, dockerd itself gives the rest ten seconds to get into its log.
    await until('its last line', () => lines('loud-1', /^last one$/).length > 0 || fs.readFileSync(path.join(docker.dir, 'dockerd.log'), 'utf8').includes('logs may be truncated'), { timeout: 120_000 });
    assert.equal(lines('loud-1', /^no endline 0 of many$/).length, 1);
    const resident = Number(fs.readFileSync(`/proc/${host.cloud.node('host').pid}/status`, 'latin1').match(/VmRSS:\s+(\d+)/)[1]);
    assert.ok(resident < 100_000, `the host takes ${resident} kB`);
    await lighthouse.assign([]);
    await gone('loud-1');
  });

  await t.test('a host that is killed finds its containers again, and how those ended that did not wait', async () => {
    const counting = shell('count-1', bundle, 'i=0; while :; do echo "number $i"; i=$((i+1)); sleep 0.05; done');
    const ending = shell('ending-1', bundle, 'until [ -e /tmp/go ]; do sleep 0.05; done; echo "last words"; exit 9', { kind: 'job' });
    const starting = [web(bundle), counting, ending];
    await lighthouse.assign(starting);
    const { pid, port } = await lighthouse.reached('web-1', 'ready');
    await lighthouse.reached('count-1', 'ready');
    await lighthouse.reached('ending-1', 'ready');
    await lighthouse.said('count-1', 'number 40');
    const { Id } = await docker.container('web-1');
    const end = (await docker.container('ending-1')).State.Pid;
    await host.cloud.node('host').kill('SIGKILL');
    fs.writeFileSync(`/proc/${end}/root/tmp/go`, '');
    await until('the job to end', async () => (await docker.container('ending-1')).State.Status === 'exited');
    // Somebody's of another host, and one that this host has started and lost.
    const label = JSON.parse(fs.readFileSync(path.join(own, 'host/run/web-1/container.json'), 'utf8'));
    assert.equal(label.id, Id);
    const labels = (await docker.container('web-1')).Config.Labels;
    for (const [name, run] of [['stray', labels['candela.run']], ['foreign', 'of-another']]) {
      const made = await docker.ask('POST', `/containers/create?name=${name}`, { body: JSON.stringify({ Image: IMAGE, Cmd: ['sleep', '1000'], Labels: { 'candela.run': run, 'candela.instance': `${name}-1` } }) });
      assert.equal(made.status, 201, made.text);
      await docker.ask('POST', `/containers/${made.json.Id}/start`);
    }
    assert.equal((await request(port, '/index.html')).text, 'from the bundle');
    await host.start();
    const now = await lighthouse.reached('web-1', 'ready');
    assert.deepEqual([now.pid, now.port, now.restarts], [pid, port, 0]);
    assert.equal((await docker.container('web-1')).Id, Id);
    const job = await lighthouse.reached('ending-1', 'failed');
    assert.equal(job.exitCode, 9);
    await lighthouse.said('ending-1', 'last words');
    await until('the stray to be gone', async () => !(await docker.container('stray-1')));
    assert.ok(await docker.container('foreign-1'));
    await docker.ask('DELETE', '/containers/foreign?force=1');
    // Nothing of what it said is lost, and at most a second of it came twice.
    await lighthouse.said('count-1', 'number 120');
    const numbers = lines('count-1', /^number \d+$/).map((line) => Number(line.text.slice(7)));
    const seen = new Set(numbers);
    for (let i = 0; i <= 120; i += 1) assert.ok(seen.has(i), `number ${i} is missing`);
    assert.ok(numbers.length - seen.size <= 40, `${numbers.length - seen.size} came twice`);

    // One that is stopped in order hands over exactly.
    lighthouse.lines = lighthouse.lines.filter((line) => line.instance !== 'count-1');
    await host.cloud.node('host').stop();
    await host.start();
    assert.equal((await lighthouse.reached('web-1', 'ready')).pid, pid);
    const first = await until('more numbers', () => lines('count-1', /^number \d+$/).length > 60 && lines('count-1', /^number \d+$/));
    const after = first.map((line) => Number(line.text.slice(7)));
    assert.equal(new Set(after).size, after.length, 'a number came twice');

    // What nobody wants any more when it is back ends.
    await host.cloud.node('host').kill('SIGKILL');
    lighthouse.want([]);
    await host.start();
    for (const name of ['web-1', 'count-1', 'ending-1']) await gone(name);
  });

  await t.test('a container that somebody removes is started again', async () => {
    await lighthouse.assign([web(bundle)]);
    const first = await lighthouse.reached('web-1', 'ready');
    await docker.ask('DELETE', `/containers/${(await docker.container('web-1')).Id}?force=1`);
    await until('another', () => {
      const now = lighthouse.instances()['web-1'];
      return now.state === 'ready' && now.pid !== first.pid && now.restarts === 1;
    });
    await lighthouse.assign([]);
    await gone('web-1');
  });

  await t.test('an image comes from a registry, with its progress; where there is none, that is said', async () => {
    const registry = await startRegistry(t);
    const held = shell('pulled-1', bundle, 'trap "echo yes; exit 7" USR1; echo "of the registry"; while :; do sleep 0.05; done', {
      grace: 20_000, container: { image: `${registry.address}/app:1`, host: true } });
    await lighthouse.assign([held]);
    const progress = await until('progress', () => /^pulling .*\/app:1, \d+ % of \d/.test(lighthouse.instances()['pulled-1']?.cause ?? '') && lighthouse.instances()['pulled-1']);
    assert.equal(progress.state, 'pending');
    registry.goOn();
    await lighthouse.reached('pulled-1', 'ready', 30_000);
    await lighthouse.said('pulled-1', 'of the registry');
    assert.equal(lighthouse.instances()['pulled-1'].cause, '');
    await lighthouse.assign([
      shell('missing-1', bundle, 'true', { container: { image: `${registry.address}/nothing:1`, host: true } }),
      shell('denied-1', bundle, 'true', { container: { image: `127.0.0.1:1/app:1`, host: true } }),
    ]);
    const missing = await lighthouse.reached('missing-1', 'failed');
    assert.match(missing.cause, /pulling .*\/nothing:1: docker: .*(not found|unknown)/);
    assert.match((await lighthouse.reached('denied-1', 'failed')).cause, /pulling 127\.0\.0\.1:1\/app:1: docker: .*refused/);
    // The image names another stop signal than SIGTERM.
    await lighthouse.assign([]);
    await gone('pulled-1');
    await lighthouse.said('pulled-1', 'ended with exit code 7');
  });

  await t.test('a program that is not there fails with the reason', async () => {
    await lighthouse.assign([web(bundle, { instance: 'none-1', command: ['/no/such/program'], probe: { tcp: true } })]);
    const failed = await lighthouse.reached('none-1', 'failed');
    assert.match(`${failed.cause}\n${failed.tail.join('\n')}`, /no such file|not found/i);
    await lighthouse.assign([]);
    await gone('none-1');
    assert.deepEqual(await docker.containers(), []);
  });
});

test('an engine that is restarted: who lives on is kept, who died is started again', { skip, timeout: 180_000 }, async (t) => {
  for (const args of [['--live-restore'], []]) {
    await t.test(args.join() || 'without live-restore', async (t) => {
      const docker = await Docker.start(t, { args });
      const { lighthouse } = await startHost(t, { lines: `docker_socket = "${docker.socket}"` });
      const bundle = lighthouse.add(FILES);
      // In the machine's network, since an engine without iptables loses what it published.
      await lighthouse.assign([web(bundle, { container: { image: IMAGE, host: true } })]);
      const before = await lighthouse.reached('web-1', 'ready');
      const { Id } = await docker.container('web-1');
      await docker.program.kill('SIGKILL');
      await until('the engine to be missed', () => lighthouse.drivers().docker?.on === false);
      assert.match(lighthouse.drivers().docker.detail, /docker: .*(refused|No such file|no such file)/);
      assert.equal((await request(before.port, '/index.html')).text, 'from the bundle');
      await docker.run();
      await until('the engine to be back', () => lighthouse.drivers().docker?.on);
      if (args.length > 0) {
        await lighthouse.said('web-1', 'up');
        const now = await lighthouse.reached('web-1', 'ready');
        assert.deepEqual([now.pid, now.restarts], [before.pid, 0]);
        assert.equal((await docker.container('web-1')).Id, Id);
        // It is heard again.
        await request(before.port, '/cgi-bin/say?after');
      } else {
        const now = await until('another', () => {
          const status = lighthouse.instances()['web-1'];
          return status.state === 'ready' && status.pid !== before.pid && status;
        }, { timeout: 40_000 });
        assert.equal(now.restarts, 1);
        assert.equal((await request(now.port, '/index.html')).text, 'from the bundle');
      }
      await lighthouse.assign([]);
      await until('it to be gone', async () => (await docker.containers()).length === 0);
    });
  }
});

test('a cloud with an engine: deployed by ctl; an image that is missing is taken back; without one it says why', { skip, timeout: 180_000 }, async (t) => {
  const docker = await Docker.start(t);
  const cloud = await startDev(t, { env: { DOCKER_HOST: `unix://${docker.socket}` } });
  const toml = (image, more = '') => `name = "hello"\nkind = "http"\ndriver = "docker"\nimage = "${image}"\ncommand = ["/bin/sh", "/candela/bundle/run.sh"]\n${more}
[probe]\npath = "/index.html"\nstart_timeout = "20s"\n[[route]]\nhost = "hello.localhost"\n`;
  const files = Object.fromEntries(Object.entries(FILES).filter(([name]) => !name.includes('/')));
  const [{ name: node }] = (await cloud.ctlJson('nodes')).nodes;
  const show = async () => (await cloud.ctl(['nodes', 'show', node])).stdout;
  const shown = await until('the engine', async () => {
    const stdout = await show();
    return /^docker: on \(Docker .*sandbox level: /m.test(stdout) && stdout;
  });
  assert.ok(shown);
  await cloud.ctl(['deploy', makeService(t, 'hello', toml(IMAGE), files)]);
  assert.equal((await cloud.get('/index.html', { host: 'hello.localhost' })).text, 'from the bundle');

  await t.test('its usage is known', async () => {
    const [{ id }] = await cloud.readyInstances('hello', 1);
    const spin = cloud.ctl(['exec', id, '--', 'sh', '-c', 'end=$(($(date +%s) + 4)); while [ $(date +%s) -lt $end ]; do :; done']);
    const { usage } = await until('its CPU', async () => {
      const { instances } = await cloud.ctlJson('top');
      return instances.find((each) => each.id === id || each.instance === id)?.usage?.cpu_millis > 50 && instances[0];
    }, { timeout: 30_000 });
    assert.ok(usage.memory_bytes > 0 && usage.processes >= 2, JSON.stringify(usage));
    await spin;
    const before = (await cloud.ctlJson('top')).instances[0].usage.net_out_bytes_per_second;
    assert.notEqual(before, null);
    await until('its network', async () => {
      await cloud.get('/index.html', { host: 'hello.localhost' });
      return (await cloud.ctlJson('top')).instances[0].usage.net_out_bytes_per_second > 0;
    }, { timeout: 30_000 });
  });

  await t.test('exec and port-forward lead into it', async (t) => intoContainer(t, cloud));

  const bad = await cloud.ctl(['deploy', makeService(t, 'hello', toml('127.0.0.1:1/gone:1'), files)], { ok: false });
  assert.equal(bad.code, 8, bad.stderr);
  assert.match(bad.stderr, /pulling 127\.0\.0\.1:1\/gone:1/);
  assert.equal((await cloud.get('/index.html', { host: 'hello.localhost' })).text, 'from the bundle');

  // The engine goes: nothing new is placed, and what runs is kept until somebody knows better.
  await docker.program.kill('SIGKILL');
  await until('it to be missed', async () => /^docker: off \(docker: /m.test(await show()));
  const none = await cloud.ctl(['deploy', '--timeout', '3s', makeService(t, 'other', toml(IMAGE).replaceAll('hello', 'other'), files)], { ok: false });
  assert.match(none.stderr, /1 lacks docker \(candela ctl nodes show NODE\)/);
});

async function intoContainer(t, cloud) {
  const [{ id }] = await cloud.readyInstances('hello', 1);
  const env = { ...cloud.env, CANDELA_ADDRESS: cloud.address, NO_COLOR: '1' };
  const exec = (words, options) => run(CANDELA, ['ctl', 'exec', id, '--', ...words], { env, ...options });
  const sleeping = (seconds) => fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
    try {
      return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1') === `sleep\0${seconds}\0`;
    } catch {
      return false;
    }
  });

  const ended = await exec(['sh', '-c', 'echo $CANDELA_INSTANCE; echo err >&2; cat; pwd; exit 7'], { input: 'of the caller\n' });
  assert.deepEqual([ended.stdout, ended.stderr, ended.code], [`${id}\nof the caller\n/candela/bundle\n`, 'err\n', 7]);
  assert.equal((await exec(['sh', '-c', 'kill -9 $$'])).code, 137);
  assert.notEqual((await exec(['no-such-program'])).code, 0);

  // Whatever bytes there are, both ways.
  const file = path.join(cloud.dir, 'bytes');
  const content = crypto.randomBytes(5 << 20);
  fs.writeFileSync(file, content);
  const copied = await run('sh', ['-c', `"${CANDELA}" ctl exec ${id} -- cat < ${file} > ${file}.copy`], { env });
  assert.equal(copied.code, 0, copied.stderr);
  assert.ok(fs.readFileSync(`${file}.copy`).equals(content));

  // On a terminal: its size, its keys, its kind.
  const pty = new Pty(t, [CANDELA, 'ctl', 'exec', id], { env: { ...env, TERM: 'vt100' }, rows: 33, columns: 77 });
  await until('a prompt', () => /[$#] /.test(pty.output));
  pty.keys('stty size; echo kind=$TERM; test -t 0 && test -t 1 && echo on a ter""minal\n');
  await until('its answer', () => pty.output.includes('on a terminal'));
  assert.match(pty.output, /33 77/);
  assert.match(pty.output, /kind=vt100/);
  pty.order('size 100 40');
  await until('the new size', () => { pty.keys('stty size\n'); return pty.output.includes('40 100'); });
  pty.keys('sleep 4811\n');
  await until('the sleep', () => sleeping(4811).length > 0);
  pty.keys('\x03');
  await until('the sleep to end', () => sleeping(4811).length === 0);
  pty.keys('exit 5\n');
  assert.deepEqual(await pty.ended, { code: 5, restored: true });

  // Who goes takes along what he has begun, however deep; the instance lives on.
  const { pid } = (await cloud.readyInstances('hello', 1))[0];
  const held = spawn(CANDELA, ['ctl', 'exec', id, '--', 'sh', '-c', 'echo begun; (setsid sleep 4812 &); sleep 4812'], { env });
  let said = '';
  held.stdout.on('data', (bytes) => { said += bytes; });
  await until('it to run', () => said === 'begun\n' && sleeping(4812).length === 2);
  held.kill('SIGKILL');
  await until('all of it to end', () => sleeping(4812).length === 0);
  assert.equal((await cloud.readyInstances('hello', 1))[0].pid, pid);
  // What a program leaves behind that holds its output goes, too.
  assert.equal((await exec(['sh', '-c', 'sleep 4813 & exit 3'])).code, 3);
  await until('it to end', () => sleeping(4813).length === 0);

  // Who reads nothing holds up the program, and nothing grows.
  const node = cloud.node('dev').pid;
  const before = rss(node);
  const slow = spawn(CANDELA, ['ctl', 'exec', id, '--', 'head', '-c', String(100 << 20), '/dev/zero'], { env });
  await until('it to stand still', () => slow.stdout.readableLength > 0 || slow.stdout.readable);
  await sleep(1500);
  assert.ok(rss(node) - before < 32 << 20, `the node grew by ${rss(node) - before}`);
  let bytes = 0;
  slow.stdout.on('data', (part) => { bytes += part.length; });
  assert.equal(await new Promise((done) => { slow.on('close', done); }), 0);
  assert.equal(bytes, 100 << 20);

  const forward = spawn(CANDELA, ['ctl', 'port-forward', id], { env });
  t.after(() => forward.kill('SIGKILL'));
  let where = '';
  forward.stdout.on('data', (part) => { where += part; });
  await until('the port', () => /is at 127\.0\.0\.1:(\d+)/.test(where));
  assert.equal((await request(Number(where.match(/:(\d+)/)[1]), '/index.html')).text, 'from the bundle');
  forward.kill('SIGINT');
  assert.match((await cloud.ctl(['audit'])).stdout, new RegExp(`instances/${id}/exec`));
}

// A registry (OCI distribution) of one image, whose layer comes in two halves: the second when goOn() is called.
async function startRegistry(t) {
  const layer = zlib.gzipSync(Docker.rootTar(), { level: 1 });
  const digest = (data) => `sha256:${crypto.createHash('sha256').update(data).digest('hex')}`;
  const config = Buffer.from(JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux', config: { StopSignal: 'SIGUSR1' },
    rootfs: { type: 'layers', diff_ids: [digest(zlib.gunzipSync(layer))] }, history: [{}],
  }));
  const manifest = Buffer.from(JSON.stringify({
    schemaVersion: 2, mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    config: { mediaType: 'application/vnd.docker.container.image.v1+json', size: config.length, digest: digest(config) },
    layers: [{ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip', size: layer.length, digest: digest(layer) }],
  }));
  let goOn;
  const gate = new Promise((done) => { goOn = done; });
  const server = http.createServer(async (request, response) => {
    const send = (body, type) => {
      response.writeHead(200, { 'content-type': type, 'content-length': body.length, 'docker-content-digest': digest(body) });
      if (request.method === 'HEAD') return response.end();
      return response.end(body);
    };
    if (request.url === '/v2/') return send(Buffer.from('{}'), 'application/json');
    if (request.url.startsWith('/v2/app/manifests/')) return send(manifest, 'application/vnd.docker.distribution.manifest.v2+json');
    if (request.url === `/v2/app/blobs/${digest(config)}`) return send(config, 'application/octet-stream');
    if (request.url === `/v2/app/blobs/${digest(layer)}`) {
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': layer.length });
      const half = Math.floor(layer.length / 2);
      response.write(layer.subarray(0, half));
      await gate;
      return response.end(layer.subarray(half));
    }
    response.writeHead(404, { 'content-type': 'application/json' });
    return response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
  }).listen(0, '127.0.0.1');
  await new Promise((done) => server.on('listening', done));
  t.after(() => { goOn(); server.closeAllConnections(); server.close(); });
  return { address: `127.0.0.1:${server.address().port}`, goOn };
}
