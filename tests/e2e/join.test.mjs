// Machines become nodes by a token, between network namespaces: with wrong, used, late and stolen ones; what they are
// given is renewed while they run and after it has ended, and taken back.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Cloud, makeService } from './lib/cloud.mjs';
import { request } from './lib/http.mjs';
import { makeMachine } from './lib/machine.mjs';
import { freePort } from './lib/ports.mjs';
import { CANDELA, Program, run } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const APP = `require('node:http').createServer((_, answer) => answer.end('from ' + process.env.CANDELA_NODE))
  .listen(process.env.PORT, process.env.HOST ?? '127.0.0.1');`;
const SERVICE = `name = "web"
command = ["node", "app.js"]
[probe]
tcp = true
interval = "100ms"
[placement]
constraints = ["where=there"]
[[route]]
host = "web.localhost"
`;

// The lighthouse, the bus and a gateway on this machine, where the others reach them.
async function startCloud(t, ours, { lifetime = '30d', tls = false } = {}) {
  const cloud = new Cloud(t);
  cloud.data = path.join(cloud.dir, 'data');
  assert.equal((await run(CANDELA, ['init', '--data-dir', cloud.data])).code, 0);
  const ports = { bus: await freePort(), node: await freePort(), api: await freePort(), gateway: await freePort() };
  cloud.ports = ports;
  cloud.gatewayPort = ports.gateway;
  cloud.address = `unix:${path.join(cloud.data, 'lighthouse.sock')}`;
  const profile = path.join(cloud.dir, 'core.toml');
  const pem = path.join(cloud.data, 'identity/tls/node.pem');
  fs.writeFileSync(profile, `[node]
name = "core"
roles = ["bus", "lighthouse", "gateway"]
data_dir = "${cloud.data}"
endpoint = "127.0.0.1:${ports.node}"
workers = 1
[bus]
listen = "0.0.0.0:${ports.bus}"
${tls ? `[bus.tls]\ncertificate = "${pem}"\nkey = "${pem}"\n` : ''}
[lighthouse]
listen = "0.0.0.0:${ports.api}"
url = "https://${ours}:${ports.api}"
names = ["${ours}"]
bus_url = "${ours}:${ports.bus}"
bus_ca = ${tls}
node_lifetime = "${lifetime}"
[gateway]
listen = "127.0.0.1:${ports.gateway}"
`);
  cloud.startCore = async () => {
    cloud.start('core', ['node', '--config', profile]);
    await cloud.ready('core', ports.node);
  };
  await cloud.startCore();
  return cloud;
}

const token = async (cloud, ...args) => (await cloud.ctl(['nodes', 'join-token', '--roles', 'host', ...args])).stdout.trim();

// `candela join` as it is typed on the machine.
const join = (machine, data, text, ...args) => run('ip', ['netns', 'exec', machine.name, CANDELA, 'join', text,
  '--data-dir', data, '--config', `${data}.toml`, ...args]);

function startJoined(cloud, machine, data, name) {
  // What a joined profile leaves to the defaults, but for the port of its endpoint and its labels.
  const profile = `${data}.toml`;
  const text = fs.readFileSync(profile, 'utf8');
  if (!text.includes('labels')) fs.writeFileSync(profile, text.replace('[node]', '[node]\nlabels = { where = "there" }\nworkers = 1'));
  const node = new Program('ip', ['netns', 'exec', machine.name, CANDELA, 'node', '--config', profile],
    { name, log: path.join(cloud.dir, `${name}.log`) });
  cloud.nodes.push(node);
  return node;
}

const node = async (cloud, name) => (await cloud.ctlJson('nodes list')).nodes.find((each) => each.name === name);
const heard = (cloud, name) => until(`${name} to be heard`, async () => (await node(cloud, name))?.state === 'ready', { timeout: 20_000 })
  .catch((error) => { throw cloud.explain(error); });
const skip = process.getuid() !== 0 && 'needs root, for network namespaces';

test('a machine joins, serves, and is cut off', { timeout: 180_000, skip }, async (t) => {
  const machine = await makeMachine(t);
  const cloud = await startCloud(t, machine.ours);
  const data = path.join(cloud.dir, 'web1');

  await t.test('what is no token, or not whole, is said to be', async () => {
    const wrong = await join(machine, data, 'cj1.abc', '--no-start');
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /not a join token, or a part of it is missing/);
    const half = await join(machine, data, (await token(cloud)).slice(0, -20), '--no-start');
    assert.equal(half.code, 2);
    assert.equal(fs.existsSync(`${data}.toml`), false);
  });
  await t.test('a token of another cloud, and a lighthouse that is not the one, are refused', async () => {
    const parts = (text) => JSON.parse(Buffer.from(text.slice(4), 'base64url'));
    const whole = parts(await token(cloud));
    const as = (change) => `cj1.${Buffer.from(JSON.stringify({ ...whole, ...change })).toString('base64url')}`;
    const foreign = await join(machine, data, as({ secret: 'x'.repeat(27) }), '--no-start');
    assert.equal(foreign.code, 4, foreign.stderr);
    assert.match(foreign.stderr, /not one of this cloud/);
    const other = await join(machine, data, as({ ca: 'a'.repeat(64) }), '--no-start');
    assert.equal(other.code, 4, other.stderr);
    assert.match(other.stderr, /certificate/);
    // The token is still good: nothing of it has gone to the wrong lighthouse.
    assert.equal((await cloud.ctlJson('nodes join-tokens')).join_tokens.filter((each) => each.state === 'used').length, 0);
  });
  await t.test('one that came too late', async () => {
    const late = await token(cloud, '--ttl', '1s');
    await until('the token to end', async () => (await cloud.ctlJson('nodes join-tokens')).join_tokens.some((each) => each.state === 'ended'));
    const refused = await join(machine, data, late, '--no-start');
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(refused.stderr, /ended at .*make a new one/);
  });
  await t.test('one that was withdrawn', async () => {
    const made = await cloud.ctlJson('nodes join-token --roles host');
    await cloud.ctl(['nodes', 'join-token-rm', made.id]);
    const refused = await join(machine, data, made.token, '--no-start');
    assert.equal(refused.code, 4, refused.stderr);
    assert.equal((await cloud.ctl(['nodes', 'join-token-rm', made.id], { ok: false })).code, 3);
  });
  await t.test('a name that is taken, or the lighthouse\'s', async () => {
    const good = await token(cloud);
    for (const name of ['core', 'localhost']) {
      const refused = await join(machine, data, good, '--node', name, '--no-start');
      assert.equal(refused.code, 5, refused.stderr);
    }
  });

  let used;
  await t.test('a good one makes a node that runs what is placed on it', async () => {
    used = await token(cloud);
    const joined = await join(machine, data, used, '--node', 'web1', '--address', machine.theirs, '--no-start');
    assert.equal(joined.code, 0, joined.stderr);
    assert.match(joined.stderr, /this machine is the node web1: host/);
    assert.equal(fs.statSync(path.join(data, 'identity/tls/node.pem')).mode & 0o777, 0o600);
    assert.equal(fs.statSync(path.join(data, 'identity/creds/host.creds')).mode & 0o777, 0o600);
    startJoined(cloud, machine, data, 'web1');
    await heard(cloud, 'web1');
    const service = makeService(t, 'web', SERVICE, { 'app.js': APP });
    await cloud.ctl(['deploy', service]);
    const [instance] = await cloud.readyInstances('web', 1);
    assert.equal(instance.node, 'web1');
    const answer = await request(cloud.gatewayPort, '/', { headers: { host: 'web.localhost' } });
    assert.equal(answer.status, 200);
  });
  await t.test('a stolen one comes second, and its owner hears of the thief', async () => {
    const thief = await makeMachine(t);
    const refused = await join(thief, path.join(cloud.dir, 'thief'), used, '--node', 'web2', '--no-start');
    assert.equal(refused.code, 5, refused.stderr);
    assert.match(refused.stderr, /was used at .* by web1 from /);
    assert.match(refused.stderr, /nodes revoke web1/);
    const audit = await cloud.ctlJson('audit list');
    assert.match(JSON.stringify(audit), /POST \/v1\/join"/);
  });
  await t.test('who has joined can not speak for another node', async () => {
    const creds = path.join(data, 'identity/creds/host.creds');
    const { connect, credsAuthenticator } = await import('nats');
    const bus = await connect({ servers: `127.0.0.1:${cloud.ports.bus}`, authenticator: credsAuthenticator(fs.readFileSync(creds)), reconnect: false });
    const denied = (async () => { for await (const status of bus.status()) if (status.type === 'error') return String(status.data); })();
    bus.publish('candela.nodes.core.heartbeat', 'x');
    assert.match(await denied, /PERMISSIONS_VIOLATION/i);
    await bus.close();
  });
  await t.test('twice on one machine is refused', async () => {
    fs.renameSync(`${data}.toml`, `${data}.kept.toml`);
    const again = await join(machine, data, await token(cloud), '--node', 'web9', '--no-start');
    fs.renameSync(`${data}.kept.toml`, `${data}.toml`);
    assert.equal(again.code, 5, again.stderr);
    assert.match(again.stderr, /has the node web1 already/);
  });
  await t.test('one that is revoked is cut off within five seconds, and does not come back', async () => {
    const began = Date.now();
    await cloud.ctl('nodes revoke web1');
    await until('the node to be lost', async () => (await node(cloud, 'web1'))?.state !== 'ready', { timeout: 15_000, every: 50 });
    t.diagnostic(`silent ${Date.now() - began} ms after the revocation, silent_after (4 s) included`);
    const log = fs.readFileSync(path.join(cloud.dir, 'web1.log'), 'utf8');
    assert.match(log, /revoked|authoriz/i);
    assert.equal((await cloud.ctl('nodes revoke web1', { ok: false })).code, 3);
    await cloud.ctl('nodes rm web1');
  });
});

test('what a node has is renewed while it runs, and after it has ended', { timeout: 180_000, skip }, async (t) => {
  const machine = await makeMachine(t);
  const cloud = await startCloud(t, machine.ours, { lifetime: '6s', tls: true });
  const data = path.join(cloud.dir, 'web1');
  const joined = await join(machine, data, await token(cloud), '--node', 'web1', '--no-start');
  assert.equal(joined.code, 0, joined.stderr);
  const pem = path.join(data, 'identity/tls/node.pem');
  const creds = path.join(data, 'identity/creds/host.creds');
  const read = () => fs.readFileSync(pem, 'utf8') + fs.readFileSync(creds, 'utf8');
  const first = read();
  let program = startJoined(cloud, machine, data, 'web1');
  await heard(cloud, 'web1');
  await cloud.ctl(['deploy', makeService(t, 'web', SERVICE, { 'app.js': APP })]);
  await cloud.readyInstances('web', 1);

  await t.test('live, without an instance or a request lost', async () => {
    const load = cloud.load({ host: 'web.localhost', clients: 2, pause: 20 });
    const seen = new Set([first]);
    await until('three renewals', () => seen.add(read()) && seen.size > 3, { timeout: 60_000, every: 50 });
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.equal((await node(cloud, 'web1')).state, 'ready');
  });
  await t.test('after its certificate and credentials have ended while it was off', async () => {
    await program.stop();
    const stopped = read();
    const [, certificate] = stopped.match(/(-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----)/);
    const { X509Certificate } = await import('node:crypto');
    const end = new Date(new X509Certificate(certificate).validTo).getTime();
    await until('the certificate to end', () => Date.now() > end + 1000, { timeout: 30_000 });
    program = startJoined(cloud, machine, data, 'web1');
    await heard(cloud, 'web1');
    assert.notEqual(read(), stopped);
  });
  await t.test('and not where it was taken back meanwhile', async () => {
    await cloud.ctl('nodes revoke web1');
    await until('the refusal', () => /membership_not_renewed.*taken back/.test(fs.readFileSync(path.join(cloud.dir, 'web1.log'), 'utf8')),
      { timeout: 30_000 });
  });
});
