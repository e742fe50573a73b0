// ./dev bench http [--rounds N] [--seconds N] [--only TEXT,TEXT]: what a request costs a gateway as it is run (a node of
// its own, one worker, routes of a real lighthouse), nginx, HAProxy and candela's bare proxy core, by turns, in front of the same
// services. What counts is CPU a request (the proxy's, user and system), medians of interleaved rounds: a shared machine's speed
// wanders. Beside each ratio stands the goal that it is held to. --only: rows whose names contain one of the texts.

import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { startCloud } from './http/cloud.mjs';
import { h2load, handshakes, idleBytes, wrk } from './http/loads.mjs';
import { cpuOf, family, folder, listening, MEASURED, median, ROOT, start, stopAll } from './http/machine.mjs';
import { freePort } from '../e2e/lib/ports.mjs';

const options = { rounds: 3, seconds: 2, only: '' };
for (let i = 2; i < process.argv.length; i += 2) {
  const name = process.argv[i].replace(/^--/, '');
  if (!(name in options) || process.argv[i + 1] === undefined) {
    console.error(`bench http: unknown option ${process.argv[i]}`);
    process.exit(2);
  }
  options[name] = typeof options[name] === 'number' ? Number(process.argv[i + 1]) : process.argv[i + 1];
}
const { seconds } = options;
const isWanted = (name) => options.only === '' || options.only.split(',').some((text) => name.includes(text));

// Each answers `small` on three ports (HTTP/1.1, HTTP/2, TLS), and nginx what the other services are for as well.
async function startProxies(cloud) {
  const { small, node_http: node, grpc } = cloud.ports;
  const proxies = {};
  for (const name of ['nginx', 'haproxy', 'core']) {
    proxies[name] = { clear: await freePort(), h2c: await freePort(), tls: await freePort(), upload: await freePort(), grpc: await freePort() };
  }
  const [crt, key] = [`${cloud.certificate}.crt`, `${cloud.certificate}.key`];
  const { nginx, haproxy, core } = proxies;
  const forwarded = `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;`;
  writeFileSync(join(folder, 'nginx.conf'), `daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid;
error_log ${folder}/nginx.err; worker_rlimit_nofile 20000; events { worker_connections 16384; }
http { access_log off; keepalive_requests 1000000000; client_max_body_size 0; client_body_temp_path ${folder}/b;
proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
upstream small { server 127.0.0.1:${small}; keepalive 512; keepalive_requests 1000000000; }
upstream node { server 127.0.0.1:${node}; keepalive 512; keepalive_requests 1000000000; }
upstream grpc { server 127.0.0.1:${grpc}; keepalive 512; keepalive_requests 1000000000; }
server { listen 127.0.0.1:${nginx.clear} backlog=4096; listen 127.0.0.1:${nginx.h2c} backlog=4096 http2;
listen 127.0.0.1:${nginx.tls} backlog=4096 ssl http2; ssl_certificate ${crt}; ssl_certificate_key ${key}; ssl_protocols TLSv1.3;
proxy_buffering off; proxy_request_buffering off; location / { proxy_pass http://small; ${forwarded} } }
server { listen 127.0.0.1:${nginx.upload} backlog=4096; proxy_buffering off; proxy_request_buffering off;
location / { proxy_pass http://node; ${forwarded} } }
server { listen 127.0.0.1:${nginx.grpc} backlog=4096 http2; location / { grpc_pass grpc://grpc; } } }
`);
  nginx.pid = start(MEASURED, ['nginx', '-e', `${folder}/nginx.err`, '-c', join(folder, 'nginx.conf')]);
  writeFileSync(join(folder, 'both'), readFileSync(crt) + readFileSync(key));
  const rest = `  http-request set-header X-Forwarded-Proto http\n`;
  writeFileSync(join(folder, 'haproxy.cfg'), `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend small
  bind 127.0.0.1:${haproxy.clear}
  bind 127.0.0.1:${haproxy.h2c} proto h2
  bind 127.0.0.1:${haproxy.tls} ssl crt ${folder}/both alpn h2,http/1.1 ssl-min-ver TLSv1.3
${rest}  default_backend small
frontend upload
  bind 127.0.0.1:${haproxy.upload}
${rest}  default_backend node
backend small
  server s 127.0.0.1:${small} pool-max-conn 512
backend node
  server s 127.0.0.1:${node} pool-max-conn 512
`);
  haproxy.pid = start(MEASURED, ['haproxy', '-db', '-q', '-f', join(folder, 'haproxy.cfg')]);
  core.h2c = core.clear;
  core.pid = start(MEASURED, [join(ROOT, 'build/tests/bench/bench-http-proxy'), `127.0.0.1:${core.clear}`,
    `127.0.0.1:${small}`, '--tls', `127.0.0.1:${core.tls}`, crt, key]);
  const { clear, tls } = cloud.ports;
  proxies.gateway = { clear, h2c: clear, tls, upload: clear, grpc: clear, pid: cloud.near };
  for (const proxy of Object.values(proxies)) for (const port of [proxy.clear, proxy.tls]) await listening(port);
  return proxies;
}

const all = ['nginx', 'haproxy', 'core', 'gateway'];
const host = 'small.localhost';
const h2count = seconds * 8000;
// `goals`: the most that the gateway may cost, as a share of each other's cost.
const ROWS = [
  { name: 'h1 c=64', among: all, goals: { nginx: 0.95, haproxy: 0.95 }, run: (p) => wrk(`http://127.0.0.1:${p.clear}/`, { clients: 64, seconds, host }) },
  { name: 'h1 c=256', among: all, goals: { nginx: 0.95, haproxy: 0.95 }, run: (p) => wrk(`http://127.0.0.1:${p.clear}/`, { clients: 256, seconds, host }) },
  { name: '100 KiB down', among: all, goals: { nginx: 1 }, run: (p) => wrk(`http://127.0.0.1:${p.clear}/100k`, { clients: 64, seconds, host }) },
  { name: '1 MiB up', among: ['nginx', 'haproxy', 'gateway'], goals: { nginx: 1 },
    run: (p) => wrk(`http://127.0.0.1:${p.upload}/`, { clients: 16, seconds, host: 'node.localhost', upload: true }) },
  { name: 'h2c 32x16', among: all, goals: { nginx: 0.85 }, run: (p) => h2load(`http://127.0.0.1:${p.h2c}/`, { count: h2count, host }) },
  { name: 'h2 TLS 32x16', among: all, goals: { nginx: 0.85 }, run: (p) => h2load(`https://127.0.0.1:${p.tls}/`, { count: h2count, host }) },
  { name: 'gRPC 32x16', among: ['nginx', 'gateway'], goals: { nginx: 1 },
    run: (p) => h2load(`http://127.0.0.1:${p.grpc}/echo.Echo/say`, { count: h2count / 4, host: 'grpc.localhost', grpc: true }) },
  { name: 'TLS 1.3 handshake', among: all, goals: { nginx: 1.05 }, run: (p) => handshakes(p.tls, { seconds }) },
];

const us = (value) => (value < 1000 ? `${value.toFixed(1)} µs` : `${(value / 1000).toFixed(2)} ms`);
const held = (ratio, goal) => `${ratio.toFixed(2)} ≤ ${goal}${ratio <= goal ? '' : '  MISSED'}`;

async function measure(contestants, cpu, run) {
  const results = new Map(contestants.map((one) => [one, []]));
  for (let round = -1; round < options.rounds; round += 1) {
    for (const one of contestants) {
      const before = cpu(one);
      const result = await run(one);
      if (round >= 0) results.get(one).push({ ...result, cpu: (cpu(one) - before) / result.requests });
    }
  }
  return (one, what) => median(results.get(one).map((result) => result[what]));
}

async function benchProxies(proxies) {
  const table = [];
  const rates = [];
  for (const row of ROWS.filter(({ name }) => isWanted(name))) {
    const of = await measure(row.among, (name) => cpuOf(proxies[name].pid), (name) => row.run(proxies[name]));
    const line = { 'CPU a request': row.name };
    for (const name of all) line[name] = row.among.includes(name) ? us(of(name, 'cpu')) : '';
    for (const name of ['nginx', 'haproxy']) {
      if (!row.among.includes(name)) continue;
      const ratio = of('gateway', 'cpu') / of(name, 'cpu');
      line[`gateway ÷ ${name}`] = row.goals[name] ? held(ratio, row.goals[name]) : ratio.toFixed(2);
    }
    table.push(line);
    rates.push({ 'requests a second': row.name, ...Object.fromEntries(row.among.map((name) => [name, Math.round(of(name, 'rps'))])) });
  }
  if (table.length === 0) return;
  console.table(table);
  console.table(rates);
}

async function benchIdle(proxies) {
  const table = [];
  for (const [name, port, secure, goal, count] of [['idle, clear', 'clear', false, 1, 3000], ['idle, TLS', 'tls', true, 18, 1000]]) {
    if (!isWanted(name)) continue;
    const line = { 'private memory a connection': name };
    for (const proxy of ['nginx', 'haproxy', 'gateway']) {
      const bytes = await idleBytes(proxies[proxy][port], proxies[proxy].pid, { count, host, secure });
      line[proxy] = `${(bytes / 1024).toFixed(2)} kB`;
      if (proxy === 'gateway') line.goal = `≤ ${goal} kB${bytes / 1024 <= goal ? '' : '  MISSED'}`;
    }
    table.push(line);
  }
  if (table.length > 0) console.table(table);
}

// The CPU of everything but the client: gateway, bus, host, service.
async function benchBus(cloud) {
  const table = [];
  const clients = 64;
  const rows = [
    ['over the bus to a host on another node', { url: cloud.clear, host }, { url: cloud.through, host, gateway: cloud.far }],
    ['a bus-native service', { url: cloud.clear, host: 'node.localhost' }, { url: cloud.clear, host: 'calc.localhost' }],
  ];
  for (const [name, direct, other] of rows) {
    if (!isWanted(name)) continue;
    if (!other.url) {
      console.log(`${name}: needs root, for a network namespace`);
      continue;
    }
    const processes = (one) => [one.gateway ?? cloud.near, ...family(cloud.core)];
    const of = await measure([direct, other], (one) => cpuOf(...processes(one)), (one) => wrk(one.url, { clients, seconds, host: one.host }));
    const shown = (one) => `${us(of(one, 'cpu'))}, p50 ${of(one, 'p50').toFixed(2)} ms, p99 ${of(one, 'p99').toFixed(2)} ms`;
    table.push({ 'CPU of all processes a request': name, direct: shown(direct), 'over the bus': shown(other),
      ratio: held(of(other, 'cpu') / of(direct, 'cpu'), 2) });
  }
  if (table.length > 0) console.table(table);
}

async function served(url, name) {
  for (let tries = 0; tries < 200; tries += 1) {
    const status = await new Promise((done) => {
      const asked = http.get(url, { headers: { host: name }, agent: false }, (answer) => {
        answer.resume();
        done(answer.statusCode);
      });
      asked.on('error', () => done(0));
    });
    if (status === 200) return;
    await new Promise((done) => { setTimeout(done, 50); });
  }
  throw new Error(`${name} is not served`);
}

const began = Date.now();
try {
  const cloud = await startCloud();
  const proxies = await startProxies(cloud);
  for (const service of ['small', 'node', 'calc']) await served(cloud.clear, `${service}.localhost`);
  // First: what a process has freed would hide what a connection takes.
  await benchIdle(proxies);
  await benchProxies(proxies);
  await benchBus(cloud);
  console.log(`${options.rounds} rounds of ${seconds} s; ${Math.round((Date.now() - began) / 1000)} s in all`);
} finally {
  await stopAll();
}
