// The command line by itself, against an API that a test makes up: what each verb prints, asks and returns.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { FakeLighthouse } from './lib/fake_lighthouse.mjs';
import { CANDELA, run, tempDir } from './lib/program.mjs';

const MANIFEST = 'name = "hello"\ncommand = ["node", "server.js"]\n';

async function setUp(t) {
  const fake = await FakeLighthouse.start(t);
  const home = tempDir(t, 'home');
  const env = {
    HOME: home, XDG_CONFIG_HOME: '', XDG_STATE_HOME: '', XDG_DATA_HOME: '', CANDELA_ADDRESS: fake.address, CANDELA_CREDS: '',
    NO_COLOR: '',
  };
  const ctl = (args, options = {}) => run(CANDELA, ['ctl', ...(Array.isArray(args) ? args : args.split(' '))],
    { timeout: 20_000, cwd: home, ...options, env: { ...env, ...options.env } });
  const dir = path.join(home, 'hello');
  fs.mkdirSync(dir);
  fs.writeFileSync(path.join(dir, 'service.toml'), MANIFEST);
  fs.writeFileSync(path.join(dir, 'server.js'), 'console.log(1)\n');
  return { fake, ctl, dir, home };
}

test('wrong usage is exit 2, with what would be right, and asks nothing', async (t) => {
  const { ctl, fake } = await setUp(t);
  const cases = [
    ['', /Usage/], ['depoly x', /unknown verb "depoly"; did you mean "deploy"/], ['nodes drian x', /did you mean "drain"/],
    ['keys crate x', /unknown verb "keys crate"; did you mean "create"/], ['logs hello --folow', /--follow/],
    ['deploy', /DIR is required/], ['scale hello', /INSTANCES is required/], ['scale hello 1 2', /unexpected "2"/],
    ['scale hello many', /INSTANCES takes a number/], ['scale hello 100000', /from 0 to 1000/],
    ['logs hello --tail -5', /--tail/], ['deploy . --timeout 5', /--timeout/], ['completion csh', /bash, zsh and fish/],
    ['rollback hello 0', /RELEASE/], ['--address ftp://x status', /unix:PATH or https/],
  ];
  for (const [args, expected] of cases) {
    const result = await ctl(args === '' ? [] : args);
    assert.equal(result.code, 2, `${args}: ${result.code} ${result.stderr}`);
    assert.match(result.stderr, expected, args);
    assert.equal(result.stdout, '', args);
  }
  assert.deepEqual(fake.calls, []);
});

test('the usual mistakes lead to the right hint', async (t) => {
  const { ctl, fake } = await setUp(t);
  const cases = [
    // Letters that are missing, doubled or in the wrong order.
    ['depoly .', 'deploy'], ['statsu', 'status'], ['rolback hello', 'rollback'], ['logs hello --tial 5', '--tail'], ['deploy . --detatch', '--detach'],
    // One for many.
    ['node list', 'nodes'], ['secret set X', 'secrets'], ['service', 'services'], ['log hello -f', 'logs'], ['space create x', 'spaces'],
    // What other tools call it.
    ['ls', 'services'], ['ps', 'instances'], ['rm hello', 'delete'], ['undeploy hello', 'delete'], ['up', 'deploy'], ['start hello', 'scale'],
    ['nodes ls', 'list'], ['nodes remove x', 'rm'], ['keys rm x', 'revoke'], ['secrets get X', 'list'], ['config add A b', 'set'], ['describe hello', 'services'],
    ['namespace list', 'spaces'], ['history hello', 'releases'],
  ];
  for (const [args, meant] of cases) {
    const result = await ctl(args);
    assert.equal(result.code, 2, `${args}: ${result.stderr}`);
    assert.ok(result.stderr.includes(`did you mean "${meant}"?`), `${args}: ${result.stderr}`);
    assert.match(result.stderr, /\ntry: candela ctl [^\n]*--help\n$/, args);
  }
  const help = await ctl('help deploy');
  assert.equal(help.code, 0);
  assert.equal(help.stdout, (await ctl('deploy --help')).stdout);
  assert.equal((await ctl('help')).stdout, (await ctl('--help')).stdout);
  assert.deepEqual(fake.calls, []);
});

test('lists are tables, and JSON where asked', async (t) => {
  const { ctl, fake } = await setUp(t);
  fake.releases.push({ number: 1, state: 'done', bundle: 'b'.repeat(64) });
  assert.match((await ctl('nodes')).stdout, /^NODE +STATE.*\nvm +ready +bus,host +1 +7% of 4 +8\.0 GiB/);
  const shown = (await ctl('nodes show vm')).stdout;
  assert.match(shown, /sandbox level: isolated/);
  assert.match(shown, /seccomp +on +system calls by a list\nmemory +off +there is no cgroup v2/);
  assert.equal(JSON.parse((await ctl('nodes show vm --json')).stdout).protections.length, 2);
  assert.equal((await ctl('nodes show')).code, 2);
  assert.equal((await ctl('nodes vm')).code, 2);
  assert.match((await ctl('services')).stdout, /hello +serving +http +1\/1 +1 +hello\.localhost\//);
  assert.match((await ctl('instances hello')).stdout, /hello-1 +ready +hello +1 +vm/);
  assert.match((await ctl('releases hello')).stdout, /1 +done .* bbbbbbbbbbbb /);
  assert.match((await ctl('spaces list')).stdout, /default +1/);
  assert.match((await ctl('status')).stdout, /vm[\s\S]*hello/);
  fake.trouble = 'the disk is full';
  assert.match((await ctl('status')).stderr, /trouble: the disk is full/);
  assert.match((await ctl('version')).stdout, /lighthouse +9\.9\.9/);
  assert.match((await ctl('events')).stdout, /instance_ready +instance=hello-1/);
  assert.equal(JSON.parse((await ctl('nodes --json')).stdout).nodes[0].name, 'vm');
  assert.equal((await ctl('nodes list')).stdout, (await ctl('nodes')).stdout);
  assert.equal(JSON.parse((await ctl('--json services')).stdout).services[0].name, 'hello');
  assert.equal(JSON.parse((await ctl('instances --json')).stdout).instances[0].id, 'hello-1');
  assert.equal(JSON.parse((await ctl('status --json')).stdout).space, 'default');
  assert.equal(JSON.parse((await ctl('events --json')).stdout).type, 'instance_ready');
  assert.equal(JSON.parse((await ctl('version --json')).stdout).lighthouse, '9.9.9');
  assert.doesNotMatch((await ctl('nodes')).stdout, /\x1b/);
});

test('logs: the last lines, one a line', async (t) => {
  const { ctl, fake } = await setUp(t);
  fake.releases.push({ number: 1, state: 'done' });
  const logs = await ctl('logs hello --tail 2 --instance hello-1');
  assert.equal(logs.stdout, 'hello-1 two\nhello-1 three\n');
  assert.deepEqual(fake.calls.at(-1).query, { service: 'hello', tail: '2', instance: 'hello-1' });
  const lines = (await ctl('logs hello --json')).stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.text), ['one', 'two', 'three']);
  assert.equal((await ctl('logs nobody')).code, 3);
});

test('deploy packs, signs, uploads once, and waits until it serves', async (t) => {
  const { ctl, fake, dir, home } = await setUp(t);
  const first = await ctl(['deploy', dir]);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /^hello release 1 is serving/);
  assert.match(first.stderr, /uploaded/);
  const [bundle] = fake.bundles.values();
  assert.match(bundle.headers['candela-signer'], /^U[A-Z2-7]{55}$/);
  assert.match(bundle.headers['candela-signature'], /^[\w-]{86}$/);
  const created = fake.calls.find((call) => call.key === 'POST /v1/spaces/default/services/hello/releases').json;
  assert.equal(created.manifest.name, 'hello');
  assert.equal(created.signer, bundle.headers['candela-signer']);
  assert.ok(fake.bundles.has(created.bundle));
  const seed = path.join(home, '.config/candela/deployer.seed');
  assert.equal(fs.statSync(seed).mode & 0o777, 0o600);

  const second = await ctl(['deploy', '--json', dir]);
  assert.equal(second.code, 0, second.stderr);
  assert.equal(JSON.parse(second.stdout).number, 2);
  assert.match(second.stderr, /already there/);
  assert.equal(fake.calls.filter((call) => call.key.startsWith('PUT ')).length, 1);
  assert.doesNotMatch(first.stderr + second.stderr, /SU[A-Z2-7]{56}/);

  const detached = await ctl(['deploy', dir, '--detach']);
  assert.equal(detached.code, 0);
  assert.equal(detached.stdout, 'hello release 3\n');
  fs.chmodSync(seed, 0o644);
  assert.equal((await ctl(['deploy', dir])).code, 4);
});

test('deploy says why it was rolled back: exit 8', async (t) => {
  const { ctl, fake, dir } = await setUp(t);
  fake.outcome = 'rolled_back';
  const result = await ctl(['deploy', dir]);
  assert.equal(result.code, 8);
  assert.equal(result.stdout, '');
  for (const part of [/no instance became ready/, /hello-2 on vm/, /HTTP 404/, /exit code 9/, /line 25/, /line 6\n/, /candela ctl logs hello/]) {
    assert.match(result.stderr, part);
  }
  assert.doesNotMatch(result.stderr, /line 5\n/, 'more than the last 20 lines');
});

test('deploy that takes too long goes on by itself: exit 7', async (t) => {
  const { ctl, fake, dir } = await setUp(t);
  fake.polls = 1e9;
  const result = await ctl(['deploy', dir, '--timeout', '300ms']);
  assert.equal(result.code, 7);
  assert.match(result.stderr, /still rolling.*goes on/);
});

test('mistakes in service.toml are all shown, with their places', async (t) => {
  const { ctl, fake, dir } = await setUp(t);
  fs.writeFileSync(path.join(dir, 'service.toml'), 'name = "Hello"\ncomand = ["x"]\ninstances = -1\n');
  const result = await ctl(['deploy', dir]);
  assert.equal(result.code, 2);
  for (const line of [1, 2, 3]) assert.match(result.stderr, new RegExp(`service\\.toml:${line}:\\d+`));
  assert.equal((await ctl(['deploy', path.join(dir, 'none')])).code, 3);
  assert.deepEqual(fake.calls, []);
});

test('rollback, scale, stop and delete', async (t) => {
  const { ctl, fake } = await setUp(t);
  fake.releases.push({ number: 1, state: 'done' }, { number: 2, state: 'done' });
  const back = await ctl('rollback hello 1');
  assert.equal(back.code, 0, back.stderr);
  assert.match(back.stdout, /release 3 is serving/);
  assert.deepEqual(fake.calls.find((call) => call.key.endsWith('/rollback')).json, { to: 1 });
  const scaled = await ctl('scale hello 3');
  assert.equal(scaled.code, 0, scaled.stderr);
  assert.equal(scaled.stdout, 'hello: 3 instances\n');
  assert.equal((await ctl('stop hello')).code, 0);
  assert.equal(fake.wanted, 0);
  assert.equal((await ctl('delete hello')).code, 0);
  assert.ok(fake.calls.some((call) => call.key === 'DELETE /v1/spaces/default/services/hello'));
});

test('keys create writes a secret file and sends the public half only', async (t) => {
  const { ctl, fake, home } = await setUp(t);
  const made = await ctl('keys create ci --role viewer --expires 1h --space red');
  assert.equal(made.code, 0, made.stderr);
  assert.equal(made.stdout, 'ci.creds\n');
  const file = path.join(home, 'ci.creds');
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  assert.match(fs.readFileSync(file, 'utf8'), /BEGIN NATS USER JWT[\s\S]*BEGIN USER NKEY SEED[\s\S]*SU[A-Z2-7]{56}/);
  const sent = fake.calls.at(-1).json;
  assert.equal(sent.space, 'red');
  assert.equal(sent.expires, '1h');
  assert.doesNotMatch(JSON.stringify(fake.calls), /SU[A-Z2-7]{56}/);
  assert.equal((await ctl('keys create ci')).code, 5, 'overwrites a key');
  assert.equal((await ctl('keys create slow --publish-rate 100 --publish-bytes 1MiB')).code, 0);
  assert.equal(fake.calls.at(-1).json.publish_rate, 100);
  assert.equal(fake.calls.at(-1).json.publish_bytes, '1MiB');
  assert.notEqual((await ctl('keys create other --publish-rate lots')).code, 0);
  assert.match((await ctl('keys list')).stdout, /ci +red +viewer/);
  assert.equal((await ctl(['keys', 'revoke', sent.public_key])).code, 0);
});

test('errors of the API have their exit code and their hint', async (t) => {
  const { ctl, fake } = await setUp(t);
  const cases = [[400, 'invalid', 2], [404, 'not_found', 3], [403, 'denied', 4], [409, 'conflict', 5], [503, 'unreachable', 6], [500, 'internal', 1]];
  for (const [status, code, exit] of cases) {
    fake.refuse['GET /v1/nodes'] = [status, { error: { code, message: `because ${code}`, hint: 'something else' } }];
    const result = await ctl('nodes');
    assert.equal(result.code, exit, code);
    assert.match(result.stderr, new RegExp(`because ${code}[\\s\\S]*try: something else`));
  }
  assert.equal((await ctl('services --space nowhere')).code, 3);
  const away = await ctl('status --address unix:/nowhere/at/all.sock');
  assert.equal(away.code, 6);
  assert.match(away.stderr, /\/nowhere\/at\/all\.sock[\s\S]*try:/);
  assert.equal((await ctl('status --address https://127.0.0.1:1')).code, 4);
});

test('completion scripts are what their shells can read', async (t) => {
  const { ctl, home } = await setUp(t);
  const bash = await ctl('completion bash');
  assert.equal(bash.code, 0);
  fs.writeFileSync(path.join(home, 'c.bash'), `${bash.stdout}
COMP_WORDS=(candela ctl dep); COMP_CWORD=2; _candela; echo "\${COMPREPLY[@]}"
COMP_WORDS=(candela ctl keys cre); COMP_CWORD=3; _candela; echo "\${COMPREPLY[@]}"
COMP_WORDS=(candela ctl keys create --ex); COMP_CWORD=4; _candela; echo "\${COMPREPLY[@]}"
COMP_WORDS=(candela ctl logs --fo); COMP_CWORD=3; _candela; echo "\${COMPREPLY[@]}"
`);
  const tried = await run('bash', [path.join(home, 'c.bash')]);
  assert.equal(tried.stdout, 'deploy\ncreate\n--expires\n--follow\n', tried.stderr);
  assert.match((await ctl('completion zsh')).stdout, /^#compdef candela/);
  assert.match((await ctl('completion fish')).stdout, /complete -c candela/);
});
