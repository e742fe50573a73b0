// TLS sessions that openssl s_client resumes: at the other gateway, on any loop, after a change of certificates, a reload, a
// restart; and with an older key as long as that is taken.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Authority } from './lib/certificates.mjs';
import { GATEWAYS, startEdge } from './lib/edge.mjs';
import { run, tempDir } from './lib/program.mjs';
import { until } from './lib/wait.mjs';

const NAME = 'shop.example.org';
const VERSIONS = ['-tls1_2', '-tls1_3'];

// One request with openssl s_client: whether the session was resumed, and the name of the key that its ticket was made with.
async function ask(edge, index, options) {
  const result = await run('openssl', ['s_client', '-ign_eof', '-connect', `${GATEWAYS[index]}:${edge.ports.tls}`,
    '-servername', NAME, ...options], { input: `GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n` });
  assert.match(result.stdout, /HTTP\/1\.1 404/, result.stdout + result.stderr);
  const [, word] = result.stdout.match(/^(New|Reused), TLS/m);
  const ticket = [...result.stdout.matchAll(/TLS session ticket:\n +0000 - ([0-9a-f -]{47})/g)].at(-1);
  return { resumed: word === 'Reused', key: ticket?.[1] };
}

async function edgeWithCertificate(t, options) {
  const authority = await Authority.make(tempDir(t, 'tickets'));
  const edge = await startEdge(t, options);
  edge.add = async (name) => {
    const pair = await authority.issue(name, { names: [NAME] });
    await edge.ctl(['certificates', 'add', '--cert', pair.certFile, '--key', pair.keyFile]);
    for (const index of GATEWAYS.keys()) {
      await until(`${name} to be shown`, async () =>
        (await edge.shown(index, NAME).catch((error) => error)).toString() === pair.cert);
    }
  };
  await edge.add('first');
  // Until it has the lighthouse's keys, a gateway uses its own.
  await until('one key', async () => (await ask(edge, 0, [])).key === (await ask(edge, 1, [])).key);
  return edge;
}

test('sessions are resumed whatever changes but the keys', { timeout: 180_000 }, async (t) => {
  const edge = await edgeWithCertificate(t);
  const file = (version) => path.join(edge.dir, `session${version}`);
  for (const version of VERSIONS) {
    assert.equal((await ask(edge, 0, [version, '-sess_out', file(version)])).resumed, false);
  }
  const resumes = async (index, what) => {
    for (const version of VERSIONS) {
      // A few times: the kernel chooses the loop.
      for (let i = 0; i < 4; i += 1) {
        assert.ok((await ask(edge, index, [version, '-sess_in', file(version)])).resumed, `${version}, ${what}`);
      }
    }
  };
  await t.test('at either gateway', async () => {
    await resumes(0, 'where it began');
    await resumes(1, 'at the other gateway');
  });
  await t.test('after a newer certificate and a reload', async () => {
    await edge.add('second');
    await resumes(0, 'after a newer certificate');
    edge.node('gw-1').child.kill('SIGHUP');
    await until('the reload', () => /reload/.test(fs.readFileSync(path.join(edge.dir, 'gw-1.log'), 'utf8')));
    await resumes(0, 'after a reload');
  });
  await t.test('after a restart of the gateway, and without the lighthouse', async () => {
    await edge.node('gw-1').stop();
    await edge.startGateway(0);
    await edge.gatewayReady(0);
    await until('the keys', async () => (await ask(edge, 0, [])).key === (await ask(edge, 1, [])).key);
    await resumes(0, 'after a restart');
    await edge.node('core').stop();
    await resumes(1, 'without lighthouse');
  });
});

test('a key that is replaced is taken for as long again', { timeout: 180_000 }, async (t) => {
  const edge = await edgeWithCertificate(t, { lighthouse: 'ticket_rotation = "8s"' });
  const file = (version) => path.join(edge.dir, `session${version}`);
  const key = async () => (await ask(edge, 0, [])).key;
  const next = async (old) => until('the next key', async () => {
    const now = await key();
    return now !== old && now;
  }, { timeout: 30_000 });
  // From a rotation on there is the most time.
  const first = await next(await key());
  for (const version of VERSIONS) await ask(edge, 0, [version, '-sess_out', file(version)]);
  const second = await next(first);
  for (const version of VERSIONS) {
    assert.ok((await ask(edge, 1, [version, '-sess_in', file(version)])).resumed, `${version}, after one rotation`);
  }
  await next(second);
  for (const version of VERSIONS) {
    // A full handshake, and no error.
    await until('the end of the first key', async () => !(await ask(edge, 1, [version, '-sess_in', file(version)])).resumed);
  }
});
