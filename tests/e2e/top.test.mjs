// What instances take: measured for the whole tree of processes, kept at several resolutions, shown by `ctl top`.

import assert from 'node:assert/strict';
import test from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { request } from './lib/http.mjs';
import { CANDELA, run } from './lib/program.mjs';
import { Pty } from './lib/pty.mjs';
import { until } from './lib/wait.mjs';

// Its child takes what CPU it can get, itself it does nothing; 40 MiB are in the child's memory.
const BUSY = `const { spawn } = require('node:child_process');
spawn(process.execPath, ['-e', 'const b = Buffer.alloc(40 << 20, 1); for (;;) b[0] += 1'], { stdio: 'ignore' });
require('node:http').createServer((q, s) => s.end()).listen(process.env.PORT, process.env.HOST);
`;
const IDLE = 'require("node:http").createServer((q, s) => s.end()).listen(process.env.PORT, process.env.HOST);';

const service = (t, name, code) => makeService(t, name, `name = "${name}"
command = ["node", "app.js"]
[probe]
tcp = true
`, { 'app.js': code });

test('usage and ctl top', { timeout: 240_000 }, async (t) => {
  const cloud = await startDev(t);
  await cloud.ctl(['deploy', service(t, 'busy', BUSY)]);
  await cloud.ctl(['deploy', service(t, 'idle', IDLE)]);
  const top = (words = [], options = {}) => new Pty(t, [CANDELA, 'ctl', 'top', ...words], {
    ...options, env: { ...cloud.env, CANDELA_ADDRESS: cloud.address, ...options.env },
  });
  const measured = await until('both to be measured', async () => {
    const { instances } = await cloud.ctlJson('top');
    return instances.length === 2 && instances.every(({ usage }) => usage?.cpu_millis != null) &&
      instances[0].service === 'busy' && instances[0].usage.cpu_millis > 20 && instances;  // of a machine that others may use
  }, { timeout: 60_000 }).catch((error) => { throw cloud.explain(error); });

  await t.test('the whole tree of processes counts, and what is not known is not 0', () => {
    assert.equal(measured[0].service, 'busy');  // sorted by CPU
    const [{ usage: busy }, { usage: idle }] = measured;
    assert.ok(busy.cpu_millis > idle.cpu_millis);
    assert.ok(busy.memory_bytes > 40 << 20, `${busy.memory_bytes}`);
    assert.ok(busy.processes >= 2);
    assert.equal(busy.net_in_bytes_per_second, null);  // it shares the machine's network
  });

  await t.test('several resolutions', async () => {
    const get = async (step) => JSON.parse((await run('curl', ['-sf', '--unix-socket', cloud.address.slice(5), `http://x/v1/spaces/default/usage?service=busy&step=${step}`])).stdout);
    const fine = await until('some seconds', async () => {
      const found = await get('1s');
      return found.series[0].samples.length >= 3 && found;
    });
    assert.equal(fine.step_seconds, 1);
    const times = fine.series[0].samples.map(({ time }) => Date.parse(time));
    assert.ok(times.every((time, i) => i === 0 || time > times[i - 1]));
    const middle = await until('ten seconds', async () => {
      const found = await get('10s');
      return found.series[0].samples.length >= 1 && found;
    }, { timeout: 30_000 });
    assert.equal(middle.step_seconds, 10);
    assert.ok(middle.series[0].samples[0].memory_bytes > 0);
    assert.deepEqual((await get('5m')).series[0].samples, []);
    const wrong = await run('curl', ['-s', '--unix-socket', cloud.address.slice(5), 'http://x/v1/spaces/default/usage?step=2h']);
    assert.match(wrong.stdout, /none of 1s, 10s, 5m/);
    const { nodes } = await cloud.ctlJson('nodes');
    assert.ok(nodes[0].usage.memory_bytes > 0);
  });

  await t.test('without a terminal it prints once', async () => {
    const { stdout } = await cloud.ctl('top --sort name');
    assert.doesNotMatch(stdout, /\x1b/);
    assert.match(stdout, /^NODE .*\n.*\n\nINSTANCE +STATE +NODE +CPU/);
    assert.match(stdout, /^busy-\S+ +ready +\S+ +\d+\.\d% +\S+MiB .* \? +\? /m);
    assert.ok(stdout.indexOf('busy-') < stdout.indexOf('idle-'));
    const wrong = await cloud.ctl('top --sort size', { ok: false });
    assert.match(wrong.stderr, /none of cpu, memory/);
  });

  await t.test('live: keys, another size, and the terminal as it was', async () => {
    const pty = top();
    await until('both instances', () => /busy-[^]*idle-/.test(pty.frame()));
    assert.ok(pty.output.startsWith('\x1b[?1049h'));
    assert.match(pty.frame(), /candela top {2}space default .* by cpu/);
    assert.match(pty.output, /\x1b\[3\dm/);
    pty.keys('n');
    await until('the other order', () => pty.frame().includes('by name'));
    pty.keys('R');
    await until('it backwards', () => /by name, the other way[^]*idle-[^]*busy-/.test(pty.frame()));
    pty.keys('p');
    await until('the pause', () => pty.frame().includes('PAUSED'));
    pty.keys('\x1b[A');  // an arrow is not three keys
    pty.order('size 40 6');
    await until('the other size', () => {
      const lines = pty.frame().split('\n');
      return lines.length === 6 && lines.every((line) => line.length <= 40);
    });
    pty.keys('q');
    const how = await pty.ended;
    assert.deepEqual(how, { code: 0, restored: true });
    assert.ok(pty.output.trimEnd().endsWith('\x1b[?25h\x1b[?1049l'));
  });

  await t.test('NO_COLOR', async () => {
    const pty = top([], { env: { NO_COLOR: '1' } });
    await until('an instance', () => pty.frame().includes('busy-'));
    pty.keys('q');
    await pty.ended;
    assert.doesNotMatch(pty.output, /\x1b\[3\dm/);
  });

  await t.test('signals leave the terminal as it was', async () => {
    for (const [end, code] of [[(pty) => pty.keys('\x03'), 130], [(pty) => pty.order('signal 15'), 0], [(pty) => pty.order('signal 1'), 0]]) {
      const pty = top();
      await until('an instance', () => pty.frame().includes('busy-'));
      end(pty);
      assert.deepEqual(await pty.ended, { code, restored: true });
      assert.match(pty.output, /\x1b\[\?25h\x1b\[\?1049l/);
    }
  });

  await t.test('a terminal that can do nothing gets it once', async () => {
    const pty = top([], { env: { TERM: 'dumb' } });
    assert.deepEqual(await pty.ended, { code: 0, restored: true });
    assert.doesNotMatch(pty.output, /\x1b/);
    assert.match(pty.output, /busy-/);
  });

  await t.test('a lighthouse that is away is said, and what was seen stays', async () => {
    const pty = top(['--interval', '200ms']);
    await until('an instance', () => pty.frame().includes('busy-'));
    await cloud.node('dev').kill();
    await until('the trouble', () => /busy-/.test(pty.frame()) && /lighthouse|reach|connect/i.test(pty.frame().split('NODE')[0]));
    pty.keys('q');
    assert.deepEqual(await pty.ended, { code: 0, restored: true });
    await cloud.startDev();
  });

  await t.test('it is described, and there for scrapers', async () => {
    await until('the series', async () => {
      const { text } = await request(cloud.ports.node, '/metrics');
      return /^candela_host_instance_cpu_seconds\{instance="busy-\S+"\} [1-9]/m.test(text) && /^candela_host_instance_memory_bytes\{instance="busy-\S+"\} \d{8}/m.test(text);
    }, { timeout: 20_000 });

    const openapi = (await run('curl', ['-sf', '--unix-socket', cloud.address.slice(5), 'http://x/openapi.json'])).stdout;
    assert.ok(JSON.parse(openapi).paths['/v1/spaces/{space}/usage']);
    assert.ok(JSON.parse(openapi).paths['/v1/nodes/{node}/usage']);
  });
});
