// Instances in containers of a real Podman, whose API a host takes for Docker's.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import { Podman, whyNoPodman } from './lib/podman.mjs';
import { startHost } from './lib/host.mjs';
import { request } from './lib/http.mjs';
import { until } from './lib/wait.mjs';

const skip = whyNoPodman();
const container = { image: 'candela-test:1', host: true };

test('containers of Podman', { skip, timeout: 240_000 }, async (t) => {
  const podman = await Podman.start(t);
  const host = await startHost(t, { lines: `docker_socket = "${podman.socket}"` });
  const { lighthouse } = host;
  const bundle = lighthouse.add({
    'run.sh': 'trap "echo going; exit 3" TERM\necho "up as $CANDELA_INSTANCE"\nhttpd -f -p "$HOST:$PORT" -h /candela/bundle &\nwait\n',
    'index.html': 'from the bundle',
    'cgi-bin/try': {
      content: '#!/bin/sh\nprintf "X-A: b\\r\\n\\r\\n"\nfor file in /x /candela/bundle/x /tmp/x; do if echo x > $file; then echo "wrote $file"; fi; done 2>/dev/null\ncat /proc/self/status\n',
      mode: 0o755,
    },
  });
  const web = { instance: 'web-1', command: ['/bin/sh', '/candela/bundle/run.sh'], bundle, probe: { path: '/index.html' }, container };
  const shell = (instance, script, more = {}) => ({ instance, kind: 'bus', command: ['/bin/sh', '-c', script], bundle, probe: {}, container, grace: 500, ...more });
  const gone = (instance) => until(`${instance} to be gone`, async () =>
    lighthouse.instances()[instance] === undefined && !(await podman.container(instance)));

  await t.test('the host says which engine it has', async () => {
    const said = await until('the engine', () => lighthouse.drivers().docker?.on && lighthouse.drivers().docker);
    assert.match(said.detail, /^Podman \d+\.\d+/);
  });

  await t.test('an instance runs within its walls, is stopped, and its exit code is known', async () => {
    await lighthouse.assign([web]);
    const { port } = await lighthouse.reached('web-1', 'ready', 60_000);
    assert.equal((await request(port, '/index.html')).text, 'from the bundle');
    await lighthouse.said('web-1', 'up as web-1');
    const tried = (await request(port, '/cgi-bin/try')).text;
    assert.deepEqual(tried.match(/^wrote .*$/mg), ['wrote /tmp/x']);
    assert.match(tried, /CapEff:\s+0000000000000000/);
    assert.match(tried, /NoNewPrivs:\s+1/);
    assert.match(tried, /Seccomp:\s+2/);
    await lighthouse.assign([]);
    await gone('web-1');
    await lighthouse.said('web-1', 'going');
    await lighthouse.said('web-1', 'ended with exit code 3');
  });

  await t.test('who takes too much memory is killed; who ignores the stop signal, too', async () => {
    await lighthouse.assign([
      web,
      shell('hog-1', 'tail -c 300000000 /dev/zero', { kind: 'job', memory: 64 * 2 ** 20 }),
      shell('stubborn-1', 'trap "echo no" TERM; echo up; while :; do sleep 0.05; done'),
    ]);
    assert.equal((await lighthouse.reached('hog-1', 'failed', 60_000)).exitCode, 137);
    await lighthouse.reached('web-1', 'ready');
    await lighthouse.said('stubborn-1', 'up');
    assert.equal(lighthouse.instances()['web-1'].restarts, 0);
    await lighthouse.assign([]);
    for (const name of ['web-1', 'hog-1', 'stubborn-1']) await gone(name);
    await lighthouse.said('stubborn-1', 'ended with exit code 137');
  });

  await t.test('a host that is killed finds its containers again', async () => {
    const ending = shell('ending-1', 'until [ -e /tmp/go ]; do sleep 0.05; done; echo "last words"; exit 9', { kind: 'job' });
    await lighthouse.assign([web, ending]);
    const before = await lighthouse.reached('web-1', 'ready', 60_000);
    await lighthouse.reached('ending-1', 'ready');
    const { State } = await podman.container('ending-1');
    await host.cloud.node('host').kill('SIGKILL');
    fs.writeFileSync(`/proc/${State.Pid}/root/tmp/go`, '');
    await until('the job to end', async () => (await podman.container('ending-1')).State.Status === 'exited');
    assert.equal((await request(before.port, '/index.html')).text, 'from the bundle');
    await host.start();
    const after = await lighthouse.reached('web-1', 'ready', 60_000);
    assert.deepEqual([after.pid, after.port, after.restarts], [before.pid, before.port, 0]);
    assert.equal((await lighthouse.reached('ending-1', 'failed')).exitCode, 9);
    await lighthouse.said('ending-1', 'last words');
    await lighthouse.assign([]);
    for (const name of ['web-1', 'ending-1']) await gone(name);
  });
});
