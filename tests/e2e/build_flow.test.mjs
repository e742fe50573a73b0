// How ctl deploy builds: walls, cache, failures, interruption, and what gets into the bundle.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { scripted } from './lib/built.mjs';
import { Cloud, makeService, startDev } from './lib/cloud.mjs';
import { CANDELA, isAlive, processesIn, run } from './lib/program.mjs';
import { until, within } from './lib/wait.mjs';

const projects = (cloud) => path.join(cloud.dir, 'cache/candela/build');

// The names in the bundle that was made last, with what unpacks it.
async function bundled(cloud, name) {
  const project = fs.readdirSync(projects(cloud)).find((each) => each.startsWith(`${name}-`));
  const results = path.join(projects(cloud), project, 'results');
  const files = fs.readdirSync(results).map((key) => path.join(results, key, 'bundle.tar.zst'));
  const [newest] = files.sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs);
  const listed = await run('tar', ['--zstd', '-tf', newest]);
  assert.equal(listed.code, 0, listed.stderr);
  return listed.stdout.trim().split('\n').map((line) => line.replace(/\/$/, '')).sort();
}

// A service whose instance answers with the file that the build made.
const site = (t, name, commands, options = {}) => makeService(t, name, `name = "${name}"
kind = "static"
root = "out"
[build]
commands = ${JSON.stringify(commands)}
${options.build ?? ''}
[[route]]
host = "${name}.localhost"
`, { 'source.txt': 'one\n', ...options.files });

test('builds', { timeout: 600_000 }, async (t) => {
  const cloud = await startDev(t);
  const text = async (name, file) => (await cloud.get(`/${file}`, { host: `${name}.localhost` })).text;

  await t.test('the same sources are built once, changed ones anew, and both are the same bytes again', async (t) => {
    const dir = site(t, 'once', ['mkdir out', 'cp source.txt out/a.txt', 'date +%N > out/never-the-same']);
    const digest = (result) => result.stderr.match(/bundle ([0-9a-f]{12})/)[1];
    const first = await cloud.ctl(['deploy', dir]);
    assert.match(first.stderr, /^\$ cp source\.txt out\/a\.txt$/m);
    const again = await cloud.ctl(['deploy', dir]);
    assert.match(again.stderr, /was built before from these sources/);
    assert.equal(digest(again), digest(first));
    fs.writeFileSync(path.join(dir, 'source.txt'), 'two\n');
    const changed = await cloud.ctl(['deploy', dir]);
    assert.notEqual(digest(changed), digest(first));
    assert.equal(await text('once', 'a.txt'), 'two\n');
    fs.writeFileSync(path.join(dir, 'source.txt'), 'one\n');
    assert.equal(digest(await cloud.ctl(['deploy', dir])), digest(first));
    // --rebuild builds though it was built: what the clock got into is another bundle.
    assert.notEqual(digest(await cloud.ctl(['deploy', dir, '--rebuild'])), digest(first));
  });

  await t.test('builds whose tools allow it give the same bundle', async (t) => {
    const dir = makeService(t, 'same', `name = "same"\nkind = "bus"\n[build]\nrecipe = "make"\n`, {
      Makefile: 'same: same.cc\n\tc++ -g -O1 -o $@ $<\n',
      'same.cc': '#include <unistd.h>\nint main() { for (;;) pause(); }\n',
    });
    const digests = [];
    for (let i = 0; i < 2; i += 1) {
      const deployed = await cloud.ctl(['deploy', dir, '--rebuild']);
      digests.push(deployed.stderr.match(/bundle ([0-9a-f]{12})/)[1]);
    }
    assert.equal(digests[0], digests[1]);
  });

  await t.test('plan builds, deploy takes what it built', async (t) => {
    const dir = site(t, 'planned', ['mkdir out', 'cp source.txt out/']);
    const planned = await cloud.ctl(['plan', dir], { ok: false });
    assert.equal(planned.code, 10, planned.stderr);
    assert.match((await cloud.ctl(['deploy', dir])).stderr, /was built before/);
    assert.equal((await cloud.ctl(['plan', dir], { ok: false })).code, 0);
  });

  await t.test('what ignore files name is no source, and what the build leaves out is not deployed', async (t) => {
    const dir = site(t, 'rules', ['ls -A > seen.txt', 'mkdir -p out/sub', 'cp source.txt out/sub/', 'touch out/debug.map junk.o'], {
      build: 'output = ["out", "seen.txt"]',
      files: { '.gitignore': '*.secret\n/local\n', '.candelaignore': '*.map\n', 'key.secret': 'x', 'local/x': 'x', 'kept/x': 'x' },
    });
    await cloud.ctl(['deploy', dir]);
    assert.deepEqual(await bundled(cloud, 'rules'), ['out', 'out/sub', 'out/sub/source.txt', 'seen.txt']);
    const project = fs.readdirSync(projects(cloud)).find((each) => each.startsWith('rules-'));
    const log = fs.readFileSync(path.join(projects(cloud), project, 'build.log'), 'utf8');
    assert.match(log, /^\$ ls -A/m);
  });

  await t.test('--no-build packs the folder as it is', async (t) => {
    const dir = site(t, 'as-it-is', ['exit 1'], { files: { 'out/a.txt': 'made by hand' } });
    const deployed = await cloud.ctl(['deploy', dir, '--no-build']);
    assert.doesNotMatch(deployed.stderr, /building/);
    assert.equal(await text('as-it-is', 'a.txt'), 'made by hand');
    fs.writeFileSync(path.join(dir, 'service.toml'),
      fs.readFileSync(path.join(dir, 'service.toml'), 'utf8').replace('[build]', '[build]\nenabled = false'));
    await cloud.ctl(['deploy', dir]);
  });

  await t.test('a build that fails says which command, its last lines and what to do, and deploys nothing', async (t) => {
    const dir = site(t, 'broken', ['for i in $(seq 100); do echo line $i; done; echo oh no >&2; exit 7', 'touch never']);
    const failed = await cloud.ctl(['deploy', dir], { ok: false });
    assert.equal(failed.code, 1);
    const error = failed.stderr.slice(failed.stderr.indexOf('error: '));
    assert.match(error, /^error: the build failed: for i in .*: exit code 7\n/);
    assert.match(error, /line 100\noh no\n/);
    assert.doesNotMatch(error, /line 50\n/);
    assert.match(error, /build\.log\ntry: /);
    assert.equal((await cloud.ctl(['services'])).stdout.includes('broken'), false);
    const missing = await cloud.ctl(['deploy', site(t, 'absent', ['no-such-tool --now'])], { ok: false });
    assert.match(missing.stderr, /exit code 127\n[^]*try: install what was not found/);
    const empty = await cloud.ctl(['deploy', site(t, 'empty', ['true'], { build: 'output = ["out"]' })], { ok: false });
    assert.match(empty.stderr, /error: the build made no out\ntry: /);
  });

  await t.test('mistakes in service.toml are told before anything is built', async (t) => {
    const dir = site(t, 'wrong', ['true'], { build: 'output = ["../x"]\ncache = ["/abs"]\ntimout = "1s"' });
    const failed = await cloud.ctl(['deploy', dir], { ok: false });
    assert.equal(failed.code, 2);
    for (const part of [/:6:\d+: .*"\.\.\/x" is not within/, /:7:\d+: .*"\/abs" is not within/, /:8:\d+: .*timout.*did you mean "timeout"/]) {
      assert.match(failed.stderr, part);
    }
    assert.doesNotMatch(failed.stderr, /building/);
  });

  await t.test('a build that takes too long is ended', async (t) => {
    const dir = site(t, 'slow', ['sleep 1000 & sleep 1000'], { build: 'timeout = "1s"' });
    const failed = await cloud.ctl(['deploy', dir], { ok: false });
    assert.equal(failed.code, 1, failed.stderr);
    assert.match(failed.stderr, /error: the build took longer than 1s\ntry: \[build\] timeout/);
    await until('its processes to end', () => processesIn(projects(cloud)).length === 0);
  });

  await t.test('the folders that service.toml names are there for the next build', async (t) => {
    const dir = site(t, 'cached', ['echo x >> obj/count', 'mkdir out', 'wc -l < obj/count > out/n'], { build: 'cache = ["obj"]' });
    // The first finds none.
    assert.equal((await cloud.ctl(['deploy', dir], { ok: false })).code, 1);
    fs.writeFileSync(path.join(dir, 'service.toml'), fs.readFileSync(path.join(dir, 'service.toml'), 'utf8').replace('echo x >>', 'mkdir -p obj; echo x >>'));
    await cloud.ctl(['deploy', dir]);
    assert.equal((await text('cached', 'n')).trim(), '1');
    fs.writeFileSync(path.join(dir, 'source.txt'), 'changed');
    await cloud.ctl(['deploy', dir]);
    assert.equal((await text('cached', 'n')).trim(), '2');
    await cloud.ctl(['deploy', dir, '--rebuild']);
    assert.equal((await text('cached', 'n')).trim(), '1');
  });

  await t.test('a build sees its sources and the system, and nothing else of the machine', async (t) => {
    const secret = path.join(os.tmpdir(), `candela-secret-${process.pid}`);
    fs.writeFileSync(secret, 'of the machine');
    t.after(() => fs.rmSync(secret));
    const look = [
      `cat ${secret} && exit 1; test ! -e ${cloud.dataDir}`,
      'test "$(id -u)" != 0 || exit 1',
      'touch /usr/here /etc/here "$HOME/../here" && exit 1; touch "$HOME/here" "$TMPDIR/here" here',
      'test -z "$SECRET_TOKEN"; test "$GIVEN" = yes; test "$SET" = here',
      'test "$(ls /proc | grep -c "^[0-9]")" -lt 20',
      'mkdir out; env > out/env.txt',
    ];
    const dir = site(t, 'walls', look, { build: 'pass_env = ["GIVEN"]\nenv = { SET = "here" }' });
    if (process.getuid() !== 0) look.splice(1, 1);
    await cloud.ctl(['deploy', dir], { env: { SECRET_TOKEN: 'mine', GIVEN: 'yes' } });
    assert.doesNotMatch(await text('walls', 'env.txt'), /SECRET_TOKEN/);
  });

  await t.test('network = false shuts the network, and leaves a loopback', async (t) => {
    const server = http.createServer((request, response) => response.end('reached'));
    await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
    t.after(() => server.close());
    const url = `http://127.0.0.1:${server.address().port}/`;
    const dir = site(t, 'shut', [`curl -sS -m 5 ${url} && exit 1; ip -o link show lo | grep -q ,UP; mkdir out`], { build: 'network = false' });
    await cloud.ctl(['deploy', dir]);
    const open = site(t, 'open', [`mkdir out; curl -sS -m 5 ${url} > out/got.txt`]);
    await cloud.ctl(['deploy', open]);
    assert.equal(await text('open', 'got.txt'), 'reached');
  });

  await t.test('two builds of a project wait for each other', async (t) => {
    const dir = site(t, 'both', ['mkdir out', 'sleep 1', 'echo $$ > out/pid']);
    const [one, two] = await Promise.all([0, 1].map(() => cloud.ctl(['plan', dir], { ok: false })));
    assert.deepEqual([one.code, two.code], [10, 10], one.stderr + two.stderr);
    const waited = [one, two].filter((each) => /is being built already; waiting/.test(each.stderr));
    assert.equal(waited.length, 1);
    // Whoever came second found the first one's.
    assert.match(waited[0].stderr, /was built before/);
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
    await t.test(`${signal} ends the build and all that it has started`, async (t) => {
      const name = `ended-${signal.toLowerCase()}`;
      const dir = scripted(t, name, ['setsid sleep 1000 & (sleep 1000 & sleep 1000) & trap "" TERM INT HUP; echo begun; sleep 1000; sleep 1000']);
      const child = spawn(CANDELA, ['ctl', 'deploy', dir], { env: { ...process.env, ...cloud.env, CANDELA_ADDRESS: cloud.address } });
      let said = '';
      child.stderr.on('data', (bytes) => { said += bytes; });
      await until('the build to begin', () => said.includes('\nbegun\n'));
      const pids = processesIn(path.join(projects(cloud)));
      assert.ok(pids.length >= 4, `${pids}`);
      const ended = new Promise((done) => { child.on('exit', (code, by) => done(by ?? code)); });
      child.kill(signal);
      assert.equal(await within(10_000, 'ctl', ended), signal === 'SIGINT' ? 130 : signal);
      await until('all to end', () => pids.every((pid) => !isAlive(pid)) && processesIn(projects(cloud)).length === 0);
      // The next one is not in its way.
      fs.writeFileSync(path.join(dir, 'service.toml'), fs.readFileSync(path.join(dir, 'service.toml'), 'utf8').replace(/commands = .*/, 'commands = ["true"]'));
      await cloud.ctl(['deploy', dir]);
    });
  }

  await t.test('a folder that says nothing is told what would', async (t) => {
    const dir = makeService(t, 'nothing', undefined, { 'notes.txt': 'x' });
    const failed = await cloud.ctl(['deploy', dir], { ok: false });
    assert.equal(failed.code, 3);
    assert.match(failed.stderr, /service\.toml is not there[^]*try: .*package\.json/);
  });
});

test('what has no room for a build says so', { timeout: 60_000 }, async (t) => {
  const cloud = new Cloud(t);
  const file = path.join(cloud.dir, 'a-file');
  fs.writeFileSync(file, '');
  const dir = scripted(t, 'homeless', ['true']);
  const failed = await run(CANDELA, ['ctl', 'deploy', dir, '--address', 'unix:/nowhere'], { env: { ...cloud.env, XDG_CACHE_HOME: file } });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /^error: .*a-file/m);
});
