// candela as it is run: a node with bus, lighthouse and host, services deployed to it, and gateways in nodes of their
// own, one worker each. One of them is on another machine (a network namespace), which reaches the bus only, so that
// what it serves comes through the bus.

import fs from 'node:fs';
import path from 'node:path';
import { copyModules } from '../../e2e/lib/apps.mjs';
import { Cloud, makeService } from '../../e2e/lib/cloud.mjs';
import { certificate } from '../../e2e/lib/certificates.mjs';
import { makeMachine } from '../../e2e/lib/machine.mjs';
import { freePort } from '../../e2e/lib/ports.mjs';
import { CANDELA, run } from '../../e2e/lib/program.mjs';
import { context, folder, listening, MEASURED, OTHERS, start } from './machine.mjs';

// Each service listens on a port of ours besides, where the other proxies find the same process.
const NGINX = (port) => `daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr error;
events { worker_connections 8192; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f;
uwsgi_temp_path u; scgi_temp_path s; sendfile on;
server { listen 127.0.0.1:@PORT@ backlog=4096; listen 127.0.0.1:${port} backlog=4096;
location / { default_type text/plain; return 200 "${'hello, world! '.repeat(9)}\\n"; }
location /100k { root @HERE@; } } }
`;

const HTTP = (port) => `
const http = require('node:http');
const serve = (asked, response) => {
  if (asked.method !== 'POST') return response.end('hello');
  asked.on('data', () => {});
  asked.on('end', () => response.end('taken'));
};
for (const port of [process.env.PORT, ${port}]) http.createServer(serve).listen(Number(port), '127.0.0.1', 4096);
`;

const GRPC = (port) => `
const http2 = require('node:http2');
const answer = Buffer.concat([Buffer.from([0, 0, 0, 0, 5]), Buffer.from('hello')]);
const serve = (stream) => {
  stream.on('error', () => {});
  stream.on('data', () => {});
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(answer);
  });
};
for (const port of [process.env.PORT, ${port}]) http2.createServer().on('stream', serve).listen(Number(port), '127.0.0.1', 4096);
`;

const BUS = `
const fs = require('node:fs');
const { connect, credsAuthenticator } = require('nats');
(async () => {
  const bus = await connect({ servers: process.env.CANDELA_BUS_URL, maxReconnectAttempts: -1,
    authenticator: credsAuthenticator(fs.readFileSync(process.env.CANDELA_BUS_CREDS)) });
  const answer = Buffer.from('hello');
  bus.subscribe('calc', { queue: 'q', callback: (error, message) => message.respond(answer) });
})();
`;

const toml = (name, command, more = '') => `name = "${name}"
command = ${JSON.stringify(command)}
${more}
[[route]]
host = "${name}.localhost"
`;
const TCP = '[probe]\ntcp = true\ninterval = "100ms"\n';

export async function startCloud() {
  const cloud = new Cloud(context);
  const data = path.join(cloud.dir, 'data');
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  if (made.code !== 0) throw new Error(made.stderr);
  const ports = {};
  for (const name of ['bus', 'node', 'api', 'clear', 'tls', 'gateway', 'far', 'small', 'node_http', 'grpc']) ports[name] = await freePort();
  const certificates = path.join(folder, 'certificates');
  fs.mkdirSync(certificates);
  await certificate(certificates, 'default', 'small.localhost');
  const machine = process.getuid() === 0 ? await makeMachine(context) : undefined;
  const profile = (name, text) => {
    const file = path.join(cloud.dir, `${name}.toml`);
    fs.writeFileSync(file, `[node]\nname = "${name}"\nworkers = 1\nlog_level = "warn"\n${text}`);
    return file;
  };
  cloud.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  const core = start(OTHERS, [CANDELA, 'node', '--config', profile('core', `roles = ["bus", "lighthouse", "host"]
data_dir = "${data}"
endpoint = "127.0.0.1:${ports.node}"
[bus]
listen = "0.0.0.0:${ports.bus}"
[lighthouse]
listen = "127.0.0.1:${ports.api}"
[host]
bus_url = "nats://127.0.0.1:${ports.bus}"
`)], { cwd: cloud.dir });
  await listening(ports.api);
  const gateway = (name, bus, address, more = '') => profile(name, `roles = ["gateway"]
data_dir = "${path.join(cloud.dir, name)}"
endpoint = "127.0.0.1:${ports.gateway}"
[bus]
url = "${bus}:${ports.bus}"
credentials = "${data}/identity/creds/gateway.creds"
[gateway]
listen = "${address}"
# As the others: none.
[gateway.access_log]
lighthouse_rate = 0
${more}`);
  const near = start(MEASURED, [CANDELA, 'node', '--config', gateway('near', '127.0.0.1', `127.0.0.1:${ports.clear}`,
    `[gateway.tls]\nlisten = "127.0.0.1:${ports.tls}"\ncertificates = "${certificates}"\n`)]);
  const far = machine && start(MEASURED, ['ip', 'netns', 'exec', machine.name, CANDELA, 'node', '--config',
    gateway('far', machine.ours, `${machine.theirs}:${ports.far}`)]);

  const files = { 'nginx.conf': NGINX(ports.small), '100k': Buffer.alloc(100 * 1024, 'x') };
  const services = [
    makeService(context, 'small', toml('small', ['sh', '-c',
      'D=${TMPDIR:-/tmp}; sed "s,@PORT@,$PORT,; s,@HERE@,$PWD," nginx.conf > $D/nginx.conf; exec nginx -p $D -e stderr -c $D/nginx.conf'], TCP), files),
    makeService(context, 'node', toml('node', ['node', 'app.js'], TCP), { 'app.js': HTTP(ports.node_http) }),
    makeService(context, 'grpc', toml('grpc', ['node', 'app.js'], `protocol = "h2c"\n${TCP}`), { 'app.js': GRPC(ports.grpc) }),
    makeService(context, 'calc', toml('calc', ['node', 'app.js'], 'kind = "bus"\n'), { 'app.js': BUS }),
  ];
  copyModules(services[3], ['nats']);
  for (const dir of services) await cloud.ctl(['deploy', dir]);
  return {
    core, near, far, ports, certificate: path.join(certificates, 'default'),
    clear: `http://127.0.0.1:${ports.clear}/`, secure: `https://127.0.0.1:${ports.tls}/`,
    through: far && `http://${machine.theirs}:${ports.far}/`,
  };
}
