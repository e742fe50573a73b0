// A key in place of another: the new one works at once, the old one until the overlap is over, and then nowhere.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import jwt from '@nats-io/jwt';
import { connect, credsAuthenticator } from 'nats';
import { Cloud, startDev } from './lib/cloud.mjs';
import { freePort } from './lib/ports.mjs';
import { profileFrom } from './lib/profiles.mjs';
import { CANDELA, run } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const IN_FORCE = 5000;  // milliseconds, everywhere

test('keys rotate', { timeout: 180_000 }, async (t) => {
  const cloud = await startDev(t);
  const at = (name) => path.join(cloud.dir, name);
  const remote = ['--address', `https://127.0.0.1:${cloud.ports.api}`, '--ca', path.join(cloud.dataDir, 'lighthouse/ca/ca.crt')];
  const code = async (creds) => (await cloud.ctl(['services', ...remote, '--creds', at(creds)], { ok: false })).code;
  const login = (creds) => connect({
    servers: `127.0.0.1:${cloud.ports.bus}`, authenticator: credsAuthenticator(fs.readFileSync(at(creds))), reconnect: false,
  });
  const create = (name, ...more) => cloud.ctlJson(['keys', 'create', name, '--out', at(`${name}.creds`), ...more]);
  const rotate = (key, out, ...more) => cloud.ctlJson(['keys', 'rotate', key, '--out', at(out), ...more]);
  const claims = (creds) => {
    const jwt = fs.readFileSync(at(creds), 'utf8').match(/JWT-----\n(\S+)/)[1];
    return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));
  };
  const keyOf = async (name, which) => (await cloud.ctlJson('keys list')).keys.find((key) => key.name === name && key.public === which);

  await t.test('both work during the overlap, and the new one alone after it', async () => {
    const old = await create('ci', '--publish-rate', '500', '--expires', '30d');
    const connected = await login('ci.creds');
    const closed = connected.closed();
    const fresh = await rotate(old.public, 'ci2.creds', '--overlap', '4s');
    assert.equal(fresh.replaces, old.public);
    assert.equal(fresh.name, 'ci');
    assert.notEqual(fresh.public, old.public);
    assert.equal(await code('ci2.creds'), 0);
    const second = await login('ci2.creds');
    assert.equal(await code('ci.creds'), 0, 'the old one still works');
    assert.equal(connected.isClosed(), false);
    assert.equal((await keyOf('ci', old.public)).rotated_to, fresh.public);
    assert.equal((await keyOf('ci', old.public)).revoked, false);
    assert.match((await cloud.ctl('keys list')).stdout, /ci .* rotated +U/);
    // What it may is the same, limits included; its life is as long.
    const [before, after] = [claims('ci.creds'), claims('ci2.creds')];
    assert.deepEqual(after.nats, before.nats);
    assert.ok(before.nats.tags.includes('candela:publish_rate=500'));
    assert.equal(after.exp - after.iat, before.exp - before.iat);

    const ends = Date.parse(fresh.old_ends_at);
    await until('the old one to be refused', async () => await code('ci.creds') === 4, { timeout: 4000 + IN_FORCE });
    await closed;
    assert.ok(Date.now() < ends + IN_FORCE, `${Date.now() - ends} ms after its end`);
    await assert.rejects(login('ci.creds'), /AUTHORIZATION_VIOLATION|Authorization/i);
    assert.equal(await code('ci2.creds'), 0);
    await second.flush();
    await second.close();
  });

  await t.test('without an overlap the old one is refused when the command returns', async () => {
    const old = await create('bob', '--grants', 'default=developer');
    await rotate(old.public, 'bob2.creds', '--overlap', '0s');
    assert.equal(await code('bob.creds'), 4);
    await assert.rejects(login('bob.creds'), /AUTHORIZATION_VIOLATION|Authorization/i);
    assert.equal(await code('bob2.creds'), 0);
  });

  await t.test('a lighthouse that is killed meanwhile ends it all the same', async () => {
    const old = await create('eve');
    const fresh = await rotate(old.public, 'eve2.creds', '--overlap', '6s');
    await cloud.node('dev').kill();
    await cloud.startDev();
    assert.equal(await code('eve2.creds'), 0);
    await until('the old one to be refused', async () => await code('eve.creds') === 4, { timeout: 6000 + IN_FORCE });
    assert.ok(Date.now() >= Date.parse(fresh.old_ends_at));
    await assert.rejects(login('eve.creds'), /AUTHORIZATION_VIOLATION|Authorization/i);
  });

  await t.test('what can\'t be rotated is refused, and changes nothing', async () => {
    const dan = await create('dan');
    const refused = async (want, key, ...more) => {
      const result = await cloud.ctl(['keys', 'rotate', key, '--out', at('none.creds'), ...more], { ok: false });
      assert.equal(result.code, want, result.stderr);
      assert.equal(fs.existsSync(at('none.creds')), false);
    };
    await refused(3, 'U'.padEnd(56, 'A'));
    await refused(2, dan.public, '--overlap', '31d');
    fs.writeFileSync(at('there.creds'), 'kept');
    assert.equal((await cloud.ctl(['keys', 'rotate', dan.public, '--out', at('there.creds')], { ok: false })).code, 5);
    assert.equal(fs.readFileSync(at('there.creds'), 'utf8'), 'kept');
    await rotate(dan.public, 'dan2.creds');
    await refused(5, dan.public);
    const gone = await create('gone');
    await cloud.ctl(['keys', 'revoke', gone.public]);
    await refused(5, gone.public);
    // Who may not issue keys may not rotate them either.
    const denied = await cloud.ctl(['keys', 'rotate', dan.public, '--out', '-', ...remote, '--creds', at('dan2.creds')], { ok: false });
    assert.equal(denied.code, 4, denied.stderr);
  });

  await t.test('it is in the audit log', async () => {
    const { audit } = await cloud.ctlJson('audit list');
    const record = audit.find((each) => /^POST \/v1\/keys\/U[A-Z0-9]+\/rotate$/.test(each.action) && /takes its place, after 4s$/.test(each.detail));
    assert.equal(record?.outcome, 'done');
  });
});

test('a credential of an older candela: the node says what it lacks, and init renews it', { timeout: 60_000 }, async (t) => {
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const init = () => run(CANDELA, ['init', '--data-dir', data]);
  assert.equal((await init()).code, 0);
  const identity = (name) => path.join(data, 'identity', name);
  const file = identity('creds/host.creds');
  const seed = fs.readFileSync(file, 'utf8').match(/SEED-----\n(\S+)/)[1];
  const user = jwt.fromSeed(Buffer.from(seed));
  const issuer = jwt.fromSeed(Buffer.from(fs.readFileSync(identity('accounts/CANDELA.seed'), 'utf8').trim()));
  const account = JSON.parse(Buffer.from(fs.readFileSync(identity('accounts/CANDELA.jwt'), 'utf8').split('.')[1], 'base64url')).sub;
  const claims = () => JSON.parse(Buffer.from(fs.readFileSync(file, 'utf8').match(/JWT-----\n(\S+)/)[1].split('.')[1], 'base64url'));
  const { pub, sub } = claims().nats;
  const fewer = { allow: pub.allow.filter((subject) => !/logs|values/.test(subject)) };
  assert.equal(fewer.allow.length, pub.allow.length - 2);
  const token = await jwt.encodeUser('host', user, issuer, { issuer_account: account, pub: fewer, sub, tags: ['node:host'] });
  fs.writeFileSync(file, jwt.fmtCreds(token, user));

  const endpoint = `127.0.0.1:${await freePort()}`;
  const profile = path.join(cloud.dir, 'host.toml');
  fs.writeFileSync(profile, profileFrom('host.toml', {
    node: { name: 'old', data_dir: path.join(cloud.dir, 'old'), endpoint, workers: 1 },
    bus: { url: `127.0.0.1:${await freePort()}`, credentials: file },
  }));
  const told = /credential_outdated role=host .*lacks="publish candela\.lighthouse\.values, publish candela\.logs\.>".*candela init/;
  const first = cloud.start('host', ['node', '--config', profile]);
  await until('the node to say it', () => told.test(first.tail(50)));
  const seen = await run(CANDELA, ['doctor', '--config', profile]);
  assert.match(seen.stdout, /host\.creds lacks what this version's host needs: publish candela\.lighthouse\.values/);
  await first.stop();

  assert.equal((await init()).code, 0);
  assert.equal(claims().sub, user.getPublicKey());
  assert.deepEqual(claims().nats.pub, pub);
  const second = cloud.start('host-renewed', ['node', '--config', profile]);
  await until('it to run', () => second.tail(50).includes('bus_connection_lost'));
  await second.stop();
  assert.doesNotMatch(second.tail(50), /credential_outdated/);
});
