// Unmodified applications, built from their sources by ctl deploy and fetched through the gateway.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { cmakeSources, javaSources, mesonSources, phpSources } from './lib/built.mjs';
import { startDev } from './lib/cloud.mjs';
import { ROOT, tempDir } from './lib/program.mjs';

// A copy, so that nothing that a build could leave gets into the source tree.
function exampleOf(t, name, { toml = '' } = {}) {
  const dir = path.join(tempDir(t, name), name);
  fs.cpSync(path.join(ROOT, 'examples', name), dir, { recursive: true });
  if (toml !== '') fs.appendFileSync(path.join(dir, 'service.toml'), toml);
  return dir;
}

test('unmodified applications are built from source and answer through the gateway', { timeout: 600_000 }, async (t) => {
  const cloud = await startDev(t);
  const get = (host, target, options) => cloud.get(target, { host: `${host}.localhost`, ...options });
  const before = (dir) => fs.readdirSync(dir, { recursive: true }).sort();

  await t.test('Node: Express by its lock file', async () => {
    const dir = exampleOf(t, 'express-app');
    const files = before(dir);
    const deployed = await cloud.ctl(['deploy', dir], { timeout: 300_000 });
    assert.match(deployed.stderr, /^\$ npm ci/m);
    assert.match(deployed.stderr, /in a sandbox: namespaces/);
    assert.equal((await get('express', '/hello/you')).text, '{"hello":"you"}');
    assert.deepEqual(before(dir), files, 'the folder is as it was');
  });

  await t.test('Node: a site of Vite is built and served as files', async () => {
    await cloud.ctl(['deploy', exampleOf(t, 'vite-site')], { timeout: 300_000 });
    const page = await get('vite', '/');
    assert.equal(page.status, 200);
    const script = page.text.match(/src="(\/assets\/[^"]+\.js)"/)[1];
    const code = await get('vite', script);
    assert.match(code.headers['content-type'], /javascript/);
    assert.match(code.text, /hello from/);
    assert.equal((await get('vite', '/package.json')).status, 404, 'nothing but what was built');
    const [service] = (await cloud.ctlJson('services')).services.filter((s) => s.name === 'vite-site');
    assert.equal(service.kind, 'static');
  });

  await t.test("Python: Flask of Debian's packages, without a network", async () => {
    const deployed = await cloud.ctl(['deploy', exampleOf(t, 'flask-app', { toml: '\n[build]\nnetwork = false\n' })]);
    assert.match(deployed.stderr, /no network$/m);
    assert.match(deployed.stderr, /all that is required is installed on this system/);
    assert.equal((await get('flask', '/')).text, 'hello from Flask\n');
    const sum = await get('flask', '/sum', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '[1,2,3]' });
    assert.deepEqual(JSON.parse(sum.text), { sum: 6 });
  });

  await t.test('Python: what is required and not there is named', async () => {
    const dir = exampleOf(t, 'flask-app', { toml: '\n[build]\nnetwork = false\n' });
    fs.writeFileSync(path.join(dir, 'requirements.txt'), 'flask>=2\nno-such-package-anywhere==1.0  # really\n');
    const failed = await cloud.ctl(['deploy', dir], { ok: false });
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /this system has not: no-such-package-anywhere==1\.0/);
    assert.match(failed.stderr, /error: the build failed: python3 -c .*exit code 1/);
  });

  await t.test('Java: plain sources and the compiler, without a service.toml', async () => {
    await cloud.ctl(['deploy', javaSources(t)]);
    assert.equal((await get('java-shop', '/a/b')).text, 'java at /a/b');
  });

  await t.test('PHP: composer.json without packages needs no composer', async () => {
    await cloud.ctl(['deploy', phpSources(t)]);
    assert.equal((await get('by-php', '/x')).text, 'php at /x');
  });

  await t.test('C++ by CMake, with a library of its own', async () => {
    await cloud.ctl(['deploy', cmakeSources(t)]);
    assert.equal((await get('by-cmake', '/')).text, 'c++ by CMake');
  });

  await t.test('C++ by Meson', async () => {
    await cloud.ctl(['deploy', mesonSources(t)]);
    assert.equal((await get('by-meson', '/')).text, 'c++ by Meson');
  });

  await t.test('C++ by make', async () => {
    await cloud.ctl(['deploy', exampleOf(t, 'cpp-hello')]);
    assert.match((await get('cpp', '/')).text, /^Hello from C\+\+/);
  });
});
