// A page in a real browser, through the gateway's HTTPS and HTTP/2.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startBrowser } from './lib/browser.mjs';
import { certificate } from './lib/certificates.mjs';
import { startGateway } from './lib/gateway.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { tempDir } from './lib/program.mjs';

const SCRIPTS = 20;
const PAGE = `<!doctype html><title>page</title><script type="module">
const report = (result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) });
async function run() {
  const numbers = await Promise.all(Array.from({ length: ${SCRIPTS} }, async (_, i) => (await import('/part.mjs?' + i)).number));
  const large = await fetch('/large.mjs');
  const text = await large.text();
  const [page] = performance.getEntriesByType('navigation');
  return {
    secure: isSecureContext, sum: numbers.reduce((a, b) => a + b, 0), large: text.length, coding: large.headers.get('content-encoding'),
    protocols: [...new Set([page, ...performance.getEntriesByType('resource')].map((entry) => entry.nextHopProtocol))],
    missing: (await fetch('/nothing')).status,
  };
}
run().then(report, (error) => report({ error: String(error) }));
</script>`;

test('a browser loads a page over HTTP/2 and TLS', { timeout: 180_000 }, async (t) => {
  const certs = tempDir(t, 'certs');
  await certificate(certs, 'default', 'web.localhost');
  const gateway = await startGateway(t, `[gateway.tls]\nlisten = "127.0.0.1:{port}"\ncertificates = "${certs}"`);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  // The browser's own server is the service.
  const browser = await startBrowser(t, { '/': PAGE, '/part.mjs': 'export const number = 3;', '/large.mjs': `// ${'many words '.repeat(50_000)}` });
  const routes = [{ host: 'web.localhost', compress: true }];
  await lighthouse.publish([{ service: 'web', routes, endpoints: [{ instance: 'web-1', port: browser.port }] }]);

  // The certificate is the test's own: the browser is told its key, and checks all else.
  const { publicKey } = new crypto.X509Certificate(fs.readFileSync(path.join(certs, 'default.crt')));
  const pin = crypto.createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
  const result = await browser.visit(`https://web.localhost:${gateway.ports.tls}/`, { args: [`--ignore-certificate-errors-spki-list=${pin}`] });
  assert.deepEqual(result, {
    secure: true, sum: 3 * SCRIPTS, large: 550_003, coding: 'zstd', protocols: ['h2'], missing: 404,
  });
});
