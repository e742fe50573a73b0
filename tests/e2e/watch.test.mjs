// candela ctl watch and candela dev --watch: a folder is deployed again whenever its sources change.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Cloud, makeService, startDev } from './lib/cloud.mjs';
import { DEFAULT_PORTS, freeOffset } from './lib/ports.mjs';
import { CANDELA, isAlive, processesIn } from './lib/program.mjs';
import { until, within } from './lib/wait.mjs';

const files = (text) => ({
  'service.toml': `name = "watched"
command = ["node", "made/server.js"]
[build]
commands = ["mkdir -p made", "node -c server.js", "cp server.js made/", "echo built >> made/log"]
[[route]]
host = "watched.localhost"
`,
  '.gitignore': '/made\n*.tmp\n',
  'server.js': `console.log('starting ${text}'); require('node:http').createServer((q, s) => s.end('${text}')).listen(process.env.PORT, '127.0.0.1');\n`,
});

// As editors do: nobody sees half a file.
function write(dir, name, text) {
  fs.writeFileSync(path.join(dir, 'new.tmp'), text);
  fs.renameSync(path.join(dir, 'new.tmp'), path.join(dir, name));
}
const releases = async (cloud) => (await cloud.ctlJson('releases watched')).releases.length;

test('ctl watch', { timeout: 300_000 }, async (t) => {
  const cloud = await startDev(t);
  const dir = makeService(t, 'watched', undefined, files('one'));
  const child = spawn(CANDELA, ['ctl', 'watch', dir], { env: { ...process.env, ...cloud.env, CANDELA_ADDRESS: cloud.address, NO_COLOR: '1' } });
  t.after(() => child.kill('SIGKILL'));
  let out = '';
  let notes = '';
  child.stdout.on('data', (bytes) => { out += bytes; });
  child.stderr.on('data', (bytes) => { notes += bytes; });
  const ended = new Promise((done) => { child.on('exit', (code, signal) => done(signal ?? code)); });
  const served = async () => (await cloud.get('/', { host: 'watched.localhost' })).text;
  const until1 = (what, probe) => until(what, probe, { timeout: 60_000 }).catch((error) => { throw new Error(`${error.message}\n${notes}\n${out}`); });

  await until1('the first release', () => notes.includes('watching for changes; Ctrl-C'));
  assert.equal(await served(), 'one');
  await until1('its log', () => /watched-\S+ starting one/.test(out));

  await t.test('a change is built and deployed, and its log goes on', async () => {
    write(dir, 'server.js', files('two')['server.js']);
    await until1('the second', async () => (await served()) === 'two');
    await until1('its log', () => /watched-\S+ starting two/.test(out));
    assert.equal(await releases(cloud), 2);
  });

  await t.test('several files at once are one release, also in a new folder', async () => {
    await until1('it to watch', () => notes.split('watching for changes; Ctrl-C').length === 3);
    fs.mkdirSync(path.join(dir, 'lib/deep'), { recursive: true });
    for (let i = 0; i < 20; i += 1) write(dir, `lib/deep/${i}.js`, `// ${i}`);
    await until1('the third', async () => (await releases(cloud)) === 3);
    await until1('it to watch', () => notes.split('watching for changes; Ctrl-C').length === 4);
    write(dir, 'lib/deep/3.js', '// changed in a folder that was not there at first');
    await until1('the fourth', async () => (await releases(cloud)) === 4);
    await until1('it to watch', () => notes.split('watching for changes; Ctrl-C').length === 5);
  });

  await t.test('a build that fails leaves what runs', async () => {
    write(dir, 'server.js', 'this is not JavaScript (');
    await until1('the failure', () => notes.includes('error: the build failed: node -c server.js'));
    await until1('it to go on', () => notes.includes('what ran before runs on'));
    assert.equal(await served(), 'two');
    assert.equal(await releases(cloud), 4);
    write(dir, 'server.js', files('three')['server.js']);
    await until1('the repair', async () => (await served()) === 'three');
  });

  await t.test('a release that fails is taken back, and a mistake in service.toml is told', async () => {
    await until1('it to watch', () => notes.split('watching for changes; Ctrl-C').length === 6);
    write(dir, 'server.js', 'process.exit(1);\n');
    await until1('the rollback', () => notes.includes('was rolled back'));
    assert.equal(await served(), 'three');
    const toml = files('x')['service.toml'];
    write(dir, 'service.toml', toml.replace('command', 'comand'));
    await until1('the mistake', () => notes.includes('unknown key "comand"'));
    write(dir, 'service.toml', toml);
    write(dir, 'server.js', files('four')['server.js']);
    await until1('the repair', async () => (await served()) === 'four');
  });

  await t.test('what is no source is no change', async () => {
    const before = await releases(cloud);
    const noted = notes.split('$ mkdir').length;
    write(dir, 'editor.tmp', 'x');
    fs.mkdirSync(path.join(dir, 'made'));
    write(dir, 'made/output', 'x');
    fs.mkdirSync(path.join(dir, '.git'));
    write(dir, '.git/index', 'x');
    write(dir, 'server.js', fs.readFileSync(path.join(dir, 'server.js')));
    // A real change behind them: had they counted, there would be another release before it.
    write(dir, 'server.js', files('five')['server.js']);
    await until1('the real one', async () => (await served()) === 'five');
    assert.equal(await releases(cloud), before + 1);
    assert.equal(notes.split('$ mkdir').length, noted + 1);
  });

  child.kill('SIGINT');
  assert.equal(await within(20_000, 'ctl', ended), 130);
  assert.equal(await served(), 'five', 'it runs on');
});

test('candela dev --watch', { timeout: 120_000 }, async (t) => {
  const cloud = new Cloud(t);
  cloud.isDev = true;
  const offset = await freeOffset();
  cloud.gatewayPort = DEFAULT_PORTS.gateway + offset;
  const dir = makeService(t, 'watched', undefined, files('one'));
  const node = cloud.start('dev', ['dev', '--data-dir', path.join(cloud.dir, 'data'), '--port-offset', String(offset), '--watch', dir]);
  const served = async () => (await cloud.get('/', { host: 'watched.localhost' })).text;
  await until('the first', async () => (await served()) === 'one', { timeout: 60_000 }).catch((error) => { throw cloud.explain(error); });
  await until('its log', () => /watched-\S+ starting one/.test(node.output()));
  write(dir, 'server.js', files('two')['server.js']);
  await until('the second', async () => (await served()) === 'two', { timeout: 60_000 }).catch((error) => { throw cloud.explain(error); });
  const watcher = fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).map(Number).find((pid) => {
    try {
      return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`watch\0${dir}`) && pid !== node.pid;
    } catch {
      return false;
    }
  });
  assert.ok(watcher);
  // However it ends, nothing is left.
  await node.kill('SIGKILL');
  await until('the watcher to end', () => !isAlive(watcher));
  await until('the instances to end', () => processesIn(cloud.dir).length === 0);
});
