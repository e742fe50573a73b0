// A gateway's numbers as a real Prometheus reads them: latency by route, in both text formats.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { request } from './lib/http.mjs';
import { freePort } from './lib/ports.mjs';
import { Program, run, tempDir } from './lib/program.mjs';
import { startGateway } from './lib/gateway.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { serve } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

test('latency by route, scraped and checked by Prometheus', async (t) => {
  const gateway = await startGateway(t);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const slow = new Set();
  const server = await serve(t, (asked, response) => {
    if (asked.url.startsWith('/slow')) {
      slow.add(setTimeout(() => response.end('slow'), 120));
    } else {
      response.end('fast');
    }
  });
  t.after(() => { for (const timer of slow) clearTimeout(timer); });
  await lighthouse.publish([{ service: 'web', routes: [{ host: 'web.localhost' }, { host: 'web.localhost', path: '/slow' }],
    endpoints: [{ instance: 'web-1', port: server.address().port }] }]);
  for (let i = 0; i < 20; i += 1) assert.equal((await gateway.get(`/page/${i}`, { host: 'web.localhost' })).text, 'fast');
  for (let i = 0; i < 3; i += 1) assert.equal((await gateway.get(`/slow/${i}`, { host: 'web.localhost' })).text, 'slow');
  assert.equal((await gateway.get('/', { host: 'nowhere.localhost' })).status, 404);

  const metrics = async (accept) => (await request(gateway.ports.node, '/metrics', { headers: accept ? { accept } : {} }));
  const { text } = await metrics();
  const series = text.split('\n').filter((line) => line.startsWith('candela_gateway_route_seconds_count'));
  assert.deepEqual(series.sort(), [
    'candela_gateway_route_seconds_count{service="default/web",route="web.localhost/"} 20',
    'candela_gateway_route_seconds_count{service="default/web",route="web.localhost/slow"} 3',
  ], 'routes, not paths');
  const buckets = [...text.matchAll(/^candela_gateway_route_seconds_bucket\{service="default\/web",route="web\.localhost\/",le="([^"]+)"\} (\d+)$/gm)];
  const bounds = buckets.map(([, bound]) => (bound === '+Inf' ? Infinity : Number(bound)));
  assert.deepEqual(bounds, [...bounds].sort((a, b) => a - b));
  assert.equal(bounds.at(-1), Infinity);
  assert.ok(buckets.every(([, bound]) => /\.|\+Inf/.test(bound)), 'bounds in their canonical form');
  const counts = buckets.map(([, , count]) => Number(count));
  assert.deepEqual(counts, [...counts].sort((a, b) => a - b), 'cumulative');
  assert.equal(counts.at(-1), 20);
  const sum = Number(text.match(/^candela_gateway_route_seconds_sum\{[^}]*route="web\.localhost\/slow"\} (.+)$/m)[1]);
  assert.ok(sum >= 0.36 && sum < 30, `${sum} s in three slow requests`);
  // Times are finer than the loop's milliseconds.
  const fast = Number(text.match(/^candela_gateway_route_seconds_sum\{[^}]*route="web\.localhost\/"\} (.+)$/m)[1]);
  assert.ok(fast > 0 && (fast * 1000) % 1 !== 0, `${fast} s in twenty fast requests`);
  assert.ok(text.endsWith('\n# EOF\n'));

  const old = await metrics('text/plain');
  assert.match(old.headers['content-type'], /^text\/plain; version=0\.0\.4/);
  const file = path.join(tempDir(t, 'metrics'), 'text');
  fs.writeFileSync(file, old.text);
  const checked = await run('sh', ['-c', `promtool check metrics < ${file}`]);
  assert.deepEqual([checked.code, checked.stderr], [0, '']);

  const dir = tempDir(t, 'prometheus');
  const port = await freePort();
  fs.writeFileSync(path.join(dir, 'prometheus.yml'), `global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: candela
    static_configs: [{targets: ['127.0.0.1:${gateway.ports.node}']}]
`);
  const prometheus = new Program('prometheus', [`--config.file=${dir}/prometheus.yml`, `--storage.tsdb.path=${dir}/data`,
    `--web.listen-address=127.0.0.1:${port}`], { log: path.join(dir, 'log'), cwd: dir });
  t.after(() => prometheus.stop());
  const query = async (text) => JSON.parse((await request(port, `/api/v1/query?query=${encodeURIComponent(text)}`)).text).data.result;
  await until('a scrape', async () => (await query('up == 1')).length === 1, { timeout: 30_000 })
    .catch((error) => { throw new Error(`${error.message}\n${prometheus.tail()}`); });
  const scraped = await query('candela_gateway_route_seconds_count{route="web.localhost/slow"}');
  assert.equal(scraped[0].value[1], '3');
  const quantile = await query('histogram_quantile(0.5, candela_gateway_route_seconds_bucket{route="web.localhost/slow"})');
  const median = Number(quantile[0].value[1]);
  assert.ok(median > 0.1 && median <= 1, `${median} s`);
  const { data } = JSON.parse((await request(port, '/api/v1/metadata?metric=candela_gateway_route_seconds')).text);
  assert.equal(data.candela_gateway_route_seconds[0].type, 'histogram');
});
