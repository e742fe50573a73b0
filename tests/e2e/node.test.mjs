// The life of a node: profiles, start, readiness, reload, stop, and what can go wrong on the way.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { request } from './lib/http.mjs';
import { DEFAULT_PORTS, freeOffset, freePort } from './lib/ports.mjs';
import { CANDELA, Program, ROOT, run, tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const candela = (args, options) => run(CANDELA, args, { timeout: 20_000, ...options });

// Only a bus: it depends on nothing else.
async function startBus(t, { env = {}, extra = '' } = {}) {
  const dir = tempDir(t, 'node');
  const data = path.join(dir, 'data');
  assert.equal((await candela(['init', '--data-dir', data])).code, 0);
  const [endpoint, bus] = [await freePort(), await freePort()];
  const file = path.join(dir, 'bus.toml');
  const profile = (more = '') => `[node]\nname = "bus-1"\nroles = ["bus"]\ndata_dir = "${data}"\nendpoint = "127.0.0.1:${endpoint}"\n`
    + `workers = 1\n${extra}${more}\n[bus]\nlisten = "127.0.0.1:${bus}"\n`;
  fs.writeFileSync(file, profile());
  const node = new Program(CANDELA, ['node', '--config', file], { log: path.join(dir, 'log'), env });
  t.after(() => node.stop());
  await until('readiness', async () => (await request(endpoint, '/readyz')).status === 200)
    .catch((error) => { throw new Error(`${error.message}\n${node.output()}`); });
  return { node, dir, data, endpoint, bus, file, profile };
}

test('verbs: help, version, and what is said to typos', async () => {
  const help = await candela(['help']);
  assert.equal(help.code, 0);
  for (const word of ['dev', 'node', 'init', 'ctl', 'gateway']) assert.match(help.stdout, new RegExp(`\\b${word}\\b`));
  assert.match((await candela(['version'])).stdout, /^candela \d+\.\d+\.\d+\n$/);
  assert.equal((await candela(['--version'])).code, 0);
  assert.equal((await candela([])).code, 2);
  for (const [args, expected] of [
    [['nod'], /unknown verb "nod"; did you mean "node"/], [['node', '--confg', 'x'], /did you mean "--config"/],
    [['node'], /which profile/], [['node', '--config'], /--config FILE/], [['dev', '--port-offset', 'x'], /0 to 50000/],
    [['dev', '--port-offset', '60000'], /0 to 50000/], [['init'], /--data-dir DIR/], [['dev', 'now'], /unexpected "now"/],
    [['dev', '--log-level', 'loud'], /loud/], [['node', '--example', 'hots'], /did you mean "host"/],
  ]) {
    const result = await candela(args);
    assert.equal(result.code, 2, args.join(' '));
    assert.match(result.stderr, expected);
  }
});

test('init makes an identity once, readable by its owner only', async (t) => {
  const data = path.join(tempDir(t), 'data');
  assert.equal((await candela(['init', '--data-dir', data])).code, 0);
  const files = ['operator.seed', 'creds/admin.creds', 'accounts/CANDELA.jwt'].map((f) => path.join(data, 'identity', f));
  const before = files.map((file) => fs.readFileSync(file, 'utf8'));
  for (const file of files) assert.equal(fs.statSync(file).mode & 0o777, 0o600, file);
  assert.equal((await candela(['init', '--data-dir', data])).code, 0);
  assert.deepEqual(files.map((file) => fs.readFileSync(file, 'utf8')), before);
  fs.writeFileSync(files[2], 'rotten');
  const corrupt = await candela(['init', '--data-dir', data]);
  assert.equal(corrupt.code, 1);
  assert.match(corrupt.stderr, /CANDELA\.jwt/);
  assert.doesNotMatch(corrupt.stderr, /S[UAO][A-Z2-7]{56}/);
});

test('a node starts, tells how it is, and ends with 0', async (t) => {
  const { node, endpoint } = await startBus(t);
  assert.equal((await request(endpoint, '/healthz')).text, 'ok\n');
  const ready = JSON.parse((await request(endpoint, '/readyz')).text);
  assert.equal(ready.ready, true);
  assert.equal(ready.node, 'bus-1');
  assert.deepEqual(ready.roles.map((role) => role.name), ['bus']);
  const metrics = await request(endpoint, '/metrics');
  assert.match(metrics.headers['content-type'], /openmetrics/);
  assert.match(metrics.text, /^candela_role_ready\{role="bus"\} 1$/m);
  assert.match(metrics.text, /\n# EOF\n$/);
  assert.equal((await request(endpoint, '/none')).status, 404);
  assert.equal((await request(endpoint, '/metrics', { method: 'POST' })).status, 405);
  const how = await node.stop();
  assert.deepEqual([how.code, how.signal, how.late], [0, null, undefined], node.output());
  assert.match(node.output(), /node_stopped/);
});

test('a second node on the same role and data is refused: exit 5', async (t) => {
  const { file } = await startBus(t);
  const second = await candela(['node', '--config', file]);
  assert.equal(second.code, 5);
  assert.match(second.stderr, /another candela already runs the role bus/);
});

test('a port that is taken is named: exit 1', async (t) => {
  const { dir, bus, data } = await startBus(t);
  const other = path.join(dir, 'other');
  fs.cpSync(path.join(data, 'identity'), path.join(other, 'identity'), { recursive: true });
  const file = path.join(dir, 'other.toml');
  fs.writeFileSync(file, `[node]\nroles = ["bus"]\ndata_dir = "${other}"\nendpoint = "127.0.0.1:0"\n[bus]\nlisten = "127.0.0.1:${bus}"\n`);
  const result = await candela(['node', '--config', file]);
  assert.equal(result.code, 1);
  assert.match(result.stderr, new RegExp(`node_not_started.*role bus.*${bus}`));
});

test('SIGHUP reloads a good profile and refuses a bad one without harm', async (t) => {
  const { node, file, profile, endpoint } = await startBus(t);
  fs.writeFileSync(file, profile('drain_timeout = "1s"'));
  process.kill(node.pid, 'SIGHUP');
  await until('the reload', () => node.output().includes(' reloaded'));
  fs.writeFileSync(file, profile('drain_timeot = "1s"'));
  process.kill(node.pid, 'SIGHUP');
  await until('the refusal', () => /reload_refused.*drain_timeot/.test(node.output()));
  assert.equal((await request(endpoint, '/readyz')).status, 200);
});

test('systemd is told: ready, reloading, stopping', async (t) => {
  const dir = tempDir(t);
  const socket = path.join(dir, 'notify');
  const log = path.join(dir, 'told');
  // Node has no datagram sockets of the unix kind.
  const listener = spawn('python3', ['-c', `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
out = open(sys.argv[2], 'ab', 0)
while True: out.write(s.recv(4096) + b'\\n--\\n')
`, socket, log], { stdio: 'ignore' });
  t.after(() => listener.kill('SIGKILL'));
  await until('the listener', () => fs.existsSync(socket));
  const { node } = await startBus(t, { env: { NOTIFY_SOCKET: socket } });
  const told = () => (fs.existsSync(log) ? fs.readFileSync(log, 'utf8') : '');
  await until('READY', () => told().includes('READY=1'));
  process.kill(node.pid, 'SIGHUP');
  await until('RELOADING, then READY again', () => /RELOADING=1\nMONOTONIC_USEC=\d+\n--\nREADY=1/.test(told()));
  await node.stop();
  assert.match(told(), /STOPPING=1/);
});

test('profiles with mistakes: all of them, with place and remedy, exit 2, nothing started', async (t) => {
  const file = path.join(tempDir(t), 'p.toml');
  fs.writeFileSync(file, '[node]\nroles = ["bus", "gatway"]\nworker = 2\nlog_level = loud\n[bus]\nlisten = "4222"\nmax_payload = "1 parsec"\n');
  for (const flag of ['--check', '--config']) {
    const result = await candela(['node', flag, file]);
    assert.equal(result.code, 2);
    for (const expected of [
      /p\.toml:2:17: error: .*"gatway"; did you mean "gateway"\?/, /p\.toml:3:1: error: unknown key "worker" in \[node\]; did you mean "workers"\?/,
      /p\.toml:4:13: error: .*quotes: "loud"/, /p\.toml:6:10: error: .*not an address/, /p\.toml:7:15: error: .*not a size/,
    ]) assert.match(result.stderr, expected);
  }
  const missing = await candela(['node', '--check', `${file}.none`]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /p\.toml\.none/);
});

test('every profile in config/ is sound and shows every key', async () => {
  const roles = (await candela(['help'])).stdout.split('roles:\n')[1].match(/^ {2}\w+/gm).map((name) => name.trim());
  const files = { 'all-in-one.toml': roles.join(','), ...Object.fromEntries(roles.map((role) => [`${role}.toml`, role])) };
  for (const [name, list] of Object.entries(files)) {
    const file = path.join(ROOT, 'config', name);
    const checked = await candela(['node', '--check', file]);
    assert.equal(checked.code, 0, checked.stderr);
    const keys = (text) => {
      let section = '';
      const found = [];
      for (const line of text.split('\n')) {
        const header = line.match(/^(?:# ?)?\[+([\w.]+)\]+/);
        if (header) [, section] = header;
        const key = line.match(/^(?:# ?)?([a-z]\w*)\s*=/);
        if (key) found.push(`${section}.${key[1]}`);
      }
      return found;
    };
    const example = await candela(['node', '--example', list]);
    assert.equal(example.code, 0, example.stderr);
    const shown = new Set(keys(fs.readFileSync(file, 'utf8')));
    assert.deepEqual(keys(example.stdout).filter((key) => !shown.has(key)), [], `config/${name} does not show these keys`);
  }
});

test('dev: ready by itself, one a folder, and ctl finds it', async (t) => {
  const dir = tempDir(t, 'dev');
  const offset = await freeOffset();
  const env = { HOME: dir, XDG_STATE_HOME: '', XDG_DATA_HOME: '', XDG_CONFIG_HOME: '', CANDELA_ADDRESS: '' };
  const dev = new Program(CANDELA, ['dev', '--port-offset', String(offset)], { log: path.join(dir, 'log'), env });
  t.after(() => dev.stop());
  await until('readiness', async () => (await request(DEFAULT_PORTS.node + offset, '/readyz')).status === 200)
    .catch((error) => { throw new Error(`${error.message}\n${dev.output()}`); });
  const data = path.join(dir, '.local/share/candela/dev');
  assert.ok(fs.existsSync(path.join(data, 'lighthouse.sock')));
  await until('the banner', () => /is ready in \d+ ms[\s\S]*candela ctl deploy/.test(dev.output()));
  const state = JSON.parse(fs.readFileSync(path.join(dir, '.local/state/candela/dev.json')));
  assert.equal(state.pid, dev.pid);
  assert.equal(state.address, `unix:${path.join(data, 'lighthouse.sock')}`);
  const status = await candela(['ctl', 'status', '--json'], { env });
  assert.equal(status.code, 0, status.stderr);
  const { nodes } = JSON.parse(status.stdout);
  assert.equal(nodes.length, 1);
  assert.deepEqual([...nodes[0].roles].sort(), ['bus', 'gateway', 'host', 'lighthouse', 'loadbalancer']);

  const second = await candela(['dev', '--port-offset', String(offset + 7)], { env });
  assert.equal(second.code, 5);
  assert.match(second.stderr, /another candela dev is already running in .*--data-dir/);

  const how = await dev.stop();
  assert.deepEqual([how.code, how.late], [0, undefined], dev.output());
  assert.equal(fs.existsSync(path.join(dir, '.local/state/candela/dev.json')), false);
  const gone = await candela(['ctl', 'status'], { env });
  assert.equal(gone.code, 6);
  assert.match(gone.stderr, /candela dev/);
});
