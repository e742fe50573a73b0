// ./dev bench http: CPU per request, throughput and latency of proxies, side by side.
//
// One nginx answers ~130 bytes; in front of it nginx, HAProxy and candela's proxy core, one worker each, with
// keep-alive on both sides. wrk drives each in turn, in several interleaved rounds, since a shared machine's
// speed wanders: what counts are the ratios of medians of CPU per request (utime + stime of the process).
//
//   ./dev bench http [--rounds N] [--seconds N] [--clients 64,256] [--h2 yes|only|no] [--port N] [--only NAME,NAME]
//
// HTTP/2 is driven by h2load, 32 connections with 16 streams each, in the clear and over TLS 1.3.
// --port measures a candela gateway that runs already, besides: "gateway" is what listens there (HTTP/1.1 only).

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join, dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const options = { rounds: 5, seconds: 4, clients: "64,256", h2: "yes", port: 0, only: "" };
for (let i = 2; i < process.argv.length; i += 2) {
  const name = process.argv[i].replace(/^--/, "");
  if (!(name in options) || process.argv[i + 1] === undefined) {
    console.error(`bench http: unknown option ${process.argv[i]}`);
    process.exit(2);
  }
  options[name] = typeof options[name] === "number" ? Number(process.argv[i + 1]) : process.argv[i + 1];
}

const folder = mkdtempSync(join(tmpdir(), "candela-bench-http-"));
const started = [];
const ticks = Number(execFileSync("getconf", ["CLK_TCK"]).toString());
const cores = cpus().length;
// The proxy under test has a core of its own where there are two; backend and wrk share the other.
const pin = (core, argv) => (cores > 1 ? ["taskset", "-c", String(core), ...argv] : argv);

const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

function start(argv) {
  const child = spawn(argv[0], argv.slice(1), { stdio: ["ignore", "ignore", "inherit"] });
  started.push(child);
  return child;
}

async function untilListening(port) {
  for (let tries = 0; tries < 200; ++tries) {
    const ok = await new Promise((done) => {
      const socket = connect(port, "127.0.0.1", () => { socket.destroy(); done(true); });
      socket.on("error", () => done(false));
    });
    if (ok) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`nothing listens on port ${port}`);
}

function nginxConfig(name, http) {
  const file = join(folder, `${name}.conf`);
  writeFileSync(file, `daemon off; master_process off; worker_processes 1; pid ${folder}/${name}.pid;
error_log ${folder}/${name}.err; events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path ${folder}/${name}.body;
proxy_temp_path ${folder}/${name}.proxy; fastcgi_temp_path ${folder}/${name}.f; uwsgi_temp_path ${folder}/${name}.u;
scgi_temp_path ${folder}/${name}.s; ${http} }\n`);
  return ["nginx", "-e", `${folder}/${name}.err`, "-c", file];
}

// utime + stime, in microseconds.
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /, "").split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / ticks) * 1e6;
}

function wrk(port, clients) {
  const argv = pin(0, ["wrk", "-t1", `-c${clients}`, `-d${options.seconds}s`, "--latency",
                       `http://127.0.0.1:${port}/`]);
  const text = execFileSync(argv[0], argv.slice(1)).toString();
  const number = (pattern) => Number(text.match(pattern)?.[1] ?? NaN);
  const unit = (pattern) => {
    const [, value, suffix] = text.match(pattern) ?? [];
    return Number(value) * { us: 0.001, ms: 1, s: 1000 }[suffix];
  };
  if (/Non-2xx|Socket errors/.test(text)) console.error(`errors through port ${port}:\n${text}`);
  return {
    requests: number(/(\d+) requests in/), rps: number(/Requests\/sec:\s+([\d.]+)/),
    p50: unit(/50%\s+([\d.]+)(us|ms|s)/), p99: unit(/99%\s+([\d.]+)(us|ms|s)/),
  };
}

// One run of h2load; its own clock says the rate, and its requests are counted, not timed.
function h2load(port, isTls) {
  const count = Math.max(2000, Math.round(options.seconds * 8000));
  const argv = pin(0, ["h2load", "-t1", "-c32", "-m16", "-n", String(count),
                       `${isTls ? "https" : "http"}://127.0.0.1:${port}/`]);
  const text = execFileSync(argv[0], argv.slice(1)).toString();
  const done = Number(text.match(/(\d+) succeeded/)?.[1] ?? NaN);
  if (done !== count) console.error(`errors through port ${port}:\n${text}`);
  return { requests: done, rps: Number(text.match(/([\d.]+) req\/s/)?.[1] ?? NaN), p50: NaN, p99: NaN };
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

// The process that listens on a port, for --port.
const pidOn = (port) =>
  Number(execFileSync("ss", ["-Hltnp", `sport = :${port}`]).toString().match(/pid=(\d+)/)?.[1]);

async function main() {
  const [backend, nginx, haproxy, candela] = await Promise.all([1, 2, 3, 4].map(freePort));
  const tlsOf = new Map(await Promise.all([nginx, haproxy, candela].map(async (port) => [port, await freePort()])));
  const h2cOf = new Map(await Promise.all([nginx, haproxy].map(async (port) => [port, await freePort()])));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
    "-keyout", join(folder, "key"), "-out", join(folder, "crt"), "-subj", "/CN=localhost"], { stdio: "ignore" });
  writeFileSync(join(folder, "both"), readFileSync(join(folder, "crt")) + readFileSync(join(folder, "key")));
  start(pin(0, nginxConfig("backend", `server { listen 127.0.0.1:${backend} backlog=4096;
    location / { default_type text/plain; return 200 "${"hello, world! ".repeat(9)}\\n"; } }`)));
  const proxies = [];
  const add = (name, port, argv) => {
    if (options.only && !options.only.split(",").includes(name)) return;
    proxies.push({ name, port, pid: argv ? start(pin(cores - 1, argv)).pid : pidOn(port) });
  };
  add("nginx", nginx, nginxConfig("nginx", `upstream b { server 127.0.0.1:${backend}; keepalive 512;
    keepalive_requests 1000000000; } server { listen 127.0.0.1:${nginx} backlog=4096;
    listen 127.0.0.1:${h2cOf.get(nginx)} backlog=4096 http2; listen 127.0.0.1:${tlsOf.get(nginx)} backlog=4096 ssl http2;
    ssl_certificate ${folder}/crt; ssl_certificate_key ${folder}/key; ssl_protocols TLSv1.3; location / { proxy_pass http://b;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; } }`));
  writeFileSync(join(folder, "haproxy.cfg"), `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:${haproxy}
  bind 127.0.0.1:${h2cOf.get(haproxy)} proto h2
  bind 127.0.0.1:${tlsOf.get(haproxy)} ssl crt ${folder}/both alpn h2 ssl-min-ver TLSv1.3
  http-request set-header X-Forwarded-Proto http
  default_backend b
backend b
  server s 127.0.0.1:${backend} pool-max-conn 512
`);
  add("haproxy", haproxy, ["haproxy", "-db", "-q", "-f", join(folder, "haproxy.cfg")]);
  add("candela", candela, [join(root, "build/tests/bench/bench-http-proxy"), `127.0.0.1:${candela}`,
                           `127.0.0.1:${backend}`, "--tls", `127.0.0.1:${tlsOf.get(candela)}`,
                           join(folder, "crt"), join(folder, "key")]);
  if (options.port) add("gateway", options.port, null);
  await untilListening(backend);
  for (const proxy of proxies) await untilListening(proxy.port);

  const h1 = options.h2 === "only" ? [] : options.clients.split(",").map(Number);
  const loads = h1.map((clients) => ({ name: `h1 c=${clients}`, proxies, run: (port) => wrk(port, clients) }));
  if (options.h2 !== "no") {
    const known = proxies.filter(({ name }) => name !== "gateway");
    loads.push({ name: "h2c 32x16", proxies: known, run: (port) => h2load(h2cOf.get(port) ?? port, false) });
    loads.push({ name: "h2 TLS 32x16", proxies: known, run: (port) => h2load(tlsOf.get(port), true) });
  }
  const results = new Map();
  for (const load of loads) {
    for (const proxy of load.proxies) load.run(proxy.port); // warm
    for (let round = 0; round < options.rounds; ++round) {
      for (const proxy of load.proxies) {
        const before = cpuOf(proxy.pid);
        const run = load.run(proxy.port);
        run.cpu = (cpuOf(proxy.pid) - before) / run.requests;
        const key = `${load.name} ${proxy.name}`;
        results.set(key, [...(results.get(key) ?? []), run]);
        process.stderr.write(`round ${round + 1} ${load.name} ${proxy.name.padEnd(8)} ` +
          `${run.cpu.toFixed(2)} us/request ${run.rps.toFixed(0)} rps\n`);
      }
    }
  }
  console.log("load          proxy     CPU us/request   rps     p50 ms  p99 ms  CPU against nginx");
  for (const load of loads) {
    const of = (name, what) => median(results.get(`${load.name} ${name}`).map((run) => run[what]));
    const shown = (value) => (Number.isNaN(value) ? "-" : value.toFixed(2));
    for (const { name } of load.proxies) {
      const ratio = load.proxies.some((proxy) => proxy.name === "nginx")
        ? (of(name, "cpu") / of("nginx", "cpu")).toFixed(2) : "-";
      console.log(load.name.padEnd(14) + name.padEnd(10) + of(name, "cpu").toFixed(2).padStart(10) +
        of(name, "rps").toFixed(0).padStart(13) + shown(of(name, "p50")).padStart(10) +
        shown(of(name, "p99")).padStart(8) + ratio.padStart(10));
    }
  }
}

try {
  await main();
} finally {
  for (const child of started) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
