// Feature flags: set by ctl, read live by services with the key-value API of any NATS client; on candela's own bus and
// on real nats-servers. docs/flags.md is what is run here: its commands, and its functions in JavaScript and Python.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import vm from 'node:vm';
import { createHash } from 'node:crypto';
import Ajv from 'ajv';
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import { copyModules } from './lib/apps.mjs';
import { makeService, startDev } from './lib/cloud.mjs';
import { startParity } from './lib/parity.mjs';
import { freePort } from './lib/ports.mjs';
import { profileFrom } from './lib/profiles.mjs';
import { CANDELA, Program, ROOT, run, tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const DOCS = fs.readFileSync(path.join(ROOT, 'docs/flags.md'), 'utf8');
const block = (language, mark) => [...DOCS.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, 'gm'))]
  .map((match) => match[1]).find((text) => text.includes(mark));
const ask = vm.runInNewContext(`${block('js', 'function ask').replace(/^import.*$/m, '')}; ask`, { createHash });
const isFlag = new Ajv().compile(JSON.parse(fs.readFileSync(path.join(ROOT, 'docs/flag.schema.json'), 'utf8')));

// The bucket as a service would hold it, and what has changed in it. The loop is that of docs/flags.md.
async function watchFlags(t, connection) {
  const seen = { flags: new Map(), changes: [] };
  const kv = await new Kvm(connection).open('candela_flags');
  const watch = await kv.watch();
  t.after(() => watch.stop());
  (async () => {
    for await (const entry of watch) {
      seen.changes.push(`${entry.operation} ${entry.key}`);
      if (entry.operation === 'PUT') seen.flags.set(entry.key, entry.json());
      else seen.flags.delete(entry.key);
    }
  })();
  return { kv, seen };
}

const says = (seen, name, client) => {
  const flag = seen.flags.get(name);
  assert.ok(flag, `${name} is not in the bucket`);
  assert.ok(isFlag(flag), JSON.stringify([flag, isFlag.errors]));
  return ask(flag, name, client);
};

test('flags in a cloud', { timeout: 240_000 }, async (t) => {
  const cloud = await startDev(t);
  const dir = tempDir(t, 'flags');
  const key = async (name, role) => {
    const file = path.join(dir, `${name}.creds`);
    await cloud.ctl(['keys', 'create', name, '--role', role, '--out', file]);
    return file;
  };
  const dora = await key('dora', 'developer');
  const join = async (inner) => {
    const connection = await connect({
      servers: `127.0.0.1:${cloud.ports.bus}`, maxReconnectAttempts: -1, reconnectTimeWait: 100,
      authenticator: credsAuthenticator(fs.readFileSync(dora)),
    });
    inner.after(() => connection.close());
    return connection;
  };
  const nc = await join(t);
  const { kv, seen } = await watchFlags(t, nc);

  await t.test('the commands of docs/flags.md do what it says', async (t) => {
    const commands = block('sh', 'flags set').trim().split('\n');
    assert.ok(commands.length >= 10);
    for (const command of commands) {
      const words = command.replace(/^candela ctl /, '').match(/"[^"]*"|\S+/g).map((word) => word.replaceAll('"', ''));
      const { stdout } = await cloud.ctl(words);
      await t.test(command, () => {
        if (command.includes('--for alice=on')) assert.equal(stdout, 'new-checkout version 2, bool: off, 2 by name\n');
        if (command.endsWith('25%')) assert.equal(stdout, 'faster-search version 2, percentage: 25% of the clients\n');
        if (command.endsWith('list')) assert.match(stdout, /^banner +string +"Back at noon" +0 +1 /m);
        if (command.endsWith('get faster-search')) assert.match(stdout, /^faster-search version 2 by .*\n {2}25% of the clients \(percentage\)\n$/);
        if (command.includes('--client')) assert.match(stdout, /^(on|off)\n$/);
        if (command.includes('history')) assert.match(stdout, /^2 +25% .*\n1 +10% /m);
      });
    }
    await until('the deletion', () => seen.changes.includes('DEL banner'));
    assert.deepEqual([...seen.flags.keys()].sort(), ['faster-search', 'new-checkout']);
    assert.equal((await kv.get('banner')).operation, 'DEL');
    assert.equal(says(seen, 'new-checkout', 'alice'), true);
    assert.equal(says(seen, 'new-checkout', 'bob'), false);
    assert.equal(says(seen, 'new-checkout', 'carol'), false);
    assert.equal(seen.flags.get('new-checkout').description, 'the checkout of 2026');
  });

  await t.test('a percentage is for its share of 10,000 clients, and for the same ones as it grows', async () => {
    const clients = Array.from({ length: 10_000 }, (_, i) => `user-${i}`);
    let before = new Set();
    for (const percent of [0, 0.5, 10, 25, 50, 100]) {
      const { version } = await cloud.ctlJson(['flags', 'set', 'share', `${percent}%`]);
      await until('the change', () => seen.flags.get('share')?.version === version, { every: 5 });
      const on = new Set(clients.filter((client) => says(seen, 'share', client)));
      // Five standard deviations of a fair draw.
      const spread = 5 * Math.sqrt(clients.length * (percent / 100) * (1 - percent / 100));
      assert.ok(Math.abs(on.size - clients.length * percent / 100) <= spread, `${on.size} at ${percent}%`);
      for (const client of before) assert.ok(on.has(client), `${client} has lost it at ${percent}%`);
      before = on;
    }
    await cloud.ctl('flags set share 25% --for user-1=off --for user-2=on');
    await until('the rules', () => seen.flags.get('share').rules.length === 2);
    const flag = seen.flags.get('share');
    // Another language, and the lighthouse itself, say the same.
    const python = `${block('python', 'def ask')}\nimport json, sys\nflag = json.load(sys.stdin)\nprint(json.dumps([ask(flag, "share", f"user-{i}") for i in range(10000)]))`;
    const said = JSON.parse(execFileSync('python3', ['-c', python], { input: JSON.stringify(flag) }));
    assert.deepEqual(said, clients.map((client) => ask(flag, 'share', client)));
    for (const client of ['user-1', 'user-2', ...clients.slice(3, 20), 'ü🙂']) {
      const { answer } = await cloud.ctlJson(['flags', 'get', 'share', '--client', client]);
      assert.equal(answer.value, ask(flag, 'share', client), client);
    }
  });

  await t.test('a service with its own credential sees each change as it runs', async (t) => {
    const app = makeService(t, 'reader', 'name = "reader"\nkind = "bus"\ncommand = ["node", "app.mjs"]\n', {
      'package.json': '{"type":"module"}',
      'app.mjs': `
import fs from 'node:fs';
import { connect, credsAuthenticator } from 'nats';
const nats = await connect({
  servers: process.env.CANDELA_BUS_URL, authenticator: credsAuthenticator(fs.readFileSync(process.env.CANDELA_BUS_CREDS)),
});
const kv = await nats.jetstream().views.kv('candela_flags');
const watch = await kv.watch();
for await (const entry of watch) {
  if (entry.key === 'live') console.log('live', entry.operation, entry.operation === 'PUT' ? entry.json().value : '');
}
`,
    });
    copyModules(app, ['nats']);
    await cloud.ctl(['deploy', '--no-build', app]);
    const lines = async () => (await cloud.ctl('logs reader')).stdout;
    await cloud.ctl(['flags', 'set', 'live', 'one', '--kind', 'string']);
    await until('the flag', async () => (await lines()).includes('live PUT one'));
    await cloud.ctl(['flags', 'set', 'live', 'two']);
    await until('the change', async () => (await lines()).includes('live PUT two'));
    await cloud.ctl('flags rm live');
    await until('the deletion', async () => (await lines()).includes('live DEL'));
    await cloud.ctl('delete reader');
  });

  await t.test('mistakes are told with what would be right', async () => {
    const wrong = async (words, code, text) => {
      const said = await cloud.ctl(words, { ok: false });
      assert.equal(said.code, code, said.stderr);
      assert.match(said.stderr, text);
    };
    await wrong(['flags', 'set', 'typo', 'ture'], 2, /"ture" is neither on, off nor a percentage like 25%\ntry: --kind string/);
    await wrong(['flags', 'set', 'typo'], 2, /there is no flag typo yet/);
    await wrong(['flags', 'set', 'new-checkout', '25%'], 2, /neither on nor off, and the flag is a bool\ntry: --kind/);
    await wrong(['flags', 'set', 'share', '101%'], 2, /no percentage from 0% to 100%/);
    await wrong(['flags', 'set', 'share', '0.001%'], 2, /at most two digits behind the point/);
    await wrong(['flags', 'set', 'share', '--for', 'alice'], 2, /--for takes CLIENT=VALUE/);
    await wrong(['flags', 'set', 'share', '--for', 'alice=maybe'], 2, /neither on nor off/);
    await wrong(['flags', 'set', 'share', '--forget', 'nobody'], 3, /no rule names the client "nobody"/);
    await wrong(['flags', 'set', 'share', '--kind', 'int', '1'], 2, /--kind is bool, string or percentage/);
    await wrong(['flags', 'set', '1st', 'on'], 2, /not a flag's name/);
    await wrong(['flags', 'get', 'shar'], 3, /has no flag 'shar'/);
    await wrong(['flags', 'rm', 'shar'], 3, /has no flag 'shar'/);
    await wrong(['flags', 'history', 'shar'], 3, /has no flag/);
    await wrong(['flags', 'lst'], 2, /did you mean "list"/);
    await wrong(['flags', 'list', '--space', 'nowhere'], 3, /no space/);
    const file = path.join(dir, 'flag.json');
    fs.writeFileSync(file, '{"kind": "bool", "vaule": true}');
    await wrong(['flags', 'set', 'typo', '--file', file], 2, /no member "vaule"/);
    fs.writeFileSync(file, '{"kind": "bool", "value": false, "rules": [{"clients": ["alice"], "value": true}]}');
    await cloud.ctl(['flags', 'set', 'whole', '--file', file]);
    await until('the whole flag', () => seen.flags.has('whole'));
    assert.equal(says(seen, 'whole', 'alice'), true);
    // Another kind takes its rules along where they mean the same.
    assert.match((await cloud.ctl('flags set whole 5% --kind percentage')).stdout, /percentage: 5% of the clients, 1 by name/);
    assert.match((await cloud.ctl('flags set whole text --kind string')).stdout, /string: "text"\n/);
    assert.match((await cloud.ctl('flags set whole text')).stdout, /version 3 \(unchanged\)/);
  });

  const api = (method, target, { body, headers = {} } = {}) => new Promise((done, fail) => {
    const sent = http.request({ socketPath: path.join(cloud.dataDir, 'lighthouse.sock'), method, path: target, headers: { host: 'x', ...headers } }, (answer) => {
      let text = '';
      answer.on('data', (bytes) => { text += bytes; });
      answer.on('end', () => done({ status: answer.statusCode, etag: answer.headers.etag, json: JSON.parse(text) }));
    });
    sent.on('error', fail);
    sent.end(body && JSON.stringify(body));
  });

  await t.test('of two who change the same revision one is refused', async () => {
    const target = '/v1/spaces/default/flags/raced';
    const made = await api('PUT', target, { body: { kind: 'bool', value: false } });
    assert.deepEqual([made.status, made.json.version, made.json.published], [201, 1, true]);
    const [first, second] = [true, false].map((value) => api('PUT', target, { body: { kind: 'bool', value, description: 'x' }, headers: { 'if-match': made.etag } }));
    assert.deepEqual([(await first).status, (await second).status].sort(), [200, 412]);
    assert.equal((await api('DELETE', target, { headers: { 'if-match': made.etag } })).status, 412);
    // One that was deleted and made anew has another revision.
    assert.equal((await api('DELETE', target)).status, 200);
    assert.equal((await api('PUT', target, { body: { kind: 'bool', value: false }, headers: { 'if-match': made.etag } })).status, 412);
    await api('PUT', target, { body: { kind: 'bool', value: false } });
    assert.equal((await api('PUT', target, { body: { kind: 'bool', value: true }, headers: { 'if-match': made.etag } })).status, 412);
    assert.equal((await api('DELETE', target)).status, 200);
  });

  await t.test('lists come in pages', async () => {
    const names = [];
    let after = '';
    for (;;) {
      const { json } = await api('GET', `/v1/spaces/default/flags?limit=1&after=${after}`);
      names.push(...json.flags.map((flag) => flag.name));
      if (!json.next_page) break;
      after = json.next_page;
    }
    assert.deepEqual(names, (await cloud.ctlJson('flags list')).flags.map((flag) => flag.name));
    assert.deepEqual(names, ['faster-search', 'new-checkout', 'share', 'whole']);
  });

  await t.test('viewers look, and who did what is in the audit log', async () => {
    const vera = await key('vera', 'viewer');
    const remote = ['--address', `https://127.0.0.1:${cloud.ports.api}`, '--ca', path.join(cloud.dataDir, 'lighthouse/ca/ca.crt'), '--creds'];
    assert.equal((await cloud.ctl(['flags', 'list', ...remote, vera])).code, 0);
    const denied = await cloud.ctl(['flags', 'set', 'share', '30%', ...remote, vera], { ok: false });
    assert.equal(denied.code, 4, denied.stderr);
    await cloud.ctl(['flags', 'set', 'share', '30%', ...remote, dora]);
    const { audit } = await cloud.ctlJson('audit list');
    const entry = audit.find((each) => each.action === 'PUT /v1/spaces/default/flags/share');
    assert.deepEqual([entry.who, entry.space, entry.outcome], ['dora', 'default', 'done']);
    assert.match(entry.detail, /^version \d+$/);
    assert.equal((await cloud.ctlJson('flags history share')).versions[0].author, 'dora');
  });

  await t.test('what others write does not stay', async () => {
    const version = seen.flags.get('share').version;
    await kv.put('share', '{"forged": true}');
    await kv.put('strange', '{}');
    await until('it to be put right', async () => (await kv.get('share')).json().version === version && (await kv.get('strange')).operation === 'DEL');
  });

  await t.test('spaces do not see each other, and their flags go with them', async () => {
    await cloud.ctl('spaces create other');
    await cloud.ctl('flags set only-there on --space other');
    assert.equal(seen.flags.has('only-there'), false);
    assert.deepEqual((await cloud.ctlJson('flags list --space other')).flags.map((flag) => flag.name), ['only-there']);
    await cloud.ctl('spaces delete other');
    await cloud.ctl('spaces create other');
    assert.deepEqual((await cloud.ctlJson('flags list --space other')).flags, []);
  });

  await t.test('a bus that comes back empty is filled again', async () => {
    const expected = Object.fromEntries(seen.flags);
    await cloud.node('dev').kill();
    fs.rmSync(path.join(cloud.dataDir, 'bus/streams'), { recursive: true });
    await cloud.startDev();
    await until('the flags', async () => (await cloud.ctlJson('flags list')).published);
    const again = await watchFlags(t, await join(t));
    await until('all of them', () => again.seen.flags.size === Object.keys(expected).length);
    assert.deepEqual(Object.fromEntries([...again.seen.flags].sort()), Object.fromEntries(Object.entries(expected).sort()));
    // A kill right after a change that was confirmed loses nothing either.
    const { version } = await cloud.ctlJson('flags set share 31%');
    await cloud.node('dev').kill();
    await cloud.startDev();
    assert.equal((await cloud.ctlJson('flags get share')).version, version);
    await until('the flags', async () => (await cloud.ctlJson('flags list')).published);
    const { kv } = await watchFlags(t, await join(t));
    assert.equal((await kv.get('share')).json().percent, 31);
  });
});

async function startLighthouse(t, server, index) {
  const { dir } = server.bus;
  const config = path.join(dir, `flags-${index}.toml`);
  const socket = `unix:${path.join(dir, `fl-${index}.sock`)}`;
  fs.writeFileSync(config, profileFrom('lighthouse.toml', {
    node: { name: `flags-${index}`, data_dir: dir, endpoint: `127.0.0.1:${await freePort()}`, workers: 1 },
    bus: { url: server.address },
    lighthouse: { listen: `127.0.0.1:${await freePort()}`, socket, database: `sqlite:${path.join(dir, `flags-${index}.db`)}` },
  }));
  const program = new Program(CANDELA, ['node', '--config', config], { name: `flags-${index}`, log: path.join(dir, `flags-${index}.log`) });
  t.after(() => program.kill());
  const ctl = async (...words) => run(CANDELA, ['ctl', ...words], { env: { CANDELA_ADDRESS: socket, NO_COLOR: '1' }, timeout: 30_000 });
  await until('the lighthouse', async () => (await ctl('flags', 'list')).code === 0, { timeout: 30_000 });
  return { program, ctl };
}

test('flags on whatever bus there is', { timeout: 240_000 }, async (t) => {
  for (const [index, server] of (await startParity(t)).entries()) {
    await t.test(server.name, async (t) => {
      const { program, ctl } = await startLighthouse(t, server, index);
      const set = await ctl('flags', 'set', 'a.b', '25%', '--for', 'alice=off');
      assert.equal(set.code, 0, set.stderr);
      assert.equal((await ctl('flags', 'set', 'gone', 'on')).code, 0);
      const nc = await server.connect(t);
      const { seen } = await watchFlags(t, nc);
      await until('the flags', () => seen.flags.size === 2);
      assert.equal(says(seen, 'a.b', 'alice'), false);
      assert.equal((await ctl('flags', 'rm', 'gone')).code, 0);
      await until('the deletion', () => seen.changes.includes('DEL gone'));
      // A lighthouse that starts anew writes nothing that is there.
      const info = async () => (await jetstreamManager(nc)).streams.info('KV_candela_flags');
      const { last_seq: before } = (await info()).state;
      await program.kill();
      const again = await startLighthouse(t, server, index);
      await until('it to have looked', async () => JSON.parse((await again.ctl('flags', 'list', '--json')).stdout).published);
      assert.equal((await info()).state.last_seq, before);
      // Without its bucket the bus gets another.
      await (await new Kvm(nc).open('candela_flags')).destroy();
      assert.equal((await again.ctl('flags', 'set', 'a.b', '26%')).code, 0);
      const entry = await (await new Kvm(nc).open('candela_flags')).get('a.b');
      assert.equal(entry.json().percent, 26);
      assert.ok(isFlag(entry.json()), JSON.stringify(isFlag.errors));
    });
  }
});
