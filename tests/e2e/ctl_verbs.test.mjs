// Every verb of ctl against a real cloud: its help, its success, what it answers where somebody may not, names what is not
// there, comes into a conflict or reaches nobody, and what it prints as JSON, held against docs/ctl-json.schema.json. A verb
// that stands in no table here fails the test.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { probeApp } from './lib/apps.mjs';
import { Authority } from './lib/certificates.mjs';
import { Cloud, makeService } from './lib/cloud.mjs';
import { JsonSchemas } from './lib/ctl_json.mjs';
import { freePort } from './lib/ports.mjs';
import { CANDELA, run } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

// The rows that a help has under "Subcommands:".
async function listed(words) {
  const help = await run(CANDELA, ['ctl', ...words, '--help']);
  assert.equal(help.code, 0, help.stderr);
  const rows = help.stdout.split('Subcommands:\n')[1] ?? '';
  return rows.split('\n\n')[0].split('\n').map((row) => row.match(/^ {2}(\S+)/)?.[1]).filter(Boolean);
}

// [{verb, words: the options of its help}…]
async function everyVerb() {
  const verbs = [];
  for (const word of await listed([])) {
    const below = await listed([word]);
    verbs.push(...(below.length === 0 ? [word] : below.map((each) => `${word} ${each}`)));
  }
  return verbs;
}

// What a verb is given where it is to be refused: `missing` names what is not there (exit 3), `conflict` what can't be
// now (5). Without them nothing of the kind can happen to it. `local`: it asks no lighthouse. `open`: a viewer may do it.
const REFUSED = (files) => ({
  status: { args: [], open: true },
  deploy: { args: [files.dir], missing: ['/nowhere/at/all'], conflict: [files.locked] },
  plan: { args: [files.dir], open: true, missing: ['/nowhere/at/all'] },
  watch: { args: [files.dir], missing: ['/nowhere/at/all'] },
  diff: { args: ['probe'], open: true, missing: ['nobody'] },
  releases: { args: ['probe'], open: true, missing: ['nobody'] },
  rollback: { args: ['probe'], missing: ['once'], conflict: ['locked'] },
  restart: { args: ['probe'], missing: ['nobody'], conflict: ['locked'] },
  promote: { args: ['probe'], missing: ['nobody'], conflict: ['probe'] },
  pause: { args: ['probe'], missing: ['nobody'], conflict: ['locked'] },
  resume: { args: ['probe'], missing: ['nobody'], conflict: ['probe'] },
  lock: { args: ['probe'], missing: ['nobody'], conflict: ['locked'] },
  unlock: { args: ['probe'], missing: ['nobody'] },
  logs: { args: ['probe'], open: true, missing: ['nobody'] },
  exec: { args: ['INSTANCE', '--', 'true'], missing: ['nobody', '--', 'true'] },
  'port-forward': { args: ['INSTANCE'], missing: ['nobody'] },
  top: { args: ['--once'], open: true },
  scale: { args: ['probe', '1'], missing: ['nobody', '1'], conflict: ['locked', '2'] },
  stop: { args: ['probe'], missing: ['nobody'], conflict: ['locked'] },
  delete: { args: ['probe'], missing: ['nobody'], conflict: ['locked'] },
  services: { args: [], open: true, missing: ['--space', 'nowhere'] },
  instances: { args: [], open: true, missing: ['--space', 'nowhere'] },
  'nodes list': { args: [], open: true },
  'nodes show': { args: ['NODE'], open: true, missing: ['nobody'] },
  'nodes cordon': { args: ['NODE'], missing: ['nobody'] },
  'nodes uncordon': { args: ['NODE'], missing: ['nobody'] },
  'nodes drain': { args: ['NODE'], missing: ['nobody'] },
  'nodes rm': { args: ['NODE'], missing: ['nobody'], conflict: ['NODE'] },
  'nodes revoke': { args: ['NODE'], missing: ['nobody'] },
  'nodes join-token': { args: ['--roles', 'host', '--url', 'https://127.0.0.1:1'] },
  'nodes join-tokens': { args: [] },
  'nodes join-token-rm': { args: ['nothing'], missing: ['nothing'] },
  events: { args: [], open: true },
  'spaces list': { args: [], open: true },
  'spaces create': { args: ['other'], conflict: ['default'] },
  'spaces delete': { args: ['default'], missing: ['nowhere'], conflict: ['default'] },
  'spaces quota': { args: ['default', '--services', '9'], missing: ['nowhere', '--services', '9'] },
  'keys create': { args: ['other', '--out', '-'], missing: ['other', '--out', '-', '--space', 'nowhere'], conflict: ['ci'] },
  'keys list': { args: [], open: true },
  'keys rotate': { args: ['U'.padEnd(56, 'A'), '--out', '-'], missing: ['U'.padEnd(56, 'A'), '--out', '-'] },
  'keys revoke': { args: ['U'.padEnd(56, 'A')], missing: ['U'.padEnd(56, 'A')] },
  'keys grant': { args: ['U'.padEnd(56, 'A'), 'default=viewer'], missing: ['U'.padEnd(56, 'A'), 'default=viewer'] },
  version: { args: [], open: true },
  completion: { args: ['bash'], local: true },
  purge: { args: ['probe'], missing: ['nobody'] },
  maintenance: { args: ['probe', 'on'], missing: ['nobody', 'on'] },
  'certificates list': { args: [], open: true },
  'certificates add': { args: ['--cert', files.pair.certFile, '--key', files.pair.keyFile], missing: ['--cert', '/nowhere', '--key', '/nowhere'] },
  'certificates delete': { args: ['nothing'], missing: ['nothing'] },
  'secrets list': { args: [], open: true, missing: ['--space', 'nowhere'] },
  'secrets set': { args: ['SECRET'], input: 'x', missing: ['SECRET', '--space', 'nowhere'] },
  'secrets history': { args: ['SECRET'], open: true, missing: ['NOTHING'] },
  'secrets rollback': { args: ['SECRET'], missing: ['NOTHING'] },
  'secrets rm': { args: ['SECRET'], missing: ['NOTHING'], conflict: ['USED'] },
  'secrets rotate-key': { args: [] },
  'config list': { args: [], open: true, missing: ['--space', 'nowhere'] },
  'config get': { args: ['PLAIN'], open: true, missing: ['NOTHING'] },
  'config set': { args: ['PLAIN', 'x'], missing: ['PLAIN', 'x', '--space', 'nowhere'] },
  'config history': { args: ['PLAIN'], open: true, missing: ['NOTHING'] },
  'config rollback': { args: ['PLAIN'], missing: ['NOTHING'] },
  'config rm': { args: ['PLAIN'], missing: ['NOTHING'] },
  'flags list': { args: [], open: true, missing: ['--space', 'nowhere'] },
  'flags get': { args: ['switch'], open: true, missing: ['nothing'] },
  'flags set': { args: ['switch', 'on'], missing: ['switch', 'on', '--space', 'nowhere'] },
  'flags history': { args: ['switch'], open: true, missing: ['nothing'] },
  'flags rm': { args: ['switch'], missing: ['nothing'] },
  'jobs list': { args: [], open: true, missing: ['--space', 'nowhere'] },
  'jobs run': { args: ['slow', '--detach'], missing: ['nothing'], conflict: ['slow', '--detach'] },
  'jobs history': { args: ['slow'], open: true, missing: ['nothing'] },
  'jobs show': { args: ['slow'], open: true, missing: ['slow', '99'] },
  'jobs cancel': { args: ['slow'], missing: ['slow', '99'], conflict: ['quick'] },
  'jobs pause': { args: ['slow'], missing: ['nothing'] },
  'jobs resume': { args: ['slow'], missing: ['nothing'] },
  backup: { args: [files.backup], conflict: [files.taken], env: { CANDELA_BACKUP_PASSPHRASE: 'correct horse battery' } },
  'audit list': { args: [] },
  'audit verify': { args: [] },
});

// Every role in one process that other machines could join.
async function startWhole(t) {
  const cloud = new Cloud(t);
  cloud.dataDir = path.join(cloud.dir, 'data');
  assert.equal((await run(CANDELA, ['init', '--data-dir', cloud.dataDir])).code, 0);
  const [bus, endpoint, api, gateway] = [await freePort(), await freePort(), await freePort(), await freePort()];
  cloud.api = `https://127.0.0.1:${api}`;
  cloud.address = `unix:${path.join(cloud.dataDir, 'lighthouse.sock')}`;
  const profile = path.join(cloud.dir, 'whole.toml');
  fs.writeFileSync(profile, `[node]
name = "whole"
roles = ["bus", "lighthouse", "gateway", "host"]
data_dir = "${cloud.dataDir}"
endpoint = "127.0.0.1:${endpoint}"
workers = 1
[bus]
listen = "127.0.0.1:${bus}"
[lighthouse]
listen = "127.0.0.1:${api}"
url = "${cloud.api}"
bus_url = "127.0.0.1:${bus}"
bus_ca = false
[gateway]
listen = "127.0.0.1:${gateway}"
`);
  cloud.start('whole', ['node', '--config', profile]);
  await cloud.ready('whole', endpoint);
  return cloud;
}

test('every verb has its help, and completion knows it with its options', async () => {
  const verbs = await everyVerb();
  assert.ok(verbs.length > 50, verbs.join());
  const table = REFUSED({ dir: 'x', locked: 'x', pair: {}, backup: 'x', taken: 'x' });
  const shells = {};
  for (const shell of ['bash', 'zsh', 'fish']) shells[shell] = (await run(CANDELA, ['ctl', 'completion', shell])).stdout;
  for (const verb of verbs) {
    const help = await run(CANDELA, ['ctl', ...verb.split(' '), '--help']);
    assert.equal(help.code, 0, verb);
    assert.equal(help.stderr, '');
    assert.match(help.stdout, new RegExp(`^[A-Z\`][^\\n]+\\nUsage: candela ctl ${verb}( |\\n)`), verb);
    const unknown = await run(CANDELA, ['ctl', ...verb.split(' '), '--nonsense', ...table[verb].args]);
    assert.equal(unknown.code, 2, `${verb}: ${unknown.stderr}`);
    assert.match(unknown.stderr, /unknown option "--nonsense"/, verb);
    const options = help.stdout.split('Options:\n')[1].split('\n').map((row) => row.match(/^ {2}(?:-\w,)?(--[\w-]+)/)?.[1]).filter(Boolean);
    assert.ok(options.includes('--help'), verb);
    for (const [shell, script] of Object.entries(shells)) {
      for (const word of [...verb.split(' '), ...options.map((option) => option.slice(2))]) {
        assert.ok(script.includes(word), `${shell} does not know ${word} of ${verb}`);
      }
    }
  }
});

test('every verb, in a cloud', { timeout: 300_000 }, async (t) => {
  const cloud = await startWhole(t);
  const verbs = await everyVerb();
  const schemas = new JsonSchemas();
  const at = (name) => path.join(cloud.dir, name);
  const node = (await cloud.ctlJson('nodes list')).nodes[0].name;
  const dir = probeApp(t, { instances: 2 });
  const pair = await (await Authority.make(cloud.dir)).issue('shop', { names: ['shop.example.org'] });
  const passphrase = { env: { CANDELA_BACKUP_PASSPHRASE: 'correct horse battery' } };
  const seen = new Set();
  assert.throws(() => schemas.check('version', { ctl: '1', lighthouse: '1', more: 1 }));

  // Runs the verb with --json; what it prints must be what the schema says. Returns the first document.
  const ok = async (verb, args = [], { code = 0, ...options } = {}) => {
    seen.add(verb);
    const result = await cloud.ctl([...verb.split(' '), ...args, '--json'], { ...options, ok: false });
    if (result.code !== code) throw cloud.explain(new Error(`${verb} ${args.join(' ')}: exit ${result.code}\n${result.stdout}${result.stderr}`));
    const documents = result.stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
    assert.ok(documents.length > 0, `${verb} printed nothing`);
    for (const document of documents) schemas.check(verb, document);
    return documents[0];
  };
  const text = async (verb, args = [], options) => {
    const result = await cloud.ctl([...verb.split(' '), ...args], options);
    assert.notEqual(result.stdout, '', verb);
    return result.stdout;
  };
  // One that goes on until it is told to end: what it prints until `enough`.
  const follow = async (verb, args, enough, meanwhile = () => {}) => {
    seen.add(verb);
    const child = spawn(CANDELA, ['ctl', verb, ...args], { env: { ...process.env, ...cloud.env, CANDELA_ADDRESS: cloud.address, NO_COLOR: '1' } });
    let out = '';
    child.stdout.on('data', (bytes) => { out += bytes; });
    child.stderr.on('data', (bytes) => { out += bytes; });
    const ended = new Promise((done) => { child.on('exit', (code) => done(code)); });
    try {
      await meanwhile();
      await until(`${verb} to say enough`, () => enough(out), { timeout: 60_000 });
    } finally {
      child.kill('SIGINT');
    }
    assert.equal(await ended, 130, verb);
    return out;
  };
  const edit = (folder, from, to) => {
    const file = path.join(folder, 'service.toml');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(from, to));
  };

  await t.test('what is there, and what is printed', async () => {
    await ok('version');
    await ok('plan', [dir], { code: 10 });
    await ok('config set', ['PLAIN', 'one']);
    await ok('config set', ['PLAIN', 'two']);
    await ok('secrets set', ['SECRET'], { input: 'hidden' });
    await ok('secrets set', ['USED'], { input: 'hidden' });
    edit(dir, '[env]', '[[secret]]\nname = "USED"\nenv = "USED"\n[env]');
    await ok('deploy', [dir]);
    edit(dir, 'VERSION = "1"', 'VERSION = "2"');
    await ok('plan', [dir], { code: 10 });
    await ok('deploy', [dir]);
    await ok('plan', [dir]);
    await ok('diff', ['probe'], { code: 10 });
    await ok('diff', ['probe', '2', '2']);
    for (const verb of ['status', 'services', 'instances', 'nodes list']) {
      await ok(verb);
      await text(verb);
    }
    await ok('releases', ['probe']);
    await text('releases', ['probe']);
    await ok('nodes show', [node]);
    await text('nodes show', [node]);
    const lines = await until('a line in the log', async () => (await cloud.ctl(['logs', 'probe'])).stdout);
    assert.ok(lines.length > 0);
    await ok('logs', ['probe']);
    await ok('logs', ['probe', '--access']);
    await until('usage', async () => (await cloud.ctlJson(['top', '--once'])).instances.some((each) => each.usage));
    await ok('top', ['--once']);
    await text('top', ['--once']);
  });
  await t.test('updates', async () => {
    await ok('rollback', ['probe']);
    await ok('restart', ['probe']);
    await ok('lock', ['probe', '--for', '1m', '--reason', 'because']);
    await ok('services');
    await ok('unlock', ['probe']);
    edit(dir, 'VERSION = "2"', 'VERSION = "3"');
    fs.appendFileSync(path.join(dir, 'service.toml'), '\n[update]\nstrategy = "canary"\ncanary_percent = 50\npromote = "hand"\n');
    await ok('deploy', [dir, '--detach']);
    await ok('pause', ['probe']);
    await ok('resume', ['probe', '--detach']);
    await until('it to wait for a person', async () => (await cloud.ctlJson(['releases', 'probe'])).releases[0].waits_for_promotion);
    await ok('releases', ['probe']);
    await ok('promote', ['probe']);
    const broken = probeApp(t, { name: 'broken' });
    edit(broken, 'command = ["node","app.mjs"]', 'command = ["false"]');
    const failed = await cloud.ctl(['deploy', broken, '--json'], { ok: false });
    assert.ok([1, 8].includes(failed.code), failed.stderr);
    await ok('releases', ['broken']);
    await ok('purge', ['probe', '/version']);
    await ok('maintenance', ['probe', 'on']);
    await ok('maintenance', ['probe', 'off']);
    await ok('scale', ['probe', '3']);
    await ok('stop', ['probe']);
    await ok('scale', ['probe', '1']);
    await ok('delete', ['broken']);
    const events = await follow('events', ['--json'], (out) => out.split('\n').length > 3, () => until('events', async () => {
      await cloud.ctl(['scale', 'probe', '2']);
      return cloud.ctl(['scale', 'probe', '1']);
    }));
    for (const line of events.trim().split('\n').slice(0, -1)) schemas.check('events', JSON.parse(line));
    await follow('watch', [dir], (out) => out.includes('watching for changes'));
  });
  await t.test('nodes that come and go', async () => {
    await ok('nodes cordon', [node]);
    await ok('nodes uncordon', [node]);
    await ok('stop', ['probe']);
    await until('no instance', async () => (await cloud.instances('probe')).length === 0);
    await ok('nodes drain', [node]);
    await ok('nodes uncordon', [node]);
    await ok('scale', ['probe', '1']);
    const gone = await ok('nodes join-token', ['--roles', 'host']);
    await ok('nodes join-token-rm', [gone.id]);
    const made = await ok('nodes join-token', ['--roles', 'host']);
    const joined = await run(CANDELA, ['join', made.token, '--data-dir', at('extra'), '--config', at('extra.toml'), '--node', 'extra', '--no-start']);
    assert.equal(joined.code, 0, joined.stderr);
    await ok('nodes join-tokens');
    await text('nodes join-tokens');
    fs.writeFileSync(at('extra.toml'), fs.readFileSync(at('extra.toml'), 'utf8')
      .replace('[node]', `[node]\nendpoint = "127.0.0.1:${await freePort()}"\nworkers = 1`));
    const extra = cloud.start('extra', ['node', '--config', at('extra.toml')]);
    await until('it to be heard', async () => (await cloud.ctlJson('nodes list')).nodes.some((each) => each.name === 'extra' && each.state === 'ready'))
      .catch((error) => { throw cloud.explain(error); });
    await ok('nodes revoke', ['extra']);
    await extra.kill();
    await until('it to be missed', async () => (await cloud.ctlJson('nodes list')).nodes.some((each) => each.name === 'extra' && each.state === 'silent'));
    await ok('nodes rm', ['extra']);
  });
  await t.test('spaces, keys and values', async () => {
    await ok('spaces create', ['team']);
    await ok('spaces quota', ['team', '--services', '3', '--instances', '9', '--cores', '2', '--memory', '1GiB']);
    await ok('spaces quota', ['team']);
    await ok('spaces list');
    await text('spaces list');
    const ci = await ok('keys create', ['ci', '--role', 'viewer', '--out', at('ci.creds')]);
    const ada = await ok('keys create', ['ada', '--grants', 'team=viewer', '--expires', '1h', '--out', at('ada.creds')]);
    await ok('keys grant', [ada.public, 'team=developer']);
    await ok('keys list');
    await text('keys list');
    await ok('keys rotate', [ci.public, '--overlap', '1m', '--out', at('ci2.creds')]);
    await ok('keys list');
    await ok('keys revoke', [ada.public]);
    assert.ok(ci.public);
    await ok('spaces delete', ['team']);
    await ok('config list');
    await ok('config get', ['PLAIN']);
    await ok('config history', ['PLAIN']);
    await ok('config rollback', ['PLAIN']);
    await ok('config rm', ['PLAIN']);
    await ok('secrets list');
    await ok('secrets history', ['SECRET']);
    await ok('secrets set', ['SECRET'], { input: 'more' });
    await ok('secrets rollback', ['SECRET']);
    await ok('secrets set', ['USED'], { input: 'changed' });
    await ok('secrets rotate-key');
    await ok('secrets rm', ['SECRET']);
    await ok('certificates add', ['--cert', pair.certFile, '--key', pair.keyFile]);
    await ok('certificates list');
    await text('certificates list');
    await ok('certificates delete', ['shop.example.org']);
  });
  await t.test('flags and jobs', async () => {
    await ok('flags set', ['switch', 'on', '--description', 'for a test']);
    await ok('flags set', ['share', '12.5%', '--for', 'alice=on']);
    await ok('flags set', ['words', 'text', '--kind', 'string']);
    await ok('flags list');
    await text('flags list');
    await ok('flags get', ['share']);
    await ok('flags get', ['share', '--client', 'alice']);
    await ok('flags get', ['words', '--client', 'alice']);
    await ok('flags history', ['share']);
    await text('flags history', ['share']);
    await ok('flags rm', ['share']);
    const jobs = makeService(t, 'worker', `name = "worker"\nkind = "job"
[[job]]\nname = "quick"\ncommand = ["true"]\nschedule = "30 2 * * *"\ntime_zone = "UTC"
[[job]]\nname = "slow"\ncommand = ["sleep", "600"]\n`);
    await cloud.ctl(['deploy', jobs]);
    await ok('jobs list');
    await ok('jobs run', ['quick']);
    await ok('jobs run', ['slow', '--detach']);
    await ok('jobs list');
    await text('jobs list');
    await ok('jobs show', ['quick']);
    await ok('jobs show', ['slow']);
    await ok('jobs history', ['quick']);
    await text('jobs history', ['quick']);
    await ok('jobs pause', ['quick']);
    await ok('jobs resume', ['quick']);
    await until('it to run', async () => (await cloud.ctlJson('jobs show slow')).state === 'running');
    await ok('jobs cancel', ['slow']);
    await until('its end', async () => (await cloud.ctlJson('jobs show slow')).state === 'cancelled');
  });
  await t.test('what was done, and what is kept', async () => {
    await ok('backup', [at('cloud.backup')], passphrase);
    await ok('audit list');
    await text('audit list');
    await ok('audit verify');
  });
  await t.test('what prints no JSON of its own', async () => {
    // What `watch` deployed as a canary was made anew for the secret, and still waits for a person.
    await until('it to wait', async () => (await cloud.ctlJson(['releases', 'probe'])).releases[0].waits_for_promotion);
    await cloud.ctl(['promote', 'probe']);
    const [instance] = await cloud.readyInstances('probe', 1);
    seen.add('exec').add('port-forward').add('completion');
    assert.equal(await text('exec', [instance.id, '--', 'echo', 'inside']), 'inside\n');
    await follow('port-forward', [instance.id], (out) => /127\.0\.0\.1:\d+/.test(out));
  });
  await t.test('none was left out', () => {
    assert.deepEqual(verbs.filter((verb) => !seen.has(verb)), []);
    assert.deepEqual(schemas.verbs().filter((verb) => !verbs.includes(verb)), []);
  });

  const locked = probeApp(t, { name: 'locked' });
  const once = probeApp(t, { name: 'once' });
  for (const each of [locked, once]) await cloud.ctl(['deploy', each]);
  edit(locked, 'VERSION = "1"', 'VERSION = "2"');
  await cloud.ctl(['deploy', locked]);
  await cloud.ctl(['keys', 'create', 'bob', '--role', 'developer', '--out', at('bob.creds')]);
  const remote = ['--address', cloud.api, '--ca', path.join(cloud.dataDir, 'lighthouse/ca/ca.crt')];
  await cloud.ctl(['lock', 'locked', ...remote, '--creds', at('bob.creds')]);
  await cloud.ctl(['secrets', 'set', 'SECRET'], { input: 'x' });
  await cloud.ctl('jobs run slow --detach');
  fs.writeFileSync(at('taken'), '');
  const table = REFUSED({ dir, locked, pair, backup: at('more.backup'), taken: at('taken') });
  const [instance] = await cloud.readyInstances('probe', 1);
  const words = (args) => args.map((arg) => ({ NODE: node, INSTANCE: instance.id })[arg] ?? arg);
  const refused = (name, pick) => t.test(name, async (t2) => {
    for (const verb of verbs) {
      assert.ok(table[verb], `${verb} stands in no table`);
      const expected = pick(table[verb]);
      if (!expected) continue;
      await t2.test(verb, async () => {
        const { code, args, before = [] } = expected;
        const { input, env } = table[verb];
        const result = await cloud.ctl([...verb.split(' '), ...before, ...words(args)], { ok: false, input: input ?? '', env, cwd: cloud.dir });
        assert.equal(result.code, code, `${verb} ${args.join(' ')}: ${result.stdout}${result.stderr}`);
        assert.equal(result.stdout, '', verb);
        assert.match(result.stderr, /^(packed[^\n]*\n)?(candela|error|[\w/.-]+)[^\n]*: /m, verb);
      });
    }
  });
  await refused('reaching nobody is exit 6', ({ args, local }) => !local && { code: 6, args, before: ['--address', 'unix:/nowhere/at/all.sock'] });
  await refused('a viewer may look, and change nothing: exit 4', ({ args, local, open }) => !local && !open
    && { code: 4, args, before: [...remote, '--creds', at('ci.creds')] });
  await refused('what is not there is exit 3', ({ missing }) => missing && { code: 3, args: missing });
  await refused('what can not be now is exit 5', ({ conflict }) => conflict && { code: 5, args: conflict });
});
