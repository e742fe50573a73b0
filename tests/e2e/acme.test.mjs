// Certificates from an authority that speaks ACME (pebble, a real server): a lighthouse orders them, two gateways answer
// its challenges and serve what comes.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import test from 'node:test';
import { probeApp } from './lib/apps.mjs';
import { GATEWAYS, startEdge } from './lib/edge.mjs';
import { Pebble, hasPebble, startDns } from './lib/pebble.mjs';
import { until } from './lib/wait.mjs';

const LONG = { timeout: 60_000, every: 200 };

test('certificates by ACME', { timeout: 400_000, skip: !hasPebble && 'pebble is not installed' }, async (t) => {
  const edge = await startEdge(t, { start: false });
  // A name leads to one gateway, then to the other: whichever is asked has to know the answer.
  let asked = 0;
  let release;
  const held = new Promise((done) => { release = done; });
  const dns = await startDns(t, async (name) => {
    asked += 1;
    if (name.startsWith('slow.')) await held;
    return name.startsWith('lost.') ? '127.0.0.3' : GATEWAYS[asked % GATEWAYS.length];
  });
  const pebble = await Pebble.start(t, { dns, httpPort: edge.ports.http, tlsPort: edge.ports.tls, lifetime: 3600 });
  const section = (more = '') => `[lighthouse.acme]
directory = "${pebble.directory}"
email = "admin@example.org"
domains = ["example.org"]
agree_to_terms = true
ca = "${pebble.authority.file}"
${more}`;
  const restart = async (more) => {
    await edge.node('core').stop();
    edge.lighthouseSection = section(more);
    await edge.startCore();
  };
  const explained = (promise) => promise.catch((error) => { throw edge.explain(error); });
  const deploy = (name, routes) => edge.ctl(['deploy', probeApp(t, { name, routes })]);
  // The certificate of the host once every gateway shows one from pebble.
  const served = async (host) => {
    const shown = [];
    for (const index of GATEWAYS.keys()) {
      shown.push(await explained(until(`${host} at gw-${index + 1}`, async () => {
        const certificate = await edge.shown(index, host);
        assert.match(certificate.issuer, /Pebble Intermediate/);
        return certificate;
      }, LONG)));
    }
    return shown;
  };
  const entry = async (host) => (await edge.certificates()).certificates.find((one) => one.name === host);

  edge.lighthouseSection = section('challenges = ["http-01"]');
  await edge.startCore();
  for (const index of GATEWAYS.keys()) await edge.startGateway(index);
  for (const index of GATEWAYS.keys()) await edge.gatewayReady(index);

  let first;
  let account;
  await t.test('by HTTP-01, for the exact hosts of routes below the domains and no others', async () => {
    await deploy('shop', `[[route]]
host = "shop.example.org"
https_only = true
[[route]]
host = "shop.example.com"
[[route]]
host = "*.example.org"
`);
    const shown = await served('shop.example.org');
    assert.equal(shown[0].toString(), shown[1].toString(), 'the gateways show different certificates');
    [first] = shown;
    assert.equal(first.subjectAltName, 'DNS:shop.example.org');
    // The chain leads to the authority's root, and the connection carries requests.
    for (const index of GATEWAYS.keys()) {
      await edge.shown(index, 'shop.example.org', { rejectUnauthorized: true, ca: pebble.root });
    }
    const { certificates, acme } = await edge.certificates();
    assert.deepEqual(certificates.map((one) => [one.name, one.source, one.state]), [['shop.example.org', 'acme', 'valid']]);
    assert.match(acme.account, /^https:\/\/localhost/);
    assert.equal(acme.error, '');
    account = acme.account;
    assert.equal((await edge.ask(0, 'shop.example.org', '/version')).status, 308);
  });

  await t.test('what is no open challenge goes the way of all requests', async () => {
    for (const index of GATEWAYS.keys()) {
      assert.equal((await edge.ask(index, 'shop.example.org', '/.well-known/acme-challenge/unknown')).status, 308);
      assert.equal((await edge.ask(index, 'example.com', '/.well-known/acme-challenge/unknown')).status, 404);
    }
  });

  await t.test('a restart keeps account and certificate', async () => {
    await restart('challenges = ["tls-alpn-01"]');
    const orders = pebble.log().split('There are now').length;
    await until('the certificate in the list', async () => (await entry('shop.example.org'))?.state === 'valid');
    assert.equal((await entry('shop.example.org')).fingerprint, first.fingerprint256.replaceAll(':', '').toLowerCase());
    assert.equal((await edge.certificates()).acme.account, account);
    assert.equal((await edge.shown(0, 'shop.example.org')).toString(), first.toString());
    assert.equal(pebble.log().split('There are now').length, orders);
  });

  await t.test('by TLS-ALPN-01', async () => {
    await deploy('blog', '[[route]]\nhost = "blog.example.org"\n');
    const [shown] = await served('blog.example.org');
    assert.equal(shown.subjectAltName, 'DNS:blog.example.org');
    assert.doesNotMatch(pebble.log(), /HTTP: http:\/\/blog\.example\.org/);
    assert.match(edge.node('gw-1').output() + edge.node('gw-2').output(), /certificate_challenge_answered/);
    assert.equal((await edge.certificates()).acme.account, account);
    // An authority that asks again afterwards finds nothing.
    await assert.rejects(edge.shown(0, 'blog.example.org', { ALPNProtocols: ['acme-tls/1'] }));
  });

  await t.test('a lighthouse that is killed in the middle of an order goes on with it', async () => {
    // One more than the authority has given up by itself.
    const orders = () => pebble.log().split('Added order').length - pebble.log().split(/order \S+ set INVALID/).length;
    const before = orders();
    await deploy('slow', '[[route]]\nhost = "slow.example.org"\n');
    await explained(until('the validation', () => /Value:"slow\.example\.org"/.test(pebble.log()), LONG));
    await edge.node('core').kill();
    await edge.startCore();
    release();
    await served('slow.example.org');
    assert.equal(orders(), before + 1, pebble.log());
    assert.equal((await edge.certificates()).acme.account, account);
  });

  await t.test('a host that the authority can not reach shows why, and waits', async () => {
    await deploy('lost', '[[route]]\nhost = "lost.example.org"\n');
    const lost = await explained(until('the failure', async () => {
      const one = await entry('lost.example.org');
      return one?.state === 'failing' && one;
    }, LONG));
    assert.match(lost.error, /lost\.example\.org by tls-alpn-01: .*127\.0\.0\.3/);
    assert.ok(Date.parse(lost.next_attempt_at) > Date.now() + 20_000, lost.next_attempt_at);
    assert.match((await edge.ctl('certificates list')).stdout, /lost\.example\.org +failing/);
    assert.match((await edge.ctl('status')).stderr, /certificates that have ended or could not be had: 1/);
    assert.match(await edge.metrics(), /candela_lighthouse_acme_hosts_failing 1/);
    await edge.ctl('delete lost');
  });

  await t.test('a certificate is renewed when it is time', async () => {
    await restart('renew_before = "59m55s"');
    await explained(until('a newer one', async () => {
      const shown = await Promise.all([...GATEWAYS.keys()].map((index) => edge.shown(index, 'shop.example.org')));
      return shown.every((one) => one.serialNumber !== first.serialNumber);
    }, LONG));
    assert.equal((await edge.certificates()).acme.account, account);
  });

  await t.test('an authority that is away leaves everything else as it was', async () => {
    await restart();
    await pebble.stop();
    await deploy('late', '[[route]]\nhost = "late.example.org"\n');
    const acme = await explained(until('the trouble in the list', async () => {
      const listed = await edge.certificates();
      return listed.acme.error && listed.acme;
    }, LONG));
    assert.match(acme.error, new RegExp(`localhost:${pebble.port}`));
    assert.ok(Date.parse(acme.next_attempt_at) > Date.now() - 1000);
    assert.equal((await entry('late.example.org')).state, 'pending');
    assert.match((await edge.ctl('certificates list')).stderr, /acme: .*localhost/);
    assert.match(await edge.metrics(), /candela_lighthouse_acme_paused 1/);
    assert.equal((await edge.ask(0, 'late.example.org', '/version')).text, '1');
    assert.match((await edge.shown(0, 'shop.example.org')).issuer, /Pebble/);
    assert.ok((await entry('shop.example.org')).expires_in_seconds > 0);
  });

  await t.test('one that comes back without memory is given a new account', async () => {
    await pebble.run();
    await served('late.example.org');
    for (const index of GATEWAYS.keys()) {
      await edge.shown(index, 'late.example.org', { rejectUnauthorized: true, ca: pebble.root });
    }
    const { acme } = await edge.certificates();
    assert.equal(acme.error, '');
    assert.ok(new X509Certificate(pebble.root).subject.includes('Pebble'));
  });
});
